// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the command does to programs that run: other files, descriptors, limits, any call.

mod call;
mod fds;
mod limits;
mod redirect;

use std::{fs, os::unix::process::CommandExt, path::Path, process::Command};

use nix::unistd::Pid;
use nlcall_tests::process::Child;

use crate::harness::Test;

pub const TESTS: &[&[Test]] = &[call::TESTS, fds::TESTS, limits::TESTS, redirect::TESTS];

/// Users that have no other process.
const USER: u32 = 54331;
const OTHER: u32 = 54332;

/// Runs the command for a process; it must end with this status. Returns what it printed and
/// complained.
fn ends(arguments: &[&str], child: &Child, status: i32) -> (String, String) {
    checked(command(arguments, child.pid()), arguments, status)
}

/// The same as another user.
fn ends_as(user: u32, arguments: &[&str], child: &Child, status: i32) -> (String, String) {
    let mut command = command(arguments, child.pid());
    command.uid(user).gid(user);
    checked(command, arguments, status)
}

/// `nlcall COMMAND --pid PID ARGUMENTS...`
fn command(arguments: &[&str], pid: Pid) -> Command {
    let (first, rest) = arguments.split_first().expect("a command");
    let mut command = Command::new("nlcall");
    command.args([first, "--pid", &pid.to_string()]).args(rest);
    command
}

fn checked(mut command: Command, arguments: &[&str], status: i32) -> (String, String) {
    let output = command.output().expect("nlcall is on the PATH");
    crate::command::checked(output, arguments, status)
}

/// A process that does nothing until it is told to end.
fn idle() -> Child {
    Child::fork(|parent| {
        parent.try_get();
    })
}

/// What a descriptor of a process refers to.
fn target(pid: Pid, fd: i32) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// Numbers of the open descriptors of a process.
fn descriptors(pid: Pid) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut numbers: Vec<i32> = names
        .map(|name| name.to_string_lossy().parse().expect("a number"))
        .collect();
    numbers.sort_unstable();
    numbers
}

/// What a process has mapped.
fn mappings(pid: Pid) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the process is there");
    // The heap of the child may have grown, and nothing else.
    let ranges = maps.lines().map(|line| {
        let (range, rest) = line.split_once(' ').expect("a range");
        match rest.ends_with("[heap]") || rest.ends_with("[stack]") {
            true => rest.to_owned(),
            false => format!("{range} {rest}"),
        }
    });
    ranges.collect()
}

/// Whether a thread of the process, its first one, is inside this system call.
fn is_inside(pid: Pid, nrs: &[libc::c_long]) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let nr = state.split(' ').next().and_then(|nr| nr.parse().ok());
    nr.is_some_and(|nr| nrs.contains(&nr))
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).expect("the file is there")
}
