// SPDX-License-Identifier: MIT OR Apache-2.0

//! The calls of one process, seen by another.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use anyhow::{ensure, Context, Result};
use nix::{
    sys::signal::{kill, Signal},
    unistd::Pid,
};

use super::run;
use crate::report::Report;

/// A program's calls, printed by `nlcall monitor` while it runs.
pub fn watch(report: &mut Report) -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), "seen from outside\n")?;
    let path = file.path().to_str().context("a path in UTF-8")?;

    let filter = "openat,pread64,getpid";
    report.show(format_args!("$ nlcall monitor -e {filter} --ways &"));
    let mut monitor = Command::new("nlcall")
        .args(["monitor", "-e", filter, "--ways"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting nlcall monitor")?;
    let mut complaints = BufReader::new(monitor.stderr.take().context("its standard error")?);
    let mut said = String::new();
    complaints.read_line(&mut said)?;
    ensure!(said == "nlcall: listening\n", "it said {said:?}");

    report.show(format_args!("$ nlcall cat {path}"));
    let shown = run("nlcall", &["cat", path])?.stdout;
    ensure!(shown == b"seen from outside\n", "cat printed {shown:?}");
    report.show("$ nlcall call --inline getpid");
    let pid = String::from_utf8(run("nlcall", &["call", "--inline", "getpid"])?.stdout)?;

    let mut lines: Vec<String> = Vec::new();
    for line in BufReader::new(monitor.stdout.take().context("its standard output")?).lines() {
        let line = line?;
        report.show(&line);
        let is_last = line.contains("getpid()");
        lines.push(line);
        if is_last {
            break;
        }
    }
    kill(Pid::from_raw(monitor.id() as i32), Signal::SIGTERM)?;
    let status = monitor.wait()?;
    ensure!(status.success(), "nlcall monitor ended with {status}");
    let opened = format!(" worker] openat(AT_FDCWD, {path:?}, O_RDONLY");
    ensure!(lines[0].contains(&opened), "cat opened the file first");
    let read = r#", "seen from outside\n", "#;
    ensure!(
        lines.iter().any(|line| line.contains(read)),
        "no line shows what was read"
    );
    let own = pid.trim().rsplit(' ').next().unwrap_or_default();
    ensure!(
        lines.last() == Some(&format!("[pid {own} inline] getpid() = {own}")),
        "the last call is the process id's"
    );
    report.checked("the path, the bytes and the process id are those of the programs");
    Ok(())
}
