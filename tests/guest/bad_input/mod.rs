// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whatever is sent, the module rejects it clearly or serves it correctly, and goes on.

mod amounts;
mod entries;
mod framing;
mod fuzz;
mod headers;

use nlcall_abi::Call as WireCall;
use nlcall_tests::{
    calls,
    event::{Answer, Event},
    patience, session,
    socket::RawSocket,
};

use crate::harness::Test;

pub const TESTS: &[&[Test]] = &[
    amounts::TESTS,
    entries::TESTS,
    framing::TESTS,
    fuzz::TESTS,
    headers::TESTS,
];

/// Checks that the module answers, executes, and has nothing left of what was before.
fn assert_well(socket: &mut RawSocket) {
    socket.accept([calls::getpid().user_data(77)]);
    let completion = socket.completions(1)[0];
    assert_eq!(
        (completion.user_data, completion.ret),
        (77, i64::from(std::process::id()))
    );
    socket.assert_no_more_completions();
    patience::until("the kernel has delivered everything", || {
        let session = session::of_port(socket.port_id()).expect("the socket has a session");
        session.in_flight == 0 && session.accepted == session.delivered + session.skipped
    });
}

fn getpid() -> WireCall {
    calls::getpid().into()
}

fn assert_invalid(answer: &Answer) {
    assert_eq!(answer.errno, libc::EINVAL, "{answer:?}");
    assert!(!answer.text.is_empty(), "{answer:?}");
}

/// Sends bytes that may get an answer or none, and returns the error number of the answer.
fn provoke(socket: &mut RawSocket, bytes: &[u8]) -> Option<i32> {
    // Netlink itself may refuse the datagram.
    if socket.send(bytes).is_err() {
        return None;
    }
    let (events, _) = socket.drain();
    events.into_iter().find_map(|event| match event {
        Event::Answer(answer) => Some(answer.errno),
        _ => None,
    })
}
