// SPDX-License-Identifier: MIT OR Apache-2.0

//! Directories, and what names mean in them.

use std::{
    ffi::{CStr, OsStr},
    fmt,
    os::fd::BorrowedFd,
};

use rustix::fs::{AtFlags, FileType, Mode, RenameFlags, CWD};

use super::{
    argument::{Fd, Output, Text},
    operation, BufMut, Descriptor,
};

operation! {
    /// Reads entries of a directory, from where it stands: `getdents64(2)`. Where it returns none, there
    /// are no more.
    pub struct ReadDir<D: Descriptor, B: DirBuf> = getdents64 {
        fd: Fd<D>,
        buf: Output<B>,
    } -> (Result<usize, crate::Errno>, Entries<B>): |op: ReadDir<D, B>, end: super::End| {
        // SAFETY: it is the result of the operation's own call, which the buffer is an argument of.
        let (len, buf) = unsafe { op.buf.filled(end.result()) };
        (len, Entries { buf, len: len.unwrap_or(0) })
    }
}

/// A buffer that entries of a directory can be read to and looked at.
pub trait DirBuf: BufMut + AsRef<[u8]> {}

impl<B: BufMut + AsRef<[u8]>> DirBuf for B {}

impl<D: Descriptor, B: DirBuf> ReadDir<D, B> {
    /// As many entries as fit into the buffer, which has room for one of 280 bytes at least.
    pub fn new(fd: D, buf: B) -> Self {
        Self {
            fd: Fd(fd),
            buf: Output(buf),
        }
    }
}

/// Entries of a directory, in the buffer that they were read to.
#[derive(Clone)]
pub struct Entries<B> {
    buf: B,
    len: usize,
}

/// An entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// Number of its inode.
    pub ino: u64,
    /// What it is; unknown where the file system does not say it.
    pub file_type: FileType,
    /// Its name.
    pub name: &'a CStr,
}

impl<B: AsRef<[u8]>> Entries<B> {
    /// Entries that `getdents64` wrote into the first `len` bytes of a buffer.
    pub fn new(buf: B, len: usize) -> Self {
        Self { buf, len }
    }

    /// All of them, `.` and `..` included, in the order of the directory.
    pub fn iter(&self) -> EntriesIter<'_> {
        Entries::new(self.buf.as_ref(), self.len).into_iter()
    }

    /// Whether there is none: the directory has no more.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The buffer.
    pub fn into_inner(self) -> B {
        self.buf
    }
}

impl<'a> IntoIterator for Entries<&'a [u8]> {
    type Item = Entry<'a>;
    type IntoIter = EntriesIter<'a>;

    fn into_iter(self) -> EntriesIter<'a> {
        EntriesIter {
            rest: &self.buf[..self.len.min(self.buf.len())],
        }
    }
}

impl<'a, B: AsRef<[u8]>> IntoIterator for &'a Entries<B> {
    type Item = Entry<'a>;
    type IntoIter = EntriesIter<'a>;

    fn into_iter(self) -> EntriesIter<'a> {
        self.iter()
    }
}

/// Entries of a directory, one after the other.
#[derive(Clone, Debug)]
pub struct EntriesIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for EntriesIter<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        let (entry, rest) = split(self.rest)?;
        self.rest = rest;
        Some(entry)
    }
}

/// The first `struct linux_dirent64` of some, and the others.
#[inline]
fn split(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    /// Where the length of the entry is, where the type, and where the name.
    const LENGTH: usize = 16;
    const TYPE: usize = 18;
    const NAME: usize = 19;

    let ino = bytes.first_chunk()?;
    let length = bytes.get(LENGTH..)?.first_chunk()?;
    let (entry, rest) = bytes.split_at_checked(u16::from_ne_bytes(*length).into())?;
    let entry = Entry {
        ino: u64::from_ne_bytes(*ino),
        file_type: file_type(*entry.get(TYPE)?),
        name: until_nul(entry.get(NAME..)?)?,
    };
    Some((entry, rest))
}

