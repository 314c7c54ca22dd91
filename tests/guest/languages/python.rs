// SPDX-License-Identifier: MIT OR Apache-2.0

//! Python: the example, which needs the specification and the kernel's YNL library.

use std::{fs, process::Command};

use super::{assert_both_calls_ran, specification, succeeds, ynl_tools};
use crate::harness::{needs, tests, Test};

pub const TESTS: &[Test] = tests![the_python_example_sends_a_batch];

fn the_python_example_sends_a_batch() {
    needs("/usr/lib/python3/dist-packages/yaml");
    let example = include_str!("../../../examples/python/first_batch.py");
    fs::write("first_batch.py", example).expect("writing a file");
    let mut command = Command::new("python3");
    command
        .arg("first_batch.py")
        .arg(specification())
        .env("PYTHONPATH", ynl_tools());
    let (pid, lines) = succeeds(&mut command);
    assert_both_calls_ran(pid, lines);
}
