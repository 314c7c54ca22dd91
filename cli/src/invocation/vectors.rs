// SPDX-License-Identifier: MIT OR Apache-2.0

//! Arrays of pointers: strings as `execve(2)` takes them, and `struct iovec`.

use super::argument::terminated;
use super::ArgumentError;
use crate::image::{
    Block,
    Memory, //
};
use crate::layout::Detail;
use crate::syntax::quote::quote_up_to;
use crate::syntax::Value;

/// Lengths of a pointer and of a `struct iovec` in bytes.
const POINTER: usize = 8;
const VECTOR: usize = 16;

/// Pointers to strings, with the null pointer that ends them.
pub(super) fn strings(values: &[Value]) -> Result<Block, ArgumentError> {
    let mut block = Block::default();
    for value in values {
        match value {
            Value::Quoted(text) | Value::Word(text) => block.push_pointer(terminated(text)),
            Value::Number(address) => block.push(&address.to_ne_bytes()),
            _ => return Err(ArgumentError::Expected("an array of strings")),
        }
    }
    block.push(&[0; POINTER]);
    Ok(block)
}

/// The strings that [`strings`] made.
pub(super) fn show_strings(memory: &dyn Memory, detail: Detail) -> String {
    let bytes = memory.copy(memory.len());
    let pointers = bytes.chunks_exact(POINTER).enumerate();
    let texts = pointers.take((bytes.len() / POINTER).saturating_sub(1));
    let texts = texts.map(|(index, pointer)| match memory.pointee(index * POINTER) {
        // Without the zero byte.
        Some(text) => quote_up_to(&text.copy(text.len() - 1), detail.string),
        None => address(pointer),
    });
    format!("[{}]", texts.collect::<Vec<_>>().join(", "))
}

/// Entries of `struct iovec`: `{iov_base="abc", iov_len=3}`, or only what `iov_base` points to.
pub(super) fn vectors(values: &[Value]) -> Result<Block, ArgumentError> {
    let mut block = Block::default();
    for value in values {
        let (base, len) = match value {
            Value::Structure(fields) => base_and_len(fields)?,
            base => (base, None),
        };
        let own_len = match base {
            Value::Buffer(Some(size)) => {
                block.push_pointer(Block::zeroed(*size));
                *size as u64
            }
            Value::Quoted(text) => {
                block.push_pointer(terminated(text));
                text.len() as u64
            }
            Value::Number(address) => {
                block.push(&address.to_ne_bytes());
                len.ok_or(ArgumentError::Expected(
                    "a length: {iov_base=..., iov_len=N}",
                ))?
            }
            Value::Word(word) if word == b"NULL" => {
                block.push(&[0; POINTER]);
                0
            }
            Value::Buffer(None) => return Err(ArgumentError::SizeNeeded),
            _ => return Err(ArgumentError::Expected("a quoted string or a buffer (@N)")),
        };
        block.push(&len.unwrap_or(own_len).to_ne_bytes());
    }
    Ok(block)
}

/// The fields of one entry.
fn base_and_len(
    fields: &[(Option<String>, Value)],
) -> Result<(&Value, Option<u64>), ArgumentError> {
    let wrong = || ArgumentError::Expected("{iov_base=..., iov_len=N}");
    let (mut base, mut len) = (None, None);
    for (position, (name, value)) in fields.iter().enumerate() {
        match (name.as_deref(), position, value) {
            (Some("iov_base"), _, value) | (None, 0, value) => base = Some(value),
            (Some("iov_len"), _, Value::Number(number)) | (None, 1, Value::Number(number)) => {
                len = Some(*number);
            }
            _ => return Err(wrong()),
        }
    }
    Ok((base.ok_or_else(wrong)?, len))
}

/// Checks that no entry is longer than what it points to.
pub(super) fn check_sizes(block: &Block) -> Result<(), ArgumentError> {
    for (base, entry) in (0..).step_by(VECTOR).zip(entries(block)) {
        let has = block.pointee(base).map(|to| to.len() as u64);
        match has {
            Some(has) if entry.1 > has => {
                return Err(ArgumentError::TooSmall {
                    has,
                    needs: entry.1,
                })
            }
            _ => {}
        }
    }
    Ok(())
}

/// The entries that [`vectors`] made; where the call wrote to them, the first `written` bytes.
pub(super) fn show_vectors(
    memory: &dyn Memory,
    mut written: Option<u64>,
    detail: Detail,
) -> String {
    let mut texts = Vec::new();
    for (at, (base, len)) in (0..).step_by(VECTOR).zip(entries(memory)) {
        let shown = written.map_or(len, |left| left.min(len));
        written = written.map(|left| left - shown);
        // One byte more than is shown tells whether there is more.
        let up_to = usize::try_from(shown).unwrap_or(usize::MAX);
        let up_to = up_to.min(detail.string.saturating_add(1));
        let base = match memory.pointee(at) {
            Some(to) => quote_up_to(&to.copy(up_to), detail.string),
            None => address(&base.to_ne_bytes()),
        };
        texts.push(format!("{{iov_base={base}, iov_len={len}}}"));
    }
    format!("[{}]", texts.join(", "))
}

/// Address and length of each entry.
fn entries(memory: &(impl Memory + ?Sized)) -> impl Iterator<Item = (u64, u64)> {
    let word = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0, |all, byte| all << 8 | u64::from(*byte))
    };
    let bytes = memory.copy(memory.len());
    let entries: Vec<_> = bytes
        .chunks_exact(VECTOR)
        .map(|entry| (word(&entry[..POINTER]), word(&entry[POINTER..])))
        .collect();
    entries.into_iter()
}

fn address(pointer: &[u8]) -> String {
    match pointer
        .iter()
        .rev()
        .fold(0, |all, byte| all << 8 | u64::from(*byte))
    {
        0 => "NULL".to_owned(),
        address => format!("{address:#x}"),
    }
}
