// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names that calls on clocks and timers take.

use linux_raw_sys::general::*;

use super::sets;

sets! {
    /// Clocks.
    choice CLOCK("CLOCK_", 32) {
        CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
        CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
        CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM, CLOCK_TAI,
    }

    /// `clock_nanosleep(2)`, `timer_settime(2)`.
    flags TIMER("TIMER_", 32) { TIMER_ABSTIME }

    /// `timerfd_create(2)`.
    flags TIMERFD("TFD_", 32) { TFD_CLOEXEC, TFD_NONBLOCK }

    /// `timerfd_settime(2)`.
    flags TIMERFD_SET("TFD_TIMER_", 32) { TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET }

    /// `setitimer(2)`.
    choice INTERVAL("ITIMER_", 32) { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF }
}
