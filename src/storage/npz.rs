//! Arrays as numpy reads them: an `.npz` file is a ZIP archive of `.npy` files.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A named array, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpzArray {
    name: String,
    /// numpy's name of the type: `<f4` or `|u1`.
    kind: &'static str,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl NpzArray {
    /// An array of float32.
    ///
    /// # Panics
    /// If there are more or fewer values than `shape` holds.
    pub fn floats(name: &str, shape: &[usize], values: &[f32]) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>());
        NpzArray {
            name: name.to_owned(),
            kind: "<f4",
            shape: shape.to_vec(),
            bytes: values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        }
    }

    /// An array of uint8.
    ///
    /// # Panics
    /// If there are more or fewer values than `shape` holds.
    pub fn bytes(name: &str, shape: &[usize], bytes: Vec<u8>) -> Self {
        assert_eq!(bytes.len(), shape.iter().product::<usize>());
        NpzArray {
            name: name.to_owned(),
            kind: "|u1",
            shape: shape.to_vec(),
            bytes,
        }
    }

    /// The array as an `.npy` file, version 1.0 of the format.
    fn npy(&self) -> Vec<u8> {
        /// Length that the header is padded to a multiple of.
        const ALIGNED: usize = 64;
        /// Bytes before the header's text: magic, version and length.
        const BEFORE: usize = 10;
        let dims: Vec<String> = self.shape.iter().map(|dim| format!("{dim},")).collect();
        let mut header = format!(
            "{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
            self.kind,
            dims.join(" ")
        );
        let whole = (BEFORE + header.len() + 1).next_multiple_of(ALIGNED);
        header.push_str(&" ".repeat(whole - BEFORE - header.len() - 1));
        header.push('\n');
        let length = u16::try_from(header.len()).expect("a shape of a few dimensions");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend(length.to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(&self.bytes);
        file
    }
}

/// The arrays as an `.npz` file, uncompressed. Of arrays of one name, the first is written.
///
/// # Panics
/// If the arrays do not fit into memory twice.
pub fn npz(arrays: &[NpzArray]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (i, array) in arrays.iter().enumerate() {
        if arrays[..i].iter().any(|before| before.name == array.name) {
            continue;
        }
        let written = archive
            .start_file(format!("{}.npy", array.name), options)
            .map_err(std::io::Error::from)
            .and_then(|()| archive.write_all(&array.npy()));
        written.expect("writing to memory");
    }
    archive.finish().expect("writing to memory").into_inner()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use zip::ZipArchive;

    use super::*;

    #[test]
    fn arrays_are_written_as_numpy_writes_them() {
        let arrays = [
            NpzArray::floats("P3L0", &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, -1.5]),
            NpzArray::bytes("tokens", &[2], vec![7, 9]),
            NpzArray::bytes("tokens", &[1], vec![1]),
        ];
        let mut archive = ZipArchive::new(Cursor::new(npz(&arrays))).unwrap();
        assert_eq!(archive.len(), 2);
        let mut read = |name: &str| {
            let mut bytes = Vec::new();
            archive
                .by_name(name)
                .unwrap()
                .read_to_end(&mut bytes)
                .unwrap();
            bytes
        };
        let floats = read("P3L0.npy");
        // What numpy.save writes for this array, up to the length of the padding.
        let header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3,), }";
        assert_eq!(&floats[..8], b"\x93NUMPY\x01\x00");
        assert_eq!(&floats[10..10 + header.len()], header);
        let start = 10 + usize::from(u16::from_le_bytes([floats[8], floats[9]]));
        assert_eq!(start % 64, 0);
        assert_eq!(floats[start - 1], b'\n');
        assert_eq!(&floats[start + 20..], (-1.5f32).to_le_bytes());
        let bytes = read("tokens.npy");
        assert_eq!(bytes[bytes.len() - 2..], [7, 9]);
    }
}
