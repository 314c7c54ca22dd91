// SPDX-License-Identifier: MIT OR Apache-2.0

//! From text to bytes.

use super::{
    Format,
    Layout, //
};
use crate::names::{
    file,
    Set, //
};
use crate::syntax::Value;

/// Why a value cannot be written as the parameter wants it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The wrong sort of value.
    #[error("{0} is expected")]
    Expected(&'static str),
    /// No such field.
    #[error("there is no field `{0}`; the fields are {1}")]
    NoField(String, String),
    /// Too many values.
    #[error("more than {0} values")]
    TooMany(usize),
    /// A name that the parameter does not know.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Text longer than its array.
    #[error("text of at most {0} bytes is expected")]
    TextTooLong(usize),
    /// A number does not fit.
    #[error("a number of {0} bytes is expected")]
    TooLarge(usize),
}

/// A name that no constant has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown name `{name}`{}", hint(.known))]
pub struct NameError {
    /// The name.
    pub name: String,
    /// Names that would do, nearest first.
    pub known: Vec<&'static str>,
}

fn hint(known: &[&'static str]) -> String {
    match known {
        [] => String::new(),
        _ => format!("; known: {}", known.join(", ")),
    }
}

/// The value of names joined with `|`; a part may be a number. Names that `set` does not have are
/// looked for in every set.
pub fn names_value(set: Option<&'static Set>, word: &[u8]) -> Result<u64, NameError> {
    let mut value = 0;
    for part in word.split(|byte| *byte == b'|') {
        let part = part.trim_ascii();
        value |= match crate::syntax::number(part) {
            Some(Ok(number)) => number,
            _ => {
                let name = String::from_utf8_lossy(part);
                set.and_then(|set| set.value(&name))
                    .or_else(|| crate::names::anywhere(&name))
                    .ok_or_else(|| NameError {
                        known: set.map_or_else(Vec::new, |set| nearest(set, &name)),
                        name: name.into_owned(),
                    })?
            }
        };
    }
    Ok(value)
}

/// The names of a set, those most like `name` first.
fn nearest(set: &'static Set, name: &str) -> Vec<&'static str> {
    const MOST: usize = 12;
    let upper = name.to_ascii_uppercase();
    let mut names: Vec<_> = set.constants().map(|(known, _)| known).collect();
    names.sort_by_cached_key(|known| {
        // Similarity lies in 0.0..=1.0.
        ((1.0 - strsim::jaro_winkler(known, &upper)) * 1e6) as u64
    });
    names.truncate(MOST);
    names
}

impl Format {
    /// Writes a value as the bytes that the kernel reads.
    pub fn encode(&self, value: &Value) -> Result<Vec<u8>, EncodeError> {
        match self {
            Format::Signed(size)
            | Format::Unsigned(size)
            | Format::Hex(size)
            | Format::Device(size) => number_bytes(value, None, *size),
            Format::Mode(size) => number_bytes(value, Some(&file::PERMISSION), *size),
            Format::Names(set, size) => number_bytes(value, Some(set), *size),
            Format::Limit => match value {
                Value::Word(word) if word == b"RLIM64_INFINITY" || word == b"RLIM_INFINITY" => {
                    Ok(u64::MAX.to_ne_bytes().to_vec())
                }
                _ => number_bytes(value, None, 8),
            },
            Format::Text(size) => {
                let text = match value {
                    Value::Quoted(text) | Value::Word(text) => text,
                    _ => return Err(EncodeError::Expected("a string")),
                };
                if text.len() > *size {
                    return Err(EncodeError::TextTooLong(*size));
                }
                let mut bytes = text.clone();
                bytes.resize(*size, 0);
                Ok(bytes)
            }
            Format::Structure(layout) => layout.encode(value),
            Format::Array(item, count) => {
                let values = match value {
                    Value::Array(values) => values,
                    _ => return Err(EncodeError::Expected("an array: [a, b]")),
                };
                if values.len() > *count {
                    return Err(EncodeError::TooMany(*count));
                }
                let mut bytes = encode_items(item, values)?;
                bytes.resize(self.size().unwrap_or(bytes.len()), 0);
                Ok(bytes)
            }
            Format::List(item) => match value {
                Value::Array(values) => encode_items(item, values),
                _ => Err(EncodeError::Expected("an array: [a, b]")),
            },
        }
    }
}

impl Layout {
    fn encode(&self, value: &Value) -> Result<Vec<u8>, EncodeError> {
        let values = match value {
            Value::Structure(values) => values,
            _ => return Err(EncodeError::Expected("a structure: {name=value, ...}")),
        };
        if values.len() > self.fields.len() {
            return Err(EncodeError::TooMany(self.fields.len()));
        }
        let mut bytes = vec![0; self.size];
        for (position, (name, value)) in values.iter().enumerate() {
            let field = match name {
                None => &self.fields[position],
                Some(name) => self
                    .fields
                    .iter()
                    .find(|field| field.name == name)
                    .ok_or_else(|| {
                        let known: Vec<_> = self.fields.iter().map(|field| field.name).collect();
                        EncodeError::NoField(name.clone(), known.join(", "))
                    })?,
            };
            let encoded = field.format.encode(value)?;
            bytes[field.offset..field.offset + encoded.len()].copy_from_slice(&encoded);
        }
        Ok(bytes)
    }
}

fn encode_items(item: &Format, values: &[Value]) -> Result<Vec<u8>, EncodeError> {
    let parts = values.iter().map(|value| item.encode(value));
    Ok(parts.collect::<Result<Vec<_>, _>>()?.concat())
}

fn number_bytes(
    value: &Value,
    set: Option<&'static Set>,
    size: usize,
) -> Result<Vec<u8>, EncodeError> {
    let number = match value {
        Value::Number(number) => *number,
        Value::Word(word) => names_value(set, word)?,
        _ => return Err(EncodeError::Expected("a number or a name")),
    };
    let bytes = number.to_le_bytes();
    let (kept, cut) = bytes.split_at(size);
    let is_negative = kept.last().is_some_and(|byte| byte & 0x80 != 0);
    let fill = if is_negative && cut.iter().all(|byte| *byte == 0xff) {
        0xff
    } else {
        0
    };
    if cut.iter().any(|byte| *byte != fill) {
        return Err(EncodeError::TooLarge(size));
    }
    Ok(kept.to_vec())
}
