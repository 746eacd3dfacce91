//! Reads the one kind of pickle that describes tensors, and calls nothing while doing so.
//!
//! A pickle is a program for a stack machine; what makes it dangerous is that it may name any
//! Python callable and call it. This machine knows the handful of names a state dict needs
//! ([`Global`]) as values of its own, and refuses every other name where it is mentioned, even if
//! it would never be called. Opcodes: <https://docs.python.org/3/library/pickletools.html>.
//!
//! Values live in one arena and refer to each other by index. So a value that mentions another a
//! thousand times costs a thousand indices and no copies, nesting costs no call stack, and the
//! memory used is bounded by the length of the pickle.

use std::collections::HashMap;

use thiserror::Error;

/// The newest pickle protocol there is; `torch.save` writes 2.
const NEWEST_PROTOCOL: u8 = 5;

/// Longest name of a class that an error repeats; longer ones are cut.
const MAX_SHOWN_NAME: usize = 120;

/// Bytes of the widest integer read. Python's are unlimited; sizes and offsets fit these.
const MAX_INT_BYTES: usize = 8;

/// Most dimensions of a tensor; those of a state dict have at most three. With it, a long tuple
/// mentioned as the shape of many tensors is no way to fill memory.
const MAX_DIMENSIONS: usize = 8;

/// Why a pickle isn't the description of a state dict.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PickleError {
    /// The pickle names a class or function that a state dict has no use for.
    #[error(
        "pickle names `{name}` at byte {offset}, which no state dict needs; nothing of it was run"
    )]
    Class {
        /// Module and name, as `module.name`.
        name: String,
        /// Where in the pickle.
        offset: usize,
    },
    /// The pickle ends in the middle of an instruction, or before it says stop.
    #[error("pickle ends at byte {length}, where {wanted} more were needed")]
    Truncated {
        length: usize,
        /// Bytes needed beyond the end.
        wanted: u64,
    },
    /// An instruction that no state dict needs, or none at all.
    #[error("pickle has instruction {opcode:#04x} at byte {offset}, which no state dict needs")]
    Opcode {
        opcode: u8,
        /// Where in the pickle.
        offset: usize,
    },
    /// A protocol that doesn't exist.
    #[error("pickle is of protocol {found}, the newest known is {NEWEST_PROTOCOL}")]
    Protocol {
        /// The protocol it claims.
        found: u8,
    },
    /// An instruction takes more values than the stack holds.
    #[error("pickle takes a value from an empty stack at byte {offset}")]
    EmptyStack {
        /// Where in the pickle.
        offset: usize,
    },
    /// An instruction goes back to a mark, and there is none.
    #[error("pickle goes back to a mark that was never set at byte {offset}")]
    NoMark {
        /// Where in the pickle.
        offset: usize,
    },
    /// An instruction fetches a remembered value, and there is none of that number.
    #[error("pickle recalls value {index} at byte {offset}, which was never remembered")]
    Memo {
        /// The number asked for.
        index: usize,
        /// Where in the pickle.
        offset: usize,
    },
    /// A text isn't UTF-8.
    #[error("pickle has a text at byte {offset} that is not utf-8")]
    Text {
        /// Where in the pickle.
        offset: usize,
    },
    /// An integer is wider than any size or offset.
    #[error("pickle has an integer of {bytes} bytes at byte {offset}, more than {MAX_INT_BYTES}")]
    WideInteger {
        bytes: usize,
        /// Where in the pickle.
        offset: usize,
    },
    /// A value is of another kind than the instruction or the tensor needs.
    #[error("pickle has {found} at byte {offset} where {expected} was expected")]
    Kind {
        /// What was needed.
        expected: &'static str,
        /// What was there.
        found: &'static str,
        /// Where in the pickle.
        offset: usize,
    },
    /// A tensor has metadata, such as torch's negative bit, with which its elements mean something else.
    #[error(
        "pickle has a tensor with metadata at byte {offset}, such as torch's negative or conjugate bit, which changes what its elements mean"
    )]
    Metadata {
        /// Where in the pickle.
        offset: usize,
    },
    /// A tensor gives unequal numbers of sizes and strides.
    #[error("pickle has a tensor at byte {offset} of {sizes} sizes but {strides} strides")]
    Strides {
        sizes: usize,
        strides: usize,
        /// Where in the pickle.
        offset: usize,
    },
    /// A tensor has more dimensions than any of a network.
    #[error(
        "pickle has a tensor of {found} dimensions at byte {offset}, more than {MAX_DIMENSIONS}"
    )]
    Dimensions {
        /// Its number of dimensions.
        found: usize,
        /// Where in the pickle.
        offset: usize,
    },
    /// A size, stride, offset or count is negative.
    #[error("pickle has {value} at byte {offset} where {expected} was expected")]
    Negative {
        /// What was needed.
        expected: &'static str,
        /// The number found.
        value: i64,
        /// Where in the pickle.
        offset: usize,
    },
}

