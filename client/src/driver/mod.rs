// SPDX-License-Identifier: MIT OR Apache-2.0

//! What makes the calls.

mod netlink;
mod threads;

use std::{fmt, os::fd::BorrowedFd, sync::Arc};

pub(crate) use netlink::Netlink;
pub(crate) use threads::Threads;

use crate::{
    engine::{Engine, Key},
    raw, Error,
};

/// What makes the calls of a [`Client`](crate::Client).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Driver {
    /// The kernel module, through a netlink socket.
    Netlink,
    /// A pool of threads of this process.
    Threads,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Netlink => "netlink",
            Self::Threads => "threads",
        })
    }
}

/// What a driver can do about calls that shall end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// They end soon, or have ended: their completions tell.
    Soon,
    /// They end when they do.
    Cannot,
}

/// Makes calls, and reports each end to [`Engine::complete`], from whatever thread.
///
/// # Contract
///
/// Each call of a batch that it accepts ends exactly once. Until then it may use what the arguments
/// of the call refer to, and not afterwards.
pub(crate) trait Backend: Send + Sync {
    fn kind(&self) -> Driver;

    /// Begins the calls of a batch, and does not block on them. Chains are accepted whole.
    fn submit(&self, engine: &Arc<Engine>, batch: raw::Batch) -> Result<(), raw::SubmitError>;

    /// Ends these calls, all of one chain, where it can.
    fn cancel(&self, engine: &Engine, keys: &[Key]) -> Result<Stopped, Error>;

    /// Whoever was turned away for a limit waits: [`Engine::has_room`] is to be called. Nothing to do
    /// for a driver that turns nobody away.
    fn await_room(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Readable while there may be something to [`process`](Self::process); none where there is
    /// never anything.
    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Reports the calls that have ended, as far as that is left to do.
    fn process(&self, _: &Engine) -> Result<(), Error> {
        Ok(())
    }

    /// The engine was closed: makes [`readiness`](Self::readiness) readable once.
    fn close(&self) {}
}
