// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{
    mem::size_of,
    os::fd::AsRawFd,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{ensure, Result};
use io_uring::{opcode, types::Fd};
use nlcall_abi::Call;
use rustix::fd::OwnedFd;
use syscalls::{raw::syscall5, Sysno};

use super::{
    call,
    getdents::{names_in, Getdents},
    signed,
    statx::verify_sizes,
    Entries, Work,
};
use crate::{
    area::Area,
    fixtures::{Fixtures, ENTRIES},
};

const STATX: usize = size_of::<libc::statx>();

/// What `ls -l` does: the names of a directory of 1,000 entries by `getdents64`, then `statx` of
/// each. The names are found in the first phase's output, by the same code for every contender.
pub struct Listing {
    folder: OwnedFd,
    directory: Getdents,
    names: Vec<AtomicU64>,
    buffers: Area,
}

impl Listing {
    /// Prepares it.
    pub fn new(fixtures: &Fixtures) -> Result<Self> {
        let it = Self {
            folder: fixtures.open_folder("listed")?,
            directory: Getdents::new(fixtures, 1)?,
            names: (0..ENTRIES).map(|_| AtomicU64::new(0)).collect(),
            buffers: Area::new(ENTRIES * STATX)?,
        };
        // The addresses of the names, for entries that are built beforehand. They are found anew
        // in every round.
        ensure!(it.plain(0, 0) >= 0, "the directory cannot be read");
        it.conclude(0);
        Ok(it)
    }
}

impl Work for Listing {
    fn phases(&self) -> usize {
        2
    }

    fn units(&self, phase: usize) -> usize {
        [1, ENTRIES][phase]
    }

    fn operations(&self) -> usize {
        ENTRIES
    }

    fn is_chain(&self) -> bool {
        true
    }

    fn plain(&self, phase: usize, unit: usize) -> i64 {
        if phase == 0 {
            return self.directory.plain(0, 0);
        }
        let fd = self.folder.as_raw_fd() as usize;
        let name = self.names[unit].load(Ordering::Relaxed) as usize;
        let mask = libc::STATX_BASIC_STATS as usize;
        let buffer = self.buffers.address(unit * STATX) as usize;
        // SAFETY: The buffer has a place for each unit, and nobody looks at it meanwhile; the
        // names lie in the directory's buffer, which lives as long as `self`.
        signed(unsafe { syscall5(Sysno::statx as usize, fd, name, 0, mask, buffer) })
    }

    fn calls(&self, phase: usize, unit: usize, calls: &mut Vec<Call>) {
        if phase == 0 {
            return self.directory.calls(0, 0, calls);
        }
        let args = [
            self.folder.as_raw_fd() as u64,
            0,
            0,
            libc::STATX_BASIC_STATS.into(),
            self.buffers.address(unit * STATX),
        ];
        calls.push(call(Sysno::statx, &args));
    }

    fn addresses(&self, phase: usize) -> Option<&[AtomicU64]> {
        (phase == 1).then_some(&self.names)
    }

    fn conclude(&self, phase: usize) {
        if phase != 0 {
            return;
        }
        // SAFETY: The calls of the first phase are over.
        let bytes = unsafe { self.directory.entries_of(0) };
        let start = bytes.as_ptr() as u64;
        let found = names_in(bytes).filter(|(_, name)| name[0] != b'.');
        for ((at, _), name) in found.zip(&self.names) {
            name.store(start + at as u64, Ordering::Relaxed);
        }
    }

    fn entries(&self, phase: usize, unit: usize) -> Entries {
        if phase == 0 {
            return Entries::PlainCalls;
        }
        let folder = Fd(self.folder.as_raw_fd());
        let name = self.names[unit].load(Ordering::Relaxed) as *const _;
        let buffer = self.buffers.at(unit * STATX).cast();
        let statx = opcode::Statx::new(folder, name, buffer).mask(libc::STATX_BASIC_STATS);
        Entries::Of(vec![statx.build()])
    }

    fn clear(&self) {
        self.directory.clear();
        // SAFETY: No call is in flight.
        unsafe { self.buffers.fill(0) };
    }

    fn verify(&self) -> Result<()> {
        self.directory.verify()?;
        // SAFETY: No call is in flight.
        verify_sizes(unsafe { self.buffers.bytes() }, ENTRIES, 0)
    }
}
