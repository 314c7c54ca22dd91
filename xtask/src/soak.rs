// SPDX-License-Identifier: MIT OR Apache-2.0

//! The soak run: mixed load in a guest for a long time, and what it found.

use std::fs;
use std::io;
use std::time::Duration;

use anyhow::{
    Context,
    Result, //
};

use crate::checkout;
use crate::conditions;
use crate::sandbox::Sandbox;
use crate::say::say;
use crate::tally::Transcript;
use crate::vm::{
    self,
    Streams, //
};

/// What it is made of, in the guest.
const COMMAND: [&str; 2] = ["nlcall-guest-tests", "--soak"];
/// What it may take besides: to boot, to warm up, to become quiet.
const BESIDES: Duration = Duration::from_secs(600);
/// Where a run of this many minutes or more is written.
const RESULT: &str = "docs/results/soak.md";
const WRITTEN: u64 = 30;

/// Runs it for so many minutes and returns the exit status.
pub fn run(sandbox: &Sandbox, minutes: u64) -> Result<u8> {
    let mut command = COMMAND.map(Into::into).to_vec();
    command.push(minutes.to_string().into());
    let options = vm::Options {
        timeout: Duration::from_secs(60 * minutes) + BESIDES * sandbox.patience(),
        leaks: sandbox.finds_leaks(),
        command,
        ..vm::Options::default()
    };
    let transcript = Transcript::default();
    let streams = Streams {
        stdin: Box::new(io::empty()),
        stdout: Box::new(transcript.and(io::stdout())),
        stderr: Streams::own()?.stderr,
    };
    // Before the result is written, which changes the checkout.
    let rows = conditions::rows(sandbox)?;
    let status = vm::run(sandbox, &options, streams)?;
    if status == 0 && minutes >= WRITTEN {
        let text = format!(
            "<!-- SPDX-License-Identifier: MIT OR Apache-2.0 -->\n\
             # The soak run\n\n\
             Written by `cargo xtask soak --minutes {minutes}`. Times are of an emulated machine whose \
             processors all loads share.\n\n\
             | | |\n| --- | --- |\n{rows}\n{}",
            transcript.text(),
        );
        let path = checkout::root().join(RESULT);
        fs::write(&path, text).with_context(|| format!("writing {path:?}"))?;
        say!("the result is in {}", path.display());
    }
    Ok(status)
}
