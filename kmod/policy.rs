// SPDX-License-Identifier: GPL-2.0-only

//! Which system call may execute where, and why not elsewhere.
//!
//! Every entry of the kernel's table has a verdict. An entry without a rule executes everywhere
//! without a difference. What each rule rests on was seen on the stock kernel: a worker is a real
//! thread of the process, but it is not the thread that asked.

use crate::{
    syscalls::{
        self,
        Syscall, //
    },
    wire::Verdict, //
};

/// What was decided about one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Where it may execute.
    pub verdict: Verdict,
    /// Why, in words; `None` where it executes everywhere without a difference.
    pub reason: Option<&'static str>,
}

/// Condition on the arguments of a call.
type Condition = fn(&[u64; 6]) -> bool;

/// A deviation from "executes everywhere".
struct Rule {
    nr: u32,
    verdict: Verdict,
    reason: &'static str,
    /// The rule holds only for arguments that this accepts; the rest execute everywhere.
    when: Option<Condition>,
}

/// The number of a system call, at compile time; an unknown name does not compile.
pub const fn nr(name: &str) -> u32 {
    let mut i = 0;
    while i < syscalls::TABLE.len() {
        if equal(syscalls::TABLE[i].name.as_bytes(), name.as_bytes()) {
            return syscalls::TABLE[i].nr;
        }
        i += 1;
    }
    panic!("no system call of this name")
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// How the reason of a rule begins that holds only for some arguments.
pub const CONDITIONAL: &str = "only INLINE ";

const REGISTERS: &str = "works on the thread's own saved registers";
const CHILD: &str = "the child would be a copy of the worker";
const PROGRAM: &str = "would replace or end the worker";
const ENDS: &str = "may end the thread in the middle of the call";
const SIGNALS: &str = "signal state belongs to the thread";
const SIGNAL_MASK: &str = "only INLINE with a mask: it would open the worker's";
const USER_MEMORY: &str = "the thread's exit would write it";
const CPU_STATE: &str = "CPU state belongs to the thread";
const CREDENTIALS: &str = "credentials are per thread";
const NAMESPACES: &str = "only the worker would move";
const PER_THREAD: &str = "mostly per-thread state";
const SELF: &str = "only INLINE for id 0: that is the worker";
const TIED: &str = "tied to the thread or its exit";
const PRIORITY_INHERITANCE: &str = "only INLINE for PI: the thread is the owner";
const UNSHARE: &str = "only INLINE to unshare: the worker would";
const VIRTUAL_CPU: &str = "only INLINE for a virtual CPU: its registers";
const OF_THREAD: &str = "where it asks about the thread: the worker";
const ABOUT_WORKER: &str = "answers about the worker";

/// Declares the rules: verdict, reason, then names, each with an optional condition.
macro_rules! rules {
    ($($verdict:ident $reason:ident { $($name:ident $(if $when:expr)?),+ $(,)? })+) => {
        &[$($(Rule {
            nr: nr(stringify!($name)),
            verdict: Verdict::$verdict,
            reason: $reason,
            when: rules!(@when $($when)?),
        }),+),+]
    };
    (@when) => { None };
    (@when $when:expr) => { Some($when) };
}

// A static, and not a const, so that the conditions have one address each.
static RULES: &[Rule] = rules! {
    Refused REGISTERS { rt_sigreturn, restart_syscall, uprobe, uretprobe }
    InlineOnly CHILD { fork, vfork, clone, clone3 }
    InlineOnly PROGRAM { execve, execveat, exit, exit_group }
    Refused ENDS { reboot }
    InlineOnly SIGNALS { rt_sigsuspend, pause, rt_sigprocmask, sigaltstack, rt_sigpending }
    InlineOnly SIGNAL_MASK {
        ppoll if |args| args[3] != 0,
        pselect6 if |args| args[5] != 0,
        epoll_pwait if |args| args[4] != 0,
        epoll_pwait2 if |args| args[4] != 0,
        io_pgetevents if |args| args[5] != 0,
    }
    InlineOnly USER_MEMORY { set_tid_address, set_robust_list, rseq, rseq_slice_yield }
    InlineOnly CPU_STATE {
        arch_prctl, iopl, ioperm, personality, pkey_alloc,
    }
    InlineOnly VIRTUAL_CPU { ioctl if runs_a_virtual_cpu }
    InlineOnly CREDENTIALS {
        setuid, setgid, setreuid, setregid, setresuid, setresgid, setfsuid, setfsgid, setgroups,
        capset, keyctl, add_key, request_key, landlock_restrict_self, lsm_set_self_attr,
    }
    InlineOnly NAMESPACES { setns, unshare }
    InlineOnly PER_THREAD { prctl, seccomp, set_mempolicy, get_mempolicy, capget }
    InlineOnly SELF {
        sched_setparam if |args| args[0] as u32 == 0,
        sched_getparam if |args| args[0] as u32 == 0,
        sched_setscheduler if |args| args[0] as u32 == 0,
        sched_getscheduler if |args| args[0] as u32 == 0,
        sched_rr_get_interval if |args| args[0] as u32 == 0,
        sched_setaffinity if |args| args[0] as u32 == 0,
        sched_getaffinity if |args| args[0] as u32 == 0,
        sched_setattr if |args| args[0] as u32 == 0,
        sched_getattr if |args| args[0] as u32 == 0,
        // PRIO_PROCESS is 0 and IOPRIO_WHO_PROCESS is 1.
        getpriority if |args| args[0] as u32 == 0 && args[1] as u32 == 0,
        setpriority if |args| args[0] as u32 == 0 && args[1] as u32 == 0,
        ioprio_get if |args| args[0] as u32 == 1 && args[1] as u32 == 0,
        ioprio_set if |args| args[0] as u32 == 1 && args[1] as u32 == 0,
        get_robust_list if |args| args[0] as u32 == 0,
    }
    InlineOnly TIED {
        ptrace, semop, semtimedop, io_uring_setup, io_uring_enter, io_uring_register,
    }
    InlineOnly PRIORITY_INHERITANCE { futex if futex_pi }
    // CLOSE_RANGE_UNSHARE is 2.
    InlineOnly UNSHARE { close_range if |args| args[2] & 2 != 0 }
    Differs ABOUT_WORKER {
        gettid, getcpu, sched_yield, rt_sigtimedwait, signalfd, signalfd4,
    }
    Differs OF_THREAD {
        // RUSAGE_THREAD is 1, CLOCK_THREAD_CPUTIME_ID is 3.
        getrusage if |args| args[0] as u32 == 1,
        clock_gettime if |args| args[0] as u32 == 3,
        clock_getres if |args| args[0] as u32 == 3,
        clock_nanosleep if |args| args[0] as u32 == 3,
        timer_create if |args| args[0] as u32 == 3,
        perf_event_open if |args| args[1] as u32 == 0,
        // __WNOTHREAD: children of the calling thread only.
        wait4 if |args| args[2] & 0x2000_0000 != 0,
        waitid if |args| args[3] & 0x2000_0000 != 0,
    }
};

/// KVM_RUN and MSHV_RUN_VP: the kernel does not keep a worker's floating point registers, which a
/// virtual processor would share.
fn runs_a_virtual_cpu(args: &[u64; 6]) -> bool {
    args[1] as u32 == 0xae80 || args[1] & 0xffff == 0xb800
}

/// Whether a futex operation hands over ownership between threads (`include/uapi/linux/futex.h`).
fn futex_pi(args: &[u64; 6]) -> bool {
    const FUTEX_CMD_MASK: u32 = !(128 | 256);
    // LOCK_PI, UNLOCK_PI, TRYLOCK_PI, WAIT_REQUEUE_PI, CMP_REQUEUE_PI, LOCK_PI2.
    matches!(args[1] as u32 & FUTEX_CMD_MASK, 6 | 7 | 8 | 11 | 12 | 13)
}

/// One more than the highest number of the table.
pub const NUMBERS: usize = syscalls::TABLE[syscalls::TABLE.len() - 1].nr as usize + 1;

/// Not in the table.
const UNKNOWN: u8 = u8::MAX;
/// In the table, without a rule.
const PLAIN: u8 = u8::MAX - 1;

/// For each number the index of its rule, [`PLAIN`] or [`UNKNOWN`].
static BY_NUMBER: [u8; NUMBERS] = {
    let mut by_number = [UNKNOWN; NUMBERS];
    let mut i = 0;
    while i < syscalls::TABLE.len() {
        by_number[syscalls::TABLE[i].nr as usize] = PLAIN;
        i += 1;
    }
    let mut i = 0;
    while i < RULES.len() {
        assert!(i < PLAIN as usize);
        by_number[RULES[i].nr as usize] = i as u8;
        i += 1;
    }
    by_number
};

/// The rule of a number that is in the table.
fn rule(number: u32) -> Option<&'static Rule> {
    RULES.get(usize::from(*BY_NUMBER.get(number as usize)?))
}

