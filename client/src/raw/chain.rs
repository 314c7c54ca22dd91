// SPDX-License-Identifier: MIT OR Apache-2.0

//! Chains, and arguments that come from earlier calls.

use std::mem::size_of;

use nlcall_abi::{self as abi, flag, ArgKind, REACH};

use super::Call;

/// Bits of an [`ArgKind::Load`] that hold the index of a call.
const LOAD_INDEX_BITS: u32 = 24;

/// Flags that join a call to the next one.
pub(crate) const JOINED: u32 = flag::LINK | flag::HARDLINK;

/// One argument of a call: see [`Call::with_args`].
///
/// Numbers become values by `into()`; addresses do after `as u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arg {
    /// The argument itself.
    Value(u64),
    /// The argument itself, an address: what the call writes there is its output, for
    /// [`Step::load`]. At most one argument of a call.
    OutPtr(u64),
    /// The address of this offset in the batch's [`Data`](super::Data):
    /// [`Place::address`](super::Place::address).
    Data(u32),
    /// The same; so many bytes there come back with the completion:
    /// [`Place::output`](super::Place::output). Where it is the only such argument of the call, it is
    /// its output for [`Step::load`] as well.
    Out {
        /// Where they begin.
        offset: u32,
        /// Their number.
        len: u32,
    },
    /// What an earlier call of the chain returned: [`Step::result`].
    Result(Step),
    /// A field of the output of an earlier call of the chain: [`Step::load`].
    Load {
        /// The call.
        of: Step,
        /// Where in its output the field begins, in bytes.
        offset: u32,
        /// Length of the field in bytes: 1, 2, 4 or 8.
        width: u8,
    },
}

impl Arg {
    pub(super) fn to_abi(self) -> (ArgKind, u64) {
        match self {
            Self::Value(value) => (ArgKind::Value, value),
            Self::OutPtr(address) => (ArgKind::OutPtr, address),
            Self::Data(offset) => (ArgKind::Data, offset.into()),
            Self::Out { offset, len } => (
                ArgKind::Out,
                u64::from(offset) | u64::from(len) << u32::BITS,
            ),
            Self::Result(step) => (ArgKind::Result, step.0.into()),
            Self::Load { of, offset, width } => {
                let width = u64::from(width) << LOAD_INDEX_BITS;
                (
                    ArgKind::Load,
                    u64::from(of.0) | width | u64::from(offset) << u32::BITS,
                )
            }
        }
    }
}

impl From<u64> for Arg {
    fn from(value: u64) -> Self {
        Self::Value(value)
    }
}

impl From<u32> for Arg {
    fn from(value: u32) -> Self {
        Self::Value(value.into())
    }
}

impl From<i32> for Arg {
    /// As C widens it for a system call.
    fn from(value: i32) -> Self {
        Self::Value(i64::from(value) as u64)
    }
}

impl From<usize> for Arg {
    fn from(value: usize) -> Self {
        Self::Value(value as u64)
    }
}

/// A call of a [`Chain`], as a source of arguments for later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Step(u32);

impl Step {
    /// The call of this index.
    pub(crate) const fn new(index: u32) -> Self {
        Self(index)
    }

    /// Its index.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// What the call returned, as an argument.
    pub const fn result(self) -> Arg {
        Arg::Result(self)
    }

    /// A field of type `T` in the output of the call, `offset` bytes after its beginning, as an
    /// argument. The call has an [`Arg::OutPtr`] or one [`Arg::Out`], which says where its output
    /// lies. The field is read when the later call starts, and extended with zeroes to 64 bits.
    ///
    /// A type of another length than 1, 2, 4 or 8 bytes does not compile.
    pub const fn load<T>(self, offset: u32) -> Arg {
        const {
            assert!(
                matches!(size_of::<T>(), 1 | 2 | 4 | 8),
                "an argument has 1, 2, 4 or 8 bytes"
            );
        }
        Arg::Load {
            of: self,
            offset,
            width: size_of::<T>() as u8,
        }
    }
}

/// Calls that execute one after the other, each when the one before succeeded, and that may pass
/// results on.
///
/// A chain is executed by one worker, or INLINE where all its calls are. When a call fails, in the
/// sense of [`CallFlags::LINK`](super::CallFlags::LINK), those behind it end with
/// `Outcome::Canceled`; behind a call flagged [`CallFlags::HARDLINK`](super::CallFlags::HARDLINK)
/// the chain goes on however that call ended. Since it says nothing of a call that was never
/// started, a HARDLINK does not mend a chain that broke before it.
///
/// ```no_run
#[doc = include_str!("../../examples/chain.rs")]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    calls: Vec<abi::Call>,
}

impl Chain {
    /// A chain without a call.
    pub const fn new() -> Self {
        Self { calls: Vec::new() }
    }

