// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use super::sys;
use crate::Error;

/// A process that calls are made in, other than this one: see [`Batch::target`].
///
/// It is a pidfd (`pidfd_open(2)`), so that it means the same process for as long as it is kept,
/// also after that has ended and its number went to another one. Clones share the descriptor.
///
/// The calls execute on a thread of the target, without stopping it, with its memory, files, working
/// directory, namespaces and limits, and with the credentials that its first thread has when they
/// are submitted. Whoever submits them needs the right to ptrace the target
/// (`PTRACE_MODE_ATTACH_REALCREDS` of `ptrace(2)`, Yama included) each time. When the target ends or
/// executes another program, calls that have not begun end with `Outcome::NotStarted` and `ESRCH`.
///
/// Pointers among the arguments are addresses in the target. Memory that it shall find there travels
/// as [`Data`](super::Data).
///
/// ```no_run
#[doc = include_str!("../../examples/other_process.rs")]
/// ```
///
/// [`Batch::target`]: super::Batch::target
#[derive(Clone, Debug)]
pub struct Target(Arc<OwnedFd>);

impl Target {
    /// The process with this number in the caller's pid namespace.
    ///
    /// Where the process is not a child of the caller, it may have ended, and another one may have
    /// its number by now: look at it again, in `/proc`, once this has returned, or get the pidfd
    /// from whoever started it.
    ///
    /// # Errors
    ///
    /// [`Error::Target`] where there is no process of this number, or no descriptor for it. Whether
    /// calls may be made in it is decided when they are submitted.
    pub fn open(pid: u32) -> Result<Self, Error> {
        match sys::open_process(pid) {
            Ok(pidfd) => Ok(pidfd.into()),
            Err(why) => Err(Error::Target { pid, why }),
        }
    }
}

impl From<OwnedFd> for Target {
    /// The process that this pidfd means.
    fn from(pidfd: OwnedFd) -> Self {
        Self(Arc::new(pidfd))
    }
}

impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl PartialEq for Target {
    /// Whether both are the same descriptor.
    fn eq(&self, other: &Self) -> bool {
        self.0.as_raw_fd() == other.0.as_raw_fd()
    }
}

impl Eq for Target {}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_found_by_its_number() {
        let own = Target::open(std::process::id()).expect("this process");
        assert_eq!(own.clone(), own);
        assert_ne!(Target::open(std::process::id()).expect("again"), own);
    }

    #[test]
    fn a_number_without_a_process_is_said_to_have_none() {
        let mut child = Command::new("true").spawn().expect("a child");
        let target = Target::open(child.id()).expect("it was not waited for");
        child.wait().expect("its end");
        for pid in [child.id(), 0, u32::MAX] {
            let error = Target::open(pid).expect_err("no such process");
            assert_eq!(
                error.errno().and_then(crate::Errno::name).as_deref(),
                Some("ESRCH")
            );
            assert_eq!(error.to_string(), format!("process {pid}: there is none"));
        }
        drop(target);
    }

    #[test]
    fn a_thread_is_no_process() {
        let (send, receive) = std::sync::mpsc::channel();
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            send.send(rustix::thread::gettid())
                .expect("somebody listens");
            wait.recv().expect_err("the sender goes");
        });
        let tid = receive.recv().expect("the thread's number");
        let error = Target::open(tid.as_raw_nonzero().get() as u32).expect_err("a thread");
        assert!(
            error.to_string().ends_with("it is a thread, not a process"),
            "{error}"
        );
        drop(end);
        thread.join().expect("no panic");
    }
}
