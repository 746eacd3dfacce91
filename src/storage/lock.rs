//! Locks: one process at a time does one thing in one place.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::files::OutputError;

/// A file that no other process can hold, until this is dropped or the process ends, however it ends.
///
/// The file stays when nobody holds it. Were it removed, one process could go on holding the file that
/// another replaces.
#[derive(Debug)]
pub struct Lock {
    /// Open, and so held, for as long as this lives.
    _file: File,
}

/// Why a lock was not got.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{holder} holds {}", .path.display())]
    Held {
        /// The other process, as it named itself.
        holder: String,
        /// The file it holds.
        path: PathBuf,
    },
    /// Its file cannot be made.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl Lock {
    /// Holds the file at `path`, making it and its folder where they are not there. Where a file system
    /// knows no locks there is nothing to hold, and nobody is kept away.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let unwritable = |reason| OutputError {
            path: path.to_owned(),
            reason,
        };
        let mut file = opened(path).map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {
                let named = (file.set_len(0))
                    .and_then(|()| writeln!(file, "process {}", std::process::id()));
                named.map_err(unwritable)?;
            }
            Err(TryLockError::WouldBlock) => {
                let named = fs::read_to_string(path).unwrap_or_default();
                return Err(LockError::Held {
                    holder: match named.trim() {
                        "" => "another process".to_owned(),
                        named => named.to_owned(),
                    },
                    path: path.to_owned(),
                });
            }
            Err(TryLockError::Error(error)) if knows_no_locks(&error) => {}
            Err(TryLockError::Error(reason)) => return Err(unwritable(reason).into()),
        }
        Ok(Self { _file: file })
    }
}

fn opened(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = File::options();
    options.create(true).read(true).write(true).truncate(false);
    options.open(path)
}

/// Whether an error says that there are no locks on this file system, as on a network's without a
/// service for them.
fn knows_no_locks(error: &io::Error) -> bool {
    /// ENOLCK, for which the standard library has no name.
    const NO_LOCKS_AVAILABLE: i32 = 37;
    let no_service = cfg!(target_os = "linux") && error.raw_os_error() == Some(NO_LOCKS_AVAILABLE);
    no_service || error.kind() == io::ErrorKind::Unsupported
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn what_is_held_is_not_given_to_another_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/.work.lock");
        let lock = Lock::take(&path).unwrap();
        let refused = Lock::take(&path).unwrap_err().to_string();
        let holder = format!("process {} holds ", std::process::id());
        assert!(refused.starts_with(&holder), "{refused}");
        assert!(refused.ends_with(".work.lock"), "{refused}");
        drop(lock);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn what_nobody_holds_can_be_had() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".work.lock");
        fs::write(&path, "process 1234567\n").unwrap();
        let _lock = Lock::take(&path).unwrap();
        let named = fs::read_to_string(&path).unwrap();
        assert_eq!(named, format!("process {}\n", std::process::id()));
    }

    #[test]
    fn of_many_who_try_again_and_again_no_two_have_it_at_once() {
        const THREADS: usize = 8;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".work.lock");
        let (inside, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let start = Barrier::new(THREADS);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..2000 {
                        let Ok(_lock) = Lock::take(&path) else {
                            continue;
                        };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        taken.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(taken.into_inner() >= 2000 / THREADS);
    }
}
