// SPDX-License-Identifier: GPL-2.0-only

//! The entries of CALLS in their message's own buffer.
//!
//! INLINE calls are executed from the message as it was received, and each entry becomes the record
//! of its call: the result takes the place of fields that are over by then. So nothing is
//! allocated for them, and a completion cannot be lost for want of memory.

use core::{
    mem::offset_of,
    num::NonZeroUsize, //
};

use crate::{
    answer::Bare,
    ended::Ending,
    parse::{
        outputs,
        references,
        Attrs, //
    },
    wire::{
        flag,
        submit,
        Call,
        CallResult,
        Outcome,
        Restart,
        ARG_KIND_BITS, //
    },
};

/// Size of an entry as this module knows it.
const CALL: usize = size_of::<Call>();

/// Marks an entry that nothing is to be delivered for any more. No flag of the wire format: those
/// are all known.
const OVER: u32 = 1 << 31;
const _: () = assert!(flag::KNOWN & OVER == 0);

/// Where the outcome is kept: over `reserved`.
const OUTCOME: usize = offset_of!(Call, reserved);
/// Where the return value is kept: over `timeout_ns`.
const RET: usize = offset_of!(Call, timeout_ns);

/// A place among the entries of a message, between two of them.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// Not zero.
    size: NonZeroUsize,
    /// The next attribute.
    attr: usize,
    /// The next entry, and where the entries of its attribute begin and end.
    entry: usize,
    begin: usize,
    end: usize,
    /// Index in the message of the first entry of that attribute.
    first: usize,
}

impl Walk {
    /// Before the first entry. Entries have `size` bytes, at least those of [`Call`].
    pub fn new(size: NonZeroUsize) -> Self {
        Self {
            size,
            attr: 0,
            entry: 0,
            begin: 0,
            end: 0,
            first: 0,
        }
    }

    /// Goes on by one entry of the message with these attributes, and says where that is.
    #[inline]
    pub fn next(&mut self, attrs: &[u8]) -> Option<usize> {
        if self.entry >= self.end && !self.next_attr(attrs) {
            return None;
        }
        let at = self.entry;
        self.entry = at.wrapping_add(self.size.get());
        Some(at)
    }

    /// Goes on by the entries that lie in a row, `most` at most, and gives them.
    pub fn row<'a>(&mut self, attrs: &'a mut [u8], most: usize) -> Option<Row<'a>> {
        if self.entry >= self.end && !self.next_attr(attrs) {
            return None;
        }
        let from = self.entry;
        let count = ((self.end - from) / self.size).min(most);
        self.entry += count * self.size.get();
        Some(Row {
            bytes: attrs.get_mut(self.begin..self.entry)?,
            from: from - self.begin,
            first: self.first,
            count,
        })
    }

    /// Goes back by so many entries of the row.
    pub fn back(&mut self, count: usize) {
        self.entry -= count * self.size.get();
    }

    /// Goes on to the next CALLS attribute that is not empty.
    fn next_attr(&mut self, attrs: &[u8]) -> bool {
        let mut rest = Attrs::from(attrs, self.attr);
        let found = rest.find(|attr| attr.kind == submit::CALLS && !attr.payload.is_empty());
        self.attr = rest.position();
        let Some(attr) = found else { return false };
        self.first += (self.end - self.begin) / self.size;
        self.entry = attr.payload_at();
        self.begin = self.entry;
        self.end = self.entry + attr.payload.len();
        true
    }

    /// Where the entry of this index in the message is.
    #[inline]
    pub fn nth(&self, attrs: &[u8], index: usize) -> Option<usize> {
        // An earlier call of a chain lies in the same attribute, most often.
        if let Some(back) = index.checked_sub(self.first) {
            let at = back.checked_mul(self.size.get())?.checked_add(self.begin)?;
            if at < self.end {
                return Some(at);
            }
        }
        self.nth_anywhere(attrs, index)
    }

    #[cold]
    fn nth_anywhere(&self, attrs: &[u8], index: usize) -> Option<usize> {
        let mut walk = Self::new(self.size);
        while walk.next_attr(attrs) {
            let at = (index - walk.first) * self.size.get() + walk.begin;
            if at < walk.end {
                return Some(at);
            }
        }
        None
    }
}

