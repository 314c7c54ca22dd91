// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::Duration;

use nlcall_abi::{self as abi, ArgKind};

bitflags::bitflags! {
    /// Flags of a [`Call`]. [`Features::call_flags`](super::Features) says which of them the loaded
    /// module honours; it rejects the others.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct CallFlags: u32 {
        /// The next call of the batch starts only when this one succeeded.
        const LINK = abi::flag::LINK;
        /// The next call of the batch starts when this one ended, however it ended.
        const HARDLINK = abi::flag::HARDLINK;
        /// This call starts when all earlier calls of the session completed, and later ones wait.
        const DRAIN = abi::flag::DRAIN;
        /// Execute in the submitting thread, before [`Session::submit`](super::Session::submit)
        /// returns.
        const INLINE = abi::flag::INLINE;
        /// No completion where the call succeeded.
        const SKIP_SUCCESS = abi::flag::SKIP_SUCCESS;

        // Bits that a later module may define can be set with `from_bits_retain`.
        const _ = !0;
    }
}

/// One system call to be submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Call(abi::Call);

impl Call {
    /// The system call `nr` of the x86-64 table with up to six arguments; missing ones are zero.
    ///
    /// # Panics
    ///
    /// Panics when `args` has more than six elements.
    ///
    /// # Safety
    ///
    /// Submitting the call has the effects of `syscall(2)` with these arguments, made by another
    /// thread of this process at any moment between the submission and the completion. For each
    /// time that the call or a clone of it is submitted, the caller promises:
    ///
    /// - Every address among the arguments, and every address that the kernel finds there, stays
    ///   valid for what the call reads and writes, and is not used in a way that conflicts with it,
    ///   until the call is over: its completion was returned by the session, or
    ///   [`Session::submit`](super::Session::submit) handed the call back, or the drop of the
    ///   [`Session`](super::Session) has returned. Forgetting the session, or
    ///   [abandoning](super::Session::abandon) it, ends nothing.
    /// - Descriptors among the arguments are open for what the call does with them in the sense of
    ///   I/O safety: they are not closed, and do not come to mean another file, while somebody else
    ///   owns them.
    /// - The effect on the process (its memory map, signal handlers, descriptors, ...) is one that
    ///   all other code of the process tolerates at that moment.
    pub unsafe fn new(nr: u32, args: &[u64]) -> Self {
        assert!(
            args.len() <= 6,
            "a system call has at most six arguments, not {}",
            args.len()
        );
        let mut call = abi::Call {
            nr,
            ..abi::Call::default()
        };
        call.args[..args.len()].copy_from_slice(args);
        Self(call)
    }

    /// A call exactly as it goes over the wire, reserved fields included.
    ///
    /// # Safety
    ///
    /// As for [`Call::new`].
    pub const unsafe fn from_abi(call: abi::Call) -> Self {
        Self(call)
    }

    /// What goes over the wire.
    pub const fn as_abi(&self) -> &abi::Call {
        &self.0
    }

    /// Sets the value that the completion will carry. It means nothing to the kernel and need not
    /// be unique, but see [`Cancel::UserData`](super::Cancel::UserData).
    #[must_use]
    pub const fn user_data(mut self, user_data: u64) -> Self {
        self.0.user_data = user_data;
        self
    }

    /// Sets the flags.
    #[must_use]
    pub const fn flags(mut self, flags: CallFlags) -> Self {
        self.0.flags = flags.bits();
        self
    }

    /// Says what argument `index` is; without it, each is an [`ArgKind::Value`].
    ///
    /// # Panics
    ///
    /// Panics when `index` is not below six.
    #[must_use]
    pub const fn arg_kind(mut self, index: usize, kind: ArgKind) -> Self {
        assert!(index < 6, "a system call has six arguments");
        let shift = index as u32 * abi::ARG_KIND_BITS;
        let mask = (1 << abi::ARG_KIND_BITS) - 1;
        self.0.arg_kinds = self.0.arg_kinds & !(mask << shift) | (kind as u32) << shift;
        self
    }

    /// Ends the call with `Outcome::TimedOut` when it runs longer than this. Zero means no limit;
    /// a limit of more than 584 years is cut to that.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.0.timeout_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        self
    }
}

impl From<Call> for abi::Call {
    fn from(call: Call) -> Self {
        call.0
    }
}