/// The element type of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F64,
    F32,
    F16,
    Bf16,
    /// Any type that isn't a floating-point number, by torch's name of its storage.
    Other(&'static str),
}

/// A name the machine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Global {
    RebuildTensor,
    RebuildParameter,
    OrderedDict,
    Storage(Element),
}

impl Global {
    fn find(module: &[u8], name: &[u8]) -> Option<Self> {
        Some(match (module, name) {
            (b"torch._utils", b"_rebuild_tensor_v2") => Self::RebuildTensor,
            (b"torch._utils", b"_rebuild_parameter") => Self::RebuildParameter,
            (b"collections", b"OrderedDict") => Self::OrderedDict,
            (b"torch", storage) => Self::Storage(match storage {
                b"DoubleStorage" => Element::F64,
                b"FloatStorage" => Element::F32,
                b"HalfStorage" => Element::F16,
                b"BFloat16Storage" => Element::Bf16,
                b"LongStorage" => Element::Other("LongStorage"),
                b"IntStorage" => Element::Other("IntStorage"),
                b"ShortStorage" => Element::Other("ShortStorage"),
                b"CharStorage" => Element::Other("CharStorage"),
                b"ByteStorage" => Element::Other("ByteStorage"),
                b"BoolStorage" => Element::Other("BoolStorage"),
                _ => return None,
            }),
            _ => return None,
        })
    }
}

/// A storage as the pickle mentions it: elements that lie elsewhere in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StorageRef<'a> {
    pub(super) element: Element,
    /// The name of the archive's entry under `data/`.
    pub(super) key: &'a str,
    pub(super) elements: usize,
}

/// A view of a storage. Its numbers are non-negative and its strides as many as its sizes;
/// whether it stays within the storage isn't known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorRef<'a> {
    pub(super) storage: StorageRef<'a>,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// The place of a value in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(usize);

#[derive(Debug)]
enum PickleValue<'a> {
    None,
    Bool,
    Int(i64),
    Float,
    Bytes,
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    // Boxed, so that the many small values of a pickle stay small.
    Storage(Box<StorageRef<'a>>),
    Tensor(Box<TensorRef<'a>>),
}

impl PickleValue<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool => "a bool",
            Self::Int(_) => "an integer",
            Self::Float => "a float",
            Self::Bytes => "bytes",
            Self::Text(_) => "a text",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Global(_) => "a class",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}

/// A pickle that was read to its end.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    values: Vec<PickleValue<'a>>,
    root: Id,
}