/// Decides about one call. `None`: the number is not in the table of any kernel that this module
/// knows, and the call is refused with `-ENOSYS`.
pub fn judge(number: u32, args: &[u64; 6]) -> Option<Judgement> {
    if !is_known(number) {
        return None;
    }
    Some(match rule(number) {
        Some(rule) if rule.when.is_none_or(|when| when(args)) => Judgement {
            verdict: rule.verdict,
            reason: Some(rule.reason),
        },
        _ => EVERYWHERE,
    })
}

/// Whether a worker may execute the call.
pub fn suits_worker(number: u32, args: &[u64; 6]) -> bool {
    judge(number, args)
        .is_some_and(|judgement| matches!(judgement.verdict, Verdict::Both | Verdict::Differs))
}

const EVERYWHERE: Judgement = Judgement {
    verdict: Verdict::Both,
    reason: None,
};

/// The entry of the policy table for one number, before its arguments are looked at. One that
/// executes everywhere but with some arguments says so in its reason.
pub fn entry(number: u32) -> Option<Judgement> {
    if !is_known(number) {
        return None;
    }
    Some(rule(number).map_or(EVERYWHERE, |rule| Judgement {
        verdict: match rule.when {
            Some(_) if rule.verdict == Verdict::InlineOnly => Verdict::Both,
            _ => rule.verdict,
        },
        reason: Some(rule.reason),
    }))
}

