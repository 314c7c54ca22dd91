// SPDX-License-Identifier: MIT OR Apache-2.0

//! The policy table of the module of this release, for where none is loaded.
//!
//! The module's own, in kmod/policy.rs, is the one that decides; a test holds this copy against it.

use nlcall::raw::Verdict;

/// A call that does not execute everywhere without a difference.
#[derive(Debug, PartialEq, Eq)]
struct Exception {
    name: &'static str,
    verdict: Verdict,
    reason: &'static str,
}

const fn exception(name: &'static str, verdict: Verdict, reason: &'static str) -> Exception {
    Exception {
        name,
        verdict,
        reason,
    }
}

/// What is decided about the call of this name, which is in the kernel's table, and why.
pub fn entry(name: &str) -> (Verdict, Option<&'static str>) {
    let mut exceptions = EXCEPTIONS.iter();
    match exceptions.find(|exception| exception.name == name) {
        Some(exception) => (exception.verdict, Some(exception.reason)),
        None => (Verdict::Both, None),
    }
}

#[rustfmt::skip]
static EXCEPTIONS: &[Exception] = &[
    exception("rt_sigprocmask", Verdict::InlineOnly, "signal state belongs to the thread"),
    exception("rt_sigreturn", Verdict::Refused, "works on the thread's own saved registers"),
    exception("ioctl", Verdict::Both, "only INLINE for terminals, vCPUs, FIOASYNC: the thread's"),
    exception("sched_yield", Verdict::Differs, "answers about the worker"),
    exception("shmget", Verdict::Differs, "under kernel.shm_rmid_forced it goes with the worker"),
    exception("pause", Verdict::InlineOnly, "signal state belongs to the thread"),
    exception("clone", Verdict::InlineOnly, "the child would be a copy of the worker"),
    exception("fork", Verdict::InlineOnly, "the child would be a copy of the worker"),
    exception("vfork", Verdict::InlineOnly, "the child would be a copy of the worker"),
    exception("execve", Verdict::InlineOnly, "would replace or end the worker"),
    exception("exit", Verdict::InlineOnly, "would replace or end the worker"),
    exception("wait4", Verdict::Both, "only INLINE for __WNOTHREAD: the worker has none"),
    exception("semop", Verdict::InlineOnly, "tied to the thread or its exit"),
    exception("fcntl", Verdict::Both, "only INLINE for leases, F_NOTIFY, O_ASYNC: it gets signals"),
    exception("getrusage", Verdict::Differs, "where it asks about the thread: the worker"),
    exception("ptrace", Verdict::InlineOnly, "tied to the thread or its exit"),
    exception("setuid", Verdict::InlineOnly, "credentials are per thread"),
    exception("setgid", Verdict::InlineOnly, "credentials are per thread"),
    exception("setreuid", Verdict::InlineOnly, "credentials are per thread"),
    exception("setregid", Verdict::InlineOnly, "credentials are per thread"),
    exception("setgroups", Verdict::InlineOnly, "credentials are per thread"),
    exception("setresuid", Verdict::InlineOnly, "credentials are per thread"),
    exception("setresgid", Verdict::InlineOnly, "credentials are per thread"),
    exception("setfsuid", Verdict::InlineOnly, "credentials are per thread"),
    exception("setfsgid", Verdict::InlineOnly, "credentials are per thread"),
    exception("capget", Verdict::InlineOnly, "mostly per-thread state"),
    exception("capset", Verdict::InlineOnly, "credentials are per thread"),
    exception("rt_sigpending", Verdict::InlineOnly, "signal state belongs to the thread"),
    exception("rt_sigtimedwait", Verdict::Differs, "answers about the worker"),
    exception("rt_sigqueueinfo", Verdict::Differs, "a kernel's si_code: only to the thread itself"),
    exception("rt_sigsuspend", Verdict::InlineOnly, "signal state belongs to the thread"),
    exception("sigaltstack", Verdict::InlineOnly, "signal state belongs to the thread"),
    exception("personality", Verdict::InlineOnly, "CPU state belongs to the thread"),
    exception("getpriority", Verdict::Both, "only INLINE for id 0: that is the worker"),
    exception("setpriority", Verdict::Both, "only INLINE for id 0: that is the worker"),
    exception("sched_setparam", Verdict::Both, "only INLINE for id 0: that is the worker"),
    exception("sched_getparam", Verdict::Both, "only INLINE for id 0: that is the worker"),
    exception("sched_setscheduler", Verdict::Both, "only INLINE for id 0: that is the worker"),
    exception("sched_getscheduler", Verdict::Both, "only INLINE for id 0: that is the worker"),
    exception("sched_rr_get_interval", Verdict::Both, "only INLINE for id 0: that is the worker"),
    exception("prctl", Verdict::InlineOnly, "mostly per-thread state"),
    exception("arch_prctl", Verdict::InlineOnly, "CPU state belongs to the thread"),
    exception("reboot", Verdict::Refused, "may end the thread in the middle of the call"),
    exception("iopl", Verdict::InlineOnly, "CPU state belongs to the thread"),
    exception("ioperm", Verdict::InlineOnly, "CPU state belongs to the thread"),
    exception("gettid", Verdict::Differs, "answers about the worker"),
    exception("futex", Verdict::Both, "only INLINE for PI: the thread is the owner"),
    exception("sched_setaffinity", Verdict::Both, "only INLINE for id 0: that is the worker"),
    exception("sched_getaffinity", Verdict::Both, "only INLINE for id 0: that is the worker"),
    exception("set_tid_address", Verdict::InlineOnly, "the thread's exit would write it"),
    exception("restart_syscall", Verdict::Refused, "works on the thread's own saved registers"),
    exception("semtimedop", Verdict::InlineOnly, "tied to the thread or its exit"),
    exception("timer_create", Verdict::Both, "only INLINE for a thread's clock: the worker's"),
    exception("clock_gettime", Verdict::Differs, "where it asks about the thread: the worker"),
    exception("clock_nanosleep", Verdict::Both, "only INLINE for a thread's clock: the worker's"),
    exception("exit_group", Verdict::InlineOnly, "would replace or end the worker"),
    exception("set_mempolicy", Verdict::InlineOnly, "mostly per-thread state"),
    exception("get_mempolicy", Verdict::InlineOnly, "mostly per-thread state"),
    exception("waitid", Verdict::Both, "only INLINE for __WNOTHREAD: the worker has none"),
    exception("add_key", Verdict::InlineOnly, "credentials are per thread"),
    exception("request_key", Verdict::InlineOnly, "credentials are per thread"),
    exception("keyctl", Verdict::InlineOnly, "credentials are per thread"),
    exception("ioprio_set", Verdict::Both, "only INLINE for id 0: that is the worker"),
    exception("ioprio_get", Verdict::Both, "only INLINE for id 0: that is the worker"),
    exception("pselect6", Verdict::Both, "only INLINE with a mask: it would open the worker's"),
    exception("ppoll", Verdict::Both, "only INLINE with a mask: it would open the worker's"),
    exception("unshare", Verdict::InlineOnly, "only the worker would move"),
    exception("set_robust_list", Verdict::InlineOnly, "the thread's exit would write it"),
    exception("get_robust_list", Verdict::Both, "only INLINE for id 0: that is the worker"),
    exception("epoll_pwait", Verdict::Both, "only INLINE with a mask: it would open the worker's"),
    exception("signalfd", Verdict::Differs, "answers about the worker"),
    exception("signalfd4", Verdict::Differs, "answers about the worker"),
    exception("rt_tgsigqueueinfo", Verdict::Differs, "a kernel's si_code: only to the thread itself"),
    exception("perf_event_open", Verdict::Both, "only INLINE for id 0: that is the worker"),
    exception("setns", Verdict::InlineOnly, "only the worker would move"),
    exception("getcpu", Verdict::Differs, "answers about the worker"),
    exception("sched_setattr", Verdict::Both, "only INLINE for id 0: that is the worker"),
    exception("sched_getattr", Verdict::Both, "only INLINE for id 0: that is the worker"),
    exception("seccomp", Verdict::InlineOnly, "mostly per-thread state"),
    exception("execveat", Verdict::InlineOnly, "would replace or end the worker"),
    exception("pkey_alloc", Verdict::InlineOnly, "CPU state belongs to the thread"),
    exception("io_pgetevents", Verdict::Both, "only INLINE with a mask: it would open the worker's"),
    exception("rseq", Verdict::InlineOnly, "the thread's exit would write it"),
    exception("uretprobe", Verdict::Refused, "works on the thread's own saved registers"),
    exception("uprobe", Verdict::Refused, "works on the thread's own saved registers"),
    exception("pidfd_send_signal", Verdict::Both, "only INLINE for PIDFD_SELF, siginfo: the thread"),
    exception("io_uring_setup", Verdict::InlineOnly, "tied to the thread or its exit"),
    exception("io_uring_enter", Verdict::InlineOnly, "tied to the thread or its exit"),
    exception("io_uring_register", Verdict::InlineOnly, "tied to the thread or its exit"),
    exception("clone3", Verdict::InlineOnly, "the child would be a copy of the worker"),
    exception("close_range", Verdict::Both, "only INLINE to unshare: the worker would"),
    exception("epoll_pwait2", Verdict::Both, "only INLINE with a mask: it would open the worker's"),
    exception("landlock_restrict_self", Verdict::InlineOnly, "credentials are per thread"),
    exception("lsm_get_self_attr", Verdict::Both, "only INLINE for all but CURRENT: of the thread"),
    exception("lsm_set_self_attr", Verdict::InlineOnly, "credentials are per thread"),
    exception("rseq_slice_yield", Verdict::InlineOnly, "the thread's exit would write it"),
    exception("fchroot", Verdict::Both, "only INLINE for FD_FAILFS_ROOT: asks who shares it"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use nlcall_kmod::policy;

    #[test]
    fn the_copy_is_that_of_the_module() {
        let mut exceptions = EXCEPTIONS.iter();
        for (syscall, judgement) in policy::table() {
            let theirs = (judgement.verdict, judgement.reason);
            assert_eq!(entry(syscall.name), theirs, "{}", syscall.name);
            if judgement.reason.is_some() {
                let next = exceptions.next().map(|exception| exception.name);
                assert_eq!(next, Some(syscall.name), "in the order of the numbers");
            }
        }
        assert_eq!(exceptions.next(), None);
    }
}
