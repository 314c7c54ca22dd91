// SPDX-License-Identifier: MIT OR Apache-2.0

//! A seccomp filter of the sender decides each call as it decides a plain one.

mod actions;
mod batches;
mod killed;
mod supervisor;
mod tracer;

use nlcall::raw::{Call, Completion, Outcome, Session};
use nlcall_tests::{calls, session};

use crate::harness::Test;

pub const TESTS: &[&[Test]] = &[
    actions::TESTS,
    batches::TESTS,
    killed::TESTS,
    supervisor::TESTS,
    tracer::TESTS,
];

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By the system call instruction.
    Plain,
    /// By the thread that submits it.
    Inline,
    /// By a worker.
    Worker,
}

impl Way {
    const ALL: [Self; 3] = [Self::Plain, Self::Inline, Self::Worker];
    /// Those over netlink.
    const OURS: [Self; 2] = [Self::Inline, Self::Worker];

    /// Makes a call and says what it returned.
    fn make(self, session: &Session, call: Call) -> i64 {
        match self {
            Self::Plain => calls::plainly(&call),
            Self::Inline | Self::Worker => self.completions(session, [call])[0].ret,
        }
    }

    /// Has calls made by one message; their completions in the order of the calls.
    fn completions(
        self,
        session: &Session,
        calls: impl IntoIterator<Item = Call>,
    ) -> Vec<Completion> {
        match self {
            Self::Plain => panic!("a plain call has no completion"),
            Self::Inline => session::run_inline(session, calls),
            Self::Worker => {
                let count = session::submit(session, 0, calls);
                session::collect(session, count).into_values().collect()
            }
        }
    }
}

/// A session that has a worker, which is under no filter then.
fn session_with_worker() -> Session {
    let session = Session::open().expect("a session");
    session::value(&session, calls::getpid());
    session
}

/// The call that filters are about: nothing else here makes it.
fn victim() -> Call {
    calls::call(libc::SYS_getppid, &[])
}

/// How calls ended.
fn ends(completions: &[Completion]) -> Vec<(Outcome, i64)> {
    completions.iter().map(|it| (it.outcome, it.ret)).collect()
}

/// The end of a call that ran and returned the id of this process.
fn ran() -> (Outcome, i64) {
    (Outcome::Ran, std::process::id().into())
}

/// The end of a call that a filter refused.
fn refused(errno: i32) -> (Outcome, i64) {
    (Outcome::Refused, -i64::from(errno))
}

/// The end of a call that did not begin.
fn not_started(errno: i32) -> (Outcome, i64) {
    (Outcome::NotStarted, -i64::from(errno))
}
