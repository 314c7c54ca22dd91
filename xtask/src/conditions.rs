// SPDX-License-Identifier: MIT OR Apache-2.0

//! Under which conditions a result came about.

use std::fs;
use std::process::Command;

use anyhow::{
    Context,
    Result, //
};

use crate::checkout;
use crate::sandbox::Sandbox;
use crate::vm;

/// The commit, the kernel, the guest and the machine, as rows of a table of two columns.
pub fn rows(sandbox: &Sandbox) -> Result<String> {
    let qemu = sandbox
        .command("qemu-system-x86_64")
        .arg("--version")
        .output()?;
    let processors = std::thread::available_parallelism().context("counting processors")?;
    Ok(format!(
        "| commit | {} |\n\
         | kernel | {sandbox} |\n\
         | guest | {} processors, {} |\n\
         | machine | {processors} processors, {}, {} |\n",
        git(&["describe", "--always", "--dirty", "--abbrev=12"]),
        vm::Options::default().cpus,
        vm::Accelerator::fastest(sandbox)?,
        processor_model(),
        qemu.lines().next().unwrap_or_default(),
    ))
}

fn git(args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(checkout::root())
        .args(args)
        .output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

/// This machine's processor, as the kernel calls it.
pub fn processor_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model
        .map_or("unknown processor", |(_, model)| model)
        .to_owned()
}
