//! Finds and reads the files of a model, in either layout they are published in.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::folder::LoadError;

/// Largest file of weights read. Four layers of the published width take 56 MB, and twice that in
/// float64. A hostile file takes six times its length in memory: itself, its storages, and a float32
/// for every byte.
pub const MAX_MODEL_FILE_BYTES: u64 = 128 << 20;

/// Largest JSON file read. The losses of 40,000 batches take 0.9 MB.
pub const MAX_JSON_FILE_BYTES: u64 = 64 << 20;

pub(super) const PTH: &str = "model.pth";
pub(super) const SAFETENSORS: &str = "model.safetensors";
pub(super) const TRAINING: &str = "training_loss.json";
const BEHAVIORS: &str = "behaviors.json";
pub(super) const FEATURES: &str = "features.json";

/// How the names of files of weights end.
const WEIGHTS_ENDINGS: [&str; 3] = ["pth", "pt", "safetensors"];

/// The names of the file of weights in a model's folder, the one that is read where there are both
/// first.
pub const WEIGHTS_FILES: [&str; 2] = [PTH, SAFETENSORS];

/// The other files of a model's folder: training record, claims, behaviours.
pub const FOLDER_FILES: [&str; 3] = [TRAINING, FEATURES, BEHAVIORS];

/// What stands for them in the flat layout, as in `<name>_train.json`.
pub const FLAT_ENDINGS: [&str; 3] = ["train", "maths", "behavior"];

/// What a file may be instead of what its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Disguise {
    #[error("a git-LFS pointer and not the file itself; fetch that with `git lfs pull`")]
    LfsPointer,
    #[error("compressed with gzip; unpack it first")]
    Gzip,
    #[error(
        "a web page and not the file itself; download the file again, by its \"resolve\" address on the hub"
    )]
    WebPage,
    #[error("text in UTF-16; save it as UTF-8")]
    Utf16,
}

impl Disguise {
    fn of(bytes: &[u8]) -> Option<Self> {
        let kinds: [(&[u8], Self); 6] = [
            (
                b"version https://git-lfs.github.com/spec/",
                Self::LfsPointer,
            ),
            (b"\x1f\x8b", Self::Gzip),
            (b"<!DOCTYPE html", Self::WebPage),
            (b"<html", Self::WebPage),
            (b"\xff\xfe", Self::Utf16),
            (b"\xfe\xff", Self::Utf16),
        ];
        let found = kinds
            .into_iter()
            .find(|(start, _)| bytes.starts_with(start));
        found.map(|(_, disguise)| disguise)
    }
}

/// The text after a byte order mark, which Windows' editors put at its beginning.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// A file as it was found, not yet read for what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFile {
    /// Where it was found, to be shown.
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    /// SHA-256 of the content, in hex.
    pub sha256: String,
}

impl RawFile {
    /// A file made in memory, to be shown as lying at `path`.
    pub fn made(path: &Path, bytes: Vec<u8>) -> Self {
        Content {
            path: path.to_owned(),
            bytes,
        }
        .to_raw()
    }

    /// Reads a JSON file that lies anywhere.
    ///
    /// # Errors
    /// [`LoadError::Io`], [`LoadError::NotAFile`], [`LoadError::TooLarge`] or [`LoadError::Disguised`].
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let content = Content {
            path: path.to_owned(),
            bytes: read_file(path, MAX_JSON_FILE_BYTES)?,
        };
        Ok(content.to_raw())
    }
}

/// The files of a model: their paths, or their contents.
pub(super) struct Files<T> {
    pub(super) name: String,
    /// The folder or flat file, to be shown.
    pub(super) shown: PathBuf,
    pub(super) weights: Option<T>,
    pub(super) training: Option<T>,
    pub(super) features: Option<T>,
    pub(super) behaviors: Option<T>,
}

pub(super) struct Content<B> {
    pub(super) path: PathBuf,
    pub(super) bytes: B,
}

impl<B: AsRef<[u8]>> Content<B> {
    pub(super) fn to_raw(&self) -> RawFile {
        let bytes = self.bytes.as_ref();
        RawFile {
            path: self.path.clone(),
            bytes: bytes.to_vec(),
            sha256: sha256(bytes),
        }
    }
}

