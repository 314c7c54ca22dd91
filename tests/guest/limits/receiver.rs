// SPDX-License-Identifier: MIT OR Apache-2.0

//! A receiver that sleeps: what waits for it is bounded, and none of it is lost.

use std::collections::BTreeSet;

use nlcall_abi::config as attr;
use nlcall_tests::{
    calls, config,
    group::{self, Group},
    patience,
    process::Child,
    session,
    socket::RawSocket,
};
use rustix::net::sockopt;

use crate::harness::{skip, tests, Test};

pub const TESTS: &[Test] = tests![a_receiver_that_sleeps_costs_bounded_memory_and_loses_nothing];

/// Calls of one message.
const BATCH: u64 = 1000;

/// Submits messages and reads nothing, neither answers nor completions, until no more is accepted.
fn submit_until_full(socket: &mut RawSocket, next: &mut u64) -> u64 {
    let before = || session::of_port(socket.port_id()).map_or(0, |it| it.accepted);
    let mut accepted = before();
    let mut in_vain = 0;
    // Whatever fits into the receive buffer makes room once more.
    while in_vain < 20 {
        let names = *next..*next + BATCH;
        *next += BATCH;
        socket
            .submit_unanswered(names.map(|name| calls::getpid().user_data(name)))
            .expect("it is sent");
        patience::until("the calls are over", || {
            session::of_port(socket.port_id()).is_some_and(|it| it.undelivered == it.in_flight)
        });
        let now = session::of_port(socket.port_id()).expect("the session is there");
        in_vain = if now.accepted > accepted {
            0
        } else {
            in_vain + 1
        };
        accepted = now.accepted;
    }
    accepted
}

fn a_receiver_that_sleeps_costs_bounded_memory_and_loses_nothing() {
    let group = Group::new()
        .unwrap_or_else(|error| skip(&format!("this guest has no memory control groups: {error}")));
    Child::fork(|_| {
        group.enter();
        let before = group.kernel_memory();
        let mut socket = RawSocket::with_large_send_buffer();
        let mut next = 0;
        let accepted = submit_until_full(&mut socket, &mut next);
        let limit = u64::from(config::number(attr::MAX_IN_FLIGHT));
        assert!(accepted > limit - BATCH, "{accepted} of {limit} calls");

        // A slot for each call, the receive buffer, and what a process and a session have anyway.
        let buffer = sockopt::socket_recv_buffer_size(&socket).expect("SO_RCVBUF");
        let bound = limit as usize * 160 + 2 * buffer + (1 << 20);
        let during = group.kernel_memory().saturating_sub(before);
        group::assert_at_most(during, bound, "what waits for the receiver");

        // More is turned away, and costs nothing.
        assert_eq!(submit_until_full(&mut socket, &mut next), accepted);
        let still = group.kernel_memory().saturating_sub(before);
        group::assert_at_most(still, bound, "what still waits for the receiver");

        // It wakes up.
        let names: BTreeSet<u64> = socket
            .completions(accepted as usize)
            .iter()
            .map(|completion| completion.user_data)
            .collect();
        assert_eq!(
            names.len() as u64,
            accepted,
            "exactly one completion per call"
        );
        socket.assert_no_more_completions();
        assert!(names.iter().all(|name| *name < next));
    })
    .succeed();
}
