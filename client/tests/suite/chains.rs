// SPDX-License-Identifier: MIT OR Apache-2.0

//! Operations that use what earlier ones give.

use std::{
    fs,
    future::Future,
    panic::{catch_unwind, AssertUnwindSafe},
    pin::pin,
    sync::{mpsc, Arc},
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

use nlcall::{op, Chain, Driver, Error};
use pollster::block_on;

use super::{
    tests,
    tools::{client, client_of_depth, descriptors, failure, wait_until, Pipe, Watched},
    Test,
};

pub const TESTS: &[Test] = tests![
    a_descriptor_and_a_size_are_passed_on,
    a_failure_ends_the_chain,
    a_short_read_ends_the_chain,
    a_chain_carries_on_where_it_shall,
    a_descriptor_that_the_chain_does_not_close_belongs_to_its_output,
    a_descriptor_that_the_chain_did_not_come_to_close_is_closed,
    a_chain_that_is_dropped_leaves_nothing,
    a_chain_of_impossible_calls_is_not_begun,
    steps_of_another_chain_are_not_taken,
    what_is_closed_is_not_used,
    what_is_too_far_back_is_not_used,
    what_is_passed_on_has_no_meaning_outside,
    an_empty_chain_is_over,
    a_chain_ends_whoever_panics,
    a_chain_that_is_longer_than_the_depth_is_refused,
];

fn a_descriptor_and_a_size_are_passed_on(driver: Driver) {
    let client = client(driver);
    let before = descriptors();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    fs::write(&path, "0123456789").expect("a file");
    let mut chain = Chain::new();
    let file = chain.push(op::Open::new(&path));
    let stat = chain.push(op::Stat::of(file.fd()));
    // At its end, where there is nothing.
    let end = chain.push(op::ReadAt::new(file.fd(), vec![1; 4], stat.size()));
    chain.carry_on();
    let read = chain.push(op::Read::new(file.fd(), vec![0; 10]));
    let closed = chain.close(file);
    let mut outputs = block_on(client.submit(chain)).expect("accepted");
    assert_eq!(outputs.take(stat).expect("a file").stx_size, 10);
    assert_eq!(outputs.take(end).0, Ok(0));
    assert_eq!(outputs.take(read), (Ok(10), b"0123456789".to_vec()));
    assert_eq!(outputs.take(closed), Ok(()));
    assert_eq!(descriptors(), before);
    assert_eq!(client.in_flight(), 0);
}

fn a_failure_ends_the_chain(driver: Driver) {
    let client = client(driver);
    let mut chain = Chain::new();
    let file = chain.push(op::Open::new("/no/such/file"));
    // It says nothing about those that were never begun.
    let read = chain.push(op::Read::new(file.fd(), vec![7; 4]));
    chain.carry_on();
    let stat = chain.push(op::Stat::new("/"));
    let mut outputs = block_on(client.submit(chain)).expect("accepted");
    assert_eq!(failure(outputs.take(file)), "ENOENT");
    let (count, buf) = outputs.take(read);
    assert_eq!(failure(count), "ECANCELED");
    assert_eq!(buf, [7; 4]);
    assert_eq!(failure(outputs.take(stat).map(drop)), "ECANCELED");
}

fn a_short_read_ends_the_chain(driver: Driver) {
    let client = client(driver);
    let pipe = Pipe::new();
    pipe.put(b"12");
    let mut chain = Chain::new();
    let whole = chain.push(pipe.read(vec![0; 1]));
    let short = chain.push(pipe.read(vec![0; 2]));
    let never = chain.push(pipe.read(vec![0; 1]));
    let mut outputs = block_on(client.submit(chain)).expect("accepted");
    assert_eq!(outputs.take(whole).0, Ok(1));
    assert_eq!(outputs.take(short).0, Ok(1));
    assert_eq!(failure(outputs.take(never).0), "ECANCELED");
}

fn a_chain_carries_on_where_it_shall(driver: Driver) {
    let client = client(driver);
    let mut chain = Chain::new();
    let fails = chain.push(op::Stat::new("/no/such/file"));
    chain.carry_on();
    let stat = chain.push(op::Stat::new("/"));
    let mut outputs = block_on(client.submit(chain)).expect("accepted");
    assert_eq!(failure(outputs.take(fails).map(drop)), "ENOENT");
    assert!(outputs.take(stat).is_ok());
}

fn a_descriptor_that_the_chain_does_not_close_belongs_to_its_output(driver: Driver) {
    let client = client(driver);
    let before = descriptors();
    let chain = || {
        let mut chain = Chain::new();
        let file = chain.push(op::Open::new("/etc/passwd"));
        chain.push(op::Stat::of(file.fd()));
        (chain, file)
    };
    let (first, file) = chain();
    let mut outputs = block_on(client.submit(first)).expect("accepted");
    let file = outputs.take(file).expect("a file");
    assert_eq!(descriptors(), before + 1);
    drop(file);
    let (second, _) = chain();
    let outputs = block_on(client.submit(second)).expect("accepted");
    assert_eq!(descriptors(), before + 1);
    drop(outputs);
    assert_eq!(descriptors(), before);
}

fn a_descriptor_that_the_chain_did_not_come_to_close_is_closed(driver: Driver) {
    let client = client(driver);
    let before = descriptors();
    let mut chain = Chain::new();
    let file = chain.push(op::Open::new("/etc/passwd"));
    let fails = chain.push(op::Stat::new("/no/such/file"));
    let closed = chain.close(file);
    let mut outputs = block_on(client.submit(chain)).expect("accepted");
    assert_eq!(failure(outputs.take(fails).map(drop)), "ENOENT");
    assert_eq!(failure(outputs.take(closed)), "ECANCELED");
    drop(outputs);
    assert_eq!(descriptors(), before);
}

fn a_chain_that_is_dropped_leaves_nothing(driver: Driver) {
    let client = client(driver);
    let before = descriptors();
    let pipe = Pipe::new();
    let with_pipe = descriptors();
    let (buf, watch) = Watched::new(1);
    let mut chain = Chain::new();
    chain.push(op::Open::new("/etc/passwd"));
    chain.push(pipe.read(buf));
    chain.push(op::Open::new("/etc/group"));
    let chain = client.submit(chain);
    drop(chain);
    if driver == Driver::Threads {
        pipe.put(b"x");
    }
    wait_until("the chain is over", || watch.is_freed());
    wait_until("all of it is closed", || descriptors() == with_pipe);
    wait_until("nothing is in flight", || client.in_flight() == 0);
    drop(pipe);
    assert_eq!(descriptors(), before);
}

fn a_chain_of_impossible_calls_is_not_begun(driver: Driver) {
    let client = client(driver);
    let mut chain = Chain::new();
    let first = chain.push(op::Stat::new("/"));
    let impossible = chain.push(op::Open::new("a\0path"));
    let mut outputs = block_on(client.submit(chain)).expect("no rejection");
    assert_eq!(failure(outputs.take(first).map(drop)), "ECANCELED");
    assert_eq!(failure(outputs.take(impossible)), "EINVAL");
    assert_eq!(client.in_flight(), 0);
}

fn steps_of_another_chain_are_not_taken(driver: Driver) {
    let client = client(driver);
    let [mut first, mut second] = [(); 2].map(|()| Chain::new());
    let file = first.push(op::Open::new("/etc/passwd"));
    let wrong = AssertUnwindSafe(|| second.push(op::Stat::of(file.fd())));
    catch_unwind(wrong).expect_err("it is of another chain");
    let stat = second.push(op::Stat::new("/"));
    let mut outputs = block_on(client.submit(first)).expect("accepted");
    catch_unwind(AssertUnwindSafe(|| outputs.take(stat))).expect_err("it is of another chain");
    assert!(outputs.take(file).is_ok());
}

fn what_is_closed_is_not_used(driver: Driver) {
    let client = client(driver);
    let mut chain = Chain::new();
    let file = chain.push(op::Open::new("/etc/passwd"));
    let fd = file.fd();
    let closed = chain.close(file);
    catch_unwind(AssertUnwindSafe(|| chain.push(op::Stat::of(fd)))).expect_err("it is closed");
    let mut outputs = block_on(client.submit(chain)).expect("accepted");
    assert_eq!(outputs.take(closed), Ok(()));
}

fn what_is_too_far_back_is_not_used(driver: Driver) {
    let client = client_of_depth(driver, 2048);
    let mut chain = Chain::new();
    let file = chain.push(op::Open::new("/etc/passwd"));
    let fd = file.fd();
    let stats: Vec<_> = (0..1024).map(|_| chain.push(op::Stat::of(fd))).collect();
    let further = AssertUnwindSafe(|| chain.push(op::Stat::of(fd)));
    catch_unwind(further).expect_err("it is too far back");
    let mut outputs = block_on(client.submit(chain)).expect("accepted");
    assert!(stats.into_iter().all(|stat| outputs.take(stat).is_ok()));
    assert_eq!(client.in_flight(), 0);
}

fn what_is_passed_on_has_no_meaning_outside(driver: Driver) {
    let client = client(driver);
    let mut chain = Chain::new();
    let file = chain.push(op::Open::new("/etc/passwd"));
    let error = block_on(client.submit(op::Stat::of(file.fd()))).expect_err("no chain");
    assert!(matches!(error, Error::Misplaced), "{error:?}");
    assert_eq!(client.in_flight(), 0);
}

fn an_empty_chain_is_over(driver: Driver) {
    let client = client(driver);
    block_on(client.submit(Chain::new())).expect("nothing to reject");
}

/// A waker that panics.
struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panic!("a waker of a test");
    }
}

