// SPDX-License-Identifier: MIT OR Apache-2.0

//! Boots the guest and runs one command in it.

mod accelerator;
mod command_line;
mod console;
mod initramfs;
mod machine;
mod race;
mod relay;
mod run_folder;
mod share;
mod watch;

use std::ffi::OsString;
use std::fs::File;
use std::io::{
    Read,
    Write, //
};
use std::os::fd::{
    AsFd,
    BorrowedFd, //
};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{
    Context,
    Result, //
};
use guest_init::{
    tag,
    Job,
    Share, //
};

pub use self::accelerator::Accelerator;
pub use self::share::ShareArgument;

use self::run_folder::RunFolder;
use self::share::Access;
use self::watch::{
    Limits,
    Outcome,
    Watch, //
};
use crate::exit::{
    Exit,
    Failure, //
};
use crate::module;
use crate::programs;
use crate::sandbox::Sandbox;
use crate::say::say;
use crate::tally::Transcript;

/// Boots that never reached the first process are tried this often.
const BOOTS: u32 = 3;
/// Parameters that the module is loaded with, besides those of the user.
const PARAMETERS: &str = "access=everyone";
/// How long looking for leaks may take.
const LEAKS_LIMIT: Duration = Duration::from_secs(1200);

/// Processors of the guest.
pub const DEFAULT_CPUS: u32 = 2;
/// Seconds that a command may take, in a stock kernel.
pub const DEFAULT_TIMEOUT_SECONDS: u64 = 600;

/// What to run, and in what kind of guest.
#[derive(Clone, Debug)]
pub struct Options {
    /// Processors; one with an instruction counter.
    pub cpus: u32,
    /// Count instructions: one for each nanosecond of the guest's clock.
    pub icount: bool,
    /// Folders shared with the guest.
    pub shares: Vec<ShareArgument>,
    /// Parameters of the module.
    pub parameters: String,
    /// Time limit of the command.
    pub timeout: Duration,
    /// Leave the module unloaded.
    pub plain: bool,
    /// Look for leaked memory of the kernel when the command has ended; a debug kernel can.
    pub leaks: bool,
    /// Program and arguments.
    pub command: Vec<OsString>,
}

impl Default for Options {
    /// No command yet; two processors, the module loaded, ten minutes.
    fn default() -> Self {
        Self {
            cpus: DEFAULT_CPUS,
            icount: false,
            shares: Vec::new(),
            parameters: String::new(),
            timeout: Duration::from_secs(DEFAULT_TIMEOUT_SECONDS),
            plain: false,
            leaks: false,
            command: Vec::new(),
        }
    }
}

/// What the command's standard streams are connected with.
pub struct Streams {
    /// Standard input.
    pub stdin: Box<dyn Read + Send>,
    /// Standard output.
    pub stdout: Box<dyn Write + Send>,
    /// Standard error.
    pub stderr: Box<dyn Write + Send>,
}

impl Streams {
    /// This program's own, without a buffer in between.
    pub fn own() -> Result<Self> {
        let own = |descriptor: BorrowedFd<'_>| descriptor.try_clone_to_owned().map(File::from);
        Ok(Self {
            stdin: Box::new(own(std::io::stdin().as_fd()).context("opening standard input")?),
            stdout: Box::new(own(std::io::stdout().as_fd()).context("opening standard output")?),
            stderr: Box::new(own(std::io::stderr().as_fd()).context("opening standard error")?),
        })
    }

    /// Nothing to read; what is written goes to this program's own, and is kept.
    pub fn kept(transcript: &Transcript) -> Result<Self> {
        Ok(Self {
            stdin: Box::new(std::io::empty()),
            stdout: Box::new(transcript.and(std::io::stdout())),
            stderr: Box::new(transcript.and(Self::own()?.stderr)),
        })
    }
}

