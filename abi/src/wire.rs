// SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause

//! Numbers and layouts of the generic-netlink family `nlcall`, version 1.
//!
//! Everything is in native byte order, for x86-64 only. Attributes have a namespace per command.
//! Netlink aligns attributes to four bytes, so the packed arrays below may lie on any multiple of
//! four: read them unaligned.

use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// Name of the generic-netlink family.
pub const FAMILY_NAME: &str = "nlcall";

/// Version of the family, in every `genlmsghdr`. Another version is rejected with `-EINVAL`.
pub const FAMILY_VERSION: u8 = 1;

/// Name of the multicast group that carries [`Command::Trace`] events.
pub const TRACE_GROUP: &str = "trace";

/// Largest [`Command::Complete`] message in bytes, headers included, unless the session raised it.
pub const MAX_COMPLETE_LEN: usize = 8192;

/// Most bytes of the area of a message ([`submit::DATA`]).
pub const MAX_AREA: usize = 1 << 20;

/// Most bytes of the output areas of one call ([`ArgKind::Out`]).
pub const MAX_OUTPUT: usize = 60_000;

/// How many calls back in its chain an argument may come from ([`ArgKind::Result`],
/// [`ArgKind::Load`]).
pub const REACH: usize = 1024;

/// Most bytes of memory that a [`Command::Trace`] event has for one argument.
pub const TRACE_MEMORY_MAX: usize = 256;

/// Netlink protocol number of the classic front end.
pub const CLASSIC_PROTOCOL: u32 = 28;

/// Commands of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Command {
    /// `do`: execute the calls of this message. Attributes: [`submit`].
    Submit = 1,
    /// Event, unicast to the session: results. Attributes: [`complete`].
    Complete = 2,
    /// `do`: cancel calls in flight. Attributes: [`cancel`]; the reply carries
    /// [`cancel::CANCELED`] and [`cancel::INTERRUPTED`].
    Cancel = 3,
    /// `do`: what this module supports. Reply attributes: [`features`].
    FeaturesGet = 4,
    /// `dump`: sessions. Reply attributes: [`session`].
    SessionGet = 5,
    /// `dump`: calls in flight. Reply attributes: [`call`].
    CallGet = 6,
    /// `dump`: the policy table. Reply attributes: [`syscall`].
    SyscallGet = 7,
    /// `do`: limits and access. Reply attributes: [`config`].
    ConfigGet = 8,
    /// `do`: change limits and access; needs `CAP_SYS_ADMIN` in the initial user namespace.
    ConfigSet = 9,
    /// Event on the multicast group [`TRACE_GROUP`]: a call was accepted or ended, or a message was
    /// rejected. Attributes: [`trace`]. Reaches members of the group in the initial network
    /// namespace whose socket was opened with `CAP_SYS_ADMIN` in the initial user namespace.
    Trace = 10,
    /// `do`: events shall be sent, to this socket among others, which has joined the group before;
    /// needs `CAP_SYS_ADMIN` in the initial user namespace. They are sent until nobody is left that
    /// they reach. The reply carries [`trace::SEQ`], the number of the last event.
    TraceStart = 11,
}

