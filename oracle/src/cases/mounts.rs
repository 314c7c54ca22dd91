// SPDX-License-Identifier: MIT OR Apache-2.0

//! Mounts: each case that changes them in a namespace of its own.

use libc::{AT_EMPTY_PATH, AT_FDCWD, EBADF, EINVAL, ENODEV, ENOENT, EPERM, MNT_DETACH};
use nlcall_tests::memory::Memory;

use crate::{
    case::{args, fails, ok, Case},
    world::{World, NO_FD},
};

/// The mounts below the scratch folder.
fn then_mounts(w: &mut World) {
    w.then(|_| {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let ours = mounts.lines().filter(|line| line.contains("nlcall-oracle"));
        ours.collect::<Vec<_>>().join("; ")
    });
}

/// A folder with a file system of its own.
fn mounted(w: &mut World) -> Memory {
    let (kind, at) = (w.text("tmpfs"), w.folder("d"));
    w.sys("mount", args![kind, at, kind, 0, 0]);
    then_mounts(w);
    at
}

/// A file system that is being set up.
fn context(w: &mut World) -> i64 {
    let kind = w.text("tmpfs");
    w.sys("fsopen", args![kind, 0])
}

/// One that was made.
fn created(w: &mut World) -> i64 {
    let fd = context(w);
    // FSCONFIG_CMD_CREATE
    w.sys("fsconfig", args![fd, 6, 0, 0, 0]);
    fd
}

/// `struct mnt_id_req` for the mount that the root is.
fn request(w: &mut World, wanted: u64) -> Memory {
    let (path, statx) = (w.text("/"), Memory::zeroed(256));
    // STATX_MNT_ID_UNIQUE
    w.sys("statx", args![AT_FDCWD, path, 0, 0x4000, statx]);
    let id = statx.from_offset(144).get_as::<u64>();
    w.words(&[24, id, wanted])
}

pub fn cases() -> Vec<Case> {
    vec![
        ok("mount", "a file system in memory", |w| {
            then_mounts(w);
            let kind = w.text("tmpfs");
            args![
                kind,
                w.folder("d"),
                kind,
                libc::MS_NOSUID,
                w.text("size=1m")
            ]
        })
        .apart(),
        fails("mount", ENODEV, "no file system", |w| {
            let kind = w.text("nothing");
            args![kind, w.folder("d"), kind, 0, 0]
        })
        .apart(),
        fails("mount", EPERM, "as a user", |w| {
            let kind = w.text("tmpfs");
            args![kind, w.folder("d"), kind, 0, 0]
        })
        .by_user(),
        ok("umount2", "a file system in memory", |w| {
            args![mounted(w), MNT_DETACH]
        })
        .apart(),
        fails("umount2", EINVAL, "nothing mounted", |w| {
            args![w.folder("d"), 0]
        })
        .apart(),
        ok("pivot_root", "into a file system in memory", |w| {
            let root = mounted(w);
            std::fs::create_dir_all("d/old").expect("a folder");
            std::fs::create_dir_all("d/proc").expect("a folder");
            let (kind, at) = (w.text("proc"), w.text("d/proc"));
            w.sys("mount", args![kind, at, kind, 0, 0]);
            w.then(|_| format!("{:?}", std::fs::read_dir("/").map(Iterator::count).ok()));
            args![root, w.text("d/old")]
        })
        .apart(),
        fails("pivot_root", EINVAL, "no file system of its own", |w| {
            let root = w.folder("d");
            std::fs::create_dir_all("d/old").expect("a folder");
            args![root, w.text("d/old")]
        })
        .apart(),
        ok("fsopen", "a file system in memory", |w| {
            args![w.text("tmpfs"), 1]
        }),
        fails("fsopen", ENODEV, "no file system", |w| {
            args![w.text("nothing"), 0]
        }),
        ok("fsconfig", "a size", |w| {
            // FSCONFIG_SET_STRING
            args![context(w), 1, w.text("size"), w.text("1m"), 0]
        }),
        fails("fsconfig", EINVAL, "no such option", |w| {
            args![context(w), 1, w.text("colour"), w.text("green"), 0]
        }),
        ok("fsmount", "one that was made", |w| args![created(w), 1, 0]).apart(),
        fails("fsmount", EINVAL, "one that was not made", |w| {
            args![context(w), 0, 0]
        })
        .apart(),
        ok("move_mount", "onto a folder", |w| {
            let context = created(w);
            let mount = w.sys("fsmount", args![context, 0, 0]);
            then_mounts(w);
            // MOVE_MOUNT_F_EMPTY_PATH
            args![mount, w.text(""), AT_FDCWD, w.folder("d"), 4]
        })
        .apart(),
        fails("move_mount", ENOENT, "onto nothing", |w| {
            args![AT_FDCWD, w.text("."), AT_FDCWD, w.text("none"), 0]
        })
        .apart(),
        ok("open_tree", "a copy of a mount", |w| {
            // OPEN_TREE_CLONE
            args![AT_FDCWD, mounted(w), 1]
        })
        .apart(),
        fails("open_tree", ENOENT, "nothing", |w| {
            args![AT_FDCWD, w.text("none"), 0]
        }),
        ok("open_tree_attr", "a copy that is read-only", |w| {
            let at = mounted(w);
            // struct mount_attr: MOUNT_ATTR_RDONLY is set.
            args![AT_FDCWD, at, 1, w.words(&[1, 0, 0, 0]), 32]
        })
        .apart(),
        fails("open_tree_attr", EINVAL, "a short structure", |w| {
            let at = mounted(w);
            args![AT_FDCWD, at, 1, w.words(&[1, 0, 0, 0]), 8]
        })
        .apart(),
        ok("fspick", "a mount", |w| args![AT_FDCWD, mounted(w), 0]).apart(),
        fails("fspick", EINVAL, "no mount", |w| {
            args![AT_FDCWD, w.folder("e"), 0]
        })
        .apart(),
        ok("mount_setattr", "read-only", |w| {
            args![AT_FDCWD, mounted(w), 0, w.words(&[1, 0, 0, 0]), 32]
        })
        .apart(),
        fails("mount_setattr", EBADF, "no folder", |w| {
            args![NO_FD, w.text(""), AT_EMPTY_PATH, w.words(&[1, 0, 0, 0]), 32]
        }),
        ok("statmount", "of the root", |w| {
            // STATMOUNT_SB_BASIC | STATMOUNT_FS_TYPE
            args![request(w, 0x21), w.out(1024), 1024, 0]
        }),
        fails("statmount", ENOENT, "no mount", |w| {
            args![w.words(&[24, 1 << 40, 0x21]), w.out(1024), 1024, 0]
        }),
        ok("listmount", "of the root", |w| {
            args![request(w, 0), w.out(256), 4, 0]
        }),
        fails("listmount", EINVAL, "an unknown flag", |w| {
            args![request(w, 0), w.out(64), 4, 0x100]
        }),
        ok("listns", "of hostnames", |w| {
            // struct ns_id_req: size, no id, CLONE_NEWUTS, of any user namespace.
            let request = w.words(&[32, 0, libc::CLONE_NEWUTS as u64, 0]);
            args![request, w.out(64), 8, 0]
        })
        .alone(),
        fails("listns", EINVAL, "no size", |w| {
            args![w.words(&[0, 0, 0, 0]), w.out(64), 8, 0]
        }),
    ]
}
