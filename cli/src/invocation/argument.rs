// SPDX-License-Identifier: MIT OR Apache-2.0

//! One argument: text becomes a register or a block of memory, and text again.

use super::vectors;
use super::ArgumentError;
use crate::image::{
    Block,
    Memory, //
};
use crate::layout::{
    names_value,
    octal,
    Detail,
    Format, //
};
use crate::names::{
    file,
    signal, //
};
use crate::signature::{
    Extent,
    Kind,
    Parameter, //
};
use crate::syntax::quote::{
    quote,
    quote_up_to, //
};
use crate::syntax::{
    Value,
    MAX_BUFFER, //
};

/// One argument of a call.
#[derive(Debug)]
pub(super) struct Argument {
    parameter: &'static Parameter,
    /// What the register holds, where it does not point to the block.
    pub(super) register: u64,
    /// The memory that the register points to, where it was made for this argument.
    pub(super) block: Option<Block>,
    /// Whether that memory was given contents.
    is_input: bool,
    /// The name that stood for the number.
    word: Option<String>,
    /// Whether the number is known only when the call starts. As long as it is not, the register is
    /// as large as it may be.
    is_later: bool,
}

impl Argument {
    /// Turns a value into an argument. `all` are the values of all arguments, since some say how
    /// large a buffer is.
    pub(super) fn new(
        parameter: &'static Parameter,
        value: &Value,
        all: &[Value],
    ) -> Result<Self, ArgumentError> {
        let register = |register| Self {
            parameter,
            register,
            block: None,
            is_input: false,
            word: None,
            is_later: false,
        };
        match value {
            Value::Number(number) => return Ok(register(*number)),
            Value::Later => {
                return Ok(Self {
                    is_later: true,
                    ..register(u64::MAX)
                })
            }
            _ => {}
        }
        match parameter.kind {
            Kind::Int | Kind::Uint | Kind::Long | Kind::Ulong | Kind::Hex => match value {
                Value::Word(word) => Ok(register(names_value(None, word)?)),
                _ => Err(ArgumentError::Expected("a number")),
            },
            Kind::Fd | Kind::Dirfd => match value {
                Value::Word(word) if word == b"AT_FDCWD" => Ok(register(AT_FDCWD as u64)),
                _ => Err(ArgumentError::Expected("a descriptor")),
            },
            Kind::Mode => match value {
                Value::Word(word) => Ok(register(names_value(Some(&file::PERMISSION), word)?)),
                _ => Err(ArgumentError::Expected("permissions, such as 0644")),
            },
            Kind::Signal => match value {
                Value::Word(word) => {
                    let number = std::str::from_utf8(word).ok().and_then(signal::number);
                    Ok(register(number.ok_or(ArgumentError::Signal)?.into()))
                }
                _ => Err(ArgumentError::Expected("a signal, such as SIGTERM or 15")),
            },
            Kind::Names(set) => match value {
                Value::Word(word) => Ok(register(names_value(Some(set), word)?)),
                _ => Err(ArgumentError::Expected("a number or names joined with `|`")),
            },
            Kind::Any => match value {
                Value::Word(word) if word == b"NULL" => Ok(Self {
                    word: Some("NULL".to_owned()),
                    ..register(0)
                }),
                Value::Word(word) => Ok(Self {
                    word: Some(String::from_utf8_lossy(word).into_owned()),
                    ..register(names_value(None, word)?)
                }),
                _ => Self::pointer(parameter, value, all),
            },
            _ if *value == Value::Word(b"NULL".to_vec()) => Ok(register(0)),
            _ => Self::pointer(parameter, value, all),
        }
    }

    /// An argument that points to memory.
    fn pointer(
        parameter: &'static Parameter,
        value: &Value,
        all: &[Value],
    ) -> Result<Self, ArgumentError> {
        let (block, is_input) = match value {
            Value::Buffer(size) => {
                let size = size.or_else(|| needed(parameter.kind, all));
                let size = size.ok_or(ArgumentError::SizeNeeded)?;
                (Block::zeroed(size), false)
            }
            Value::Quoted(bytes) => (terminated(bytes), true),
            Value::Array(values) => match parameter.kind {
                Kind::Strings => (vectors::strings(values)?, true),
                Kind::Gather | Kind::Scatter => (vectors::vectors(values)?, true),
                kind => (Block::holding(contents(kind, value)?), true),
            },
            _ => (Block::holding(contents(parameter.kind, value)?), true),
        };
        Ok(Self {
            parameter,
            register: 0,
            block: Some(block),
            is_input,
            word: None,
            is_later: false,
        })
    }

