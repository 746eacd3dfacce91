//! Reads the tensors of a `.pth` file, the zip archive that `torch.save` writes.
//!
//! The archive holds `<root>/data.pkl`, a pickle that says which tensors there are, and one
//! stored (not compressed) entry `<root>/data/<key>` per storage of elements.
//!
//! The reader is our own, over the `zip` crate that candle brings along, because none that exists
//! passed. Tried on the bundled models and on 26 small files made for it, most of them hostile:
//!
//! - candle-core 0.11 `PthTensors` aborts the process on deep nesting (its recursion overflows
//!   the stack), panics on a negative offset or a short tuple, finds nothing in a wrapped dict
//!   unless told its key, takes a pickle that calls `os.system` for data without naming it,
//!   prints a backtrace to stderr for each bool storage, and reads only from a path.
//! - pytorch-reader 0.23.0-pre.1 has no such fault, but keeps a class it doesn't know as an
//!   opaque value and then leaves it out, so that a file naming `os.system` loads without a word,
//!   and it opens a 1 KB file whose tensor unfolds to 8 GB.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use half::{bf16, f16};
use thiserror::Error;
use zip::{CompressionMethod, ZipArchive};

use super::array::{Array, element_count};
use super::pickle::{Element, Id, Pickle, PickleError, StorageRef, TensorRef};
use super::weights::{is_buffer, without_wrappers};

/// Largest `data.pkl` read. That of a published model is about 5 KB. Read, each byte may become a
/// value of about a hundred, so this is what bounds the memory that a hostile pickle takes.
pub const MAX_PICKLE_BYTES: usize = 1 << 20;

/// Longest name of a tensor; those of a state dict have about 20 characters.
const MAX_TENSOR_NAME: usize = 256;

/// The keys under which a training script may keep the state dict next to other things.
const WRAPPER_KEYS: [&str; 3] = ["model", "state_dict", "model_state_dict"];

/// How a file of torch before 1.6 begins: a pickle of the number 0x1950a86a20f9469cfc6c.
const LEGACY_START: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// Why bytes aren't a `.pth` file of float tensors.
#[derive(Debug, Error)]
pub enum PthError {
    /// The bytes are a file of torch before 1.6, which was no archive.
    #[error("a file of torch before 1.6, only its newer form is read")]
    Legacy,
    /// The bytes aren't a zip archive, or a damaged one.
    #[error("not a zip archive as torch.save writes: {0}")]
    NotZip(String),
    /// No entry of the archive is a `data.pkl`.
    #[error("archive has no data.pkl among its {entries} entries")]
    NoPickle { entries: usize },
    /// Several entries of the archive are a `data.pkl`.
    #[error("archive has both {first:?} and {second:?}, of which there must be one")]
    SeveralPickles {
        /// One of them.
        first: String,
        second: String,
    },
    /// An entry can't be read: damaged, compressed or encrypted.
    #[error("archive entry {entry:?} cannot be read: {reason}")]
    Entry {
        entry: String,
        /// What the archive reader says.
        reason: String,
    },
    /// An entry is longer than it may be.
    #[error("archive entry {entry:?} is longer than {limit} bytes")]
    EntrySize {
        entry: String,
        /// Most bytes it may have.
        limit: usize,
    },
    /// The file was written by a big-endian machine.
    #[error("byte order is {0:?}, only \"little\" is read")]
    ByteOrder(String),
    /// The pickle isn't the description of a state dict.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// The pickle describes something other than a dict of tensors.
    #[error("file holds {found}, expected a dict of tensors")]
    NotDict { found: &'static str },
    /// A key of the dict isn't a text of printable ASCII.
    #[error("file has a tensor named {found}, expected at most {MAX_TENSOR_NAME} ascii characters")]
    Name {
        /// The key, or what kind of value it is.
        found: String,
    },
    /// A value of the dict isn't a tensor.
    #[error("`{name}` is {found}, expected a tensor")]
    NotTensor { name: String, found: &'static str },
    /// Two values of the dict have the same key.
    #[error("file has two entries named `{name}`")]
    Duplicate { name: String },
    /// A tensor's elements aren't floating-point numbers.
    #[error("tensor `{name}` is kept in a {found}, expected floating-point elements")]
    NotFloat {
        name: String,
        /// Torch's name of its storage.
        found: &'static str,
    },
    /// A storage has another length than the pickle says.
    #[error(
        "storage of `{name}` is {found} bytes in the archive, {declared} elements by the pickle"
    )]
    StorageSize {
        name: String,
        /// Elements by the pickle.
        declared: usize,
        /// Bytes of the entry.
        found: usize,
    },
    /// A tensor reaches beyond its storage.
    #[error(
        "tensor `{name}` of shape {shape:?}, strides {strides:?} from {offset} reaches beyond its storage of {elements} elements"
    )]
    OutOfStorage {
        name: String,
        shape: Vec<usize>,
        /// Elements from one index to the next, per dimension.
        strides: Vec<usize>,
        /// Element of the storage it begins at.
        offset: usize,
        /// Elements of the storage.
        elements: usize,
    },
    /// The tensors unfold to more than the file could hold, so that a small file would fill memory.
    #[error(
        "tensor `{name}` of shape {shape:?} brings the elements to more than the file's {limit} bytes"
    )]
    TooManyElements {
        /// The tensor with which the limit is passed.
        name: String,
        shape: Vec<usize>,
        /// Bytes of the file.
        limit: usize,
    },
    /// The storages together are longer than the file, so they overlap in it.
    #[error("storage of `{name}` brings the storages to more than the file's {limit} bytes")]
    Overlap {
        /// The tensor with which the limit is passed.
        name: String,
        /// Bytes of the file.
        limit: usize,
    },
}

