// SPDX-License-Identifier: MIT OR Apache-2.0

//! Clocks and timers.

use std::ops::Range;

use libc::{
    CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME, CLOCK_THREAD_CPUTIME_ID, EFAULT,
    EINVAL, EPERM, TIMER_ABSTIME,
};
use nlcall_tests::memory::Memory;

use crate::case::{args, fails, ok, Aspect::*, Case};
use crate::world::World;

/// A `struct timespec` that is another each time.
const TIME: &[Range<usize>] = &[0..16];

/// `MAKE_THREAD_CPUCLOCK(0, CPUCLOCK_SCHED)` of `include/linux/posix-timers_types.h`.
const THREAD_CLOCK: i32 = -2;

/// A timer of the process, whose signal is ignored.
fn timer(w: &mut World) -> i32 {
    let id = w.out(4);
    // struct sigevent: value; SIGEV_NONE is 1, behind the signal.
    let event = w.words(&[0, 1 << 32, 0, 0, 0, 0, 0, 0]);
    w.sys("timer_create", args![CLOCK_MONOTONIC, event, id]);
    id.get_as::<i32>()
}

/// The same, armed.
fn armed(w: &mut World) -> i32 {
    let id = timer(w);
    let time = w.words(&[3, 0, 1000, 0]);
    w.sys("timer_settime", args![id, 0, time, 0]);
    id
}