/// Entries that lie in a row, behind those of the same attribute that are over.
///
/// # Invariants
///
/// `bytes` holds whole entries, of the size that the walk knows; behind the first `from` bytes there
/// are `count` of them.
pub struct Row<'a> {
    bytes: &'a mut [u8],
    from: usize,
    first: usize,
    count: usize,
}

impl Row<'_> {
    /// Where the entries of the attribute begin.
    pub fn begin(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    /// How many bytes there are before the row.
    pub fn from(&self) -> usize {
        self.from
    }

    /// Index in the message of the attribute's first entry.
    pub fn first(&self) -> usize {
        self.first
    }

    /// How many there are in the row.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// One entry.
pub struct Entry<'a>(&'a mut [u8; CALL]);

impl<'a> Entry<'a> {
    /// The entry at this place, as [`Walk`] gave it.
    #[inline]
    pub fn at(attrs: &'a mut [u8], at: usize) -> Option<Self> {
        Some(Self(attrs.get_mut(at..)?.first_chunk_mut()?))
    }

    /// The same, and what lies before it.
    #[inline]
    pub fn and_before(attrs: &'a mut [u8], at: usize) -> Option<(&'a [u8], Self)> {
        let (before, rest) = attrs.split_at_mut_checked(at)?;
        Some((before, Self(rest.first_chunk_mut()?)))
    }

    #[inline]
    fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    #[inline]
    fn u64(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[at..at + 8]);
        u64::from_ne_bytes(bytes)
    }

    #[inline]
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The sender's name for the call.
    #[inline]
    pub fn user_data(&self) -> u64 {
        self.u64(offset_of!(Call, user_data))
    }

    /// System call number.
    #[inline]
    pub fn nr(&self) -> u32 {
        self.u32(offset_of!(Call, nr))
    }

    /// Its [`flag`] bits.
    #[inline]
    pub fn flags(&self) -> u32 {
        self.u32(offset_of!(Call, flags))
    }

    /// Whether its submitter executes it.
    #[inline]
    pub fn is_inline(&self) -> bool {
        self.flags() & flag::INLINE != 0
    }

    /// What its arguments are.
    #[inline]
    pub fn arg_kinds(&self) -> u32 {
        self.u32(offset_of!(Call, arg_kinds))
    }

    /// Its time limit; only before [`Entry::record`].
    #[inline]
    pub fn timeout_ns(&self) -> u64 {
        self.u64(offset_of!(Call, timeout_ns))
    }

    /// One of the arguments.
    #[inline]
    pub fn arg(&self, index: usize) -> u64 {
        self.u64(offset_of!(Call, args) + 8 * (index % 6))
    }

    /// The arguments.
    #[inline]
    pub fn args(&self) -> [u64; 6] {
        core::array::from_fn(|index| self.arg(index))
    }

    /// The arguments where they are: six `u64`, not aligned.
    #[inline]
    pub fn args_in_place(&self) -> *const u64 {
        self.0[offset_of!(Call, args)..].as_ptr().cast()
    }

    /// Puts the value of an argument in its place.
    #[inline]
    pub fn set_arg(&mut self, index: usize, value: u64) {
        self.put(
            offset_of!(Call, args) + 8 * (index % 6),
            &value.to_ne_bytes(),
        );
    }

    /// The call that it is by now, of whose arguments none refers to another any more.
    pub fn set_call(&mut self, call: &Bare) {
        let kinds = self.arg_kinds();
        let values = kinds & !(references(kinds) * 0b111);
        self.put(offset_of!(Call, nr), &call.nr.to_ne_bytes());
        self.put(offset_of!(Call, arg_kinds), &values.to_ne_bytes());
        for (index, value) in call.args.iter().enumerate() {
            self.set_arg(index, *value);
        }
    }

    /// Notes how the call ended.
    #[inline]
    pub fn record(&mut self, ending: Ending) {
        self.put(OUTCOME, &(ending.outcome as u16).to_ne_bytes());
        self.put(OUTCOME + 2, &(ending.restart as u16).to_ne_bytes());
        self.put(RET, &ending.ret.to_ne_bytes());
    }

    /// Nothing is to be delivered for it any more.
    #[inline]
    pub fn set_over(&mut self) {
        let flags = self.flags() | OVER;
        self.put(offset_of!(Call, flags), &flags.to_ne_bytes());
    }

    /// Whether a completion is to be delivered for it.
    pub fn is_due(&self) -> bool {
        self.flags() & (flag::INLINE | OVER) == flag::INLINE
    }

    /// What [`Entry::record`] noted as return value.
    pub fn ret(&self) -> i64 {
        self.u64(RET) as i64
    }

    /// The completion, of what [`Entry::record`] noted.
    pub fn result(&self) -> CallResult {
        let how = self.u32(OUTCOME);
        CallResult {
            user_data: self.user_data(),
            ret: self.ret(),
            outcome: how as u16,
            restart: (how >> 16) as u16,
            ..CallResult::default()
        }
    }
}

