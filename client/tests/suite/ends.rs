// SPDX-License-Identifier: MIT OR Apache-2.0

//! The end of clients, and of the process that they are in.

use std::{future::Future, task::Context, task::Waker, thread};

use nlcall::{
    op,
    rustix::event::{poll, PollFd, PollFlags},
    Client, Driver, Error,
};
use pollster::block_on;

use super::{
    tests,
    tools::{client, client_of_depth, descriptors, name, wait_until, Pipe, Watched},
    Test,
};

pub const TESTS: &[Test] = tests![
    a_future_outlives_its_client,
    the_end_of_the_last_client_leaves_nothing,
    what_was_dropped_before_the_client_is_cleaned_up,
    a_shut_down_client_accepts_nothing,
    a_shut_down_ends_what_waits_for_room,
    completions_are_processed_by_whom_they_were_given_to,
    completions_that_are_dropped_are_processed_all_the_same,
    a_child_cannot_use_the_client_of_its_parent,
    a_child_takes_no_completion_of_its_parent,
];

fn a_future_outlives_its_client(driver: Driver) {
    let client = client(driver);
    let pipe = Pipe::new();
    let read = client.submit(pipe.read(vec![0; 1]));
    drop(client);
    pipe.put(b"x");
    assert_eq!(block_on(read).expect("accepted"), (Ok(1), b"x".to_vec()));
}

/// The threads of the library.
fn threads() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").expect("a folder");
    let names = threads.flatten().filter_map(|thread| {
        let name = std::fs::read_to_string(thread.path().join("comm"));
        name.ok()
    });
    names.filter(|name| name.trim() == "nlcall-client").count()
}

fn the_end_of_the_last_client_leaves_nothing(driver: Driver) {
    let (before, threads_before) = (descriptors(), threads());
    let clients: Vec<Client> = (0..5).map(|_| client(driver)).collect();
    let clones: Vec<Client> = clients.clone();
    for client in clients.iter().chain(&clones) {
        assert!(block_on(client.submit(op::Stat::new("/")))
            .expect("accepted")
            .is_ok());
    }
    drop(clients);
    for client in &clones {
        assert!(block_on(client.submit(op::Stat::new("/")))
            .expect("accepted")
            .is_ok());
    }
    drop(clones);
    wait_until("all descriptors are closed", || descriptors() == before);
    wait_until("all threads are gone", || threads() == threads_before);
}

fn what_was_dropped_before_the_client_is_cleaned_up(driver: Driver) {
    let before = descriptors();
    let pipe = Pipe::new();
    let client = client(driver);
    let (buf, watch) = Watched::new(1);
    let read = client.submit(pipe.read(buf));
    drop(client.submit(op::Open::new("/etc/passwd")));
    drop(read);
    drop(client);
    if driver == Driver::Threads {
        // It may be within the call, which ends when it does.
        pipe.put(b"x");
    }
    wait_until("the buffer is freed", || watch.is_freed());
    drop(pipe);
    wait_until("all descriptors are closed", || descriptors() == before);
}

fn a_shut_down_client_accepts_nothing(driver: Driver) {
    let client = client(driver);
    let pipe = Pipe::new();
    let read = client.submit(pipe.read(vec![0; 1]));
    let clone = client.clone();
    if driver == Driver::Threads {
        pipe.put(b"x");
    }
    block_on(client.shut_down()).expect("everything ended");
    assert_eq!(client.in_flight(), 0);
    let (count, _) = block_on(read).expect("its output waits");
    assert_eq!(count.is_ok(), count == Ok(1));
    for client in [&client, &clone] {
        let error = block_on(client.submit(op::Stat::new("/"))).expect_err("shut down");
        assert!(matches!(error, Error::ShutDown), "{error:?}");
        let refused = client
            .try_submit(op::Stat::new("/"))
            .expect_err("shut down");
        assert!(matches!(refused.why, Some(Error::ShutDown)));
        let mut batch = client.batch();
        let stat = batch.push(op::Stat::new("/"));
        assert!(matches!(block_on(batch.submit()), Err(Error::ShutDown)));
        assert!(block_on(stat).expect("no error").is_err());
        block_on(client.shut_down()).expect("it is already");
    }
}

