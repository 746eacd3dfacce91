//! A model as published: a folder of files that must agree with each other.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::name::ModelName;
use super::operations::Operations;
use super::pth::{PthError, read_pth};
use super::safetensors::{SafetensorsError, read_safetensors};
use super::training::{TrainingError, TrainingRecord};
use super::weights::{Weights, WeightsError};
use crate::shape::{D_VOCAB, Shape};

/// Largest file of weights read. Four layers of the published width take 56 MB.
pub const MAX_MODEL_FILE_BYTES: u64 = 1 << 30;

/// Largest JSON file read. The losses of 40,000 batches take 0.9 MB.
pub const MAX_JSON_FILE_BYTES: u64 = 64 << 20;

/// The name of the model that is part of this library.
pub const BUNDLED_NAME: &str = "w126_mix_d5_l3_h4_t40K_s372001";

/// What published repositories of one model have before the model's name.
const REPOSITORY_PREFIX: &str = "QuantaMaths_";

/// The only activation function of the MLP that the published models use, and the network here.
const ACTIVATION: &str = "relu";

const PTH: &str = "model.pth";
const SAFETENSORS: &str = "model.safetensors";
const TRAINING: &str = "training_loss.json";
const BEHAVIORS: &str = "behaviors.json";
const FEATURES: &str = "features.json";

/// A model and what was published with it. Name, configuration and weights agree.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    /// The folder's name, or that of the flat files.
    pub name: String,
    /// What that name says or, if it isn't a model's name, the one in the configuration.
    pub model_name: Option<ModelName>,
    /// The network's weights.
    pub weights: Weights,
    /// SHA-256 of the file of weights, in hex.
    pub weights_sha256: String,
    /// How it was trained, if that was published.
    pub training: Option<TrainingRecord>,
    /// The claims of what nodes compute (`features.json`), if there are any.
    pub features: Option<RawFile>,
    /// The observations of what nodes do (`behaviors.json`), if there are any.
    pub behaviors: Option<RawFile>,
    operations: Operations,
}

/// A file as it was found, not yet read for what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFile {
    /// Where it was found, to be shown.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
    /// SHA-256 of the content, in hex.
    pub sha256: String,
}

/// Why a folder isn't a model. Each message is complete in itself: where another error is the
/// reason, it is part of the text.
#[derive(Debug, Error)]
pub enum LoadError {
    /// There is nothing at the path given.
    #[error("{}: no such folder or file", .path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// The folder has no file of weights.
    #[error("{}: folder has neither {PTH} nor {SAFETENSORS}", .folder.display())]
    NoWeights {
        /// The folder.
        folder: PathBuf,
    },
    /// The path is that of a file which isn't one of weights.
    #[error("{}: not a model's folder, nor its .pth or .safetensors file", .path.display())]
    NotAModel {
        /// The path.
        path: PathBuf,
    },
    /// The path is that of a folder where a file was expected, or of a device.
    #[error("{}: not a regular file", .file.display())]
    NotAFile {
        /// The path.
        file: PathBuf,
    },
    /// The operating system won't read it.
    #[error("{}: {reason}", .file.display())]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// What it says.
        reason: std::io::Error,
    },
    /// The file is larger than any published.
    #[error("{}: file is {bytes} bytes, more than the {limit} that are read", .file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Its size.
        bytes: u64,
        /// The largest size read.
        limit: u64,
    },
    /// The file isn't a `.pth` file of tensors.
    #[error("{}: {reason}", .file.display())]
    Pth {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: PthError,
    },
    /// The file isn't a `.safetensors` file of tensors.
    #[error("{}: {reason}", .file.display())]
    Safetensors {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: SafetensorsError,
    },
    /// The tensors aren't those of a network.
    #[error("{}: {reason}", .file.display())]
    Weights {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: WeightsError,
    },
    /// The training record can't be read.
    #[error("{}: {reason}", .file.display())]
    Training {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: TrainingError,
    },
    /// The model has an activation function that this network doesn't.
    #[error("{}: Config.act_fn is {found:?}, only {ACTIVATION:?} is supported", .file.display())]
    Activation {
        /// The file that says so.
        file: PathBuf,
        /// The function.
        found: String,
    },
    /// Nothing says which operations the model was trained for.
    #[error(
        "{}: neither the name {name:?} nor Config.perc_add and perc_sub in {TRAINING} say which operations the model was trained for",
        .folder.display()
    )]
    Operations {
        /// The folder or file.
        folder: PathBuf,
        /// The model's name.
        name: String,
    },
    /// Two places say different things about the model.
    #[error("{}: {contradiction}", .folder.display())]
    Contradiction {
        /// The folder or file.
        folder: PathBuf,
        /// Who says what.
        contradiction: Box<Contradiction>,
    },
}