/// An entry whose call is over, for a later call of its chain.
pub struct Earlier<'a>(&'a [u8; CALL]);

impl<'a> Earlier<'a> {
    /// The entry at this place, as [`Walk`] gave it.
    #[inline]
    pub fn at(attrs: &'a [u8], at: usize) -> Option<Self> {
        Some(Self(attrs.get(at..)?.first_chunk()?))
    }

    #[inline]
    fn u64(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[at..at + 8]);
        u64::from_ne_bytes(bytes)
    }

    /// What [`Entry::record`] noted as return value.
    #[inline]
    pub fn ret(&self) -> i64 {
        self.u64(RET) as i64
    }

    /// Where the call's output is.
    #[inline]
    pub fn output(&self) -> Option<u64> {
        // The kinds are its lower half.
        let outputs = outputs(self.u64(offset_of!(Call, arg_kinds)) as u32);
        if outputs == 0 {
            return None;
        }
        let index = (outputs.trailing_zeros() / ARG_KIND_BITS) as usize % 6;
        Some(self.u64(offset_of!(Call, args) + 8 * index))
    }
}

/// `outcome` and `restart` side by side, as they lie in a result.
#[inline]
pub fn how(ending: &Ending) -> u32 {
    ending.outcome as u32 | (ending.restart as u32) << 16
}

/// What decides whether the next INLINE call of a batch is executed: the links between them, and
/// whether the batch came to an early end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequence {
    /// How all further calls end.
    stop: Option<Ending>,
    /// The chain that the next call belongs to is broken.
    is_broken: bool,
}

impl Sequence {
    /// No further call is executed: they end in this way. The first reason stays.
    pub fn stop(&mut self, ending: Ending) {
        self.stop.get_or_insert(ending);
    }

    /// Whether the next call is to be executed.
    #[inline]
    pub fn goes_on(&self) -> bool {
        self.stop.is_none() && !self.is_broken
    }

    /// How the next call ends without being executed, where it is not to be.
    #[cold]
    pub fn instead(&self) -> Ending {
        self.stop.unwrap_or(Ending::canceled())
    }

    /// A call with these flags ended, successfully or not.
    #[inline]
    pub fn ended(&mut self, flags: u32, succeeded: bool) {
        if flags & (flag::LINK | flag::HARDLINK) == 0 {
            self.is_broken = false;
        } else if flags & flag::HARDLINK == 0 && !succeeded {
            self.is_broken = true;
        }
    }
}

