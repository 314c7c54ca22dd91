// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest's file systems.

use std::ffi::CStr;
use std::fs::{
    self,
    File, //
};
use std::path::Path;

use anyhow::{
    Context,
    Result, //
};
use guest_init::{
    tag,
    Share,
    RUN_DIR, //
};
use rustix::mount::MountFlags;

/// Where the layers of the root are mounted in the initramfs.
const LOWER: &str = "/lower";
const UPPER: &str = "/upper";
const ROOT: &str = "/root";

/// `finit_module` shall decompress the file.
const MODULE_INIT_COMPRESSED_FILE: i32 = 4;

/// What every root has. The initramfs needs only the first ones.
const KERNEL_INTERFACES: &[(&str, &str)] =
    &[("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")];

/// What the root that commands see has besides.
const MORE_INTERFACES: &[(&str, &str, Option<&CStr>)] = &[
    ("devpts", "/dev/pts", Some(c"ptmxmode=0666,mode=620,gid=5")),
    ("tmpfs", "/dev/shm", Some(c"mode=1777")),
    ("mqueue", "/dev/mqueue", None),
    ("tmpfs", "/tmp", Some(c"mode=1777")),
    ("tmpfs", "/run", Some(c"mode=755")),
    ("cgroup2", "/sys/fs/cgroup", None),
    ("debugfs", "/sys/kernel/debug", None),
    ("tracefs", "/sys/kernel/tracing", None),
    ("securityfs", "/sys/kernel/security", None),
];

/// Mounts `/proc`, `/sys` and `/dev`.
pub fn mount_kernel_interfaces() -> Result<()> {
    for (kind, at) in KERNEL_INTERFACES {
        mount(kind, kind, Path::new(at), MountFlags::empty(), None)?;
    }
    Ok(())
}

/// Puts a writable layer over the sandbox's tree and makes that the root.
pub fn enter_root() -> Result<()> {
    mount(
        tag::ROOT,
        "virtiofs",
        Path::new(LOWER),
        MountFlags::RDONLY,
        None,
    )?;
    mount(
        "tmpfs",
        "tmpfs",
        Path::new(UPPER),
        MountFlags::empty(),
        Some(c"mode=755"),
    )?;
    load_overlayfs()?;
    for folder in ["data", "work"] {
        fs::create_dir(Path::new(UPPER).join(folder)).context("making the writable layer")?;
    }
    let layers = c"lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work";
    mount(
        "overlay",
        "overlay",
        Path::new(ROOT),
        MountFlags::empty(),
        Some(layers),
    )?;
    for (_, at) in KERNEL_INTERFACES {
        let target = Path::new(ROOT).join(at.trim_start_matches('/'));
        rustix::mount::mount_move(*at, &target).with_context(|| format!("moving {at}"))?;
    }
    rustix::process::chdir(ROOT).context("entering the root")?;
    rustix::mount::mount_move(".", "/").context("entering the root")?;
    rustix::process::chroot(".").context("entering the root")?;
    rustix::process::chdir("/").context("entering the root")?;
    for (kind, at, options) in MORE_INTERFACES {
        mount(kind, kind, Path::new(at), MountFlags::empty(), *options)?;
    }
    mount(
        tag::RUN,
        "virtiofs",
        Path::new(RUN_DIR),
        MountFlags::RDONLY,
        None,
    )
}

/// Mounts the folders that the host shares.
pub fn mount_shares(shares: &[Share]) -> Result<()> {
    for share in shares {
        mount(&share.tag, "virtiofs", &share.at, MountFlags::empty(), None)?;
    }
    Ok(())
}

/// Loads overlayfs from the sandbox's tree, where the kernel has it as a module.
fn load_overlayfs() -> Result<()> {
    let known = fs::read_to_string("/proc/filesystems").context("reading /proc/filesystems")?;
    if known.lines().any(|line| line.ends_with("\toverlay")) {
        return Ok(());
    }
    let release = rustix::system::uname();
    let release = release.release().to_str().context("the kernel's release")?;
    let path = format!("{LOWER}/usr/lib/modules/{release}/kernel/fs/overlayfs/overlay.ko.xz");
    let file = File::open(&path).with_context(|| format!("opening {path}"))?;
    rustix::system::finit_module(&file, c"", MODULE_INIT_COMPRESSED_FILE)
        .with_context(|| format!("loading {path}"))
}

/// Mounts, making the mount point where it is missing.
fn mount(
    source: &str,
    kind: &str,
    at: &Path,
    flags: MountFlags,
    options: Option<&CStr>,
) -> Result<()> {
    fs::create_dir_all(at).with_context(|| format!("making {at:?}"))?;
    rustix::mount::mount(source, at, kind, flags, options)
        .with_context(|| format!("mounting {source} at {at:?}"))
}