/// The tensors of a `.pth` file by name, converted to float32; buffers that carry nothing
/// (`blocks.i.attn.mask`, `blocks.i.attn.IGNORE`) are left out.
///
/// The state dict may be the file's whole content or lie under the key `model`, `state_dict` or
/// `model_state_dict`. What wrappers put before its names (`module.`, `_orig_mod.`, `model.`) is left
/// out.
/// `bytes.len()` and [`MAX_PICKLE_BYTES`] bound the memory used, whatever the file claims.
///
/// # Errors
/// See [`PthError`].
pub fn read_pth(bytes: &[u8]) -> Result<BTreeMap<String, Array>, PthError> {
    let mut archive = Archive::open(bytes)?;
    let description = archive.entry("data.pkl", MAX_PICKLE_BYTES)?;
    let pickle = Pickle::read(&description)?;

    let mut storages = Storages::new(archive);
    let mut arrays = BTreeMap::new();
    let mut elements = 0usize;
    for &(key, value) in state_dict(&pickle)? {
        let name = without_wrappers(tensor_name(&pickle, key)?);
        let tensor = pickle.tensor(value).ok_or_else(|| PthError::NotTensor {
            name: name.to_owned(),
            found: pickle.kind(value),
        })?;
        if is_buffer(name) {
            continue;
        }
        // Views may share a storage, and a stride of 0 repeats an element without end.
        elements = element_count(&tensor.shape)
            .and_then(|count| elements.checked_add(count))
            .filter(|&sum| sum <= bytes.len())
            .ok_or_else(|| PthError::TooManyElements {
                name: name.to_owned(),
                shape: tensor.shape.clone(),
                limit: bytes.len(),
            })?;
        let array = gather(name, tensor, storages.get(name, tensor.storage)?)?;
        if arrays.insert(name.to_owned(), array).is_some() {
            return Err(PthError::Duplicate {
                name: name.to_owned(),
            });
        }
    }
    Ok(arrays)
}

/// The dict of tensors: the root itself, or what lies in it under a wrapper's key.
fn state_dict<'p>(pickle: &'p Pickle<'_>) -> Result<&'p [(Id, Id)], PthError> {
    let root = pickle.root();
    let items = pickle.dict(root).ok_or_else(|| PthError::NotDict {
        found: pickle.kind(root),
    })?;
    for wrapper in WRAPPER_KEYS {
        let of_wrapper = items
            .iter()
            .filter(|&&(key, _)| pickle.text(key) == Some(wrapper));
        let mut wrapped = of_wrapper.filter_map(|&(_, value)| pickle.dict(value));
        if let Some(found) = wrapped.next() {
            // Python would take the last of them.
            return match wrapped.next() {
                None => Ok(found),
                Some(_) => Err(PthError::Duplicate {
                    name: wrapper.to_owned(),
                }),
            };
        }
    }
    Ok(items)
}