/// Two places that say different things about a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// What they speak of.
    pub what: &'static str,
    /// The one value.
    pub left: String,
    /// Where it comes from.
    pub left_from: String,
    /// The other value.
    pub right: String,
    /// Where that comes from.
    pub right_from: String,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is {} by {}, but {} by {}",
            self.what, self.left, self.left_from, self.right, self.right_from
        )
    }
}

impl ModelFolder {
    /// Opens a model's folder, or the file of its weights.
    ///
    /// In a folder, `model.pth` is read or, where there is none, `model.safetensors`: if there are
    /// both, the first is what was published. Beside a flat file `<name>.pth` or
    /// `<name>.safetensors` the others are `<name>_train.json`, `<name>_behavior.json` and
    /// `<name>_maths.json` (the features under their older name). All but the weights may be
    /// missing.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        Self::from_files(&Files::find(path)?.read()?)
    }

    /// The model that is part of this library, [`BUNDLED_NAME`].
    pub fn bundled() -> Self {
        macro_rules! bundled {
            ($file:literal) => {
                Some(Content {
                    path: Path::new("bundled").join(BUNDLED_NAME).join($file),
                    bytes: include_bytes!(concat!(
                        "../../models/w126_mix_d5_l3_h4_t40K_s372001/",
                        $file
                    ))
                    .as_slice(),
                })
            };
        }
        let files = Files {
            name: BUNDLED_NAME.to_owned(),
            shown: Path::new("bundled").join(BUNDLED_NAME),
            weights: bundled!("model.pth"),
            training: bundled!("training_loss.json"),
            features: bundled!("features.json"),
            behaviors: bundled!("behaviors.json"),
        };
        Self::from_files(&files).expect("the bundled model loads, as a test holds")
    }

    /// The operations the model was trained for.
    pub const fn operations(&self) -> Operations {
        self.operations
    }

    fn from_files<B: AsRef<[u8]>>(files: &Files<Content<B>>) -> Result<Self, LoadError> {
        let weights_file = files.weights.as_ref().ok_or_else(|| LoadError::NoWeights {
            folder: files.shown.clone(),
        })?;
        let weights = read_weights(weights_file)?;
        let training = files.training.as_ref().map(read_training).transpose()?;
        let agreed = Agreement::reach(files, weights.shape(), training.as_ref())?;
        Ok(Self {
            name: files.name.clone(),
            model_name: agreed.model_name,
            operations: agreed.operations,
            weights,
            weights_sha256: sha256(weights_file.bytes.as_ref()),
            training,
            features: files.features.as_ref().map(Content::to_raw),
            behaviors: files.behaviors.as_ref().map(Content::to_raw),
        })
    }
}

/// The files of a model: their paths, or their contents.
struct Files<T> {
    name: String,
    /// The folder or flat file, to be shown.
    shown: PathBuf,
    weights: Option<T>,
    training: Option<T>,
    features: Option<T>,
    behaviors: Option<T>,
}

struct Content<B> {
    path: PathBuf,
    bytes: B,
}

impl<B: AsRef<[u8]>> Content<B> {
    fn to_raw(&self) -> RawFile {
        let bytes = self.bytes.as_ref();
        RawFile {
            path: self.path.clone(),
            bytes: bytes.to_vec(),
            sha256: sha256(bytes),
        }
    }
}

