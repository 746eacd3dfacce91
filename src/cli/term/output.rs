//! Writes a command's result: text with colours, or one JSON object.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;

use circuitcheck::domain::plain::lines;
use circuitcheck::storage::lock::{Lock, LockError};
use circuitcheck::storage::{check_writable, pretty_json};
use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::heading::Heading;

/// In which form results are printed.
#[derive(Debug, Clone, Copy, Args)]
pub struct JsonArg {
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

impl JsonArg {
    /// Prints a result to stdout, as text under a heading.
    ///
    /// # Errors
    /// If stdout can't be written to, other than for want of a reader.
    pub fn print_under<R: Serialize + Display>(
        self,
        heading: &Heading,
        result: &R,
    ) -> Result<Printed, CliError> {
        if self.json {
            self.print(result)
        } else {
            write(format_args!("{heading}\n{result}"))
        }
    }

    /// Prints a result to stdout.
    ///
    /// # Errors
    /// If stdout can't be written to, other than for want of a reader.
    pub fn print<R: Serialize + Display>(self, result: &R) -> Result<Printed, CliError> {
        if self.json {
            write(pretty_json(result))
        } else {
            write(result)
        }
    }
}

/// How much of a result reached its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Printed {
    Whole,
    /// The reader closed the pipe before the end, as in `… | head -1`.
    InPart,
}

/// Writes to stdout. A reader that has gone, as in `… | head -1`, has read all it wanted.
///
/// # Errors
/// If stdout can't be written to for another reason.
pub fn write(text: impl Display) -> Result<Printed, CliError> {
    let mut stdout = anstream::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Printed::Whole),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Printed::InPart),
        Err(error) => Err(CliError::Output(error)),
    }
}

/// How much is printed beside results, warnings and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    Quiet,
    Normal,
    Verbose,
}

static LOUDNESS: OnceLock<Loudness> = OnceLock::new();

/// Sets for the whole process how much is printed; only the first call has an effect.
pub fn set_loudness(loudness: Loudness) {
    let _ = LOUDNESS.set(loudness);
}

pub fn loudness() -> Loudness {
    *LOUDNESS.get().unwrap_or(&Loudness::Normal)
}

/// Prints news on stderr, unless --quiet is given.
pub fn tell(news: impl Display) {
    if loudness() >= Loudness::Normal {
        // News that nobody can read must not stop the command.
        let news = news.to_string();
        let _ = writeln!(anstream::stderr(), "{}", lines(&news));
    }
}

/// Prints on stderr what only --verbose asks for.
pub fn detail(news: impl Display) {
    if loudness() == Loudness::Verbose {
        tell(news);
    }
}

/// Tells which files a command wrote, and where.
pub fn wrote(files: &str, folder: &Path) {
    tell(format_args!("wrote {files} to {}", folder.display()));
}

/// Makes sure that a command can write to a folder, and keeps other processes from doing the same there
/// until what is returned is dropped.
///
/// # Errors
/// If no file can be made there, or another process does the same there.
pub fn hold(folder: &Path, command: &str) -> Result<Lock, CliError> {
    check_writable(folder)?;
    let lock = Lock::take(&folder.join(format!(".{command}.lock")));
    lock.map_err(|error| match error {
        LockError::Held { .. } => CliError::Input {
            message: format!(
                "{}: another circuitcheck {command} writes to this folder: {error}",
                folder.display()
            ),
            hint: Some("wait for it, or name another folder with --out".into()),
        },
        LockError::Output(error) => error.into(),
    })
}
