// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that system calls write into.

use std::{ffi::c_void, io, ptr::NonNull};

use rustix::mm::{mmap_anonymous, munmap, MapFlags, ProtFlags};

/// Page-aligned memory that the kernel may write into at any time. It is only read where every
/// call that was given an address in it is over.
#[derive(Debug)]
pub struct Area {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: The memory belongs to the value, not to a thread. Rust code accesses it only through
// `bytes` and `fill`, whose callers promise that no call writes meanwhile.
unsafe impl Send for Area {}
// SAFETY: As above.
unsafe impl Sync for Area {}

impl Area {
    /// Memory of this many bytes, zeroed.
    pub fn new(len: usize) -> io::Result<Self> {
        let len = len.next_multiple_of(4096).max(4096);
        // SAFETY: A new mapping, which nothing else refers to.
        let start = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::POPULATE,
            )
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    /// The address of a byte.
    pub fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset < self.len, "byte {offset} of {}", self.len);
        self.start.as_ptr().wrapping_add(offset)
    }

    /// The same as a number, for the argument of a call.
    pub fn address(&self, offset: usize) -> u64 {
        self.at(offset) as u64
    }

    /// All bytes.
    ///
    /// # Safety
    ///
    /// No call writes into the area while the slice is used.
    pub unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: The mapping lives as long as the area; by the caller's promise nothing writes.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Sets every byte.
    ///
    /// # Safety
    ///
    /// No call uses the area, and nobody holds its bytes.
    pub unsafe fn fill(&self, byte: u8) {
        // SAFETY: The mapping is `len` bytes long; by the caller's promise nobody uses it.
        unsafe { self.start.as_ptr().write_bytes(byte, self.len) };
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: The area is the mapping's only owner. A call that were still in flight would
        // fail with EFAULT.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast::<c_void>(), self.len) };
        debug_assert!(unmapped.is_ok());
    }
}
