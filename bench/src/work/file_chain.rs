// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{
    ffi::CString,
    mem::{offset_of, size_of},
    os::fd::AsRawFd,
};

use anyhow::{ensure, Context, Result};
use io_uring::{
    opcode, squeue,
    types::{Fd, Fixed},
    IoUring,
};
use nlcall_abi::{ArgKind, Call};
use rustix::fd::OwnedFd;
use syscalls::{
    raw::{syscall1, syscall2, syscall3},
    Sysno,
};

use super::{
    call, field_of, linked, open_close::open_into, result_of, signed, statx::verify_sizes,
    with_kind, Entries, Work,
};
use crate::{
    area::Area,
    fixtures::{address, names, Fixtures, FILES, PAGE},
};

/// Room for `struct stat` (of `fstat`) and for `struct statx` (of io_uring).
const STAT: usize = size_of::<libc::statx>();

/// `openat`, `fstat`, `read` and `close` of each of so many files: the read takes as many bytes as
/// fstat found.
///
/// io_uring has no fstat, and its read cannot take the length from another entry. It opens into a
/// registered slot, reads as much as the buffer holds, closes, all linked, and asks for the size by
/// a `statx` of the name beside that chain.
pub struct FileChain {
    folder: OwnedFd,
    names: Vec<CString>,
    stats: Area,
    buffers: Area,
    batch: usize,
}

impl FileChain {
    /// Prepares a batch.
    pub fn new(fixtures: &Fixtures, batch: usize) -> Result<Self> {
        Ok(Self {
            folder: fixtures.open_folder("files")?,
            names: names(FILES),
            stats: Area::new(batch * STAT)?,
            buffers: Area::new(batch * PAGE)?,
            batch,
        })
    }
}

impl Work for FileChain {
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
        let stat = self.stats.at(unit * STAT);
        let buffer = self.buffers.address(unit * PAGE) as usize;
        // SAFETY: The name and the buffers live as long as `self`, each unit has its own, and
        // nobody looks at them meanwhile but the unit itself between its calls. The size that is
        // found is at most a page. The descriptor is the new one, which nobody else knows.
        unsafe {
            let fd = syscall3(
                Sysno::openat as usize,
                folder,
                name,
                libc::O_RDONLY as usize,
            );
            let found = syscall2(Sysno::fstat as usize, fd, stat as usize);
            let size = (*stat.cast::<libc::stat>()).st_size as usize;
            let read = syscall3(Sysno::read as usize, fd, buffer, size.min(PAGE));
            let closed = syscall1(Sysno::close as usize, fd);
            signed(fd)
                .min(signed(found))
                .min(signed(read))
                .min(signed(closed))
        }
    }

    fn calls(&self, _phase: usize, unit: usize, calls: &mut Vec<Call>) {
        const SIZE: usize = offset_of!(libc::stat, st_size);
        let open = calls.len();
        let folder = self.folder.as_raw_fd() as u64;
        let name = address(&self.names[unit % FILES]);
        let stat = self.stats.address(unit * STAT);
        let buffer = self.buffers.address(unit * PAGE);
        calls.push(linked(call(
            Sysno::openat,
            &[folder, name, libc::O_RDONLY as u64],
        )));
        let fstat = with_kind(
            call(Sysno::fstat, &[result_of(open), stat]),
            0,
            ArgKind::Result,
        );
        calls.push(linked(with_kind(fstat, 1, ArgKind::OutPtr)));
        let read = with_kind(
            call(
                Sysno::read,
                &[result_of(open), buffer, field_of(open + 1, SIZE, 8)],
            ),
            0,
            ArgKind::Result,
        );
        calls.push(linked(with_kind(read, 2, ArgKind::Load)));
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
        let name = &self.names[unit % FILES];
        let slot = unit as u32;
        let stat = self.stats.at(unit * STAT).cast();
        let buffer = self.buffers.at(unit * PAGE);
        Entries::Of(vec![
            opcode::Statx::new(Fd(self.folder.as_raw_fd()), name.as_ptr(), stat)
                .mask(libc::STATX_BASIC_STATS)
                .build(),
            open_into(slot, &self.folder, name),
            opcode::Read::new(Fixed(slot), buffer, PAGE as u32)
                .build()
                .flags(squeue::Flags::IO_LINK),
            opcode::Close::new(Fixed(slot)).build(),
        ])
    }

    fn clear(&self) {
        // SAFETY: No call is in flight.
        unsafe {
            self.stats.fill(0);
            self.buffers.fill(0);
        }
    }

    fn verify(&self) -> Result<()> {
        const SIZE: usize = offset_of!(libc::stat, st_size);
        // SAFETY: No call is in flight.
        let (stats, bytes) = unsafe { (self.stats.bytes(), self.buffers.bytes()) };
        let by_fstat = stats
            .chunks_exact(STAT)
            .take(self.batch)
            .all(|stat| stat[SIZE..SIZE + 8] == PAGE.to_ne_bytes());
        if !by_fstat {
            verify_sizes(stats, self.batch, PAGE as u64)?;
        }
        ensure!(
            bytes[..self.batch * PAGE]
                .iter()
                .enumerate()
                .all(|(at, byte)| *byte == at as u8 | 1),
            "a read brought wrong bytes"
        );
        Ok(())
    }
}
