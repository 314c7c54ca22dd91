// SPDX-License-Identifier: MIT OR Apache-2.0

use std::process::{Command, Output};

use anyhow::{ensure, Context, Result};

use crate::report::Report;

/// Children, a pipeline, a signal: what shells do all day.
const SCRIPT: &str =
    "ls -la /etc | sort -k5n | tail -3; trap 'echo a signal' USR1; kill -USR1 $$; exit 7";

/// A program that knows nothing of netlink, and its children.
pub fn run(report: &mut Report) -> Result<()> {
    let plain = output(&["sh", "-c", SCRIPT])?;
    let run = output(&["nlcall", "run", "-c", "--", "sh", "-c", SCRIPT])?;
    report.show(format_args!("$ nlcall run -c -- sh -c \"{SCRIPT}\""));
    for line in String::from_utf8_lossy(&run.stdout).lines() {
        report.show(line);
    }
    let summary = String::from_utf8_lossy(&run.stderr);
    let lines: Vec<&str> = summary.lines().collect();
    for line in lines.iter().take(4) {
        report.show(line);
    }
    report.show("...");
    let total = lines.last().context("no summary")?;
    report.show(total);
    ensure!(
        plain.status.code() == Some(7) && plain.stdout.ends_with(b"a signal\n"),
        "the plain command: {plain:?}"
    );
    ensure!(
        run.status == plain.status && run.stdout == plain.stdout,
        "the plain command prints {:?} and ends with {}",
        String::from_utf8_lossy(&plain.stdout),
        plain.status
    );
    ensure!(plain.stderr.is_empty(), "the plain command complains");
    let numbers: Vec<u64> = total
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    // Behind the time per call: calls, errors, those that went INLINE, those that did not.
    ensure!(
        matches!(numbers[..], [_, calls, _, inline, native] if inline + native == calls && inline > native),
        "most calls were to travel as messages: {total}"
    );
    report.checked("the same output and status as the plain command; each call is in the summary");
    Ok(())
}

fn output(command: &[&str]) -> Result<Output> {
    Command::new(command[0])
        .args(&command[1..])
        .output()
        .with_context(|| format!("starting {}", command[0]))
}
