//! How the program ends: the one place that knows what its exit codes mean.

use std::fmt::Write;

use circuitcheck::verify::Conclusion;

/// What the program found, or why it found nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Nothing was refuted. Commands that check no claim end so whatever the answers are.
    Success = Conclusion::Sound.code(),
    /// A claim was refuted, or what was compared differs.
    Refuted = Conclusion::Refuted.code(),
    /// The command line can't be understood. The number is clap's.
    Usage = 2,
    /// No claim was refuted, but what was seen doesn't decide all of them.
    Inconclusive = Conclusion::Inconclusive.code(),
    /// What was named on the command line can't be read, or contradicts itself or the model.
    Input = 4,
    /// The model can't do the arithmetic itself, so nothing can be said of its parts.
    Baseline = Conclusion::Baseline.code(),
    /// Ctrl-C. The number is the one shells give.
    Interrupted = 130,
}

impl ExitCode {
    const ALL: [Self; 7] = [
        Self::Success,
        Self::Refuted,
        Self::Usage,
        Self::Inconclusive,
        Self::Input,
        Self::Baseline,
        Self::Interrupted,
    ];

    const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "nothing was refuted",
            Self::Refuted => "some claim was refuted, or what was compared differs",
            Self::Usage => "the command line is wrong: an unknown option, a malformed node name",
            Self::Inconclusive => {
                "nothing was refuted, but something stayed inconclusive or was not shown"
            }
            Self::Input => {
                "a file, question or node is unreadable or contradictory, or output unwritable"
            }
            Self::Baseline => "the model fails the baseline gate in every question class",
            Self::Interrupted => "interrupted with Ctrl-C",
        }
    }

    /// The section of the help that lists the codes.
    pub fn help() -> String {
        Self::ALL
            .into_iter()
            .fold("Exit codes:".to_owned(), |mut text, code| {
                write!(text, "\n  {:<3}  {}", code as u8, code.meaning())
                    .expect("a String takes any text");
                text
            })
    }
}

impl From<Conclusion> for ExitCode {
    fn from(conclusion: Conclusion) -> Self {
        match conclusion {
            Conclusion::Sound => Self::Success,
            Conclusion::Refuted => Self::Refuted,
            Conclusion::Inconclusive => Self::Inconclusive,
            Conclusion::Baseline => Self::Baseline,
        }
    }
}
