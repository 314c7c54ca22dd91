// SPDX-License-Identifier: MIT OR Apache-2.0

//! What this machine must have before a sandbox can be made, looked at before anything is done.

use std::path::{
    Path,
    PathBuf, //
};
use std::process::{
    Command,
    Stdio, //
};

use anyhow::{
    Context,
    Result, //
};

use crate::exit::{
    Exit,
    Failure, //
};
use crate::say::say;

/// Bytes that the finished sandbox takes.
pub const SANDBOX_BYTES: u64 = 5_000_000_000;
/// Bytes that must be free while it is made.
pub const BYTES_FOR_ALL: u64 = 6_500_000_000;
/// Bytes that must be free while a kernel's part of it is made.
pub const BYTES_FOR_KERNEL: u64 = 3_500_000_000;
/// Bytes that a debug kernel takes, besides.
pub const DEBUG_KERNEL_BYTES: u64 = 3_000_000_000;
/// Bytes that must be free while it is made.
pub const BYTES_FOR_DEBUG_KERNEL: u64 = 3_500_000_000;

/// A program or file that a Debian package brings.
struct Need {
    package: &'static str,
    present: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need {
        package: "mmdebstrap",
        present: || in_path("mmdebstrap"),
    },
    Need {
        package: "debian-archive-keyring",
        present: || {
            ["gpg", "pgp"].iter().any(|extension| {
                Path::new("/usr/share/keyrings/debian-archive-keyring")
                    .with_extension(extension)
                    .exists()
            })
        },
    },
    Need {
        package: "util-linux",
        present: || in_path("unshare"),
    },
    Need {
        package: "uidmap",
        present: || rustix::process::geteuid().is_root() || in_path("newuidmap"),
    },
];

/// Whether a program is in one of the folders of PATH, or where administrators' programs are.
fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|folder| folder.join(program).is_file())
}

/// Looks at everything that making a sandbox needs, and installs missing packages where it may.
pub fn check(cache: &Path, needed: u64) -> Result<()> {
    let mut problems = Vec::new();
    if !cfg!(target_arch = "x86_64") {
        problems.push("the sandbox is made for x86-64 only".to_owned());
    }
    let free = free_bytes(cache)?;
    if free < needed {
        problems.push(format!(
            "{} has {:.1} GB free and {:.1} GB are needed: make room, or set NLCALL_CACHE to a folder \
             elsewhere",
            cache.display(),
            free as f64 / 1e9,
            needed as f64 / 1e9,
        ));
    }
    let missing: Vec<_> = NEEDS
        .iter()
        .filter(|need| !(need.present)())
        .map(|need| need.package)
        .collect();
    if !missing.is_empty() {
        if rustix::process::geteuid().is_root() && in_path("apt-get") {
            install(&missing)?;
        } else {
            problems.push(format!(
                "missing: {}; install with: {}",
                missing.join(", "),
                install_command(&missing)
            ));
        }
    }
    if problems.is_empty() && !rustix::process::geteuid().is_root() {
        if let Err(reason) = try_namespaces() {
            problems.push(reason);
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let list: String = problems
        .iter()
        .map(|problem| format!("\n  - {problem}"))
        .collect();
    Err(Failure::new(
        Exit::Machine,
        format!("the sandbox cannot be made on this machine yet:{list}"),
    )
    .into())
}

fn free_bytes(folder: &Path) -> Result<u64> {
    let info = rustix::fs::statvfs(folder)
        .with_context(|| format!("looking at the disk of {folder:?}"))?;
    Ok(info.f_bavail.saturating_mul(info.f_frsize))
}

/// The command that brings these packages, for the machine's kind of system.
fn install_command(packages: &[&str]) -> String {
    let packages = packages.join(" ");
    if in_path("dnf") {
        format!("sudo dnf install {packages}")
    } else if in_path("pacman") {
        format!("sudo pacman -S {packages}")
    } else {
        format!("sudo apt-get install --no-install-recommends {packages}")
    }
}

fn install(packages: &[&str]) -> Result<()> {
    say!("installing on this machine: {}", packages.join(", "));
    // A fresh image has no package lists; a machine that has some may do without new ones.
    let apt = |args: &[&str]| {
        Command::new("apt-get")
            .args(["-qq", "-o", "DPkg::Lock::Timeout=120"])
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .context("starting apt-get")
    };
    let update = apt(&["update"])?;
    let command: Vec<_> = ["install", "--yes", "--no-install-recommends"]
        .into_iter()
        .chain(packages.iter().copied())
        .collect();
    let output = apt(&command)?;
    if !output.status.success() {
        let errors = [update.stderr, output.stderr].concat();
        return Err(Failure::new(
            Exit::Machine,
            format!(
                "installing {} failed:\n{}\n  By hand: {}",
                packages.join(", "),
                String::from_utf8_lossy(&errors).trim_end(),
                install_command(packages),
            ),
        )
        .into());
    }
    Ok(())
}

/// Whether a normal user may be root of a namespace here.
fn try_namespaces() -> Result<(), String> {
    let output = crate::chamber::unshare()
        .args(["--", "true"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("unshare does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "a normal user cannot make user namespaces here ({}); run as root, or allow them: \
         sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0, and a range \
         for this user in /etc/subuid and /etc/subgid",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}
