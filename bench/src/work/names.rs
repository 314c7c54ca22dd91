// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{ffi::CString, os::fd::AsRawFd};

use anyhow::Result;
use io_uring::{opcode, types::Fd};
use nlcall_abi::Call;
use rustix::fd::OwnedFd;
use syscalls::{raw::syscall3, Sysno};

use super::{call, signed, Entries, Work};
use crate::fixtures::{address, names, Fixtures};

const MODE: u32 = 0o755;

/// `mkdirat` of each of so many names, then `unlinkat` of each.
pub struct Names {
    folder: OwnedFd,
    names: Vec<CString>,
}

impl Names {
    /// Prepares a batch.
    pub fn new(fixtures: &Fixtures, batch: usize) -> Result<Self> {
        Ok(Self {
            folder: fixtures.open_folder("names")?,
            names: names(batch),
        })
    }

    fn arguments(&self, phase: usize, unit: usize) -> (Sysno, [u64; 3]) {
        let folder = self.folder.as_raw_fd() as u64;
        let name = address(&self.names[unit]);
        match phase {
            0 => (Sysno::mkdirat, [folder, name, MODE.into()]),
            _ => (Sysno::unlinkat, [folder, name, libc::AT_REMOVEDIR as u64]),
        }
    }
}

impl Work for Names {
    fn phases(&self) -> usize {
        2
    }

    fn units(&self, _phase: usize) -> usize {
        self.names.len()
    }

    fn operations(&self) -> usize {
        2 * self.names.len()
    }

    fn plain(&self, phase: usize, unit: usize) -> i64 {
        let (nr, args) = self.arguments(phase, unit);
        let [folder, name, last] = args.map(|arg| arg as usize);
        // SAFETY: The name lives as long as `self`; the folder is the benchmark's own.
        signed(unsafe { syscall3(nr as usize, folder, name, last) })
    }

    fn calls(&self, phase: usize, unit: usize, calls: &mut Vec<Call>) {
        let (nr, args) = self.arguments(phase, unit);
        calls.push(call(nr, &args));
    }

    fn entries(&self, phase: usize, unit: usize) -> Entries {
        let folder = Fd(self.folder.as_raw_fd());
        let name = self.names[unit].as_ptr();
        Entries::Of(vec![match phase {
            0 => opcode::MkDirAt::new(folder, name).mode(MODE).build(),
            _ => opcode::UnlinkAt::new(folder, name)
                .flags(libc::AT_REMOVEDIR)
                .build(),
        }])
    }
}
