//! The overall result of an examination, which commands turn into their exit codes.

use super::VerdictKind;
use super::evidence::Evidence;

/// The overall result of an examination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Conclusion {
    /// Nothing was refuted.
    Sound = 0,
    /// Something was refuted.
    Refuted = 1,
    /// Nothing was refuted, but not everything could be decided.
    Inconclusive = 3,
    /// The unpatched model fails the baseline in every class, so nothing could be tested.
    Baseline = 5,
}

impl Conclusion {
    /// The exit code for this conclusion.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl Evidence {
    /// The conclusion that follows from the verdicts.
    pub fn conclusion(&self) -> Conclusion {
        let verdicts = || self.claims.iter().map(|claim| claim.verdict.kind());
        if self.baseline.passing().next().is_none() {
            Conclusion::Baseline
        } else if verdicts().any(VerdictKind::refutes) {
            Conclusion::Refuted
        } else if verdicts().any(VerdictKind::leaves_open)
            || verdicts().all(|verdict| verdict == VerdictKind::NotTestable)
        {
            Conclusion::Inconclusive
        } else {
            Conclusion::Sound
        }
    }
}
