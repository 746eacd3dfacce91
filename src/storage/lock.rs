//! Locks: only one process at a time may do one thing in one place.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::files::OutputError;

/// A file lock that no other process can hold until this value is dropped or the process ends.
///
/// The file is not removed when the lock is released. Otherwise one process could still hold a file
/// that another has replaced.
#[derive(Debug)]
pub struct Lock {
    /// Open, and therefore locked, for as long as this value lives.
    _file: File,
}

/// Why a lock could not be taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{holder} holds {}", .path.display())]
    Held {
        /// The other process, by the name it gave itself.
        holder: String,
        /// The file it holds.
        path: PathBuf,
    },
    /// The lock file cannot be created.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl Lock {
    /// Locks the file at `path`, creating it and its folder if necessary. On a file system without
    /// locks this succeeds, but keeps no other process out.
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
    // A link would have the file that it leads to overwritten.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW);
    options.open(path).map_err(|error| match path.is_symlink() {
        true => io::Error::new(
            error.kind(),
            "a symbolic link, and a lock must be a file; remove it",
        ),
        false => error,
    })
}

/// Whether an error means that the file system does not support locks, as on a network share
/// without a lock service.
fn knows_no_locks(error: &io::Error) -> bool {
    /// ENOLCK, which the standard library has no name for.
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

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (
            folder.path().join(".work.lock"),
            folder.path().join("precious"),
        );
        fs::write(&target, "kept").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        let refused = Lock::take(&path).unwrap_err().to_string();
        assert!(
            refused.contains(".work.lock: cannot be written: a symbolic link"),
            "{refused}"
        );
        assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
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
        const TAKINGS: usize = 50;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".work.lock");
        let (inside, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let start = Barrier::new(THREADS);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    start.wait();
                    let mut own = 0;
                    while own < TAKINGS {
                        let Ok(_lock) = Lock::take(&path) else {
                            thread::yield_now();
                            continue;
                        };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        own += 1;
                        taken.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(taken.into_inner(), TAKINGS * THREADS);
    }
}
