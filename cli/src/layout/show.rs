// SPDX-License-Identifier: MIT OR Apache-2.0

//! From bytes to text.

use std::fmt::Write as _;

use super::{
    Detail,
    Format,
    Layout,
    Shown, //
};
use crate::names::file;
use crate::syntax::quote::{
    quote,
    quote_up_to, //
};

impl Format {
    /// Shows bytes in memory; `None` where there are too few.
    pub fn show(&self, bytes: &[u8], detail: Detail) -> Option<String> {
        Some(match self {
            Format::Signed(size) => signed(bytes, *size)?.to_string(),
            Format::Unsigned(size) => unsigned(bytes, *size)?.to_string(),
            Format::Hex(size) => match unsigned(bytes, *size)? {
                0 => "0".to_owned(),
                value => format!("{value:#x}"),
            },
            Format::Mode(size) => show_mode(unsigned(bytes, *size)?),
            Format::Device(size) => {
                let device = unsigned(bytes, *size)?;
                let (major, minor) = (libc::major(device), libc::minor(device));
                format!("makedev({}, {})", prefixed(major), prefixed(minor))
            }
            Format::Limit => match unsigned(bytes, 8)? {
                u64::MAX => "RLIM64_INFINITY".to_owned(),
                value if value > 1024 && value % 1024 == 0 => format!("{}*1024", value / 1024),
                value => value.to_string(),
            },
            Format::Names(set, size) => set.show(unsigned(bytes, *size)?),
            Format::Text(size) => {
                let text = bytes.get(..*size)?;
                let end = text.iter().position(|byte| *byte == 0).unwrap_or(*size);
                quote(&text[..end])
            }
            Format::Structure(layout) => layout.show(bytes, detail)?,
            Format::Array(item, count) => {
                let bytes = bytes.get(..item.size()? * count)?;
                show_items(item, bytes, detail)?
            }
            Format::List(item) => show_items(item, bytes, detail)?,
        })
    }

    /// Shows bytes in memory: as this format where there are enough, else as a string.
    pub fn show_or_quote(&self, bytes: &[u8], detail: Detail) -> String {
        self.show(bytes, detail)
            .unwrap_or_else(|| quote_up_to(bytes, detail.string))
    }
}

impl Layout {
    fn show(&self, bytes: &[u8], detail: Detail) -> Option<String> {
        let bytes = bytes.get(..self.size)?;
        let is_device = self.is_device(bytes)?;
        let mut text = String::from("{");
        let mut hidden = false;
        for field in self.fields {
            let shown = match field.shown {
                Shown::Always => true,
                Shown::InFull => detail.in_full,
                Shown::Size => !is_device,
                Shown::Device => is_device,
            };
            if !shown {
                hidden |= field.shown == Shown::InFull;
                continue;
            }
            if text.len() > 1 {
                text.push_str(", ");
            }
            let value = field.format.show(&bytes[field.offset..], detail)?;
            // Writing to a String cannot fail.
            let _ = write!(text, "{}={value}", field.name);
        }
        text.push_str(if hidden { ", ...}" } else { "}" });
        Some(text)
    }

    /// Whether this is the status of a device.
    fn is_device(&self, bytes: &[u8]) -> Option<bool> {
        for field in self.fields {
            if let Format::Mode(size) = field.format {
                let mode = unsigned(&bytes[field.offset..], size)?;
                let kind = mode & u64::from(linux_raw_sys::general::S_IFMT);
                let devices = [
                    linux_raw_sys::general::S_IFCHR,
                    linux_raw_sys::general::S_IFBLK,
                ];
                return Some(devices.map(u64::from).contains(&kind));
            }
        }
        Some(false)
    }
}

/// Type and permissions of a file, as strace prints them.
pub(super) fn show_mode(mode: u64) -> String {
    let kind = mode & u64::from(linux_raw_sys::general::S_IFMT);
    let permissions = octal(mode & !u64::from(linux_raw_sys::general::S_IFMT));
    match file::FILE_TYPE
        .constants()
        .find(|(_, value)| *value == kind)
    {
        Some((name, _)) => format!("{name}|{permissions}"),
        None => octal(mode),
    }
}

/// An octal number as strace prints it: with a leading zero, and three digits at least.
pub fn octal(value: u64) -> String {
    format!("{:0>3}", format!("0{value:o}"))
}

fn prefixed(number: u32) -> String {
    match number {
        0 => "0".to_owned(),
        _ => format!("{number:#x}"),
    }
}

fn show_items(item: &Format, bytes: &[u8], detail: Detail) -> Option<String> {
    let items = bytes
        .chunks_exact(item.size()?)
        .map(|bytes| item.show(bytes, detail));
    Some(format!(
        "[{}]",
        items.collect::<Option<Vec<_>>>()?.join(", ")
    ))
}

/// The first `size` bytes as an unsigned number.
fn unsigned(bytes: &[u8], size: usize) -> Option<u64> {
    let mut wide = [0; 8];
    wide.get_mut(..size)?.copy_from_slice(bytes.get(..size)?);
    Some(u64::from_le_bytes(wide))
}

/// The first `size` bytes as a signed number.
fn signed(bytes: &[u8], size: usize) -> Option<i64> {
    let unused = 64 - 8 * u32::try_from(size).ok()?;
    // The shifts extend the sign.
    Some((unsigned(bytes, size)? << unused) as i64 >> unused)
}
