// SPDX-License-Identifier: MIT OR Apache-2.0

//! Seccomp filters, and who answers in their place.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use nlcall::raw::Call;

use crate::{
    calls::{call, Arg},
    memory::Memory,
};

/// `BPF_LD | BPF_W | BPF_ABS`, `BPF_JMP | BPF_JEQ | BPF_K` and `BPF_RET | BPF_K` of
/// `include/uapi/linux/bpf_common.h`.
const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Where `struct seccomp_data` has the number, and the lower half of the first argument.
const NUMBER: u32 = 0;
const ARGUMENTS: u32 = 16;

/// A filter that allows everything but what it was made for.
#[derive(Clone)]
pub struct Filter(Vec<libc::sock_filter>);

impl Filter {
    /// Allows everything.
    pub fn none() -> Self {
        Self::of(&[], libc::SECCOMP_RET_ALLOW)
    }

    /// This action for the calls of this number.
    pub fn calls(nr: libc::c_long, action: u32) -> Self {
        Self::of(&[(NUMBER, nr as u32)], action)
    }

    /// This action for the calls of this number whose argument has this value, in its lower half.
    pub fn with_argument(nr: libc::c_long, argument: u32, value: u32, action: u32) -> Self {
        let offset = ARGUMENTS + 8 * argument;
        Self::of(&[(NUMBER, nr as u32), (offset, value)], action)
    }

    fn of(conditions: &[(u32, u32)], action: u32) -> Self {
        let step = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
        let mut steps = Vec::new();
        for (at, (offset, value)) in conditions.iter().enumerate() {
            // To the last step, which allows the call.
            let to_end = 2 * (conditions.len() - at) - 1;
            steps.push(step(LOAD, 0, *offset));
            steps.push(step(JUMP_IF_EQUAL, to_end as u8, *value));
        }
        steps.push(step(RETURN, 0, action));
        steps.push(step(RETURN, 0, libc::SECCOMP_RET_ALLOW));
        Self(steps)
    }

    /// The program's place in memory that is never freed.
    fn program(&self) -> Memory {
        let mut steps = Vec::new();
        for it in &self.0 {
            steps.extend(it.code.to_ne_bytes());
            steps.extend([it.jt, it.jf]);
            steps.extend(it.k.to_ne_bytes());
        }
        let steps = Memory::holding(&steps);
        Memory::of(&[self.0.len() as u64, steps.address()])
    }

    /// `seccomp(SECCOMP_SET_MODE_FILTER, flags, filter)`, for a thread that may gain no privileges.
    pub fn call(&self, flags: libc::c_ulong) -> Call {
        let args = [
            Arg::from(libc::SECCOMP_SET_MODE_FILTER),
            Arg::from(flags as u32),
            self.program().into(),
        ];
        call(libc::SYS_seccomp, &args)
    }

    /// Puts this thread under the filter, for ever.
    pub fn install(&self) {
        self.install_with(0);
    }

    /// Puts all threads of this process under the filter.
    pub fn install_for_all(&self) {
        self.install_with(libc::SECCOMP_FILTER_FLAG_TSYNC);
    }

    /// Puts this thread under the filter. What answers `SECCOMP_RET_USER_NOTIF` has the
    /// descriptor.
    pub fn install_with_supervisor(&self) -> OwnedFd {
        let fd = self.install_with(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
        // SAFETY: the kernel just made this descriptor, for us.
        unsafe { OwnedFd::from_raw_fd(fd) }
    }

    fn install_with(&self, flags: libc::c_ulong) -> i32 {
        gain_no_privileges();
        let program = self.program().address();
        // SAFETY: the program is never freed.
        let ret = unsafe {
            let operation = libc::SECCOMP_SET_MODE_FILTER;
            libc::syscall(libc::SYS_seccomp, operation, flags, program)
        };
        assert!(ret >= 0, "a seccomp filter: {}", io::Error::last_os_error());
        ret as i32
    }
}

/// Without this a thread needs a privilege for a filter.
pub fn gain_no_privileges() {
    let no = 0_usize;
    // SAFETY: the option takes no pointers.
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1_usize, no, no, no) };
    assert_eq!(set, 0, "PR_SET_NO_NEW_PRIVS");
}

/// Answers in place of a filter.
#[derive(Debug)]
pub struct Supervisor(OwnedFd);

/// What a supervisor answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The call fails with this error number.
    Error(i32),
    /// The call returns this value; it was carried out, or not.
    Value(i64),
    /// The call is made.
    Continue,
}

impl Supervisor {
    /// With the descriptor of [`Filter::install_with_supervisor`].
    pub fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Waits for a question.
    pub fn question(&self) -> libc::seccomp_notif {
        // SAFETY: zeros are what the kernel wants to find.
        let mut question: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        loop {
            // SAFETY: the structure is the one that the operation writes.
            let ret = unsafe {
                let request = libc::SECCOMP_IOCTL_NOTIF_RECV;
                libc::ioctl(self.0.as_raw_fd(), request, &raw mut question)
            };
            if ret == 0 {
                return question;
            }
            // Whoever was asked about may be gone by the time it is looked at.
            let error = io::Error::last_os_error();
            let again = [libc::EINTR, libc::ENOENT].map(Some);
            assert!(again.contains(&error.raw_os_error()), "a question: {error}");
        }
    }

    /// Answers the question of this number. `false`: nobody waits for it any more.
    pub fn answer(&self, id: u64, answer: Answer) -> bool {
        // SAFETY: zeros are an answer.
        let mut reply: libc::seccomp_notif_resp = unsafe { std::mem::zeroed() };
        reply.id = id;
        match answer {
            Answer::Error(errno) => reply.error = -errno,
            Answer::Value(value) => reply.val = value,
            Answer::Continue => reply.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
        }
        // SAFETY: the structure is the one that the operation reads.
        let ret = unsafe {
            let request = libc::SECCOMP_IOCTL_NOTIF_SEND;
            libc::ioctl(self.0.as_raw_fd(), request, &raw const reply)
        };
        let error = io::Error::last_os_error().raw_os_error();
        assert!(ret == 0 || error == Some(libc::ENOENT), "{error:?}");
        ret == 0
    }
}

impl AsFd for Supervisor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
