// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is counted: instructions of the guest, or nanoseconds.

use std::{arch::asm, arch::x86_64::_rdtsc, time::Duration};

use rustix::time::{clock_gettime, ClockId};
use serde::{Deserialize, Serialize};

/// Instructions of the loop that tells a counter of instructions from a clock.
const LOOP: u64 = 200_000;
/// What reading the counter may add to them.
const SLACK: u64 = 64;
/// Time after the boot from which on the kernel has nothing of its own to do any more.
const SETTLED: Duration = Duration::from_secs(5);

/// What a measurement counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Guest instructions, of user and kernel mode together: the machine is emulated with an
    /// instruction counter, which its time stamp counter shows.
    Instructions,
    /// `CLOCK_MONOTONIC_RAW`.
    Nanoseconds,
}

impl Unit {
    /// What this machine can count.
    pub fn of_this_machine() -> Self {
        let mut durations = [(); 9].map(|()| loop_duration());
        durations.sort_unstable();
        let middle = durations[4];
        let same = durations.iter().filter(|duration| **duration == middle);
        // Interrupts and page faults disturb some. A clock does not hit the same value, in a window
        // this narrow, most of the time.
        if (LOOP..LOOP + SLACK).contains(&middle) && same.count() >= 5 {
            Self::Instructions
        } else {
            Self::Nanoseconds
        }
    }

    /// The counter.
    pub fn now(self) -> u64 {
        match self {
            // SAFETY: Every x86-64 processor has the instruction, and Linux lets programs use it.
            Self::Instructions => unsafe { _rdtsc() },
            Self::Nanoseconds => {
                let now = clock_gettime(ClockId::MonotonicRaw);
                now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
            }
        }
    }

    /// What one round should last, in this unit: several ticks of the kernel's, so that each round has
    /// its share of them.
    pub fn round(self) -> u64 {
        match self {
            Self::Instructions => 15_000_000,
            Self::Nanoseconds => 20_000_000,
        }
    }

    /// A short name for tables.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Nanoseconds => "ns",
        }
    }
}

/// Waits until a machine that has just booted has settled.
pub fn settle() {
    let up = clock_gettime(ClockId::Boottime);
    let up = Duration::new(up.tv_sec as u64, up.tv_nsec as u32);
    std::thread::sleep(SETTLED.saturating_sub(up));
}

/// The time stamp counter's difference over a loop of [`LOOP`] instructions.
fn loop_duration() -> u64 {
    // SAFETY: The loop changes one register, which it declares, and the flags.
    unsafe {
        let begun = _rdtsc();
        asm!(
            "2:",
            "sub {count}, 1",
            "jnz 2b",
            count = inout(reg) LOOP / 2 => _,
            options(nomem, nostack),
        );
        _rdtsc() - begun
    }
}
