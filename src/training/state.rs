//! The state of an interrupted training, as one safetensors file.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};
use thiserror::Error;

use super::optimiser::AdamW;
use super::run::{Losses, Training};
use crate::inputs::model::{Array, Weights, WeightsError, sha256};
use crate::network::gradient::Tensors;

/// The key of the metadata that says of which training the state is.
const FINGERPRINT: &str = "training";

/// The key of the metadata that has the digest of all parts.
const DIGEST: &str = "sha256";

/// The parts of a state that have a tensor for each of the network's, before the name of that.
const WEIGHTS: &str = "weights.";
const MEANS: &str = "means.";
const SQUARES: &str = "squares.";
const AVERAGE: &str = "average.";

/// Why a file is no state to resume from.
#[derive(Debug, Error)]
pub enum StateError {
    /// It is not in the format.
    #[error("not the state of a training: {0}")]
    Format(#[from] SafeTensorError),
    /// It is of another training.
    #[error(
        "the state of a training with another name, other options or another --init; give the same ones, or remove it to start again"
    )]
    OtherTraining,
    /// It is longer than any state of this training.
    #[error("{length} bytes, and the state of this training has at most {most}")]
    TooLarge { length: u64, most: u64 },
    /// Its digest is another: the file is damaged.
    #[error("the state of a training, and damaged; remove it to start again")]
    Damaged,
    /// A part has another number of elements than the network and its batches call for.
    #[error(
        "the state of a training, whose part `{name}` has {found} elements, expected {expected}"
    )]
    Elements {
        name: String,
        found: usize,
        expected: usize,
    },
    /// Its weights are none.
    #[error("the state of a training: {0}")]
    Weights(#[from] WeightsError),
}

impl Training {
    /// Bytes of the longest state: four numbers for each weight, the losses, and names.
    pub(super) fn most_state_bytes(&self) -> u64 {
        /// Names, shapes and the digest of all parts.
        const HEADER: usize = 1 << 20;
        let weights: usize = self
            .weights
            .iter()
            .map(|(_, array)| array.data().len())
            .sum();
        // The total, each answer token's and each operation's.
        let losses = self.recipe.steps * (3 + self.recipe.shape.n_answer());
        (HEADER + size_of::<f32>() * (4 * weights + losses)) as u64
    }

    /// The state as bytes, from which [`Training::restore`] makes the same training.
    ///
    /// # Panics
    /// If the state fills more than the memory.
    pub(super) fn state(&self, fingerprint: &str) -> Vec<u8> {
        let mut parts: Vec<(String, &[f32])> = (self.weights.iter())
            .map(|(name, array)| (format!("{WEIGHTS}{name}"), array.data()))
            .collect();
        let put = |part: &str, tensors: &Tensors| -> Vec<(String, Vec<u8>)> {
            let named = |(name, data): (&String, &Vec<f32>)| (format!("{part}{name}"), bytes(data));
            tensors.iter().map(named).collect()
        };
        let mut stored = put(MEANS, &self.optimiser.means);
        stored.extend(put(SQUARES, &self.optimiser.squares));
        if let Some(average) = &self.average {
            stored.extend(put(AVERAGE, average));
        }
        parts.extend(
            self.losses
                .parts()
                .map(|(name, data)| (name.to_owned(), data)),
        );
        stored.extend(parts.into_iter().map(|(name, data)| (name, bytes(data))));
        let views = stored.iter().map(|(name, bytes)| {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / size_of::<f32>()], bytes);
            (name, view.expect("one dimension of as many elements"))
        });
        let named = stored
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        let metadata = HashMap::from([
            (FINGERPRINT.to_owned(), fingerprint.to_owned()),
            (DIGEST.to_owned(), digest(named)),
        ]);
        safetensors::serialize(views, Some(metadata)).expect("the memory can be written")
    }

    /// The training as it was when its state was taken.
    ///
    /// # Errors
    /// See [`StateError`].
    pub(super) fn restore(self, fingerprint: &str, bytes: &[u8]) -> Result<Self, StateError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let stored = |key| {
            let metadata = header.metadata().as_ref();
            metadata.and_then(|m| m.get(key)).map(String::as_str)
        };
        if stored(FINGERPRINT) != Some(fingerprint) {
            return Err(StateError::OtherTraining);
        }
        let file = SafeTensors::deserialize(bytes)?;
        let parts = file.tensors();
        let parts = parts
            .iter()
            .map(|(name, part)| (name.as_str(), part.data()));
        if stored(DIGEST) != Some(&digest(parts)) {
            return Err(StateError::Damaged);
        }
        let read = |name: &str, expected: Option<usize>| -> Result<Vec<f32>, StateError> {
            let values: Vec<f32> = (file.tensor(name)?.data().as_chunks().0.iter())
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect();
            match expected {
                Some(expected) if expected != values.len() => Err(StateError::Elements {
                    name: name.to_owned(),
                    found: values.len(),
                    expected,
                }),
                _ => Ok(values),
            }
        };
        let tensors = |part: &str| -> Result<Tensors, StateError> {
            let of = |(name, array): (&str, &Array)| {
                let data = read(&format!("{part}{name}"), Some(array.data().len()))?;
                Ok((name.to_owned(), data))
            };
            self.weights.iter().map(of).collect()
        };
        let arrays = (tensors(WEIGHTS)?.into_iter())
            .map(|(name, data)| {
                let shape = self.weights.array(&name).shape().to_vec();
                let array = Array::new(shape, data).expect("as many elements, as was checked");
                (name, array)
            })
            .collect();
        let losses = Losses::read(self.recipe.shape.n_answer(), read)?;
        Ok(Training {
            optimiser: AdamW {
                steps: losses.total.len(),
                means: tensors(MEANS)?,
                squares: tensors(SQUARES)?,
            },
            average: match self.recipe.name.grokfast && !losses.total.is_empty() {
                true => Some(tensors(AVERAGE)?),
                false => None,
            },
            weights: Weights::from_arrays(arrays)?,
            losses,
            ..self
        })
    }
}

/// SHA-256 of the parts by name, in hexadecimal digits.
fn digest<'a>(parts: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let parts: BTreeMap<&str, &[u8]> = parts.collect();
    let all: Vec<u8> = (parts.into_iter())
        .flat_map(|(name, bytes)| [name.as_bytes(), sha256(bytes).as_bytes()].concat())
        .collect();
    sha256(&all)
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}