/// Attributes of [`Command::Submit`].
pub mod submit {
    /// `u32`: size of one entry of [`CALLS`] in bytes. At least `size_of::<Call>()` and a
    /// multiple of 8; bytes beyond those that the module knows must be zero.
    pub const CALL_SIZE: u16 = 1;
    /// Binary, may repeat: packed array of [`Call`](super::Call). `nla_len` is 16 bits wide, so
    /// longer batches use several attributes; an entry never straddles two of them.
    pub const CALLS: u16 = 2;
    /// Binary, may repeat (the payloads are concatenated): bytes that arguments refer to. They are
    /// copied to an area in the memory of the executing process, before its first call starts. The
    /// area reaches to the end of these bytes or of the last output area, whichever is behind, at
    /// most [`MAX_AREA`](super::MAX_AREA) bytes; beyond the bytes it is zero. It is unmapped when
    /// the last call of the message has ended. Only for calls of workers.
    pub const DATA: u16 = 3;
    /// Binary, may repeat: packed array of [`Reloc`](super::Reloc).
    pub const RELOC: u16 = 4;
    /// `u32`: a pidfd of the sender; the calls execute in that process, on workers of its own, with
    /// the credentials that its leader has at that moment. The sender needs the right to ptrace
    /// it, and `CAP_SYS_ADMIN` in the initial user namespace where it is under seccomp.
    pub const TARGET_PIDFD: u16 = 5;
    /// `u64`: address of a [`ResultsHeader`](super::ResultsHeader) in the sender, a multiple of 8.
    /// The results are written behind it instead of being sent in a [`Command::Complete`] message;
    /// one that cannot be written arrives in such a message all the same. Only where every call
    /// of the message is [`flag::INLINE`](super::flag::INLINE).
    pub const RESULTS_PTR: u16 = 6;
    /// `u64`: address of the data in the sender, instead of [`DATA`].
    pub const DATA_PTR: u16 = 7;
    /// `u64`: length of the data at [`DATA_PTR`] in bytes.
    pub const DATA_LEN: u16 = 8;
    /// Padding; ignored.
    pub const PAD: u16 = 9;
    /// Highest attribute number.
    pub const MAX: u16 = PAD;
}

/// Attributes of [`Command::Complete`].
pub mod complete {
    /// Binary: packed array of [`CallResult`](super::CallResult).
    pub const RESULTS: u16 = 1;
    /// Binary: output areas; [`CallResult`](super::CallResult) says which bytes are whose.
    pub const DATA: u16 = 2;
    /// Highest attribute number.
    pub const MAX: u16 = DATA;
}

/// Attributes of [`Command::Cancel`] and of its reply. A request names exactly one of the first
/// four.
pub mod cancel {
    /// `u64`: cancel the calls with this `user_data`.
    pub const USER_DATA: u16 = 1;
    /// `s32`: cancel the calls whose first argument is this descriptor, of those system calls
    /// whose first argument is a descriptor.
    pub const FD: u16 = 2;
    /// `u32`: cancel the calls of this system call number.
    pub const NR: u16 = 3;
    /// Flag: cancel everything in flight.
    pub const ALL: u16 = 4;
    /// Reply, `u32`: calls that had not started; they complete with `Outcome::Canceled`.
    pub const CANCELED: u16 = 5;
    /// Reply, `u32`: running calls that were asked to stop; their completion says whether they
    /// did (`Outcome::Interrupted`) or came to their end all the same (`Outcome::Ran`).
    pub const INTERRUPTED: u16 = 6;
    /// Padding; ignored.
    pub const PAD: u16 = 7;
    /// Highest attribute number.
    pub const MAX: u16 = PAD;
}

/// Attributes of the reply to [`Command::FeaturesGet`].
pub mod features {
    /// `u32`: size of [`Call`](super::Call) in bytes.
    pub const CALL_SIZE: u16 = 1;
    /// `u32`: size of [`CallResult`](super::CallResult) in bytes.
    pub const RESULT_SIZE: u16 = 2;
    /// `u64`: mask of the call flags that work ([`flag`](super::flag)).
    pub const CALL_FLAGS: u16 = 3;
    /// `u32`: mask with bit `k` set where argument kind `k` works ([`ArgKind`](super::ArgKind)).
    pub const ARG_KINDS: u16 = 4;
    /// `u64`: mask with bit `n` set where [`submit`](super::submit) attribute `n` works.
    pub const SUBMIT_ATTRS: u16 = 5;
    /// `u32`: most calls in flight per session.
    pub const MAX_IN_FLIGHT: u16 = 6;
    /// `u32`: most workers per session.
    pub const MAX_WORKERS: u16 = 7;
    /// String: release of the running kernel, as `uname -r` prints it.
    pub const KERNEL: u16 = 8;
    /// `u64`: FNV-1a hash of the policy table; two modules with the same hash decide alike.
    pub const POLICY_HASH: u16 = 9;
    /// String: version of the module.
    pub const MODULE_VERSION: u16 = 10;
    /// Padding; ignored.
    pub const PAD: u16 = 11;
    /// Highest attribute number.
    pub const MAX: u16 = PAD;
}