/// A tensor's name. Names reach error messages, so nothing but printable ASCII passes.
fn tensor_name<'a>(pickle: &Pickle<'a>, key: Id) -> Result<&'a str, PthError> {
    let text = pickle.text(key).ok_or_else(|| PthError::Name {
        found: pickle.kind(key).to_owned(),
    })?;
    if text.len() <= MAX_TENSOR_NAME && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text)
    } else {
        let shown: String = text.chars().take(MAX_TENSOR_NAME).collect();
        Err(PthError::Name {
            found: format!("{shown:?}"),
        })
    }
}

/// The zip archive, and the folder within it that everything lies in.
struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    root: String,
    file_bytes: usize,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, PthError> {
        if bytes.starts_with(LEGACY_START) {
            return Err(PthError::Legacy);
        }
        let zip = ZipArchive::new(Cursor::new(bytes))
            .map_err(|error| PthError::NotZip(error.to_string()))?;
        let names = zip
            .file_names()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| PthError::NotZip(error.to_string()))?;
        let mut roots = names
            .iter()
            .filter_map(|name| name.strip_suffix("data.pkl"))
            .filter(|root| root.is_empty() || root.ends_with('/'))
            .map(str::to_owned);
        let root = roots.next().ok_or(PthError::NoPickle {
            entries: names.len(),
        })?;
        if let Some(second) = roots.next() {
            return Err(PthError::SeveralPickles {
                first: format!("{root}data.pkl"),
                second: format!("{second}data.pkl"),
            });
        }
        drop(roots);
        drop(names);
        let mut archive = Self {
            root,
            zip,
            file_bytes: bytes.len(),
        };
        archive.check_byte_order()?;
        Ok(archive)
    }

    /// Old files don't say, and are little-endian.
    fn check_byte_order(&mut self) -> Result<(), PthError> {
        const LITTLE: &[u8] = b"little";
        if self.zip.index_for_name(&self.path("byteorder")).is_none() {
            return Ok(());
        }
        let found = self.entry("byteorder", LITTLE.len())?;
        if found == LITTLE {
            Ok(())
        } else {
            Err(PthError::ByteOrder(
                String::from_utf8_lossy(&found).into_owned(),
            ))
        }
    }

    fn path(&self, entry: &str) -> String {
        format!("{}{entry}", self.root)
    }

    /// The bytes of an entry, checksum verified. What it claims to be is not believed: reading
    /// stops past `limit`.
    fn entry(&mut self, entry: &str, limit: usize) -> Result<Vec<u8>, PthError> {
        let path = self.path(entry);
        let unreadable = |reason: String| PthError::Entry {
            entry: path.clone(),
            reason,
        };
        let index = self.zip.index_for_name(&path);
        let index = index.ok_or_else(|| unreadable("no such entry".to_owned()))?;
        let file = match has_no_checksum(&mut self.zip, index) {
            // What is stored is read as it is, without a comparison.
            true => self.zip.by_index_raw(index),
            false => self.zip.by_index(index),
        };
        let file = file.map_err(|error| unreadable(error.to_string()))?;
        let claimed = usize::try_from(file.size()).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(claimed.min(limit).min(self.file_bytes));
        file.take(limit as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| unreadable(error.to_string()))?;
        if bytes.len() > limit {
            return Err(PthError::EntrySize { entry: path, limit });
        }
        Ok(bytes)
    }
}

/// Whether an entry is stored with the checksum zero, as some writers leave it.
fn has_no_checksum(zip: &mut ZipArchive<Cursor<&[u8]>>, index: usize) -> bool {
    zip.by_index_raw(index).is_ok_and(|file| {
        file.crc32() == 0
            && file.size() > 0
            && file.compression() == CompressionMethod::Stored
            && !file.encrypted()
    })
}

/// The entries of an archive that are read without a checksum; none of what is no archive.
pub(super) fn entries_without_checksum(bytes: &[u8]) -> usize {
    let Ok(mut zip) = ZipArchive::new(Cursor::new(bytes)) else {
        return 0;
    };
    let entries = 0..zip.len();
    entries
        .filter(|&index| has_no_checksum(&mut zip, index))
        .count()
}

/// The storages read so far; tensors may share one.
struct Storages<'a> {
    archive: Archive<'a>,
    read: BTreeMap<String, Vec<u8>>,
    total_bytes: usize,
}

