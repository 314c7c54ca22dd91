// SPDX-License-Identifier: MIT OR Apache-2.0

//! What tests do with a session of the library.

use std::collections::BTreeMap;

use nlcall::{
    raw::{Batch, Call, Completion, Outcome, Results, Session, SessionInfo},
    Errno,
};

use crate::{calls, patience, threads};

/// Executes one call and returns its completion. Nothing else may be in flight.
pub fn run(session: &Session, call: Call) -> Completion {
    session
        .submit(call.user_data(1).into())
        .expect("the call is accepted");
    let completion = session.wait().expect("the call completes");
    assert_eq!(completion.user_data, 1, "it is the completion of the call");
    completion
}

/// Executes one call, which must run to its end without an error, and returns its value.
pub fn value(session: &Session, call: Call) -> u64 {
    let completion = run(session, call);
    assert_eq!(completion.outcome, Outcome::Ran, "{completion:?}");
    completion
        .result()
        .unwrap_or_else(|errno| panic!("the call failed: {errno}"))
}

/// Executes one call, which must run to its end with an error, and returns that.
pub fn error(session: &Session, call: Call) -> Errno {
    let completion = run(session, call);
    assert_eq!(completion.outcome, Outcome::Ran, "{completion:?}");
    completion.result().expect_err("the call fails")
}

/// Executes calls INLINE, numbered from 0; each must write its result.
pub fn run_inline(session: &Session, calls: impl IntoIterator<Item = Call>) -> Vec<Completion> {
    let batch: Batch = (0..)
        .zip(calls::inline(calls))
        .map(|(user_data, call)| call.user_data(user_data))
        .collect();
    let mut results = Results::new();
    session
        .submit_into(&batch, &mut results)
        .expect("the calls are accepted");
    let results: Vec<_> = results.iter().collect();
    let names: Vec<_> = results.iter().map(|it| it.user_data).collect();
    assert_eq!(
        names,
        (0..batch.len() as u64).collect::<Vec<_>>(),
        "in order"
    );
    results
}

/// Executes calls INLINE, each of which must run to its end, and returns what they returned.
pub fn inline_values(session: &Session, calls: impl IntoIterator<Item = Call>) -> Vec<i64> {
    let results = run_inline(session, calls);
    assert!(results.iter().all(Completion::ran), "{results:?}");
    results.iter().map(|it| it.ret).collect()
}

/// Submits calls, numbered from `first`.
pub fn submit(session: &Session, first: u64, calls: impl IntoIterator<Item = Call>) -> usize {
    let batch: Batch = (first..)
        .zip(calls)
        .map(|(user_data, call)| call.user_data(user_data))
        .collect();
    session.submit(batch).expect("the calls are accepted").calls
}

/// Waits for so many completions, each with another `user_data`.
pub fn collect(session: &Session, count: usize) -> BTreeMap<u64, Completion> {
    let mut completions = BTreeMap::new();
    for _ in 0..count {
        let completion = session.wait().expect("a call is in flight");
        let before = completions.insert(completion.user_data, completion);
        assert_eq!(before, None, "two completions of one call");
    }
    completions
}

/// Waits for so many completions, whatever they are.
pub fn collect_any(session: &Session, count: usize) {
    for _ in 0..count {
        session.wait().expect("a call is in flight");
    }
}

/// What the kernel knows about this session, which has submitted.
pub fn info(session: &Session) -> SessionInfo {
    session
        .own_info()
        .expect("SESSION_GET is answered")
        .expect("the socket has a session")
}

/// Waits until the kernel says that this holds for the session.
pub fn info_until(session: &Session, what: &str, mut holds: impl FnMut(&SessionInfo) -> bool) {
    let mut last = None;
    let reached = patience::holds_eventually(|| {
        let now = info(session);
        let reached = holds(&now);
        last = Some(now);
        reached
    });
    assert!(reached, "waited in vain until {what}: {last:?}");
}

/// Checks that every accepted call has had exactly one completion and that none is left, neither
/// here nor in the kernel.
pub fn assert_all_accounted_for(session: &Session) {
    let extra = session.try_wait().expect("receiving works");
    assert_eq!(extra, None, "a completion too many");
    assert_eq!(session.in_flight(), 0, "calls without a completion");
    // The kernel takes note of a delivery a moment after it.
    info_until(session, "the kernel has delivered everything", |info| {
        info.in_flight == 0
            && info.undelivered == 0
            && info.accepted == info.delivered + info.skipped
    });
}

/// Ends a session that has nothing in flight, and checks that nothing of it is left.
pub fn close(session: Session) {
    assert_all_accounted_for(&session);
    let port_id = session.port_id();
    drop(session);
    assert_gone(port_id);
}

/// Waits until nothing of a session of this process is left, whose socket is closed. The process
/// has no other.
pub fn assert_gone(port_id: u32) {
    patience::until("the session is gone", || of_port(port_id).is_none());
    patience::until("its workers are gone", || {
        threads::of_this_process()
            .iter()
            .all(|thread| !thread.is_worker())
    });
}

/// The session of a socket, as the whole machine sees it; none when there is none.
pub fn of_port(port_id: u32) -> Option<SessionInfo> {
    all().into_iter().find(|session| session.port_id == port_id)
}

/// All sessions of the machine.
pub fn all() -> Vec<SessionInfo> {
    // A session begins with the first call that is accepted: this socket has none.
    let observer = Session::open().expect("a socket");
    observer.sessions().expect("SESSION_GET is answered")
}
