// SPDX-License-Identifier: MIT OR Apache-2.0

//! The descriptors that programs inherit: the library, the counters that they share, and where the
//! trace goes.

use std::fs::File;
use std::io::{
    self,
    Write, //
};
use std::os::fd::{
    AsFd,
    AsRawFd,
    FromRawFd,
    OwnedFd, //
};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

use nlcall_run::shared::{
    above,
    below,
    Shared,
    PLACES,
    SHARED_LEN,
    TIMED,
    VERSION, //
};
use rustix::fs::{
    memfd_create,
    MemfdFlags, //
};
use rustix::io::{
    fcntl_setfd,
    FdFlags, //
};
use rustix::mm::{
    mmap,
    MapFlags,
    ProtFlags, //
};
use rustix::process::{
    getrlimit,
    setrlimit,
    Resource,
    Rlimit, //
};

/// The library, as the build left it.
static LIBRARY: &[u8] = include_bytes!(env!("NLCALL_RUN_LIBRARY"));

/// Descriptors and memory, for the rest of this process's life.
#[derive(Debug)]
pub struct Placed {
    library: OwnedFd,
    counters: OwnedFd,
    trace: Option<OwnedFd>,
    /// # Invariants
    ///
    /// Leads to memory of this type that is never unmapped.
    shared: NonNull<Shared>,
}

impl Placed {
    /// Places both, and the socket for the trace if there is one. `timed`: calls are timed.
    pub fn new(timed: bool, trace: Option<OwnedFd>) -> io::Result<Self> {
        let mut library = memory_file("nlcall-run")?;
        library.write_all(LIBRARY)?;
        let counters = memory_file("nlcall-run-counters")?;
        counters.set_len(SHARED_LEN as u64)?;
        // SAFETY: The kernel chooses the address.
        let address = unsafe {
            mmap(
                std::ptr::null_mut(),
                SHARED_LEN,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &counters,
                0,
            )?
        };
        let shared = NonNull::new(address.cast::<Shared>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: Zeroes, which are a `Shared`; no program knows it yet.
        unsafe {
            (&raw mut (*shared.as_ptr()).version).write(VERSION);
            let flags = if timed { TIMED } else { 0 };
            (*shared.as_ptr()).flags.store(flags, Relaxed);
        }
        // INVARIANT: Just mapped, with that size.
        Ok(Self {
            library: move_up(library.into())?,
            counters: move_up(counters.into())?,
            trace: trace.map(move_up).transpose()?,
            shared,
        })
    }

    /// The descriptors, as programs are told.
    pub fn descriptors(&self) -> [i32; 3] {
        let trace = self.trace.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        [self.library.as_raw_fd(), self.counters.as_raw_fd(), trace]
    }

    /// Leaves the trace to the programs: it ends with the last of them.
    pub fn leave_trace(&mut self) {
        self.trace = None;
    }

    /// What was counted.
    pub fn counters(&self) -> &Shared {
        // SAFETY: By the invariant; programs change the counters as the atomics that they are.
        unsafe { self.shared.as_ref() }
    }
}

fn memory_file(name: &str) -> io::Result<File> {
    Ok(memfd_create(name, MemfdFlags::CLOEXEC)?.into())
}

/// Moves a descriptor out of the program's way. Programs inherit it.
fn move_up(fd: OwnedFd) -> io::Result<OwnedFd> {
    let limits = getrlimit(Resource::Nofile);
    let number = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    let [soft, hard] = [number(limits.current), number(limits.maximum)];
    let needed = above(soft) + PLACES;
    let raised = Rlimit {
        current: Some(soft.max(needed)),
        maximum: Some(hard.max(needed)),
    };
    let is_raised = soft < needed && setrlimit(Resource::Nofile, raised).is_ok();
    let lowest = match is_raised || soft >= needed {
        true => Some(above(soft)),
        false => below(soft),
    };
    let lowest = lowest.ok_or_else(|| io::Error::from_raw_os_error(libc::EMFILE))?;
    // SAFETY: Makes another descriptor of the same file.
    let moved = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest as i32) };
    let error = io::Error::last_os_error();
    if is_raised {
        setrlimit(Resource::Nofile, limits)?;
    }
    if moved < 0 {
        return Err(error);
    }
    // SAFETY: Just made, and nobody else's.
    let moved = unsafe { OwnedFd::from_raw_fd(moved) };
    fcntl_setfd(moved.as_fd(), FdFlags::empty())?;
    Ok(moved)
}
