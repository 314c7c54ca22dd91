// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every entry of the table has a verdict, and a refusal says why.

use std::{collections::BTreeMap, mem::size_of};

use nlcall::raw::{ArgKind, Cancel, Session, Verdict};
use nlcall_abi::{submit, syscalls, Call, CallResult};
use nlcall_tests::{
    calls::{call, Arg},
    session,
};

use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    every_system_call_has_one_verdict,
    what_may_not_run_is_refused_with_its_reason,
    unknown_numbers_are_refused,
    features_are_those_of_the_wire_format,
];

fn every_system_call_has_one_verdict() {
    let session = Session::open().expect("a session");
    let entries = session.syscalls().expect("SYSCALL_GET is answered");
    let table: BTreeMap<u32, &str> = syscalls::TABLE
        .iter()
        .map(|entry| (entry.nr, entry.name))
        .collect();
    assert_eq!(entries.len(), table.len());
    let named: BTreeMap<u32, &str> = entries
        .iter()
        .map(|entry| (entry.nr, entry.name.as_str()))
        .collect();
    assert_eq!(named, table);
    for entry in &entries {
        let has_reason = entry
            .reason
            .as_ref()
            .is_some_and(|reason| !reason.is_empty());
        assert_eq!(has_reason, entry.verdict != Verdict::Both, "{entry:?}");
    }
    for verdict in [
        Verdict::Both,
        Verdict::Differs,
        Verdict::InlineOnly,
        Verdict::Refused,
    ] {
        assert!(
            entries.iter().any(|entry| entry.verdict == verdict),
            "{verdict:?}"
        );
    }
}

fn what_may_not_run_is_refused_with_its_reason() {
    let session = Session::open().expect("a session");
    let mut refused = 0;
    for entry in session.syscalls().expect("SYSCALL_GET is answered") {
        if !matches!(entry.verdict, Verdict::InlineOnly | Verdict::Refused) {
            continue;
        }
        // Where a rule depends on the arguments, one of these sets falls under it.
        let arguments = IN_A_RULE.map(|arguments| arguments.map(Arg::wild));
        let errors: Vec<_> = arguments
            .into_iter()
            .filter_map(|arguments| {
                session
                    .submit(call(entry.nr.into(), &arguments).into())
                    .err()
            })
            .collect();
        let error = errors
            .first()
            .unwrap_or_else(|| panic!("{} is accepted", entry.name));
        assert_eq!(
            error.error.errno().map(|it| it.raw()),
            Some(libc::EOPNOTSUPP),
            "{error:?}"
        );
        let reason = entry.reason.expect("a refused call has a reason");
        let text = error.error.to_string();
        assert!(
            text.contains(&entry.name) && text.contains(&reason),
            "{text}"
        );
        refused += 1;
        // Outside of the rule the call may run, and some would do so for ever.
        session.cancel(Cancel::All).expect("an answer");
        session::collect_all(&session);
    }
    assert!(refused > 50, "only {refused} calls are refused");
}

/// Id 0; IOPRIO_WHO_PROCESS and id 0; FUTEX_LOCK_PI, CLOSE_RANGE_UNSHARE and a signal mask in each
/// place that can hold one, at an address that no memory lies at.
const IN_A_RULE: [[u64; 6]; 3] = [[0; 6], [1, 0, 0, 0, 0, 0], [1, 6, 2, 8, 8, 8]];

fn unknown_numbers_are_refused() {
    let session = Session::open().expect("a session");
    let last = syscalls::TABLE
        .iter()
        .map(|entry| entry.nr)
        .max()
        .expect("a table");
    // Between the two ranges of the table, behind it, x32's bit, and a negative one.
    for nr in [400, last + 1, 512, 0x4000_0000, 0x4000_0027, u32::MAX] {
        let error = session
            .submit(call(nr.into(), &[]).into())
            .expect_err("it is refused");
        assert_eq!(
            error.error.errno().map(|it| it.raw()),
            Some(libc::ENOSYS),
            "{nr}: {error:?}"
        );
        assert!(
            error.error.to_string().contains(&nr.to_string()),
            "{}",
            error.error
        );
    }
    session::value(&session, call(libc::SYS_getpid, &[]));
    session::assert_all_accounted_for(&session);
}

fn features_are_those_of_the_wire_format() {
    let session = Session::open().expect("a session");
    let features = session.features();
    assert_eq!(features.call_size as usize, size_of::<Call>());
    assert_eq!(features.result_size as usize, size_of::<CallResult>());
    assert!(features.supports_arg_kind(ArgKind::Value));
    assert!(features.supports_submit_attr(submit::CALL_SIZE));
    assert!(features.supports_submit_attr(submit::CALLS));
    assert!(features.max_in_flight > 0 && features.max_workers > 0);
    let release = rustix::system::uname();
    assert_eq!(Ok(features.kernel.as_str()), release.release().to_str());
    assert!(!features.module_version.is_empty());
    assert_ne!(features.policy_hash, 0);
}
