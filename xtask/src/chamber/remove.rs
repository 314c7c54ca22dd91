// SPDX-License-Identifier: MIT OR Apache-2.0

//! Removes trees.

use std::path::{
    Path,
    PathBuf, //
};
use std::process::Stdio;

use anyhow::{
    bail,
    Context,
    Result, //
};

use super::unshare;

/// Removes a folder that may hold a tree, as the root of a namespace where files belong to several
/// users. Refuses while anything is mounted below it.
pub fn remove_tree(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let folder = folder
        .canonicalize()
        .with_context(|| format!("looking up {folder:?}"))?;
    let mounts =
        std::fs::read_to_string("/proc/self/mountinfo").context("reading the mount table")?;
    if let Some(mount) = mount_below(&mounts, &folder) {
        bail!(
            "{} is mounted: unmount it (umount -R), then run this again; {folder:?} was left as it is",
            mount.display()
        );
    }
    let status = unshare()
        .args(["--", "rm", "-rf", "--one-file-system", "--"])
        .arg(&folder)
        .stdin(Stdio::null())
        .status()
        .context("starting unshare")?;
    if !status.success() {
        bail!("removing {folder:?} ended with {status}");
    }
    Ok(())
}

/// The first mount point at or below `folder` in a mount table.
fn mount_below(mountinfo: &str, folder: &Path) -> Option<PathBuf> {
    mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|escaped| PathBuf::from(unescape(escaped)))
        .find(|point| point.starts_with(folder))
}

/// Undoes the octal escapes of a mount table.
fn unescape(escaped: &str) -> String {
    escaped
        .replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:5 / /proc rw - proc proc rw
90 22 0:5 / /home/a\\040b/tree/proc rw - proc proc rw
";

    #[test]
    fn a_mount_inside_a_tree_is_found() {
        assert_eq!(
            mount_below(MOUNTINFO, Path::new("/home/a b/tree")),
            Some(PathBuf::from("/home/a b/tree/proc"))
        );
    }

    #[test]
    fn a_mount_beside_a_tree_is_not() {
        assert_eq!(mount_below(MOUNTINFO, Path::new("/home/a b/tree2")), None);
        assert_eq!(
            mount_below(MOUNTINFO, Path::new("/home/a b/tree/pro")),
            None
        );
    }
}
