// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine: names, modules, swap, accounting. What would change it for others is done in a
//! namespace, undone, or asked for as a user who may not.

use std::{fs, path::Path, process::Command};

use libc::{EBADF, EFAULT, EINVAL, ENOENT, ENOEXEC, EPERM, O_NONBLOCK, O_RDONLY, O_RDWR};
use nlcall_tests::memory::Memory;

use crate::{
    case::{args, fails, ok, Case},
    world::{plain, World, NO_FD},
};

/// The file of a module of the running kernel.
fn module(path: &str) -> String {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    format!("/lib/modules/{release}/kernel/{path}.ko.xz")
}

/// A module that does nothing: network interfaces of which it makes none.
const DUMMY: &str = "drivers/net/dummy";

/// Parameters, so that it makes none.
const NONE: &str = "numdummies=0";

/// Loads a module, which may be there.
fn load(w: &mut World, path: &str, parameters: &str) {
    let fd = w.open_with(&module(path), O_RDONLY);
    let parameters = Memory::string(parameters);
    // MODULE_INIT_COMPRESSED_FILE
    plain("finit_module", args![fd, parameters, 4]);
    w.sys("close", args![fd]);
}

/// Takes the module away after the call.
fn then_unload(w: &mut World) {
    w.then(|_| {
        let there = Path::new("/sys/module/dummy").exists();
        plain("delete_module", args![Memory::string("dummy"), O_NONBLOCK]);
        format!("it was there: {there}")
    });
}

/// The image of the module.
fn image() -> Memory {
    let image = Command::new("xz").arg("-dc").arg(module(DUMMY)).output();
    let image = image.expect("xz is there");
    assert!(image.status.success(), "{:?}", image.stderr);
    Memory::holding(&image.stdout)
}

/// A device for a file, which goes with its last descriptor; its path.
fn block_device(w: &mut World, contents: &[u8]) -> Memory {
    // LOOP_CTL_GET_FREE and LOOP_CONFIGURE of include/uapi/linux/loop.h.
    const GET_FREE: u64 = 0x4c82;
    const CONFIGURE: u64 = 0x4c0a;
    const AUTOCLEAR: u8 = 4;

    load(w, "drivers/block/loop", "");
    let control = w.open_with("/dev/loop-control", O_RDWR);
    let number = w.sys("ioctl", args![control, GET_FREE]);
    let file = w.open("disk", contents);
    let path = format!("/dev/loop{number}");
    let device = w.open_with(&path, O_RDWR);
    // struct loop_config: the descriptor, then lo_flags of the information.
    let mut configuration = [0; 304];
    configuration[..4].copy_from_slice(&file.to_ne_bytes());
    configuration[60] = AUTOCLEAR;
    let configuration = Memory::holding(&configuration);
    w.sys("ioctl", args![device, CONFIGURE, configuration]);
    Memory::string(&path)
}

/// An area to swap to of ten pages.
fn swap(w: &mut World) -> Memory {
    let mut area = vec![0; 10 * 4096];
    // union swap_header: version, last page; the signature at the end of the first page.
    area[1024..1028].copy_from_slice(&1_u32.to_ne_bytes());
    area[1028..1032].copy_from_slice(&9_u32.to_ne_bytes());
    area[4086..4096].copy_from_slice(b"SWAPSPACE2");
    block_device(w, &area)
}

/// How many areas there are.
fn then_swaps(w: &mut World) {
    w.then(|_| {
        let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
        format!("{} areas", swaps.lines().count() - 1)
    });
}

