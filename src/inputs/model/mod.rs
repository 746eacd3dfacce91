//! Reads a published model: its name, its weights, how it was trained, and the files of claims
//! that lie beside it. Weights are also written.
//!
//! Every file is untrusted. Bytes become a validated type at one door per file
//! ([`ModelName`], [`TrainingRecord`], [`Weights`]), and [`ModelFolder`] is the door of the
//! whole: what it returns agrees with itself.

mod agreement;
mod array;
mod ask;
mod files;
mod folder;
mod hooked;
mod name;
mod operations;
mod pickle;
mod pth;
mod safetensors;
mod training;
mod weights;
mod write;

pub use agreement::{NameContradiction, OperationsFrom};
pub use array::{Array, ArrayError};
pub use ask::{AbsentSite, AskError};
pub use files::{
    Disguise, FLAT_ENDINGS, FOLDER_FILES, MAX_JSON_FILE_BYTES, MAX_MODEL_FILE_BYTES, RawFile,
    WEIGHTS_FILES, is_weights, sha256, without_mark,
};
pub use folder::{BUNDLED_NAME, Identity, LoadError, LoadWarning, ModelFolder};
pub use hooked::{HookedConfig, HookedError};
pub use name::{ModelName, NameError};
pub use operations::{Operations, OperationsError};
pub use pickle::PickleError;
pub use pth::{MAX_PICKLE_BYTES, PthError, read_pth};
pub use safetensors::{SafetensorsError, read_safetensors};
pub use training::{TrainingError, TrainingRecord};
pub use weights::{Weights, WeightsError};
pub use write::{write_pth, write_safetensors};