/// Attributes of a reply to [`Command::SessionGet`].
pub mod session {
    /// `u64`: number of the session, unique since the module was loaded.
    pub const ID: u16 = 1;
    /// `u32`: process id (thread group) of the owner in the reader's pid namespace, 0 where it is
    /// not visible there or the owner has ended.
    pub const PID: u16 = 2;
    /// String: name (`comm`) of the owner.
    pub const COMM: u16 = 3;
    /// `u32`: netlink port id of the socket.
    pub const PORTID: u16 = 4;
    /// `u32`: a [`SessionState`](super::SessionState).
    pub const STATE: u16 = 5;
    /// `u32`: calls accepted whose completion was not yet delivered.
    pub const IN_FLIGHT: u16 = 6;
    /// `u32`: calls that wait for a worker.
    pub const QUEUED: u16 = 7;
    /// `u32`: calls that a worker executes, blocked ones included.
    pub const RUNNING: u16 = 8;
    /// `u32`: running calls that are blocked.
    pub const BLOCKED: u16 = 9;
    /// `u32`: completions that wait for room in the receive buffer.
    pub const UNDELIVERED: u16 = 10;
    /// `u32`: workers of the session.
    pub const WORKERS: u16 = 11;
    /// Flag: every worker up to the cap is blocked and calls wait.
    pub const SATURATED: u16 = 12;
    /// `u64`: calls accepted since the session began.
    pub const ACCEPTED: u16 = 13;
    /// `u64`: completions delivered since the session began.
    pub const DELIVERED: u16 = 14;
    /// `u64`: calls that a message named and that were rejected with it.
    pub const REJECTED: u16 = 15;
    /// `u32`: `nlmsg_seq` of the last SUBMIT that was accepted.
    pub const LAST_SEQ: u16 = 16;
    /// `u32`: a [`FrontEnd`](super::FrontEnd).
    pub const FRONT_END: u16 = 17;
    /// Padding; ignored.
    pub const PAD: u16 = 18;
    /// Request, flag: only the session of the asking socket.
    pub const OWN: u16 = 19;
    /// `u64`: calls that succeeded without a completion, as they asked for
    /// ([`flag::SKIP_SUCCESS`](super::flag::SKIP_SUCCESS)).
    pub const SKIPPED: u16 = 20;
    /// `u64`: calls that ended `Outcome::Canceled`.
    pub const CANCELED: u16 = 21;
    /// `u64`: calls that ended `Outcome::TimedOut`.
    pub const TIMED_OUT: u16 = 22;
    /// `u64`: calls that were executed by their submitting thread
    /// ([`flag::INLINE`](super::flag::INLINE)), not those of them that never started.
    pub const INLINE: u16 = 23;
    /// `u32`: workers without a call.
    pub const IDLE: u16 = 24;
    /// Binary, may repeat: a [`Latency`](super::Latency) for each system call number with delivered
    /// completions of calls for workers.
    pub const LATENCY: u16 = 25;
    /// `u32`: the calls execute in another process, the owner, on behalf of the process with this
    /// id (thread group), 0 where that is not visible or has ended.
    pub const TARGET_OF: u16 = 26;
    /// Highest attribute number.
    pub const MAX: u16 = TARGET_OF;
}

/// Attributes of a reply to [`Command::CallGet`].
pub mod call {
    /// `u64`: number of the session.
    pub const SESSION: u16 = 1;
    /// `u64`: the call's `user_data`; only with the right to ptrace the owner.
    pub const USER_DATA: u16 = 2;
    /// `u32`: system call number.
    pub const NR: u16 = 3;
    /// `u32`: a [`CallState`](super::CallState).
    pub const STATE: u16 = 4;
    /// `u64`: nanoseconds since the call was accepted.
    pub const AGE_NS: u16 = 5;
    /// `u32`: thread id of the worker that executes it.
    pub const WORKER: u16 = 6;
    /// Binary: six `u64` arguments; only with the right to ptrace the owner.
    pub const ARGS: u16 = 7;
    /// Padding; ignored.
    pub const PAD: u16 = 8;
    /// Highest attribute number.
    pub const MAX: u16 = PAD;
}