impl Files<PathBuf> {
    fn find(path: &Path) -> Result<Self, LoadError> {
        if path.is_dir() {
            return Ok(Self::in_folder(path));
        }
        if !path.exists() {
            return Err(LoadError::NotFound {
                path: path.to_owned(),
            });
        }
        let stem = match (path.file_stem(), path.extension()) {
            (Some(stem), Some(kind)) if kind == "pth" || kind == "safetensors" => {
                stem.to_string_lossy().into_owned()
            }
            _ => {
                return Err(LoadError::NotAModel {
                    path: path.to_owned(),
                });
            }
        };
        // The folder layout's own file was named: its folder is meant, but with these weights.
        if path
            .file_name()
            .is_some_and(|name| name == PTH || name == SAFETENSORS)
        {
            let folder = match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            return Ok(Self {
                weights: Some(path.to_owned()),
                ..Self::in_folder(folder)
            });
        }
        let beside = |ending: &str| existing(path.with_file_name(format!("{stem}_{ending}.json")));
        Ok(Self {
            shown: path.to_owned(),
            weights: Some(path.to_owned()),
            training: beside("train"),
            features: beside("maths"),
            behaviors: beside("behavior"),
            name: stem,
        })
    }

    fn in_folder(folder: &Path) -> Self {
        // A path such as `.` names its folder only once it is resolved.
        let resolved = folder
            .canonicalize()
            .unwrap_or_else(|_| folder.to_path_buf());
        let name = folder.file_name().or(resolved.file_name());
        let within = |file: &str| existing(folder.join(file));
        Self {
            name: name.map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            shown: folder.to_owned(),
            weights: within(PTH).or_else(|| within(SAFETENSORS)),
            training: within(TRAINING),
            features: within(FEATURES),
            behaviors: within(BEHAVIORS),
        }
    }

