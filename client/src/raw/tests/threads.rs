// SPDX-License-Identifier: MIT OR Apache-2.0

//! Threads that share a session.

use std::{
    collections::BTreeSet,
    sync::{mpsc, Arc},
    thread,
    time::{Duration, Instant},
};

use nlcall_abi::Command;

use super::kernel::{ack, batch, call, complete, open, own_session, reject, result, Event, Kernel};
use crate::{
    raw::{exchange::Patience, Session},
    Error,
};

/// A time that no test gets to.
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_session_may_be_shared_and_sent() {
    fn check<T: Send + Sync>() {}
    check::<Session>();
}

#[test]
fn waiting_for_nothing_is_an_error() {
    let session = open(&Kernel::willing());
    let error = session
        .exchange
        .completion(Patience::Forever)
        .expect_err("nothing");
    assert!(matches!(error, Error::NothingInFlight));
}

#[test]
fn waiting_ends_with_the_time() {
    let kernel = Kernel::new(|request| vec![Event::Datagram(ack(request))]);
    let session = open(&kernel);
    session.submit(batch(1)).expect("accepted");
    let soon = Instant::now() + Duration::from_millis(1);
    assert_eq!(
        session
            .exchange
            .completion(Patience::Until(soon))
            .expect("no error"),
        None
    );
    assert!(Instant::now() >= soon);
    kernel.deliver(Event::Datagram(complete(&[result(0, 0)])));
    let later = Patience::Until(Instant::now() + LONG);
    assert!(session
        .exchange
        .completion(later)
        .expect("no error")
        .is_some());
}

#[test]
fn a_completion_wakes_a_waiter() {
    let kernel = Kernel::new(|request| vec![Event::Datagram(ack(request))]);
    let session = open(&kernel);
    session.submit(batch(1)).expect("accepted");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| session.exchange.completion(Patience::Forever));
        kernel.wait_for_sleepers(1);
        kernel.deliver(Event::Datagram(complete(&[result(0, 5)])));
        let completion = waiter
            .join()
            .expect("no panic")
            .expect("no error")
            .expect("one");
        assert_eq!(completion.result(), Ok(5));
    });
}

#[test]
fn a_datagram_that_one_waiter_takes_wakes_the_others() {
    let kernel = Kernel::new(|request| vec![Event::Datagram(ack(request))]);
    let session = open(&kernel);
    session.submit(batch(8)).expect("accepted");
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| session.exchange.completion(Patience::Forever)))
            .collect();
        kernel.wait_for_sleepers(8);
        let results: Vec<_> = (0..8).map(|data| result(data, 0)).collect();
        kernel.deliver(Event::Datagram(complete(&results)));
        let names: BTreeSet<_> = waiters
            .into_iter()
            .map(|it| {
                it.join()
                    .expect("no panic")
                    .expect("no error")
                    .expect("one")
                    .user_data
            })
            .collect();
        assert_eq!(names, (0..8).collect());
    });
    assert!(!kernel.is_signaled());
}

#[test]
fn completions_that_a_submitter_receives_wake_a_waiter() {
    let mut messages = 0;
    let kernel = Kernel::new(move |request| {
        messages += 1;
        match messages {
            // The completion of the first call comes just before the second acknowledgement, to
            // whoever is quicker.
            2 => vec![
                Event::Datagram(complete(&[result(0, 0)])),
                Event::Datagram(ack(request)),
            ],
            _ => vec![Event::Datagram(ack(request))],
        }
    });
    let session = open(&kernel);
    session.submit(batch(1)).expect("accepted");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| session.exchange.completion(Patience::Forever));
        kernel.wait_for_sleepers(1);
        session
            .submit([call(1, 1)].into_iter().collect())
            .expect("accepted");
        assert!(waiter
            .join()
            .expect("no panic")
            .expect("no error")
            .is_some());
    });
    kernel.deliver(Event::Datagram(complete(&[result(1, 0)])));
    assert!(session
        .exchange
        .completion(Patience::None)
        .expect("no error")
        .is_some());
}

#[test]
fn a_waiter_learns_that_nothing_is_left() {
    let kernel = Kernel::new(|request| vec![Event::Datagram(ack(request))]);
    let session = open(&kernel);
    session.submit(batch(1)).expect("accepted");
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| session.exchange.completion(Patience::Forever)))
            .collect();
        kernel.wait_for_sleepers(2);
        kernel.deliver(Event::Datagram(complete(&[result(0, 0)])));
        let mut results: Vec<_> = waiters
            .into_iter()
            .map(|it| it.join().expect("no panic").is_ok())
            .collect();
        results.sort_unstable();
        assert_eq!(
            results,
            [false, true],
            "one completion, one NothingInFlight"
        );
    });
}

