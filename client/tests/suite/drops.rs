// SPDX-License-Identifier: MIT OR Apache-2.0

//! Futures that are dropped before their calls are over.

use std::sync::Arc;

use nlcall::{op, Driver};
use pollster::block_on;

use super::{
    tests,
    tools::{client, client_of_depth, descriptors, wait_until, Pipe, Watched},
    Test,
};

pub const TESTS: &[Test] = tests![
    a_buffer_is_kept_until_the_call_is_over,
    a_buffer_is_freed_when_its_output_is_dropped,
    a_descriptor_that_nobody_took_is_closed,
    a_descriptor_that_was_awaited_and_dropped_is_closed,
    an_operation_that_waits_for_room_is_freed_at_once,
    the_place_of_a_dropped_call_is_used_again,
    drops_at_any_moment_lose_nothing,
];

fn a_buffer_is_kept_until_the_call_is_over(driver: Driver) {
    let client = client(driver);
    let pipe = Pipe::new();
    let (buf, watch) = Watched::new(16);
    let read = client.submit(pipe.read(buf));
    assert_eq!(client.in_flight(), 1);
    match driver {
        Driver::Netlink => {
            drop(read);
            wait_until("the call was cancelled", || watch.is_freed());
            assert_eq!(watch.first_byte(), 0);
            pipe.put(b"x");
            assert_eq!(pipe.get(1), b"x", "nobody read it");
        }
        _ => {
            // It is within the call.
            wait_until("the thread sleeps", || pipe.is_being_read());
            drop(read);
            assert!(!watch.is_freed(), "the call still uses it");
            pipe.put(b"x");
            wait_until("the call is over", || watch.is_freed());
            assert_eq!(watch.first_byte(), b'x', "the call wrote there");
        }
    }
    wait_until("nothing is in flight", || client.in_flight() == 0);
    assert_eq!(Arc::strong_count(&pipe.reader), 1, "the operation is gone");
}

fn a_buffer_is_freed_when_its_output_is_dropped(driver: Driver) {
    let client = client(driver);
    let pipe = Pipe::new();
    pipe.put(b"x");
    let (buf, watch) = Watched::new(16);
    let read = client.submit(pipe.read(buf));
    wait_until("the call is over", || client.in_flight() == 0);
    assert!(!watch.is_freed(), "the output waits");
    drop(read);
    assert!(watch.is_freed());
    assert_eq!(watch.first_byte(), b'x');
}

fn a_descriptor_that_nobody_took_is_closed(driver: Driver) {
    let client = client(driver);
    let before = descriptors();
    for _ in 0..50 {
        drop(client.submit(op::Open::new("/etc/passwd")));
    }
    wait_until("nothing is in flight", || client.in_flight() == 0);
    wait_until("all of them are closed", || descriptors() == before);
}

fn a_descriptor_that_was_awaited_and_dropped_is_closed(driver: Driver) {
    let client = client(driver);
    let before = descriptors();
    let open = client.submit(op::Open::new("/etc/passwd"));
    wait_until("the call is over", || client.in_flight() == 0);
    assert_eq!(descriptors(), before + 1, "the output waits");
    drop(open);
    assert_eq!(descriptors(), before);
    let file = block_on(client.submit(op::Open::new("/etc/passwd")));
    let file = file.expect("accepted").expect("a file");
    assert_eq!(descriptors(), before + 1);
    drop(file);
    assert_eq!(descriptors(), before);
}

fn an_operation_that_waits_for_room_is_freed_at_once(driver: Driver) {
    let client = client_of_depth(driver, 1);
    let pipe = Pipe::new();
    let read = client.submit(pipe.read(vec![0; 1]));
    let (buf, watch) = Watched::new(1);
    drop(client.submit(pipe.read(buf)));
    assert!(watch.is_freed());
    pipe.put(b"x");
    assert_eq!(block_on(read).expect("accepted").1, b"x");
}

fn the_place_of_a_dropped_call_is_used_again(driver: Driver) {
    let client = client(driver);
    for round in 0..50u8 {
        let [dropped, kept] = [(); 2].map(|()| Pipe::new());
        drop(client.submit(dropped.read(vec![0; 1])));
        // A late completion of the first must not end this one.
        let read = client.submit(kept.read(vec![0; 2]));
        dropped.put(&[0xff]);
        kept.put(&[round, round]);
        let (count, bytes) = block_on(read).expect("accepted");
        assert_eq!((count, bytes), (Ok(2), vec![round, round]));
    }
    wait_until("nothing is in flight", || client.in_flight() == 0);
}

fn drops_at_any_moment_lose_nothing(driver: Driver) {
    let client = client_of_depth(driver, 16);
    let before = descriptors();
    let mut watches = Vec::new();
    for round in 0..200usize {
        let pipe = Pipe::new();
        let (buf, watch) = Watched::new(8);
        watches.push(watch);
        let read = client.submit(pipe.read(buf));
        let open = client.submit(op::Open::new("/etc/passwd"));
        let spin = || (0..round * 7 % 50).for_each(|_| std::thread::yield_now());
        match round % 3 {
            0 => {
                drop((read, open));
                spin();
                pipe.put(b"x");
            }
            1 => {
                pipe.put(b"x");
                spin();
                drop((open, read));
            }
            _ => {
                pipe.put(b"x");
                assert_eq!(block_on(read).expect("accepted").0, Ok(1));
                drop(open);
            }
        }
    }
    wait_until("nothing is in flight", || client.in_flight() == 0);
    wait_until("everything is freed", || {
        watches.iter().all(|it| it.is_freed())
    });
    wait_until("everything is closed", || descriptors() == before);
}