fn is_known(number: u32) -> bool {
    BY_NUMBER
        .get(number as usize)
        .is_some_and(|entry| *entry != UNKNOWN)
}

/// Whether this number is in the table and has no rule: it executes everywhere, whatever its
/// arguments.
#[inline(always)]
pub fn is_plain(number: u32) -> bool {
    BY_NUMBER
        .get(number as usize)
        .is_some_and(|entry| *entry == PLAIN)
}

/// Whether the entry for this number depends on the arguments.
pub fn is_conditional(number: u32) -> bool {
    rule(number).is_some_and(|rule| rule.when.is_some())
}

/// The name of a system call.
pub fn name(number: u32) -> &'static str {
    syscalls::by_nr(number).map_or("unknown", |entry| entry.name)
}

/// All system calls with their entries, ordered by number.
pub fn table() -> impl Iterator<Item = (&'static Syscall, Judgement)> {
    syscalls::TABLE
        .iter()
        .filter_map(|syscall| Some((syscall, entry(syscall.nr)?)))
}

/// FNV-1a over names, verdicts and reasons: two modules with the same hash decide alike.
pub fn hash() -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut feed = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    for (syscall, judgement) in table() {
        feed(&syscall.nr.to_ne_bytes());
        feed(syscall.name.as_bytes());
        feed(&(judgement.verdict as u32).to_ne_bytes());
        feed(judgement.reason.unwrap_or("").as_bytes());
        feed(&[u8::from(is_conditional(syscall.nr))]);
    }
    hash
}

