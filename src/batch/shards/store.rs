//! The folder of shard results: one file per shard, written atomically.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::plan::ShardPlan;
use super::result::{MergeError, Merged, ShardResult};
use crate::storage::lock::{Lock, LockError};
use crate::storage::{OutputError, read_result, write_files};

/// The results of one plan's shards.
pub struct Store<'a> {
    plan: &'a ShardPlan,
    digest: String,
    folder: PathBuf,
}

/// Errors in the results in a folder.
#[derive(Debug, Error)]
pub enum ShardStoreError {
    /// A file cannot be read.
    #[error("{}: {reason}", .file.display())]
    Unreadable {
        file: PathBuf,
        /// The operating system's error.
        reason: io::Error,
    },
    /// A file's content does not match its name.
    #[error("{}: {reason}", .file.display())]
    Wrong { file: PathBuf, reason: MergeError },
    /// A result cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// Another process is running the shard.
    #[error("shard {shard} is being worked at by {holder}, which holds {}", .lock.display())]
    Held {
        shard: u64,
        /// The other process, by the name it gave itself.
        holder: String,
        /// The lock file.
        lock: PathBuf,
    },
    /// Some shards are not done.
    #[error("{} of {shards} shards are not done: {}", .missing.len(), indices(.missing))]
    Missing {
        /// The missing shards.
        missing: Vec<u64>,
        /// Number of shards.
        shards: usize,
    },
}

impl<'a> Store<'a> {
    /// The results of a plan in a folder, which need not exist yet.
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

    /// Locks a shard against other processes, until the lock is dropped or the process ends.
    ///
    /// # Errors
    /// [`ShardStoreError::Held`] if another process is running it, [`ShardStoreError::Output`].
    pub fn hold(&self, shard: u64) -> Result<Lock, ShardStoreError> {
        let lock = self.folder.join(format!("shard-{shard}.lock"));
        // On a file system without locks, atomic writes have to suffice: two workers on one shard
        // do the same work twice.
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
        let bytes = match read_result(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(reason) => return Err(ShardStoreError::Unreadable { file, reason }),
        };
        match ShardResult::read(self.plan, &self.digest, shard, &bytes) {
            Ok(result) => Ok(Some(result)),
            Err(reason) => Err(ShardStoreError::Wrong { file, reason }),
        }
    }

    /// The result of a shard, if it is complete.
    ///
    /// # Errors
    /// [`ShardStoreError`] if its file is invalid.
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

    /// The part of a shard that an earlier process finished, possibly empty.
    ///
    /// # Errors
    /// [`ShardStoreError`] if its file is invalid.
    pub fn part(&self, shard: u64) -> Result<ShardResult, ShardStoreError> {
        let part = self.read(shard, &Self::part_name(shard))?;
        Ok(part.unwrap_or_else(|| ShardResult::nothing(self.plan, shard)))
    }

    /// Saves the finished part of a shard, so that another process can resume it.
    ///
    /// # Errors
    /// [`ShardStoreError::Output`].
    pub fn keep_part(&self, shard: u64, part: &ShardResult) -> Result<(), ShardStoreError> {
        Ok(write_files(
            &self.folder,
            &[(&Self::part_name(shard), part.to_json())],
        )?)
    }

    /// Saves the result of a complete shard.
    ///
    /// # Errors
    /// [`ShardStoreError::Output`].
    pub fn keep(&self, shard: u64, result: &ShardResult) -> Result<(), ShardStoreError> {
        write_files(&self.folder, &[(&Self::name(shard), result.to_json())])?;
        // If it cannot be removed, it is never read again.
        let _ = fs::remove_file(self.folder.join(Self::part_name(shard)));
        Ok(())
    }

    /// The shards without a result.
    ///
    /// # Errors
    /// [`ShardStoreError`] if a file is invalid.
    pub fn missing(&self) -> Result<Vec<u64>, ShardStoreError> {
        let mut missing = Vec::new();
        for shard in 0..self.plan.shards() as u64 {
            if self.result(shard)?.is_none() {
                missing.push(shard);
            }
        }
        Ok(missing)
    }

    /// The merged results of all shards, one for each model of the plan.
    ///
    /// # Errors
    /// [`ShardStoreError`] if a result is missing or belongs to another plan.
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

/// Indices in scheduler syntax: `0-2,7`.
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
