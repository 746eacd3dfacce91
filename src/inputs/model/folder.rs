//! A model as published: a folder of files that must agree with each other.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use super::agreement::{Agreement, NameContradiction, OperationsFrom};
use super::files::{
    Content, Disguise, FEATURES, Files, PTH, RawFile, SAFETENSORS, TRAINING, sha256,
};
use super::name::ModelName;
use super::operations::Operations;
use super::pth::{PthError, entries_without_checksum, read_pth};
use super::safetensors::{SafetensorsError, read_safetensors};
use super::training::{TrainingError, TrainingRecord};
use super::weights::{Weights, WeightsError, are_layer_norms_folded};
use crate::domain::plain::one_line;

/// The name of the model that is part of this library.
pub const BUNDLED_NAME: &str = "w126_mix_d5_l3_h4_t40K_s372001";

/// The only activation function of the MLP that the published models use, and the network here.
const ACTIVATION: &str = "relu";

/// A model and what was published with it. Name, configuration and weights agree.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    /// The folder's name, or that of the flat files.
    pub name: String,
    /// What that name says or, if it isn't a model's name, the one in the configuration.
    pub model_name: Option<ModelName>,
    pub weights: Weights,
    /// Whether the file has no layer norm's weights, so that they were read as folded.
    pub folded_layer_norms: bool,
    /// What was read with doubts.
    pub warnings: Vec<LoadWarning>,
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

/// What is odd about a model that loads nevertheless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadWarning {
    /// The archive has no checksums for some of its entries.
    NoChecksums { file: PathBuf, entries: usize },
    /// Some losses of the training record are NaN or infinite.
    LossesNotFinite {
        file: PathBuf,
        losses: usize,
        batches: usize,
    },
}

impl fmt::Display for LoadWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChecksums { file, entries } => write!(
                f,
                "{}: {entries} entries of the archive have no checksum, so damage to them would go unseen",
                file.display()
            ),
            Self::LossesNotFinite {
                file,
                losses,
                batches,
            } => write!(
                f,
                "{}: {losses} of {batches} losses are NaN or infinite; the curve has gaps there",
                file.display()
            ),
        }
    }
}

/// Which model a result is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    pub model: String,
    /// SHA-256 of the weights file.
    pub weights_sha256: String,
}

/// Why a folder isn't a model. Each message is complete in itself: where another error is the
/// reason, it is part of the text.
#[derive(Debug, Error)]
pub enum LoadError {
    /// There is nothing at the path given.
    #[error("{}: no such folder or file", .path.display())]
    NotFound { path: PathBuf },
    /// The folder has no file of weights.
    #[error("{}: folder has neither {PTH} nor {SAFETENSORS}, nor another file of weights", .folder.display())]
    NoWeights { folder: PathBuf },
    /// The folder has several files of weights, none under a name that says which is meant.
    #[error(
        "{}: folder has several files of weights, {}, and none named {PTH} or {SAFETENSORS}",
        .folder.display(),
        .files.join(", ")
    )]
    SeveralWeights { folder: PathBuf, files: Vec<String> },
    /// The path is that of a file which isn't one of weights.
    #[error("{}: not a model's folder, nor a .pth, .pt or .safetensors file", .path.display())]
    NotAModel { path: PathBuf },
    /// The path is that of a folder where a file was expected, or of a device.
    #[error("{}: not a regular file", .file.display())]
    NotAFile { file: PathBuf },
    /// The operating system won't read it.
    #[error("{}: {reason}", .file.display())]
    Io {
        file: PathBuf,
        reason: std::io::Error,
    },
    /// The file is larger than any published.
    #[error("{}: file is {bytes} bytes, more than the {limit} that are read", .file.display())]
    TooLarge {
        file: PathBuf,
        bytes: u64,
        /// The largest size read.
        limit: u64,
    },
    /// The file is something else that stands in its place, as its first bytes say.
    #[error("{}: {disguise}", .file.display())]
    Disguised { file: PathBuf, disguise: Disguise },
    /// The file isn't a `.pth` file of tensors.
    #[error("{}: {reason}", .file.display())]
    Pth {
        file: PathBuf,
        /// Why not.
        reason: PthError,
    },
    /// The file isn't a `.safetensors` file of tensors.
    #[error("{}: {reason}", .file.display())]
    Safetensors {
        file: PathBuf,
        /// Why not.
        reason: SafetensorsError,
    },
    /// The tensors aren't those of a network.
    #[error("{}: {reason}", .file.display())]
    Weights {
        file: PathBuf,
        /// Why not.
        reason: WeightsError,
    },
    /// The training record can't be read.
    #[error("{}: {reason}", .file.display())]
    Training {
        file: PathBuf,
        /// Why not.
        reason: TrainingError,
    },
    /// The model has an activation function that this network doesn't.
    #[error("{}: Config.act_fn is {found:?}, only {ACTIVATION:?} is supported", .file.display())]
    Activation {
        /// The file that says so.
        file: PathBuf,
        found: String,
    },
    /// Nothing gives the operations the model was trained for.
    #[error(
        "{}: operations unknown: neither the name {name:?} nor Config.perc_add and perc_sub in {TRAINING} give them",
        .folder.display()
    )]
    Operations {
        folder: PathBuf,
        /// The model's name.
        name: String,
    },
    /// Two places say different things about the model.
    #[error("{}: {contradiction}", .folder.display())]
    Contradiction {
        folder: PathBuf,
        /// Who says what.
        contradiction: Box<NameContradiction>,
    },
}

