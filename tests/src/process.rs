// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes to put an end to, and a channel to each.

use std::{
    convert::Infallible,
    io::{IoSlice, IoSliceMut, Read, Write},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    panic::{catch_unwind, AssertUnwindSafe},
};

use nix::{
    sys::{
        signal::{kill, Signal},
        socket::{recvmsg, sendmsg, ControlMessage, ControlMessageOwned, MsgFlags},
        wait::{waitpid, WaitPidFlag, WaitStatus},
    },
    unistd::{fork, ForkResult, Pid},
};

use crate::{patience, threads};

/// One end of a connection between two processes. Numbers and descriptors go through it.
#[derive(Debug)]
pub struct Channel(UnixStream);

impl Channel {
    /// Both ends.
    pub fn pair() -> (Self, Self) {
        let (a, b) = UnixStream::pair().expect("a socket pair");
        (Self(a), Self(b))
    }

    /// Says a number.
    pub fn put(&self, number: u64) {
        (&self.0)
            .write_all(&number.to_ne_bytes())
            .expect("the other process listens");
    }

    /// Waits for a number.
    pub fn get(&self) -> u64 {
        self.try_get().expect("the other process speaks")
    }

    /// Waits for a number, or for the end of the other process.
    pub fn try_get(&self) -> Option<u64> {
        let mut bytes = [0; 8];
        (&self.0).read_exact(&mut bytes).ok()?;
        Some(u64::from_ne_bytes(bytes))
    }

    /// Hands over a copy of a descriptor.
    pub fn put_fd(&self, fd: RawFd) {
        let fds = [fd];
        let message = [ControlMessage::ScmRights(&fds)];
        let iov = [IoSlice::new(b"f")];
        sendmsg::<()>(self.0.as_raw_fd(), &iov, &message, MsgFlags::empty(), None)
            .expect("the other process listens");
    }

    /// Waits for a descriptor.
    pub fn get_fd(&self) -> OwnedFd {
        let mut byte = [0];
        let mut iov = [IoSliceMut::new(&mut byte)];
        let mut space = nix::cmsg_space!(RawFd);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(self.0.as_raw_fd(), &mut iov, Some(&mut space), flags)
            .expect("the other process speaks");
        for part in message.cmsgs().expect("the control message has room") {
            if let ControlMessageOwned::ScmRights(fds) = part {
                // SAFETY: the kernel just made this descriptor for us.
                return unsafe { OwnedFd::from_raw_fd(fds[0]) };
            }
        }
        panic!("the other process sent no descriptor");
    }
}

/// A process that this one made. It does not outlive this value.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    channel: Channel,
    ended: Option<WaitStatus>,
}

impl Child {
    /// Forks. The child runs `body` and ends: with status 0, or 101 when `body` panicked.
    ///
    /// # Panics
    ///
    /// Panics where this process has more threads than one, workers aside.
    pub fn fork(body: impl FnOnce(&Channel)) -> Self {
        let (ours, theirs) = Channel::pair();
        let our_end = ours.0.as_raw_fd();
        let pid = fork_unwatched(|| {
            // SAFETY: this process's copy of the descriptor, which nothing in it refers to.
            unsafe { libc::close(our_end) };
            body(&theirs);
            exit_now(0)
        });
        Self {
            pid,
            channel: ours,
            ended: None,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The way to talk to it.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid, signal).expect("the child is there");
    }

    /// Stops it with SIGSTOP, and waits until all its threads stand still.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let status = waitpid(self.pid, Some(WaitPidFlag::WUNTRACED)).expect("the child is ours");
        assert_eq!(status, WaitStatus::Stopped(self.pid, Signal::SIGSTOP));
        patience::until("all threads of the child stand still", || {
            threads::of(self.pid)
                .iter()
                .all(|thread| thread.state == 'T')
        });
    }

    /// Lets it go on after [`stop`](Self::stop).
    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> WaitStatus {
        let status = waitpid(self.pid, None).expect("the child is ours");
        self.ended = Some(status);
        status
    }

    /// Waits for its end for as long as tests have patience; none where it goes on.
    pub fn wait_patiently(&mut self) -> Option<WaitStatus> {
        let is_over = patience::holds_eventually(|| {
            let status = waitpid(self.pid, Some(WaitPidFlag::WNOHANG)).expect("the child is ours");
            self.ended = Some(status).filter(|status| *status != WaitStatus::StillAlive);
            self.ended.is_some()
        });
        self.ended.filter(|_| is_over)
    }

    /// Waits for its end, which must be a good one.
    pub fn succeed(&mut self) {
        let status = self.wait();
        assert_eq!(
            status,
            WaitStatus::Exited(self.pid, 0),
            "how the child ended"
        );
    }

    /// Ends it with SIGKILL and waits for that.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let status = self.wait();
        assert_eq!(
            status,
            WaitStatus::Signaled(self.pid, Signal::SIGKILL, false)
        );
    }

    /// Says that its end was waited for by other means.
    pub fn was_reaped(mut self) {
        self.ended = Some(WaitStatus::Exited(self.pid, 0));
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // It may be gone; there is nothing else to do about it then.
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}

/// Runs `body` in a child, which must come to a good end.
pub fn in_a_child(body: impl FnOnce()) {
    Child::fork(|_| body()).succeed();
}

/// Forks. The child runs `body`, and ends with status 101 where that panics; whoever forked waits
/// for it.
///
/// # Panics
///
/// Panics where this process has more threads than one, workers aside.
pub fn fork_unwatched(body: impl FnOnce() -> Infallible) -> Pid {
    // A thread that was joined is listed for a moment more: the kernel wakes who waits for it before
    // it takes it off the list.
    let is_alone = patience::holds_eventually(|| {
        let threads = threads::of_this_process();
        threads.iter().filter(|thread| !thread.is_worker()).count() == 1
    });
    assert!(is_alone, "only a process of one thread may fork");
    // SAFETY: there is no other thread that could hold a lock which the child needs; workers
    // never enter user mode.
    match unsafe { fork() }.expect("fork works") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let _ = catch_unwind(AssertUnwindSafe(body));
            exit_now(101)
        }
    }
}

/// Ends this process at once, with all its threads, and runs nothing more of it.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Ends this thread alone, as `pthread_exit` does in the end, and runs nothing more of it.
///
/// What lives on the thread's stack is never touched again, nor freed.
pub fn end_this_thread(status: i32) -> ! {
    // SAFETY: the system call ends the thread without running anything of it.
    unsafe { libc::syscall(libc::SYS_exit, status) };
    unreachable!("exit returned")
}