impl<'a> Pickle<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, PickleError> {
        let mut machine = Machine {
            bytes,
            at: 0,
            instruction: 0,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        let root = machine.run()?;
        Ok(Self {
            values: machine.values,
            root,
        })
    }

    /// The value the pickle leaves.
    pub(super) const fn root(&self) -> Id {
        self.root
    }

    /// What kind of value this is, in words.
    pub(super) fn kind(&self, id: Id) -> &'static str {
        self.values[id.0].kind()
    }

    /// The text, if it is one.
    pub(super) fn text(&self, id: Id) -> Option<&'a str> {
        match self.values[id.0] {
            PickleValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Keys and values in the order they were set, if it is a dict.
    pub(super) fn dict(&self, id: Id) -> Option<&[(Id, Id)]> {
        match &self.values[id.0] {
            PickleValue::Dict(items) => Some(items),
            _ => None,
        }
    }

    /// The tensor, if it is one.
    pub(super) fn tensor(&self, id: Id) -> Option<&TensorRef<'a>> {
        match &self.values[id.0] {
            PickleValue::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    /// The next byte to read.
    at: usize,
    /// Where the instruction being run begins.
    instruction: usize,
    values: Vec<PickleValue<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at each mark.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

type PickleResult<T = ()> = Result<T, PickleError>;

impl<'a> Machine<'a> {
    fn run(&mut self) -> PickleResult<Id> {
        loop {
            self.instruction = self.at;
            let opcode = self.take(1)?[0];
            if opcode == b'.' {
                return self.pop();
            }
            self.step(opcode)?;
        }
    }

    fn step(&mut self, opcode: u8) -> PickleResult {
        match opcode {
            // Frames only help a reader to prefetch.
            0x95 => self.take(8).map(drop),
            0x80 => match self.take(1)?[0] {
                found if found > NEWEST_PROTOCOL => Err(PickleError::Protocol { found }),
                _ => Ok(()),
            },

            b'N' => self.push(PickleValue::None),
            0x88 | 0x89 => self.push(PickleValue::Bool),
            b'J' => {
                let bytes = self.array::<4>()?;
                self.push(PickleValue::Int(i32::from_le_bytes(bytes).into()))
            }
            b'K' => {
                let bytes = self.array::<1>()?;
                self.push(PickleValue::Int(bytes[0].into()))
            }
            b'M' => {
                let bytes = self.array::<2>()?;
                self.push(PickleValue::Int(u16::from_le_bytes(bytes).into()))
            }
            0x8a => self.long(),
            b'G' => {
                self.take(8)?;
                self.push(PickleValue::Float)
            }

            b'X' => self.text(4),
            0x8c => self.text(1),
            0x8d => self.text(8),
            b'B' => self.binary(4),
            b'C' => self.binary(1),
            0x8e => self.binary(8),

            b'}' => self.push(PickleValue::Dict(Vec::new())),
            b']' => self.push(PickleValue::List(Vec::new())),
            b')' => self.push(PickleValue::Tuple(Vec::new())),
            0x85 => self.tuple(1),
            0x86 => self.tuple(2),
            0x87 => self.tuple(3),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(PickleValue::Tuple(items))
            }
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push(PickleValue::List(items))
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                let pairs = self.pairs(&items)?;
                self.push(PickleValue::Dict(pairs))
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list(vec![item])
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.extend_list(items)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_dict(&[key, value])
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.extend_dict(&items)
            }

            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(drop),
            b'1' => self.pop_to_mark().map(drop),
            b'2' => {
                let top = self.peek()?;
                self.stack.push(top);
                Ok(())
            }

            b'q' => {
                let index = self.length(1)?;
                self.remember(index)
            }
            b'r' => {
                let index = self.length(4)?;
                self.remember(index)
            }
            0x94 => self.remember(self.memo.len() as u64),
            b'h' => {
                let index = self.length(1)?;
                self.recall(index)
            }
            b'j' => {
                let index = self.length(4)?;
                self.recall(index)
            }

            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (module, name) = (self.expect_text(module)?, self.expect_text(name)?);
                self.global(module.as_bytes(), name.as_bytes())
            }
            // Names a class and makes one of it at once; no state dict does that.
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                Err(self.refuse(module, name))
            }
            b'R' => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.reduce(callable, arguments)
            }
            b'Q' => {
                let id = self.pop()?;
                self.storage(id)
            }
            // Sets attributes: an OrderedDict of a module's tensors has one, `_metadata`, with
            // the versions of the module's layers.
            b'b' => {
                self.pop()?;
                let target = self.peek()?;
                match self.values[target.0] {
                    PickleValue::Dict(_) => Ok(()),
                    _ => Err(self.kind_error("a dict", target)),
                }
            }
            opcode => Err(PickleError::Opcode {
                opcode,
                offset: self.instruction,
            }),
        }
    }

    fn take(&mut self, count: u64) -> PickleResult<&'a [u8]> {
        let left = &self.bytes[self.at..];
        match usize::try_from(count).ok().and_then(|n| left.get(..n)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => Err(PickleError::Truncated {
                length: self.bytes.len(),
                wanted: count - left.len() as u64,
            }),
        }
    }

    fn array<const N: usize>(&mut self) -> PickleResult<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    /// An unsigned number of `width` bytes, at most eight.
    fn length(&mut self, width: usize) -> PickleResult<u64> {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(self.take(width as u64)?);
        Ok(u64::from_le_bytes(bytes))
    }

    fn line(&mut self) -> PickleResult<&'a [u8]> {
        let left = &self.bytes[self.at..];
        match left.iter().position(|&byte| byte == b'\n') {
            Some(end) => {
                self.at += end + 1;
                Ok(&left[..end])
            }
            None => Err(PickleError::Truncated {
                length: self.bytes.len(),
                wanted: 1,
            }),
        }
    }

    fn long(&mut self) -> PickleResult {
        let width = self.array::<1>()?[0];
        let bytes = self.take(width.into())?;
        if bytes.len() > MAX_INT_BYTES {
            return Err(PickleError::WideInteger {
                bytes: bytes.len(),
                offset: self.instruction,
            });
        }
        // Two's complement, as short as it goes: the last byte's sign fills the rest.
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; MAX_INT_BYTES];
        wide[..bytes.len()].copy_from_slice(bytes);
        self.push(PickleValue::Int(i64::from_le_bytes(wide)))
    }

    fn text(&mut self, width: usize) -> PickleResult {
        let length = self.length(width)?;
        match std::str::from_utf8(self.take(length)?) {
            Ok(text) => self.push(PickleValue::Text(text)),
            Err(_) => Err(PickleError::Text {
                offset: self.instruction,
            }),
        }
    }

    fn binary(&mut self, width: usize) -> PickleResult {
        let length = self.length(width)?;
        self.take(length)?;
        self.push(PickleValue::Bytes)
    }

    fn push(&mut self, value: PickleValue<'a>) -> PickleResult {
        self.stack.push(Id(self.values.len()));
        self.values.push(value);
        Ok(())
    }

    /// The top of the stack above the last mark.
    fn peek(&self) -> PickleResult<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack[floor..].last() {
            Some(&top) => Ok(top),
            None => Err(PickleError::EmptyStack {
                offset: self.instruction,
            }),
        }
    }

    fn pop(&mut self) -> PickleResult<Id> {
        let top = self.peek()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> PickleResult<Vec<Id>> {
        let height = self.marks.pop().ok_or(PickleError::NoMark {
            offset: self.instruction,
        })?;
        Ok(self.stack.split_off(height))
    }

    fn tuple(&mut self, count: usize) -> PickleResult {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(PickleValue::Tuple(items))
    }

    fn pairs(&self, items: &[Id]) -> PickleResult<Vec<(Id, Id)>> {
        let (pairs, rest) = items.as_chunks();
        match rest {
            [] => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
            _ => Err(PickleError::EmptyStack {
                offset: self.instruction,
            }),
        }
    }

    fn extend_list(&mut self, items: Vec<Id>) -> PickleResult {
        let target = self.peek()?;
        match &mut self.values[target.0] {
            PickleValue::List(list) => {
                list.extend(items);
                Ok(())
            }
            _ => Err(self.kind_error("a list", target)),
        }
    }

    fn extend_dict(&mut self, items: &[Id]) -> PickleResult {
        let pairs = self.pairs(items)?;
        let target = self.peek()?;
        match &mut self.values[target.0] {
            PickleValue::Dict(dict) => {
                dict.extend(pairs);
                Ok(())
            }
            _ => Err(self.kind_error("a dict", target)),
        }
    }

    fn remember(&mut self, index: u64) -> PickleResult {
        let top = self.peek()?;
        self.memo.insert(index as usize, top);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> PickleResult {
        let index = index as usize;
        match self.memo.get(&index) {
            Some(&id) => {
                self.stack.push(id);
                Ok(())
            }
            None => Err(PickleError::Memo {
                index,
                offset: self.instruction,
            }),
        }
    }

    fn global(&mut self, module: &[u8], name: &[u8]) -> PickleResult {
        match Global::find(module, name) {
            Some(global) => self.push(PickleValue::Global(global)),
            None => Err(self.refuse(module, name)),
        }
    }

    fn refuse(&self, module: &[u8], name: &[u8]) -> PickleError {
        let full = [module, b".", name].concat();
        let shown = &full[..full.len().min(MAX_SHOWN_NAME)];
        PickleError::Class {
            // Escaped: a name may hold what a terminal would obey.
            name: shown.escape_ascii().to_string(),
            offset: self.instruction,
        }
    }

    /// The only calls there are: the ones that describe a tensor or make an empty dict.
    fn reduce(&mut self, callable: Id, arguments: Id) -> PickleResult {
        let PickleValue::Global(global) = self.values[callable.0] else {
            return Err(self.kind_error("a class", callable));
        };
        let PickleValue::Tuple(arguments) = &self.values[arguments.0] else {
            return Err(self.kind_error("a tuple", arguments));
        };
        match (global, arguments.as_slice()) {
            (Global::OrderedDict, []) => self.push(PickleValue::Dict(Vec::new())),
            // storage, offset, size, stride, requires_grad, hooks and, of late, metadata
            (
                Global::RebuildTensor,
                &[storage, offset, shape, strides, _, _, ref metadata @ ..],
            ) => {
                if !metadata.iter().all(|&value| self.is_nothing(value)) {
                    return Err(PickleError::Metadata {
                        offset: self.instruction,
                    });
                }
                let tensor = self.tensor(storage, offset, shape, strides)?;
                self.push(PickleValue::Tensor(Box::new(tensor)))
            }
            // tensor, requires_grad, hooks
            (Global::RebuildParameter, &[tensor, ..]) => match self.values[tensor.0] {
                PickleValue::Tensor(_) => {
                    self.stack.push(tensor);
                    Ok(())
                }
                _ => Err(self.kind_error("a tensor", tensor)),
            },
            _ => Err(PickleError::Kind {
                expected: "a call with a tensor's arguments",
                found: "a call with others",
                offset: self.instruction,
            }),
        }
    }

    /// Whether a value is None or an empty dict.
    fn is_nothing(&self, id: Id) -> bool {
        match &self.values[id.0] {
            PickleValue::None => true,
            PickleValue::Dict(items) => items.is_empty(),
            _ => false,
        }
    }

    /// A persistent id: `('storage', class, key, location, elements)`.
    fn storage(&mut self, id: Id) -> PickleResult {
        let expected = "('storage', class, key, location, elements)";
        let PickleValue::Tuple(parts) = &self.values[id.0] else {
            return Err(self.kind_error(expected, id));
        };
        let &[marker, class, key, _location, elements] = parts.as_slice() else {
            return Err(PickleError::Kind {
                expected,
                found: "a tuple of another length",
                offset: self.instruction,
            });
        };
        if self.expect_text(marker)? != "storage" {
            return Err(self.kind_error("the text 'storage'", marker));
        }
        let PickleValue::Global(Global::Storage(element)) = self.values[class.0] else {
            return Err(self.kind_error("a storage class", class));
        };
        let storage = StorageRef {
            element,
            key: self.expect_text(key)?,
            elements: self.expect_count(elements)?,
        };
        self.push(PickleValue::Storage(Box::new(storage)))
    }

    fn tensor(
        &self,
        storage: Id,
        offset: Id,
        shape: Id,
        strides: Id,
    ) -> PickleResult<TensorRef<'a>> {
        let PickleValue::Storage(reference) = &self.values[storage.0] else {
            return Err(self.kind_error("a storage", storage));
        };
        let shape = self.expect_counts(shape)?;
        let strides = self.expect_counts(strides)?;
        if shape.len() != strides.len() {
            return Err(PickleError::Strides {
                sizes: shape.len(),
                strides: strides.len(),
                offset: self.instruction,
            });
        }
        Ok(TensorRef {
            storage: **reference,
            offset: self.expect_count(offset)?,
            shape,
            strides,
        })
    }

    fn expect_text(&self, id: Id) -> PickleResult<&'a str> {
        match self.values[id.0] {
            PickleValue::Text(text) => Ok(text),
            _ => Err(self.kind_error("a text", id)),
        }
    }

    fn expect_count(&self, id: Id) -> PickleResult<usize> {
        match self.values[id.0] {
            PickleValue::Int(value) => usize::try_from(value).map_err(|_| PickleError::Negative {
                expected: "a count",
                value,
                offset: self.instruction,
            }),
            _ => Err(self.kind_error("an integer", id)),
        }
    }

    fn expect_counts(&self, id: Id) -> PickleResult<Vec<usize>> {
        match &self.values[id.0] {
            PickleValue::Tuple(items) if items.len() > MAX_DIMENSIONS => {
                Err(PickleError::Dimensions {
                    found: items.len(),
                    offset: self.instruction,
                })
            }
            PickleValue::Tuple(items) => {
                items.iter().map(|&item| self.expect_count(item)).collect()
            }
            _ => Err(self.kind_error("a tuple", id)),
        }
    }

    fn kind_error(&self, expected: &'static str, id: Id) -> PickleError {
        PickleError::Kind {
            expected,
            found: self.values[id.0].kind(),
            offset: self.instruction,
        }
    }
}
