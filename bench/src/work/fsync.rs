// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{fs::File, os::fd::AsRawFd};

use anyhow::{Context, Result};
use io_uring::{opcode, types::Fixed, IoUring};
use nlcall_abi::Call;
use syscalls::{
    raw::{syscall1, syscall4},
    Sysno,
};

use super::{call, signed, Entries, Request, Work};
use crate::fixtures::{name, Fixtures, PAGE};

/// `fsync` of so many files, to each of which one page was written before, by a plain `pwrite64`
/// for every contender.
pub struct Fsync {
    files: Vec<File>,
    page: Vec<u8>,
}

impl Fsync {
    /// Prepares a batch.
    pub fn new(fixtures: &Fixtures, batch: usize) -> Result<Self> {
        let open = |number| {
            let path = fixtures.path("files").join(name(number));
            File::options()
                .write(true)
                .open(&path)
                .with_context(|| format!("opening {path:?}"))
        };
        Ok(Self {
            files: (0..batch).map(open).collect::<Result<_>>()?,
            page: (0..PAGE).map(|byte| byte as u8 | 1).collect(),
        })
    }

    fn fd(&self, unit: usize) -> i32 {
        self.files[unit].as_raw_fd()
    }
}

impl Work for Fsync {
    fn phases(&self) -> usize {
        2
    }

    fn units(&self, _phase: usize) -> usize {
        self.files.len()
    }

    fn operations(&self) -> usize {
        self.files.len()
    }

    fn is_preparation(&self, phase: usize) -> bool {
        phase == 0
    }

    fn plain(&self, phase: usize, unit: usize) -> i64 {
        let fd = self.fd(unit) as usize;
        // SAFETY: The page is only read and lives as long as `self`.
        signed(unsafe {
            match phase {
                0 => syscall4(
                    Sysno::pwrite64 as usize,
                    fd,
                    self.page.as_ptr() as usize,
                    PAGE,
                    0,
                ),
                _ => syscall1(Sysno::fsync as usize, fd),
            }
        })
    }

    fn calls(&self, _phase: usize, unit: usize, calls: &mut Vec<Call>) {
        calls.push(call(Sysno::fsync, &[self.fd(unit) as u64]));
    }

    fn prepare_ring(&self, ring: &IoUring) -> Result<()> {
        let files: Vec<_> = self.files.iter().map(AsRawFd::as_raw_fd).collect();
        ring.submitter()
            .register_files(&files)
            .context("registering the files")
    }

    fn entries(&self, _phase: usize, unit: usize) -> Entries {
        Entries::Of(vec![opcode::Fsync::new(Fixed(unit as u32)).build()])
    }

    fn request(&self, _phase: usize, unit: usize) -> Request {
        Request::Sync { fd: self.fd(unit) }
    }
}