/// Attributes of a reply to [`Command::SyscallGet`].
pub mod syscall {
    /// `u32`: system call number.
    pub const NR: u16 = 1;
    /// String: name, as in the kernel's table.
    pub const NAME: u16 = 2;
    /// `u32`: a [`Verdict`](super::Verdict).
    pub const VERDICT: u16 = 3;
    /// String: why, in words; absent where the call executes everywhere without a difference. Where
    /// it begins with `only INLINE`, the verdict is that of most arguments, and the reason names
    /// those that a worker may not have.
    pub const REASON: u16 = 4;
    /// Highest attribute number.
    pub const MAX: u16 = REASON;
}

/// Attributes of [`Command::ConfigGet`] replies and of [`Command::ConfigSet`].
pub mod config {
    /// `u32`: most calls in flight per session.
    pub const MAX_IN_FLIGHT: u16 = 1;
    /// `u32`: most workers per session.
    pub const MAX_WORKERS: u16 = 2;
    /// String: `root`, `everyone` or a decimal group id.
    pub const ACCESS: u16 = 3;
    /// `u32`: most calls in flight of all sessions of a user.
    pub const MAX_IN_FLIGHT_USER: u16 = 4;
    /// `u32`: most workers of all sessions of a user.
    pub const MAX_WORKERS_USER: u16 = 5;
    /// `u32`: most workers of the machine.
    pub const MAX_WORKERS_TOTAL: u16 = 6;
    /// `u32`: most workers of a session that run at the same time; 0: as many as there are
    /// processors, at most four.
    pub const MAX_RUNNING: u16 = 7;
    /// `u32`: milliseconds that a worker without a call stays.
    pub const IDLE_MS: u16 = 8;
    /// `u32`: most bytes of messages with INLINE calls that wait for their senders to return, and
    /// of areas of messages ([`submit::DATA`](super::submit::DATA)) in flight, of all sessions of a
    /// user.
    pub const MAX_INLINE_BYTES: u16 = 9;
    /// Highest attribute number.
    pub const MAX: u16 = MAX_INLINE_BYTES;
}

/// Attributes of [`Command::Trace`] and of the reply to [`Command::TraceStart`].
///
/// Process and thread ids are those of the initial pid namespace.
pub mod trace {
    /// `u32`: a [`TraceEvent`](super::TraceEvent), which says what else is there.
    pub const EVENT: u16 = 1;
    /// `u64`: number of the event, one more than that of the one before. Who misses numbers has
    /// lost so many events: its receive buffer was full, or memory was short.
    pub const SEQ: u16 = 2;
    /// `u64`: nanoseconds since 1970.
    pub const TIME_NS: u16 = 3;
    /// `u64`: number of the session; absent where a rejected message had none.
    pub const SESSION: u16 = 4;
    /// `u32`: the process that submitted, or in which the call was executed.
    pub const PID: u16 = 5;
    /// `u32`: the thread that submitted, or executed the call; absent where none did.
    pub const TID: u16 = 6;
    /// String: name (`comm`) of that process.
    pub const COMM: u16 = 7;
    /// `u64`: the call's `user_data`.
    pub const USER_DATA: u16 = 8;
    /// `u32`: system call number.
    pub const NR: u16 = 9;
    /// `u32`: the call's flags ([`flag`](super::flag)).
    pub const FLAGS: u16 = 10;
    /// Binary: six `u64` arguments; of a call that was executed, those that it was executed with.
    pub const ARGS: u16 = 11;
    /// `u32`: what the arguments of a call that was accepted are ([`ArgKind`](super::ArgKind)).
    pub const ARG_KINDS: u16 = 12;
    /// `u32`: a [`Way`](super::Way).
    pub const WAY: u16 = 13;
    /// `s64`: the return value.
    pub const RET: u16 = 14;
    /// `u32`: an [`Outcome`](super::Outcome).
    pub const OUTCOME: u16 = 15;
    /// `u32`: a [`Restart`](super::Restart).
    pub const RESTART: u16 = 16;
    /// `u64`: nanoseconds from the start of the call to its end; absent where it never started.
    pub const DURATION_NS: u16 = 17;
    /// Binary, may repeat: number of an argument (`u32`, from 0), and what was in memory where it
    /// points to, before the call: up to [`TRACE_MEMORY_MAX`](super::TRACE_MEMORY_MAX) bytes. For
    /// each argument that is the address of memory that is there; numbers may look like one.
    pub const BEFORE: u16 = 18;
    /// Binary, may repeat: the same after the call, where that is something else.
    pub const AFTER: u16 = 19;
    /// `u32`: the command of the rejected message.
    pub const COMMAND: u16 = 20;
    /// `u32`: why it was rejected, an errno (positive).
    pub const ERRNO: u16 = 21;
    /// String: why it was rejected, as in its extended acknowledgement.
    pub const TEXT: u16 = 22;
    /// Padding; ignored.
    pub const PAD: u16 = 23;
    /// Highest attribute number.
    pub const MAX: u16 = PAD;
}