/// The string at the beginning of some bytes. The C library finds its end, many bytes at a time.
#[inline]
fn until_nul(bytes: &[u8]) -> Option<&CStr> {
    // SAFETY: no more bytes are looked at than there are.
    let len = unsafe { libc::strnlen(bytes.as_ptr().cast(), bytes.len()) };
    let string = bytes.get(..=len)?;
    // SAFETY: the first zero byte is the one at `len`, which is the last.
    Some(unsafe { CStr::from_bytes_with_nul_unchecked(string) })
}

/// That of a `d_type` of `readdir(3)`.
fn file_type(d_type: u8) -> FileType {
    // They are the upper bits of `st_mode`.
    match d_type {
        0 => FileType::Unknown,
        d_type => FileType::from_raw_mode(u32::from(d_type) << 12),
    }
}

impl<B: AsRef<[u8]>> fmt::Debug for Entries<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

operation! {
    /// Makes a directory: `mkdirat(2)`.
    pub struct MakeDir<D: Descriptor> = mkdirat {
        dir: Fd<D>,
        path: Text,
        mode: Mode,
    } -> ()
}

impl MakeDir<BorrowedFd<'static>> {
    /// At this path, with mode 0777 less the umask.
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        Self::at(CWD, path)
    }
}

impl<D: Descriptor> MakeDir<D> {
    /// At this path; a relative path begins at the directory `dir`.
    pub fn at(dir: D, path: impl AsRef<OsStr>) -> Self {
        Self {
            dir: Fd(dir),
            path: Text::new(path),
            mode: Mode::from_raw_mode(0o777),
        }
    }

    /// Its mode, less the umask.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }
}

operation! {
    /// Removes a name: `unlinkat(2)`.
    pub struct Unlink<D: Descriptor> = unlinkat {
        dir: Fd<D>,
        path: Text,
        flags: AtFlags,
    } -> ()
}

impl Unlink<BorrowedFd<'static>> {
    /// That of a file.
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        Self::at(CWD, path)
    }
}

impl<D: Descriptor> Unlink<D> {
    /// That of a file; a relative path begins at the directory `dir`.
    pub fn at(dir: D, path: impl AsRef<OsStr>) -> Self {
        Self {
            dir: Fd(dir),
            path: Text::new(path),
            flags: AtFlags::empty(),
        }
    }

    /// Removes an empty directory instead (`AT_REMOVEDIR`).
    pub fn directory(mut self) -> Self {
        self.flags = AtFlags::REMOVEDIR;
        self
    }
}

operation! {
    /// Gives a file another name: `renameat2(2)`.
    pub struct Rename<D: Descriptor, E: Descriptor> = renameat2 {
        from_dir: Fd<D>,
        from: Text,
        to_dir: Fd<E>,
        to: Text,
        flags: RenameFlags,
    } -> ()
}

impl Rename<BorrowedFd<'static>, BorrowedFd<'static>> {
    /// From one path to the other, where a file is replaced.
    pub fn new(from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> Self {
        Self::at(CWD, from, CWD, to)
    }
}

impl<D: Descriptor, E: Descriptor> Rename<D, E> {
    /// From one path to the other; relative ones begin at the directory before them.
    pub fn at(from_dir: D, from: impl AsRef<OsStr>, to_dir: E, to: impl AsRef<OsStr>) -> Self {
        Self {
            from_dir: Fd(from_dir),
            from: Text::new(from),
            to_dir: Fd(to_dir),
            to: Text::new(to),
            flags: RenameFlags::empty(),
        }
    }

