// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pipes and counters.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::{event::EventfdFlags, pipe::PipeFlags};

use super::{argument::Out, operation, End};
use crate::Errno;

operation! {
    /// Makes a pipe: `pipe2(2)`. The output is the end to read from, and the one to write to. Both are
    /// closed on `execve`.
    pub struct Pipe = pipe2 {
        fds: Out<[RawFd; 2]>,
        flags: PipeFlags,
    } -> Result<(OwnedFd, OwnedFd), Errno>: |op: Pipe, end: End| end.result().map(|_| {
        // SAFETY: the call succeeded, so that it filled them.
        let [reader, writer] = unsafe { op.fds.value() };
        // SAFETY: the call made both for whoever takes the output.
        unsafe { (OwnedFd::from_raw_fd(reader), OwnedFd::from_raw_fd(writer)) }
    })
}

impl Pipe {
    /// One that blocks.
    pub fn new() -> Self {
        Self {
            fds: Out::zeroed(),
            flags: PipeFlags::CLOEXEC,
        }
    }

    /// With these flags, too.
    pub fn flags(mut self, flags: PipeFlags) -> Self {
        self.flags |= flags;
        self
    }
}

impl Default for Pipe {
    fn default() -> Self {
        Self::new()
    }
}

operation! {
    /// Makes a counter to be waited for: `eventfd(2)`. It is closed on `execve`.
    pub struct Eventfd = eventfd2 {
        count: u32,
        flags: EventfdFlags,
    } -> OwnedFd
}

impl Eventfd {
    /// One that stands at this number.
    pub fn new(count: u32) -> Self {
        Self {
            count,
            flags: EventfdFlags::CLOEXEC,
        }
    }

    /// With these flags, too.
    pub fn flags(mut self, flags: EventfdFlags) -> Self {
        self.flags |= flags;
        self
    }
}