fn a_chain_ends_whoever_panics(driver: Driver) {
    let client = client_of_depth(driver, 2);
    let pipe = Pipe::new();
    let mut chain = Chain::new();
    chain.push(pipe.read(vec![0; 1]));
    chain.push(op::Stat::new("/"));
    let chain = client.submit(chain);
    // There is room for it after the first of the two calls.
    let mut waits = pin!(client.submit(op::Stat::new("/")));
    let waker = Waker::from(Arc::new(Panicking));
    let mut context = Context::from_waker(&waker);
    assert!(waits.as_mut().poll(&mut context).is_pending());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(block_on(chain).map(drop)));
    pipe.put(b"x");
    let end = receiver.recv_timeout(Duration::from_secs(60));
    end.expect("the chain ends").expect("accepted");
    assert!(block_on(waits).expect("accepted").is_ok());
}

fn a_chain_that_is_longer_than_the_depth_is_refused(driver: Driver) {
    let client = client_of_depth(driver, 2);
    let mut chain = Chain::new();
    for _ in 0..3 {
        chain.push(op::Stat::new("/"));
    }
    let error = block_on(client.submit(chain)).expect_err("too long");
    assert!(
        matches!(error, Error::ChainTooLong { calls: 3, limit: 2 }),
        "{error:?}"
    );
}