#[test]
fn a_waiter_learns_that_a_batch_was_rejected() {
    let (go, wait) = mpsc::channel::<()>();
    let kernel = Kernel::new(move |request| {
        wait.recv().expect("the test lives");
        vec![Event::Datagram(reject(request, 22, None, None, true))]
    });
    let session = open(&kernel);
    thread::scope(|scope| {
        let submitter = scope.spawn(|| session.submit(batch(1)));
        // The call counts as in flight as soon as it is about to be sent.
        while session.exchange.in_flight() == 0 {
            thread::yield_now();
        }
        let waiter = scope.spawn(|| session.exchange.completion(Patience::Forever));
        go.send(()).expect("the kernel listens");
        submitter.join().expect("no panic").expect_err("rejected");
        let error = waiter
            .join()
            .expect("no panic")
            .expect_err("nothing to wait for");
        assert!(matches!(error, Error::NothingInFlight));
    });
}

#[test]
fn a_descriptor_that_others_poll_shows_what_the_socket_no_longer_does() {
    let kernel = Kernel::new(|request| {
        vec![
            Event::Datagram(complete(&request.results())),
            Event::Datagram(ack(request)),
        ]
    });
    let session = open(&kernel);
    session.submit(batch(2)).expect("accepted");
    assert!(!kernel.is_signaled(), "nobody polls");
    session.exchange.expose();
    assert!(
        kernel.is_signaled(),
        "two completions were received and not taken"
    );
    assert!(session
        .exchange
        .completion(Patience::None)
        .expect("no error")
        .is_some());
    assert!(kernel.is_signaled(), "one is left");
    assert!(session
        .exchange
        .completion(Patience::None)
        .expect("no error")
        .is_some());
    assert!(!kernel.is_signaled());
    session.submit(batch(1)).expect("accepted");
    assert!(kernel.is_signaled());
    assert!(session
        .exchange
        .completion(Patience::None)
        .expect("no error")
        .is_some());
    assert!(!kernel.is_signaled());
}

#[test]
fn threads_get_their_own_answers_and_every_completion_once() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 200;
    let mut submits = 0u32;
    let kernel = Kernel::new(move |request| {
        if request.is(Command::SessionGet) {
            return own_session(request, request.sequence, 0);
        }
        submits += 1;
        // Every tenth message is rejected, with a text that names its first call.
        if submits % 10 == 0 {
            let text = format!("{}", request.calls()[0].user_data);
            return vec![Event::Datagram(reject(
                request,
                22,
                Some(&text),
                None,
                true,
            ))];
        }
        vec![
            Event::Datagram(complete(&request.results()[..1])),
            Event::Datagram(ack(request)),
            Event::Datagram(complete(&request.results()[1..])),
        ]
    });
    let session = Arc::new(open(&kernel));
    let (taken, completions) = mpsc::channel();
    let mut accepted = BTreeSet::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (session, taken) = (Arc::clone(&session), taken.clone());
                scope.spawn(move || {
                    let mut accepted = Vec::new();
                    for round in 0..ROUNDS {
                        let first = (thread * ROUNDS + round) * 2;
                        let calls = [call(0, first), call(0, first + 1)];
                        match session.submit(calls.into_iter().collect()) {
                            Ok(_) => accepted.extend([first, first + 1]),
                            Err(error) => {
                                let Error::Rejected { message, .. } = error.error else {
                                    panic!("{error:?}");
                                };
                                assert_eq!(message, Some(first.to_string()), "another's answer");
                            }
                        }
                        let own = session.own_info().expect("an answer").expect("a session");
                        assert_ne!(own.last_seq, 0);
                        let patience = if round % 2 == 0 {
                            Patience::Forever
                        } else {
                            Patience::None
                        };
                        match session.exchange.completion(patience) {
                            Ok(Some(it)) => taken.send(it.user_data).expect("the test lives"),
                            Ok(None) | Err(Error::NothingInFlight) => {}
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                    accepted
                })
            })
            .collect();
        for thread in threads {
            accepted.extend(thread.join().expect("no panic"));
        }
    });
    drop(taken);
    let mut names: Vec<_> = completions.iter().collect();
    while let Some(it) = session
        .exchange
        .completion(Patience::None)
        .expect("no error")
    {
        names.push(it.user_data);
    }
    assert_eq!(
        names.len(),
        accepted.len(),
        "a completion came twice or not at all"
    );
    assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), accepted);
    assert_eq!(session.exchange.in_flight(), 0);
}
