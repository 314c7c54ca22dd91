// SPDX-License-Identifier: MIT OR Apache-2.0

//! Commands inside a tree, with mounts that nobody else sees.
//!
//! Each command gets mount and process namespaces of its own (and, for a normal user, a user
//! namespace in which it is root). Its mounts vanish with it, however it ends: none reaches the
//! machine's mount table, and none is left behind in the tree. When the process that started it
//! dies, so does it.
//!
//! `unshare(1)` makes the namespaces; it then runs this program again as the hidden command
//! `enter`, which mounts what the [`Plan`] says, changes into the tree and starts the command.

mod enter;
mod remove;

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{
    Path,
    PathBuf, //
};
use std::process::{
    Command,
    Stdio, //
};

use anyhow::{
    bail,
    Context,
    Result, //
};
use command_fds::{
    CommandFdExt,
    FdMapping, //
};
use serde::{
    Deserialize,
    Serialize, //
};

pub use self::enter::enter;
pub use self::remove::remove_tree;

/// Folder inside every tree below which folders of the machine are mounted.
pub const MOUNT_DIR: &str = "/nlcall";

/// Descriptor under which the namespaces' first process finds this program.
const SELF_FD: i32 = 3;
/// First descriptor number for the ones that a command inherits.
pub const FIRST_FD: i32 = 10;

/// Variables that pass from the user's environment into a tree.
const PASSED_VARIABLES: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SOURCE_DATE_EPOCH",
];

/// A folder or file of the machine that is mounted into the tree.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Bind {
    source: PathBuf,
    target: PathBuf,
    read_only: bool,
}

/// What `enter` is to set up and run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    tree: PathBuf,
    layer: Option<PathBuf>,
    binds: Vec<Bind>,
    folder: PathBuf,
    command: Vec<OsString>,
}

/// A command that will run inside a tree.
pub struct Chamber {
    plan: Plan,
    descriptors: Vec<(OwnedFd, i32)>,
}

impl Chamber {
    /// `program` inside `tree`.
    pub fn new(tree: &Path, program: impl Into<OsString>) -> Self {
        Self {
            plan: Plan {
                tree: tree.to_owned(),
                layer: None,
                binds: Vec::new(),
                folder: PathBuf::from("/"),
                command: vec![program.into()],
            },
            descriptors: Vec::new(),
        }
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl Into<OsString>) -> &mut Self {
        self.plan.command.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(&mut self, args: impl IntoIterator<Item = A>) -> &mut Self {
        self.plan.command.extend(args.into_iter().map(Into::into));
        self
    }

    /// The program and its arguments.
    pub fn words(&self) -> &[OsString] {
        &self.plan.command
    }

    /// Starts it in this folder of the tree.
    pub fn folder(&mut self, folder: impl Into<PathBuf>) -> &mut Self {
        self.plan.folder = folder.into();
        self
    }

    /// Shows `source` of the machine at `target` of the tree. The target lies below [`MOUNT_DIR`],
    /// or exists.
    pub fn bind(&mut self, source: &Path, target: impl Into<PathBuf>) -> &mut Self {
        self.plan.binds.push(Bind {
            source: source.to_owned(),
            target: target.into(),
            read_only: false,
        });
        self
    }

    /// As [`bind`](Self::bind), without the right to write.
    pub fn bind_read_only(&mut self, source: &Path, target: impl Into<PathBuf>) -> &mut Self {
        self.plan.binds.push(Bind {
            source: source.to_owned(),
            target: target.into(),
            read_only: true,
        });
        self
    }

    /// Shows the machine's name resolution in the tree, for commands that download.
    pub fn online(&mut self) -> &mut Self {
        for file in ["/etc/resolv.conf", "/etc/hosts"] {
            if Path::new(file).exists() {
                self.bind_read_only(Path::new(file), file);
            }
        }
        self
    }

    /// Keeps what the command writes into the tree in this folder instead.
    pub fn layer(&mut self, folder: &Path) -> &mut Self {
        self.plan.layer = Some(folder.to_owned());
        self
    }

    /// Hands a descriptor to the command and returns the number it has there.
    pub fn descriptor(&mut self, descriptor: impl Into<OwnedFd>) -> i32 {
        let last = self.descriptors.last().map(|&(_, number)| number);
        let number = last.map_or(FIRST_FD, |last| last + 1);
        self.descriptors.push((descriptor.into(), number));
        number
    }

    /// The command, ready to be started once: it takes the descriptors. Its standard input is
    /// empty.
    pub fn command(&mut self) -> Result<Command> {
        let plan = serde_json::to_string(&self.plan).context("writing down what to run")?;
        let mut command = unshare();
        command
            .args([
                "--pid",
                "--",
                &format!("/proc/self/fd/{SELF_FD}"),
                "enter",
                &plan,
            ])
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", "/root")
            .env("LANG", "C.UTF-8")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .envs(
                PASSED_VARIABLES
                    .iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .stdin(Stdio::null());
        let this_program = File::open("/proc/self/exe").context("opening this program")?;
        let mappings = std::iter::once((this_program.into(), SELF_FD))
            .chain(std::mem::take(&mut self.descriptors))
            .map(|(parent_fd, child_fd)| FdMapping {
                parent_fd,
                child_fd,
            })
            .collect();
        command
            .fd_mappings(mappings)
            .context("passing descriptors on")?;
        Ok(command)
    }

    /// Runs the command to its end and returns its standard output.
    pub fn output(&mut self) -> Result<String> {
        let line = self.line();
        let output = self
            .command()?
            .output()
            .with_context(|| format!("starting {line}"))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!(
                "{line} ended with {}:\n{}",
                output.status,
                errors.trim_end()
            );
        }
        String::from_utf8(output.stdout).with_context(|| format!("the output of {line}"))
    }

    /// The command as a person would type it.
    pub fn line(&self) -> String {
        let words: Vec<_> = self
            .plan
            .command
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        words.join(" ")
    }
}

/// `unshare` with a mount namespace of its own, as root of it, which dies with this process: with
/// the thread that starts it, so the main thread does.
pub fn unshare() -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user", "--map-auto"]);
    }
    command.args([
        "--mount",
        "--propagation",
        "private",
        "--fork",
        "--kill-child",
    ]);
    let parent = rustix::process::getpid();
    let die_with_parent = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // The parent may have died before the line above.
        if rustix::process::getppid() != Some(parent) {
            return Err(rustix::io::Errno::SRCH.into());
        }
        Ok(())
    };
    // SAFETY: Between fork and exec the closure makes two system calls and touches no memory but
    // its own, so no lock that another thread held at the fork is waited for.
    unsafe { command.pre_exec(die_with_parent) };
    command
}
