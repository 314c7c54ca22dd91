// SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause

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

pub use crate::syscalls::nr;

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
const DEVICES: &str = "only INLINE for terminals, vCPUs, FIOASYNC: the thread's";
const SIGNAL_OWNER: &str = "only INLINE for leases, F_NOTIFY, O_ASYNC: it gets signals";
const THREAD_CLOCK: &str = "only INLINE for a thread's clock: the worker's";
const OWN_NAME: &str = "only INLINE for PIDFD_SELF, siginfo: the thread";
const OWN_CHILDREN: &str = "only INLINE for __WNOTHREAD: the worker has none";
const OWN_LABEL: &str = "only INLINE for all but CURRENT: of the thread";
const OWN_ROOT: &str = "only INLINE for FD_FAILFS_ROOT: asks who shares it";
const KERNEL_CODE: &str = "a kernel's si_code: only to the thread itself";
const CREATOR: &str = "under kernel.shm_rmid_forced it goes with the worker";
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
    InlineOnly DEVICES { ioctl if ioctl_of_thread }
    InlineOnly SIGNAL_OWNER { fcntl if makes_signal_owner }
    InlineOnly THREAD_CLOCK {
        timer_create if |args| is_thread_clock(args[0]),
        clock_nanosleep if |args| is_thread_clock(args[0]),
    }
    // PIDFD_SELF_THREAD is -10000.
    InlineOnly OWN_NAME { pidfd_send_signal if |args| args[0] as i32 == -10000 || args[2] != 0 }
    // __WNOTHREAD: children of the calling thread only.
    InlineOnly OWN_CHILDREN {
        wait4 if |args| args[2] & 0x2000_0000 != 0,
        waitid if |args| args[3] & 0x2000_0000 != 0,
    }
    // LSM_ATTR_CURRENT is 100: part of the credentials.
    InlineOnly OWN_LABEL { lsm_get_self_attr if |args| args[0] as u32 != 100 }
    // FD_FAILFS_ROOT is -10004.
    InlineOnly OWN_ROOT { fchroot if |args| args[0] as i32 == -10004 }
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
        // With PERF_FLAG_PID_CGROUP, 4, the id is a descriptor.
        perf_event_open if |args| args[1] as u32 == 0 && args[4] & 4 == 0,
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
        // RUSAGE_THREAD is 1.
        getrusage if |args| args[0] as u32 == 1,
        clock_gettime if |args| is_thread_clock(args[0]),
    }
    Differs KERNEL_CODE { rt_sigqueueinfo, rt_tgsigqueueinfo }
    Differs CREATOR { shmget }
};

/// Whether a device would take the thread for more than the one that asks.
fn ioctl_of_thread(args: &[u64; 6]) -> bool {
    let command = args[1] as u32;
    match command {
        // Changes of a terminal: TCSETS to TCSETAF, TCSBRK, TCXONC, TCFLSH, TIOCSPGRP, TIOCSETD,
        // TCSBRKP, TIOCSBRK, TIOCCBRK, TCSETS2 to TCSETSF2. Job control stops a process in the
        // background unless the thread blocks SIGTTOU, as a worker does.
        0x5402..=0x5404 | 0x5406..=0x540b | 0x5410 | 0x5423 | 0x5425 | 0x5427 | 0x5428 => true,
        0x402c_542b..=0x402c_542d => true,
        // FIOASYNC, VT_SETMODE, KDSIGACCEPT: signals go to the thread.
        0x5452 | 0x5602 | 0x4b4e => true,
        // The kernel does not keep a worker's floating point registers, which a virtual processor
        // shares: KVM_RUN, KVM_GET_MSRS, KVM_SET_MSRS, KVM_GET_ONE_REG, KVM_SET_ONE_REG, MSHV_RUN_VP.
        _ if command >> 8 & 0xff == 0xae => {
            matches!(command & 0xff, 0x80 | 0x88 | 0x89 | 0xab | 0xac)
        }
        _ if command & 0xffff == 0xb800 => true,
        // Binder, whose transactions are a thread's: its type is 'b' and its numbers are below 18.
        _ if command >> 8 & 0xff == 0x62 && command & 0xff < 18 => true,
        // USBDEVFS_SUBMITURB and USBDEVFS_DISCSIGNAL: signals go to the thread.
        0x8038_550a | 0x8010_550e => true,
        _ => false,
    }
}

