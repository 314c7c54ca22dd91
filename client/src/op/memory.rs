// SPDX-License-Identifier: MIT OR Apache-2.0

//! Advice about memory and about files in it.

use rustix::fs::Advice as FileAdvice;

use super::{
    argument::{Argument, Fd},
    operation, Args, BufMut, Descriptor, End, Number,
};
use crate::Errno;

/// Advice that leaves what is in memory as it is: `madvise(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// `MADV_NORMAL`.
    Normal,
    /// `MADV_RANDOM`.
    Random,
    /// `MADV_SEQUENTIAL`.
    Sequential,
    /// `MADV_WILLNEED`: reads it in.
    WillNeed,
    /// `MADV_COLD`: the first to be paged out.
    Cold,
    /// `MADV_PAGEOUT`: pages it out.
    PageOut,
    /// `MADV_POPULATE_READ`: has pages there, without faults.
    PopulateRead,
    /// `MADV_POPULATE_WRITE`: the same, to be written.
    PopulateWrite,
    /// `MADV_HUGEPAGE`.
    HugePage,
    /// `MADV_NOHUGEPAGE`.
    NoHugePage,
    /// `MADV_COLLAPSE`: huge pages at once.
    Collapse,
}

impl Advice {
    const fn number(self) -> i32 {
        /// Of `include/uapi/asm-generic/mman-common.h`.
        const MADV_COLLAPSE: i32 = 25;
        match self {
            Self::Normal => libc::MADV_NORMAL,
            Self::Random => libc::MADV_RANDOM,
            Self::Sequential => libc::MADV_SEQUENTIAL,
            Self::WillNeed => libc::MADV_WILLNEED,
            Self::Cold => libc::MADV_COLD,
            Self::PageOut => libc::MADV_PAGEOUT,
            Self::PopulateRead => libc::MADV_POPULATE_READ,
            Self::PopulateWrite => libc::MADV_POPULATE_WRITE,
            Self::HugePage => libc::MADV_HUGEPAGE,
            Self::NoHugePage => libc::MADV_NOHUGEPAGE,
            Self::Collapse => MADV_COLLAPSE,
        }
    }
}

/// The whole pages of a buffer: their address and length.
#[derive(Debug)]
struct Pages<B>(B);

// SAFETY: they lie in the buffer, which stays where it is by the contract of `BufMut`.
unsafe impl<B: BufMut> Argument for Pages<B> {
    fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
        let begin = self.0.as_mut_ptr().expose_provenance();
        let page = rustix::param::page_size();
        let first = begin.next_multiple_of(page);
        let end = (begin + self.0.capacity()) / page * page;
        args.push(first);
        args.push(end.saturating_sub(first));
        Ok(())
    }
}

operation! {
    /// Advises the kernel about the whole pages of a buffer: `madvise(2)`. What is in them stays.
    pub struct Advise<B: BufMut> = madvise {
        pages: Pages<B>,
        advice: i32,
    } -> (Result<(), Errno>, B): |op: Advise<B>, end: End| (end.result().map(drop), op.pages.0)
}

impl<B: BufMut> Advise<B> {
    /// About those of this buffer.
    pub fn new(buf: B, advice: Advice) -> Self {
        Self {
            pages: Pages(buf),
            advice: advice.number(),
        }
    }
}

operation! {
    /// Says how a part of a file will be used: `posix_fadvise(2)`.
    pub struct AdviseFile<D: Descriptor> = fadvise64 {
        fd: Fd<D>,
        offset: Number,
        len: Number,
        advice: u32,
    } -> ()
}

impl<D: Descriptor> AdviseFile<D> {
    /// `len` bytes from `offset` on, zero being up to the end.
    pub fn new(
        fd: D,
        offset: impl Into<Number>,
        len: impl Into<Number>,
        advice: FileAdvice,
    ) -> Self {
        Self {
            fd: Fd(fd),
            offset: offset.into(),
            len: len.into(),
            advice: advice as u32,
        }
    }
}

operation! {
    /// Reads a part of a file into the page cache: `readahead(2)`.
    pub struct ReadAhead<D: Descriptor> = readahead {
        fd: Fd<D>,
        offset: Number,
        len: Number,
    } -> ()
}

impl<D: Descriptor> ReadAhead<D> {
    /// `len` bytes from `offset` on.
    pub fn new(fd: D, offset: impl Into<Number>, len: impl Into<Number>) -> Self {
        Self {
            fd: Fd(fd),
            offset: offset.into(),
            len: len.into(),
        }
    }
}