impl ModelFolder {
    pub fn identity(&self) -> Identity {
        Identity {
            model: self.name.clone(),
            weights_sha256: self.weights_sha256.clone(),
        }
    }

    /// Opens a model's folder, or the file of its weights, whose operations its name or its training
    /// record gives.
    ///
    /// In a folder, `model.pth` is read or, where there is none, `model.safetensors`: if there are
    /// both, the first is what was published. Where there is neither, the folder's only file of
    /// weights is read, whatever its name. Beside a flat file `<name>.pth` or
    /// `<name>.safetensors` the others are `<name>_train.json`, `<name>_behavior.json` and
    /// `<name>_maths.json` (the features under their older name). All but the weights may be
    /// missing.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        Self::open_with(path, None, &OperationsFrom::Files(&|_| None))
    }

    /// As [`open`](Self::open), of a model with this name, whatever its folder or file is called,
    /// and with its operations from here.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn open_with(
        path: &Path,
        name: Option<&str>,
        operations: &OperationsFrom<'_>,
    ) -> Result<Self, LoadError> {
        let mut files = Files::find(path)?;
        if let Some(name) = name {
            name.clone_into(&mut files.name);
        }
        Self::from_files(&files.read()?, operations)
    }

    /// The model that is part of this library, [`BUNDLED_NAME`].
    pub fn bundled() -> Self {
        macro_rules! bundled {
            ($file:literal) => {
                Some(Content {
                    path: Path::new("bundled").join(BUNDLED_NAME).join($file),
                    bytes: include_bytes!(concat!(
                        "../../../models/w126_mix_d5_l3_h4_t40K_s372001/",
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
        Self::from_files(&files, &OperationsFrom::Files(&|_| None))
            .expect("the bundled model loads, as a test holds")
    }

    /// A model made in code, with the content of its `features.json`. In place of a file's, the
    /// SHA-256 of its weights is that of the tensors in the order of their names, each as its name and
    /// its little-endian elements.
    pub fn from_weights(
        name: &str,
        weights: Weights,
        operations: Operations,
        features: Vec<u8>,
    ) -> Self {
        let mut bytes = Vec::new();
        for (tensor, array) in weights.iter() {
            bytes.extend_from_slice(tensor.as_bytes());
            bytes.extend(array.data().iter().flat_map(|weight| weight.to_le_bytes()));
        }
        let features = Content {
            path: Path::new(name).join(FEATURES),
            bytes: features,
        };
        Self {
            name: one_line(name).into_owned(),
            model_name: None,
            weights_sha256: sha256(&bytes),
            weights,
            folded_layer_norms: false,
            warnings: Vec::new(),
            training: None,
            features: Some(features.to_raw()),
            behaviors: None,
            operations,
        }
    }

    /// The operations the model was trained for.
    pub const fn operations(&self) -> Operations {
        self.operations
    }

    fn from_files<B: AsRef<[u8]>>(
        files: &Files<Content<B>>,
        operations: &OperationsFrom<'_>,
    ) -> Result<Self, LoadError> {
        let weights_file = files.weights.as_ref().ok_or_else(|| LoadError::NoWeights {
            folder: files.shown.clone(),
        })?;
        let (weights, folded_layer_norms) = read_weights(weights_file)?;
        let training = files.training.as_ref().map(read_training).transpose()?;
        let mut warnings = Vec::new();
        let entries = entries_without_checksum(weights_file.bytes.as_ref());
        if entries > 0 {
            let file = weights_file.path.clone();
            warnings.push(LoadWarning::NoChecksums { file, entries });
        }
        if let (Some(record), Some(file)) = (&training, &files.training) {
            let is_gap = |loss: &&f32| !loss.is_finite();
            let losses = record.training_loss.iter().filter(is_gap).count();
            if losses > 0 {
                warnings.push(LoadWarning::LossesNotFinite {
                    file: file.path.clone(),
                    losses,
                    batches: record.training_loss.len(),
                });
            }
        }
        let agreed = Agreement::reach(files, &weights, training.as_ref(), operations)?;
        Ok(Self {
            name: one_line(&files.name).into_owned(),
            model_name: agreed.model_name,
            operations: agreed.operations,
            weights,
            folded_layer_norms,
            warnings,
            weights_sha256: sha256(weights_file.bytes.as_ref()),
            training,
            features: files.features.as_ref().map(Content::to_raw),
            behaviors: files.behaviors.as_ref().map(Content::to_raw),
        })
    }
}

/// The weights, and whether their layer norms are folded.
fn read_weights<B: AsRef<[u8]>>(content: &Content<B>) -> Result<(Weights, bool), LoadError> {
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
    let folded = are_layer_norms_folded(arrays.keys());
    let weights = Weights::from_arrays(arrays).map_err(|reason| LoadError::Weights {
        file: file.clone(),
        reason,
    })?;
    Ok((weights, folded))
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
