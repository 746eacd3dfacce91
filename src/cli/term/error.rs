//! What can stop a command, and how that is told.

use std::fmt;
use std::io::{self, Write};

use circuitcheck::analysis::accuracy::{QuestionsError, SavedError};
use circuitcheck::analysis::circuit::NamedCircuitError;
use circuitcheck::analysis::evidence_map::MapError;
use circuitcheck::analysis::hypothesis::{HypothesisError, TestError};
use circuitcheck::analysis::property::PropertyError;
use circuitcheck::analysis::strict::StrictError;
use circuitcheck::batch::shards::{PlanError, ShardStoreError};
use circuitcheck::domain::plain::lines;
use circuitcheck::inputs::claims::ClaimsError;
use circuitcheck::inputs::hub::{AddressError, HubError};
use circuitcheck::inputs::model::{
    LoadError, PickleError, PthError, SafetensorsError, WeightsError, is_weights,
};
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
    writeln!(stderr, "{error}error:{error:#} {}", lines(message))?;
    match hint {
        Some(hint) => writeln!(stderr, "{cyan}hint:{cyan:#} {}", lines(hint)),
        None => Ok(()),
    }
}

/// Tells of something that doesn't stop the command.
pub fn warn(message: impl fmt::Display) {
    let yellow = style::WARNING;
    // A warning nobody can read must not stop the command either.
    let message = message.to_string();
    let message = lines(&message);
    let _ = writeln!(anstream::stderr(), "{yellow}warning:{yellow:#} {message}");
}

/// Says on stderr how an input was read.
pub fn note(message: impl fmt::Display) {
    let cyan = style::HINT;
    let message = message.to_string();
    let message = lines(&message);
    let _ = writeln!(anstream::stderr(), "{cyan}note:{cyan:#} {message}");
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
    MapError: no_hint;
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
    LoadError: load_hint;
    PlanError: |error| match error {
        PlanError::ModelChanged { .. } => Some(
            "put the planned model back, or plan again and begin with an empty folder of results",
        ),
        _ => None,
    };
    QuestionsError: |error| match error {
        QuestionsError::TooMany { .. } => {
            Some("give a smaller --count or, with --exhaustive, ranges such as --a 0..999 --b 0..999")
        }
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

/// What to do about a model that does not load: for its weights, what to run in Python.
fn load_hint(error: &LoadError) -> Option<&'static str> {
    const STATE_DICT: &str =
        r#"save the state dict alone, in Python: torch.save(model.state_dict(), "model.pth")"#;
    Some(match error {
        LoadError::NotFound { .. } | LoadError::NotAModel { .. } | LoadError::NoWeights { .. } => {
            "name a model's folder or its file of weights, or none for the bundled model"
        }
        LoadError::SeveralWeights { .. } => "name the file of weights",
        LoadError::Operations { .. } => {
            "give the operations the model was trained for, such as --operations add,sub"
        }
        LoadError::TooLarge { file, .. } if is_weights(file) => STATE_DICT,
        LoadError::Pth { reason, .. } => match reason {
            PthError::Legacy => {
                r#"save it again in Python: torch.save(torch.load("old.pth", map_location="cpu"), "model.pth")"#
            }
            PthError::NotZip(_) => {
                r#"if it is from torch before 1.6, save it again in Python: torch.save(torch.load("old.pth", map_location="cpu"), "model.pth")"#
            }
            PthError::NotFloat { .. } => {
                r#"save floating-point weights, in Python: torch.save({k: v.float() for k, v in model.state_dict().items()}, "model.pth")"#
            }
            PthError::Pickle(PickleError::Metadata { .. }) => {
                r#"save the elements themselves, in Python: torch.save({k: v.resolve_conj().resolve_neg() for k, v in model.state_dict().items()}, "model.pth")"#
            }
            PthError::Pickle(_)
            | PthError::NotDict { .. }
            | PthError::NotTensor { .. }
            | PthError::Name { .. } => STATE_DICT,
            _ => return None,
        },
        LoadError::Safetensors {
            reason: SafetensorsError::NotFloat { .. },
            ..
        } => {
            r#"save floating-point weights, in Python: safetensors.torch.save_file({k: v.float() for k, v in model.state_dict().items()}, "model.safetensors")"#
        }
        LoadError::Weights { reason, .. } => match reason {
            WeightsError::Vocabulary { .. } => {
                r#"the tokens are 0 to 9, then + - = * \ in this order; pad a shorter vocabulary in Python, where sd is the state dict and k the number of tokens to add: pad = torch.nn.functional.pad; sd["embed.W_E"] = pad(sd["embed.W_E"], (0, 0, 0, k)); sd["unembed.W_U"] = pad(sd["unembed.W_U"], (0, k)); sd["unembed.b_U"] = pad(sd["unembed.b_U"], (0, k), value=-1e4); torch.save(sd, "model.pth")"#
            }
            WeightsError::Context { .. } => {
                r#"a question with its answer, such as 12345+67890=+080235, has 3 n + 4 tokens; drop unused positions in Python, where sd is the state dict: sd["pos_embed.W_pos"] = sd["pos_embed.W_pos"][:3 * n_digits + 4]; torch.save(sd, "model.pth")"#
            }
            WeightsError::Missing { .. }
            | WeightsError::Extra { .. }
            | WeightsError::Rank { .. }
            | WeightsError::Shape { .. } => {
                r#"expected the state dict of a TransformerLens HookedTransformer with normalization_type "LN" or "LNPre" and an MLP in each layer; in Python: torch.save(model.state_dict(), "model.pth")"#
            }
            _ => return None,
        },
        _ => return None,
    })
}

impl From<VerifyError> for CliError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::NothingSelected { .. } => {
                usage_error("verify", ErrorKind::ValueValidation, error)
            }
            VerifyError::NoFeatures { .. } => Self::told(error)
                .with_hint("circuitcheck discover DIR --out found finds claims: --features found/features.json"),
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
