// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bytes that go from one descriptor to another, and not through this process.

use rustix::pipe::SpliceFlags;

use super::{
    argument::{Fd, In},
    operation, Descriptor, Number,
};

operation! {
    /// Copies a part of a file to another file: `copy_file_range(2)`. The number of bytes may be less
    /// than what was asked for; zero is the end of the file.
    pub struct CopyFileRange<D: Descriptor, E: Descriptor> = copy_file_range {
        from: Fd<D>,
        from_offset: Option<In<u64>>,
        to: Fd<E>,
        to_offset: Option<In<u64>>,
        len: Number,
        flags: u32,
    } -> usize
}

impl<D: Descriptor, E: Descriptor> CopyFileRange<D, E> {
    /// Up to so many bytes, from where the one file stands to where the other does.
    pub fn new(from: D, to: E, len: impl Into<Number>) -> Self {
        Self {
            from: Fd(from),
            from_offset: None,
            to: Fd(to),
            to_offset: None,
            len: len.into(),
            flags: 0,
        }
    }

    /// From this offset, and not from where the file stands.
    pub fn from_offset(mut self, offset: u64) -> Self {
        self.from_offset = Some(In(offset));
        self
    }

    /// To this offset, and not to where the file stands.
    pub fn to_offset(mut self, offset: u64) -> Self {
        self.to_offset = Some(In(offset));
        self
    }
}

operation! {
    /// Copies from a file to a socket or another file: `sendfile(2)`. The number of bytes may be less
    /// than what was asked for.
    pub struct SendFile<D: Descriptor, E: Descriptor> = sendfile {
        to: Fd<D>,
        from: Fd<E>,
        offset: Option<In<u64>>,
        len: Number,
    } -> usize
}

impl<D: Descriptor, E: Descriptor> SendFile<D, E> {
    /// Up to so many bytes, from where the file stands.
    pub fn new(to: D, from: E, len: impl Into<Number>) -> Self {
        Self {
            to: Fd(to),
            from: Fd(from),
            offset: None,
            len: len.into(),
        }
    }

    /// From this offset, and not from where the file stands.
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = Some(In(offset));
        self
    }
}

operation! {
    /// Moves bytes between a pipe and another descriptor: `splice(2)`. The number of bytes may be less
    /// than what was asked for.
    pub struct Splice<D: Descriptor, E: Descriptor> = splice {
        from: Fd<D>,
        from_offset: Option<In<u64>>,
        to: Fd<E>,
        to_offset: Option<In<u64>>,
        len: Number,
        flags: SpliceFlags,
    } -> usize
}

impl<D: Descriptor, E: Descriptor> Splice<D, E> {
    /// Up to so many bytes.
    pub fn new(from: D, to: E, len: impl Into<Number>) -> Self {
        Self {
            from: Fd(from),
            from_offset: None,
            to: Fd(to),
            to_offset: None,
            len: len.into(),
            flags: SpliceFlags::empty(),
        }
    }

    /// `SPLICE_F_NONBLOCK` and others.
    pub fn flags(mut self, flags: SpliceFlags) -> Self {
        self.flags = flags;
        self
    }
}
