// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any Linux system call, asynchronously.
//!
//! ```
#![doc = include_str!("../examples/first_file.rs")]
//! ```
//!
//! The kernel module `nlcall` takes system calls as messages on a generic-netlink socket, executes
//! them as if a thread of this process had made them, and answers each one with a completion. Where
//! it is not loaded, or does not let this process use it, a pool of threads makes the same calls:
//! [`Client::driver`] says which. A [`Client`] takes operations ([`op`]) and gives futures
//! ([`InFlight`]); it needs no runtime, and works in each.
//!
//! [`raw`] is the module's own interface, for those who need all of it: calls by number, in the
//! calling thread, in other processes. [`abi`] is the wire format, the same source that the module
//! is compiled from.
//!
//! # Features
//!
//! - `tokio`, `smol`: [`Completions`] as a task of these runtimes, instead of a thread of the library.
//! - `bytes`: `Bytes` and `BytesMut` as buffers.

mod batch;
mod birthmark;
mod chain;
mod client;
mod completions;
mod driver;
mod engine;
mod errno;
mod error;
mod in_flight;
pub mod op;
mod panics;
pub mod raw;

pub use batch::Batch;
pub use chain::{Chain, Outputs, Passed, Step, Submit};
pub use client::{Builder, Client, NotSubmitted};
pub use completions::{Completions, Progress};
pub use driver::Driver;
pub use errno::Errno;
pub use error::Error;
pub use in_flight::{Cancellation, InFlight};
pub use nlcall_abi as abi;
pub use rustix;
