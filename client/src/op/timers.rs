// SPDX-License-Identifier: MIT OR Apache-2.0

//! Time.

use std::time::Duration;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
};

use super::{
    argument::{Fd, In},
    operation, Descriptor,
};

operation! {
    /// Sleeps: `clock_nanosleep(2)`. Where it is interrupted, the result is `EINTR`.
    pub struct Sleep = clock_nanosleep {
        clock: i32,
        flags: u32,
        time: In<Timespec>,
        rest: u64,
    } -> ()
}

impl Sleep {
    /// So long, by the monotonic clock.
    ///
    /// # Panics
    ///
    /// Panics where it is longer than the kernel can express: 292 billion years.
    pub fn new(time: Duration) -> Self {
        let time = Timespec::try_from(time);
        Self {
            clock: ClockId::Monotonic as i32,
            flags: 0,
            time: In(time.expect("less than 292 billion years")),
            // A null pointer.
            rest: 0,
        }
    }
}

operation! {
    /// Makes a timer to be read: `timerfd_create(2)`. It is closed on `execve`.
    pub struct Timerfd = timerfd_create {
        clock: u32,
        flags: TimerfdFlags,
    } -> OwnedFd
}

impl Timerfd {
    /// By this clock.
    pub fn new(clock: TimerfdClockId) -> Self {
        Self {
            clock: clock as u32,
            flags: TimerfdFlags::CLOEXEC,
        }
    }

    /// With these flags, too.
    pub fn flags(mut self, flags: TimerfdFlags) -> Self {
        self.flags |= flags;
        self
    }
}

operation! {
    /// Starts a timer, or stops it: `timerfd_settime(2)`.
    pub struct TimerfdSet<D: Descriptor> = timerfd_settime {
        fd: Fd<D>,
        flags: TimerfdTimerFlags,
        time: In<[Timespec; 2]>,
        old: u64,
    } -> ()
}

impl<D: Descriptor> TimerfdSet<D> {
    /// When it expires first, and how often then; zeroes stop it.
    pub fn new(fd: D, time: Itimerspec) -> Self {
        Self {
            fd: Fd(fd),
            flags: TimerfdTimerFlags::empty(),
            // In the order of `struct itimerspec`.
            time: In([time.it_interval, time.it_value]),
            // A null pointer.
            old: 0,
        }
    }

    /// `TFD_TIMER_ABSTIME`, `TFD_TIMER_CANCEL_ON_SET`.
    pub fn flags(mut self, flags: TimerfdTimerFlags) -> Self {
        self.flags = flags;
        self
    }
}
