// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reads the guest's kernel log as it is written, and notices when the kernel complains.

use std::sync::LazyLock;

use regex::{
    Regex,
    RegexSet, //
};

use super::race;

/// What the kernel says when something is wrong. A line matches behind its time stamp.
const COMPLAINTS: &[&str] = &[
    r"^WARNING: ",
    // The slab allocator leaves out the colon.
    r"^BUG[: ]",
    // Lockdep, where a lock is taken inside one of a kind that must not wait for it.
    r"^\[ BUG: ",
    r"^watchdog: BUG: ",
    r"\bOops\b",
    r"^kernel BUG at ",
    r"^Kernel panic",
    r"^Call Trace:",
    r"^INFO: task .* blocked for more than ",
    r"\bdetected (expedited )?stalls on CPUs",
    r"\bself-detected stall on CPU",
    r"\bkthread starved for ",
    r"\bLOCKUP\b",
    r"^general protection fault",
    r"^refcount_t: ",
    r"\bKASAN\b.*: ",
    r"\bKFENCE: ",
    r"^UBSAN: ",
    r"^list_(add|del) corruption",
    r"^INFO: (possible|suspicious|inconsistent|trying to register non-static key)",
    r"\bsuspicious RCU usage",
    r"^rust_kernel: panicked at ",
    r"^kmemleak: (unreferenced object|[1-9][0-9]* new suspected memory leaks|Cannot allocate )",
    // Each of these ends the checks.
    r"^INFO: lockdep is turned off",
    r"^kmemleak: Memory pool empty",
    r"^unregister_netdevice: waiting for ",
    WITHOUT_MEMORY,
    r"^ODEBUG: ",
    r"\bleft atomic context|\bscheduling while atomic|\bsleeping function called from invalid context",
];

/// Lines that announce a trace that is no complaint: the kernel explains which process it ended for
/// want of memory, which is the service that a program over its limit gets; or it let an allocation
/// fail because a test asked for that, and whoever needed it may say so, too.
const ANNOUNCES_TRACE: &[&str] = &[
    "invoked oom-killer: ",
    "FAULT_INJECTION: forcing a failure.",
];

/// Says that an allocation failed, and comes before a trace.
const WITHOUT_MEMORY: &str = "page allocation failure";

/// How many lines behind the announcement the trace begins at the latest.
const ANNOUNCED_WITHIN: usize = 20;

static PATTERNS: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSet::new(COMPLAINTS).unwrap_or_else(|error| panic!("a pattern is wrong: {error}"))
});

/// Looks at a log line by line.
#[derive(Debug, Default)]
pub struct Scanner {
    /// For so many lines more, a trace is announced.
    announced: usize,
    race: race::Reader,
}

impl Scanner {
    /// Whether this line is a complaint.
    pub fn complains(&mut self, line: &str) -> bool {
        let message = without_time_stamp(line);
        // The kernel's own races are for those who work on it.
        if self.race.is_part(message) {
            return self.race.is_of_module(message);
        }
        let is_announced = self.announced > 0;
        self.announced = self.announced.saturating_sub(1);
        if ANNOUNCES_TRACE.iter().any(|line| message.contains(line)) {
            self.announced = ANNOUNCED_WITHIN;
        }
        if is_announced && message.starts_with("Call Trace:") {
            self.announced = 0;
            return false;
        }
        if is_announced && message.contains(WITHOUT_MEMORY) {
            return false;
        }
        PATTERNS.is_match(message)
    }
}

