// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;

use netlink_packet_core::DecodeError;

use crate::Errno;

/// What can go wrong between this process and the module.
///
/// The error of a system call is no such error: it is the value of a
/// [`Completion`](crate::raw::Completion).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no generic-netlink family of this name.
    #[error(
        "the kernel has no generic-netlink family `{}`: load the module (`modprobe nlcall`), \
         or run the program in a guest that has it (`cargo xtask vm`)",
        crate::abi::FAMILY_NAME
    )]
    ModuleMissing,

    /// The module speaks another version of the protocol.
    #[error(
        "the loaded module speaks version {found} of the nlcall protocol and this program \
         version {expected}: install a module and a program of the same release"
    )]
    WrongVersion {
        /// The module's version.
        found: u32,
        /// The version that this crate speaks.
        expected: u32,
    },

    /// The kernel rejected the request; nothing of it was done. The parts are those of netlink's
    /// extended acknowledgement.
    #[error(
        "the kernel rejected the request: {}{errno}",
        message.as_ref().map(|text| format!("{text}: ")).unwrap_or_default()
    )]
    Rejected {
        /// The error number.
        errno: Errno,
        /// The kernel's explanation, where it gave one.
        message: Option<String>,
        /// Offset in bytes of what was wrong, from the start of the netlink message.
        attr_offset: Option<u32>,
    },

    /// Nothing is in flight, so that there is nothing to wait for.
    #[error("no call is in flight: there is nothing to wait for")]
    NothingInFlight,

    /// The session's own limit
    /// ([`SessionBuilder::max_in_flight`](crate::raw::SessionBuilder::max_in_flight)) is reached.
    #[error("{limit} calls are in flight, the limit of this session: take completions first")]
    InFlightLimit {
        /// The limit.
        limit: usize,
    },

    /// A chain (calls joined by LINK or HARDLINK) has more calls than one message can hold. A
    /// message is accepted whole or rejected whole, so that a chain cannot be split.
    #[error("a chain of {calls} calls does not fit in one message, which holds {limit}")]
    ChainTooLong {
        /// Calls in the chain.
        calls: usize,
        /// Most calls that one message of this session holds.
        limit: usize,
    },

    /// A batch with [`Data`](crate::raw::Data) has more calls than one message can hold. Its calls
    /// share the memory that travels with the message, so that it cannot be split.
    #[error(
        "a batch of {calls} calls with data does not fit in one message, which holds {limit} calls \
         besides the data: use a larger send buffer, or several batches"
    )]
    BatchTooLong {
        /// Calls in the batch.
        calls: usize,
        /// Most calls that one message of this session holds besides that data.
        limit: usize,
    },

    /// A [`Data`](crate::raw::Data) is larger than the area that a message may have.
    #[error(
        "{len} bytes of data are more than a message may place in a process's memory: {}",
        crate::raw::Data::MAX_LEN
    )]
    DataTooLong {
        /// Its length in bytes.
        len: usize,
    },

    /// There is no such process to make calls in.
    #[error("process {pid}: {}", no_target(why))]
    Target {
        /// The number that was to be its.
        pid: u32,
        /// What `pidfd_open(2)` answered.
        why: io::Error,
    },

    /// The loaded module is of an earlier release, which cannot do this.
    #[error("the loaded module (version {version}) does not {what}: install that of this release")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// The module's version.
        version: String,
    },

    /// This is the child process that an INLINE `fork` or `clone` made, at the place where its
    /// parent submitted it. The session belongs to the parent.
    #[error("this is the child of an INLINE fork: the session belongs to its parent")]
    InChild,

    /// This is a child process, made by a fork: the [`Client`](crate::Client) belongs to the parent.
    #[error("this process was forked from the one that the client belongs to: make a new client")]
    Forked,

    /// [`Client::shut_down`](crate::Client::shut_down) was called.
    #[error("the client was shut down")]
    ShutDown,

    /// The way to the module failed while calls were in flight, or its answer to their submission
    /// was lost. What became of those is not known.
    #[error("the way to the module was lost: {why}")]
    Lost {
        /// What failed.
        why: String,
    },

    /// An operation uses something of a [`Chain`](crate::Chain) and was not submitted as a part of
    /// it.
    #[error(
        "the operation uses something of a chain, and is no part of that: push it to the chain"
    )]
    Misplaced,

    /// The kernel rejected the request, and its reason was lost in a full receive buffer.
    #[error(
        "the kernel rejected the request, and its reason was lost in a full receive buffer: \
         use a larger receive buffer"
    )]
    RejectionLost,

    /// The receive buffer was so full that the kernel had to drop its answer to the request, and it
    /// could not be learned afterwards whether the request was accepted.
    #[error("the kernel's answer was lost in a full receive buffer: use a larger receive buffer")]
    Unanswered,

    /// A datagram was longer than the largest that the protocol allows; its end is lost.
    #[error("a message of {length} bytes was cut off: the module breaks the protocol")]
    Truncated {
        /// Length of the datagram in bytes.
        length: usize,
    },

    /// The module sent something that this crate does not understand.
    #[error("cannot understand what the kernel sent")]
    Protocol(#[source] DecodeError),

    /// One of the system calls that this crate makes itself failed.
    #[error("{operation} failed")]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// The error.
        source: io::Error,
    },
}

/// Why there is no pidfd.
fn no_target(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::SRCH) => "there is none".to_owned(),
        // The one since Linux 6.9, the other before.
        Some(Errno::NOENT | Errno::INVAL) => "it is a thread, not a process".to_owned(),
        _ => error.to_string(),
    }
}

impl Error {
    /// Whether a submission met a limit that completions of this session make room under:
    /// [`Session::wait_for_room`](crate::raw::Session::wait_for_room), then submit the rest.
    pub fn is_limit(&self) -> bool {
        match self {
            Self::InFlightLimit { .. } => true,
            Self::Rejected { errno, .. } => *errno == Errno::AGAIN,
            _ => false,
        }
    }

    /// The error number, where the kernel gave one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Rejected { errno, .. } => Some(*errno),
            Self::Io { source: error, .. } | Self::Target { why: error, .. } => {
                error.raw_os_error().map(Errno::from_raw)
            }
            _ => None,
        }
    }
}
