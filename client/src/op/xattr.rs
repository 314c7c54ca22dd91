// SPDX-License-Identifier: MIT OR Apache-2.0

//! Extended attributes of open files: `xattr(7)`.

use std::ffi::OsStr;

use rustix::fs::XattrFlags;

use super::{
    argument::{Fd, Input, Output, Text},
    operation, Buf, BufMut, Descriptor,
};

operation! {
    /// The value of an attribute: `fgetxattr(2)`. Where the buffer is too short, the result is
    /// `ERANGE`; with an empty one it is the length.
    pub struct GetXattr<D: Descriptor, B: BufMut> = fgetxattr {
        fd: Fd<D>,
        name: Text,
        buf: Output<B>,
    } -> (Result<usize, crate::Errno>, B): |op: GetXattr<D, B>, end: super::End| {
        // SAFETY: it is the result of the operation's own call, which the buffer is an argument of.
        unsafe { op.buf.measured(end.result()) }
    }
}

impl<D: Descriptor, B: BufMut> GetXattr<D, B> {
    /// That of this name, such as `user.mime_type`.
    pub fn new(fd: D, name: impl AsRef<OsStr>, buf: B) -> Self {
        Self {
            fd: Fd(fd),
            name: Text::new(name),
            buf: Output(buf),
        }
    }
}

operation! {
    /// The names of all attributes, each with a zero byte behind it: `flistxattr(2)`. Where the buffer
    /// is too short, the result is `ERANGE`; with an empty one it is the length.
    pub struct ListXattr<D: Descriptor, B: BufMut> = flistxattr {
        fd: Fd<D>,
        buf: Output<B>,
    } -> (Result<usize, crate::Errno>, B): |op: ListXattr<D, B>, end: super::End| {
        // SAFETY: it is the result of the operation's own call, which the buffer is an argument of.
        unsafe { op.buf.measured(end.result()) }
    }
}

impl<D: Descriptor, B: BufMut> ListXattr<D, B> {
    /// Those of this file.
    pub fn new(fd: D, buf: B) -> Self {
        Self {
            fd: Fd(fd),
            buf: Output(buf),
        }
    }
}

operation! {
    /// Sets an attribute: `fsetxattr(2)`.
    pub struct SetXattr<D: Descriptor, B: Buf> = fsetxattr {
        fd: Fd<D>,
        name: Text,
        value: Input<B>,
        flags: XattrFlags,
    } -> (Result<(), crate::Errno>, B): |op: SetXattr<D, B>, end: super::End| {
        (end.result().map(drop), op.value.0)
    }
}

impl<D: Descriptor, B: Buf> SetXattr<D, B> {
    /// That of this name, whether it is there or not.
    pub fn new(fd: D, name: impl AsRef<OsStr>, value: B) -> Self {
        Self {
            fd: Fd(fd),
            name: Text::new(name),
            value: Input(value),
            flags: XattrFlags::empty(),
        }
    }

    /// `XATTR_CREATE`, `XATTR_REPLACE`.
    pub fn flags(mut self, flags: XattrFlags) -> Self {
        self.flags = flags;
        self
    }
}

operation! {
    /// Removes an attribute: `fremovexattr(2)`.
    pub struct RemoveXattr<D: Descriptor> = fremovexattr {
        fd: Fd<D>,
        name: Text,
    } -> ()
}

impl<D: Descriptor> RemoveXattr<D> {
    /// That of this name.
    pub fn new(fd: D, name: impl AsRef<OsStr>) -> Self {
        Self {
            fd: Fd(fd),
            name: Text::new(name),
        }
    }
}
