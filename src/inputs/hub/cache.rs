//! The folder of fetched files, laid out as Python's `huggingface_hub` lays it out, so that both use the
//! same copies: `blobs/` by content, `snapshots/<commit>/` with links to them, `refs/` from revision to
//! commit.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::address::is_name;
use super::error::HubError;
use crate::storage::{OutputError, write_files};

/// The part of the cache that holds one repository.
pub(super) struct RepositoryCache {
    root: PathBuf,
    name: String,
}

impl RepositoryCache {
    pub(super) fn new(root: &Path, repository: &str) -> Self {
        Self {
            root: root.to_owned(),
            name: format!("models--{}", repository.replace('/', "--")),
        }
    }

    /// The folder of the whole cache.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn folder(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder().join("blobs").join(etag)
    }

    /// Where a file is being fetched to.
    pub(super) fn incomplete(&self, etag: &str) -> PathBuf {
        self.folder()
            .join("blobs")
            .join(format!("{etag}.incomplete"))
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder().join("snapshots").join(commit)
    }

    /// The commit that a revision stood for when it was last asked about, or itself if it is one.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        let known = fs::read_to_string(self.folder().join("refs").join(revision)).ok();
        let known = known.map(|commit| commit.trim().to_owned());
        known.filter(|commit| is_name(commit)).or_else(|| {
            self.snapshot(revision)
                .is_dir()
                .then(|| revision.to_owned())
        })
    }

    /// Remembers which commit a revision stands for.
    pub(super) fn remember(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        if revision == commit {
            return Ok(());
        }
        let path = self.folder().join("refs").join(revision);
        if fs::read_to_string(&path).is_ok_and(|known| known == commit) {
            return Ok(());
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Readable by other users of a shared cache, as the rest of it.
        write_files(parent(&path), &[(&*name, commit)])
            .map_err(|OutputError { path, reason }| HubError::Cache { path, reason })
    }

    /// Keeps other processes, Python's among them, from fetching the same content at the same time. Waits
    /// for one that does.
    pub(super) fn lock(&self, etag: &str) -> Result<File, HubError> {
        let path = (self.root.join(".locks").join(&self.name)).join(format!("{etag}.lock"));
        let lock = || -> io::Result<File> {
            fs::create_dir_all(parent(&path))?;
            let file = File::options().create(true).append(true).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(failed(&path))
    }

    /// Makes the content appear under a file's name in a snapshot.
    pub(super) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<(), HubError> {
        let path = self.snapshot(commit).join(file);
        let up = "../".repeat(file.matches('/').count() + 2);
        let target = PathBuf::from(format!("{up}blobs/{etag}"));
        let link = || -> io::Result<()> {
            fs::create_dir_all(parent(&path))?;
            match symlink(&target, &path) {
                // Another process was as quick, or an older link leads nowhere.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if fs::read_link(&path).is_ok_and(|old| old == target) {
                        return Ok(());
                    }
                    fs::remove_file(&path)?;
                    symlink(&target, &path)
                }
                // Windows lets few users link. huggingface_hub copies there too.
                Err(_) if cfg!(not(unix)) => fs::copy(self.blob(etag), &path).map(drop),
                other => other,
            }
        };
        link().map_err(failed(&path))
    }

    /// The files of a snapshot.
    pub(super) fn files(&self, commit: &str) -> Vec<String> {
        let root = self.snapshot(commit);
        let mut files = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                // A link whose content is gone is no file.
                if path.is_dir() {
                    folders.push(path);
                } else if path.is_file()
                    && let Ok(within) = path.strip_prefix(&root)
                {
                    files.push(within.to_string_lossy().replace('\\', "/"));
                }
            }
        }
        files.sort();
        files
    }
}

#[cfg(unix)]
fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("paths in the cache have a parent")
}

/// Tells which path the system's error is about.
pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> HubError + use<> {
    let path = path.to_owned();
    move |reason| HubError::Cache { path, reason }
}
