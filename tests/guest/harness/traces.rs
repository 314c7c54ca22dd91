// SPDX-License-Identifier: MIT OR Apache-2.0

//! What processes are at, for the report about a hang.

use std::{fmt::Write, fs};

use nix::unistd::{getpgid, Pid};
use nlcall_tests::threads;

/// Every thread of a process group: its state, and where in the kernel it sleeps.
pub fn of_group(group: Pid) -> String {
    let mut text = String::new();
    for pid in processes().filter(|pid| getpgid(Some(*pid)) == Ok(group)) {
        for thread in threads::of(pid) {
            let kind = if thread.is_worker() {
                "worker"
            } else {
                "thread"
            };
            let stack = fs::read_to_string(format!("/proc/{pid}/task/{}/stack", thread.tid));
            let stack = stack.unwrap_or_default();
            let _ = writeln!(
                text,
                "process {pid}, {kind} {} ({}), state {}:",
                thread.tid, thread.comm, thread.state
            );
            for line in stack.lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
    }
    text
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)))
}
