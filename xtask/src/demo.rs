// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tour: system calls as netlink messages, each answer checked.

use std::time::Duration;

use anyhow::Result;

use crate::sandbox::{
    Choice,
    Sandbox, //
};
use crate::say::say;
use crate::vm::{
    self,
    Streams, //
};

/// The program that shows and checks everything; it ends with an error at the first wrong answer.
const PROGRAM: &str = "nlcall-demo";
/// Loads the module with the classic front end.
const PARAMETERS: &str = "classic=1";
/// The time it may take.
const LIMIT: Duration = Duration::from_secs(1800);

/// Boots the guest and runs the tour in it.
pub fn run(choice: Option<&Choice>) -> Result<u8> {
    let sandbox = Sandbox::prepare(choice)?;
    say!("booting Linux {} in a guest", sandbox.release());
    let options = vm::Options {
        parameters: PARAMETERS.to_owned(),
        timeout: LIMIT * sandbox.patience(),
        command: vec![PROGRAM.into()],
        ..vm::Options::default()
    };
    let mut streams = Streams::own()?;
    streams.stdin = Box::new(std::io::empty());
    vm::run(&sandbox, &options, streams)
}