/// System calls whose first argument is a descriptor, for cancelling by descriptor.
pub fn takes_descriptor_first(number: u32) -> bool {
    #[rustfmt::skip]
    const NUMBERS: &[u32] = &[
        nr("read"), nr("write"), nr("close"), nr("fstat"), nr("lseek"), nr("ioctl"),
        nr("pread64"), nr("pwrite64"), nr("readv"), nr("writev"), nr("dup"), nr("dup2"),
        nr("sendfile"), nr("connect"), nr("accept"), nr("sendto"), nr("recvfrom"),
        nr("sendmsg"), nr("recvmsg"), nr("shutdown"), nr("bind"), nr("listen"),
        nr("getsockname"), nr("getpeername"), nr("setsockopt"), nr("getsockopt"), nr("fcntl"),
        nr("flock"), nr("fsync"), nr("fdatasync"), nr("ftruncate"), nr("getdents"),
        nr("fchdir"), nr("fchmod"), nr("fchown"), nr("fstatfs"), nr("readahead"),
        nr("fsetxattr"), nr("fgetxattr"), nr("flistxattr"), nr("fremovexattr"),
        nr("getdents64"), nr("fadvise64"), nr("epoll_wait"), nr("epoll_ctl"),
        nr("mq_timedsend"), nr("mq_timedreceive"), nr("mq_notify"), nr("mq_getsetattr"),
        nr("inotify_add_watch"), nr("inotify_rm_watch"), nr("openat"), nr("mkdirat"),
        nr("mknodat"), nr("fchownat"), nr("newfstatat"), nr("unlinkat"), nr("renameat"),
        nr("linkat"), nr("readlinkat"), nr("fchmodat"), nr("faccessat"), nr("splice"),
        nr("tee"), nr("sync_file_range"), nr("vmsplice"), nr("utimensat"), nr("epoll_pwait"),
        nr("fallocate"), nr("timerfd_settime"), nr("timerfd_gettime"), nr("accept4"),
        nr("dup3"), nr("preadv"), nr("pwritev"), nr("recvmmsg"), nr("fanotify_mark"),
        nr("open_by_handle_at"), nr("syncfs"), nr("sendmmsg"), nr("finit_module"),
        nr("renameat2"), nr("copy_file_range"), nr("preadv2"), nr("pwritev2"), nr("statx"),
        nr("openat2"), nr("faccessat2"), nr("epoll_pwait2"), nr("fchmodat2"), nr("cachestat"),
        nr("fsconfig"), nr("fsmount"), nr("pidfd_send_signal"), nr("pidfd_getfd"),
        nr("quotactl_fd"), nr("fchroot"), nr("process_madvise"), nr("process_mrelease"),
    ];
    NUMBERS.contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [u64; 6] = [0; 6];

    fn verdict(name: &str, args: [u64; 6]) -> Verdict {
        judge(nr(name), &args).unwrap().verdict
    }

    #[test]
    fn every_entry_has_a_verdict_and_reasons_fit_a_rejection() {
        assert_eq!(table().count(), syscalls::TABLE.len());
        for (syscall, judgement) in table() {
            let plain = judgement.verdict == Verdict::Both && !is_conditional(syscall.nr);
            assert_eq!(judgement.reason.is_none(), plain, "{}", syscall.name);
            let reason = judgement.reason.unwrap_or("");
            let advice = match judgement.verdict {
                Verdict::InlineOnly if !is_conditional(syscall.nr) => ": flag it INLINE",
                _ => "",
            };
            let text = crate::text::Text::format(format_args!(
                "call 65535: {}: {reason}{advice}",
                syscall.name
            ));
            assert!(
                text.as_str().len() < crate::text::MAX_LEN,
                "{}",
                syscall.name
            );
            let only_some = reason.starts_with(CONDITIONAL);
            assert!(!only_some || is_conditional(syscall.nr), "{}", syscall.name);
        }
    }

    #[test]
    fn numbers_outside_the_table_have_no_verdict() {
        for number in [NUMBERS as u32, 512, 0x4000_0000, u32::MAX, 400] {
            assert_eq!(judge(number, &NONE), None, "{number}");
        }
    }

    #[test]
    fn calls_on_the_thread_itself_never_reach_a_worker() {
        for name in [
            "fork",
            "execve",
            "exit_group",
            "setuid",
            "seccomp",
            "unshare",
            "ptrace",
        ] {
            assert_eq!(verdict(name, NONE), Verdict::InlineOnly, "{name}");
        }
        for name in ["rt_sigreturn", "restart_syscall"] {
            assert_eq!(verdict(name, NONE), Verdict::Refused, "{name}");
        }
    }

    #[test]
    fn conditions_look_at_the_arguments() {
        assert_eq!(verdict("ppoll", NONE), Verdict::Both);
        assert_eq!(verdict("ppoll", [0, 0, 0, 1, 0, 0]), Verdict::InlineOnly);
        assert_eq!(verdict("sched_getaffinity", NONE), Verdict::InlineOnly);
        assert_eq!(
            verdict("sched_getaffinity", [7, 0, 0, 0, 0, 0]),
            Verdict::Both
        );
        // The kernel looks at the lower half of a pid only.
        assert_eq!(
            verdict("sched_getaffinity", [1 << 32, 0, 0, 0, 0, 0]),
            Verdict::InlineOnly
        );
        assert_eq!(verdict("futex", [0, 128, 0, 0, 0, 0]), Verdict::Both);
        assert_eq!(
            verdict("futex", [0, 128 | 6, 0, 0, 0, 0]),
            Verdict::InlineOnly
        );
        assert_eq!(
            verdict("close_range", [3, 9, 2, 0, 0, 0]),
            Verdict::InlineOnly
        );
        assert_eq!(verdict("close_range", [3, 9, 0, 0, 0, 0]), Verdict::Both);
    }

    #[test]
    fn no_call_has_two_rules() {
        for (i, rule) in RULES.iter().enumerate() {
            assert!(
                RULES[i + 1..].iter().all(|other| other.nr != rule.nr),
                "{}",
                name(rule.nr)
            );
        }
    }
}
