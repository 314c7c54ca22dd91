// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files: opened, read, written, looked at, closed.

use std::{
    ffi::OsStr,
    os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd},
};

use rustix::fs::{
    Access as AccessMode, AtFlags, FallocateFlags, Mode, OFlags, Statx, StatxFlags, CWD,
};

use super::{
    argument::{Fd, Input, Inputs, Out, Output, Outputs, Text},
    operation, Args, Buf, BufMut, Descriptor, End, Number, Operation, Request, Sysno,
};
use crate::{Errno, Passed};

operation! {
    /// Opens a file: `openat(2)`. The descriptor is closed on `execve`.
    pub struct Open<D: Descriptor> = openat {
        dir: Fd<D>,
        path: Text,
        flags: OFlags,
        mode: Mode,
    } -> OwnedFd
}

impl Open<BorrowedFd<'static>> {
    /// The file at this path, to be read.
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        Self::at(CWD, path)
    }
}

impl<D: Descriptor> Open<D> {
    /// The file at this path, to be read; a relative path begins at the directory `dir`.
    pub fn at(dir: D, path: impl AsRef<OsStr>) -> Self {
        Self {
            dir: Fd(dir),
            path: Text::new(path),
            flags: OFlags::RDONLY | OFlags::CLOEXEC,
            mode: Mode::from_raw_mode(0o666),
        }
    }

    /// Opens it with these flags, and `O_CLOEXEC`.
    pub fn flags(mut self, flags: OFlags) -> Self {
        self.flags = flags | OFlags::CLOEXEC;
        self
    }

    /// The mode of a file that is made, less the umask: 0666 without this.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }
}

operation! {
    /// Reads from where the file stands: `read(2)`. The buffer is filled from its beginning.
    pub struct Read<D: Descriptor, B: BufMut> = read {
        fd: Fd<D>,
        buf: Output<B>,
    } -> filled(buf): B
}

impl<D: Descriptor, B: BufMut> Read<D, B> {
    /// Reads up to the capacity of the buffer.
    pub fn new(fd: D, buf: B) -> Self {
        Self {
            fd: Fd(fd),
            buf: Output(buf),
        }
    }
}

operation! {
    /// Reads at an offset: `pread(2)`. The buffer is filled from its beginning.
    pub struct ReadAt<D: Descriptor, B: BufMut> = pread64 {
        fd: Fd<D>,
        buf: Output<B>,
        offset: Number,
    } -> filled(buf): B
}

impl<D: Descriptor, B: BufMut> ReadAt<D, B> {
    /// Reads up to the capacity of the buffer, so many bytes after the beginning of the file.
    pub fn new(fd: D, buf: B, offset: impl Into<Number>) -> Self {
        Self {
            fd: Fd(fd),
            buf: Output(buf),
            offset: offset.into(),
        }
    }
}

operation! {
    /// Writes where the file stands: `write(2)`. The number of bytes may be less than what was given.
    pub struct Write<D: Descriptor, B: Buf> = write {
        fd: Fd<D>,
        buf: Input<B>,
    } -> with(buf): B
}

impl<D: Descriptor, B: Buf> Write<D, B> {
    /// Writes these bytes.
    pub fn new(fd: D, buf: B) -> Self {
        Self {
            fd: Fd(fd),
            buf: Input(buf),
        }
    }
}

operation! {
    /// Writes at an offset: `pwrite(2)`. The number of bytes may be less than what was given.
    pub struct WriteAt<D: Descriptor, B: Buf> = pwrite64 {
        fd: Fd<D>,
        buf: Input<B>,
        offset: Number,
    } -> with(buf): B
}

impl<D: Descriptor, B: Buf> WriteAt<D, B> {
    /// Writes these bytes, so many bytes after the beginning of the file.
    pub fn new(fd: D, buf: B, offset: impl Into<Number>) -> Self {
        Self {
            fd: Fd(fd),
            buf: Input(buf),
            offset: offset.into(),
        }
    }
}

operation! {
    /// Reads into several buffers from where the file stands: `readv(2)`. Each is filled before the
    /// next one is begun; the number is that of all bytes.
    pub struct ReadVectored<D: Descriptor, B: BufMut> = readv {
        fd: Fd<D>,
        bufs: Outputs<B>,
    } -> filled(bufs): Vec<B>
}

impl<D: Descriptor, B: BufMut> ReadVectored<D, B> {
    /// Reads up to the capacities of the buffers. More than 1024 of them are `EINVAL`.
    pub fn new(fd: D, bufs: Vec<B>) -> Self {
        Self {
            fd: Fd(fd),
            bufs: Outputs::new(bufs),
        }
    }
}

