// SPDX-License-Identifier: MIT OR Apache-2.0

use std::os::fd::AsRawFd;

use anyhow::{ensure, Result};
use nlcall_abi::Call;
use rustix::fd::OwnedFd;
use syscalls::{raw::syscall3, Sysno};

use super::{call, linked, signed, Entries, Work};
use crate::{
    area::Area,
    fixtures::{Fixtures, ENTRIES},
};

/// Bytes that hold the whole directory.
pub const BUFFER: usize = 64 << 10;

/// `lseek` to the start of a directory of 1,000 entries and `getdents64` of all of them.
pub struct Getdents {
    folders: Vec<OwnedFd>,
    buffers: Area,
}

impl Getdents {
    /// Prepares a batch.
    pub fn new(fixtures: &Fixtures, batch: usize) -> Result<Self> {
        let folders = (0..batch).map(|_| fixtures.open_folder("listed"));
        Ok(Self {
            folders: folders.collect::<Result<_>>()?,
            buffers: Area::new(batch * BUFFER)?,
        })
    }

    /// The bytes of a directory.
    ///
    /// # Safety
    ///
    /// No call of this work is in flight while they are used.
    pub unsafe fn entries_of(&self, unit: usize) -> &[u8] {
        // SAFETY: As the caller promises.
        unsafe { &self.buffers.bytes()[unit * BUFFER..][..BUFFER] }
    }
}

impl Work for Getdents {
    fn units(&self, _phase: usize) -> usize {
        self.folders.len()
    }

    fn operations(&self) -> usize {
        self.folders.len()
    }

    fn is_chain(&self) -> bool {
        true
    }

    fn plain(&self, _phase: usize, unit: usize) -> i64 {
        let fd = self.folders[unit].as_raw_fd() as usize;
        let buffer = self.buffers.address(unit * BUFFER) as usize;
        // SAFETY: The buffer has a place for each unit, and nobody looks at it meanwhile.
        unsafe {
            let sought = syscall3(Sysno::lseek as usize, fd, 0, libc::SEEK_SET as usize);
            let read = syscall3(Sysno::getdents64 as usize, fd, buffer, BUFFER);
            signed(sought).min(signed(read))
        }
    }

    fn calls(&self, _phase: usize, unit: usize, calls: &mut Vec<Call>) {
        let fd = self.folders[unit].as_raw_fd() as u64;
        let buffer = self.buffers.address(unit * BUFFER);
        calls.push(linked(call(Sysno::lseek, &[fd, 0, libc::SEEK_SET as u64])));
        calls.push(call(Sysno::getdents64, &[fd, buffer, BUFFER as u64]));
    }

    fn entries(&self, _phase: usize, _unit: usize) -> Entries {
        Entries::NotPossible("io_uring has no getdents64")
    }

    fn clear(&self) {
        // SAFETY: No call is in flight.
        unsafe { self.buffers.fill(0) };
    }

    fn verify(&self) -> Result<()> {
        for unit in 0..self.folders.len() {
            // SAFETY: No call is in flight.
            let found = names_in(unsafe { self.entries_of(unit) })
                .filter(|(_, name)| name.first() != Some(&b'.'))
                .count();
            ensure!(found == ENTRIES, "getdents64 found {found} entries");
        }
        Ok(())
    }
}

/// The names in a buffer that `getdents64` filled, each with its offset, up to the first record
/// that was never written.
pub fn names_in(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    /// `struct linux_dirent64`: inode, offset, length of the record, kind, name.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let mut at = 0;
    std::iter::from_fn(move || {
        let record = bytes.get(at..)?;
        let len = usize::from(u16::from_ne_bytes([
            *record.get(LENGTH)?,
            *record.get(LENGTH + 1)?,
        ]));
        let name = record.get(NAME..len)?;
        let end = name.iter().position(|byte| *byte == 0)?;
        let found = (at + NAME, &name[..end]);
        at += len;
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str) -> Vec<u8> {
        let len = (19 + name.len() + 1).next_multiple_of(8);
        let mut record = vec![0; 16];
        record.extend((len as u16).to_ne_bytes());
        record.push(8);
        record.extend(name.as_bytes());
        record.resize(len, 0);
        record
    }

    #[test]
    fn names_are_found_with_their_offsets() {
        let mut bytes = record(".");
        let second = bytes.len();
        bytes.extend(record("a longer name"));
        bytes.resize(bytes.len() + 100, 0);
        let found: Vec<_> = names_in(&bytes).collect();
        assert_eq!(
            found,
            [(19, &b"."[..]), (second + 19, &b"a longer name"[..])]
        );
        assert_eq!(names_in(&[0; 64]).count(), 0);
        assert_eq!(names_in(&[]).count(), 0);
    }
}
