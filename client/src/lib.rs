// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any Linux system call, asynchronously, as a netlink message.
//!
//! The kernel module `nlcall` takes system calls as messages on a generic-netlink socket, executes
//! them as if a thread of this process had made them, and answers each one with a completion. This
//! crate is the client: [`raw`] speaks to the module and leaves the meaning of the calls to the
//! caller.
//!
//! ```no_run
#![doc = include_str!("../examples/first_batch.rs")]
//! ```
//!
//! [`abi`] is the wire format, the same source that the module is compiled from.

mod errno;
mod error;
pub mod raw;

pub use errno::Errno;
pub use error::Error;
pub use nlcall_abi as abi;
