// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether this machine can run the guest in hardware.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{
    Child,
    Stdio, //
};
use std::thread;
use std::time::{
    Duration,
    Instant, //
};

use anyhow::{
    Context,
    Result, //
};

use crate::cache;
use crate::sandbox::Sandbox;

/// How long the kernel may take, in hardware, to come as far as looking for its root.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether it has.
const PERIOD: Duration = Duration::from_millis(20);
/// The last thing that a kernel without a root says.
const FOUND_NO_ROOT: &str = "Kernel panic - not syncing: VFS: Unable to mount root fs";

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor itself.
    Kvm,
    /// Emulation, one thread for each processor of the guest.
    Tcg,
    /// Emulation that counts instructions: the guest's clock advances by one nanosecond for each.
    Icount,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG (software emulation)",
            Self::Icount => "TCG with an instruction counter",
        })
    }
}

impl Accelerator {
    /// The fastest that works here.
    ///
    /// Being able to open `/dev/kvm`, and even to run a few instructions with it, says little:
    /// inside some virtual machines it then fails on the first one that it does not know. So
    /// the kernel itself must have booted with it. The answer holds until this machine boots
    /// again.
    pub fn fastest(sandbox: &Sandbox) -> Result<Self> {
        if !Path::new("/dev/kvm").exists() {
            return Ok(Self::Tcg);
        }
        let answer = cache::folder()?.join("kvm");
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let (works, fails) = (
            format!("{} works", boot.trim()),
            format!("{} fails", boot.trim()),
        );
        let known = fs::read_to_string(&answer).unwrap_or_default();
        if known == works {
            return Ok(Self::Kvm);
        }
        if known == fails {
            return Ok(Self::Tcg);
        }
        let kvm_works = boots_with_kvm(sandbox)?;
        let text = if kvm_works { works } else { fails };
        fs::write(&answer, text).with_context(|| format!("writing {answer:?}"))?;
        Ok(if kvm_works { Self::Kvm } else { Self::Tcg })
    }

    /// QEMU's options.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => &[
                "-accel",
                "tcg,thread=multi",
                "-cpu",
                "max,la57=off,erms=off,fsrm=off",
            ],
            // With the fast string operations every byte that the kernel copies (erms, fsrm, fzrm)
            // or clears (fsrs) or compares (fsrc) would count as an instruction.
            Self::Icount => &[
                "-accel",
                "tcg,thread=single",
                "-icount",
                "shift=0",
                "-cpu",
                "max,la57=off,erms=off,fsrm=off,fzrm=off,fsrs=off,fsrc=off",
            ],
        }
    }
}

/// Boots the stock kernel without a root, to the panic in which that ends.
fn boots_with_kvm(sandbox: &Sandbox) -> Result<bool> {
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    let log = folder.path().join("log");
    let log_file = fs::File::create(&log).with_context(|| format!("making {log:?}"))?;
    let qemu = sandbox
        .command("qemu-system-x86_64")
        .args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ])
        .args(["-machine", "q35", "-m", "512M", "-serial", "stdio"])
        .args(Accelerator::Kvm.arguments().iter().copied())
        .arg("-kernel")
        .arg(sandbox.stock_image()?)
        .args(["-append", "console=ttyS0 panic=-1"])
        .command()?
        .stdout(log_file)
        .stderr(Stdio::null())
        .spawn()
        .context("starting QEMU")?;
    wait_at_most(qemu, PATIENCE)?;
    let log = fs::read(&log).with_context(|| format!("reading {log:?}"))?;
    Ok(String::from_utf8_lossy(&log).contains(FOUND_NO_ROOT))
}

/// Waits for a process, and ends it when it takes longer than this.
fn wait_at_most(mut process: Child, limit: Duration) -> Result<()> {
    let begun = Instant::now();
    while process.try_wait().context("waiting for QEMU")?.is_none() {
        if begun.elapsed() > limit {
            process.kill().context("ending QEMU")?;
        }
        thread::sleep(PERIOD);
    }
    Ok(())
}
