// SPDX-License-Identifier: MIT OR Apache-2.0

//! The inner side: mounts what a command in a tree needs, and runs it.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{
    Path,
    PathBuf, //
};
use std::process::Command;

use anyhow::{
    bail,
    Context,
    Result, //
};
use rustix::mount::MountFlags;

use super::{
    Plan,
    MOUNT_DIR, //
};

/// Device nodes of the machine that commands in a tree see, where they exist.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty", "kvm"];

/// The hidden command `enter`: mounts, changes into the tree, runs the command and ends with its
/// status.
pub fn enter(plan: &str) -> Result<u8> {
    let mut plan: Plan = serde_json::from_str(plan).context("reading what to run")?;
    if let Some(layer) = &plan.layer {
        plan.tree = layered(&plan.tree, layer)?;
    }
    mount_all(&plan)?;
    rustix::process::chroot(&plan.tree).with_context(|| format!("chroot {:?}", plan.tree))?;
    rustix::process::chdir(&plan.folder)
        .with_context(|| format!("changing into {:?} of the tree", plan.folder))?;
    let [program, args @ ..] = plan.command.as_slice() else {
        bail!("nothing to run");
    };
    // The first process of a namespace ignores signals that it has no handler for and must reap
    // orphans; so the command is a child of it, and what it leaves behind ends with the namespace.
    let status = Command::new(program)
        .args(args)
        .status()
        .with_context(|| format!("starting {program:?} in {:?}", plan.tree))?;
    let code = status
        .code()
        .or_else(|| Some(128 + status.signal()?))
        .unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(1))
}

/// Mounts a tree with what is written kept in the layer, and returns where.
fn layered(tree: &Path, layer: &Path) -> Result<PathBuf> {
    let [upper, work, root] = ["upper", "work", "root"].map(|name| layer.join(name));
    for folder in [&upper, &work, &root] {
        std::fs::create_dir_all(folder).with_context(|| format!("making {folder:?}"))?;
    }
    // A user namespace may not set the attributes that overlayfs would use otherwise.
    let options = format!(
        "userxattr,lowerdir={},upperdir={},workdir={}",
        tree.display(),
        upper.display(),
        work.display()
    );
    let options = std::ffi::CString::new(options)?;
    rustix::mount::mount(
        "overlay",
        &root,
        "overlay",
        MountFlags::empty(),
        Some(options.as_c_str()),
    )
    .with_context(|| format!("mounting a layer over {tree:?}"))?;
    Ok(root)
}

/// Mounts what a command in a tree needs: `/proc`, a small `/dev`, and the folders of the plan.
fn mount_all(plan: &Plan) -> Result<()> {
    let tree = &plan.tree;
    let none = MountFlags::empty();
    // A process file system of this namespace's own; where the machine forbids that (a container
    // that hides parts of its own), the machine's.
    let proc = inside(tree, Path::new("/proc"));
    if rustix::mount::mount("proc", &proc, "proc", none, None).is_err() {
        rustix::mount::mount_bind_recursive("/proc", &proc).context("mounting /proc")?;
    }
    let dev = inside(tree, Path::new("/dev"));
    tmpfs(&dev, "mode=755")?;
    for name in DEVICES {
        let source = Path::new("/dev").join(name);
        if source.exists() {
            bind(&source, &dev.join(name))?;
        }
    }
    for (link, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        std::os::unix::fs::symlink(target, dev.join(link)).context("filling /dev")?;
    }
    for folder in ["shm", "pts"] {
        std::fs::create_dir(dev.join(folder)).context("filling /dev")?;
    }
    tmpfs(&dev.join("shm"), "mode=1777")?;
    rustix::mount::mount(
        "devpts",
        dev.join("pts"),
        "devpts",
        none,
        Some(c"newinstance,ptmxmode=0666"),
    )
    .context("mounting /dev/pts")?;
    // Process ids repeat from one namespace to the next, and so do names made of them.
    tmpfs(&inside(tree, Path::new("/tmp")), "mode=1777")?;
    tmpfs(&inside(tree, Path::new(MOUNT_DIR)), "mode=755")?;
    for entry in &plan.binds {
        let target = inside(tree, &entry.target);
        bind(&entry.source, &target)?;
        if entry.read_only {
            remount_read_only(&target).with_context(|| format!("making {target:?} read-only"))?;
        }
    }
    Ok(())
}

/// The path of `absolute` of the tree, as seen from outside.
fn inside(tree: &Path, absolute: &Path) -> PathBuf {
    tree.join(absolute.strip_prefix("/").unwrap_or(absolute))
}

fn tmpfs(at: &Path, options: &str) -> Result<()> {
    let options = std::ffi::CString::new(options)?;
    rustix::mount::mount(
        "tmpfs",
        at,
        "tmpfs",
        MountFlags::empty(),
        Some(options.as_c_str()),
    )
    .with_context(|| format!("mounting a tmpfs at {at:?}"))
}

/// Mounts `source` at `target`, which is made first where it is missing. Mounts below `source` are
/// not shown.
fn bind(source: &Path, target: &Path) -> Result<()> {
    if !target.exists() {
        if source.is_dir() {
            std::fs::create_dir_all(target).with_context(|| format!("making {target:?}"))?;
        } else {
            if let Some(folder) = target.parent() {
                std::fs::create_dir_all(folder).with_context(|| format!("making {folder:?}"))?;
            }
            File::create(target).with_context(|| format!("making {target:?}"))?;
        }
    }
    // A user namespace may not show part of what its parent mounted: there everything below comes
    // along.
    rustix::mount::mount_bind(source, target)
        .or_else(|_| rustix::mount::mount_bind_recursive(source, target))
        .with_context(|| format!("mounting {source:?} at {target:?}"))
}

/// Takes away the right to write, keeping the flags that a user namespace must not clear.
fn remount_read_only(target: &Path) -> Result<()> {
    let flags = rustix::fs::statvfs(target)?.f_flag;
    let mut keep = MountFlags::BIND | MountFlags::RDONLY;
    for (flag, mount_flag) in [
        (rustix::fs::StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (rustix::fs::StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (rustix::fs::StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (rustix::fs::StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (
            rustix::fs::StatVfsMountFlags::NODIRATIME,
            MountFlags::NODIRATIME,
        ),
        (
            rustix::fs::StatVfsMountFlags::RELATIME,
            MountFlags::RELATIME,
        ),
    ] {
        if flags.contains(flag) {
            keep |= mount_flag;
        }
    }
    rustix::mount::mount_remount(target, keep, c"")?;
    Ok(())
}
