// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU, from the sandbox's tree, with every channel on a descriptor of its own.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{
    Child,
    Stdio, //
};

use anyhow::{
    Context,
    Result, //
};
use guest_init::port;

use super::accelerator::Accelerator;
use super::share::Connection;
use crate::chamber::Chamber;
use crate::sandbox::Sandbox;

/// The guest's memory.
const MEMORY: &str = "2G";
/// Where QEMU finds the initramfs in the tree.
const INITRAMFS: &str = "/nlcall/initramfs";

/// This side of a running machine.
pub struct Machine {
    /// QEMU.
    pub process: Child,
    /// The kernel's log.
    pub console: UnixStream,
    /// The first process's reports.
    pub control: UnixStream,
    /// The command's standard input.
    pub stdin: UnixStream,
    /// Its standard output.
    pub stdout: UnixStream,
    /// Its standard error.
    pub stderr: UnixStream,
}

/// Starts a machine.
pub fn start(
    sandbox: &Sandbox,
    accelerator: Accelerator,
    cpus: u32,
    initramfs: &Path,
    command_line: &str,
    shares: Vec<Connection>,
    log: &Path,
) -> Result<Machine> {
    let mut qemu = sandbox.command("qemu-system-x86_64");
    qemu.bind_read_only(initramfs, INITRAMFS)
        .args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ])
        .args(["-machine", "q35,memory-backend=memory", "-m", MEMORY])
        .args([
            "-object".to_owned(),
            format!("memory-backend-memfd,id=memory,size={MEMORY},share=on"),
        ])
        .args(accelerator.arguments().iter().copied())
        .args(["-smp".to_owned(), cpus.to_string()])
        .args(["-device", "virtio-serial-pci"])
        .arg("-kernel")
        .arg(sandbox.image()?)
        .args(["-initrd", INITRAMFS, "-append", command_line]);
    let console = channel(&mut qemu, "console")?;
    qemu.args(["-serial", "chardev:console"]);
    let mut ends = Vec::new();
    for name in [port::CONTROL, port::STDIN, port::STDOUT, port::STDERR] {
        ends.push(channel(&mut qemu, name)?);
        qemu.args([
            "-device".to_owned(),
            format!("virtserialport,chardev={name},name={name}"),
        ]);
    }
    for share in shares {
        let descriptor = qemu.descriptor(share.socket);
        let tag = share.tag;
        qemu.args([
            "-chardev".to_owned(),
            format!("socket,id={tag},fd={descriptor}"),
        ]);
        qemu.args([
            "-device".to_owned(),
            format!("vhost-user-fs-pci,chardev={tag},tag={tag},queue-size=1024"),
        ]);
    }
    let log = File::create(log).with_context(|| format!("making {log:?}"))?;
    let process = qemu
        .command()?
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("sharing the log")?)
        .stderr(log)
        .spawn()
        .context("starting QEMU")?;
    let mut ends = ends.into_iter();
    let mut next = || ends.next().context("a channel is missing");
    Ok(Machine {
        process,
        console,
        control: next()?,
        stdin: next()?,
        stdout: next()?,
        stderr: next()?,
    })
}

/// Makes a two-way channel, gives QEMU one end and returns the other.
fn channel(qemu: &mut Chamber, name: &str) -> Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair().context("making a channel")?;
    let descriptor = qemu.descriptor(theirs);
    qemu.args([
        "-chardev".to_owned(),
        format!("socket,id={name},fd={descriptor}"),
    ]);
    Ok(ours)
}
