// SPDX-License-Identifier: MIT OR Apache-2.0

//! One argument: text becomes a register and memory, and text again.

use std::io;

use super::ArgumentError;
use crate::layout::{
    names_value,
    octal,
    Detail,
    Format, //
};
use crate::memory::Buffer;
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
    /// What the register holds.
    pub(super) register: u64,
    /// The memory that the register points to, where it was made for this argument.
    buffer: Option<Buffer>,
    /// Whether that memory was given contents.
    is_input: bool,
    /// The name that stood for the number.
    word: Option<String>,
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
            buffer: None,
            is_input: false,
            word: None,
        };
        if let Value::Number(number) = value {
            return Ok(register(*number));
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
        let (buffer, is_input) = match value {
            Value::Buffer(size) => {
                let size = size.or_else(|| needed(parameter.kind, all));
                (
                    Buffer::zeroed(size.ok_or(ArgumentError::SizeNeeded)?)?,
                    false,
                )
            }
            Value::Quoted(bytes) => (terminated(bytes)?, true),
            _ => (Buffer::holding(&contents(parameter.kind, value)?)?, true),
        };
        let register = buffer.address();
        Ok(Self {
            parameter,
            register,
            buffer: Some(buffer),
            is_input,
            word: None,
        })
    }

    /// As strace prints it. `registers` are those of all arguments; `written` is what the call
    /// returned, where it succeeded.
    pub(super) fn show(
        &self,
        registers: &[u64; 6],
        written: Option<u64>,
        detail: Detail,
    ) -> String {
        let value = self.register;
        // The kernel looks at as many bits as the parameter's type has.
        match self.parameter.kind {
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
            _ => match &self.buffer {
                Some(buffer) => self.show_memory(buffer, registers, written, detail),
                None => self.show_plain_pointer(),
            },
        }
    }

    /// A pointer that was given as a number or by a name.
    fn show_plain_pointer(&self) -> String {
        const LARGEST_DECIMAL: u64 = 0xffff;
        match (self.parameter.kind, &self.word) {
            (_, Some(word)) => word.clone(),
            (Kind::Any, None) if self.register <= LARGEST_DECIMAL => self.register.to_string(),
            (_, None) if self.register == 0 => "NULL".to_owned(),
            (_, None) => format!("{:#x}", self.register),
        }
    }

    fn show_memory(
        &self,
        buffer: &Buffer,
        registers: &[u64; 6],
        written: Option<u64>,
        detail: Detail,
    ) -> String {
        let address = || format!("{:#x}", self.register);
        // More than memory holds is as good as all of it.
        let at_most = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        // One byte more than is shown tells whether there is more.
        let enough = detail.string.saturating_add(1);
        match (self.parameter.kind, written) {
            (Kind::Path, _) => quote(until_zero(&buffer.copy(buffer.len()))),
            (Kind::Text, _) => quote_up_to(until_zero(&buffer.copy(buffer.len())), detail.string),
            (Kind::BytesIn(length), _) => {
                let bytes = buffer.copy(at_most(registers[length]).min(enough));
                quote_up_to(&bytes, detail.string)
            }
            (Kind::BytesOut(Extent::Returned(length)), Some(written)) => {
                let bytes = buffer.copy(at_most(written.min(registers[length])).min(enough));
                quote_up_to(&bytes, detail.string)
            }
            (Kind::BytesOut(Extent::Text(_)), Some(_)) => {
                quote(until_zero(&buffer.copy(buffer.len())))
            }
            (Kind::Out(format @ Format::List(item)), Some(written)) => {
                let size = item.size().unwrap_or(1);
                let bytes = buffer.copy(at_most(written).saturating_mul(size));
                format.show_or_quote(&bytes, detail)
            }
            (Kind::Out(format), Some(_)) | (Kind::In(format) | Kind::InOut(format), _) => {
                format.show_or_quote(&buffer.copy(buffer.len()), detail)
            }
            (Kind::BytesOut(_) | Kind::Out(_), None) => address(),
            _ if self.is_input || written.is_some() => {
                let bytes = buffer.copy(buffer.len());
                let end = if self.is_input {
                    bytes.len().saturating_sub(1)
                } else {
                    bytes.len()
                };
                quote_up_to(&bytes[..end], detail.string)
            }
            _ => address(),
        }
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
fn terminated(bytes: &[u8]) -> io::Result<Buffer> {
    Buffer::holding(&[bytes, &[0]].concat())
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    &bytes[..end]
}
