// SPDX-License-Identifier: MIT OR Apache-2.0

//! C: the example, which needs the generated header and libmnl, and the early demonstration's program.

use std::{fs, process::Command};

use nlcall_tests::module;

use super::{assert_both_calls_ran, succeeds};
use crate::{
    harness::{needs, tests, Test},
    reloaded::Reloaded,
};

pub const TESTS: &[Test] = tests![the_c_example_sends_a_batch, the_early_program_reads_a_file];

fn the_c_example_sends_a_batch() {
    needs("/usr/include/libmnl/libmnl.h");
    let (pid, lines) = succeeds(&mut Command::new("first_batch"));
    assert_both_calls_ran(pid, lines);

    let output = Command::new("first_batch").arg("/nothing").output();
    let output = output.expect("the example is on the PATH");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let enoent = format!("openat: {}, outcome 0", -libc::ENOENT);
    assert!(printed.lines().any(|line| line == enoent), "{printed}");
}

fn the_early_program_reads_a_file() {
    let _classic = Reloaded::with(&module::parameters().replace("classic=0", "classic=1"));
    fs::write("file", "abcdefgh").expect("writing a file");
    let (_, lines) = succeeds(Command::new("classic").arg("file"));
    assert_eq!(lines, ["abcd"]);
}
