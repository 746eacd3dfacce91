//! What can stop a command, and how that is told.

use std::fmt;
use std::io::{self, Write};

use circuitcheck::inputs::claims::ClaimsError;
use circuitcheck::inputs::model::LoadError;
use circuitcheck::network::engine::EngineError;

use super::exit_code::ExitCode;
use super::style;

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

impl From<LoadError> for CliError {
    fn from(error: LoadError) -> Self {
        let hint = match &error {
            LoadError::NotFound { .. }
            | LoadError::NotAModel { .. }
            | LoadError::NoWeights { .. } => {
                Some("name a model's folder or its file of weights, or none for the bundled model")
            }
            _ => None,
        };
        Self::Input {
            message: error.to_string(),
            hint: hint.map(str::to_owned),
        }
    }
}

impl From<ClaimsError> for CliError {
    fn from(error: ClaimsError) -> Self {
        Self::Input {
            message: error.to_string(),
            hint: None,
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        Self::Input {
            message: error.to_string(),
            hint: None,
        }
    }
}
