// SPDX-License-Identifier: MIT OR Apache-2.0

//! What chains become on the wire.

use nlcall_abi::{self as abi, flag, ArgKind};
use proptest::prelude::*;

use super::kernel::{call, reject, take_all, Event, Kernel, Message, Socket};
use crate::raw::{connection::Connection, Arg, Batch, Call, CallFlags, Chain, Results, Step};

fn with_args(args: &[Arg]) -> Call {
    // SAFETY: the model executes nothing.
    unsafe { Call::with_args(7, args) }
}

/// `first`, and `calls - 1` that take its result and a field of its output.
fn chain(calls: usize) -> Chain {
    let mut chain = Chain::new();
    let first = chain.push(with_args(&[Arg::OutPtr(0x1000)]));
    for _ in 1..calls {
        chain.push(with_args(&[
            first.result(),
            5u64.into(),
            first.load::<u32>(48),
        ]));
    }
    chain
}

fn flags(calls: &[abi::Call]) -> Vec<u32> {
    calls.iter().map(|call| call.flags).collect()
}

#[test]
fn a_chain_is_linked_up_to_its_last_call() {
    let mut chain = Chain::new();
    chain.push(call(1, 1));
    chain.push(call(2, 2).flags(CallFlags::HARDLINK));
    chain.push(call(3, 3).flags(CallFlags::LINK | CallFlags::SKIP_SUCCESS));
    chain.push(call(4, 4).flags(CallFlags::HARDLINK));
    let mut batch = Batch::new();
    batch
        .push_chain(&chain)
        .push(call(5, 5))
        .push_chain(&Chain::new());
    assert_eq!((chain.len(), batch.len()), (4, 5));
    assert_eq!(
        flags(batch.as_abi()),
        [
            flag::LINK,
            flag::HARDLINK,
            flag::LINK | flag::SKIP_SUCCESS,
            0,
            0
        ]
    );
}

#[test]
fn arguments_from_other_calls_have_their_bits() {
    let mut batch = Batch::from(call(1, 1));
    batch.push_chain(&chain(2));
    let [_, first, second] = batch.as_abi() else {
        panic!("three calls")
    };
    assert_eq!(first.arg_kinds, ArgKind::OutPtr as u32);
    assert_eq!(first.args, [0x1000, 0, 0, 0, 0, 0]);
    assert_eq!(
        second.arg_kinds,
        ArgKind::Result as u32 | (ArgKind::Load as u32) << 8
    );
    assert_eq!(second.args, [1, 5, 1 | 4 << 24 | 48 << 32, 0, 0, 0]);
}

#[test]
fn a_field_has_the_width_of_its_type() {
    fn width<T>(step: Step) -> u8 {
        match step.load::<T>(0) {
            Arg::Load { width, .. } => width,
            other => panic!("{other:?}"),
        }
    }
    let step = Chain::new().push(call(0, 0));
    assert_eq!(
        (
            width::<i8>(step),
            width::<u16>(step),
            width::<i32>(step),
            width::<usize>(step)
        ),
        (1, 2, 4, 8)
    );
}

#[test]
fn numbers_are_arguments_as_c_passes_them() {
    assert_eq!(Arg::from(-100i32), Arg::Value(-100i64 as u64));
    assert_eq!(Arg::from(u32::MAX), Arg::Value(u32::MAX.into()));
    assert_eq!(Arg::from(7usize), Arg::from(7u64));
}

#[test]
#[should_panic(expected = "call 1 is not before call 1 of the chain")]
fn an_argument_cannot_come_from_the_call_itself() {
    let mut chain = chain(1);
    let second = chain.clone().push(call(0, 0));
    chain.push(with_args(&[second.result()]));
}

#[test]
#[should_panic(expected = "call 0 is more than 1024 calls before call 1025 of the chain")]
fn an_argument_comes_from_a_call_nearby() {
    let mut chain = chain(1025);
    assert_eq!(chain.len(), 1025, "1024 calls back is near enough");
    let first = Chain::new().push(call(0, 0));
    chain.push(with_args(&[first.result()]));
}

#[test]
#[should_panic(expected = "call 0 of the chain has no OutPtr")]
fn only_an_output_can_be_loaded_from() {
    let mut chain = Chain::new();
    let first = chain.push(with_args(&[0x1000u64.into()]));
    chain.push(with_args(&[first.load::<u64>(0)]));
}