/// Flags of a [`Call`].
pub mod flag {
    /// The next call of the batch starts only when this one succeeded: returned no error and, for
    /// `read`, `write`, `pread64`, `pwrite64`, `splice` and `tee`, transferred as many bytes as it
    /// was asked for. Otherwise the rest of the chain completes with `Outcome::Canceled`.
    pub const LINK: u32 = 1 << 0;
    /// The next call of the batch starts when this one ended, however it ended.
    pub const HARDLINK: u32 = 1 << 1;
    /// This call starts when all earlier calls of the session completed, and later ones wait. One
    /// in a chain holds for the whole chain. Orders the calls of workers; not with INLINE.
    pub const DRAIN: u32 = 1 << 2;
    /// Execute in the submitting thread before its `sendmsg` returns.
    pub const INLINE: u32 = 1 << 3;
    /// No completion where the call succeeded, in the sense of LINK.
    pub const SKIP_SUCCESS: u32 = 1 << 4;
    /// All flags that version 1 knows.
    pub const KNOWN: u32 = LINK | HARDLINK | DRAIN | INLINE | SKIP_SUCCESS;
}

/// What an argument of a [`Call`] is. Four bits each in [`Call::arg_kinds`], the first argument in
/// the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ArgKind {
    /// The argument itself.
    Value = 0,
    /// Offset in the message's area ([`submit::DATA`]), at or before its end; the call gets the
    /// address.
    Data = 1,
    /// Output area: length in the upper 32 bits, offset in the message's area
    /// ([`submit::DATA`]) in the lower. The call gets the address; where it ran, with whatever
    /// result, what is there then is returned in the completion's DATA, one area of the call behind
    /// the other. The output areas of a message lie in its area in the order of the arguments and
    /// do not overlap; those of a call have at most [`MAX_OUTPUT`](super::MAX_OUTPUT) bytes
    /// together.
    Out = 2,
    /// Result of an earlier call of the same chain: its index in the batch.
    Result = 3,
    /// Field of the output of an earlier call of the same chain: index in the batch (bits 0..24),
    /// width in bytes (24..32: 1, 2, 4 or 8) and offset (32..64). It is read when the call starts
    /// and extended with zeroes. The output is that of the call's only argument of kind
    /// [`OutPtr`](ArgKind::OutPtr) or [`Out`](ArgKind::Out).
    Load = 4,
    /// The argument itself, an address: what the call writes there is its output, for
    /// [`Load`](ArgKind::Load). At most one argument of a call.
    OutPtr = 5,
}

/// Bits of [`Call::arg_kinds`] that hold one argument's kind.
pub const ARG_KIND_BITS: u32 = 4;

/// One system call request.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Call {
    /// Opaque; returned in the completion.
    pub user_data: u64,
    /// System call number of the x86-64 table.
    pub nr: u32,
    /// [`flag`] bits.
    pub flags: u32,
    /// The six arguments; unused ones are zero.
    pub args: [u64; 6],
    /// [`ArgKind`] of each argument, [`ARG_KIND_BITS`] bits each; the upper eight bits are zero.
    pub arg_kinds: u32,
    /// Zero.
    pub reserved: u32,
    /// Time limit in nanoseconds from the start of the call; 0 for none.
    pub timeout_ns: u64,
}

/// One completion.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct CallResult {
    /// Of the call.
    pub user_data: u64,
    /// What the system call returned: a value, or a negative errno in `-4095..=-1`.
    pub ret: i64,
    /// An [`Outcome`].
    pub outcome: u16,
    /// A [`Restart`].
    pub restart: u16,
    /// Offset of the call's output in the message's DATA, in bytes.
    pub data_off: u32,
    /// Length of the call's output in bytes.
    pub data_len: u32,
    /// Zero.
    pub reserved: u32,
}

