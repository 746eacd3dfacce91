//! Where an unfinished measurement is kept.

use std::path::{Path, PathBuf};

use circuitcheck::analysis::accuracy::{Questions, Saved, Work};
use circuitcheck::storage::check_writable;
use circuitcheck::storage::lock::{Lock, LockError};

use crate::cli::term::error::{CliError, warn};

/// Where an unfinished measurement is kept.
pub struct SaveFile {
    pub path: PathBuf,
    /// Whether the user named it: it stays when all is done, and has to be writable.
    named: bool,
    /// Keeps other processes from the file; without it, nothing is read there or saved.
    lock: Option<Lock>,
}

impl SaveFile {
    pub fn new(named: Option<&Path>, model: &str, work: &Work) -> Result<Self, CliError> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => Path::new("reports").join(model).join(work.file_name()),
        };
        let named = named.is_some();
        if named {
            check_writable(path.parent().unwrap_or(Path::new("")))?;
        }
        let Some(file_name) = path.file_name() else {
            let shown = format_args!("{path:?}");
            return Err(CliError::input(shown, "is no file's name"));
        };
        let lock_name = format!(".{}.lock", file_name.to_string_lossy());
        let lock = match Lock::take(&path.with_file_name(lock_name)) {
            Ok(lock) => Some(lock),
            Err(LockError::Output(error)) if named => return Err(error.into()),
            Err(held @ LockError::Held { .. }) if named => {
                return Err(CliError::Input {
                    message: format!(
                        "{}: another circuitcheck accuracy saves there: {held}",
                        path.display()
                    ),
                    hint: Some("wait for it, or name another file with --resume"),
                });
            }
            Err(error) => {
                warn(format_args!("{error}; this run cannot be gone on with"));
                None
            }
        };
        Ok(SaveFile { path, named, lock })
    }

    /// What was saved before of this work.
    pub fn read(&self, work: &Work, questions: &Questions) -> Result<Option<Saved>, CliError> {
        match &self.lock {
            Some(_) => Ok(Saved::read(&self.path, work, questions)?),
            None => Ok(None),
        }
    }

    /// Saves, where that can be done. Only a file the user named has to be.
    pub fn save(&self, saved: &Saved) -> Result<(), CliError> {
        if self.lock.is_none() {
            return Ok(());
        }
        match saved.write(&self.path) {
            Err(error) if self.named => Err(error.into()),
            Err(error) => {
                warn(format_args!("{error}; this run cannot be gone on with"));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    pub fn finish(&self, saved: &Saved) -> Result<(), CliError> {
        if self.named || self.lock.is_none() {
            return self.save(saved);
        }
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(CliError::input(self.path.display(), error))
            }
            _ => Ok(()),
        }
    }
}
