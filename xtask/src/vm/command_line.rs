// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's command line.

use crate::sandbox::{
    Checks,
    Sandbox, //
};

/// A panic reboots at once, which ends the machine.
///
/// Memory is zeroed when it is allocated, by the guest's processor. An emulator that has translated
/// the code in a page learns from that write that it is another page now; it does not see what
/// `virtiofsd` writes there, and would execute the code of before (decision 0011).
const ALWAYS: &str = "console=ttyS0 panic=-1 rdinit=/init init_on_alloc=1";
/// Seconds after which a stall is one. More than on real processors, because emulated ones share
/// this machine's with everything else; and the most that the kernel takes.
const STALL_SECONDS: u32 = 60;
const MOST_STALL_SECONDS: u32 = 300;
/// Seconds after which a pool of workers that does not get on is stuck: the kernel's own number.
const WORKQUEUE_SECONDS: u32 = 30;

/// For the sandbox's kernel, with its watch over leaks or without.
pub fn of(sandbox: &Sandbox, leaks: bool) -> String {
    match sandbox.checks() {
        None => of_stock_kernel(),
        Some(checks) => of_debug_kernel(checks, sandbox.patience(), leaks),
    }
}

fn of_stock_kernel() -> String {
    format!("{ALWAYS} rcupdate.rcu_cpu_stall_timeout={STALL_SECONDS}")
}

fn of_debug_kernel(checks: Checks, patience: u32, leaks: bool) -> String {
    let stall = (STALL_SECONDS * patience).min(MOST_STALL_SECONDS);
    let workqueue = WORKQUEUE_SECONDS * patience;
    let checkers = match checks {
        // Keeping account of each allocation takes time, which only a search for leaks is worth.
        Checks::All if leaks => " kmemleak=on kmemleak.verbose=1",
        Checks::All => " kmemleak=off",
        // Eight times as many accesses are watched as by default.
        Checks::Races => " kcsan.skip_watch=500",
    };
    format!(
        "{ALWAYS} rcupdate.rcu_cpu_stall_timeout={stall} workqueue.watchdog_thresh={workqueue}\
         {checkers}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stock_kernel_is_asked_for_nothing_that_it_lacks() {
        let line = of_stock_kernel();
        assert!(line.starts_with(ALWAYS));
        assert!(!line.contains("kmemleak"));
    }

    #[test]
    fn a_slow_kernel_has_more_time_and_no_more_than_the_kernel_takes() {
        let line = of_debug_kernel(Checks::All, 8, false);
        assert!(line.contains("rcu_cpu_stall_timeout=300 "), "{line}");
        assert!(line.contains("watchdog_thresh=240 "), "{line}");
        assert!(line.ends_with(" kmemleak=off"), "{line}");
        assert!(of_debug_kernel(Checks::All, 2, true).contains("rcu_cpu_stall_timeout=120 "));
        assert!(of_debug_kernel(Checks::All, 2, true).contains(" kmemleak=on "));
        assert!(!of_debug_kernel(Checks::Races, 2, false).contains("kmemleak"));
    }
}
