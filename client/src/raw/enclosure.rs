// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a SUBMIT message holds besides its calls.

use std::{
    mem::size_of,
    os::fd::{AsFd, AsRawFd},
};

use nlcall_abi as abi;
use zerocopy::IntoBytes;

use super::{message::ATTR_HEADER_LEN, Data, Target};

/// Most bytes of a value that is split into several attributes: its length, header included, has 16
/// bits, and no entry of RELOC straddles two of them.
const VALUE_MAX: usize =
    (u16::MAX as usize - ATTR_HEADER_LEN) / size_of::<abi::Reloc>() * size_of::<abi::Reloc>();

/// Attributes that follow the calls, as they go over the wire.
#[derive(Debug, Default)]
pub(super) struct Enclosure {
    bytes: Vec<u8>,
    is_abroad: bool,
    is_whole: bool,
}

impl Enclosure {
    /// For calls in `target`, with the first `sent` bytes of some data, zeroes behind its bytes
    /// included.
    pub(super) fn new(target: Option<&Target>, data: Option<(&Data, usize)>) -> Self {
        let mut enclosure = Self {
            bytes: Vec::new(),
            is_abroad: target.is_some(),
            is_whole: data.is_some(),
        };
        if let Some(target) = target {
            // A descriptor is not negative.
            let pidfd = target.as_fd().as_raw_fd() as u32;
            enclosure.push(abi::submit::TARGET_PIDFD, &pidfd.to_ne_bytes());
        }
        if let Some((data, sent)) = data {
            enclosure.push_long(abi::submit::RELOC, data.relocs().as_bytes());
            let mut bytes = data.bytes().to_vec();
            bytes.resize(sent, 0);
            enclosure.push_long(abi::submit::DATA, &bytes);
        }
        enclosure
    }

    /// The attributes, each of them padded.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the calls execute in another process.
    pub(super) fn is_abroad(&self) -> bool {
        self.is_abroad
    }

    /// Whether all calls of the batch belong into the same message.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Adds a value in as many attributes as it takes.
    fn push_long(&mut self, kind: u16, value: &[u8]) {
        for part in value.chunks(VALUE_MAX) {
            self.push(kind, part);
        }
    }

    fn push(&mut self, kind: u16, value: &[u8]) {
        let length = (ATTR_HEADER_LEN + value.len()) as u16;
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
