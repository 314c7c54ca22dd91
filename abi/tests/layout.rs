// SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause

//! Every sequence of bytes is a structure and back, at any alignment; every number that names an
//! enum's value is that value and back.

use std::{fmt::Debug, mem::size_of};

use nlcall_abi::{
    ArgKind, Call, CallResult, CallState, Command, FrontEnd, Latency, Outcome, Readi, Reloc,
    Restart, ResultsHeader, SessionState, Verdict,
};
use proptest::{array::uniform6, collection::vec, prelude::*};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Reads a `T` at `offset` of `bytes` and checks that it is made of exactly those bytes.
fn round_trip<T: FromBytes + IntoBytes + Immutable>(bytes: &[u8], offset: usize) {
    let place = &bytes[offset..][..size_of::<T>()];
    let value = T::read_from_bytes(place).expect("every pattern of that length is a value");
    assert_eq!(value.as_bytes(), place);
    let (value, rest) = T::read_from_prefix(&bytes[offset..]).expect("there is more than enough");
    assert_eq!(value.as_bytes(), place);
    assert_eq!(rest.len(), bytes.len() - offset - size_of::<T>());
    assert!(
        T::read_from_bytes(&place[1..]).is_err(),
        "a byte less is no value"
    );
}

proptest! {
    #[test]
    fn bytes_become_structures_and_back(bytes in vec(any::<u8>(), 144), offset in 0usize..16) {
        round_trip::<Call>(&bytes, offset);
        round_trip::<CallResult>(&bytes, offset);
        round_trip::<ResultsHeader>(&bytes, offset);
        round_trip::<Latency>(&bytes, offset);
        round_trip::<Reloc>(&bytes, offset);
        round_trip::<Readi>(&bytes, offset);
    }

    #[test]
    fn a_call_is_its_members_in_order(
        user_data: u64, nr: u32, flags: u32, args in uniform6(any::<u64>()), arg_kinds: u32,
        reserved: u32, timeout_ns: u64,
    ) {
        let call = Call { user_data, nr, flags, args, arg_kinds, reserved, timeout_ns };
        let mut bytes = Vec::new();
        bytes.extend(user_data.to_ne_bytes());
        bytes.extend(nr.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(args.iter().flat_map(|arg| arg.to_ne_bytes()));
        bytes.extend(arg_kinds.to_ne_bytes());
        bytes.extend(reserved.to_ne_bytes());
        bytes.extend(timeout_ns.to_ne_bytes());
        prop_assert_eq!(call.as_bytes(), &bytes[..]);
        prop_assert_eq!(Call::read_from_bytes(&bytes).ok(), Some(call));
    }

    #[test]
    fn a_result_is_its_members_in_order(
        user_data: u64, ret: i64, outcome: u16, restart: u16, data_off: u32, data_len: u32,
        reserved: u32,
    ) {
        let result = CallResult { user_data, ret, outcome, restart, data_off, data_len, reserved };
        let mut bytes = Vec::new();
        bytes.extend(user_data.to_ne_bytes());
        bytes.extend(ret.to_ne_bytes());
        bytes.extend(outcome.to_ne_bytes());
        bytes.extend(restart.to_ne_bytes());
        bytes.extend(data_off.to_ne_bytes());
        bytes.extend(data_len.to_ne_bytes());
        bytes.extend(reserved.to_ne_bytes());
        prop_assert_eq!(result.as_bytes(), &bytes[..]);
        prop_assert_eq!(CallResult::read_from_bytes(&bytes).ok(), Some(result));
    }

    #[test]
    fn an_array_is_its_entries_in_order(
        entries in vec((any::<u64>(), any::<u32>(), uniform6(any::<u64>())), 0..20),
        offset in 0usize..8,
    ) {
        let calls: Vec<_> = entries
            .into_iter()
            .map(|(user_data, nr, args)| Call { user_data, nr, args, ..Call::default() })
            .collect();
        let mut bytes = vec![0; offset];
        bytes.extend(calls.as_slice().as_bytes());
        let read: Result<Vec<_>, _> =
            bytes[offset..].chunks(size_of::<Call>()).map(Call::read_from_bytes).collect();
        prop_assert_eq!(read.ok(), Some(calls));
    }

    #[test]
    fn numbers_that_name_nothing_are_refused(number: u32) {
        fn check<T: Copy + Debug>(all: &[T], value: Option<T>, number: u32) {
            assert_eq!(value.is_some(), (number as usize) < all.len(), "{value:?}");
        }
        let low = number as u16;
        check(Outcome::ALL, Outcome::from_wire(low), low.into());
        check(Restart::ALL, Restart::from_wire(low), low.into());
        check(ArgKind::ALL, ArgKind::from_wire(low as u8), (low as u8).into());
        check(Verdict::ALL, Verdict::from_wire(number), number);
        check(CallState::ALL, CallState::from_wire(number), number);
        check(SessionState::ALL, SessionState::from_wire(number), number);
        check(FrontEnd::ALL, FrontEnd::from_wire(number), number);
        // Commands begin at one: zero is none in generic netlink.
        let command = (low as u8).checked_sub(1).map_or(u32::MAX, u32::from);
        check(Command::ALL, Command::from_wire(low as u8), command);
    }
}

#[test]
fn every_value_is_its_number() {
    macro_rules! check {
        ($($type:ident: $repr:ty),+ $(,)?) => {$(
            for &value in $type::ALL {
                assert_eq!($type::from_wire(value as $repr), Some(value));
            }
        )+};
    }
    check!(
        ArgKind: u8, CallState: u32, Command: u8, FrontEnd: u32, Outcome: u16, Restart: u16,
        SessionState: u32, Verdict: u32,
    );
}