impl<'a> Storages<'a> {
    const fn new(archive: Archive<'a>) -> Self {
        Self {
            archive,
            read: BTreeMap::new(),
            total_bytes: 0,
        }
    }

    /// The elements of a storage, as many as it declares, widened or narrowed to float32.
    fn get(&mut self, name: &str, storage: StorageRef<'_>) -> Result<Elements<'_>, PthError> {
        let read = match storage.element {
            Element::F64 => Elements::F64,
            Element::F32 => Elements::F32,
            Element::F16 => Elements::F16,
            Element::Bf16 => Elements::Bf16,
            Element::Other(found) => {
                return Err(PthError::NotFloat {
                    name: name.to_owned(),
                    found,
                });
            }
        };
        if !self.read.contains_key(storage.key) {
            let limit = self.archive.file_bytes;
            let bytes = self
                .archive
                .entry(&format!("data/{}", storage.key), limit)?;
            self.total_bytes += bytes.len();
            if self.total_bytes > limit {
                return Err(PthError::Overlap {
                    name: name.to_owned(),
                    limit,
                });
            }
            self.read.insert(storage.key.to_owned(), bytes);
        }
        let bytes = self.read[storage.key].as_slice();
        let elements = read(bytes);
        if elements.len() == storage.elements && elements.is_whole() {
            Ok(elements)
        } else {
            Err(PthError::StorageSize {
                name: name.to_owned(),
                declared: storage.elements,
                found: bytes.len(),
            })
        }
    }
}

/// Little-endian bytes by the type of their elements.
#[derive(Clone, Copy)]
enum Elements<'a> {
    F64(&'a [u8]),
    F32(&'a [u8]),
    F16(&'a [u8]),
    Bf16(&'a [u8]),
}

impl Elements<'_> {
    fn len(self) -> usize {
        match self {
            Self::F64(bytes) => bytes.as_chunks::<8>().0.len(),
            Self::F32(bytes) => bytes.as_chunks::<4>().0.len(),
            Self::F16(bytes) | Self::Bf16(bytes) => bytes.as_chunks::<2>().0.len(),
        }
    }

    /// Whether the bytes end with an element's last.
    fn is_whole(self) -> bool {
        match self {
            Self::F64(bytes) => bytes.as_chunks::<8>().1.is_empty(),
            Self::F32(bytes) => bytes.as_chunks::<4>().1.is_empty(),
            Self::F16(bytes) | Self::Bf16(bytes) => bytes.as_chunks::<2>().1.is_empty(),
        }
    }

    fn get(self, index: usize) -> f32 {
        match self {
            Self::F64(bytes) => f64::from_le_bytes(bytes.as_chunks().0[index]) as f32,
            Self::F32(bytes) => f32::from_le_bytes(bytes.as_chunks().0[index]),
            Self::F16(bytes) => f16::from_le_bytes(bytes.as_chunks().0[index]).to_f32(),
            Self::Bf16(bytes) => bf16::from_le_bytes(bytes.as_chunks().0[index]).to_f32(),
        }
    }
}

/// The tensor's elements in row-major order, whatever its strides.
fn gather(name: &str, tensor: &TensorRef<'_>, elements: Elements<'_>) -> Result<Array, PthError> {
    let TensorRef {
        offset,
        shape,
        strides,
        ..
    } = tensor;
    let count = element_count(shape).unwrap_or(0);
    let last = shape
        .iter()
        .zip(strides)
        .try_fold(*offset, |sum, (&dim, &stride)| {
            sum.checked_add(dim.saturating_sub(1).checked_mul(stride)?)
        });
    if count > 0 && last.is_none_or(|last| last >= elements.len()) {
        return Err(PthError::OutOfStorage {
            name: name.to_owned(),
            shape: shape.clone(),
            strides: strides.clone(),
            offset: *offset,
            elements: elements.len(),
        });
    }

    let mut data = Vec::with_capacity(count);
    let mut index = vec![0usize; shape.len()];
    let mut at = *offset;
    for _ in 0..count {
        data.push(elements.get(at));
        // Count up like an odometer, keeping `at` in step.
        for ((place, &dim), &stride) in index.iter_mut().zip(shape).zip(strides).rev() {
            *place += 1;
            if *place < dim {
                at += stride;
                break;
            }
            at -= (dim - 1) * stride;
            *place = 0;
        }
    }
    Ok(Array::new(shape.clone(), data).expect("one element was gathered per index"))
}
