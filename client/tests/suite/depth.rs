// SPDX-License-Identifier: MIT OR Apache-2.0

//! A bounded number of calls in flight.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use nlcall::{op, Client, Driver};
use pollster::block_on;

use super::{
    tests,
    tools::{client_of_depth, wait_until, Pipe},
    Test,
};

pub const TESTS: &[Test] = tests![
    try_submit_hands_the_operation_back,
    submit_waits_for_room,
    who_waits_for_room_and_is_dropped_leaves_no_hole,
    far_more_than_the_depth_comes_to_its_end,
    threads_share_a_client,
];

/// A client, and reads that take all of its depth.
fn full(driver: Driver, depth: usize) -> (Client, Pipe, Vec<impl Future<Output = usize>>) {
    let client = client_of_depth(driver, depth);
    let pipe = Pipe::new();
    let reads = (0..depth).map(|_| {
        let read = client.try_submit(pipe.read(Vec::with_capacity(1)));
        let read = read.expect("there is room");
        async { read.await.expect("accepted").0.expect("a byte") }
    });
    let reads = reads.collect();
    assert_eq!(client.in_flight(), depth);
    (client, pipe, reads)
}

fn try_submit_hands_the_operation_back(driver: Driver) {
    let (client, pipe, reads) = full(driver, 3);
    let refused = client.try_submit(op::Write::new(pipe.writer.clone(), "back"));
    let refused = refused.expect_err("there is no room");
    assert!(refused.why.is_none(), "{refused:?}");
    assert!(refused.to_string().starts_with("no room"));
    pipe.put(b"123");
    reads
        .into_iter()
        .for_each(|read| assert_eq!(block_on(read), 1));
    let write = client.try_submit(refused.work).expect("there is room");
    assert_eq!(block_on(write).expect("accepted"), (Ok(4), "back"));
}

fn submit_waits_for_room(driver: Driver) {
    let (client, pipe, reads) = full(driver, 2);
    let other = Pipe::new();
    let mut write = pin!(client.submit(op::Write::new(other.writer.clone(), "later")));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(write.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(client.in_flight(), 2, "it has not begun");
    pipe.put(b"12");
    assert_eq!(block_on(write).expect("accepted").0, Ok(5));
    assert_eq!(other.get(5), b"later");
    reads
        .into_iter()
        .for_each(|read| assert_eq!(block_on(read), 1));
}

fn who_waits_for_room_and_is_dropped_leaves_no_hole(driver: Driver) {
    let (client, pipe, reads) = full(driver, 1);
    let other = Pipe::new();
    let write = |text| client.submit(op::Write::new(other.writer.clone(), text));
    let mut context = Context::from_waker(Waker::noop());
    let mut first = Box::pin(write("first"));
    let mut second = Box::pin(write("second"));
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_pending());
    drop(first);
    pipe.put(b"1");
    assert_eq!(block_on(second).expect("accepted").0, Ok(6));
    assert_eq!(other.get(6), b"second");
    reads
        .into_iter()
        .for_each(|read| assert_eq!(block_on(read), 1));
    wait_until("nothing is in flight", || client.in_flight() == 0);
}

fn far_more_than_the_depth_comes_to_its_end(driver: Driver) {
    const CALLS: usize = 500;
    let client = client_of_depth(driver, 7);
    let mut stats: Vec<_> = (0..CALLS)
        .map(|_| Box::pin(client.submit(op::Stat::new("/"))))
        .collect();
    let mut most = 0;
    block_on(std::future::poll_fn(|context| {
        stats.retain_mut(|stat| match stat.as_mut().poll(context) {
            Poll::Ready(output) => {
                output.expect("accepted").expect("a folder");
                false
            }
            Poll::Pending => true,
        });
        most = most.max(client.in_flight());
        match stats.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }));
    assert!(most <= 7, "{most} calls were in flight");
    assert_eq!(client.in_flight(), 0);
}

fn threads_share_a_client(driver: Driver) {
    let client = client_of_depth(driver, 5);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let client = client.clone();
            scope.spawn(move || {
                for round in 0..100usize {
                    let pipe = Pipe::new();
                    pipe.put(&vec![number; 1 + round]);
                    let read = client.submit(pipe.read(Vec::with_capacity(128)));
                    let (count, bytes) = block_on(read).expect("accepted");
                    assert_eq!(count, Ok(1 + round));
                    assert_eq!(bytes, vec![number; 1 + round], "another's bytes");
                }
            });
        }
    });
    assert_eq!(client.in_flight(), 0);
}