/// Whether the call makes the thread the one that a file's signals go to, until it ends.
fn makes_signal_owner(args: &[u64; 6]) -> bool {
    const F_SETFL: u32 = 4;
    const F_SETLEASE: u32 = 1024;
    const F_NOTIFY: u32 = 1026;
    const F_SETDELEG: u32 = 1040;
    const O_ASYNC: u64 = 0o20000;
    match args[1] as u32 {
        F_SETLEASE | F_NOTIFY | F_SETDELEG => true,
        F_SETFL => args[2] & O_ASYNC != 0,
        _ => false,
    }
}

/// Whether a clock is the processor time of the thread that asks: `CLOCK_THREAD_CPUTIME_ID`, or
/// `MAKE_THREAD_CPUCLOCK(0, ...)` of `include/linux/posix-timers_types.h`.
fn is_thread_clock(clock: u64) -> bool {
    matches!(clock as i32, 3 | -4..=-2)
}

/// Whether a futex operation hands over ownership between threads (`include/uapi/linux/futex.h`).
fn futex_pi(args: &[u64; 6]) -> bool {
    // PRIVATE_FLAG, CLOCK_REALTIME, ROBUST_UNLOCK, ROBUST_LIST32.
    const FUTEX_CMD_MASK: u32 = !(128 | 256 | 512 | 1024);
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
///
/// The table is the newest kernel's, and an older one's is its beginning: new calls get the next
/// numbers. Those from [`KERNEL_NUMBERS`](crate::KERNEL_NUMBERS) on are unknown.
static BY_NUMBER: [u8; NUMBERS] = {
    let mut by_number = [UNKNOWN; NUMBERS];
    let mut i = 0;
    while i < syscalls::TABLE.len() {
        let number = syscalls::TABLE[i].nr as usize;
        if number < crate::KERNEL_NUMBERS {
            by_number[number] = PLAIN;
        }
        i += 1;
    }
    let mut i = 0;
    while i < RULES.len() {
        assert!(i < PLAIN as usize);
        let number = RULES[i].nr as usize;
        if number < crate::KERNEL_NUMBERS {
            by_number[number] = i as u8;
        }
        i += 1;
    }
    by_number
};

/// The rule of a number that is in the table.
fn rule(number: u32) -> Option<&'static Rule> {
    RULES.get(usize::from(*BY_NUMBER.get(number as usize)?))
}

/// Decides about one call. `None`: the kernel that this is compiled for has no call of that number,
/// or none that is known here, and the call is refused with `-ENOSYS`.
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

/// For each number of a system call which argument of it is the number of bytes that it shall
/// transfer, where fewer count as a failure of its chain. 0: no such argument; it is never the
/// first.
pub static LENGTHS: [u8; NUMBERS] = {
    let mut lengths = [0; NUMBERS];
    let mut i = 0;
    while i < TRANSFERS.len() {
        lengths[nr(TRANSFERS[i].0) as usize] = TRANSFERS[i].1;
        i += 1;
    }
    lengths
};

const TRANSFERS: [(&str, u8); 6] = [
    ("read", 2),
    ("write", 2),
    ("pread64", 2),
    ("pwrite64", 2),
    ("tee", 2),
    ("splice", 4),
];

