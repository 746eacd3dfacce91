//! The folder in which shards leave their results: one file each, whole or not there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::plan::ShardPlan;
use super::result::{MergeError, Merged, ShardResult};
use crate::storage::lock::{Lock, LockError};
use crate::storage::{OutputError, write_files};

/// The results of one plan's shards.
pub struct Store<'a> {
    plan: &'a ShardPlan,
    digest: String,
    folder: PathBuf,
}

/// What is wrong with results in a folder.
#[derive(Debug, Error)]
pub enum ShardStoreError {
    /// A file cannot be read.
    #[error("{}: {reason}", .file.display())]
    Unreadable {
        file: PathBuf,
        /// What the operating system says.
        reason: io::Error,
    },
    /// A file is not what its name says.
    #[error("{}: {reason}", .file.display())]
    Wrong { file: PathBuf, reason: MergeError },
    /// A result cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// Another process does the same shard.
    #[error("shard {shard} is being worked at by {holder}, which holds {}", .lock.display())]
    Held {
        shard: u64,
        /// The other process, as it named itself.
        holder: String,
        /// The file it holds.
        lock: PathBuf,
    },
    /// Some shards are not done.
    #[error("{} of {shards} shards are not done: {}", .missing.len(), indices(.missing))]
    Missing {
        /// Those that are not.
        missing: Vec<u64>,
        /// How many there are.
        shards: usize,
    },
}

impl<'a> Store<'a> {
    /// The results of a plan in a folder, which need not be there yet.
    pub fn new(plan: &'a ShardPlan, folder: &Path) -> Self {
        Self {
            plan,
            digest: plan.digest(),
            folder: folder.to_owned(),
        }
    }

    fn name(shard: u64) -> String {
        format!("shard-{shard}.json")
    }

    fn part_name(shard: u64) -> String {
        format!("shard-{shard}.part.json")
    }

    /// Keeps other processes from doing a shard, until what is returned is dropped or the process ends,
    /// however it ends.
    ///
    /// # Errors
    /// [`ShardStoreError::Held`] where another does it, [`ShardStoreError::Output`].
    pub fn hold(&self, shard: u64) -> Result<Lock, ShardStoreError> {
        let lock = self.folder.join(format!("shard-{shard}.lock"));
        // Where a file system knows no locks, whole files written at once have to do: two workers at one
        // shard do the same twice.
        Lock::take(&lock).map_err(|error| match error {
            LockError::Held { holder, path } => ShardStoreError::Held {
                shard,
                holder,
                lock: path,
            },
            LockError::Output(error) => error.into(),
        })
    }

    fn read(&self, shard: u64, name: &str) -> Result<Option<ShardResult>, ShardStoreError> {
        let file = self.folder.join(name);
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(reason) => return Err(ShardStoreError::Unreadable { file, reason }),
        };
        match ShardResult::read(self.plan, &self.digest, shard, &bytes) {
            Ok(result) => Ok(Some(result)),
            Err(reason) => Err(ShardStoreError::Wrong { file, reason }),
        }
    }

    /// The result of a shard, if all of it is done.
    ///
    /// # Errors
    /// [`ShardStoreError`], where there is something else in its place.
    pub fn result(&self, shard: u64) -> Result<Option<ShardResult>, ShardStoreError> {
        let Some(result) = self.read(shard, &Self::name(shard))? else {
            return Ok(None);
        };
        let pieces = self.plan.shard(shard).unwrap_or_default();
        if let Some(piece) = result.remaining(pieces).first() {
            return Err(ShardStoreError::Wrong {
                file: self.folder.join(Self::name(shard)),
                reason: MergeError::OtherBlocks {
                    shard,
                    fault: format!("block {} of model {} is missing", piece.from, piece.model),
                },
            });
        }
        Ok(Some(result))
    }

    /// What an earlier process did of a shard, or nothing.
    ///
    /// # Errors
    /// [`ShardStoreError`], where there is something else in its place.
    pub fn part(&self, shard: u64) -> Result<ShardResult, ShardStoreError> {
        let part = self.read(shard, &Self::part_name(shard))?;
        Ok(part.unwrap_or_else(|| ShardResult::nothing(self.plan, shard)))
    }

    /// Keeps what is done of a shard, for a process that goes on with it.
    ///
    /// # Errors
    /// [`ShardStoreError::Output`].
    pub fn keep_part(&self, shard: u64, part: &ShardResult) -> Result<(), ShardStoreError> {
        Ok(write_files(
            &self.folder,
            &[(&Self::part_name(shard), part.to_json())],
        )?)
    }

    /// Keeps the result of a whole shard.
    ///
    /// # Errors
    /// [`ShardStoreError::Output`].
    pub fn keep(&self, shard: u64, result: &ShardResult) -> Result<(), ShardStoreError> {
        write_files(&self.folder, &[(&Self::name(shard), result.to_json())])?;
        // Where it stays it is never looked at again.
        let _ = fs::remove_file(self.folder.join(Self::part_name(shard)));
        Ok(())
    }

    /// The shards of which there is no result.
    ///
    /// # Errors
    /// [`ShardStoreError`], where there is something else in the place of one.
    pub fn missing(&self) -> Result<Vec<u64>, ShardStoreError> {
        let mut missing = Vec::new();
        for shard in 0..self.plan.shards() as u64 {
            if self.result(shard)?.is_none() {
                missing.push(shard);
            }
        }
        Ok(missing)
    }

    /// The results of all shards, put together: one for each model of the plan.
    ///
    /// # Errors
    /// [`ShardStoreError`], where one is missing or not of this plan.
    pub fn merge(&self) -> Result<Vec<Merged>, ShardStoreError> {
        let mut merged = vec![Merged::default(); self.plan.models().len()];
        let mut missing = Vec::new();
        for shard in 0..self.plan.shards() as u64 {
            match self.result(shard)? {
                Some(result) => result.add_to(&mut merged, self.plan.keep()),
                None => missing.push(shard),
            }
        }
        if missing.is_empty() {
            Ok(merged)
        } else {
            let shards = self.plan.shards();
            Err(ShardStoreError::Missing { missing, shards })
        }
    }
}

/// Indices as schedulers take them: `0-2,7`.
pub fn indices(sorted: &[u64]) -> String {
    let mut text = String::new();
    for run in sorted.chunk_by(|one, next| one + 1 == *next) {
        let comma = if text.is_empty() { "" } else { "," };
        text += comma;
        match run {
            [one] => text += &one.to_string(),
            [first, .., last] => text += &format!("{first}-{last}"),
            [] => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_written_as_schedulers_take_them() {
        assert_eq!(indices(&[]), "");
        assert_eq!(indices(&[4]), "4");
        assert_eq!(indices(&[0, 1, 2, 7, 9, 10]), "0-2,7,9-10");
    }
}