/// The message of a line: `[    1.234567] message`, or `[    1.234567][  T123] message`, where the
/// second names the thread (T) or processor (C) that said it.
fn without_time_stamp(line: &str) -> &str {
    static STAMP: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^\[ *[0-9]+\.[0-9]+\](\[ *[TC][0-9]+\])? ?")
            .unwrap_or_else(|error| panic!("the pattern is wrong: {error}"))
    });
    let line = line.trim();
    match STAMP.find(line) {
        Some(stamp) => line[stamp.end()..].trim_start(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complains(line: &str) -> bool {
        Scanner::default().complains(line)
    }

    #[test]
    fn complaints_are_noticed() {
        for line in [
            "[    4.212345] WARNING: kernel/foo.c:12 at bar+0x12/0x30, CPU#1: init/1",
            "[    4.212345][  T123] BUG: kernel NULL pointer dereference, address: 0000000000000000",
            "[    4.212345] Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1] SMP",
            "[   62.212345] INFO: task nlcall:123 blocked for more than 60 seconds.",
            "[   62.212345] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "[   62.212345] rcu: INFO: rcu_preempt self-detected stall on CPU",
            "[   62.212345] watchdog: BUG: soft lockup - CPU#0 stuck for 52s! [nlcall:1]",
            "[    2.000000] Kernel panic - not syncing: Attempted to kill init!",
            "[    2.000000] refcount_t: underflow; use-after-free.",
            "[    2.000000] BUG: KASAN: slab-use-after-free in nlcall_exit+0x1/0x2",
            "[    2.000000][   T77] BUG: KASAN: slab-out-of-bounds in nlcall_exit+0x1/0x2",
            "[    2.000000] BUG nlcall_call (Tainted: G           O      ): Objects remaining on __kmem_cache_shutdown()",
            "[    2.000000] WARNING: possible circular locking dependency detected",
            "[    2.000000][   T77] WARNING: inconsistent lock state",
            "[    2.000000][   T77] [ BUG: Invalid wait context ]",
            "[    2.000000][   T77] BUG: sleeping function called from invalid context at mm/slab.h:1",
            "[    2.000000][   T77] BUG: MAX_LOCKDEP_CHAINS too low!",
            "[    2.000000][   T77] INFO: lockdep is turned off.",
            "[    2.000000][   T77] ODEBUG: Out of memory. ODEBUG disabled",
            "[    2.000000][   T77] ODEBUG: object 0000 is on stack 0000, but NOT annotated.",
            "[    2.000000][    C0] rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: {",
            "[    2.000000][    T1] kmemleak: unreferenced object 0xffff888001234500 (size 64):",
            "[    2.000000][    T1] kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
            "[    2.000000] rust_kernel: panicked at nlcall_main.rs:1:1:",
            "[    2.000000] Call Trace:",
        ] {
            assert!(complains(line), "{line}");
        }
    }

    #[test]
    fn ordinary_lines_are_not() {
        for line in [
            "[    1.000000] nlcall: loading out-of-tree module taints kernel.",
            "[    1.000000] nlcall: module verification failed: signature and/or required key missing - tainting kernel",
            "[    1.000000] traps: victim[77] general protection fault ip:401000 sp:7ffd error:0 in victim[401000+1]",
            "[    1.000000] victim[77]: segfault at 0 ip 0000000000401000 sp 00007ffd error 4 in victim",
            "[    1.000000] rcu: Preemptible hierarchical RCU implementation.",
            "[    1.000000] kfence: initialized - using 2097152 bytes for 255 objects",
            "[    1.000000] Memory cgroup out of memory: Killed process 77 (victim)",
            "[    1.000000][    T0] kmemleak: Kernel memory leak detector disabled",
            "[    1.000000][    T1] kmemleak: Kernel memory leak detector initialized (mem pool available: 15000)",
            "[    1.000000][    T0] Running RCU self tests",
            "[    1.000000][    T0] ... MAX_LOCKDEP_CHAINS:      65536",
            "[    1.000000][    T0] kasan: KernelAddressSanitizer initialized",
            "[    1.000000] NMI watchdog: Perf NMI watchdog permanently disabled",
        ] {
            assert!(!complains(line), "{line}");
        }
    }

    #[test]
    fn a_failure_that_was_asked_for_is_no_complaint() {
        let mut scanner = Scanner::default();
        assert!(!scanner.complains("[ 9.0][  T77] FAULT_INJECTION: forcing a failure."));
        assert!(!scanner.complains(
            "[ 9.0][  T77] name failslab, interval 1, probability 100, space 0, times 1"
        ));
        assert!(!scanner.complains("[ 9.0][  T77] Call Trace:"));
        assert!(scanner.complains("[ 9.1][  T77] Call Trace:"));
    }

    #[test]
    fn who_needed_what_failed_may_say_so() {
        let mut scanner = Scanner::default();
        let needs = "[ 9.0][  T77] ft: page allocation failure: order:3, mode:0xcc0(GFP_KERNEL)";
        assert!(scanner.complains(needs));
        assert!(!scanner.complains("[ 9.0][  T77] FAULT_INJECTION: forcing a failure."));
        assert!(!scanner.complains(needs));
        assert!(!scanner.complains("[ 9.0][  T77] Call Trace:"));
        assert!(scanner.complains(needs));
    }

    #[test]
    fn what_was_announced_long_ago_is_a_complaint() {
        let mut scanner = Scanner::default();
        assert!(!scanner.complains("[ 9.0][  T77] FAULT_INJECTION: forcing a failure."));
        for _ in 0..ANNOUNCED_WITHIN {
            assert!(!scanner.complains("[ 9.0][  T77] nlcall: nothing"));
        }
        assert!(scanner.complains("[ 9.1][  T77] Call Trace:"));
    }

    #[test]
    fn a_race_is_a_complaint_where_the_module_has_a_part_in_it() {
        let report = |function: &str| {
            let mut scanner = Scanner::default();
            [
                "[ 9.0][  T77] BUG: KCSAN: data-race in one / another",
                "[ 9.0][  T77] ",
                "[ 9.0][  T77] read to 0xffff888104b2c9c8 of 8 bytes by task 9 on cpu 1:",
                function,
                "[ 9.0][  T77] Reported by Kernel Concurrency Sanitizer on:",
                "[ 9.0][  T77] Call Trace:",
            ]
            .map(|line| scanner.complains(line))
        };
        let complaints = report("[ 9.0][  T77]  nlcall_notify+0x1f/0x80 [nlcall]");
        assert_eq!(complaints, [false, false, false, true, false, true]);
        let complaints = report("[ 9.0][  T77]  do_sys_poll+0x416/0x5a0");
        assert_eq!(complaints, [false, false, false, false, false, true]);
    }

    #[test]
    fn only_the_trace_of_the_oom_killer_is_allowed() {
        let mut scanner = Scanner::default();
        assert!(!scanner
            .complains("[ 9.0] eater invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0"));
        assert!(!scanner.complains("[ 9.0] Call Trace:"));
        assert!(scanner.complains("[ 9.1] Call Trace:"));
    }
}
