// SPDX-License-Identifier: MIT OR Apache-2.0

use std::os::fd::RawFd;

/// Which calls in flight to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cancel {
    /// Those with this `user_data`.
    UserData(u64),
    /// Those of system calls whose first argument is a descriptor, with this one there.
    Fd(RawFd),
    /// Those of this system call number.
    Nr(u32),
    /// All of the session.
    All,
}

/// What a cancel found. Every call that was in flight still has its completion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Canceled {
    /// Calls that had not started; they complete with `Outcome::Canceled`.
    pub canceled: u32,
    /// Running calls that were asked to stop; they complete with `Outcome::Interrupted`, or with
    /// `Outcome::Ran` where they came to their end all the same.
    pub interrupted: u32,
}
