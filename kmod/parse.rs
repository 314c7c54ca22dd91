// SPDX-License-Identifier: GPL-2.0-only

//! The attributes of a SUBMIT message.
//!
//! Works on the bytes of the message alone. The kernel's own attribute policy ran before and
//! bounds each attribute; this is where the calls inside them are checked, each one before any is
//! accepted.

use core::{
    mem::size_of,
    num::NonZeroUsize, //
};

use zerocopy::FromBytes;

use crate::{
    policy,
    reject::{
        reject,
        Rejection, //
    },
    wire::{
        flag,
        submit,
        Call,
        Verdict,
        ARG_KIND_BITS, //
    },
};

/// `NLA_HDRLEN` and `NLA_ALIGNTO` of `include/uapi/linux/netlink.h`.
const HEADER: usize = 4;
/// `NLA_TYPE_MASK`: the rest of `nla_type` are flags.
const TYPE_MASK: u16 = 0x3fff;

/// Largest accepted CALL_SIZE; a call of a later version is not larger than a page.
const MAX_CALL_SIZE: usize = 4096;

/// Call flags that this module carries out.
pub const CALL_FLAGS: u32 = 0;
/// Argument kinds that this module carries out: plain values.
pub const ARG_KINDS: u32 = 1;
/// SUBMIT attributes that this module carries out.
pub const SUBMIT_ATTRS: u64 = 1 << submit::CALL_SIZE | 1 << submit::CALLS | 1 << submit::PAD;

/// Size of a call as this module knows it.
const CALL: usize = size_of::<Call>();

/// One attribute: where it starts, its type without flags, its payload.
struct Attr<'a> {
    at: usize,
    kind: u16,
    payload: &'a [u8],
}

/// The attributes of a message, in order.
struct Attrs<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Attr<'a>;

    fn next(&mut self) -> Option<Attr<'a>> {
        let at = self.at;
        let rest = self.bytes.get(at..)?;
        let &[l0, l1, k0, k1, ..] = rest else {
            return None;
        };
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let payload = rest.get(HEADER..len)?;
        self.at = at + len.next_multiple_of(HEADER);
        Some(Attr {
            at,
            kind: u16::from_ne_bytes([k0, k1]) & TYPE_MASK,
            payload,
        })
    }
}

/// The first `N` bytes, or `None` where the slice is of another length.
fn exactly<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// A SUBMIT message whose every call may be accepted.
///
/// # Invariants
///
/// Each CALLS attribute holds a whole number of entries of `call_size` bytes, `call_size` is at
/// least the size of [`Call`], and `count` entries there are in all, at least one.
pub struct Submit<'a> {
    attrs: &'a [u8],
    call_size: NonZeroUsize,
    count: usize,
}

impl<'a> Submit<'a> {
    /// Checks the attributes of a message, given from the first attribute to the end.
    pub fn parse(attrs: &'a [u8]) -> Result<Self, Rejection> {
        let call_size = call_size(attrs)?;
        let mut count = 0;
        for attr in (Attrs {
            bytes: attrs,
            at: 0,
        }) {
            match attr.kind {
                submit::CALL_SIZE | submit::PAD => {}
                submit::CALLS => {
                    if attr.payload.is_empty() || attr.payload.len() % call_size != 0 {
                        return Err(reject!(
                            EINVAL,
                            at attr.at,
                            "CALLS: {} bytes are not a number of {call_size}-byte calls",
                            attr.payload.len()
                        ));
                    }
                    for entry in attr.payload.chunks_exact(call_size.get()) {
                        check(count, entry).map_err(|rejection| Rejection {
                            at: Some(attr.at),
                            ..rejection
                        })?;
                        count += 1;
                    }
                }
                kind => return Err(unsupported(attr.at, kind)),
            }
        }
        if count == 0 {
            return Err(reject!(EINVAL, "CALLS: the message holds no call"));
        }
        Ok(Self {
            attrs,
            call_size,
            count,
        })
    }

    /// How many calls the message holds; at least one.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The calls, in the order of the message.
    pub fn calls(&self) -> impl Iterator<Item = Call> + 'a {
        let call_size = self.call_size;
        Attrs {
            bytes: self.attrs,
            at: 0,
        }
        .filter(|attr| attr.kind == submit::CALLS)
        .flat_map(move |attr| attr.payload.chunks_exact(call_size.get()))
        .filter_map(|entry| Some(Call::read_from_prefix(entry).ok()?.0))
    }
}

/// How many calls a message names, whether or not they may be accepted; for counting what was
/// rejected.
pub fn count_named(attrs: &[u8]) -> usize {
    let Ok(call_size) = call_size(attrs) else {
        return 0;
    };
    Attrs {
        bytes: attrs,
        at: 0,
    }
    .filter(|attr| attr.kind == submit::CALLS)
    .map(|attr| attr.payload.len() / call_size)
    .sum()
}

