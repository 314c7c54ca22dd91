// SPDX-License-Identifier: MIT OR Apache-2.0

//! The steps of the tour.

pub mod backpressure;
pub mod batch;
pub mod cat;
pub mod classic;
pub mod control;
pub mod crowd;
pub mod files;
pub mod inline;
pub mod monitor;
pub mod operator;
pub mod pipes;
pub mod process;
pub mod refusals;
pub mod unmodified;
pub mod workers;

use std::process::{Command, Output};

use anyhow::{ensure, Context, Result};
use nlcall::raw::{Outcome, Session};

/// Runs a program that has to succeed, and returns what it said.
fn run(program: &str, arguments: &[&str]) -> Result<Output> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("starting {program}"))?;
    let status = output.status;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        status.success(),
        "{program} ended with {status}: {}",
        errors.trim()
    );
    Ok(output)
}

/// Executes one call that has to succeed, and returns its value.
fn value(session: &Session, call: nlcall::raw::Call) -> Result<u64> {
    session.submit(call.into()).map_err(nlcall::Error::from)?;
    let completion = session.wait()?;
    ensure!(
        completion.outcome == Outcome::Ran,
        "the call did not run: {completion:?}"
    );
    completion.result().map_err(Into::into)
}
