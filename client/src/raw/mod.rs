// SPDX-License-Identifier: MIT OR Apache-2.0

//! The raw layer: system calls by number, arguments as integers.
//!
//! A [`Session`] is one netlink socket. [`Session::submit`] sends a [`Batch`] of [`Call`]s and
//! returns as soon as the kernel accepted them; [`Session::wait`] and its relatives return one
//! [`Completion`] per call, in the order in which the calls ended. `user_data` tells them apart.
//!
//! Calls flagged [`CallFlags::INLINE`] are made by the submitting thread itself; with
//! [`Session::submit_into`] their results come back in memory, [`Results`], and no message. A
//! [`Chain`] is calls that need each other. [`Batch::target`] has the calls made in another process;
//! [`Data`] is the memory that they take along. A [`Monitor`] hears what the module does for all
//! processes.
//!
//! Building a [`Call`] is `unsafe`, since its arguments may be addresses: see [`Call::new`] for the
//! contract. Everything else is safe.

mod batch;
mod builder;
mod call;
mod cancel;
mod chain;
mod completion;
mod config;
mod connection;
mod controller;
mod data;
mod enclosure;
mod event;
mod exchange;
mod features;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod info;
mod message;
mod monitor;
mod plan;
mod rejection;
mod results;
mod session;
mod sys;
mod target;

#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use builder::SessionBuilder;
pub use call::{Call, CallFlags};
pub use cancel::{Cancel, Canceled};
pub(crate) use chain::{output, source, Source, JOINED};
pub use chain::{Arg, Chain, Step};
pub(crate) use completion::result;
pub use completion::Completion;
pub use config::Config;
pub use data::{Data, Place};
pub use event::{Event, TracedCall, TracedEnd, TracedMemory, What};
pub use features::Features;
pub use info::{Latency, SessionInfo, SyscallInfo};
pub use monitor::{Monitor, Notice};
pub use nlcall_abi::{ArgKind, FrontEnd, Outcome, Restart, SessionState, Verdict, Way};
pub use results::Results;
pub use session::{Session, SubmitError, Submitted};
pub(crate) use sys::failed;
pub use target::Target;