const _: () = {
    assert!(Outcome::Ran as u16 == 0);
    assert!(Restart::None as u16 == 0);
    assert!(OUTCOME + 4 == RET);
};

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::*;
    use crate::wire::ArgKind;

    fn attr(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = ((4 + payload.len()) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(payload);
        bytes
    }

    fn call(user_data: u64) -> Call {
        Call {
            user_data,
            nr: user_data as u32 + 100,
            flags: flag::INLINE,
            args: core::array::from_fn(|index| user_data * 10 + index as u64),
            timeout_ns: 7,
            ..Call::default()
        }
    }

    fn walk(size: usize) -> Walk {
        Walk::new(NonZeroUsize::new(size).unwrap())
    }

    /// A message with these numbers of calls in its attributes.
    fn message(size: usize, attrs: &[usize]) -> Vec<u8> {
        let mut bytes = attr(submit::CALL_SIZE, &(size as u32).to_ne_bytes());
        let mut next = 0;
        for count in attrs {
            let mut payload = Vec::new();
            for _ in 0..*count {
                payload.extend(call(next).as_bytes());
                payload.resize(payload.len() + size - CALL, 0);
                next += 1;
            }
            bytes.extend(attr(submit::CALLS, &payload));
            bytes.extend(attr(submit::PAD, &[]));
        }
        bytes
    }

    #[test]
    fn a_walk_meets_every_entry_in_order() {
        for size in [CALL, CALL + 24] {
            let mut bytes = message(size, &[3, 1, 2]);
            let mut walk = walk(size);
            let mut seen = Vec::new();
            while let Some(at) = walk.next(&bytes) {
                let entry = Entry::at(&mut bytes, at).unwrap();
                let number = entry.user_data();
                assert_eq!(entry.nr() as u64, number + 100);
                assert_eq!(entry.args(), call(number).args);
                assert_eq!(entry.timeout_ns(), 7);
                assert!(entry.is_due());
                seen.push(number);
            }
            assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
            assert_eq!(walk.next(&bytes), None);
            for index in 0..6 {
                let at = walk.nth(&bytes, index).unwrap();
                let entry = Entry::at(&mut bytes, at).unwrap();
                assert_eq!(entry.user_data(), index as u64);
            }
            assert_eq!(walk.nth(&bytes, 6), None);
        }
    }

    #[test]
    fn an_earlier_entry_is_found_from_anywhere() {
        let bytes = message(CALL, &[3, 1, 2]);
        let places: Vec<usize> = {
            let mut walk = walk(CALL);
            std::iter::from_fn(|| walk.next(&bytes)).collect()
        };
        let mut walk = walk(CALL);
        for now in 0..6 {
            walk.next(&bytes);
            for (index, place) in places.iter().enumerate().take(now + 1) {
                assert_eq!(walk.nth(&bytes, index), Some(*place), "{index} from {now}");
            }
        }
        assert_eq!(walk.nth(&bytes, usize::MAX), None);
    }

    #[test]
    fn a_row_ends_with_its_attribute() {
        let mut bytes = message(CALL, &[3, 0, 2]);
        let mut walk = walk(CALL);
        // How many entries, the first of them, and what it lies behind.
        let mut row = |walk: &mut Walk, most| {
            let row = walk.row(&mut bytes, most)?;
            let next = row.bytes[row.from];
            Some((row.count(), next, row.first(), row.from()))
        };
        assert_eq!(row(&mut walk, 2), Some((2, 0, 0, 0)));
        walk.back(1);
        assert_eq!(row(&mut walk, 9), Some((2, 1, 0, CALL)));
        assert_eq!(row(&mut walk, 1), Some((1, 3, 3, 0)));
        assert_eq!(row(&mut walk, 9), Some((1, 4, 3, CALL)));
        assert_eq!(row(&mut walk, 9), None);
    }

    #[test]
    fn an_entry_becomes_the_record_of_its_call() {
        let mut bytes = message(CALL, &[2]);
        let at = walk(CALL).nth(&bytes, 1).unwrap();
        let mut entry = Entry::at(&mut bytes, at).unwrap();
        let ending = Ending {
            ret: -4,
            outcome: Outcome::Interrupted,
            restart: Restart::NoHand,
        };
        entry.record(ending);
        let result = entry.result();
        assert_eq!((result.user_data, result.ret), (1, -4));
        assert_eq!(result.outcome, Outcome::Interrupted as u16);
        assert_eq!(result.restart, Restart::NoHand as u16);
        assert_eq!(
            u32::from(result.outcome) | u32::from(result.restart) << 16,
            how(&ending)
        );
        assert_eq!(entry.args(), call(1).args, "a later call may need them");
        assert!(entry.is_due());
        entry.set_over();
        assert!(!entry.is_due());
        let at = walk(CALL).nth(&bytes, 0).unwrap();
        let first = Entry::at(&mut bytes, at).unwrap();
        assert_eq!(first.timeout_ns(), 7, "the neighbour is as it was");
    }

    #[test]
    fn a_call_that_was_asked_about_refers_to_no_other() {
        const KINDS: [ArgKind; 4] = [
            ArgKind::Result,
            ArgKind::OutPtr,
            ArgKind::Load,
            ArgKind::Value,
        ];
        let mut of_chain = call(1);
        for (arg, kind) in (0..).zip(KINDS) {
            of_chain.arg_kinds |= (kind as u32) << (arg * ARG_KIND_BITS);
        }
        let mut bytes = attr(submit::CALLS, of_chain.as_bytes());
        let at = walk(CALL).next(&bytes).unwrap();
        let made = Bare {
            nr: 7,
            args: [60, 61, 62, 63, 64, 65],
        };
        let mut entry = Entry::at(&mut bytes, at).unwrap();
        entry.set_call(&made);
        assert_eq!((entry.nr(), entry.args()), (made.nr, made.args));
        assert_eq!(references(entry.arg_kinds()), 0);
        assert_eq!((entry.user_data(), entry.timeout_ns()), (1, 7));
        assert_eq!(Earlier::at(&bytes, at).unwrap().output(), Some(61));
    }

    #[test]
    fn the_output_is_where_the_argument_says() {
        let mut with_output = call(1);
        with_output.arg_kinds = (ArgKind::OutPtr as u32) << (3 * ARG_KIND_BITS);
        let bytes = attr(submit::CALLS, with_output.as_bytes());
        let at = walk(CALL).next(&bytes).unwrap();
        assert_eq!(Earlier::at(&bytes, at).unwrap().output(), Some(13));
        let bytes = message(CALL, &[1]);
        let at = walk(CALL).next(&bytes).unwrap();
        assert_eq!(Earlier::at(&bytes, at).unwrap().output(), None);
    }

    #[test]
    fn links_decide_what_follows_a_failure() {
        const PLAIN: u32 = flag::INLINE;
        // Flags, whether the call succeeds, whether it is executed at all.
        let cases: &[&[(u32, bool, bool)]] = &[
            &[(flag::LINK, true, true), (PLAIN, true, true)],
            &[
                (flag::LINK, false, true),
                (flag::LINK, true, false),
                (PLAIN, true, false),
                (PLAIN, true, true),
            ],
            &[(flag::HARDLINK, false, true), (PLAIN, true, true)],
            &[
                (flag::LINK, false, true),
                (flag::HARDLINK, true, false),
                (PLAIN, true, false),
            ],
            &[
                (flag::HARDLINK, false, true),
                (flag::LINK, false, true),
                (PLAIN, true, false),
            ],
            &[
                (flag::LINK | flag::HARDLINK, false, true),
                (PLAIN, true, true),
            ],
            &[(PLAIN, false, true), (PLAIN, true, true)],
        ];
        for case in cases {
            let mut sequence = Sequence::default();
            for (flags, succeeds, executed) in *case {
                assert_eq!(sequence.goes_on(), *executed, "{case:?}");
                sequence.ended(*flags, *succeeds && *executed);
            }
        }
    }

    #[test]
    fn a_stopped_batch_says_why_of_every_further_call() {
        let mut sequence = Sequence::default();
        sequence.ended(flag::LINK, false);
        sequence.stop(Ending::not_started(4));
        sequence.stop(Ending::not_started(3));
        assert_eq!(
            (sequence.goes_on(), sequence.instead()),
            (false, Ending::not_started(4))
        );
        sequence.ended(0, false);
        assert_eq!(
            (sequence.goes_on(), sequence.instead()),
            (false, Ending::not_started(4))
        );
    }
}
