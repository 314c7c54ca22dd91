// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest's first process: sets the machine up, runs one command, reports, reboots.
//!
//! It starts from an initramfs that holds nothing else, so it is linked statically.

mod checkers;
mod command;
mod module;
mod mounts;
mod network;
mod port;

use std::fs::File;
use std::io::{
    Read,
    Write, //
};
use std::path::Path;

use anyhow::{
    Context,
    Result, //
};
use guest_init::{
    port as port_name,
    Finished,
    Job,
    Report,
    ACKNOWLEDGED,
    JOB_FILE,
    RUN_DIR, //
};

/// The most that the kernel takes for `watchdog_thresh`.
const MOST_WATCHDOG_SECONDS: u32 = 60;

fn main() {
    let mut control = match start() {
        Ok(control) => control,
        Err(error) => {
            // Nobody listens yet but the console.
            eprintln!("nlcall-guest-init: {error:#}");
            reboot();
        }
    };
    let mut finished = None;
    let report = match run(&mut finished) {
        Ok(finished) => Report::Finished(finished),
        Err(error) => Report::Failed {
            finished,
            reason: format!("{error:#}"),
        },
    };
    if let Err(error) =
        say(&mut control, &report).and_then(|()| wait_for_acknowledgement(&mut control))
    {
        eprintln!("nlcall-guest-init: {error:#}");
    }
    reboot();
}

/// Mounts what the ports need and tells the host that the guest has booted.
fn start() -> Result<File> {
    mounts::mount_kernel_interfaces()?;
    let mut control = port::open(port_name::CONTROL)?;
    say(&mut control, &Report::Booted)?;
    Ok(control)
}

/// Does the job. `finished` is set as soon as the command has ended, whatever goes wrong
/// afterwards.
fn run(finished: &mut Option<Finished>) -> Result<Finished> {
    mounts::enter_root()?;
    let path = Path::new(RUN_DIR).join(JOB_FILE);
    let job = std::fs::read(&path).with_context(|| format!("reading {path:?}"))?;
    let job: Job = serde_json::from_slice(&job).with_context(|| format!("reading {path:?}"))?;
    mounts::mount_shares(&job.shares)?;
    network::set_up()?;
    set_limits(job.patience)?;
    checkers::switch_on()?;
    if let Some(parameters) = &job.module {
        module::load(parameters)?;
    }
    let result = command::run(&job)?;
    *finished = Some(result);
    if job.module.is_some() {
        module::unload(job.patience)?;
    }
    if job.leaks {
        checkers::look_for_leaks()?;
    }
    checkers::are_still_on()?;
    Ok(result)
}

/// What the kernel shall take for a hang here, where a machine emulated in software shares its
/// processors with others; and an oops ends the machine, so that the host sees it at once.
fn set_limits(patience: u32) -> Result<()> {
    for (name, value) in [
        ("hung_task_timeout_secs", 60 * patience),
        (
            "watchdog_thresh",
            (30 * patience).min(MOST_WATCHDOG_SECONDS),
        ),
        ("panic_on_oops", 1),
    ] {
        let path = Path::new("/proc/sys/kernel").join(name);
        // A kernel built without the detector has no knob for it.
        if path.exists() {
            std::fs::write(&path, value.to_string())
                .with_context(|| format!("setting {path:?}"))?;
        }
    }
    Ok(())
}

fn say(control: &mut File, report: &Report) -> Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    control
        .write_all(&line)
        .context("writing to the control port")
}

/// The host answers once it has read everything that was written.
fn wait_for_acknowledgement(control: &mut File) -> Result<()> {
    let mut byte = [0];
    while byte[0] != ACKNOWLEDGED {
        control
            .read_exact(&mut byte)
            .context("waiting for the host")?;
    }
    Ok(())
}

/// Ends the machine: the host started it so that a reboot does.
fn reboot() -> ! {
    loop {
        if let Err(error) = rustix::system::reboot(rustix::system::RebootCommand::Restart) {
            eprintln!("nlcall-guest-init: reboot: {error}");
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    }
}
