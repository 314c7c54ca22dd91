// SPDX-License-Identifier: MIT OR Apache-2.0

//! Operations that are submitted together.

use nlcall::{op, Cancellation, Chain, Driver};
use pollster::block_on;

use super::{
    tests,
    tools::{assert_rejected, client, client_of_depth, failure, Pipe, Watched},
    Test,
};

pub const TESTS: &[Test] = tests![
    each_operation_has_its_output,
    a_batch_may_be_longer_than_the_depth,
    a_batch_that_is_dropped_never_begins,
    what_is_dropped_before_is_left_out,
    what_is_cancelled_before_is_left_out,
    a_rejection_names_the_call,
];

fn each_operation_has_its_output(driver: Driver) {
    let client = client(driver);
    let pipe = Pipe::new();
    let mut batch = client.batch();
    let write = batch.push(op::Write::new(pipe.writer.clone(), "12345"));
    let stats = ["/", "/no/such/file"].map(|path| batch.push(op::Stat::new(path)));
    let mut chain = Chain::new();
    let file = chain.push(op::Open::new("/etc/passwd"));
    let stat = chain.push(op::Stat::of(file.fd()));
    let closed = chain.close(file);
    let chain = batch.push(chain);
    let impossible = batch.push(op::Stat::new("a\0path"));
    assert_eq!(batch.len(), 5);
    block_on(batch.submit()).expect("accepted");
    assert_eq!(block_on(write).expect("accepted").0, Ok(5));
    let [found, missing] = stats.map(|stat| block_on(stat).expect("accepted"));
    assert!(found.is_ok());
    assert_eq!(failure(missing.map(drop)), "ENOENT");
    let mut outputs = block_on(chain).expect("accepted");
    assert!(outputs.take(stat).expect("a file").stx_size > 0);
    assert_eq!(outputs.take(closed), Ok(()));
    let impossible = block_on(impossible).expect("no rejection");
    assert_eq!(failure(impossible.map(drop)), "EINVAL");
    assert_eq!(client.in_flight(), 0);
}

fn a_batch_may_be_longer_than_the_depth(driver: Driver) {
    let client = client_of_depth(driver, 5);
    let mut batch = client.batch();
    let stats: Vec<_> = (0..64).map(|_| batch.push(op::Stat::new("/"))).collect();
    block_on(batch.submit()).expect("accepted");
    for stat in stats {
        assert!(block_on(stat).expect("accepted").is_ok());
    }
    assert_eq!(client.in_flight(), 0);
}

fn a_batch_that_is_dropped_never_begins(driver: Driver) {
    let client = client(driver);
    let pipe = Pipe::new();
    let mut batch = client.batch();
    let write = batch.push(op::Write::new(pipe.writer.clone(), "never"));
    drop(batch);
    let (count, text) = block_on(write).expect("no error");
    assert_eq!((failure(count).as_str(), text), ("ECANCELED", "never"));
    pipe.put(b"x");
    assert_eq!(pipe.get(1), b"x");
}

fn what_is_dropped_before_is_left_out(driver: Driver) {
    let client = client_of_depth(driver, 3);
    for _ in 0..3 {
        let pipe = Pipe::new();
        let (buf, watch) = Watched::new(1);
        let mut batch = client.batch();
        let first = batch.push(op::Stat::new("/"));
        let read = batch.push(pipe.read(buf));
        let last = batch.push(op::Stat::new("/"));
        drop(read);
        assert!(watch.is_freed());
        block_on(batch.submit()).expect("accepted");
        for stat in [first, last] {
            assert!(block_on(stat).expect("accepted").is_ok());
        }
        assert_eq!(client.in_flight(), 0);
    }
}

fn what_is_cancelled_before_is_left_out(driver: Driver) {
    let client = client(driver);
    let pipe = Pipe::new();
    let mut batch = client.batch();
    let mut read = batch.push(pipe.read(vec![0; 1]));
    match block_on(read.cancel()).expect("no error") {
        Cancellation::Cancelled((count, _)) => assert_eq!(failure(count), "ECANCELED"),
        other => panic!("{other:?}"),
    }
    block_on(batch.submit()).expect("nothing is left of it");
    assert_eq!(client.in_flight(), 0);
}

fn a_rejection_names_the_call(driver: Driver) {
    let client = client(driver);
    let mut batch = client.batch();
    let stat = batch.push(op::Stat::new("/"));
    // SAFETY: it is not made.
    let rejected = unsafe { op::Syscall::new(op::Sysno::of("setuid"), &[0]) };
    let rejected = batch.push(rejected);
    let error = block_on(batch.submit()).expect_err("a rejection");
    assert_rejected(&error, "EOPNOTSUPP", "call 1: setuid");
    // The message was rejected whole.
    assert_eq!(
        failure(block_on(stat).expect("no error").map(drop)),
        "ECANCELED"
    );
    assert_eq!(
        failure(block_on(rejected).expect("no error").0),
        "ECANCELED"
    );
    assert_eq!(client.in_flight(), 0);
}
