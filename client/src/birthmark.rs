// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether this is still the process that something was made in.

use std::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicU8, Ordering},
};

use rustix::mm::{madvise, mmap_anonymous, munmap, Advice, MapFlags, ProtFlags};

use crate::{raw::failed, Error};

/// A page that is empty in every child that has a copy of this process's memory, however it was
/// made (`MADV_WIPEONFORK` of `madvise(2)`). Looking at it costs no system call.
///
/// # Invariants
///
/// It points to a mapping of [`PAGE`](Self::PAGE) bytes that is this value's own.
#[derive(Debug)]
pub(crate) struct Birthmark(NonNull<AtomicU8>);

// SAFETY: the page is only looked at after it was made, through an atomic.
unsafe impl Send for Birthmark {}
// SAFETY: as above.
unsafe impl Sync for Birthmark {}

impl Birthmark {
    const PAGE: usize = 4096;

    pub(crate) fn new() -> Result<Self, Error> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a mapping at an address that the kernel chooses replaces none.
        let page =
            unsafe { mmap_anonymous(ptr::null_mut(), Self::PAGE, protection, MapFlags::PRIVATE) };
        let page = page.map_err(failed("mapping a page"))?;
        let page = Self(NonNull::new(page.cast()).expect("a mapping is not at zero"));
        // Miri neither forks nor knows this advice.
        if !cfg!(miri) {
            // SAFETY: the page is ours, and what is wiped is a child's.
            unsafe { madvise(page.0.as_ptr().cast(), Self::PAGE, Advice::LinuxWipeOnFork) }
                .map_err(failed("marking a page"))?;
        }
        page.mark().store(1, Ordering::Relaxed);
        Ok(page)
    }

    /// Whether this is a child of the process that it was made in.
    pub(crate) fn is_in_child(&self) -> bool {
        self.mark().load(Ordering::Relaxed) == 0
    }

    fn mark(&self) -> &AtomicU8 {
        // SAFETY: by the invariant the page is there, readable and writable, for as long as `self`.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Birthmark {
    fn drop(&mut self) {
        // SAFETY: by the invariant the mapping is this value's own, and nothing refers to it now.
        // It cannot fail: it neither splits a mapping nor is it one of another kind.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), Self::PAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_in_the_process_and_not_in_its_child() {
        let mark = Birthmark::new().expect("a page");
        assert!(!mark.is_in_child());
        // SAFETY: the child looks at memory and ends.
        match unsafe { libc::fork() } {
            // SAFETY: it ends the child.
            0 => unsafe { libc::_exit(i32::from(!mark.is_in_child())) },
            child => {
                let mut status = -1;
                // SAFETY: the status is a local variable.
                assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
                assert_eq!(status, 0);
            }
        }
        assert!(!mark.is_in_child());
    }
}
