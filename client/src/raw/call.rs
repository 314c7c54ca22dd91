// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::Duration;

use nlcall_abi as abi;

use super::Arg;

bitflags::bitflags! {
    /// Flags of a [`Call`]. [`Features::call_flags`](super::Features) says which of them the loaded
    /// module honours; it rejects the others.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct CallFlags: u32 {
        /// The next call of the batch starts only when this one succeeded: returned no error and,
        /// for `read`, `write`, `pread64`, `pwrite64`, `splice` and `tee`, transferred as many
        /// bytes as it was asked for. Otherwise the rest of the chain ends with
        /// `Outcome::Canceled`. A [`Chain`](super::Chain) sets it.
        const LINK = abi::flag::LINK;
        /// The next call of the batch starts when this one ended, however it ended.
        const HARDLINK = abi::flag::HARDLINK;
        /// This call starts when all earlier calls of the session completed, and later ones wait.
        /// One in a chain holds for the whole chain. Not with INLINE.
        const DRAIN = abi::flag::DRAIN;
        /// Execute in the submitting thread, before [`Session::submit`](super::Session::submit) or
        /// [`Session::submit_into`](super::Session::submit_into) returns: see
        /// [`Call`](super::Call#inline-calls).
        const INLINE = abi::flag::INLINE;
        /// No completion where the call succeeded, in the sense of LINK.
        const SKIP_SUCCESS = abi::flag::SKIP_SUCCESS;

        // Bits that a later module may define can be set with `from_bits_retain`.
        const _ = !0;
    }
}

/// One system call to be submitted.
///
/// # INLINE calls
///
/// A call flagged [`CallFlags::INLINE`] is made by the thread that submits it, when that thread
/// returns from the kernel. It may so be one that acts on its thread (`setuid`, `rt_sigprocmask`,
/// `execve`, ...), and it blocks that thread for as long as it takes. A signal that arrives
/// meanwhile ends the message: the running call is interrupted, those behind it end with
/// `Outcome::NotStarted`. Calls of one message that are not INLINE execute on workers meanwhile.
///
/// Some of them end the thread's way through the program, or split it:
///
/// - `execve`, `exit` and `exit_group` do not return where they succeed. The calls behind them are
///   never made. Where only the thread ends, what it owns stays as it is: a lock stays locked. The
///   session is not locked during [`Session::submit_into`](super::Session::submit_into), but during
///   [`Session::submit`](super::Session::submit).
/// - `fork` and `clone` return twice. In the parent, the batch goes on, and the result is the
///   child's process id. The child makes none of the calls behind it; there, the submission
///   returns [`Error::InChild`](crate::Error::InChild). The session is the parent's: the child
///   may only drop it. As after any `fork` in a process with threads, it must restrict itself to
///   async-signal-safe functions (`signal-safety(7)`) before it calls `execve` or `_exit`.
/// - `vfork`, and `clone` with `CLONE_VM` or with a stack for the child, do not work by way of this
///   library: the child would return through the stack frames of its parent, or through none.
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
    ///   all other code of the process tolerates at that moment; for an
    ///   [INLINE call](#inline-calls) also the effect on the thread that submits it.
    ///
    /// For an INLINE call, "any moment" is while `submit` or `submit_into` runs, and it is over
    /// when that returned.
    ///
    /// For a call in [another process](super::Target) all of this is about that process: its memory,
    /// its descriptors, its code. Nothing there refers to memory of this one, so that, where no memory
    /// is shared, nothing can become invalid here. It is `unsafe` all the same: the call may pull away
    /// from under the target's code what that relies on, and the caller answers for that. Addresses
    /// that come from [`Arg::Data`](super::Arg::Data) and [`Arg::Out`](super::Arg::Out) are valid up
    /// to the end of the area, and until the last call of the message is over.
    #[inline]
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

    /// As [`new`](Self::new), for a call of a [`Chain`](super::Chain): arguments may come from
    /// earlier calls of the chain.
    ///
    /// # Panics
    ///
    /// Panics when `args` has more than six elements, or more than one [`Arg::OutPtr`].
    ///
    /// # Safety
    ///
    /// As for [`Call::new`], with whatever values the arguments will have.
    pub unsafe fn with_args(nr: u32, args: &[Arg]) -> Self {
        let mut call = abi::Call {
            nr,
            ..abi::Call::default()
        };
        assert!(
            args.len() <= call.args.len(),
            "a system call has at most six arguments, not {}",
            args.len()
        );
        let outputs = args.iter().filter(|arg| matches!(arg, Arg::OutPtr(_)));
        assert!(
            outputs.count() <= 1,
            "a call has at most one argument that is an OutPtr"
        );
        for (index, arg) in args.iter().enumerate() {
            let (kind, value) = arg.to_abi();
            call.args[index] = value;
            call.arg_kinds |= (kind as u32) << (index as u32 * abi::ARG_KIND_BITS);
        }
        Self(call)
    }

    /// A call exactly as it goes over the wire, reserved fields included.
    ///
    /// [`ArgKind::Result`](super::ArgKind::Result) and [`ArgKind::Load`](super::ArgKind::Load) name
    /// calls by their index, which counts from the beginning of the [`Batch`](super::Batch) or
    /// [`Chain`](super::Chain) that the call is pushed to.
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
    #[inline]
    pub const fn user_data(mut self, user_data: u64) -> Self {
        self.0.user_data = user_data;
        self
    }

    /// Sets the flags.
    #[must_use]
    #[inline]
    pub const fn flags(mut self, flags: CallFlags) -> Self {
        self.0.flags = flags.bits();
        self
    }

    /// Interrupts the call when it runs longer than this; it then ends with `Outcome::TimedOut` and
    /// `ETIME`, or with `Outcome::Ran` where it came to its end all the same. Zero means no limit; a
    /// limit of more than 584 years is cut to that.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.0.timeout_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        self
    }
}

impl From<Call> for abi::Call {
    #[inline]
    fn from(call: Call) -> Self {
        call.0
    }
}
