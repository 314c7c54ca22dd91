// SPDX-License-Identifier: MIT OR Apache-2.0

//! How the command ends.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::command::run::Unfit;
use crate::invocation::InvocationError;

/// Exit status of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Everything was done.
    Success,
    /// A call failed, was refused or did not run.
    Failed,
    /// The command line is wrong.
    Usage,
    /// The module is not loaded (`EX_UNAVAILABLE` of `sysexits.h`).
    NoModule,
}

impl Status {
    /// Failed, if anything did.
    pub fn failed_if(any: bool) -> Self {
        match any {
            true => Status::Failed,
            false => Status::Success,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        ExitCode::from(match status {
            Status::Success => 0,
            Status::Failed => 1,
            Status::Usage => 2,
            Status::NoModule => 69,
        })
    }
}

/// What ended the command early.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The module, or the way to it.
    #[error(transparent)]
    Module(#[from] nlcall::Error),
    /// The call on the command line.
    #[error(transparent)]
    Invocation(#[from] InvocationError),
    /// No memory for the calls.
    #[error("no memory")]
    Memory(#[source] io::Error),
    /// The standard output.
    #[error("cannot write the standard output")]
    Output(#[source] io::Error),
    /// The terminal that is drawn on.
    #[error("cannot use the terminal")]
    Terminal(#[source] io::Error),
    /// A setting on the command line.
    #[error("{name}: {why}")]
    Setting {
        /// As it was written.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The benchmark.
    #[error(transparent)]
    Bench(Box<dyn std::error::Error + Send + Sync>),
    /// Another process, and what it has to do with the failure.
    #[error("process {pid}: {why}")]
    Process {
        /// Its number.
        pid: u32,
        /// Why nothing is done with it.
        why: String,
    },
    /// A program that cannot be run with its calls redirected.
    #[error(transparent)]
    Program(Unfit),
    /// Running a program.
    #[error("cannot run the program")]
    Run(#[source] io::Error),
    /// A file on the command line.
    #[error("{}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why it cannot be read or written.
        source: io::Error,
    },
    /// A line of a file, of which nothing was done.
    #[error("{file}:{line}: {why}")]
    Line {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A call on a line of a file that the module does not make.
    #[error("{file}:{line}: refused: {why}")]
    Refused {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// Why not.
        why: String,
    },
    /// Nothing to show.
    #[error("no system call matches `{0}`")]
    NoMatch(String),
}

impl Failure {
    /// The exit status that says so.
    pub fn status(&self) -> Status {
        match self {
            Failure::Module(nlcall::Error::ModuleMissing) => Status::NoModule,
            Failure::Invocation(_)
            | Failure::Setting { .. }
            | Failure::Line { .. }
            | Failure::Program(_) => Status::Usage,
            Failure::Module(_)
            | Failure::Memory(_)
            | Failure::Output(_)
            | Failure::Terminal(_)
            | Failure::Bench(_)
            | Failure::Process { .. }
            | Failure::Run(_)
            | Failure::File { .. }
            | Failure::Refused { .. }
            | Failure::NoMatch(_) => Status::Failed,
        }
    }

    /// The error and what caused it, in one line.
    pub fn message(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        text
    }
}