    /// Adds a call at the end. The one before it is linked to it: with HARDLINK where it is flagged
    /// so, otherwise with LINK.
    ///
    /// # Panics
    ///
    /// Panics where the kernel would reject the chain:
    ///
    /// - An argument comes from a [`Step`] that is no earlier call of this chain, or from one more
    ///   than 1024 calls back.
    /// - It is a [`Load`](Arg::Load) from a call with neither [`OutPtr`](Arg::OutPtr) nor exactly one
    ///   [`Out`](Arg::Out), or of a length other than 1, 2, 4 or 8 bytes.
    /// - This call is INLINE and the first one is not, or the other way round.
    pub fn push(&mut self, call: Call) -> Step {
        let call = abi::Call::from(call);
        let place = self.calls.len();
        for source in sources(&call) {
            self.check(source, place);
        }
        if let Some(first) = self.calls.first() {
            assert!(
                (first.flags ^ call.flags) & flag::INLINE == 0,
                "a chain is wholly INLINE or not at all"
            );
        }
        if let Some(last) = self.calls.last_mut() {
            if last.flags & JOINED == 0 {
                last.flags |= flag::LINK;
            }
        }
        self.calls.push(call);
        Step(u32::try_from(place).expect("a chain that fits in a message"))
    }

    /// Number of calls.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there is no call.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The calls as they are put behind `before` others: references count from the beginning of
    /// all, and the last call is joined to nothing.
    pub(super) fn behind(&self, before: usize) -> impl Iterator<Item = abi::Call> + '_ {
        let last = self.calls.len().saturating_sub(1);
        self.calls.iter().enumerate().map(move |(place, call)| {
            let mut call = *call;
            if place == last {
                call.flags &= !JOINED;
            }
            shift_sources(&mut call, before as u64);
            call
        })
    }

    fn check(&self, source: Source, place: usize) {
        let (index, load) = match source {
            Source::Result(index) => (index, None),
            Source::Load { index, width, .. } => (index, Some(width)),
        };
        let of = usize::try_from(index)
            .ok()
            .filter(|index| *index < place)
            .unwrap_or_else(|| panic!("call {index} is not before call {place} of the chain"));
        assert!(
            place - of <= REACH,
            "call {of} is more than {REACH} calls before call {place} of the chain"
        );
        if let Some(width) = load {
            assert!(
                matches!(width, 1 | 2 | 4 | 8),
                "an argument has 1, 2, 4 or 8 bytes, not {width}"
            );
            let kinds = self.calls[of].arg_kinds;
            let count = |of| (0..6).filter(|arg| kind(kinds, *arg) == of as u32).count();
            assert!(
                count(ArgKind::OutPtr) == 1 || count(ArgKind::Out) == 1,
                "call {of} of the chain has no OutPtr to load from, nor a single Out"
            );
        }
    }
}

/// Where an argument comes from, with the index of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// What that call returned.
    Result(u64),
    /// A field of that call's output.
    Load { index: u64, offset: u32, width: u8 },
}

const LOAD_INDEX: u64 = (1 << LOAD_INDEX_BITS) - 1;

/// The number of an argument's [`ArgKind`].
const fn kind(arg_kinds: u32, arg: usize) -> u32 {
    arg_kinds >> (arg as u32 * abi::ARG_KIND_BITS) & ((1 << abi::ARG_KIND_BITS) - 1)
}

/// The arguments that come from earlier calls.
fn sources(call: &abi::Call) -> impl Iterator<Item = Source> + '_ {
    (0..call.args.len()).filter_map(|arg| source(call, arg))
}

/// Where this argument comes from, if from an earlier call.
pub(crate) fn source(call: &abi::Call, arg: usize) -> Option<Source> {
    let value = call.args[arg];
    match kind(call.arg_kinds, arg) {
        result if result == ArgKind::Result as u32 => Some(Source::Result(value)),
        load if load == ArgKind::Load as u32 => Some(Source::Load {
            index: value & LOAD_INDEX,
            offset: (value >> u32::BITS) as u32,
            width: (value >> LOAD_INDEX_BITS) as u8,
        }),
        _ => None,
    }
}

/// The address of the call's output, where an [`Arg::OutPtr`] says it.
pub(crate) fn output(call: &abi::Call) -> Option<u64> {
    let mut args = 0..call.args.len();
    let arg = args.find(|arg| kind(call.arg_kinds, *arg) == ArgKind::OutPtr as u32)?;
    Some(call.args[arg])
}

/// Where the last of the call's outputs ends in the area of its message.
pub(super) fn outputs_end(call: &abi::Call) -> u64 {
    let ends = (0..call.args.len())
        .filter(|arg| kind(call.arg_kinds, *arg) == ArgKind::Out as u32)
        .map(|arg| (call.args[arg] & u64::from(u32::MAX)) + (call.args[arg] >> u32::BITS));
    ends.max().unwrap_or(0)
}

/// Whether an argument comes from another call.
pub(super) fn has_sources(call: &abi::Call) -> bool {
    // Nearly all calls have values only.
    call.arg_kinds != 0 && sources(call).next().is_some()
}

/// Adds to the indices by which a call names others. They wrap: what counts is the difference that
/// is left in the message that the call is sent in.
pub(super) fn shift_sources(call: &mut abi::Call, by: u64) {
    if call.arg_kinds == 0 {
        return;
    }
    for (arg, value) in call.args.iter_mut().enumerate() {
        match kind(call.arg_kinds, arg) {
            result if result == ArgKind::Result as u32 => *value = value.wrapping_add(by),
            load if load == ArgKind::Load as u32 => {
                let index = (*value & LOAD_INDEX).wrapping_add(by);
                *value = *value & !LOAD_INDEX | index & LOAD_INDEX;
            }
            _ => {}
        }
    }
}
