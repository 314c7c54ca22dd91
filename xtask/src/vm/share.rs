// SPDX-License-Identifier: MIT OR Apache-2.0

//! Folders of the host in the guest, by virtiofs.

use std::fs::File;
use std::os::unix::net::{
    UnixListener,
    UnixStream, //
};
use std::path::{
    Path,
    PathBuf, //
};
use std::process::{
    Child,
    Stdio, //
};
use std::str::FromStr;

use anyhow::{
    Context,
    Result, //
};
use rustix::process::{
    getrlimit,
    Resource, //
};

use crate::sandbox::Sandbox;

/// The daemon, in the sandbox's tree.
const DAEMON: &str = "/usr/libexec/virtiofsd";
/// Where it sees the folder that it serves.
const SERVED: &str = "/nlcall/served";
/// Most descriptors it may hold: one for each file that the guest knows.
const MOST_DESCRIPTORS: u64 = 1_000_000;

/// What `--share` names: a folder of the host and where the guest sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareArgument {
    /// Folder of the host.
    pub host: PathBuf,
    /// Absolute path in the guest.
    pub guest: PathBuf,
}

impl FromStr for ShareArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = "write HOSTDIR:GUESTDIR, with an absolute path for the guest";
        // The last colon: a folder of the host may have one in its name.
        let (host, guest) = text.rsplit_once(':').ok_or(form)?;
        let (host, guest) = (Path::new(host), Path::new(guest));
        if host.as_os_str().is_empty() || !guest.is_absolute() || guest.parent().is_none() {
            return Err(form.to_owned());
        }
        if guest.components().any(|part| part.as_os_str() == "..") {
            return Err(format!("{guest:?} leads upwards; {form}"));
        }
        let host = host
            .canonicalize()
            .map_err(|error| format!("{}: {error}", host.display()))?;
        if !host.is_dir() {
            return Err(format!("{} is not a folder", host.display()));
        }
        Ok(Self {
            host,
            guest: guest.to_owned(),
        })
    }
}

/// Whether the guest may change what is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It may not, and nothing else changes it either while the guest runs: the guest may keep
    /// what it read.
    ReadOnly,
    /// It may, and so may the host.
    ReadWrite,
}

/// The machine's end of the connection to a daemon.
#[derive(Debug)]
pub struct Connection {
    /// virtiofs tag of what the daemon serves.
    pub tag: String,
    /// Socket.
    pub socket: UnixStream,
}

/// Starts a daemon that serves `folder`. It ends when the machine does. Sockets are made in
/// `sockets`, which must have a short name.
pub fn serve(
    sandbox: &Sandbox,
    folder: &Path,
    tag: &str,
    access: Access,
    sockets: &Path,
    logs: &Path,
) -> Result<(Child, Connection)> {
    let path = sockets.join(tag);
    let listener =
        UnixListener::bind(&path).with_context(|| format!("making the socket {path:?}"))?;
    let connected =
        UnixStream::connect(&path).with_context(|| format!("connecting to {path:?}"))?;
    let log = logs.join(format!("virtiofsd-{tag}.log"));
    let log = File::create(&log).with_context(|| format!("making {log:?}"))?;
    let descriptors = getrlimit(Resource::Nofile)
        .maximum
        .unwrap_or(MOST_DESCRIPTORS)
        .min(MOST_DESCRIPTORS);
    let mut command = sandbox.command(DAEMON);
    let socket = command.descriptor(listener);
    command
        .args([
            format!("--fd={socket}"),
            format!("--rlimit-nofile={descriptors}"),
        ])
        // The daemon already lives in namespaces of its own.
        .args(["--sandbox=none", "--log-level=warn", "--shared-dir", SERVED]);
    match access {
        Access::ReadOnly => command
            .args(["--readonly", "--cache=always"])
            // It has an open descriptor of each file that the guest knows otherwise, and the guest
            // may know more than a process may have open.
            .arg("--inode-file-handles=prefer")
            .bind_read_only(folder, SERVED),
        Access::ReadWrite => command.args(["--cache=auto"]).bind(folder, SERVED),
    };
    let daemon = command
        .command()?
        .stdout(log.try_clone().context("sharing the log")?)
        .stderr(log)
        .stdin(Stdio::null())
        .spawn()
        .context("starting virtiofsd")?;
    Ok((
        daemon,
        Connection {
            tag: tag.to_owned(),
            socket: connected,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_names_a_folder_and_an_absolute_path() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("a:b");
        std::fs::create_dir(&odd).unwrap();
        let share: ShareArgument = format!("{}:/mnt", odd.display()).parse().unwrap();
        assert_eq!(share.host, odd.canonicalize().unwrap());
        assert_eq!(share.guest, Path::new("/mnt"));
    }

    #[test]
    fn other_forms_are_refused_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().display();
        for wrong in [
            format!("{folder}"),
            format!("{folder}:mnt"),
            format!("{folder}:/"),
            format!("{folder}:/mnt/.."),
            ":/mnt".to_owned(),
            format!("{folder}/missing:/mnt"),
        ] {
            assert!(wrong.parse::<ShareArgument>().is_err(), "{wrong}");
        }
    }
}
