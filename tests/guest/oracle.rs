// SPDX-License-Identifier: MIT OR Apache-2.0

//! The verdicts: the command shows those in force, and calls are as they say.

use std::process::Command;

use nlcall::raw::{Session, Verdict};

use crate::harness::{note, tests, Test};

pub const TESTS: &[Test] = tests![
    nlcall_list_shows_the_modules_verdicts,
    verdicts_show_in_what_calls_leave_behind,
];

fn nlcall_list_shows_the_modules_verdicts() {
    let output = Command::new("nlcall").arg("list").output();
    let output = output.expect("nlcall is on the PATH");
    assert!(output.status.success(), "{output:?}");
    let listed = String::from_utf8(output.stdout).expect("UTF-8");
    let mut lines = listed.lines();
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let heading = lines.next().map(words).unwrap_or_default();
    assert_eq!(heading, ["NR", "NAME", "VERDICT", "REASON"]);
    let session = Session::open().expect("a session");
    let live = session.syscalls().expect("SYSCALL_GET is answered");
    assert_eq!(live.len(), nlcall_tests::calls::of_this_kernel().len());
    let expected = live.into_iter().map(|entry| {
        let verdict = match entry.verdict {
            Verdict::Both => "both",
            Verdict::Differs => "differs",
            Verdict::InlineOnly => "inline only",
            Verdict::Refused => "refused",
        };
        let reason = entry.reason.unwrap_or_default();
        words(&format!("{} {} {verdict} {reason}", entry.nr, entry.name))
    });
    assert_eq!(
        lines.map(words).collect::<Vec<_>>(),
        expected.collect::<Vec<_>>()
    );
}

/// Every call that a worker must reject, or may make differently, plainly and over netlink. The program
/// also fails where a call of the table has no case, or where a signature is not the kernel's.
fn verdicts_show_in_what_calls_leave_behind() {
    let output = Command::new("nlcall-guest-oracle").arg("--quick").output();
    let output = output.expect("nlcall-guest-oracle is on the PATH");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    note(format_args!("{}", said.lines().last().unwrap_or_default()));
}