    /// `RENAME_NOREPLACE`, `RENAME_EXCHANGE`, `RENAME_WHITEOUT`.
    pub fn flags(mut self, flags: RenameFlags) -> Self {
        self.flags = flags;
        self
    }
}

operation! {
    /// Gives a file a second name: `linkat(2)`.
    pub struct Link<D: Descriptor, E: Descriptor> = linkat {
        from_dir: Fd<D>,
        from: Text,
        to_dir: Fd<E>,
        to: Text,
        flags: AtFlags,
    } -> ()
}

impl Link<BorrowedFd<'static>, BorrowedFd<'static>> {
    /// The file at the first path, at the second one.
    pub fn new(from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> Self {
        Self::at(CWD, from, CWD, to)
    }
}

impl<D: Descriptor, E: Descriptor> Link<D, E> {
    /// The file at the first path, at the second one; relative ones begin at the directory before
    /// them.
    pub fn at(from_dir: D, from: impl AsRef<OsStr>, to_dir: E, to: impl AsRef<OsStr>) -> Self {
        Self {
            from_dir: Fd(from_dir),
            from: Text::new(from),
            to_dir: Fd(to_dir),
            to: Text::new(to),
            flags: AtFlags::empty(),
        }
    }
}

operation! {
    /// Makes a symbolic link: `symlinkat(2)`.
    pub struct Symlink<D: Descriptor> = symlinkat {
        to: Text,
        dir: Fd<D>,
        path: Text,
    } -> ()
}

impl Symlink<BorrowedFd<'static>> {
    /// At this path, to whatever `to` is.
    pub fn new(to: impl AsRef<OsStr>, path: impl AsRef<OsStr>) -> Self {
        Self::at(to, CWD, path)
    }
}

impl<D: Descriptor> Symlink<D> {
    /// At this path, which begins at the directory `dir` where it is relative.
    pub fn at(to: impl AsRef<OsStr>, dir: D, path: impl AsRef<OsStr>) -> Self {
        Self {
            to: Text::new(to),
            dir: Fd(dir),
            path: Text::new(path),
        }
    }
}

operation! {
    /// Where a symbolic link leads: `readlinkat(2)`. What the buffer has no room for is cut off.
    pub struct ReadLink<D: Descriptor, B: BufMut> = readlinkat {
        dir: Fd<D>,
        path: Text,
        buf: Output<B>,
    } -> filled(buf): B
}

impl<B: BufMut> ReadLink<BorrowedFd<'static>, B> {
    /// The link at this path.
    pub fn new(path: impl AsRef<OsStr>, buf: B) -> Self {
        Self::at(CWD, path, buf)
    }
}

impl<D: Descriptor, B: BufMut> ReadLink<D, B> {
    /// The link at this path; a relative path begins at the directory `dir`.
    pub fn at(dir: D, path: impl AsRef<OsStr>, buf: B) -> Self {
        Self {
            dir: Fd(dir),
            path: Text::new(path),
            buf: Output(buf),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_are_taken_apart() {
        let mut bytes = Vec::new();
        for (ino, d_type, name) in [
            (7u64, 4u8, &b"folder\0"[..]),
            (8, 8, b"f\0"),
            (9, 0, b"x\0"),
        ] {
            let length = (19 + name.len()).next_multiple_of(8);
            let begin = bytes.len();
            bytes.extend(ino.to_ne_bytes());
            bytes.extend([0xff; 8]);
            bytes.extend((length as u16).to_ne_bytes());
            bytes.push(d_type);
            bytes.extend(name);
            bytes.resize(begin + length, 0xff);
        }
        let len = bytes.len();
        bytes.extend([1; 40]);
        let entries = Entries { buf: bytes, len };
        let entries: Vec<_> = entries
            .iter()
            .map(|it| (it.ino, it.file_type, it.name.to_str().unwrap().to_owned()))
            .collect();
        let expected = [
            (7, FileType::Directory, "folder".to_owned()),
            (8, FileType::RegularFile, "f".to_owned()),
            (9, FileType::Unknown, "x".to_owned()),
        ];
        assert_eq!(entries, expected);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_they_come_to_an_end(
            buf in prop::collection::vec(any::<u8>(), 0..200),
            len in 0..300usize,
        ) {
            let entries = Entries { buf, len };
            prop_assert!(entries.iter().count() <= 200);
        }
    }
}