operation! {
    /// Reads into several buffers at an offset: `preadv(2)`. Each is filled before the next one is
    /// begun; the number is that of all bytes.
    pub struct ReadVectoredAt<D: Descriptor, B: BufMut> = preadv {
        fd: Fd<D>,
        bufs: Outputs<B>,
        offset: Number,
    } -> filled(bufs): Vec<B>
}

impl<D: Descriptor, B: BufMut> ReadVectoredAt<D, B> {
    /// Reads up to the capacities of the buffers, so many bytes after the beginning of the file. More
    /// than 1024 of them are `EINVAL`.
    pub fn new(fd: D, bufs: Vec<B>, offset: impl Into<Number>) -> Self {
        Self {
            fd: Fd(fd),
            bufs: Outputs::new(bufs),
            offset: offset.into(),
        }
    }
}

operation! {
    /// Writes several buffers, one after the other, where the file stands: `writev(2)`. The number of
    /// bytes may be less than what was given.
    pub struct WriteVectored<D: Descriptor, B: Buf> = writev {
        fd: Fd<D>,
        bufs: Inputs<B>,
    } -> with(bufs): Vec<B>
}

impl<D: Descriptor, B: Buf> WriteVectored<D, B> {
    /// Writes these bytes. More than 1024 buffers are `EINVAL`.
    pub fn new(fd: D, bufs: Vec<B>) -> Self {
        Self {
            fd: Fd(fd),
            bufs: Inputs::new(bufs),
        }
    }
}

operation! {
    /// Writes several buffers, one after the other, at an offset: `pwritev(2)`. The number of bytes
    /// may be less than what was given.
    pub struct WriteVectoredAt<D: Descriptor, B: Buf> = pwritev {
        fd: Fd<D>,
        bufs: Inputs<B>,
        offset: Number,
    } -> with(bufs): Vec<B>
}

impl<D: Descriptor, B: Buf> WriteVectoredAt<D, B> {
    /// Writes these bytes, so many bytes after the beginning of the file. More than 1024 buffers are
    /// `EINVAL`.
    pub fn new(fd: D, bufs: Vec<B>, offset: impl Into<Number>) -> Self {
        Self {
            fd: Fd(fd),
            bufs: Inputs::new(bufs),
            offset: offset.into(),
        }
    }
}

operation! {
    /// What is known about a file: `statx(2)`.
    pub struct Stat<D: Descriptor> = statx {
        dir: Fd<D>,
        path: Text,
        flags: AtFlags,
        mask: StatxFlags,
        out: Out<Statx>,
    } -> value(out): Statx
}

impl Stat<BorrowedFd<'static>> {
    /// Of the file at this path.
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        Self::at(CWD, path)
    }
}

impl<D: Descriptor> Stat<D> {
    /// Where the size is in what the call fills.
    pub(crate) const SIZE: u32 = std::mem::offset_of!(Statx, stx_size) as u32;

    /// Of the file at this path; a relative path begins at the directory `dir`.
    pub fn at(dir: D, path: impl AsRef<OsStr>) -> Self {
        Self {
            dir: Fd(dir),
            path: Text::new(path),
            flags: AtFlags::empty(),
            mask: StatxFlags::BASIC_STATS,
            out: Out::zeroed(),
        }
    }

    /// Of an open file.
    pub fn of(fd: D) -> Self {
        Self::at(fd, "").flags(AtFlags::EMPTY_PATH)
    }

    /// How the file is found: `AT_SYMLINK_NOFOLLOW` and others.
    pub fn flags(mut self, flags: AtFlags) -> Self {
        self.flags = flags;
        self
    }

    /// What shall be known: `STATX_BASIC_STATS` without this.
    pub fn mask(mut self, mask: StatxFlags) -> Self {
        self.mask = mask;
        self
    }
}

/// Closes a descriptor: `close(2)`. Dropping an `OwnedFd` does it as well, but blocks the thread
/// where closing does, and tells no error.
///
/// Whatever the result, the descriptor is closed.
#[derive(Debug)]
pub struct Close<D = OwnedFd> {
    fd: D,
}

impl Close {
    /// Closes this one.
    pub fn new(fd: impl Into<OwnedFd>) -> Self {
        Self { fd: fd.into() }
    }
}

// SAFETY: the descriptor is the operation's own, and is no more once the call has begun.
unsafe impl Operation for Close<OwnedFd> {
    type Output = Result<(), Errno>;

