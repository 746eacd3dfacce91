//! Where an unfinished measurement is saved, and how it is resumed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Measurement, Questions, Saved, SavedError, Work};
use crate::storage::lock::{Lock, LockError};
use crate::storage::{OutputError, check_writable};
use crate::verify::Progress;

/// How often an unfinished measurement is saved: the most work that an interruption loses.
const SAVED_EVERY: Duration = Duration::from_secs(2);

/// Blocks that each thread runs between two checks of the clock.
const BLOCKS_AT_ONCE: u64 = 4;

/// Events during a measurement that a user may want to know.
#[derive(Debug)]
pub enum AccuracyNews<'a> {
    /// Resuming from an earlier run.
    GoingOn {
        /// The file it resumes from.
        file: &'a Path,
        done: u64,
        of: u64,
    },
    /// What was saved earlier cannot be used, for this reason; the measurement starts from the beginning.
    NotResumed(String),
    /// Progress cannot be saved, for this reason.
    NotSaved(String),
    /// Questions done so far.
    Asked(Progress),
}

/// The file that an unfinished measurement is saved to.
#[derive(Debug)]
pub struct SaveFile {
    path: PathBuf,
    /// Whether the user named it. A named file is kept after completion and must be writable.
    named: bool,
    /// Keeps other processes from the file; without it, nothing is read or saved.
    lock: Option<Lock>,
}

impl SaveFile {
    /// The file the user named; otherwise one in `folder` that belongs to this work on these questions
    /// alone, and is optional: nothing is saved if it cannot be used.
    ///
    /// # Errors
    /// [`SavedError`] if a named file cannot be used.
    pub fn new(
        named: Option<&Path>,
        folder: &Path,
        work: &Work,
        questions: &Questions,
        tell: &mut dyn FnMut(AccuracyNews),
    ) -> Result<Self, SavedError> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => folder.join(work.file_name(questions.len())),
        };
        let named = named.is_some();
        if named {
            check_writable(path.parent().unwrap_or(Path::new("")))?;
        }
        let Some(file_name) = path.file_name() else {
            return Err(SavedError::NoName { path });
        };
        let lock_name = format!(".{}.lock", file_name.to_string_lossy());
        let lock = match Lock::take(&path.with_file_name(lock_name)) {
            Ok(lock) => Some(lock),
            Err(LockError::Output(error)) if named => return Err(error.into()),
            Err(held @ LockError::Held { .. }) if named => {
                return Err(SavedError::Held { path, held });
            }
            Err(error) => {
                tell(AccuracyNews::NotSaved(error.to_string()));
                None
            }
        };
        Ok(SaveFile { path, named, lock })
    }

    /// Asks the questions that have not been asked yet. What was counted stays saved; once the result is
    /// where it belongs, [`result_is_kept`](Self::result_is_kept) removes what is no longer needed.
    ///
    /// # Errors
    /// [`SavedError`] where the file belongs to other work, or a named file cannot be written.
    pub fn measure(
        &self,
        measurement: &Measurement,
        work: &Work,
        tell: &mut dyn FnMut(AccuracyNews),
    ) -> Result<Saved, SavedError> {
        let questions = measurement.questions;
        let before = self.read(work, questions, tell)?;
        if let Some(before) = &before {
            tell(AccuracyNews::GoingOn {
                file: &self.path,
                done: before.done(),
                of: questions.len(),
            });
        }
        let mut saved = before.unwrap_or_else(|| Saved::nothing(work.clone()));
        let mut last_save = Instant::now();
        let at_once = BLOCKS_AT_ONCE * rayon::current_num_threads() as u64;
        while saved.next_block() < questions.blocks() {
            let next = saved.next_block();
            let until = (next + at_once).min(questions.blocks());
            saved.add(measurement.blocks(next..until)?);
            tell(AccuracyNews::Asked(Progress {
                phase: "questions",
                done: saved.done() as usize,
                of: questions.len() as usize,
            }));
            if last_save.elapsed() > SAVED_EVERY {
                self.save(&saved, tell)?;
                last_save = Instant::now();
            }
        }
        self.save(&saved, tell)?;
        Ok(saved)
    }

    /// The part of this work saved earlier.
    fn read(
        &self,
        work: &Work,
        questions: &Questions,
        tell: &mut dyn FnMut(AccuracyNews),
    ) -> Result<Option<Saved>, SavedError> {
        if self.lock.is_none() {
            return Ok(None);
        }
        match Saved::read(&self.path, work, questions) {
            // Nobody asked for this file, so it must not stop a measurement.
            Err(error) if !self.named => {
                tell(AccuracyNews::NotResumed(error.to_string()));
                Ok(None)
            }
            read => read,
        }
    }

    /// Saves if possible. Only a file named by the user is required to be saved.
    fn save(&self, saved: &Saved, tell: &mut dyn FnMut(AccuracyNews)) -> Result<(), SavedError> {
        if self.lock.is_none() {
            return Ok(());
        }
        match saved.write(&self.path) {
            Err(error) if self.named => Err(error.into()),
            Err(error) => {
                tell(AccuracyNews::NotSaved(error.to_string()));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Removes the file, unless the user named it: the result is where it belongs, and nothing remains
    /// to be resumed.
    ///
    /// # Errors
    /// [`OutputError`] if it cannot be removed.
    pub fn result_is_kept(self) -> Result<(), OutputError> {
        if self.named || self.lock.is_none() {
            return Ok(());
        }
        match std::fs::remove_file(&self.path) {
            Err(reason) if reason.kind() != std::io::ErrorKind::NotFound => {
                let path = self.path;
                Err(OutputError { path, reason })
            }
            _ => Ok(()),
        }
    }
}
