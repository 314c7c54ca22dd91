// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages that say anything, from many processes at once, which die at any moment.

mod grammar;
mod mutation;
mod ring;
mod sender;

use std::time::Duration;

use nlcall_tests::{module, patience, process::Child, session, socket::RawSocket};

use crate::{
    harness::{note, progress, scaled, seed, Test},
    reloaded::Reloaded,
};
use grammar::Grammar;
use ring::Counts;

pub const TESTS: &[Test] = &[Test::new("messages_of_any_kind_do_no_harm", fuzz).patience(HOUR)];

/// When the whole test hangs; the long one takes minutes in a stock kernel.
const HOUR: Duration = Duration::from_secs(3600);

/// What each process sends follows from this and its number.
const SEED: u64 = 28;

/// Messages between two looks at the whole module.
const ROUND: u64 = 20_000;

fn fuzz() {
    let messages = scaled(3000, 1_000_000);
    let _classic = Reloaded::with_classic();
    let grammar = Grammar::of_the_specification();
    let references = module::references();
    let mut socket = RawSocket::open();
    let mut total = Counts::default();
    let mut senders = 0;
    while total.sent < messages {
        let quota = ROUND.min(messages - total.sent);
        // Its end is that of all that is in its namespace.
        let mut child = Child::fork(|channel| {
            let (counts, next) = ring::in_namespaces_of_its_own(&grammar, senders, quota);
            for number in [counts.sent, counts.accepted, counts.rejected, next] {
                channel.put(number);
            }
        });
        let [sent, accepted, rejected, next] = [(); 4].map(|()| child.channel().get());
        total = total.and(Counts {
            sent,
            accepted,
            rejected,
        });
        senders = next;
        child.succeed();
        patience::until("their sessions are gone", || {
            session::all()
                .iter()
                .all(|session| session.port_id == socket.port_id())
        });
        super::assert_well(&mut socket);
        progress(format_args!("{} of {messages} messages", total.sent));
    }
    drop(socket);
    patience::until("the module is free", || module::references() == references);
    let Counts {
        sent,
        accepted,
        rejected,
    } = total;
    assert!(accepted > sent / 20, "{accepted} of {sent} accepted");
    assert!(rejected > sent / 20, "{rejected} of {sent} rejected");
    note(format_args!(
        "{sent} messages of {senders} processes, at least {accepted} accepted and {rejected} \
         rejected, seed {}",
        seed(SEED)
    ));
}