impl Files<PathBuf> {
    pub(super) fn find(path: &Path) -> Result<Self, LoadError> {
        if path.is_dir() {
            return Self::in_folder(path);
        }
        if !path.exists() {
            return Err(LoadError::NotFound {
                path: path.to_owned(),
            });
        }
        let stem = match path.file_stem() {
            Some(stem) if is_weights(path) => stem.to_string_lossy().into_owned(),
            _ => {
                return Err(LoadError::NotAModel {
                    path: path.to_owned(),
                });
            }
        };
        // The folder layout's own file was named: its folder is meant, but with these weights.
        if path
            .file_name()
            .is_some_and(|name| WEIGHTS_FILES.iter().any(|file| name == *file))
        {
            let folder = match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            return Ok(Self::with_weights(folder, Some(path.to_owned())));
        }
        let beside = |ending: &str| existing(path.with_file_name(format!("{stem}_{ending}.json")));
        let [training, features, behaviors] = FLAT_ENDINGS.map(beside);
        Ok(Self {
            shown: path.to_owned(),
            weights: Some(path.to_owned()),
            training,
            features,
            behaviors,
            name: stem,
        })
    }

    fn in_folder(folder: &Path) -> Result<Self, LoadError> {
        let usual = WEIGHTS_FILES
            .into_iter()
            .find_map(|file| existing(folder.join(file)));
        let weights = match usual {
            Some(path) => Some(path),
            None => only_weights(folder)?,
        };
        Ok(Self::with_weights(folder, weights))
    }

    fn with_weights(folder: &Path, weights: Option<PathBuf>) -> Self {
        // A path such as `.` names its folder only once it is resolved.
        let resolved = folder
            .canonicalize()
            .unwrap_or_else(|_| folder.to_path_buf());
        let name = folder.file_name().or(resolved.file_name());
        let within = |file: &str| existing(folder.join(file));
        let [training, features, behaviors] = FOLDER_FILES.map(within);
        Self {
            name: name.map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            shown: folder.to_owned(),
            weights,
            training,
            features,
            behaviors,
        }
    }

    pub(super) fn read(self) -> Result<Files<Content<Vec<u8>>>, LoadError> {
        let read = |path: Option<PathBuf>, limit: u64| {
            path.map(|path| {
                let bytes = read_file(&path, limit)?;
                Ok(Content { path, bytes })
            })
            .transpose()
        };
        Ok(Files {
            name: self.name,
            shown: self.shown,
            weights: read(self.weights, MAX_MODEL_FILE_BYTES)?,
            training: read(self.training, MAX_JSON_FILE_BYTES)?,
            features: read(self.features, MAX_JSON_FILE_BYTES)?,
            behaviors: read(self.behaviors, MAX_JSON_FILE_BYTES)?,
        })
    }
}

/// Whether a file is one of weights, by its name.
pub fn is_weights(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| WEIGHTS_ENDINGS.iter().any(|known| ending == *known))
}

/// The folder's only file of weights, under whatever name.
fn only_weights(folder: &Path) -> Result<Option<PathBuf>, LoadError> {
    let io = |reason| LoadError::Io {
        file: folder.to_owned(),
        reason,
    };
    let mut found = Vec::new();
    for entry in folder.read_dir().map_err(io)? {
        let path = entry.map_err(io)?.path();
        if is_weights(&path) && path.is_file() {
            found.push(path);
        }
    }
    if found.len() > 1 {
        let mut files: Vec<String> = found
            .iter()
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        files.sort();
        return Err(LoadError::SeveralWeights {
            folder: folder.to_owned(),
            files,
        });
    }
    Ok(found.pop())
}

/// The path, unless nothing is there. A dangling link counts as there, so that it's reported.
fn existing(path: PathBuf) -> Option<PathBuf> {
    path.symlink_metadata().is_ok().then_some(path)
}

fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, LoadError> {
    let io = |reason| LoadError::Io {
        file: path.to_owned(),
        reason,
    };
    // Before opening: to open a pipe is to wait for its writer.
    let metadata = path.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(LoadError::NotAFile {
            file: path.to_owned(),
        });
    }
    let too_large = |bytes| LoadError::TooLarge {
        file: path.to_owned(),
        bytes,
        limit,
    };
    if metadata.len() > limit {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(io)?;
    // It may have grown since.
    if bytes.len() as u64 > limit {
        return Err(too_large(bytes.len() as u64));
    }
    match Disguise::of(&bytes) {
        None => Ok(bytes),
        Some(disguise) => Err(LoadError::Disguised {
            file: path.to_owned(),
            disguise,
        }),
    }
}

/// SHA-256 in lowercase hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
