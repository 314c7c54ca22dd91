// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signals, threads and children, as programs see them.

use super::compare::same;
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    interrupted_calls_masks_handlers_and_children_are_the_same,
    a_signal_ends_the_program_as_it_would,
    the_number_of_descriptors_can_be_used_up,
];

/// `tests/programs/interrupted.c` says what it sees.
fn interrupted_calls_masks_handlers_and_children_are_the_same() {
    let shown = same("interrupted");
    for line in [
        "cleanup: deferred",
        "read: -1 EINTR",
        "read, restarted: 1",
        "sigsuspend: -1 EINTR",
        "at one 1",
        "jumps: 20",
        "executed",
        "signal: 31",
        "no call: -1 ENOSYS",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

fn a_signal_ends_the_program_as_it_would() {
    same("exec sh -c 'kill -TERM $$'");
    same("exec sh -c 'kill -KILL $$'");
    same("exec sh -c 'ulimit -c 0; kill -SYS $$'");
    same("(ulimit -f 1; exec head -c 100000 /dev/zero > large); echo $?");
    same("(ulimit -t 1; exec sh -c 'while :; do :; done'); echo $?");
}

fn the_number_of_descriptors_can_be_used_up() {
    same("ulimit -n 7; exec 3</dev/null 4<&3 5<&3; cat /etc/hostname; sha256sum < /etc/hostname");
    same("ulimit -n 4; cat /etc/hostname; cat /etc/hostname | cat; echo $?");
}