#[test]
#[should_panic(expected = "an argument has 1, 2, 4 or 8 bytes, not 3")]
fn a_field_is_as_long_as_a_number() {
    let mut chain = Chain::new();
    let of = chain.push(with_args(&[Arg::OutPtr(0x1000)]));
    chain.push(with_args(&[Arg::Load {
        of,
        offset: 0,
        width: 3,
    }]));
}

#[test]
#[should_panic(expected = "wholly INLINE or not at all")]
fn a_chain_is_not_partly_inline() {
    let mut chain = Chain::new();
    chain.push(call(0, 0).flags(CallFlags::INLINE));
    chain.push(call(0, 0));
}

#[test]
#[should_panic(expected = "at most one argument that is an OutPtr")]
fn a_call_has_one_output() {
    with_args(&[Arg::OutPtr(8), Arg::OutPtr(16)]);
}

/// The calls of messages, with the indices that count from the beginning of the batch.
fn reassembled(log: &[Message]) -> Vec<abi::Call> {
    let mut all = Vec::new();
    for message in log {
        let before = all.len() as u64;
        all.extend(message.calls().into_iter().map(|mut call| {
            for arg in 0..6 {
                let kind = call.arg_kinds >> (4 * arg) & 0xf;
                if kind == ArgKind::Result as u32 || kind == ArgKind::Load as u32 {
                    let index = call.args[arg as usize] & 0xff_ffff;
                    assert!(index < 100_000, "an index within the message");
                    call.args[arg as usize] += before;
                }
            }
            call
        }));
    }
    all
}

proptest! {
    /// However a batch of chains is cut, each message's indices count from its own beginning.
    #[test]
    fn indices_count_from_the_beginning_of_the_message(
        lengths in proptest::collection::vec(1usize..5, 1..40),
        per_message in 4usize..30,
        limit in 4usize..200,
    ) {
        let kernel = Kernel::willing();
        let socket = Socket { message_max: 44 + per_message * 80, ..Socket::new(&kernel) };
        let session = Connection::new(socket, Some(limit)).expect("opened");
        let mut all = Batch::new();
        for &length in &lengths {
            all.push_chain(&chain(length));
        }
        let mut rest = all.clone();
        while let Err(error) = session.submit(rest) {
            prop_assert!(error.error.is_limit(), "{:?}", error);
            prop_assert!(!take_all(&session).is_empty());
            rest = error.rest;
        }
        take_all(&session);
        prop_assert_eq!(&reassembled(&kernel.log())[..], all.as_abi());
    }

    #[test]
    fn indices_count_from_the_beginning_of_an_inline_message(
        lengths in proptest::collection::vec(1usize..5, 1..40),
        per_message in 4usize..30,
    ) {
        let kernel = Kernel::new(|request| {
            request.write(&request.results());
            Vec::new()
        });
        let socket = Socket { message_max: 44 + per_message * 80, ..Socket::new(&kernel) };
        let session = Connection::new(socket, None).expect("opened");
        let mut all = Batch::new();
        for &length in &lengths {
            all.push_chain(&chain(length));
        }
        let mut results = Results::new();
        session.submit_into(&all, &mut results).expect("accepted");
        prop_assert_eq!(results.len(), all.len());
        prop_assert_eq!(&reassembled(&kernel.log())[..], all.as_abi());
    }
}

#[test]
fn what_a_rejected_chain_leaves_counts_from_its_own_beginning() {
    let mut messages = 0;
    let kernel = Kernel::new(move |request| {
        messages += 1;
        match messages {
            2 => vec![Event::Datagram(reject(request, 22, None, None, true))],
            _ => {
                request.write(&request.results());
                Vec::new()
            }
        }
    });
    let socket = Socket {
        message_max: 44 + 2 * 80,
        ..Socket::new(&kernel)
    };
    let session = Connection::new(socket, None).expect("opened");
    let mut batch = Batch::new();
    let mut last_two = Batch::new();
    batch.push_chain(&chain(2));
    for _ in 0..2 {
        batch.push_chain(&chain(2));
        last_two.push_chain(&chain(2));
    }
    let error = session
        .submit_into(&batch, &mut Results::new())
        .expect_err("the second message is rejected");
    assert_eq!(error.rest, last_two);
}
