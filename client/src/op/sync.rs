// SPDX-License-Identifier: MIT OR Apache-2.0

//! What was written, on its way to the disk.

use super::{argument::Fd, operation, Descriptor, Number};

operation! {
    /// Waits until a file is on its disk: `fsync(2)`.
    pub struct Fsync<D: Descriptor> = fsync { fd: Fd<D> } -> ()
}

operation! {
    /// Waits until the contents of a file are on its disk, with what it takes to find them:
    /// `fdatasync(2)`.
    pub struct Fdatasync<D: Descriptor> = fdatasync { fd: Fd<D> } -> ()
}

operation! {
    /// Waits until the file system of a file is on its disk: `syncfs(2)`.
    pub struct Syncfs<D: Descriptor> = syncfs { fd: Fd<D> } -> ()
}

impl<D: Descriptor> Fsync<D> {
    /// This file.
    pub fn new(fd: D) -> Self {
        Self { fd: Fd(fd) }
    }
}

impl<D: Descriptor> Fdatasync<D> {
    /// This file.
    pub fn new(fd: D) -> Self {
        Self { fd: Fd(fd) }
    }
}

impl<D: Descriptor> Syncfs<D> {
    /// That of this file.
    pub fn new(fd: D) -> Self {
        Self { fd: Fd(fd) }
    }
}

operation! {
    /// Has pages of a part of a file written, and waits for them: `sync_file_range(2)`. It says
    /// nothing about what it takes to find them after a crash.
    pub struct SyncFileRange<D: Descriptor> = sync_file_range {
        fd: Fd<D>,
        offset: Number,
        len: Number,
        flags: u32,
    } -> ()
}

impl<D: Descriptor> SyncFileRange<D> {
    /// `len` bytes from `offset` on, zero being up to the end.
    pub fn new(fd: D, offset: impl Into<Number>, len: impl Into<Number>) -> Self {
        Self {
            fd: Fd(fd),
            offset: offset.into(),
            len: len.into(),
            flags: libc::SYNC_FILE_RANGE_WAIT_BEFORE
                | libc::SYNC_FILE_RANGE_WRITE
                | libc::SYNC_FILE_RANGE_WAIT_AFTER,
        }
    }

    /// Only begins the writing, and does not wait.
    pub fn start(mut self) -> Self {
        self.flags = libc::SYNC_FILE_RANGE_WRITE;
        self
    }
}
