//! Reads the tensors of a `.safetensors` file, under the same names as in a `.pth` file.

use std::collections::BTreeMap;

use ::safetensors::{Dtype, SafeTensors};
use half::{bf16, f16};
use thiserror::Error;

use super::array::Array;
use super::weights::{is_buffer, without_wrappers};

/// Longest header read: names, shapes and metadata. That of a published network has about 10 KB. Read, each
/// byte may become twenty.
pub const MAX_HEADER_BYTES: u64 = 1 << 20;

/// Why bytes aren't a `.safetensors` file of float tensors.
#[derive(Debug, Error)]
pub enum SafetensorsError {
    /// The bytes aren't in the format; the reason is the format's own reader's.
    #[error("not a safetensors file: {0}")]
    Format(String),
    /// The header is longer than that of any network.
    #[error("header is {bytes} bytes, more than the {MAX_HEADER_BYTES} that are read")]
    Header { bytes: u64 },
    /// A tensor's elements aren't floating-point numbers.
    #[error("tensor {name:?} has elements of type {found}, expected F64, F32, F16 or BF16")]
    NotFloat {
        name: String,
        /// Its element type.
        found: String,
    },
    /// Two tensors have the same name, without what wrappers put before it.
    #[error("file has two tensors named {name:?}")]
    Duplicate { name: String },
}

/// The tensors of a `.safetensors` file by name, converted to float32; buffers that carry nothing
/// (`blocks.i.attn.mask`, `blocks.i.attn.IGNORE`) are left out, as is what wrappers put before the
/// names (`module.`, `_orig_mod.`, `model.`).
///
/// # Errors
/// See [`SafetensorsError`].
pub fn read_safetensors(bytes: &[u8]) -> Result<BTreeMap<String, Array>, SafetensorsError> {
    if let Some((length, _)) = bytes.split_first_chunk() {
        let length = u64::from_le_bytes(*length);
        if length > MAX_HEADER_BYTES && length <= bytes.len() as u64 {
            return Err(SafetensorsError::Header { bytes: length });
        }
    }
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| SafetensorsError::Format(error.to_string()))?;
    let mut arrays = BTreeMap::new();
    for (name, tensor) in file.iter() {
        let name = without_wrappers(name);
        if is_buffer(name) {
            continue;
        }
        let bytes = tensor.data();
        let data = match tensor.dtype() {
            Dtype::F64 => convert(bytes, |element| f64::from_le_bytes(element) as f32),
            Dtype::F32 => convert(bytes, f32::from_le_bytes),
            Dtype::F16 => convert(bytes, |element| f16::from_le_bytes(element).to_f32()),
            Dtype::BF16 => convert(bytes, |element| bf16::from_le_bytes(element).to_f32()),
            other => {
                return Err(SafetensorsError::NotFloat {
                    name: name.to_owned(),
                    found: format!("{other:?}"),
                });
            }
        };
        let array = Array::new(tensor.shape().to_vec(), data)
            .map_err(|error| SafetensorsError::Format(format!("tensor {name:?}: {error}")))?;
        if arrays.insert(name.to_owned(), array).is_some() {
            return Err(SafetensorsError::Duplicate {
                name: name.to_owned(),
            });
        }
    }
    Ok(arrays)
}

fn convert<const WIDTH: usize>(bytes: &[u8], element: impl Fn([u8; WIDTH]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().copied().map(element).collect()
}