/// Head of a results array in the sender's memory ([`submit::RESULTS_PTR`]); the entries follow.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ResultsHeader {
    /// Entries written so far; stored after each entry, with release order. A message's results
    /// are written behind those that are there.
    pub done: u32,
    /// Entries that fit. Results for which there is no place are sent.
    pub capacity: u32,
    /// Zero. Otherwise nothing is written, and all results are sent.
    pub reserved: u64,
}

/// How long the calls of one system call number took in a session, from acceptance to the delivery
/// of the completion to the receive buffer. Calls of workers, however they ended; not those without
/// a completion ([`flag::SKIP_SUCCESS`]).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Latency {
    /// System call number; `u32::MAX` for all those that no place was left for.
    pub nr: u32,
    /// Zero.
    pub reserved: u32,
    /// Completions delivered.
    pub count: u64,
    /// Nanoseconds that they took together.
    pub total_ns: u64,
    /// How many took how long: bucket 0 less than 1024 ns, bucket `k` from `2^(k+9)` to less than
    /// `2^(k+10)` ns, the last one anything longer.
    pub buckets: [u32; 24],
}

/// Number of [`Latency::buckets`].
pub const LATENCY_BUCKETS: usize = 24;

/// One pointer inside DATA.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Reloc {
    /// Offset in DATA of the eight bytes to fill in, a multiple of 8.
    pub at: u32,
    /// Offset in the message's area ([`submit::DATA`]) that they shall point to.
    pub to: u32,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Outcome {
    /// The call ran to its end; `ret` is its own result, errors included.
    Ran = 0,
    /// The call never started; `ret` says why (`-EAGAIN`: no worker could be made, or seccomp not be
    /// asked; `-EINTR`: a signal came first; `-ESRCH`: the process or its thread ended, or executed
    /// another program).
    NotStarted = 1,
    /// Cancelled before it started; `ret` is `-ECANCELED`.
    Canceled = 2,
    /// Its time limit passed; `ret` is `-ETIME`.
    TimedOut = 3,
    /// Refused by seccomp, which was asked on behalf of the submitting thread; `ret` is what a plain
    /// call would have returned: mostly an error, or the value that a supervisor or a tracer gave.
    /// Where a signal was raised instead (`SECCOMP_RET_TRAP`), it is `-ENOSYS`.
    Refused = 4,
    /// It started and was interrupted (cancel, end of the process); `ret` is `-EINTR` and
    /// `restart` says how the kernel would have restarted it. It may have had effects.
    Interrupted = 5,
}

/// What the kernel would have done with an interrupted call (`include/linux/errno.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Restart {
    /// Not interrupted, or not restartable.
    None = 0,
    /// `ERESTARTNOINTR`: restart always.
    NoIntr = 1,
    /// `ERESTARTSYS`: restart where `SA_RESTART` is set.
    Sys = 2,
    /// `ERESTARTNOHAND`: restart where no handler ran.
    NoHand = 3,
    /// `ERESTART_RESTARTBLOCK`: continue with the remaining time.
    Block = 4,
}

/// What may be done with a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Verdict {
    /// Executes on a worker and INLINE.
    Both = 0,
    /// Executes on a worker with a stated difference, and INLINE.
    Differs = 1,
    /// Executes only INLINE.
    InlineOnly = 2,
    /// Refused.
    Refused = 3,
}

/// Where a call is ([`call::STATE`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum CallState {
    /// The message was accepted; the sender has not yet returned to user mode.
    Accepted = 0,
    /// Waits for a worker.
    Queued = 1,
    /// A worker executes it.
    Running = 2,
    /// Was interrupted for the kernel's own reasons and will be re-issued by its worker.
    Interrupted = 3,
    /// Ended; the completion waits for room in the receive buffer.
    Done = 4,
}

/// State of a session ([`session::STATE`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum SessionState {
    /// Takes submissions.
    Open = 0,
    /// The owner ended or executed another program; completions can still be read.
    Ended = 1,
    /// The socket was closed; the session goes as soon as its workers have.
    Closed = 2,
}