/// The CALL_SIZE of a message.
fn call_size(attrs: &[u8]) -> Result<NonZeroUsize, Rejection> {
    let mut found = None;
    for attr in (Attrs {
        bytes: attrs,
        at: 0,
    })
    .filter(|attr| attr.kind == submit::CALL_SIZE)
    {
        if found.is_some() {
            return Err(reject!(EINVAL, at attr.at, "CALL_SIZE: given twice"));
        }
        let Some(bytes) = exactly(attr.payload) else {
            return Err(reject!(EINVAL, at attr.at, "CALL_SIZE: not a u32"));
        };
        let size = u32::from_ne_bytes(bytes) as usize;
        if !(CALL..=MAX_CALL_SIZE).contains(&size) || size % 8 != 0 {
            return Err(reject!(
                EINVAL,
                at attr.at,
                "CALL_SIZE: {size} is not a multiple of 8 from {CALL} to {MAX_CALL_SIZE}"
            ));
        }
        found = NonZeroUsize::new(size);
    }
    found.ok_or_else(|| reject!(EINVAL, "CALL_SIZE: missing"))
}

/// An attribute that this module does not carry out.
fn unsupported(at: usize, kind: u16) -> Rejection {
    let name = match kind {
        submit::DATA => "DATA",
        submit::RELOC => "RELOC",
        submit::TARGET_PIDFD => "TARGET_PIDFD",
        submit::RESULTS_PTR => "RESULTS_PTR",
        submit::DATA_PTR => "DATA_PTR",
        submit::DATA_LEN => "DATA_LEN",
        kind => return reject!(EINVAL, at at, "attribute {kind}: unknown in SUBMIT"),
    };
    reject!(EOPNOTSUPP, at at, "{name}: not supported by this version (FEATURES_GET)")
}

/// Checks one entry: its layout, its flags, the verdict on it.
fn check(index: usize, entry: &[u8]) -> Result<(), Rejection> {
    let Ok((call, beyond)) = Call::read_from_prefix(entry) else {
        return Err(reject!(EINVAL, "call {index}: shorter than {CALL} bytes"));
    };
    if beyond.iter().any(|byte| *byte != 0) {
        return Err(reject!(
            E2BIG,
            "call {index}: non-zero bytes beyond byte {CALL}"
        ));
    }
    if call.flags & !flag::KNOWN != 0 {
        let unknown = call.flags & !flag::KNOWN;
        return Err(reject!(EINVAL, "call {index}: unknown flags {unknown:#x}"));
    }
    if call.flags & !CALL_FLAGS != 0 {
        let flags = call.flags & !CALL_FLAGS;
        return Err(reject!(
            EOPNOTSUPP,
            "call {index}: flags {flags:#x} not supported by this version (FEATURES_GET)"
        ));
    }
    if call.reserved != 0 {
        return Err(reject!(EINVAL, "call {index}: reserved field is not zero"));
    }
    if call.arg_kinds >> (6 * ARG_KIND_BITS) != 0 {
        return Err(reject!(
            EINVAL,
            "call {index}: upper bits of arg_kinds are not zero"
        ));
    }
    if call.arg_kinds != 0 {
        return Err(reject!(
            EOPNOTSUPP,
            "call {index}: arg_kinds {:#x} not supported by this version (FEATURES_GET)",
            call.arg_kinds
        ));
    }
    if call.timeout_ns != 0 {
        return Err(reject!(
            EOPNOTSUPP,
            "call {index}: timeout_ns not supported by this version (FEATURES_GET)"
        ));
    }
    judge(index, call.nr, &call.args)
}

