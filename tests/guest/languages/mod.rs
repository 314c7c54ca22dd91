// SPDX-License-Identifier: MIT OR Apache-2.0

//! The protocol spoken from other languages, by programs with no Rust in them.

mod c;
mod python;
mod ynl;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::harness::{skip, Test};

pub const TESTS: &[&[Test]] = &[c::TESTS, python::TESTS, ynl::TESTS];

/// Where kernel sources are.
const SOURCES: &str = "/usr/src/nlcall";

/// Runs a program to its end, which must be a success; its process id, and the lines that it
/// printed.
fn succeeds(command: &mut Command) -> (u32, Vec<String>) {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pid = child.id();
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let (printed, complained) = (text(output.stdout), text(output.stderr));
    assert!(
        output.status.success(),
        "{command:?}: {printed}{complained}"
    );
    (pid, printed.lines().map(str::to_owned).collect())
}

/// Checks what the examples print: a line for the completion of each of their two calls, in any
/// order.
fn assert_both_calls_ran(pid: u32, mut lines: Vec<String>) {
    lines.sort();
    let [getpid, openat] = lines.as_slice() else {
        panic!("two lines: {lines:?}")
    };
    assert_eq!(*getpid, format!("getpid: {pid}, outcome 0"));
    let fd = openat
        .strip_prefix("openat: ")
        .and_then(|rest| rest.strip_suffix(", outcome 0"))
        .and_then(|fd| fd.parse::<i32>().ok());
    assert!(fd.is_some_and(|fd| fd > 2), "a new descriptor: {openat}");
}

/// The kernel's YNL tools, in a source tree of the sandbox.
fn ynl_tools() -> PathBuf {
    let trees = fs::read_dir(SOURCES).into_iter().flatten().flatten();
    let mut tools = trees.map(|tree| tree.path().join("tools/net/ynl"));
    tools
        .find(|tools| tools.join("pyynl/cli.py").exists())
        .unwrap_or_else(|| skip(&format!("no kernel source with YNL's tools in {SOURCES}")))
}

/// The specification, as a file.
fn specification() -> PathBuf {
    let path = std::env::current_dir()
        .expect("a folder")
        .join("nlcall.yaml");
    fs::write(&path, include_str!("../../../abi/nlcall.yaml")).expect("writing a file");
    path
}