    /// Whether it is a number that is known only when the call starts.
    pub(super) fn is_later(&self) -> bool {
        self.is_later
    }

    /// Whether the call may write to the memory that was made for this argument.
    pub(super) fn is_output(&self) -> bool {
        let written = matches!(
            self.parameter.kind,
            Kind::Out(_)
                | Kind::InOut(_)
                | Kind::BytesOut(_)
                | Kind::Scatter
                | Kind::Address
                | Kind::Any
        );
        self.block.is_some() && (written || !self.is_input)
    }

    /// Checks that the call leaves alone what lies behind the memory of this argument, as far as
    /// that is known. `registers` are those of all arguments, as far as they are known.
    pub(super) fn check_size(&self, registers: &[Option<u64>; 6]) -> Result<(), ArgumentError> {
        let Some(block) = &self.block else {
            return Ok(());
        };
        let needed = match self.parameter.kind {
            Kind::BytesIn(length) => Some(registers[length].ok_or(ArgumentError::Unbounded)?),
            Kind::BytesOut(extent) => {
                let length = registers[extent.length()];
                Some(length.ok_or(ArgumentError::Unbounded)?)
            }
            Kind::In(format) | Kind::Out(format) | Kind::InOut(format) => {
                format.size().map(|size| size as u64)
            }
            Kind::Gather | Kind::Scatter => return vectors::check_sizes(block),
            _ => None,
        };
        let has = block.size() as u64;
        match needed {
            Some(needs) if needs > has => Err(ArgumentError::TooSmall { has, needs }),
            _ => Ok(()),
        }
    }

    /// As strace prints it. `registers` are those of all arguments; `memory` is what the call left of
    /// this one's; `written` is what it returned, where it succeeded.
    pub(super) fn show(
        &self,
        registers: &[u64; 6],
        memory: Option<&dyn Memory>,
        written: Option<u64>,
        detail: Detail,
    ) -> String {
        let kind = self.parameter.kind;
        show_number(kind, self.register).unwrap_or_else(|| match (memory, &self.word) {
            (Some(memory), _) => self.show_memory(memory, registers, written, detail),
            (None, Some(word)) => word.clone(),
            (None, None) => show_pointer(kind, self.register),
        })
    }

    fn show_memory(
        &self,
        memory: &dyn Memory,
        registers: &[u64; 6],
        written: Option<u64>,
        detail: Detail,
    ) -> String {
        // More than memory holds is as good as all of it.
        let at_most = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        // One byte more than is shown tells whether there is more.
        let enough = detail.string.saturating_add(1);
        match (self.parameter.kind, written) {
            (Kind::Path, _) => quote(until_zero(&memory.copy(memory.len()))),
            (Kind::Text, _) => quote_up_to(until_zero(&memory.copy(memory.len())), detail.string),
            (Kind::BytesIn(length), _) => {
                let bytes = memory.copy(at_most(registers[length]).min(enough));
                quote_up_to(&bytes, detail.string)
            }
            (Kind::BytesOut(Extent::Returned(length)), Some(written)) => {
                let bytes = memory.copy(at_most(written.min(registers[length])).min(enough));
                quote_up_to(&bytes, detail.string)
            }
            (Kind::BytesOut(Extent::Text(_)), Some(_)) => {
                quote(until_zero(&memory.copy(memory.len())))
            }
            (Kind::Out(format @ Format::List(item)), Some(written)) => {
                let size = item.size().unwrap_or(1);
                let bytes = memory.copy(at_most(written).saturating_mul(size));
                format.show_or_quote(&bytes, detail)
            }
            (Kind::Out(format), Some(_)) | (Kind::In(format) | Kind::InOut(format), _) => {
                format.show_or_quote(&memory.copy(memory.len()), detail)
            }
            (Kind::Strings, _) if self.is_input => vectors::show_strings(memory, detail),
            (Kind::Gather, _) if self.is_input => vectors::show_vectors(memory, None, detail),
            (Kind::Scatter, Some(written)) if self.is_input => {
                vectors::show_vectors(memory, Some(written), detail)
            }
            (Kind::BytesOut(_) | Kind::Out(_) | Kind::Scatter, None) => memory.name(),
            _ if self.is_input || written.is_some() => {
                let bytes = memory.copy(memory.len());
                let end = if self.is_input {
                    bytes.len().saturating_sub(1)
                } else {
                    bytes.len()
                };
                quote_up_to(&bytes[..end], detail.string)
            }
            _ => memory.name(),
        }
    }
}

