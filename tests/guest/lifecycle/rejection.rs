// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages that are rejected whole.

use crate::harness::{tests, Test};
use nlcall::raw::{ArgKind, Call, Session};
use nlcall_abi::{submit, Call as WireCall};
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
    message::Message,
    pipe::Pipe,
    session,
    socket::RawSocket,
};

pub const TESTS: &[Test] = tests![
    unsupported_fields_are_rejected,
    a_rejected_message_leaves_nothing
];

/// A call with an argument that lies in memory which its message does not bring.
fn with_data() -> Call {
    let mut call = WireCall::from(calls::getpid());
    call.arg_kinds = ArgKind::Data as u32;
    call.args[0] = 5;
    // SAFETY: getpid takes no arguments.
    unsafe { Call::from_abi(call) }
}

fn unsupported_fields_are_rejected() {
    let mut socket = RawSocket::open();
    let answer = socket.submit([calls::getpid(), with_data()]);
    assert!(
        answer.is_rejection(libc::EINVAL, "lies beyond"),
        "{answer:?}"
    );
    assert!(answer.text.starts_with("call 1:"), "{answer:?}");
    assert!(answer.offset.is_some(), "{answer:?}");

    let address = Memory::zeroed(64).address().to_ne_bytes();
    let attributes: [(u16, &[u8], &str); 2] = [
        (submit::DATA_PTR, &address, "DATA_PTR"),
        (submit::DATA_LEN, &64_u64.to_ne_bytes(), "DATA_LEN"),
    ];
    for (kind, payload, name) in attributes {
        let mut message = Message::submit(socket.family(), &[WireCall::from(calls::getpid())]);
        let at = 20 + message.body.len() as u32;
        message.attribute(kind, payload);
        let answer = socket.request(message);
        assert!(answer.is_rejection(libc::EOPNOTSUPP, name), "{answer:?}");
        assert_eq!(answer.offset, Some(at), "{answer:?}");
    }
    socket.assert_no_more_completions();
    assert_eq!(
        session::of_port(socket.port_id())
            .map(|it| it.accepted)
            .unwrap_or(0),
        0
    );
}

fn a_rejected_message_leaves_nothing() {
    let session = Session::open().expect("a session");
    session::value(&session, calls::getpid());
    let before = session::info(&session);
    let pipe = Pipe::new();
    let bad = [
        call(libc::SYS_rt_sigreturn, &[]),
        call(libc::SYS_exit_group, &[]),
        call(100_000, &[]),
        with_data(),
    ];
    let mut named = 0;
    for (round, bad) in bad.into_iter().enumerate() {
        // Only the last call of the batch is wrong.
        let mut batch: Vec<Call> = (0..50)
            .map(|_| calls::write(&pipe.writer, Memory::holding(b"x")))
            .collect();
        batch.push(bad);
        named += batch.len() as u64;
        let refused = session
            .submit(batch.into_iter().collect())
            .expect_err("it is rejected");
        assert_eq!((refused.accepted, refused.rest.len()), (0, 51));
        assert!(
            refused.error.to_string().contains("call 50"),
            "{round}: {}",
            refused.error
        );
    }
    // What comes later finds that none of them ran.
    session::value(&session, calls::getpid());
    assert_eq!(pipe.take(), b"");
    let after = session::info(&session);
    assert_eq!(after.accepted, before.accepted + 1, "{after:?}");
    assert_eq!(after.rejected, before.rejected + named, "{after:?}");
    session::close(session);
}
