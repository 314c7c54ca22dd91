// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{
    ffi::CString,
    mem::{offset_of, size_of},
    os::fd::AsRawFd,
};

use anyhow::{ensure, Result};
use io_uring::{opcode, types::Fd};
use nlcall_abi::Call;
use rustix::fd::OwnedFd;
use syscalls::{raw::syscall5, Sysno};

use super::{call, signed, Entries, Work};
use crate::{
    area::Area,
    fixtures::{address, names, Fixtures, FILES, PAGE},
};

/// The kernel's own structure.
const STATX: usize = size_of::<libc::statx>();

/// `statx` of a file by its name in an open folder, each of another file.
pub struct StatxFile {
    folder: OwnedFd,
    names: Vec<CString>,
    buffers: Area,
    batch: usize,
}

impl StatxFile {
    /// Prepares a batch.
    pub fn new(fixtures: &Fixtures, batch: usize) -> Result<Self> {
        Ok(Self {
            folder: fixtures.open_folder("files")?,
            names: names(FILES),
            buffers: Area::new(batch * STATX)?,
            batch,
        })
    }

    fn args(&self, unit: usize) -> [u64; 5] {
        [
            self.folder.as_raw_fd() as u64,
            address(&self.names[unit % FILES]),
            0,
            libc::STATX_BASIC_STATS.into(),
            self.buffers.address(unit * STATX),
        ]
    }
}

impl Work for StatxFile {
    fn units(&self, _phase: usize) -> usize {
        self.batch
    }

    fn operations(&self) -> usize {
        self.batch
    }

    fn plain(&self, _phase: usize, unit: usize) -> i64 {
        let [fd, name, flags, mask, buffer] = self.args(unit).map(|arg| arg as usize);
        // SAFETY: The buffer has a place for each unit, and nobody looks at it meanwhile; the name
        // lives as long as `self`.
        signed(unsafe { syscall5(Sysno::statx as usize, fd, name, flags, mask, buffer) })
    }

    fn calls(&self, _phase: usize, unit: usize, calls: &mut Vec<Call>) {
        calls.push(call(Sysno::statx, &self.args(unit)));
    }

    fn entries(&self, _phase: usize, unit: usize) -> Entries {
        let folder = Fd(self.folder.as_raw_fd());
        let name = self.names[unit % FILES].as_ptr();
        let buffer = self.buffers.at(unit * STATX).cast();
        let statx = opcode::Statx::new(folder, name, buffer).mask(libc::STATX_BASIC_STATS);
        Entries::Of(vec![statx.build()])
    }

    fn clear(&self) {
        // SAFETY: No call is in flight.
        unsafe { self.buffers.fill(0) };
    }

    fn verify(&self) -> Result<()> {
        // SAFETY: No call is in flight.
        verify_sizes(unsafe { self.buffers.bytes() }, self.batch, PAGE as u64)
    }
}

/// Checks that each of so many `statx` structures tells of a file of this size.
pub fn verify_sizes(bytes: &[u8], count: usize, size: u64) -> Result<()> {
    const SIZE: usize = offset_of!(libc::statx, stx_size);
    const MASK: usize = offset_of!(libc::statx, stx_mask);
    for structure in bytes.chunks_exact(STATX).take(count) {
        ensure!(
            structure[SIZE..SIZE + 8] == size.to_ne_bytes() && structure[MASK..MASK + 4] != [0; 4],
            "a statx brought a wrong size"
        );
    }
    Ok(())
}
