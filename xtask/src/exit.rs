// SPDX-License-Identifier: MIT OR Apache-2.0

//! How `cargo xtask` ends.

use std::fmt;

/// The exit statuses that are this program's own. `vm` otherwise passes on the status of its
/// command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// A test failed, a build failed, or something unforeseen happened.
    Failed = 1,
    /// The guest's kernel complained, hung or died, or the module could not be loaded or unloaded.
    Guest = 70,
    /// The time limit passed.
    TimedOut = 71,
    /// This machine lacks something, or the sandbox could not be prepared.
    Machine = 72,
}

/// Shown by `--help`.
pub const HELP: &str = "\
Exit status:
  0   all went well
  1   a test or a build failed
  2   the command line was not understood
  70  the guest's kernel complained, hung or died, or the module could not be loaded or unloaded
  71  the time limit passed
  72  this machine lacks something, or the sandbox could not be prepared
`vm` otherwise ends with the status of its command; where a signal ended that, with 128 and the
number of the signal.
A message of this program begins with `xtask:`.";

/// An error with the exit status it leads to.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// Ends the program with this status and message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The status that an error leads to.
pub fn status_of(error: &anyhow::Error) -> u8 {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Failure>())
        .map_or(Exit::Failed, |failure| failure.exit) as u8
}