    fn request(&mut self) -> Result<Request, Errno> {
        let mut args = Args::default();
        args.push(self.fd.as_raw_fd());
        Ok(Request::new(CLOSE, args))
    }

    unsafe fn complete(self, end: End) -> Self::Output {
        if end.has_begun() {
            // The call has closed it, also where it reported an error. The number may mean another
            // file by now.
            let _: RawFd = self.fd.into_raw_fd();
        }
        end.result().map(drop)
    }
}

const CLOSE: Sysno = Sysno::of("close");

impl Close<Passed<OwnedFd>> {
    /// Closes the descriptor that an earlier operation of a chain gives: the chain sees to it that
    /// nobody else has it.
    pub(crate) fn passed(fd: Passed<OwnedFd>) -> Self {
        Self { fd }
    }
}

// SAFETY: the chain gives away the descriptor that the call closes.
unsafe impl Operation for Close<Passed<OwnedFd>> {
    type Output = Result<(), Errno>;

    fn request(&mut self) -> Result<Request, Errno> {
        let mut args = Args::default();
        self.fd.push_to(&mut args);
        Ok(Request::new(CLOSE, args))
    }

    unsafe fn complete(self, end: End) -> Self::Output {
        end.result().map(drop)
    }
}

operation! {
    /// Cuts a file off, or makes it longer: `ftruncate(2)`.
    pub struct Truncate<D: Descriptor> = ftruncate {
        fd: Fd<D>,
        len: Number,
    } -> ()
}

impl<D: Descriptor> Truncate<D> {
    /// To so many bytes.
    pub fn new(fd: D, len: impl Into<Number>) -> Self {
        Self {
            fd: Fd(fd),
            len: len.into(),
        }
    }
}

operation! {
    /// Takes care of the room of a part of a file: `fallocate(2)`.
    pub struct Allocate<D: Descriptor> = fallocate {
        fd: Fd<D>,
        mode: FallocateFlags,
        offset: Number,
        len: Number,
    } -> ()
}

impl<D: Descriptor> Allocate<D> {
    /// There is room for `len` bytes from `offset` on; the file becomes so long.
    pub fn new(fd: D, offset: impl Into<Number>, len: impl Into<Number>) -> Self {
        Self {
            fd: Fd(fd),
            mode: FallocateFlags::empty(),
            offset: offset.into(),
            len: len.into(),
        }
    }

    /// Something else: a hole (`FALLOC_FL_PUNCH_HOLE`), zeroes, ...
    pub fn mode(mut self, mode: FallocateFlags) -> Self {
        self.mode = mode;
        self
    }
}

operation! {
    /// Whether the process may do something with a file: `faccessat2(2)`.
    pub struct Access<D: Descriptor> = faccessat2 {
        dir: Fd<D>,
        path: Text,
        mode: AccessMode,
        flags: AtFlags,
    } -> ()
}

impl Access<BorrowedFd<'static>> {
    /// With the file at this path.
    pub fn new(path: impl AsRef<OsStr>, mode: AccessMode) -> Self {
        Self::at(CWD, path, mode)
    }
}

impl<D: Descriptor> Access<D> {
    /// With the file at this path; a relative path begins at the directory `dir`.
    pub fn at(dir: D, path: impl AsRef<OsStr>, mode: AccessMode) -> Self {
        Self {
            dir: Fd(dir),
            path: Text::new(path),
            mode,
            flags: AtFlags::empty(),
        }
    }

    /// `AT_EACCESS`, `AT_SYMLINK_NOFOLLOW`.
    pub fn flags(mut self, flags: AtFlags) -> Self {
        self.flags = flags;
        self
    }
}

operation! {
    /// Changes the mode of a file: `fchmod(2)`.
    pub struct Chmod<D: Descriptor> = fchmod {
        fd: Fd<D>,
        mode: Mode,
    } -> ()
}

impl<D: Descriptor> Chmod<D> {
    /// To this one.
    pub fn new(fd: D, mode: Mode) -> Self {
        Self { fd: Fd(fd), mode }
    }
}

operation! {
    /// Gives a file to another user or group: `fchown(2)`.
    pub struct Chown<D: Descriptor> = fchown {
        fd: Fd<D>,
        user: u32,
        group: u32,
    } -> ()
}

impl<D: Descriptor> Chown<D> {
    /// To these, where they are given.
    pub fn new(fd: D, user: Option<u32>, group: Option<u32>) -> Self {
        Self {
            fd: Fd(fd),
            // -1 leaves it as it is.
            user: user.unwrap_or(u32::MAX),
            group: group.unwrap_or(u32::MAX),
        }
    }
}
