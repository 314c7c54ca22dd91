// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that system calls may read and write at any time.

use std::ptr::NonNull;

use zerocopy::{FromBytes, IntoBytes};

/// Length of a page in bytes.
pub const PAGE: usize = 4096;

/// Bytes that are never freed, so that a call which refers to them is sound however long it lasts.
///
/// They are only reached through volatile copies: what the kernel does meanwhile is to this
/// process like what a device does.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: the bytes live for ever and are only accessed through volatile copies.
unsafe impl Send for Memory {}
// SAFETY: as for Send.
unsafe impl Sync for Memory {}

impl Memory {
    /// Zeros.
    pub fn zeroed(len: usize) -> Self {
        Self::holding(&vec![0; len])
    }

    /// These bytes.
    pub fn holding(bytes: &[u8]) -> Self {
        // Aligned for everything that a system call takes.
        let words = vec![0_u128; bytes.len().div_ceil(size_of::<u128>()).max(1)];
        let at = NonNull::from(Vec::leak(words)).cast();
        let memory = Self {
            at,
            len: bytes.len(),
        };
        memory.put(bytes);
        memory
    }

    /// A value with its bytes in order.
    pub fn of<T: IntoBytes + zerocopy::Immutable>(value: &T) -> Self {
        Self::holding(value.as_bytes())
    }

    /// A string with its final NUL.
    pub fn string(text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        Self::holding(&bytes)
    }

    /// New pages, at least one, which a test may unmap or protect.
    pub fn pages(count: usize) -> Self {
        let len = count.max(1) * PAGE;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
        assert_ne!(at, libc::MAP_FAILED, "memory");
        let at = NonNull::new(at.cast()).expect("not at address zero");
        Self { at, len }
    }

    /// Gives pages other rights: `PROT_*`.
    pub fn protect(self, protection: libc::c_int) {
        // SAFETY: the pages are a test's own, which reaches them only by volatile copies.
        let done = unsafe { libc::mprotect(self.address() as *mut _, self.len, protection) };
        assert_eq!(done, 0, "mprotect");
    }

    /// The part of it from `offset` on.
    pub fn from_offset(self, offset: usize) -> Self {
        assert!(offset <= self.len);
        Self {
            // SAFETY: the offset is inside of the memory.
            at: unsafe { self.at.add(offset) },
            len: self.len - offset,
        }
    }

    /// The first bytes of it.
    pub fn first(self, len: usize) -> Self {
        assert!(len <= self.len);
        Self { len, ..self }
    }

    /// Length in bytes.
    pub fn len(self) -> usize {
        self.len
    }

    /// Whether there is no byte.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Where the bytes lie.
    pub fn address(self) -> u64 {
        self.at.addr().get() as u64
    }

    /// Wakes so many waiters of the futex at the beginning; returns how many there were.
    pub fn wake(self, waiters: i32) -> usize {
        // SAFETY: the operation only takes the address for a name.
        let woken = unsafe { libc::syscall(libc::SYS_futex, self.at, libc::FUTEX_WAKE, waiters) };
        usize::try_from(woken).expect("FUTEX_WAKE works")
    }

    /// Copies bytes in, from the beginning.
    pub fn put(self, bytes: &[u8]) {
        assert!(bytes.len() <= self.len);
        for (offset, byte) in bytes.iter().enumerate() {
            // SAFETY: the offset is inside of memory that lives for ever.
            unsafe { self.at.add(offset).write_volatile(*byte) };
        }
    }

    /// Copies all bytes out.
    pub fn get(self) -> Vec<u8> {
        // SAFETY: the offset is inside of memory that lives for ever.
        (0..self.len)
            .map(|offset| unsafe { self.at.add(offset).read_volatile() })
            .collect()
    }

    /// Copies a value out of the beginning.
    pub fn get_as<T: FromBytes>(self) -> T {
        let Ok((value, _)) = T::read_from_prefix(&self.get()) else {
            panic!("{} bytes hold no value of {}", self.len, size_of::<T>());
        };
        value
    }

    /// The bytes before the first NUL, as text.
    pub fn text(self) -> String {
        let bytes = self.get();
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }
}
