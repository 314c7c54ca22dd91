// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls that act on this process, or on another one.

use std::{
    env,
    fs::File,
    io::Read,
    os::{
        fd::{FromRawFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::Command,
};

use anyhow::{ensure, Context, Result};
use nlcall::raw::Session;
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
};

use crate::report::Report;

/// A signal through netlink.
pub fn kill(report: &mut Report) -> Result<()> {
    let mut sleeper = Command::new("sleep")
        .arg("1000000")
        .spawn()
        .context("starting sleep")?;
    let pid = sleeper.id().to_string();
    super::run("nlcall", &["kill", "-TERM", &pid])?;
    report.show(format_args!("$ sleep 1000000 & nlcall kill -TERM {pid}"));
    let status = sleeper.wait().context("waiting for sleep")?;
    report.show(format_args!("sleep ended: {status}"));
    ensure!(
        status.signal() == Some(libc::SIGTERM),
        "it was to end by SIGTERM"
    );
    report.checked("wait(2) says that SIGTERM ended it");
    Ok(())
}

/// The calls run in the process that asked.
pub fn getpid(report: &mut Report) -> Result<()> {
    let session = Session::open()?;
    let pid = super::value(&session, calls::getpid())?;
    report.show(format_args!("getpid() = {pid}"));
    let own = u64::from(std::process::id());
    ensure!(pid == own, "this process has the id {own}");
    report.checked("a plain getpid() gives the same");
    Ok(())
}

/// A descriptor that a call made is a descriptor of this process.
pub fn openat(report: &mut Report) -> Result<()> {
    const FILE: &str = "/etc/hostname";

    let session = Session::open()?;
    let path = Memory::string(FILE);
    let openat = call(
        libc::SYS_openat,
        &[libc::AT_FDCWD.into(), path.into(), 0.into()],
    );
    let fd = super::value(&session, openat)?;
    // SAFETY: the call just made this descriptor, for us.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    let mut text = String::new();
    file.read_to_string(&mut text)
        .context("a plain read of the descriptor")?;
    report.show(format_args!("openat(AT_FDCWD, {FILE:?}, O_RDONLY) = {fd}"));
    report.show(format_args!("read({fd}) = {text:?}"));
    ensure!(
        text == std::fs::read_to_string(FILE)?,
        "{FILE} holds something else"
    );
    report.checked("opened and read plainly, the file holds the same");
    Ok(())
}

/// The working directory is this process's.
pub fn chdir(report: &mut Report) -> Result<()> {
    const FOLDER: &str = "/usr/share";

    let before = env::current_dir()?;
    let session = Session::open()?;
    super::value(
        &session,
        call(libc::SYS_chdir, &[Memory::string(FOLDER).into()]),
    )?;
    let now = env::current_dir()?;
    env::set_current_dir(&before)?;
    report.show(format_args!("chdir({FOLDER:?}) = 0"));
    report.show(format_args!(
        "before: {}, after: {}",
        before.display(),
        now.display()
    ));
    ensure!(now.as_os_str() == FOLDER, "the process did not move");
    report.checked("a plain getcwd() before and after it");
    Ok(())
}
