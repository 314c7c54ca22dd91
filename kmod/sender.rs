// SPDX-License-Identifier: GPL-2.0-only

//! The thread that sent a message: who it is and whether it may.

use kernel::{
    bindings,
    cred::Credential,
    prelude::*,
    sync::aref::ARef,
    task::Task, //
};

use crate::{
    config,
    owner::Identity,
    reject::{
        reject,
        Rejection, //
    },
    settings::Access,
    shim::{
        self,
        sender_is, //
    },
    slots::Credentials,
    socket, //
};

/// `CAP_SYS_ADMIN` of `include/uapi/linux/capability.h`.
pub const CAP_SYS_ADMIN: i32 = 21;

/// Whether the current thread has `CAP_SYS_ADMIN` in the initial user namespace.
pub fn is_admin() -> bool {
    // SAFETY: Asks about `current`.
    unsafe { bindings::capable(CAP_SYS_ADMIN) }
}

/// Whether the current thread is ending.
pub fn is_exiting() -> bool {
    shim::sender() & sender_is::EXITING != 0
}

/// Whether the current thread is under seccomp.
pub fn is_filtered() -> bool {
    shim::sender() & sender_is::SECCOMP != 0
}

/// The number of the current thread.
pub fn tid() -> u32 {
    // SAFETY: The field of `current` never changes while it can make calls.
    unsafe { (*Task::current_raw()).pid as u32 }
}

/// The name of the current process: that of its leader, which ends with a zero byte.
pub fn process_name() -> [u8; 16] {
    let leader = current!().group_leader().as_ptr();
    // SAFETY: The leader is there as long as a thread of it. Its name is read without its lock: a
    // change may show half of both.
    let name = unsafe { (*leader).comm };
    let mut bytes = name.map(|byte| byte as u8);
    bytes[15] = 0;
    bytes
}

/// The address space of the current thread, to compare; null where it has none any more.
pub fn program() -> *const bindings::mm_struct {
    // SAFETY: The field of `current` is changed by `current` alone.
    unsafe { (*Task::current_raw()).mm }
}

/// How many programs the current thread has executed.
pub fn programs() -> u64 {
    // SAFETY: The field of `current` is changed by `current` alone.
    unsafe { (*Task::current_raw()).self_exec_id }
}

/// Whether these are the credentials in force for the current thread.
pub fn has(credentials: &Credential) -> bool {
    // SAFETY: The field of `current` is changed by `current` alone.
    core::ptr::eq(credentials.as_ptr(), unsafe { (*Task::current_raw()).cred })
}

/// Monotonic time in nanoseconds.
pub fn now_ns() -> u64 {
    // SAFETY: Only reads the clock.
    unsafe { bindings::ktime_get() as u64 }
}

/// A thread that may submit.
pub struct Sender(u32);

impl Sender {
    /// Whether it may submit calls that it makes itself, where there are `inline` of them, and others
    /// that seccomp is asked about. Both may end a thread, which is to be in no other call then.
    pub fn may_leave_to_itself(&self, inline: usize) -> Result<(), Rejection> {
        let is = |what| self.0 & what != 0;
        if is(sender_is::WITHIN) && (inline > 0 || is(sender_is::SECCOMP)) {
            return Err(reject!(
                EOPNOTSUPP,
                "INLINE calls, or any under seccomp: only by sendmsg, not through io_uring"
            ));
        }
        Ok(())
    }
}

/// Whether the current thread may submit at all.
pub fn check() -> Result<Sender, Rejection> {
    let sender = shim::sender();
    if sender == 0 {
        return access().map(|()| Sender(sender));
    }
    if sender & sender_is::KERNEL != 0 {
        return Err(reject!(
            EPERM,
            "the sender is a worker or a kernel thread: submit from a thread of your own"
        ));
    }
    if sender & sender_is::INLINE != 0 {
        return Err(reject!(
            ELOOP,
            "SUBMIT from inside an INLINE call: submit when it is over"
        ));
    }
    if sender & sender_is::COMPAT != 0 {
        return Err(reject!(
            EOPNOTSUPP,
            "32-bit and x32 senders are not supported"
        ));
    }
    access().map(|()| Sender(sender))
}

/// Whether the setting `access` lets the current thread in.
fn access() -> Result<(), Rejection> {
    let access = config::access();
    let admitted = match access {
        Access::Everyone => true,
        Access::Root => is_admin(),
        Access::Group(gid) => is_admin() || in_group(gid),
    };
    if admitted {
        return Ok(());
    }
    Err(reject!(EPERM, "access={access} does not let you submit"))
}

/// Whether the current thread is in the group `gid` of the initial user namespace.
fn in_group(gid: u32) -> bool {
    // SAFETY: Reads the credentials of `current`.
    unsafe { bindings::in_egroup_p(bindings::kgid_t { val: gid }) != 0 }
}

/// The credentials of the current thread.
pub fn credentials() -> Credentials {
    // SAFETY: `current` holds its credentials, and only it replaces them; the reference taken here
    // keeps them beyond that.
    unsafe { ARef::from(Credential::from_ptr((*Task::current_raw()).cred)).into() }
}

/// What counts of some credentials.
fn identity(cred: &Credential) -> Identity {
    let cred = cred.as_ptr();
    // SAFETY: The reference keeps the credentials alive. The fields that are read never change
    // after the credentials came into force.
    unsafe {
        Identity {
            user_ns: (*cred).user_ns as usize,
            uids: [
                (*cred).uid.val,
                (*cred).euid.val,
                (*cred).suid.val,
                (*cred).fsuid.val,
            ],
            gids: [
                (*cred).gid.val,
                (*cred).egid.val,
                (*cred).sgid.val,
                (*cred).fsgid.val,
            ],
            groups: (*cred).group_info as usize,
            permitted: (*cred).cap_permitted.val,
            effective: (*cred).cap_effective.val,
        }
    }
}

/// Whether the current thread may begin a session on the socket that sent `skb`.
///
/// # Safety
///
/// `skb` is the message that a netlink handler is handling.
pub unsafe fn may_begin(skb: *mut bindings::sk_buff, cred: &Credential) -> Result<(), Rejection> {
    // SAFETY: By the caller's promise.
    let opener = unsafe { socket::opener(skb) };
    if opener.is_null() {
        return Err(reject!(EPERM, "the socket has no opener"));
    }
    // SAFETY: The sender is inside `sendmsg` and holds the file, which holds these credentials.
    let opener = identity(unsafe { Credential::from_ptr(opener) });
    identity(cred)
        .obtainable_from(&opener)
        .map_err(|why| reject!(EPERM, "{why}: open a socket of your own"))
}

/// What a worker shares with the process, by address. A thread that has its own of any of these
/// would get another's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Surroundings {
    files: usize,
    fs: usize,
    namespaces: usize,
}

impl Surroundings {
    /// Those at these addresses.
    pub fn at<T>(files: *const T, fs: *const T, namespaces: *const T) -> Self {
        Self {
            files: files as usize,
            fs: fs as usize,
            namespaces: namespaces as usize,
        }
    }

    /// Those of the current thread.
    pub fn current() -> Self {
        let task = Task::current_raw();
        // SAFETY: The fields of `current` that are read here are changed by `current` alone.
        unsafe {
            Self {
                files: (*task).files as usize,
                fs: (*task).fs as usize,
                namespaces: (*task).nsproxy as usize,
            }
        }
    }
}
