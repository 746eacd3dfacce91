//! What can stop a command, and how that is told.

use std::fmt;
use std::io::{self, Write};

use circuitcheck::analysis::accuracy::{QuestionsError, SavedError};
use circuitcheck::analysis::circuit::NamedCircuitError;
use circuitcheck::analysis::hypothesis::{HypothesisError, TestError};
use circuitcheck::analysis::property::PropertyError;
use circuitcheck::analysis::strict::StrictError;
use circuitcheck::batch::shards::{PlanError, ShardStoreError};
use circuitcheck::inputs::claims::ClaimsError;
use circuitcheck::inputs::hub::{AddressError, HubError};
use circuitcheck::inputs::model::LoadError;
use circuitcheck::network::engine::EngineError;
use circuitcheck::report::{ReportError, StoreError};
use circuitcheck::storage::OutputError;
use circuitcheck::verify::VerifyError;
use clap::error::ErrorKind;

use super::exit_code::ExitCode;
use super::style;
use crate::cli::usage_error;

/// Why a command has no result.
#[derive(Debug)]
pub enum CliError {
    /// The command line, beyond what its definition can express.
    Usage(clap::Error),
    /// What the command line names.
    Input {
        message: String,
        hint: Option<String>,
    },
    /// The result can't be written.
    Output(io::Error),
}

impl CliError {
    /// Something is wrong with what was found in `place`: a file, or a model.
    pub fn input(place: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::Input {
            message: format!("{place}: {reason}"),
            hint: None,
        }
    }

    /// The same, with what may help.
    pub fn with_hint(self, help: impl Into<String>) -> Self {
        match self {
            Self::Input { message, .. } => Self::Input {
                message,
                hint: Some(help.into()),
            },
            other => other,
        }
    }

    /// What is wrong, in the library's words alone.
    fn told(error: impl fmt::Display) -> Self {
        Self::Input {
            message: error.to_string(),
            hint: None,
        }
    }

    /// What is wrong, in one line if it can be said in one.
    pub fn message(&self) -> String {
        match self {
            Self::Usage(error) => error.to_string(),
            Self::Input { message, .. } => message.clone(),
            Self::Output(error) => format!("standard output: {error}"),
        }
    }

    /// Tells the user on stderr, and says how the program ends.
    pub fn report(&self) -> ExitCode {
        // Where stderr can't be written to there is nobody to tell.
        let _ = match self {
            Self::Usage(error) => error.print(),
            Self::Input { message, hint } => tell(message, hint.as_deref()),
            Self::Output(_) => tell(&self.message(), None),
        };
        match self {
            Self::Usage(_) => ExitCode::Usage,
            Self::Input { .. } | Self::Output(_) => ExitCode::Input,
        }
    }
}

fn tell(message: &str, hint: Option<&str>) -> io::Result<()> {
    let mut stderr = anstream::stderr().lock();
    let (error, cyan) = (style::ERROR, style::HINT);
    writeln!(stderr, "{error}error:{error:#} {message}")?;
    match hint {
        Some(hint) => writeln!(stderr, "{cyan}hint:{cyan:#} {hint}"),
        None => Ok(()),
    }
}

/// Tells of something that doesn't stop the command.
pub fn warn(message: impl fmt::Display) {
    let yellow = style::WARNING;
    // A warning nobody can read must not stop the command either.
    let _ = writeln!(anstream::stderr(), "{yellow}warning:{yellow:#} {message}");
}

/// Library errors that a user is told of as they are, each with what may help.
macro_rules! told_with_hint {
    ($($error:ty: $hint:expr;)*) => {$(
        impl From<$error> for CliError {
            fn from(error: $error) -> Self {
                let hint: fn(&$error) -> Option<&'static str> = $hint;
                Self::Input {
                    message: error.to_string().trim_end().to_owned(),
                    hint: hint(&error).map(str::to_owned),
                }
            }
        }
    )*};
}

fn no_hint<E>(_: &E) -> Option<&'static str> {
    None
}

told_with_hint! {
    ClaimsError: no_hint;
    EngineError: no_hint;
    NamedCircuitError: no_hint;
    OutputError: no_hint;
    ReportError: no_hint;
    SavedError: |error| match error {
        SavedError::Held { .. } => Some("wait for it, or name another file with --resume"),
        _ => None,
    };
    StoreError: no_hint;
    AddressError: |_| Some(
        "an address reads hf://owner/repository or hf://owner/repository/folder, @revision may follow the repository",
    );
    HubError: |error| match error {
        HubError::NoModel { .. } | HubError::NotFound { .. } => {
            Some("circuitcheck list hf://owner/repository shows what models a repository holds")
        }
        HubError::NotCached { .. } => {
            Some("fetch it once where the hub can be reached, with the same HF_HOME")
        }
        _ => None,
    };
    HypothesisError: |error| match error {
        HypothesisError::Grammar { .. } => Some("the grammar is in hypotheses/README.md"),
        _ => None,
    };
    LoadError: |error| match error {
        LoadError::NotFound { .. } | LoadError::NotAModel { .. } | LoadError::NoWeights { .. } => {
            Some("name a model's folder or its file of weights, or none for the bundled model")
        }
        _ => None,
    };
    PlanError: |error| match error {
        PlanError::ModelChanged { .. } => Some(
            "put the planned model back, or plan again and begin with an empty folder of results",
        ),
        _ => None,
    };
    QuestionsError: |error| match error {
        QuestionsError::TooMany { .. } => Some("for example --a 0..999 --b 0..999"),
        _ => None,
    };
    ShardStoreError: |error| match error {
        ShardStoreError::Missing { .. } => Some(
            "circuitcheck shard work does them; shard status --missing prints their numbers as schedulers take them",
        ),
        ShardStoreError::Wrong { .. } => {
            Some("what is in the folder of results was not made by this plan, or damaged")
        }
        _ => None,
    };
}

impl From<VerifyError> for CliError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::NothingSelected { .. } => {
                usage_error("verify", ErrorKind::ValueValidation, error)
            }
            _ => Self::told(error),
        }
    }
}

impl From<PropertyError> for CliError {
    fn from(error: PropertyError) -> Self {
        match error {
            PropertyError::Unknown { .. } => {
                usage_error("property", ErrorKind::ValueValidation, error)
            }
            _ => Self::told(error),
        }
    }
}

impl From<StrictError> for CliError {
    fn from(error: StrictError) -> Self {
        match error {
            StrictError::Engine(error) => error.into(),
            StrictError::Verify(error) => error.into(),
        }
    }
}

impl From<TestError> for CliError {
    fn from(error: TestError) -> Self {
        match error {
            TestError::Hypothesis(error) => error.into(),
            TestError::Engine(error) => error.into(),
        }
    }
}