/// A register that is no address, as strace prints it.
pub(crate) fn show_number(kind: Kind, value: u64) -> Option<String> {
    // The kernel looks at as many bits as the parameter's type has.
    Some(match kind {
        Kind::Int | Kind::Fd => (value as i32).to_string(),
        Kind::Dirfd if value as i32 == AT_FDCWD => "AT_FDCWD".to_owned(),
        Kind::Dirfd => (value as i32).to_string(),
        Kind::Uint => (value as u32).to_string(),
        Kind::Long => (value as i64).to_string(),
        Kind::Ulong => value.to_string(),
        Kind::Hex if value == 0 => "0".to_owned(),
        Kind::Hex => format!("{value:#x}"),
        Kind::Mode => octal(u64::from(value as u32)),
        Kind::Signal => signal::show(value as u32),
        Kind::Names(set) => set.show(value),
        _ => return None,
    })
}

/// An address of which the memory is not shown.
pub(crate) fn show_pointer(kind: Kind, value: u64) -> String {
    const LARGEST_DECIMAL: u64 = 0xffff;
    match kind {
        Kind::Any if value <= LARGEST_DECIMAL => value.to_string(),
        _ if value == 0 => "NULL".to_owned(),
        _ => format!("{value:#x}"),
    }
}

/// `AT_FDCWD`, as the descriptor that it is.
const AT_FDCWD: i32 = linux_raw_sys::general::AT_FDCWD;

/// The size of the buffer that a parameter needs, where it is known.
fn needed(kind: Kind, all: &[Value]) -> Option<usize> {
    match kind {
        Kind::In(format) | Kind::Out(format) | Kind::InOut(format) => format.size(),
        Kind::BytesIn(length) => length_of(length, all),
        Kind::BytesOut(extent) => length_of(extent.length(), all),
        _ => None,
    }
}

/// The number of bytes that another argument says.
fn length_of(index: usize, all: &[Value]) -> Option<usize> {
    match all.get(index) {
        Some(Value::Number(bytes)) if *bytes <= MAX_BUFFER => usize::try_from(*bytes).ok(),
        _ => None,
    }
}

/// The bytes that an argument without quotes stands for.
fn contents(kind: Kind, value: &Value) -> Result<Vec<u8>, ArgumentError> {
    match (kind, value) {
        (Kind::Path | Kind::Text | Kind::BytesIn(_), Value::Word(word)) => {
            let mut bytes = word.clone();
            bytes.push(0);
            Ok(bytes)
        }
        (Kind::Path, _) => Err(ArgumentError::Expected("a path")),
        (Kind::Text | Kind::BytesIn(_), _) => Err(ArgumentError::Expected("a string")),
        (Kind::Strings, _) => Err(ArgumentError::Expected(
            "an array of strings: [\"a\", \"b\"]",
        )),
        (Kind::Gather, _) => Err(ArgumentError::Expected(
            "an array of strings or addresses: [\"abc\", {iov_base=0x7f0000000000, iov_len=3}]",
        )),
        (Kind::Scatter, _) => Err(ArgumentError::Expected("an array of buffers: [@10, @20]")),
        (Kind::BytesOut(_), _) => Err(ArgumentError::Expected("a buffer, such as @100")),
        (Kind::Out(_), Value::Word(_)) => Err(ArgumentError::Expected("a buffer: @")),
        (Kind::In(format) | Kind::Out(format) | Kind::InOut(format), value) => {
            Ok(format.encode(value)?)
        }
        _ => Err(ArgumentError::Expected(
            "an address, a buffer (@N) or a quoted string of bytes",
        )),
    }
}

/// Memory that holds a string and the zero byte that ends it.
pub(super) fn terminated(bytes: &[u8]) -> Block {
    Block::holding([bytes, &[0]].concat())
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    &bytes[..end]
}
