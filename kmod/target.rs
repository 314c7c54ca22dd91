// SPDX-License-Identifier: GPL-2.0-only

//! Another process, in which calls are to execute.
//!
//! Who may trace a process with ptrace may do to it what a call could, and nobody else may. That is
//! asked for each message, and what the calls execute with is noted at the same moment.

use core::ptr::NonNull;

use kernel::{
    bindings,
    cred::Credential,
    error::to_result,
    mm::Mm,
    prelude::*,
    sync::aref::ARef,
    task::Task, //
};

use crate::{
    reject::{
        reject,
        Rejection, //
    },
    sender::Surroundings,
    shim::Process,
    slots::Credentials,
};

/// The C declarations, as in `target.h`, where ownership is described.
mod ffi {
    use kernel::{
        bindings,
        ffi::{
            c_char,
            c_int,
            c_uint,
            c_ulong,
            c_void, //
        }, //
    };

    /// `struct nlcall_target`.
    #[repr(C)]
    pub(super) struct Target {
        pub(super) tgid: *mut bindings::pid,
        pub(super) task: *mut bindings::task_struct,
        pub(super) mm: *mut bindings::mm_struct,
        pub(super) cred: *const bindings::cred,
        pub(super) files: *const c_void,
        pub(super) fs: *const c_void,
        pub(super) nsproxy: *const c_void,
        pub(super) comm: [c_char; 16],
    }

    /// `enum nlcall_may`.
    pub(super) const MAY: c_uint = 0;
    pub(super) const MAY_NOT: c_uint = 1;
    pub(super) const MAY_NOT_SECCOMP: c_uint = 2;
    pub(super) const MAY_NOT_COMPAT: c_uint = 3;
    pub(super) const MAY_GONE: c_uint = 4;

    #[expect(
        improper_ctypes,
        reason = "bindgen's empty structures, which only pointers lead to"
    )]
    extern "C" {
        pub(super) fn nlcall_pidfd(fd: c_int, err: *mut c_int) -> *mut bindings::pid;
        pub(super) fn nlcall_target_of(pid: *mut bindings::pid, target: *mut Target) -> c_uint;
        pub(super) fn nlcall_live_thread(pid: *mut bindings::pid) -> *mut bindings::task_struct;
        pub(super) fn nlcall_unmap(
            mm: *mut bindings::mm_struct,
            at: c_ulong,
            len: usize,
        ) -> bool;
    }
}

/// A process that the sender may act in, as it is at this moment.
pub struct Target {
    /// The process.
    pub process: Process,
    /// A thread of it that was not ending: its leader, unless that has ended.
    pub task: ARef<Task>,
    /// Its memory.
    pub mm: ARef<Mm>,
    /// The credentials of that thread.
    pub credentials: Credentials,
    /// What its workers share with it.
    pub surroundings: Surroundings,
    /// The name of its leader.
    pub comm: [u8; 16],
}

impl Target {
    /// The process that a pidfd of the current thread names.
    pub fn of_pidfd(fd: i32) -> Result<Self, Rejection> {
        let mut err = 0;
        // SAFETY: Looks the descriptor up in the table of the current thread.
        let pid = unsafe { ffi::nlcall_pidfd(fd, &raw mut err) };
        match NonNull::new(pid) {
            // SAFETY: It comes with a reference.
            Some(pid) => Self::of(&unsafe { Process::from_raw(pid) }),
            None if to_result(err) == Err(ESRCH) => Err(gone()),
            None => Err(reject!(EBADF, "TARGET_PIDFD: {fd} is no pidfd")),
        }
    }

    /// The process with this number in the pid namespace of the current thread.
    pub fn of_pid(number: i32) -> Result<Self, Rejection> {
        // SAFETY: Looks the number up and takes a reference.
        let pid = unsafe { bindings::find_get_pid(number) };
        match NonNull::new(pid) {
            // SAFETY: It comes with a reference.
            Some(pid) => Self::of(&unsafe { Process::from_raw(pid) }),
            None => Err(gone()),
        }
    }

    fn of(pid: &Process) -> Result<Self, Rejection> {
        let mut found = core::mem::MaybeUninit::<ffi::Target>::uninit();
        // SAFETY: The reference keeps the pid; the structure is filled in where it says so.
        let may = unsafe { ffi::nlcall_target_of(pid.as_ptr(), found.as_mut_ptr()) };
        match may {
            ffi::MAY => {}
            ffi::MAY_NOT => {
                return Err(reject!(
                    EPERM,
                    "the target: you may not ptrace it, so you may not act in it"
                ))
            }
            ffi::MAY_NOT_SECCOMP => {
                return Err(reject!(
                    EPERM,
                    "the target or you are under seccomp: needs CAP_SYS_ADMIN, and you free of it"
                ))
            }
            ffi::MAY_NOT_COMPAT => {
                return Err(reject!(
                    EOPNOTSUPP,
                    "the target: 32-bit processes are not supported"
                ))
            }
            ffi::MAY_GONE => return Err(gone()),
            _ => {
                return Err(reject!(
                    EAGAIN,
                    "the target is executing a program just now: try again"
                ))
            }
        }
        // SAFETY: It was filled in, with a reference of each of the four, which the values take
        // over. None of them is null, by the C side.
        unsafe {
            let found = found.assume_init();
            Ok(Self {
                process: Process::from_raw(NonNull::new_unchecked(found.tgid)),
                task: ARef::from_raw(NonNull::new_unchecked(found.task.cast::<Task>())),
                mm: ARef::from_raw(NonNull::new_unchecked(found.mm.cast::<Mm>())),
                credentials: ARef::from_raw(NonNull::new_unchecked(
                    found.cred.cast_mut().cast::<Credential>(),
                ))
                .into(),
                surroundings: Surroundings::at(found.files, found.fs, found.nsproxy),
                comm: found.comm.map(|byte| byte as u8),
            })
        }
    }
}

fn gone() -> Rejection {
    reject!(ESRCH, "the target has ended, or is no process of user space")
}

/// A thread of a process that is not ending, if there is one.
pub fn live_thread(process: &Process) -> Option<ARef<Task>> {
    // SAFETY: The process keeps its pid; the thread comes with a reference.
    unsafe {
        let task = ffi::nlcall_live_thread(process.as_ptr());
        Some(ARef::from_raw(NonNull::new(task.cast::<Task>())?))
    }
}

/// Gives memory back that was mapped in `mm`: by a thread of that process or by a work queue. May
/// sleep. `false`: the thread was killed before it could.
pub fn unmap(mm: &Mm, at: u64, len: usize) -> bool {
    // SAFETY: The reference keeps the structure; the C side sees to it that there is memory. What
    // was mapped there was ours: if the process has something else there by now, it asked for it.
    unsafe { ffi::nlcall_unmap(mm.as_raw(), at as usize, len) }
}
