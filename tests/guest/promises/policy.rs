// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every entry of the table has a verdict, and a refusal says why.

use std::{collections::BTreeMap, mem::size_of};

use nlcall::raw::{ArgKind, Session, Verdict};
use nlcall_abi::{submit, Call, CallResult};
use nlcall_tests::{
    calls::{call, of_this_kernel, Arg},
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
    let table: BTreeMap<u32, &str> = of_this_kernel()
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
        match (&entry.reason, entry.verdict) {
            (None, verdict) => assert_eq!(verdict, Verdict::Both, "{entry:?}"),
            (Some(reason), Verdict::Both) => {
                assert!(reason.starts_with(CONDITIONAL), "{entry:?}");
            }
            (Some(reason), _) => assert!(!reason.is_empty(), "{entry:?}"),
        }
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
        let conditional = entry
            .reason
            .as_ref()
            .is_some_and(|reason| reason.starts_with(CONDITIONAL));
        if !conditional && !matches!(entry.verdict, Verdict::InlineOnly | Verdict::Refused) {
            continue;
        }
        let rule = IN_A_RULE.iter().find(|(name, _)| *name == entry.name);
        let arguments = rule.map_or([0; 6], |(_, arguments)| *arguments);
        let call = call(entry.nr.into(), &arguments.map(Arg::wild));
        let Err(error) = session.submit(call.into()) else {
            panic!(
                "{} is accepted with the arguments {arguments:?}",
                entry.name
            );
        };
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
    }
    assert!(refused > 50, "only {refused} calls are refused");
}

/// How the reason of a call begins that is refused for some arguments only.
const CONDITIONAL: &str = "only INLINE ";

/// Calls that are refused for some arguments only, which zeros are not among.
const IN_A_RULE: &[(&str, [u64; 6])] = &[
    // A signal mask, at an address that no memory lies at.
    ("ppoll", [0, 0, 0, 8, 8, 0]),
    ("pselect6", [0, 0, 0, 0, 0, 8]),
    ("epoll_pwait", [0, 0, 0, 0, 8, 8]),
    ("epoll_pwait2", [0, 0, 0, 0, 8, 8]),
    ("io_pgetevents", [0, 0, 0, 0, 0, 8]),
    // KVM_RUN, IOPRIO_WHO_PROCESS, FUTEX_LOCK_PI, CLOSE_RANGE_UNSHARE.
    ("ioctl", [0, 0xae80, 0, 0, 0, 0]),
    ("ioprio_get", [1, 0, 0, 0, 0, 0]),
    ("ioprio_set", [1, 0, 0, 0, 0, 0]),
    ("futex", [0, 6, 0, 0, 0, 0]),
    ("close_range", [100, 200, 2, 0, 0, 0]),
    // F_SETLEASE, CLOCK_THREAD_CPUTIME_ID, PIDFD_SELF_THREAD, __WNOTHREAD, FD_FAILFS_ROOT.
    ("fcntl", [100, 1024, 0, 0, 0, 0]),
    ("timer_create", [3, 0, 0, 0, 0, 0]),
    ("clock_nanosleep", [3, 0, 0, 0, 0, 0]),
    ("pidfd_send_signal", [-10000_i64 as u64, 0, 0, 0, 0, 0]),
    ("wait4", [0, 0, 0x2000_0000, 0, 0, 0]),
    ("waitid", [0, 0, 0, 0x2000_0000, 0, 0]),
    ("fchroot", [-10004_i64 as u64, 0, 0, 0, 0, 0]),
];

fn unknown_numbers_are_refused() {
    let session = Session::open().expect("a session");
    let last = of_this_kernel().last().expect("a table").nr;
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
        let text = error.error.to_string();
        assert!(text.contains(&nr.to_string()), "{text}");
        let is_x32 = (0x4000_0000..0x4000_0400).contains(&nr);
        assert_eq!(text.contains("x32"), is_x32, "{text}");
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
