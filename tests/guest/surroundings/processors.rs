// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processors that go and come back.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use nlcall::raw::{Cancel, Session};
use nlcall_tests::{calls, pipe::Pipe, session};

use crate::{
    crowd::{crowd, BLOCKED},
    harness::{skip, tests, Test},
};

pub const TESTS: &[Test] = tests![
    blocked_calls_survive_their_processor,
    processors_come_and_go_under_load,
];

/// The switch of a processor that can go.
const SWITCH: &str = "/sys/devices/system/cpu/cpu1/online";

/// A processor that is back when this is dropped.
struct Processor;

impl Processor {
    fn find() -> Self {
        if !Path::new(SWITCH).exists() {
            skip("this guest has no processor that can go");
        }
        Self
    }

    fn switch(&self, on: bool) {
        fs::write(SWITCH, if on { "1" } else { "0" }).expect("a processor goes or comes");
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        self.switch(true);
    }
}

fn blocked_calls_survive_their_processor() {
    let processor = Processor::find();
    let pipe = Pipe::new();
    let mut child = crowd(&pipe, || {});
    processor.switch(false);
    pipe.fill(&[0; BLOCKED]);
    child.succeed();
}

fn processors_come_and_go_under_load() {
    const ROUNDS: usize = 12;

    let processor = Processor::find();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let session = Session::open().expect("a session");
            let pipe = Pipe::new();
            let mut messages = 0;
            while !is_over.load(Relaxed) {
                let calls = (0..40).map(|number| match number % 10 {
                    0 => pipe.read_call(),
                    _ => calls::getpid(),
                });
                session::submit(&session, 0, calls);
                // Half of the reads are fed, the others cancelled.
                pipe.fill(&[0; 2]);
                session::collect(&session, 38);
                session.cancel(Cancel::All).expect("an answer");
                session::collect(&session, 2);
                let inline = session::inline_values(&session, (0..40).map(|_| calls::getpid()));
                assert_eq!(inline, [i64::from(std::process::id()); 40]);
                messages += 1;
            }
            session::close(session);
            messages
        });
        for round in 0..ROUNDS {
            processor.switch(round % 2 == 1);
        }
        is_over.store(true, Relaxed);
        assert!(load.join().expect("every call is accounted for") > 0);
    });
}
