// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cancels and time limits.

use std::time::Duration;

use nlcall::{
    op::{self, Operation},
    Cancellation, Driver,
};
use pollster::block_on;

use super::{
    tests,
    tools::{client, client_of_depth, failure, wait_until, Pipe, Watched},
    Test,
};

pub const TESTS: &[Test] = tests![
    a_blocked_call_is_cancelled_where_the_driver_can,
    what_waits_for_room_is_cancelled,
    a_call_that_is_over_was_completed,
    an_output_that_was_taken_leaves_nothing_to_cancel,
    a_cancel_races_with_the_end_of_the_call,
    a_time_limit_ends_a_call_where_the_driver_can,
    a_call_that_ends_in_time_is_not_touched,
];

fn a_blocked_call_is_cancelled_where_the_driver_can(driver: Driver) {
    let client = client(driver);
    let pipe = Pipe::new();
    let (buf, watch) = Watched::new(1);
    let mut read = client.submit(pipe.read(buf));
    if driver == Driver::Threads {
        // One that has not begun could be cancelled.
        wait_until("the thread sleeps", || pipe.is_being_read());
    }
    match (driver, block_on(read.cancel()).expect("no error")) {
        (Driver::Netlink, Cancellation::Cancelled((count, _buf))) => {
            // The other one where no worker had come to it.
            assert!(["EINTR", "ECANCELED"].contains(&failure(count).as_str()));
            assert!(!watch.is_freed(), "it came back");
        }
        (Driver::Threads, Cancellation::NotFound) => {
            assert!(!watch.is_freed());
            pipe.put(b"x");
            let (count, _buf) = block_on(read).expect("accepted");
            assert_eq!(count, Ok(1));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(client.in_flight(), 0);
}

fn what_waits_for_room_is_cancelled(driver: Driver) {
    let client = client_of_depth(driver, 1);
    let pipe = Pipe::new();
    let first = client.submit(pipe.read(vec![0; 1]));
    let (buf, watch) = Watched::new(1);
    let mut second = client.submit(pipe.read(buf));
    match block_on(second.cancel()).expect("no error") {
        Cancellation::Cancelled((count, _buf)) => {
            assert_eq!(failure(count), "ECANCELED");
            assert!(!watch.is_freed(), "it came back");
        }
        other => panic!("{other:?}"),
    }
    pipe.put(b"x");
    assert_eq!(block_on(first).expect("accepted").1, b"x");
}

fn a_call_that_is_over_was_completed(driver: Driver) {
    let client = client(driver);
    let mut stat = client.submit(op::Stat::new("/"));
    wait_until("the call is over", || client.in_flight() == 0);
    match block_on(stat.cancel()).expect("no error") {
        Cancellation::Completed(stat) => assert!(stat.is_ok()),
        other => panic!("{other:?}"),
    }
}

fn an_output_that_was_taken_leaves_nothing_to_cancel(driver: Driver) {
    let client = client(driver);
    let mut stat = client.submit(op::Stat::new("/"));
    block_on(&mut stat).expect("accepted").expect("a folder");
    assert!(matches!(
        block_on(stat.cancel()),
        Ok(Cancellation::NotFound)
    ));
}

fn a_cancel_races_with_the_end_of_the_call(driver: Driver) {
    let client = client(driver);
    for round in 0..200u32 {
        let pipe = Pipe::new();
        let mut read = client.submit(pipe.read(vec![0; 1]));
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || {
                (0..round % 20).for_each(|_| std::thread::yield_now());
                pipe.put(b"x");
            }
        });
        let (was_read, output) = match block_on(read.cancel()).expect("no error") {
            Cancellation::Cancelled((count, _)) => (false, count),
            Cancellation::Completed((count, _)) => (true, count),
            Cancellation::NotFound => (true, block_on(&mut read).expect("accepted").0),
        };
        writer.join().expect("no panic");
        match was_read {
            true => assert_eq!(output, Ok(1)),
            false => {
                assert!(output.is_err());
                assert_eq!(pipe.get(1), b"x", "it is still there");
            }
        }
    }
    assert_eq!(client.in_flight(), 0);
}

fn a_time_limit_ends_a_call_where_the_driver_can(driver: Driver) {
    let client = client(driver);
    let pipe = Pipe::new();
    let limit = Duration::from_millis(5);
    let read = client.submit(pipe.read(vec![0; 1]).timeout(limit));
    if driver == Driver::Threads {
        pipe.put(b"x");
        assert_eq!(block_on(read).expect("accepted"), (Ok(1), b"x".to_vec()));
        return;
    }
    let (count, buf) = block_on(read).expect("accepted");
    assert_eq!(failure(count), "ETIME");
    assert_eq!(buf, [0]);
    pipe.put(b"x");
    assert_eq!(pipe.get(1), b"x", "it is still there");
}

fn a_call_that_ends_in_time_is_not_touched(driver: Driver) {
    let client = client(driver);
    let pipe = Pipe::new();
    pipe.put(b"x");
    let read = pipe.read(vec![0; 1]).timeout(Duration::from_secs(1 << 20));
    let (count, bytes) = block_on(client.submit(read)).expect("accepted");
    assert_eq!((count, bytes), (Ok(1), b"x".to_vec()));
}
