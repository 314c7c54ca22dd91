// SPDX-License-Identifier: MIT OR Apache-2.0

//! A file to be read.

use linux_raw_sys::general::{
    S_IFBLK,
    S_IFMT,
    S_IFREG, //
};

/// A file that was opened.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its descriptor.
    pub(super) fd: i32,
    /// Whether it was opened here, and must be closed.
    pub(super) opened: bool,
    /// Type and permissions.
    pub(super) mode: u32,
    /// Size in bytes when it was opened.
    pub(super) size: u64,
    /// Device that it is on.
    pub(super) device: u64,
    /// Its number there.
    pub(super) inode: u64,
}

impl Source {
    /// Whether it is the regular file with this device and inode number.
    pub(super) fn is_regular_file(&self, (device, inode): (u64, u64)) -> bool {
        self.is(S_IFREG) && (self.device, self.inode) == (device, inode)
    }

    fn is(&self, kind: u32) -> bool {
        self.mode & S_IFMT == kind
    }

    /// Up to where several reads may be in flight; none for what only reads in order. A size of 0
    /// means nothing: many files of `/proc` have it, whatever they hold.
    pub(super) fn parallel_up_to(&self) -> Option<u64> {
        match () {
            () if !self.opened => None,
            () if self.is(S_IFREG) && self.size > 0 => Some(self.size),
            () if self.is(S_IFBLK) => Some(u64::MAX),
            () => None,
        }
    }
}
