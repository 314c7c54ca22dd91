// SPDX-License-Identifier: MIT OR Apache-2.0

//! A process with calls and workers of every kind, to which something is done.

use nlcall::raw::Session;
use nlcall_tests::{calls, pipe::Pipe, process::Child, session};

/// Reads of a crowd that block.
pub const BLOCKED: usize = 4;

/// A child with workers that are blocked in reads, and others without a call. It completes its calls
/// when the pipe is filled.
pub fn crowd(pipe: &Pipe, prepare: impl FnOnce()) -> Child {
    let child = Child::fork(|channel| {
        prepare();
        let session = Session::open().expect("a session");
        let other = Pipe::new();
        session::submit(&session, 0, (0..3).map(|_| other.read_call()));
        let count = session::submit(&session, 10, (0..BLOCKED).map(|_| pipe.read_call()));
        session::info_until(&session, "all reads block", |info| {
            info.blocked as usize == BLOCKED + 3
        });
        other.fill(&[0; 3]);
        session::collect(&session, 3);
        session::info_until(&session, "some workers rest", |info| info.idle > 0);
        channel.put(0);
        let completions = session::collect(&session, count);
        assert!(
            completions.values().all(|it| it.ret == 1),
            "{completions:?}"
        );
        // And on with new ones.
        for _ in 0..20 {
            session::value(&session, calls::getpid());
        }
        session::assert_all_accounted_for(&session);
    });
    child.channel().get();
    child
}
