// SPDX-License-Identifier: MIT OR Apache-2.0

//! Shells: pipelines, children, job control, traps.

use super::compare::same;
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    pipelines,
    statuses,
    job_control,
    traps,
    the_environment_is_the_programs,
];

fn pipelines() {
    same("seq 1 5000 | sort -r | head -3; seq 1 10 | while read n; do echo $n; done | tac");
    same(
        "yes | head -1; (echo out; echo err >&2) 2>&1 | cat; cat < /etc/hostname > copy; cat copy",
    );
    same("exec bash -c 'cat <(echo one) <(echo two); yes | head -1; echo ${PIPESTATUS[@]}'");
    same("for i in 1 2 3 4 5; do (echo $i > $i; sleep 0.01) & done; wait; cat 1 2 3 4 5");
}

fn statuses() {
    same("false; echo $?; (exit 42); echo $?; sh -c 'kill -9 $$'; echo $?; exit 7");
    same("no-such-command; echo $?; /etc/hostname; echo $?; cat /nothing; echo $?");
    same("exec /nothing");
}

/// Also where the shell's own pid is in what it prints: the last digits differ. When it
/// says by itself that a job has changed is a matter of time.
fn job_control() {
    same(
        "exec bash -c 'set -m; sleep 1000 & jobs; \
         kill -STOP %1; until [ \"$(jobs -s)\" ]; do sleep 0.1; done; jobs; \
         kill -CONT %1; until [ \"$(jobs -r)\" ]; do sleep 0.1; done; jobs; \
         kill %1; wait %1; echo $?; (sleep 0.1; exit 3) & wait $!; echo $?' 2>/dev/null",
    );
    same("exec bash -c 'set -m; sleep 0.2 | cat & wait; fg 2>&1 | cat; echo $?'");
}

fn traps() {
    same("trap 'echo got it' USR1; kill -USR1 $$; echo after; trap '' TERM; kill $$; echo alive");
    same("trap 'echo child' CHLD; sleep 0.05 & wait; echo done; trap 'echo bye' EXIT");
    // While it waits for a child in the background, and for one that it runs.
    same("exec bash -c 'trap \"echo alarm\" ALRM; (sleep 0.1; kill -ALRM $$) & wait; echo end'");
    same(
        "exec bash -c 'trap \"echo alarm\" ALRM; \
         sh -c \"kill -ALRM \\$PPID; sleep 0.1; echo child\"; echo end'",
    );
}

/// Neither variable nor descriptor of the library is seen.
fn the_environment_is_the_programs() {
    same("env | grep -v ^_= | sort");
    same("LD_PRELOAD= env -i A=1 env; env -i /usr/bin/env");
    same("unset LD_PRELOAD; sh -c 'echo \"[$LD_PRELOAD]\"'; export LD_PRELOAD=/no.so; echo $LD_PRELOAD");
}
