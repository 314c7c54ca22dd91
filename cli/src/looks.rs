// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module, looked at again and again.

use std::thread;
use std::time::{
    Duration,
    Instant,
    SystemTime,
    UNIX_EPOCH, //
};

use nlcall::raw::Session;

use crate::activity::{
    Activity,
    Tracker, //
};
use crate::sessions::{
    self,
    nanos, //
};

/// Looks at the module's sessions, and remembers the look before.
#[derive(Debug)]
pub struct Looks {
    tracker: Tracker,
    begin: Instant,
}

impl Looks {
    /// From now on.
    pub fn begin() -> Self {
        Self {
            tracker: Tracker::default(),
            begin: Instant::now(),
        }
    }

    /// The sessions as they are, and what happened since the look before.
    pub fn look(&mut self, session: &Session) -> Result<Activity, nlcall::Error> {
        let sessions = sessions::all(session)?;
        Ok(self.tracker.look(self.begin.elapsed(), sessions))
    }
}

/// Moments that are an interval apart, not later with each one.
#[derive(Debug)]
pub struct Pace {
    next: Instant,
    interval: Duration,
}

impl Pace {
    /// The first is an interval from now.
    pub fn begin(interval: Duration) -> Self {
        Self {
            next: Instant::now(),
            interval,
        }
    }

    /// Waits for the next one.
    pub fn wait(&mut self) {
        self.next = self.next.checked_add(self.interval).unwrap_or(self.next);
        thread::sleep(self.next.saturating_duration_since(Instant::now()));
    }
}

/// Nanoseconds since 1970.
pub fn since_1970(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, nanos)
}
