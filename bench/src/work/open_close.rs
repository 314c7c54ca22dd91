// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{ffi::CString, os::fd::AsRawFd};

use anyhow::{Context, Result};
use io_uring::{
    opcode, squeue,
    types::{DestinationSlot, Fd, Fixed},
    IoUring,
};
use nlcall_abi::{ArgKind, Call};
use rustix::fd::OwnedFd;
use syscalls::{
    raw::{syscall1, syscall3},
    Sysno,
};

use super::{call, linked, result_of, signed, with_kind, Entries, Work};
use crate::fixtures::{address, names, Fixtures, FILES};

/// `openat` of a file by its name in an open folder, and `close`. io_uring opens into a registered
/// slot, linked with the close of that.
pub struct OpenClose {
    folder: OwnedFd,
    names: Vec<CString>,
    batch: usize,
}

impl OpenClose {
    /// Prepares a batch.
    pub fn new(fixtures: &Fixtures, batch: usize) -> Result<Self> {
        Ok(Self {
            folder: fixtures.open_folder("files")?,
            names: names(FILES),
            batch,
        })
    }
}

impl Work for OpenClose {
    fn units(&self, _phase: usize) -> usize {
        self.batch
    }

    fn operations(&self) -> usize {
        self.batch
    }

    fn is_chain(&self) -> bool {
        true
    }

    fn plain(&self, _phase: usize, unit: usize) -> i64 {
        let folder = self.folder.as_raw_fd() as usize;
        let name = address(&self.names[unit % FILES]) as usize;
        // SAFETY: The name lives as long as `self`. The descriptor that is closed is the new one,
        // which nobody else knows; where there is none, nothing is closed.
        unsafe {
            let fd = syscall3(
                Sysno::openat as usize,
                folder,
                name,
                libc::O_RDONLY as usize,
            );
            signed(syscall1(Sysno::close as usize, fd))
        }
    }

    fn calls(&self, _phase: usize, unit: usize, calls: &mut Vec<Call>) {
        let open = calls.len();
        let name = address(&self.names[unit % FILES]);
        let folder = self.folder.as_raw_fd() as u64;
        calls.push(linked(call(
            Sysno::openat,
            &[folder, name, libc::O_RDONLY as u64],
        )));
        calls.push(with_kind(
            call(Sysno::close, &[result_of(open)]),
            0,
            ArgKind::Result,
        ));
    }

    fn prepare_ring(&self, ring: &IoUring) -> Result<()> {
        ring.submitter()
            .register_files_sparse(self.batch as u32)
            .context("registering slots for files")
    }

    fn entries(&self, _phase: usize, unit: usize) -> Entries {
        let slot = unit as u32;
        Entries::Of(vec![
            open_into(slot, &self.folder, &self.names[unit % FILES]),
            opcode::Close::new(Fixed(slot)).build(),
        ])
    }
}

/// An entry that opens a file into a registered slot, linked with the next.
pub fn open_into(slot: u32, folder: &OwnedFd, name: &CString) -> squeue::Entry {
    let slot = DestinationSlot::try_from_slot_target(slot).ok();
    opcode::OpenAt::new(Fd(folder.as_raw_fd()), name.as_ptr())
        .flags(libc::O_RDONLY)
        .file_index(slot)
        .build()
        .flags(squeue::Flags::IO_LINK)
}
