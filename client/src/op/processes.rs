// SPDX-License-Identifier: MIT OR Apache-2.0

//! Other processes.

use rustix::process::{PidfdFlags, Signal, WaitIdOptions};

use super::{
    argument::{Fd, Out},
    operation, Descriptor, End,
};
use crate::Errno;

operation! {
    /// A descriptor for a process: `pidfd_open(2)`. It is closed on `execve`.
    pub struct PidfdOpen = pidfd_open {
        pid: u32,
        flags: PidfdFlags,
    } -> OwnedFd
}

impl PidfdOpen {
    /// The process with this number.
    pub fn new(pid: u32) -> Self {
        Self {
            pid,
            flags: PidfdFlags::empty(),
        }
    }
}

operation! {
    /// Sends a signal to a process: `pidfd_send_signal(2)`.
    pub struct PidfdSendSignal<D: Descriptor> = pidfd_send_signal {
        pidfd: Fd<D>,
        signal: i32,
        info: u64,
        flags: u32,
    } -> ()
}

impl<D: Descriptor> PidfdSendSignal<D> {
    /// This signal, to the process of this pidfd.
    pub fn new(pidfd: D, signal: Signal) -> Self {
        Self {
            pidfd: Fd(pidfd),
            signal: signal.as_raw(),
            // A null pointer: the kernel says who sent it.
            info: 0,
            flags: 0,
        }
    }
}

operation! {
    /// Waits for a child: `waitid(2)` with `P_PIDFD`.
    pub struct Wait<D: Descriptor> = waitid {
        kind: u32,
        pidfd: Fd<D>,
        info: Out<[u64; 16]>,
        options: u32,
        usage: u64,
    } -> Result<Option<ChildStatus>, Errno>: |op: Wait<D>, end: End| end.result().map(|_| {
        // SAFETY: the call succeeded, and zeroes are a value as well: no child had changed.
        let info = unsafe { op.info.value() };
        // `siginfo_t` of `rt_sigaction(2)`: signal, error, code; process, user, status.
        let code = info[1] as u32 as i32;
        (info[0] as u32 != 0).then_some(ChildStatus {
            code,
            status: info[3] as u32 as i32,
        })
    })
}

/// What became of a child, as `waitid(2)` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildStatus {
    /// `CLD_EXITED`, `CLD_KILLED`, `CLD_DUMPED`, `CLD_STOPPED`, `CLD_TRAPPED` or `CLD_CONTINUED`.
    pub code: i32,
    /// The exit status where it exited, otherwise the signal.
    pub status: i32,
}

impl ChildStatus {
    /// The exit status, where the child exited.
    pub fn exit_status(&self) -> Option<i32> {
        (self.code == libc::CLD_EXITED).then_some(self.status)
    }
}

impl<D: Descriptor> Wait<D> {
    /// Until the child of this pidfd has ended.
    pub fn new(pidfd: D) -> Self {
        Self {
            kind: libc::P_PIDFD,
            pidfd: Fd(pidfd),
            info: Out::zeroed(),
            options: WaitIdOptions::EXITED.bits(),
            usage: 0,
        }
    }

    /// `WNOHANG`, `WNOWAIT`, `WSTOPPED`, `WCONTINUED`: those besides `WEXITED`.
    pub fn options(mut self, options: WaitIdOptions) -> Self {
        self.options |= options.bits();
        self
    }
}