pub fn cases() -> Vec<Case> {
    vec![
        ok("uname", "of this machine", |w| args![w.out(390)]),
        fails("uname", EFAULT, "no memory", |w| args![w.nowhere()]),
        ok("sysinfo", "of this machine", |w| {
            args![w.out_varying(112, &[0..112])]
        }),
        fails("sysinfo", EFAULT, "no memory", |w| args![w.nowhere()]),
        // SYSLOG_ACTION_SIZE_BUFFER
        ok("syslog", "the size of the log", |_| args![10, 0, 0]),
        fails("syslog", EINVAL, "an unknown action", |_| args![99, 0, 0]),
        ok("sethostname", "another name", |w| {
            args![w.text("another"), 7]
        })
        .apart(),
        fails("sethostname", EPERM, "as a user", |w| {
            args![w.text("another"), 7]
        })
        .by_user(),
        ok("setdomainname", "another name", |w| {
            args![w.text("another"), 7]
        })
        .apart(),
        fails("setdomainname", EINVAL, "a long name", |w| {
            args![w.text("another"), 99]
        })
        .apart(),
        ok("acct", "none, as it is", |_| args![0]),
        fails("acct", ENOENT, "no file", |w| args![w.text("none")]),
        ok("swapon", "ten pages, taken off at once", |w| {
            let path = swap(w);
            then_swaps(w);
            w.then_call("swapoff", args![path]);
            args![path, 0]
        }),
        fails("swapon", EPERM, "as a user", |w| args![w.text("none"), 0]).by_user(),
        ok("swapoff", "ten pages", |w| {
            let path = swap(w);
            w.sys("swapon", args![path, 0]);
            then_swaps(w);
            args![path]
        }),
        fails("swapoff", EINVAL, "a file", |w| args![w.file("f", b"")]),
        ok("vhangup", "no terminal", |w| {
            w.sys("setsid", args![]);
            args![]
        }),
        fails("vhangup", EPERM, "as a user", |_| args![]).by_user(),
        ok("sysfs", "how many file systems there are", |_| args![3]),
        fails("sysfs", EINVAL, "no file system", |w| {
            args![1, w.text("nothing")]
        }),
        ok("init_module", "one that does nothing", |w| {
            let image = image();
            then_unload(w);
            args![image, image.len(), w.text(NONE)]
        }),
        fails("init_module", ENOEXEC, "no module", |w| {
            args![w.bytes(&[0; 4096]), 4096, w.text("")]
        }),
        ok("finit_module", "one that does nothing", |w| {
            let fd = w.open_with(&module(DUMMY), O_RDONLY);
            then_unload(w);
            args![fd, w.text(NONE), 4]
        }),
        fails("finit_module", EPERM, "as a user", |w| {
            let fd = w.open_with("/etc/passwd", O_RDONLY);
            args![fd, w.text(""), 0]
        })
        .by_user(),
        ok("delete_module", "one that does nothing", |w| {
            load(w, DUMMY, NONE);
            then_unload(w);
            args![w.text("dummy"), O_NONBLOCK]
        }),
        fails("delete_module", ENOENT, "no module", |w| {
            args![w.text("nothing"), O_NONBLOCK]
        }),
        ok("kexec_load", "no kernel", |_| args![0, 0, 0, 0]),
        fails("kexec_load", EPERM, "as a user", |_| args![0, 0, 0, 0]).by_user(),
        // KEXEC_FILE_UNLOAD
        ok("kexec_file_load", "no kernel", |_| args![0, 0, 0, 0, 1]),
        fails("kexec_file_load", EINVAL, "an unknown flag", |_| {
            args![0, 0, 0, 0, 0x100]
        }),
        // QCMD(Q_SYNC, USRQUOTA)
        ok("quotactl", "writes all quotas", |_| {
            args![0x8000_0100_u32, 0, 0, 0]
        }),
        fails("quotactl", EINVAL, "no kind", |_| {
            args![0x8000_0105_u32, 0, 0, 0]
        }),
        fails("quotactl_fd", EBADF, "no descriptor", |_| {
            args![NO_FD, 0x8000_0400_u32, 0, 0]
        }),
        fails(
            "quotactl_fd",
            libc::ENOSYS,
            "a file system without quotas",
            |w| {
                let fd = w.open_folder(".");
                args![fd, 0x8000_0400_u32, 0, w.out(4)]
            },
        ),
    ]
}
