//! A resumable measurement: what is asked, how far it got, and the tally so far.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::questions::{BLOCK, QuestionSource, Questions};
use super::tally::AccuracyTally;
use crate::inputs::model::ModelFolder;
use crate::network::engine::{Decode, EngineError};
use crate::storage::lock::LockError;
use crate::storage::{OutputError, read_json, read_result, write_files};

/// The file's format; increased whenever the meaning of a block or a count changes.
const SCHEMA: &str = "circuitcheck/accuracy/1";

/// The measurement to make: two runs of the same work give the same tally.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    schema: String,
    weights_sha256: String,
    operations: String,
    source: QuestionSource,
    block: u64,
    decode: String,
    keep: usize,
}

impl Work {
    /// The work of asking these questions of this model.
    pub fn new(folder: &ModelFolder, questions: &Questions, decode: Decode, keep: usize) -> Self {
        Work {
            schema: SCHEMA.into(),
            weights_sha256: folder.weights_sha256.clone(),
            operations: folder.operations().to_string(),
            source: questions.source(),
            block: BLOCK,
            decode: decode.name().into(),
            keep,
        }
    }

    /// A file name unique to this work on so many questions.
    pub fn file_name(&self, questions: u64) -> String {
        let text = serde_json::to_string(self).expect("work has string keys");
        let digest = Sha256::digest(format!("{text}\n{questions}"));
        let short: String = digest[..8].iter().map(|b| format!("{b:02x}")).collect();
        format!("accuracy-{short}.resume.json")
    }
}

/// Why a measurement cannot be made, saved or resumed.
#[derive(Debug, Error)]
pub enum SavedError {
    /// The path has no file name.
    #[error("{path:?} has no file name")]
    NoName { path: PathBuf },
    /// Another process saves to it.
    #[error("{}: in use by another circuitcheck accuracy: {held}", .path.display())]
    Held {
        path: PathBuf,
        /// The lock's holder.
        held: LockError,
    },
    /// It cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A run failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It cannot be read.
    #[error("{file}: {reason}")]
    Unreadable { file: String, reason: String },
    /// It belongs to other work.
    #[error(
        "{file}: contains a different measurement ({key}: found {found}, requested {asked}); choose another file or remove it"
    )]
    OtherWork {
        file: String,
        key: String,
        /// The value in the file.
        found: String,
        asked: String,
    },
    /// It holds more questions than requested, or an incomplete block.
    #[error(
        "{file}: contains {done} questions, which are not a valid part of the {asked} requested; choose another file or remove it"
    )]
    OtherLength { file: String, done: u64, asked: u64 },
}

/// The progress of a measurement.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    work: Work,
    /// Questions asked, from the start of the sequence.
    done: u64,
    tally: AccuracyTally,
}

impl Saved {
    pub fn nothing(work: Work) -> Self {
        Saved {
            work,
            done: 0,
            tally: AccuracyTally::default(),
        }
    }

    pub fn done(&self) -> u64 {
        self.done
    }

    /// The first block not yet asked.
    pub fn next_block(&self) -> u64 {
        self.done.div_ceil(BLOCK)
    }

    /// The tally of the questions asked.
    pub fn tally(&self) -> &AccuracyTally {
        &self.tally
    }

    /// Adds the tally of the next blocks.
    pub fn add(&mut self, tally: AccuracyTally) {
        self.done += tally.total().trials;
        self.tally.merge(tally, self.work.keep);
    }

    /// Reads the file at `path`, if it exists, and checks that it is part of this work on so many
    /// questions. A random sequence may have been extended, provided that whole blocks were asked.
    ///
    /// # Errors
    /// [`SavedError`].
    pub fn read(
        path: &Path,
        work: &Work,
        questions: &Questions,
    ) -> Result<Option<Self>, SavedError> {
        let file = path.display().to_string();
        match read_result(path) {
            Ok(json) => Self::from_json(file, &json, work, questions).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SavedError::Unreadable {
                file,
                reason: error.to_string(),
            }),
        }
    }

    /// As [`read`](Self::read), of the content of a file that errors call `file`.
    ///
    /// # Errors
    /// [`SavedError`].
    pub fn from_json(
        file: String,
        json: &[u8],
        work: &Work,
        questions: &Questions,
    ) -> Result<Self, SavedError> {
        let unreadable = |reason: String| SavedError::Unreadable {
            file: file.clone(),
            reason,
        };
        let saved: Saved = read_json(json).map_err(|error| unreadable(error.to_string()))?;
        if let Some((key, found, asked)) = first_difference(&saved.work, work) {
            return Err(SavedError::OtherWork {
                file,
                key,
                found,
                asked,
            });
        }
        if saved.tally.total().trials != saved.done {
            return Err(unreadable(format!(
                "states that {} questions were asked, but counts {}",
                saved.done,
                saved.tally.total().trials
            )));
        }
        let asked = questions.len();
        let whole_blocks = saved.done.is_multiple_of(BLOCK) && saved.done <= asked;
        if !whole_blocks && saved.done != asked {
            let done = saved.done;
            return Err(SavedError::OtherLength { file, done, asked });
        }
        Ok(saved)
    }

    /// Writes the file at `path` atomically.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn write(&self, path: &Path) -> Result<(), OutputError> {
        let unwritable = || OutputError {
            path: path.to_owned(),
            reason: std::io::Error::from(std::io::ErrorKind::InvalidFilename),
        };
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(unwritable)?;
        let text = serde_json::to_string(self).expect("what is saved has string keys");
        write_files(folder_of(path), &[(name, text + "\n")])
    }
}

/// The folder a file is in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The first key in which two pieces of work differ, with both values.
fn first_difference(found: &Work, asked: &Work) -> Option<(String, String, String)> {
    let value = |work: &Work| serde_json::to_value(work).expect("work has string keys");
    let (found, asked) = (value(found), value(asked));
    let keys = asked.as_object().expect("work is an object").keys();
    keys.into_iter()
        .find(|key| found[*key] != asked[*key])
        .map(|key| (key.clone(), found[key].to_string(), asked[key].to_string()))
}
