// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that system calls may read and write.
//!
//! A [`Buffer`] is never unmapped, so that a call still in flight finds it, whatever becomes of the
//! program's own variables; and it ends where a page begins that nobody may touch, so that a call
//! asked to write more than the buffer holds gets `EFAULT` and destroys nothing.

use std::io;
use std::ptr::{
    self,
    NonNull, //
};

use rustix::mm::{
    mmap_anonymous,
    mprotect,
    MapFlags,
    MprotectFlags,
    ProtFlags, //
};
use rustix::param::page_size;

/// Zeroed memory with an untouchable page behind its end.
///
/// # Invariants
///
/// `start` is the beginning of `len` bytes that are mapped readable and writable for the rest of
/// the process's life, and that no Rust reference ever points to.
#[derive(Debug)]
pub struct Buffer {
    start: NonNull<u8>,
    len: usize,
}

impl Buffer {
    /// Maps `len` zero bytes.
    ///
    /// # Errors
    ///
    /// `ENOMEM` where there is no room for them.
    pub fn zeroed(len: usize) -> io::Result<Self> {
        let page = page_size();
        let usable = len
            .checked_next_multiple_of(page)
            .filter(|usable| *usable < isize::MAX as usize - page)
            .ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: The kernel chooses the address, so nothing that exists is replaced.
        let base = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                usable + page,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )?
        };
        let base = base.cast::<u8>();
        // SAFETY: The page is the last one of the mapping just made, which nobody else knows.
        unsafe { mprotect(base.add(usable).cast(), page, MprotectFlags::empty())? };
        // SAFETY: `usable - len` lies in the mapping.
        let start = unsafe { base.add(usable - len) };
        // INVARIANT: The mapping is never removed, and `start` leaves `len` bytes up to the
        // untouchable page.
        let start = NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    /// Maps memory that holds a copy of `bytes`.
    ///
    /// # Errors
    ///
    /// As [`Buffer::zeroed`].
    pub fn holding(bytes: &[u8]) -> io::Result<Self> {
        Self::beginning_with(bytes, bytes.len())
    }

    /// Maps `len` bytes that begin with a copy of `bytes`, as far as they reach; the others are zero.
    ///
    /// # Errors
    ///
    /// As [`Buffer::zeroed`].
    pub fn beginning_with(bytes: &[u8], len: usize) -> io::Result<Self> {
        let buffer = Self::zeroed(len)?;
        let copied = bytes.len().min(len);
        // SAFETY: By the invariant there are `len` writable bytes; they were mapped just now, so
        // they do not overlap `bytes`, and no call knows them yet.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.start.as_ptr(), copied) };
        Ok(buffer)
    }

    /// Overwrites its first bytes, in a test.
    #[cfg(test)]
    pub fn fill(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.len);
        // SAFETY: By the invariant there are as many writable bytes, and `bytes` lies elsewhere.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr(), bytes.len()) };
    }

    /// Its address, as an argument of a call.
    pub fn address(&self) -> u64 {
        self.start.as_ptr().expose_provenance() as u64
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies its first bytes, `up_to` at most, into `into`, whose former contents are gone.
    ///
    /// Calls may still be writing them; what is copied then is some of the old and some of the new.
    pub fn copy_into(&self, into: &mut Vec<u8>, up_to: usize) {
        let len = self.len.min(up_to);
        into.clear();
        into.reserve(len);
        // SAFETY: By the invariant there are `len` readable bytes; `into` has room for as many and
        // does not overlap them, since it was allocated elsewhere. The copy initializes them.
        unsafe {
            ptr::copy_nonoverlapping(self.start.as_ptr(), into.as_mut_ptr(), len);
            into.set_len(len);
        }
    }

    /// A copy of its first bytes, `up_to` at most.
    pub fn copy(&self, up_to: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.copy_into(&mut bytes, up_to);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads `len` bytes of `/dev/zero` to this address with the plain system call.
    fn read_zeroes(address: u64, len: usize) -> io::Result<usize> {
        let file = std::fs::File::open("/dev/zero")?;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        // SAFETY: The test passes an address inside a buffer; beyond its end the kernel finds no
        // memory that it may write.
        let ret = unsafe { libc::read(fd, address as *mut libc::c_void, len) };
        usize::try_from(ret).map_err(|_| io::Error::last_os_error())
    }

    #[test]
    fn a_call_that_writes_too_much_is_stopped_at_the_end() {
        let buffer = Buffer::holding(b"abcdefgh").unwrap();
        assert_eq!(read_zeroes(buffer.address() + 4, 4).unwrap(), 4);
        assert_eq!(buffer.copy(8), b"abcd\0\0\0\0");
        let end = buffer.address() + 8;
        assert_eq!(
            read_zeroes(end, 1).unwrap_err().raw_os_error(),
            Some(libc::EFAULT)
        );
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        assert!(Buffer::zeroed(usize::MAX).is_err());
        assert!(Buffer::zeroed(isize::MAX as usize).is_err());
    }

    #[test]
    fn an_empty_buffer_has_an_address_that_nobody_may_touch() {
        let buffer = Buffer::zeroed(0).unwrap();
        assert!(buffer.is_empty());
        assert_eq!(
            read_zeroes(buffer.address(), 1).unwrap_err().raw_os_error(),
            Some(libc::EFAULT)
        );
        assert_eq!(buffer.copy(10), b"");
    }

    proptest! {
        #[test]
        fn what_is_stored_reads_back(bytes: Vec<u8>, up_to in 0usize..200) {
            let buffer = Buffer::holding(&bytes).unwrap();
            prop_assert_eq!(buffer.copy(usize::MAX), &bytes[..]);
            prop_assert_eq!(buffer.copy(up_to), &bytes[..up_to.min(bytes.len())]);
        }
    }
}