/// How a session is spoken to ([`session::FRONT_END`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum FrontEnd {
    /// The generic-netlink family.
    Generic = 0,
    /// Raw netlink protocol [`CLASSIC_PROTOCOL`].
    Classic = 1,
}

/// What an event tells ([`trace::EVENT`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum TraceEvent {
    /// A call was accepted.
    Submitted = 0,
    /// A call ended; whether it ran is its [`Outcome`].
    Completed = 1,
    /// A message was rejected.
    Rejected = 2,
}

/// How a call travels ([`trace::WAY`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Way {
    /// On a worker of the process that submitted it.
    Worker = 0,
    /// In the thread that submitted it.
    Inline = 1,
    /// On a worker of another process.
    Target = 2,
}

/// The message of the classic front end, as the early demonstration's user program fills it in on
/// x86-64. The completion is the same structure with the return value in `count`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Readi {
    /// Process in whose context to read; its own pid, in the early demonstration.
    pub pid: i32,
    /// Descriptor to read from.
    pub fd: i32,
    /// Address of the buffer in that process.
    pub ptr: u64,
    /// Bytes to read; in the completion, the return value.
    pub count: i32,
    /// Padding of the C structure; ignored.
    pub padding: [u8; 4],
}

// The layout is the contract: a change that moves a field must not compile.
const _: () = {
    use core::mem::{
        offset_of,
        size_of, //
    };

    assert!(size_of::<Call>() == 80);
    assert!(offset_of!(Call, user_data) == 0);
    assert!(offset_of!(Call, nr) == 8);
    assert!(offset_of!(Call, flags) == 12);
    assert!(offset_of!(Call, args) == 16);
    assert!(offset_of!(Call, arg_kinds) == 64);
    assert!(offset_of!(Call, reserved) == 68);
    assert!(offset_of!(Call, timeout_ns) == 72);

    assert!(size_of::<CallResult>() == 32);
    assert!(offset_of!(CallResult, user_data) == 0);
    assert!(offset_of!(CallResult, ret) == 8);
    assert!(offset_of!(CallResult, outcome) == 16);
    assert!(offset_of!(CallResult, restart) == 18);
    assert!(offset_of!(CallResult, data_off) == 20);
    assert!(offset_of!(CallResult, data_len) == 24);
    assert!(offset_of!(CallResult, reserved) == 28);

    assert!(size_of::<ResultsHeader>() == 16);
    assert!(offset_of!(ResultsHeader, capacity) == 4);
    assert!(size_of::<Latency>() == 120);
    assert!(offset_of!(Latency, buckets) == 24);
    assert!(size_of::<Latency>() == 24 + 4 * LATENCY_BUCKETS);
    assert!(size_of::<Reloc>() == 8);

    assert!(size_of::<Readi>() == 24);
    assert!(offset_of!(Readi, ptr) == 8);
    assert!(offset_of!(Readi, count) == 16);
};

/// Declares how a wire number becomes one of the enums above: unknown numbers are `None`.
macro_rules! from_wire {
    ($($type:ident: $repr:ty { $($variant:ident),+ $(,)? })+) => {$(
        impl $type {
            /// All values, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value that this wire number stands for.
            pub const fn from_wire(number: $repr) -> Option<Self> {
                $(if number == Self::$variant as $repr {
                    return Some(Self::$variant);
                })+
                None
            }
        }
    )+};
}

from_wire! {
    Command: u8 {
        Submit, Complete, Cancel, FeaturesGet, SessionGet, CallGet, SyscallGet, ConfigGet,
        ConfigSet, Trace, TraceStart,
    }
    ArgKind: u8 { Value, Data, Out, Result, Load, OutPtr }
    Outcome: u16 { Ran, NotStarted, Canceled, TimedOut, Refused, Interrupted }
    Restart: u16 { None, NoIntr, Sys, NoHand, Block }
    Verdict: u32 { Both, Differs, InlineOnly, Refused }
    CallState: u32 { Accepted, Queued, Running, Interrupted, Done }
    SessionState: u32 { Open, Ended, Closed }
    FrontEnd: u32 { Generic, Classic }
    TraceEvent: u32 { Submitted, Completed, Rejected }
    Way: u32 { Worker, Inline, Target }
}
