// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the host and the guest's first process say to each other.
//!
//! The host writes a [`Job`] into the run's directory before it boots the guest. The guest answers
//! on the control port, one JSON object per line: [`Report::Booted`] once, then
//! [`Report::Finished`] or [`Report::Failed`] once. It then waits for the host's [`ACKNOWLEDGED`]
//! byte, so that nothing that is still on its way is lost, and reboots, which ends the machine.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{
    Deserialize,
    Serialize, //
};

/// Names of the virtio-serial ports, as the guest finds them in `/sys/class/virtio-ports`.
pub mod port {
    /// The command's standard input.
    pub const STDIN: &str = "nlcall.stdin";
    /// The command's standard output.
    pub const STDOUT: &str = "nlcall.stdout";
    /// The command's standard error.
    pub const STDERR: &str = "nlcall.stderr";
    /// Reports to the host, and its acknowledgement.
    pub const CONTROL: &str = "nlcall.control";
}

/// virtiofs tags of the folders that every guest has.
pub mod tag {
    /// The sandbox's tree, read-only: the lower layer of the guest's root.
    pub const ROOT: &str = "nlcall-root";
    /// The run's directory, read-only: the [`Job`](super::Job), the module, the programs.
    pub const RUN: &str = "nlcall-run";
}

/// Where the run's directory is mounted in the guest.
pub const RUN_DIR: &str = "/run/nlcall";
/// File name of the [`Job`] in the run's directory.
pub const JOB_FILE: &str = "job.json";
/// File name of the module in the run's directory.
pub const MODULE_FILE: &str = "nlcall.ko";
/// Name of the folder with the programs, in the run's directory.
pub const PROGRAMS_DIR: &str = "bin";
/// Name of the module once it is loaded.
pub const MODULE_NAME: &str = "nlcall";
/// Variable of the command's environment with the job's [`patience`](Job::patience).
pub const PATIENCE_VARIABLE: &str = "NLCALL_PATIENCE";
/// What the host sends when it has read everything.
pub const ACKNOWLEDGED: u8 = b'!';

/// What the guest is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// Variables added to the command's environment.
    pub env: Vec<(String, OsString)>,
    /// Parameters to load the module with; `None` leaves it unloaded.
    pub module: Option<String>,
    /// Folders shared with the host, besides the two of [`tag`].
    pub shares: Vec<Share>,
    /// How often longer than in a stock kernel everything may take; the command finds it in
    /// [`PATIENCE_VARIABLE`].
    pub patience: u32,
    /// Look for leaked memory of the kernel when the module is unloaded; the kernel must keep
    /// account of its allocations.
    pub leaks: bool,
}

/// A folder of the host in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// virtiofs tag.
    pub tag: String,
    /// Absolute path in the guest; made when missing.
    pub at: PathBuf,
}

/// What the guest tells the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The first process runs.
    Booted,
    /// The command ended and everything after it went well.
    Finished(Finished),
    /// The guest could not do what it should; the reason, for a person.
    Failed {
        /// The command's status, where it ran to its end.
        finished: Option<Finished>,
        /// Why.
        reason: String,
    },
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Its exit status, or 128 and the number of the signal that ended it.
    pub status: u8,
    /// Bytes it wrote to standard output.
    pub stdout_bytes: u64,
    /// Bytes it wrote to standard error.
    pub stderr_bytes: u64,
}