pub fn cases() -> Vec<Case> {
    vec![
        ok("time", "now", |w| args![w.out_varying(8, &[0..8])]).varies(),
        fails("time", EFAULT, "no memory", |w| args![w.nowhere()]),
        ok("gettimeofday", "now", |w| {
            args![w.out_varying(16, TIME), w.out(8)]
        }),
        fails("gettimeofday", EFAULT, "no memory", |w| {
            args![w.nowhere(), 0]
        }),
        ok("settimeofday", "the time zone, as it is", |w| {
            let zone = w.out(8);
            w.sys("gettimeofday", args![0, zone]);
            args![0, zone]
        }),
        fails("settimeofday", EPERM, "as a user", |w| {
            args![w.words(&[1, 1]), 0]
        })
        .by_user(),
        ok("clock_gettime", "since the start", |w| {
            args![CLOCK_MONOTONIC, w.out_varying(16, TIME)]
        }),
        ok("clock_gettime", "of the process", |w| {
            args![CLOCK_PROCESS_CPUTIME_ID, w.out_varying(16, TIME)]
        }),
        ok("clock_gettime", "of the thread", |w| {
            args![CLOCK_THREAD_CPUTIME_ID, w.out_varying(16, TIME)]
        })
        .may_differ(
            &[Memory],
            "time of the thread that makes the call: the worker's",
        ),
        fails("clock_gettime", EINVAL, "no clock", |w| {
            args![99, w.out(16)]
        }),
        ok("clock_getres", "of a clock", |w| {
            args![CLOCK_MONOTONIC, w.out(16)]
        }),
        ok("clock_getres", "of the thread's", |w| {
            args![CLOCK_THREAD_CPUTIME_ID, w.out(16)]
        }),
        fails("clock_getres", EINVAL, "no clock", |w| args![99, w.out(16)]),
        ok("clock_settime", "to what it is, about", |w| {
            let now = w.out_varying(16, TIME);
            w.sys("clock_gettime", args![CLOCK_REALTIME, now]);
            args![CLOCK_REALTIME, now]
        }),
        fails("clock_settime", EPERM, "as a user", |w| {
            args![CLOCK_REALTIME, w.words(&[1, 1])]
        })
        .by_user(),
        ok("clock_nanosleep", "a moment", |w| {
            args![CLOCK_MONOTONIC, 0, w.words(&[0, 1000]), w.out(16)]
        }),
        ok("clock_nanosleep", "until a time that is over", |w| {
            args![CLOCK_MONOTONIC, TIMER_ABSTIME, w.words(&[1, 0]), 0]
        }),
        fails("clock_nanosleep", EINVAL, "too many nanoseconds", |w| {
            args![CLOCK_MONOTONIC, 0, w.words(&[0, 2_000_000_000]), 0]
        }),
        fails("clock_nanosleep", EINVAL, "by the thread's own time", |w| {
            args![THREAD_CLOCK, 0, w.words(&[0, 1000]), 0]
        })
        .only_inline(),
        ok("clock_adjtime", "asks", |w| {
            args![CLOCK_REALTIME, zeroed_timex(w)]
        })
        .varies(),
        fails("clock_adjtime", EPERM, "as a user", |w| {
            // ADJ_FREQUENCY
            args![CLOCK_REALTIME, w.words(&[2; 26])]
        })
        .by_user(),
        ok("adjtimex", "asks", |w| args![zeroed_timex(w)]).varies(),
        fails("adjtimex", EPERM, "as a user", |w| args![w.words(&[2; 26])]).by_user(),
        ok("nanosleep", "a moment", |w| {
            args![w.words(&[0, 1000]), w.out(16)]
        }),
        fails("nanosleep", EINVAL, "a negative time", |w| {
            args![w.words(&[u64::MAX, 0]), 0]
        }),
        ok("alarm", "in a while", |_| args![1000]),
        ok("getitimer", "one that is armed", |w| {
            let value = w.words(&[3, 0, 1000, 0]);
            w.sys("setitimer", args![libc::ITIMER_REAL, value, 0]);
            args![libc::ITIMER_REAL, w.out_varying(32, &[16..32])]
        }),
        fails("getitimer", EINVAL, "no timer", |w| args![9, w.out(32)]),
        ok("setitimer", "by the process's time", |w| {
            args![libc::ITIMER_PROF, w.words(&[0, 0, 1000, 0]), w.out(32)]
        }),
        fails("setitimer", EINVAL, "too many microseconds", |w| {
            args![libc::ITIMER_REAL, w.words(&[0, 0, 0, 1_000_000]), 0]
        }),
        ok("timer_create", "a signal for the process", |w| {
            args![CLOCK_MONOTONIC, 0, w.out(4)]
        }),
        ok("timer_create", "a signal for this thread", |w| {
            // SIGUSR1 and SIGEV_THREAD_ID, then the thread.
            let notify = (libc::SIGUSR1 as u64) | 4 << 32;
            let this = u64::from(std::process::id());
            let event = w.words(&[5, notify, this, 0, 0, 0, 0, 0]);
            w.vary(&[16..20]);
            args![CLOCK_MONOTONIC, event, w.out(4)]
        }),
        ok("timer_create", "by the thread's time", |w| {
            args![CLOCK_THREAD_CPUTIME_ID, 0, w.out(4)]
        })
        .only_inline(),
        fails("timer_create", EINVAL, "no clock", |w| {
            args![99, 0, w.out(4)]
        }),
        ok("timer_settime", "arms a timer", |w| {
            args![timer(w), 0, w.words(&[0, 0, 1000, 0]), w.out(32)]
        }),
        fails("timer_settime", EINVAL, "no timer", |w| {
            args![99, 0, w.words(&[0, 0, 1, 0]), 0]
        }),
        ok("timer_gettime", "one that is armed", |w| {
            args![armed(w), w.out_varying(32, &[16..32])]
        }),
        fails("timer_gettime", EINVAL, "no timer", |w| {
            args![99, w.out(32)]
        }),
        ok("timer_getoverrun", "none", |w| args![armed(w)]),
        fails("timer_getoverrun", EINVAL, "no timer", |_| args![99]),
        ok("timer_delete", "one that is armed", |w| args![armed(w)]),
        fails("timer_delete", EINVAL, "no timer", |_| args![99]),
    ]
}

/// `struct timex` that asks for the state: all of it is another each time.
fn zeroed_timex(w: &mut World) -> Memory {
    let timex = w.out_zeroed(208);
    w.vary(&[0..208]);
    timex
}
