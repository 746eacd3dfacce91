//! Writes weights as the files they are published in.

use std::io::{Cursor, Write};

use ::safetensors::tensor::{Dtype, TensorView};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::weights::Weights;
use crate::domain::shape::Shape;

/// A tensor as `torch.save` stores it.
struct Stored {
    name: String,
    /// The class of its storage.
    class: &'static str,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The bytes of a `.pth` file with these weights, as `torch.save(model.state_dict())` writes it for a
/// `HookedTransformer`: with the buffers `attn.mask` and `attn.IGNORE` of every layer, which
/// `load_state_dict` asks for. `torch.load` reads it with `weights_only=True`.
///
/// # Panics
/// If the weights fill more than the memory.
pub fn write_pth(weights: &Weights) -> Vec<u8> {
    let stored: Vec<Stored> = (weights.iter())
        .map(|(name, array)| Stored {
            name: name.to_owned(),
            class: "FloatStorage",
            shape: array.shape().to_vec(),
            bytes: bytes_of(array.data()),
        })
        .chain(buffers(&weights.shape()))
        .collect();
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let entries = [
        ("data.pkl".to_owned(), pickle(&stored)),
        ("byteorder".to_owned(), b"little".to_vec()),
    ];
    let data =
        (stored.into_iter().enumerate()).map(|(key, stored)| (format!("data/{key}"), stored.bytes));
    let version = [("version".to_owned(), b"3\n".to_vec())];
    // As torch.save does it: uncompressed, each entry aligned so that it can be mapped into memory.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .with_alignment(64);
    for (name, bytes) in entries.into_iter().chain(data).chain(version) {
        let entry = archive.start_file(format!("model/{name}"), options);
        entry.expect("the names of entries are short and distinct");
        archive.write_all(&bytes).expect("memory can be written");
    }
    let written = archive.finish().expect("memory can be written");
    written.into_inner()
}

/// The bytes of a `.safetensors` file with these weights, without buffers.
///
/// # Panics
/// If the weights fill more than the memory.
pub fn write_safetensors(weights: &Weights) -> Vec<u8> {
    let tensors: Vec<(&str, &[usize], Vec<u8>)> = (weights.iter())
        .map(|(name, array)| (name, array.shape(), bytes_of(array.data())))
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes);
        (name, view.expect("an array has the elements of its shape"))
    });
    ::safetensors::serialize(views, None).expect("names and shapes can be written")
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// The buffers of every layer, which carry nothing: the causal mask, true where a query may see a key,
/// and the score of the rest.
fn buffers(shape: &Shape) -> Vec<Stored> {
    let n_ctx = shape.n_ctx();
    let mask = (0..n_ctx * n_ctx).map(|i| u8::from(i % n_ctx <= i / n_ctx));
    let mask: Vec<u8> = mask.collect();
    (0..shape.n_layers)
        .flat_map(|layer| {
            [
                Stored {
                    name: format!("blocks.{layer}.attn.mask"),
                    class: "BoolStorage",
                    shape: vec![n_ctx, n_ctx],
                    bytes: mask.clone(),
                },
                Stored {
                    name: format!("blocks.{layer}.attn.IGNORE"),
                    class: "FloatStorage",
                    shape: Vec::new(),
                    bytes: bytes_of(&[f32::NEG_INFINITY]),
                },
            ]
        })
        .collect()
}

/// The pickle, in protocol 2, of an `OrderedDict` of tensors, each of a storage of its own.
fn pickle(stored: &[Stored]) -> Vec<u8> {
    let mut out = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    for (key, tensor) in stored.iter().enumerate() {
        put_text(&mut out, &tensor.name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        put_text(&mut out, "storage");
        out.extend(format!("ctorch\n{}\n", tensor.class).bytes());
        put_text(&mut out, &key.to_string());
        put_text(&mut out, "cpu");
        put_int(&mut out, tensor.elements());
        out.extend(b"tQ");
        put_int(&mut out, 0);
        put_ints(&mut out, tensor.shape.iter().copied());
        let strides = (0..tensor.shape.len()).map(|axis| tensor.shape[axis + 1..].iter().product());
        put_ints(&mut out, strides);
        // No gradient, and no hooks for one.
        out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend(b"u.");
    out
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).expect("names are short");
    out.push(b'X');
    out.extend(length.to_le_bytes());
    out.extend(text.bytes());
}

fn put_int(out: &mut Vec<u8>, value: usize) {
    let value = i64::try_from(value).expect("more elements than fit the memory");
    out.extend(b"\x8a\x08");
    out.extend(value.to_le_bytes());
}

fn put_ints(out: &mut Vec<u8>, values: impl Iterator<Item = usize>) {
    out.push(b'(');
    values.for_each(|value| put_int(out, value));
    out.push(b't');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::array::Array;
    use super::super::pth::read_pth;
    use super::super::safetensors::read_safetensors;
    use super::*;

    const SHAPE: Shape = Shape {
        n_digits: 2,
        n_layers: 2,
        n_heads: 3,
        d_model: 6,
        d_head: 2,
        d_mlp: 24,
    };

    #[test]
    fn what_is_written_reads_back() {
        let weights = Weights::random(SHAPE, 1);
        let read: [BTreeMap<String, Array>; 2] = [
            read_pth(&write_pth(&weights)).unwrap(),
            read_safetensors(&write_safetensors(&weights)).unwrap(),
        ];
        for arrays in read {
            assert_eq!(Weights::from_arrays(arrays).unwrap(), weights);
        }
    }
}
