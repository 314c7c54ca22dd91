// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{fs::File, os::fd::AsRawFd};

use anyhow::{ensure, Context, Result};
use io_uring::{opcode, types::Fixed, IoUring};
use nlcall_abi::Call;
use syscalls::{raw::syscall4, Sysno};

use super::{call, signed, Entries, Request, Work};
use crate::{
    area::Area,
    fixtures::{Fixtures, PAGE, PAGES},
};

/// `pread64` of a page of a file that is in the page cache, into a buffer of its own for each call.
/// For io_uring the file is registered.
pub struct Pread {
    file: File,
    buffers: Area,
    batch: usize,
}

impl Pread {
    /// Prepares a batch.
    pub fn new(fixtures: &Fixtures, batch: usize) -> Result<Self> {
        let path = fixtures.path("large");
        // Read once, so that it is in the cache.
        std::fs::read(&path).with_context(|| format!("reading {path:?}"))?;
        Ok(Self {
            file: File::open(&path).with_context(|| format!("opening {path:?}"))?,
            buffers: Area::new(batch * PAGE)?,
            batch,
        })
    }

    fn offset(&self, unit: usize) -> u64 {
        (unit % PAGES * PAGE) as u64
    }

    fn args(&self, unit: usize) -> [u64; 4] {
        let fd = self.file.as_raw_fd() as u64;
        let address = self.buffers.address(unit * PAGE);
        [fd, address, PAGE as u64, self.offset(unit)]
    }
}

impl Work for Pread {
    fn units(&self, _phase: usize) -> usize {
        self.batch
    }

    fn operations(&self) -> usize {
        self.batch
    }

    fn plain(&self, _phase: usize, unit: usize) -> i64 {
        let [fd, address, len, offset] = self.args(unit).map(|arg| arg as usize);
        // SAFETY: The buffer has a page for each unit, and nobody looks at it meanwhile.
        signed(unsafe { syscall4(Sysno::pread64 as usize, fd, address, len, offset) })
    }

    fn calls(&self, _phase: usize, unit: usize, calls: &mut Vec<Call>) {
        calls.push(call(Sysno::pread64, &self.args(unit)));
    }

    fn prepare_ring(&self, ring: &IoUring) -> Result<()> {
        ring.submitter()
            .register_files(&[self.file.as_raw_fd()])
            .context("registering the file")
    }

    fn entries(&self, _phase: usize, unit: usize) -> Entries {
        let read = opcode::Read::new(Fixed(0), self.buffers.at(unit * PAGE), PAGE as u32);
        Entries::Of(vec![read.offset(self.offset(unit)).build()])
    }

    fn request(&self, _phase: usize, unit: usize) -> Request {
        Request::Read {
            fd: self.file.as_raw_fd(),
            address: self.buffers.address(unit * PAGE),
            len: PAGE,
            offset: self.offset(unit) as i64,
        }
    }

    fn clear(&self) {
        // SAFETY: No call is in flight.
        unsafe { self.buffers.fill(0) };
    }

    fn verify(&self) -> Result<()> {
        // SAFETY: No call is in flight.
        let bytes = unsafe { self.buffers.bytes() };
        let read = &bytes[..self.batch * PAGE];
        ensure!(
            read.iter()
                .enumerate()
                .all(|(at, byte)| *byte == at as u8 | 1),
            "a read brought wrong bytes"
        );
        Ok(())
    }
}