/// Runs the command in a guest and returns its exit status.
pub fn run(sandbox: &Sandbox, options: &Options, streams: Streams) -> Result<u8> {
    let run = RunFolder::new()?;
    let init = programs::init()?;
    initramfs::write(&run.initramfs(), &init)?;
    run.give_programs(&programs::all(sandbox)?)?;
    if !options.plain {
        run.give_module(&module::build(sandbox)?)?;
    }
    let shares: Vec<_> = options
        .shares
        .iter()
        .enumerate()
        .map(|(number, share)| Share {
            tag: format!("nlcall-share{number}"),
            at: share.guest.clone(),
        })
        .collect();
    run.give_job(&Job {
        command: options.command.clone(),
        env: passed_variables(),
        module: (!options.plain).then(|| {
            format!("{PARAMETERS} {}", options.parameters)
                .trim_end()
                .to_owned()
        }),
        shares: shares.clone(),
        patience: sandbox.patience(),
        leaks: options.leaks,
    })?;
    let mut accelerator = if options.icount {
        Accelerator::Icount
    } else {
        Accelerator::fastest(sandbox)?
    };
    let mut streams = Some(streams);
    let mut boot = 1;
    loop {
        match attempt(sandbox, options, &run, &shares, accelerator, &mut streams)? {
            Outcome::Ended(status) => {
                run.remove();
                return Ok(status);
            }
            Outcome::Failed(exit, reason) => return Err(Failure::new(exit, reason).into()),
            Outcome::NeverBooted(reason) if boot == BOOTS => {
                return Err(Failure::new(
                    Exit::Guest,
                    format!("{reason}\n  That was boot {boot} of {BOOTS}."),
                )
                .into());
            }
            Outcome::NeverBooted(reason) => {
                say!("boot {boot} of {BOOTS}, with {accelerator}: {reason}\n  Trying again.");
                boot += 1;
                if accelerator == Accelerator::Kvm {
                    accelerator = Accelerator::Tcg;
                }
            }
        }
    }
}

/// Variables of the user's environment that the command sees.
fn passed_variables() -> Vec<(String, OsString)> {
    ["RUST_BACKTRACE", "RUST_LOG", "NO_COLOR"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var_os(name)?)))
        .collect()
}

/// One boot.
fn attempt(
    sandbox: &Sandbox,
    options: &Options,
    run: &RunFolder,
    shares: &[Share],
    accelerator: Accelerator,
    streams: &mut Option<Streams>,
) -> Result<Outcome> {
    // Names of sockets are at most 107 bytes long, which those of the cache may exceed.
    let sockets = tempfile::Builder::new()
        .prefix("nlcall")
        .tempdir()
        .context("making a temporary folder")?;
    let mut daemons = Daemons(Vec::new());
    let mut connections = Vec::new();
    let mut serve = |folder: &Path, tag: &str, access| -> Result<()> {
        let (daemon, connection) =
            share::serve(sandbox, folder, tag, access, sockets.path(), &run.logs())?;
        daemons.0.push(daemon);
        connections.push(connection);
        Ok(())
    };
    serve(&sandbox.tree(), tag::ROOT, Access::ReadOnly)?;
    serve(&run.given(), tag::RUN, Access::ReadOnly)?;
    for (share, argument) in shares.iter().zip(&options.shares) {
        serve(&argument.host, &share.tag, Access::ReadWrite)?;
    }
    // All are connected; the names are not needed any more.
    sockets.close().context("removing the temporary folder")?;
    let cpus = if accelerator == Accelerator::Icount {
        1
    } else {
        options.cpus
    };
    let qemu_log = run.logs().join("qemu.log");
    let machine = machine::start(
        sandbox,
        accelerator,
        cpus,
        &run.initramfs(),
        &command_line::of(sandbox, options.leaks),
        connections,
        &qemu_log,
    )?;
    let mut limits = Limits::new(options.timeout, sandbox.patience());
    if options.leaks {
        limits = limits.after_command(LEAKS_LIMIT);
    }
    Watch::new(machine, &run.console(), &qemu_log, limits)?.until_end(streams)
}

/// Daemons, which end with this.
struct Daemons(Vec<Child>);

impl Drop for Daemons {
    fn drop(&mut self) {
        for daemon in &mut self.0 {
            // One that has ended by itself cannot be killed, which is as well.
            drop(daemon.kill());
            drop(daemon.wait());
        }
    }
}