    fn read(self) -> Result<Files<Content<Vec<u8>>>, LoadError> {
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
    Ok(bytes)
}

fn read_weights<B: AsRef<[u8]>>(content: &Content<B>) -> Result<Weights, LoadError> {
    let file = &content.path;
    let bytes = content.bytes.as_ref();
    let arrays = if file.extension().is_some_and(|kind| kind == "safetensors") {
        read_safetensors(bytes).map_err(|reason| LoadError::Safetensors {
            file: file.clone(),
            reason,
        })?
    } else {
        read_pth(bytes).map_err(|reason| LoadError::Pth {
            file: file.clone(),
            reason,
        })?
    };
    Weights::from_arrays(arrays).map_err(|reason| LoadError::Weights {
        file: file.clone(),
        reason,
    })
}

fn read_training<B: AsRef<[u8]>>(content: &Content<B>) -> Result<TrainingRecord, LoadError> {
    let file = &content.path;
    let record = TrainingRecord::from_json(content.bytes.as_ref()).map_err(|reason| {
        LoadError::Training {
            file: file.clone(),
            reason,
        }
    })?;
    match &record.act_fn {
        Some(found) if found != ACTIVATION => Err(LoadError::Activation {
            file: file.clone(),
            found: found.clone(),
        }),
        _ => Ok(record),
    }
}

/// SHA-256 in lowercase hex.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What name, configuration and tensors say in common.
struct Agreement {
    model_name: Option<ModelName>,
    operations: Operations,
}

impl Agreement {
    fn reach<T>(
        files: &Files<T>,
        shape: Shape,
        training: Option<&TrainingRecord>,
    ) -> Result<Self, LoadError> {
        let folder = &files.shown;
        let published = files
            .name
            .strip_prefix(REPOSITORY_PREFIX)
            .unwrap_or(&files.name);
        let from_folder: Option<ModelName> = published.parse().ok();
        let config_text = training.and_then(|record| record.model_name.as_deref());
        let from_config: Option<ModelName> = config_text.and_then(|text| text.parse().ok());
        let folder_source = format!("the name {:?}", files.name);
        let config_source = format!("Config.model_name {:?}", config_text.unwrap_or_default());

        if let Some(name) = &from_folder {
            same(folder, name_and_tensors(name, &folder_source, shape))?;
        }
        if let Some(record) = training {
            same(folder, config_and_tensors(record, shape))?;
        }
        if let Some(name) = &from_config {
            same(folder, name_and_tensors(name, &config_source, shape))?;
        }
        if let (Some(left), Some(right)) = (&from_folder, &from_config) {
            let claims = [
                (
                    "operation",
                    left.operations.to_string(),
                    right.operations.to_string(),
                ),
                ("seed", left.seed.to_string(), right.seed.to_string()),
            ];
            same(
                folder,
                claims.map(|(what, left, right)| Contradiction {
                    what,
                    left,
                    left_from: folder_source.clone(),
                    right,
                    right_from: config_source.clone(),
                }),
            )?;
        }

        let (model_name, source) = match from_folder {
            Some(name) => (Some(name), folder_source),
            None => (from_config, config_source),
        };
        let by_name = model_name.as_ref().map(|name| name.operations);
        let by_config = training.and_then(TrainingRecord::operations);
        if let (Some(left), Some(right)) = (by_name, by_config) {
            same(
                folder,
                [Contradiction {
                    what: "operation",
                    left: left.to_string(),
                    left_from: source,
                    right: right.to_string(),
                    right_from: "Config.perc_add and perc_sub".to_owned(),
                }],
            )?;
        }
        let operations = by_name.or(by_config).ok_or_else(|| LoadError::Operations {
            folder: folder.clone(),
            name: files.name.clone(),
        })?;
        Ok(Self {
            model_name,
            operations,
        })
    }
}

/// The first of the pairs whose sides differ, as an error.
fn same(folder: &Path, pairs: impl IntoIterator<Item = Contradiction>) -> Result<(), LoadError> {
    match pairs.into_iter().find(|pair| pair.left != pair.right) {
        None => Ok(()),
        Some(contradiction) => Err(LoadError::Contradiction {
            folder: folder.to_owned(),
            contradiction: Box::new(contradiction),
        }),
    }
}

fn name_and_tensors(name: &ModelName, source: &str, shape: Shape) -> Vec<Contradiction> {
    with_tensors(
        |_| source.to_owned(),
        [
            ("n_digits", Some(name.digits), shape.n_digits),
            ("n_layers", Some(name.layers), shape.n_layers),
            ("n_heads", Some(name.heads), shape.n_heads),
            ("d_model", name.width, shape.d_model),
        ],
    )
}

fn config_and_tensors(record: &TrainingRecord, shape: Shape) -> Vec<Contradiction> {
    let mut pairs = with_tensors(
        |what| format!("Config.{what}"),
        [
            ("n_digits", record.n_digits, shape.n_digits),
            ("n_layers", record.n_layers, shape.n_layers),
            ("n_heads", record.n_heads, shape.n_heads),
            ("d_model", record.d_model, shape.d_model),
            ("d_head", record.d_head, shape.d_head),
            ("d_vocab", record.d_vocab, D_VOCAB),
        ],
    );
    let d_mlp = record
        .d_mlp_multiplier
        .map(|multiplier| multiplier.saturating_mul(shape.d_model));
    pairs.extend(with_tensors(
        |_| "Config.d_mlp_multiplier times d_model".to_owned(),
        [("d_mlp", d_mlp, shape.d_mlp)],
    ));
    pairs
}

/// Pairs of what a source says, where it says something, and what the tensors say.
fn with_tensors<const N: usize>(
    source: impl Fn(&str) -> String,
    claims: [(&'static str, Option<usize>, usize); N],
) -> Vec<Contradiction> {
    claims
        .into_iter()
        .filter_map(|(what, said, found)| {
            Some(Contradiction {
                what,
                left: said?.to_string(),
                left_from: source(what),
                right: found.to_string(),
                right_from: "its tensors".to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_model_loads_with_all_its_files() {
        let model = ModelFolder::bundled();
        assert_eq!(model.name, BUNDLED_NAME);
        assert_eq!(model.operations(), Operations::Mix);
        assert!(model.training.is_some() && model.features.is_some() && model.behaviors.is_some());
    }
}