fn a_shut_down_ends_what_waits_for_room(driver: Driver) {
    let client = client_of_depth(driver, 1);
    let pipe = Pipe::new();
    let read = client.submit(pipe.read(vec![0; 1]));
    let mut waits = Box::pin(client.submit(op::Stat::new("/")));
    let mut context = Context::from_waker(Waker::noop());
    assert!(waits.as_mut().poll(&mut context).is_pending());
    let waiting = thread::spawn(move || block_on(waits));
    pipe.put(b"x");
    block_on(client.shut_down()).expect("everything ended");
    match waiting.join().expect("no panic") {
        // It had its room before.
        Ok(Ok(_)) => {}
        Ok(Err(errno)) => assert_eq!(name(errno), "ECANCELED"),
        Err(error) => assert!(matches!(error, Error::ShutDown), "{error:?}"),
    }
    drop(block_on(read).expect("its output waits"));
}

fn completions_are_processed_by_whom_they_were_given_to(driver: Driver) {
    let before = threads();
    let (client, completions) = Client::builder()
        .driver(driver)
        .open_manual()
        .expect("a client");
    let processing = thread::spawn(move || completions.run());
    let stat = block_on(client.submit(op::Stat::new("/")));
    assert!(stat.expect("accepted").is_ok());
    assert_eq!(threads(), before);
    drop(client);
    let run = processing.join().expect("no panic");
    run.expect("the way to the driver is there");
}

fn completions_that_are_dropped_are_processed_all_the_same(driver: Driver) {
    let (client, completions) = Client::builder()
        .driver(driver)
        .open_manual()
        .expect("a client");
    let before = client.submit(op::Stat::new("/"));
    drop(completions);
    let after = client.submit(op::Stat::new("/"));
    for stat in [before, after] {
        assert!(block_on(stat).expect("accepted").is_ok());
    }
}

fn a_child_cannot_use_the_client_of_its_parent(driver: Driver) {
    let client = client(driver);
    let pipe = Pipe::new();
    let mut read = client.submit(pipe.read(vec![0; 1]));
    // SAFETY: the child only looks at what is refused, and ends.
    match unsafe { libc::fork() } {
        0 => {
            let mut context = Context::from_waker(Waker::noop());
            let polled = std::pin::Pin::new(&mut read).poll(&mut context);
            let is_refused = matches!(polled, std::task::Poll::Ready(Err(Error::Forked)));
            let submitted = client.try_submit(op::Stat::new("/"));
            let is_refused =
                is_refused && submitted.is_err_and(|it| matches!(it.why, Some(Error::Forked)));
            drop(read);
            drop(client);
            // SAFETY: it ends the child.
            unsafe { libc::_exit(if is_refused { 0 } else { 1 }) }
        }
        child => {
            let mut status = -1;
            // SAFETY: the status is a local variable.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0, "the child");
        }
    }
    pipe.put(b"x");
    assert_eq!(block_on(read).expect("accepted"), (Ok(1), b"x".to_vec()));
}

fn a_child_takes_no_completion_of_its_parent(driver: Driver) {
    let (client, mut completions) = Client::builder()
        .driver(driver)
        .open_manual()
        .expect("a client");
    let pipe = Pipe::new();
    pipe.put(b"x");
    let read = client.submit(pipe.read(vec![0; 1]));
    let mut fds = [PollFd::new(&completions, PollFlags::IN)];
    poll(&mut fds, None).expect("the completion is there");
    // SAFETY: the child only looks at what is refused, and ends.
    match unsafe { libc::fork() } {
        0 => {
            let is_refused = matches!(completions.process(), Err(Error::Forked));
            // SAFETY: it ends the child.
            unsafe { libc::_exit(if is_refused { 0 } else { 1 }) }
        }
        child => {
            let mut status = -1;
            // SAFETY: the status is a local variable.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0, "the child");
        }
    }
    let processing = thread::spawn(move || completions.run());
    assert_eq!(block_on(read).expect("accepted"), (Ok(1), b"x".to_vec()));
    drop(client);
    let run = processing.join().expect("no panic");
    run.expect("the way to the driver is there");
}
