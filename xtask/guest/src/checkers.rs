// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a kernel built for it checks about itself.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{
    bail,
    Context,
    Result, //
};

/// Where the kernel looks for memory that nothing refers to, on request.
const LEAKS: &str = "/sys/kernel/debug/kmemleak";
/// The kernel does not suspect what is younger than five seconds. What is freed after a grace period
/// is gone by then as well.
const AGE: Duration = Duration::from_secs(6);
/// Rounds of looking. The first takes the checksum of each object; later ones suspect those that
/// nothing refers to and that have not changed since. What only a lost object refers to, and what
/// a stale word on a stack seemed to refer to, comes out one round later.
const ROUNDS: u32 = 3;
/// The caches that memory comes from.
const CACHES: &str = "/sys/kernel/slab";
/// How lockdep is.
const LOCKS: &str = "/proc/lockdep_stats";

/// Data races: switched on and off there, and how it has been.
const RACES: &str = "/sys/kernel/debug/kcsan";

/// Switches on what is off while the kernel boots, where it is there.
pub fn switch_on() -> Result<()> {
    if Path::new(RACES).exists() {
        fs::write(RACES, "on").with_context(|| format!("switching {RACES} on"))?;
    }
    Ok(())
}

/// Fails where the kernel has lost memory. It writes each piece into its log, with the place that
/// allocated it.
pub fn look_for_leaks() -> Result<()> {
    forget_free_objects()?;
    for _ in 0..ROUNDS {
        thread::sleep(AGE);
        fs::write(LEAKS, "scan").with_context(|| format!("asking {LEAKS} to look"))?;
    }
    let found = fs::read_to_string(LEAKS).with_context(|| format!("reading {LEAKS}"))?;
    if !found.is_empty() {
        bail!("the kernel has lost memory:\n{found}");
    }
    Ok(())
}

/// Lets each cache give back the objects that it keeps for every processor. The arrays that hold
/// them still name those that were handed out last, and so would refer to what is lost.
fn forget_free_objects() -> Result<()> {
    for cache in fs::read_dir(CACHES).with_context(|| format!("listing {CACHES}"))? {
        let shrink = cache.context("reading a name")?.path().join("shrink");
        fs::write(&shrink, "1").with_context(|| format!("writing {shrink:?}"))?;
    }
    Ok(())
}

/// Fails where a checker has switched itself off: what it would have found, nobody knows.
pub fn are_still_on() -> Result<()> {
    // A kernel without a checker has no such file.
    if fs::read_to_string(LOCKS).is_ok_and(|stats| !lock_checks_are_on(&stats)) {
        bail!("the kernel does not check its locks any more ({LOCKS}: debug_locks is not 1)");
    }
    if fs::read_to_string(RACES).is_ok_and(|stats| !race_checks_are_on(&stats)) {
        bail!(
            "the kernel has not watched for data races ({RACES}: it is off, or set no watchpoint)"
        );
    }
    Ok(())
}

/// Whether it is on, and has watched addresses.
fn race_checks_are_on(stats: &str) -> bool {
    let value = |name: &str| {
        let mut lines = stats.lines().filter_map(|line| line.split_once(": "));
        let (_, value) = lines.find(|(key, _)| *key == name)?;
        value.trim().parse::<u64>().ok()
    };
    value("enabled") == Some(1) && value("setup_watchpoints") > Some(0)
}

fn lock_checks_are_on(stats: &str) -> bool {
    stats
        .lines()
        .filter_map(|line| line.trim().strip_prefix("debug_locks:"))
        .any(|value| value.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lockdep_says_whether_it_checks() {
        let stats = |value| {
            format!(" lock-classes:                          812 [max: 8192]\n debug_locks:                             {value}\n")
        };
        assert!(lock_checks_are_on(&stats(1)));
        assert!(!lock_checks_are_on(&stats(0)));
        assert!(!lock_checks_are_on(" lock-classes: 1\n"));
    }

    #[test]
    fn kcsan_says_whether_it_watched() {
        let stats = |enabled, watchpoints| {
            format!(
                "enabled: {enabled}\nused_watchpoints: 0\nsetup_watchpoints: {watchpoints}\n\
                 data_races: 3\n\nblacklisted functions: none\n"
            )
        };
        assert!(race_checks_are_on(&stats(1, 1200)));
        assert!(!race_checks_are_on(&stats(0, 1200)));
        assert!(!race_checks_are_on(&stats(1, 0)));
        assert!(!race_checks_are_on(""));
    }
}
