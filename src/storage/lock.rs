//! Locks: one process at a time does one thing in one place.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::files::OutputError;

/// A file that no other process can hold, until this is dropped or the process ends, however it ends.
///
/// Dropped, it removes the file, and the folders that were made for it and are empty. A process that is
/// killed leaves the file, which then nobody holds.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    /// Folders made for it, the deepest first.
    made: Vec<PathBuf>,
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
        let made: Vec<PathBuf> = (path.ancestors().skip(1))
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
            .map(Path::to_owned)
            .collect();
        loop {
            let lock = Self {
                file: opened(path).map_err(unwritable)?,
                path: path.to_owned(),
                made: made.clone(),
            };
            match lock.file.try_lock() {
                // Whoever held it before may have removed it since it was opened here.
                Ok(()) if !is_at(&lock.file, path) => {}
                Ok(()) => {
                    let named = (lock.file.set_len(0))
                        .and_then(|()| writeln!(&lock.file, "process {}", std::process::id()));
                    named.map_err(unwritable)?;
                    return Ok(lock);
                }
                Err(TryLockError::WouldBlock) => {
                    let named = fs::read_to_string(path).unwrap_or_default();
                    lock.leave();
                    return Err(LockError::Held {
                        holder: match named.trim() {
                            "" => "another process".to_owned(),
                            named => named.to_owned(),
                        },
                        path: path.to_owned(),
                    });
                }
                Err(TryLockError::Error(error)) if knows_no_locks(&error) => return Ok(lock),
                Err(TryLockError::Error(reason)) => return Err(unwritable(reason).into()),
            }
            lock.leave();
        }
    }

    /// Forgets what is another's.
    fn leave(mut self) {
        self.path = PathBuf::new();
        self.made.clear();
    }

    /// The file: a process that inherits it goes on holding it when this one is killed.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // What stays is in nobody's way. Elsewhere than on Unix, whether a file is still the one held
        // cannot be told, so it stays.
        if cfg!(unix) && is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
        for folder in &self.made {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Opens a file, making it and its folder where they are not there. A folder that was made for another
/// lock may go at any moment with it.
fn opened(path: &Path) -> io::Result<File> {
    const TRIES: usize = 100;
    let mut options = File::options();
    options.create(true).read(true).write(true).truncate(false);
    for _ in 1..TRIES {
        match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder)?;
                }
            }
            opened => return opened,
        }
    }
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

/// Whether a file is the one that `path` names now.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |found: io::Result<fs::Metadata>| found.ok().map(|found| (found.dev(), found.ino()));
    id(file.metadata()) == id(fs::metadata(path))
}

/// Whether a file is the one that `path` names now: elsewhere, none is removed by whoever held it.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn what_is_held_is_not_given_to_another_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/.work.lock");
        let lock = Lock::take(&path).unwrap();
        let refused = Lock::take(&path).unwrap_err().to_string();
        let holder = format!("process {} holds ", std::process::id());
        assert!(refused.starts_with(&holder), "{refused}");
        assert!(refused.ends_with(".work.lock"), "{refused}");
        drop(lock);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_has_something_else_in_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(&folder.path().join("deep/er/.work.lock")).unwrap();
        fs::write(folder.path().join("deep/result"), "").unwrap();
        drop(lock);
        assert!(!folder.path().join("deep/er").exists());
        assert!(folder.path().join("deep/result").exists());
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

    /// Locks are removed by whoever had them while others open them: none may then hold a file that is
    /// no longer there beside one who made a new one.
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