/// Rejects a call that may not execute on a worker.
pub fn judge(index: usize, nr: u32, args: &[u64; 6]) -> Result<(), Rejection> {
    let Some(judgement) = policy::judge(nr, args) else {
        return Err(reject!(
            ENOSYS,
            "call {index}: no system call has the number {nr}"
        ));
    };
    match judgement.verdict {
        Verdict::Both | Verdict::Differs => Ok(()),
        Verdict::InlineOnly | Verdict::Refused => Err(reject!(
            EOPNOTSUPP,
            "call {index}: {}: {}",
            policy::name(nr),
            judgement.reason.unwrap_or("")
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    use super::*;
    use crate::reject::errno;

    fn attr(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&((HEADER + payload.len()) as u16).to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(HEADER), 0);
        bytes
    }

    fn message(size: usize, calls: &[Call]) -> Vec<u8> {
        let mut bytes = attr(submit::CALL_SIZE, &(size as u32).to_ne_bytes());
        let mut payload = Vec::new();
        for call in calls {
            payload.extend_from_slice(call.as_bytes());
            payload.resize(payload.len() + size - CALL, 0);
        }
        bytes.extend(attr(submit::CALLS, &payload));
        bytes
    }

    fn getpid(user_data: u64) -> Call {
        Call {
            user_data,
            nr: 39,
            ..Call::default()
        }
    }

    fn rejected(bytes: &[u8]) -> Rejection {
        Submit::parse(bytes).err().expect("the message is rejected")
    }

    #[test]
    fn calls_of_several_attributes_come_in_order() {
        let mut bytes = message(CALL, &[getpid(1), getpid(2)]);
        bytes.extend(attr(submit::CALLS, getpid(3).as_bytes()));
        let submit = Submit::parse(&bytes).unwrap();
        assert_eq!(submit.count(), 3);
        let order: Vec<u64> = submit.calls().map(|call| call.user_data).collect();
        assert_eq!(order, [1, 2, 3]);
    }

    #[test]
    fn larger_entries_are_taken_when_their_end_is_zero() {
        let mut bytes = message(CALL + 8, &[getpid(1), getpid(2)]);
        assert_eq!(Submit::parse(&bytes).unwrap().count(), 2);
        let last = bytes.len() - 1;
        bytes[last] = 1;
        let rejection = rejected(&bytes);
        assert_eq!(rejection.errno, errno::E2BIG);
        assert!(rejection.text.as_str().starts_with("call 1:"));
        assert_eq!(rejection.at, Some(8));
    }

    #[test]
    fn what_is_not_a_batch_is_rejected() {
        assert_eq!(rejected(&[]).errno, errno::EINVAL);
        assert_eq!(rejected(&message(CALL, &[])).errno, errno::EINVAL);
        for size in [0, 8, CALL - 8, CALL + 4, MAX_CALL_SIZE + 8] {
            let bytes = attr(submit::CALL_SIZE, &(size as u32).to_ne_bytes());
            assert_eq!(rejected(&bytes).errno, errno::EINVAL, "{size}");
        }
        let mut bytes = message(CALL, &[getpid(1)]);
        bytes.extend(attr(submit::CALLS, &[0; 79]));
        assert_eq!(rejected(&bytes).errno, errno::EINVAL);
        let mut bytes = message(CALL, &[getpid(1)]);
        bytes.extend(attr(submit::CALL_SIZE, &(CALL as u32).to_ne_bytes()));
        assert_eq!(rejected(&bytes).errno, errno::EINVAL);
        let mut bytes = message(CALL, &[getpid(1)]);
        bytes.extend(attr(submit::TARGET_PIDFD, &[0; 4]));
        assert_eq!(rejected(&bytes).errno, errno::EOPNOTSUPP);
        let mut bytes = message(CALL, &[getpid(1)]);
        bytes.extend(attr(77, &[]));
        assert_eq!(rejected(&bytes).errno, errno::EINVAL);
    }

    #[test]
    fn each_bad_field_is_named_with_its_call() {
        let cases = [
            (
                Call {
                    flags: 1 << 31,
                    ..getpid(2)
                },
                errno::EINVAL,
                "flags",
            ),
            (
                Call {
                    flags: flag::INLINE,
                    ..getpid(2)
                },
                errno::EOPNOTSUPP,
                "flags",
            ),
            (
                Call {
                    reserved: 1,
                    ..getpid(2)
                },
                errno::EINVAL,
                "reserved",
            ),
            (
                Call {
                    arg_kinds: 1 << 24,
                    ..getpid(2)
                },
                errno::EINVAL,
                "arg_kinds",
            ),
            (
                Call {
                    arg_kinds: 1,
                    ..getpid(2)
                },
                errno::EOPNOTSUPP,
                "arg_kinds",
            ),
            (
                Call {
                    timeout_ns: 1,
                    ..getpid(2)
                },
                errno::EOPNOTSUPP,
                "timeout_ns",
            ),
            (
                Call {
                    nr: 15,
                    ..getpid(2)
                },
                errno::EOPNOTSUPP,
                "rt_sigreturn",
            ),
            (
                Call {
                    nr: 400,
                    ..getpid(2)
                },
                errno::ENOSYS,
                "400",
            ),
            (
                Call {
                    nr: 0x4000_0000,
                    ..getpid(2)
                },
                errno::ENOSYS,
                "1073741824",
            ),
        ];
        for (call, errno, word) in cases {
            let rejection = rejected(&message(CALL, &[getpid(1), call]));
            assert_eq!(rejection.errno, errno, "{word}");
            let text = rejection.text.as_str();
            assert!(
                text.starts_with("call 1: ") && text.contains(word),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_rejected(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            if let Ok(submit) = Submit::parse(&bytes) {
                prop_assert_eq!(submit.count(), submit.calls().count());
            }
            count_named(&bytes);
        }

        #[test]
        fn damaged_messages_are_parsed_or_rejected(
            count in 1_usize..8,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let calls: Vec<Call> = (0..count as u64).map(getpid).collect();
            let mut bytes = message(CALL, &calls);
            prop_assert_eq!(Submit::parse(&bytes).unwrap().count(), count);
            for (at, value) in damage {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            if let Ok(submit) = Submit::parse(&bytes) {
                prop_assert_eq!(submit.count(), submit.calls().count());
                prop_assert!(submit.count() <= count);
            }
        }
    }
}