/// That argument of the call `nr`, as an index.
#[inline]
pub fn length_argument(nr: u32) -> Option<usize> {
    match LENGTHS.get(nr as usize) {
        None | Some(0) => None,
        Some(index) => Some(usize::from(*index)),
    }
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
    fn every_entry_has_a_verdict_and_a_reason() {
        assert_eq!(table().count(), syscalls::TABLE.len());
        for (syscall, judgement) in table() {
            let plain = judgement.verdict == Verdict::Both && !is_conditional(syscall.nr);
            assert_eq!(judgement.reason.is_none(), plain, "{}", syscall.name);
            let reason = judgement.reason.unwrap_or("");
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
        for flags in [512, 1024, 128 | 512 | 1024] {
            let unlock = [0, flags | 7, 0, 0, 0, 0];
            assert_eq!(verdict("futex", unlock), Verdict::InlineOnly);
        }
        assert_eq!(
            verdict("close_range", [3, 9, 2, 0, 0, 0]),
            Verdict::InlineOnly
        );
        assert_eq!(verdict("close_range", [3, 9, 0, 0, 0, 0]), Verdict::Both);
    }

    #[test]
    fn devices_that_know_threads_are_told_by_the_command() {
        const TCGETS: u64 = 0x5401;
        const TCSETS: u64 = 0x5402;
        const TIOCGPGRP: u64 = 0x540f;
        const TIOCSPGRP: u64 = 0x5410;
        const TIOCGWINSZ: u64 = 0x5413;
        const FIONREAD: u64 = 0x541b;
        const KVM_CHECK_EXTENSION: u64 = 0xae03;
        const KVM_RUN: u64 = 0xae80;
        const KVM_GET_MSRS: u64 = 0xc008_ae88;
        const KVM_SET_ONE_REG: u64 = 0x4010_aeac;
        const BINDER_WRITE_READ: u64 = 0xc030_6201;

        let ioctl = |command| verdict("ioctl", [0, command, 0, 0, 0, 0]);
        let of_thread = [
            TCSETS,
            TIOCSPGRP,
            KVM_RUN,
            KVM_GET_MSRS,
            KVM_SET_ONE_REG,
            BINDER_WRITE_READ,
        ];
        for command in of_thread {
            assert_eq!(ioctl(command), Verdict::InlineOnly, "{command:#x}");
            // The kernel looks at the lower half of a command only.
            assert_eq!(
                ioctl(1 << 32 | command),
                Verdict::InlineOnly,
                "{command:#x}"
            );
        }
        for command in [TCGETS, TIOCGPGRP, TIOCGWINSZ, FIONREAD, KVM_CHECK_EXTENSION] {
            assert_eq!(ioctl(command), Verdict::Both, "{command:#x}");
        }
    }

    #[test]
    fn what_would_outlive_a_worker_is_not_made_on_one() {
        const F_SETFL: u64 = 4;
        const F_SETLEASE: u64 = 1024;
        const O_NONBLOCK: u64 = 0o4000;
        const O_ASYNC: u64 = 0o20000;

        let fcntl = |command, arg| verdict("fcntl", [3, command, arg, 0, 0, 0]);
        assert_eq!(fcntl(F_SETLEASE, 0), Verdict::InlineOnly);
        assert_eq!(fcntl(F_SETFL, O_ASYNC | O_NONBLOCK), Verdict::InlineOnly);
        assert_eq!(fcntl(F_SETFL, O_NONBLOCK), Verdict::Both);

        // CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID, the clocks of thread 0 and of process 0.
        for (clock, expected) in [
            (1, Verdict::Both),
            (3, Verdict::InlineOnly),
            (-2_i64 as u64, Verdict::InlineOnly),
            (-4_i32 as u32 as u64, Verdict::InlineOnly),
            (-6_i64 as u64, Verdict::Both),
        ] {
            let timer = verdict("timer_create", [clock, 0, 0, 0, 0, 0]);
            assert_eq!(timer, expected, "{clock}");
        }
        let watch = |pid, flags| verdict("perf_event_open", [0, pid, 0, 0, flags, 0]);
        assert_eq!(watch(0, 0), Verdict::InlineOnly);
        assert_eq!(watch(0, 4), Verdict::Both);
        assert_eq!(watch(7, 0), Verdict::Both);
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
