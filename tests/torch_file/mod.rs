//! Writes files in the layout of `torch.save`, whole ones and wrong ones, byte by byte.

use std::collections::BTreeMap;

use circuitcheck::inputs::model::Array;

/// The entry that says which tensors there are.
pub const PICKLE: &str = "model/data.pkl";

/// An archive of these entries, each stored as `torch.save` stores them.
pub fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in entries {
        let at = file.len();
        file.extend(local_header(name, content));
        file.extend(*content);
        directory.extend(directory_entry(name, content, at));
    }
    close(file, entries.len(), &directory)
}

/// An archive of a pickle and entries that all lie in the same bytes.
pub fn overlapping_archive(pickle: &[u8], names: &[String], content: &[u8]) -> Vec<u8> {
    let mut file = local_header(PICKLE, pickle);
    file.extend(pickle);
    let mut directory = directory_entry(PICKLE, pickle, 0);
    let at = file.len();
    file.extend(local_header(&names[0], content));
    file.extend(content);
    for name in names {
        directory.extend(directory_entry(name, content, at));
    }
    close(file, names.len() + 1, &directory)
}

fn local_header(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = b"PK\x03\x04\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00".to_vec();
    header.extend(sizes(content));
    header.extend((name.len() as u16).to_le_bytes());
    header.extend(0u16.to_le_bytes());
    header.extend(name.bytes());
    header
}

fn directory_entry(name: &str, content: &[u8], at: usize) -> Vec<u8> {
    let mut entry = b"PK\x01\x02\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00".to_vec();
    entry.extend(sizes(content));
    entry.extend((name.len() as u16).to_le_bytes());
    entry.extend([0; 12]);
    entry.extend((at as u32).to_le_bytes());
    entry.extend(name.bytes());
    entry
}

fn sizes(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32).to_le_bytes();
    [crc32(content).to_le_bytes(), length, length].concat()
}

fn close(mut file: Vec<u8>, entries: usize, directory: &[u8]) -> Vec<u8> {
    let at = file.len() as u32;
    file.extend(directory);
    file.extend(b"PK\x05\x06\x00\x00\x00\x00");
    file.extend((entries as u16).to_le_bytes());
    file.extend((entries as u16).to_le_bytes());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(at.to_le_bytes());
    file.extend(0u16.to_le_bytes());
    file
}

fn crc32(content: &[u8]) -> u32 {
    !content.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc: u32, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// A pickle that leaves what these instructions leave.
pub fn pickle(instructions: &[u8]) -> Vec<u8> {
    [b"\x80\x02", instructions, b"."].concat()
}

pub fn text(text: &str) -> Vec<u8> {
    let length = (text.len() as u32).to_le_bytes();
    [b"X", length.as_slice(), text.as_bytes()].concat()
}

pub fn int(value: i64) -> Vec<u8> {
    [b"\x8a\x08", value.to_le_bytes().as_slice()].concat()
}

pub fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(", items.concat().as_slice(), b"t"].concat()
}

pub fn dict(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<u8> = items
        .iter()
        .flat_map(|(key, value)| [text(key), value.clone()].concat())
        .collect();
    [b"}(", items.as_slice(), b"u"].concat()
}

pub fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

pub fn ints(values: &[i64]) -> Vec<u8> {
    tuple(&values.iter().map(|&value| int(value)).collect::<Vec<_>>())
}

/// A tensor in a pickle.
#[derive(Clone)]
pub struct View<'a> {
    pub storage: &'a str,
    pub key: &'a str,
    pub elements: i64,
    pub offset: i64,
    pub shape: &'a [i64],
    pub strides: &'a [i64],
}

impl View<'_> {
    pub fn write(&self) -> Vec<u8> {
        let id = tuple(&[
            text("storage"),
            global("torch", self.storage),
            text(self.key),
            text("cpu"),
            int(self.elements),
        ]);
        let hooks = [global("collections", "OrderedDict").as_slice(), b")R"].concat();
        let arguments = tuple(&[
            [id.as_slice(), b"Q"].concat(),
            int(self.offset),
            ints(self.shape),
            ints(self.strides),
            b"\x89".to_vec(),
            hooks,
        ]);
        [
            global("torch._utils", "_rebuild_tensor_v2"),
            arguments,
            b"R".to_vec(),
        ]
        .concat()
    }
}

/// Little-endian bytes of these numbers.
pub fn floats(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// The pickle of a state dict, and its storages in order.
pub fn state_dict(arrays: &BTreeMap<String, Array>) -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
    let mut items = Vec::new();
    let mut storages = Vec::new();
    for (number, (name, array)) in arrays.iter().enumerate() {
        let key = number.to_string();
        let shape: Vec<i64> = array.shape().iter().map(|&dim| dim as i64).collect();
        let strides: Vec<i64> = (0..shape.len())
            .map(|axis| shape[axis + 1..].iter().product())
            .collect();
        let view = View {
            storage: "FloatStorage",
            key: &key,
            elements: array.data().len() as i64,
            offset: 0,
            shape: &shape,
            strides: &strides,
        };
        items.push((name.as_str(), view.write()));
        storages.push((format!("model/data/{key}"), floats(array.data())));
    }
    (dict(&items), storages)
}

/// The `.pth` file of a pickle and storages.
pub fn pth(pickle: &[u8], storages: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut entries = vec![(PICKLE, pickle), ("model/byteorder", b"little".as_slice())];
    entries.extend(
        storages
            .iter()
            .map(|(name, content)| (name.as_str(), content.as_slice())),
    );
    archive(&entries)
}
