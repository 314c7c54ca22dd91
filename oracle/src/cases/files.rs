// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files and folders by their paths and contents.

use std::{fs, ops::Range};

use libc::{
    AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW, EACCES, EBADF, EEXIST, EFAULT,
    EINVAL, EISDIR, ENAMETOOLONG, ENODATA, ENOENT, ENOTDIR, ENOTEMPTY, ENXIO, EOPNOTSUPP, EPERM,
    ERANGE, ESPIPE, O_CREAT, O_DIRECTORY, O_EXCL, O_PATH, O_RDONLY, O_RDWR, O_WRONLY,
};

use crate::{
    case::{args, fails, ok, Args, Case},
    world::{World, NO_FD},
};

/// `struct stat`: inode and times.
const STAT: &[Range<usize>] = &[8..16, 72..120];
/// `struct statx`: inode and times.
const STATX: &[Range<usize>] = &[32..40, 64..128];
/// `struct statfs`: what is free.
const STATFS: &[Range<usize>] = &[24..56];
/// The inodes of the first entries of a folder.
const ENTRIES: &[Range<usize>] = &[0..8, 24..32, 48..56];

/// Words of `struct iovec`.
fn vector(w: &mut World, parts: &[(u64, usize)]) -> nlcall_tests::memory::Memory {
    let words: Vec<u64> = parts
        .iter()
        .flat_map(|(at, len)| [*at, *len as u64])
        .collect();
    w.words(&words)
}

/// Two buffers to read into, or with something to write.
fn two(w: &mut World, writes: bool) -> Args {
    let fd = w.open("f", b"0123456789");
    let (a, b) = match writes {
        true => (w.bytes(b"abc"), w.bytes(b"defgh")),
        false => (w.out(3), w.out(5)),
    };
    let vec = vector(w, &[(a.address(), 3), (b.address(), 5)]);
    args![fd, vec, 2, 1, 0, 0]
}

/// A path of a file that is there, and one of a file that is not.
fn from_to(w: &mut World) -> Args {
    let (a, b) = (w.file("a", b"contents"), w.text("b"));
    args![a, b]
}

fn attribute(w: &mut World, file: u64, flags: u64) -> Args {
    let (name, value) = (w.text("user.colour"), w.bytes(b"green"));
    args![file, name, value, 5, flags]
}

/// A file with two attributes, by path.
fn with_attributes(w: &mut World) -> u64 {
    let file = w.file("f", b"");
    let args = attribute(w, file.address(), 0);
    w.sys("setxattr", args);
    file.address()
}

/// `struct xattr_args` with this value.
fn xattr_args(w: &mut World, value: u64, size: u32) -> nlcall_tests::memory::Memory {
    w.words(&[value, size.into()])
}

/// A folder that can be the root, where this process still sees itself.
fn new_root(w: &mut World) {
    fs::create_dir_all("d/proc").expect("folders");
    let (kind, at) = (w.text("proc"), w.text("d/proc"));
    w.sys("mount", args![kind, at, kind, 0, 0]);
    w.then(|_| format!("{:?}", fs::read_dir("/").map(Iterator::count).ok()));
}

pub fn cases() -> Vec<Case> {
    vec![
        ok("read", "the end of a file", |w| {
            let fd = w.open("f", b"contents");
            args![fd, w.out(64), 64]
        }),
        ok("read", "from a pipe", |w| {
            let (reader, _) = w.filled_pipe(b"bytes");
            args![reader, w.out(64), 3]
        }),
        fails("read", EBADF, "no descriptor", |w| {
            args![NO_FD, w.out(8), 8]
        }),
        fails("read", EISDIR, "a folder", |w| {
            let fd = w.open_folder(".");
            args![fd, w.out(8), 8]
        }),
        fails("read", EFAULT, "no memory", |w| {
            let fd = w.open("f", b"contents");
            args![fd, w.nowhere(), 8]
        }),
        ok("write", "over a part of a file", |w| {
            let fd = w.open("f", b"0123456789");
            args![fd, w.bytes(b"abc"), 3]
        }),
        fails("write", EBADF, "read-only", |w| {
            fs::write("f", b"").expect("a file");
            let fd = w.open_with("f", O_RDONLY);
            args![fd, w.bytes(b"abc"), 3]
        }),
        ok("open", "creates a file", |w| {
            args![w.text("new"), O_CREAT | O_RDWR, 0o666]
        }),
        fails("open", ENOENT, "no file", |w| {
            args![w.text("none"), O_RDONLY]
        }),
        fails("open", EACCES, "another's file", |w| {
            args![w.text("/etc/shadow"), O_RDONLY]
        })
        .by_user(),
        ok("creat", "empties a file", |w| {
            args![w.file("f", b"old"), 0o600]
        }),
        fails("creat", EISDIR, "a folder", |w| args![w.folder("d"), 0o600]),
        ok("openat", "relative to a folder", |w| {
            fs::create_dir("d").expect("a folder");
            let dir = w.open_folder("d");
            args![dir, w.text("new"), O_CREAT | O_WRONLY, 0o640]
        }),
        ok("openat", "a file without a name", |w| {
            args![AT_FDCWD, w.text("."), libc::O_TMPFILE | O_RDWR, 0o600]
        }),
        fails("openat", EEXIST, "exclusively", |w| {
            args![AT_FDCWD, w.file("f", b""), O_CREAT | O_EXCL, 0o600]
        }),
        ok("openat2", "beneath a folder", |w| {
            fs::write("f", b"").expect("a file");
            // RESOLVE_BENEATH
            let how = w.words(&[O_RDWR as u64, 0, 8]);
            args![AT_FDCWD, w.text("f"), how, 24]
        }),
        fails("openat2", libc::EXDEV, "out of a folder", |w| {
            let how = w.words(&[O_RDONLY as u64, 0, 8]);
            args![AT_FDCWD, w.text("/etc"), how, 24]
        }),
        ok("stat", "a file", |w| {
            args![w.file("f", b"12345"), w.out_varying(144, STAT)]
        }),
        fails("stat", ENOENT, "no file", |w| {
            args![w.text("none"), w.out(144)]
        }),
        ok("fstat", "a file", |w| {
            let fd = w.open("f", b"12345");
            args![fd, w.out_varying(144, STAT)]
        }),
        fails("fstat", EBADF, "no descriptor", |w| {
            args![NO_FD, w.out(144)]
        }),
        ok("lstat", "a symbolic link", |w| {
            std::os::unix::fs::symlink("to", "l").expect("a link");
            args![w.text("l"), w.out_varying(144, STAT)]
        }),
        fails("lstat", ENOTDIR, "a file as a folder", |w| {
            w.file("f", b"");
            args![w.text("f/x"), w.out(144)]
        }),
        ok("newfstatat", "an open file", |w| {
            let fd = w.open("f", b"12345");
            args![fd, w.text(""), w.out_varying(144, STAT), AT_EMPTY_PATH]
        }),
        fails("newfstatat", ENOENT, "no file", |w| {
            args![AT_FDCWD, w.text("none"), w.out(144), 0]
        }),
        ok("statx", "a file", |w| {
            let path = w.file("f", b"12345");
            args![AT_FDCWD, path, 0, 0xfff, w.out_varying(256, STATX)]
        }),
        fails("statx", EINVAL, "a reserved mask", |w| {
            let path = w.file("f", b"12345");
            args![AT_FDCWD, path, 0, 0x8000_0000_u32, w.out(256)]
        }),
        ok("statfs", "the scratch folder", |w| {
            args![w.text("."), w.out_varying(120, STATFS)]
        }),
        fails("statfs", ENOENT, "no file", |w| {
            args![w.text("none"), w.out(120)]
        }),
        ok("fstatfs", "the scratch folder", |w| {
            let fd = w.open_folder(".");
            args![fd, w.out_varying(120, STATFS)]
        }),
        fails("fstatfs", EBADF, "no descriptor", |w| {
            args![NO_FD, w.out(120)]
        }),
        ok("ustat", "the scratch folder's device", |w| {
            let device = std::os::unix::fs::MetadataExt::dev(&fs::metadata(".").expect("."));
            // new_encode_dev()
            let (major, minor) = (libc::major(device), libc::minor(device));
            let encoded = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
            args![encoded, w.out_varying(32, &[0..16])]
        }),
        fails("ustat", EINVAL, "no device", |w| {
            args![0xfff_ffff_u32, w.out(32)]
        }),
        ok("lseek", "to an offset", |w| {
            let fd = w.open("f", b"contents");
            args![fd, 3, libc::SEEK_SET]
        }),
        fails("lseek", ESPIPE, "a pipe", |w| {
            let (reader, _) = w.pipe();
            args![reader, 0, libc::SEEK_CUR]
        }),
        ok("pread64", "from an offset", |w| {
            let fd = w.open("f", b"0123456789");
            args![fd, w.out(8), 4, 3]
        }),
        fails("pread64", ESPIPE, "a pipe", |w| {
            let (reader, _) = w.pipe();
            args![reader, w.out(8), 4, 3]
        }),
        ok("pwrite64", "past the end", |w| {
            let fd = w.open("f", b"0123");
            args![fd, w.bytes(b"xyz"), 3, 8]
        }),
        fails("pwrite64", EINVAL, "before the beginning", |w| {
            let fd = w.open("f", b"0123");
            args![fd, w.bytes(b"xyz"), 3, -1]
        }),
        ok("readv", "into two buffers", |w| two(w, false)),
        fails("readv", EINVAL, "a negative number of buffers", |w| {
            let fd = w.open("f", b"0123");
            args![fd, w.out(16), -1]
        }),
        ok("writev", "from two buffers", |w| two(w, true)),
        fails("writev", EFAULT, "no vector", |w| {
            let fd = w.open("f", b"0123");
            args![fd, w.nowhere(), 2]
        }),
        ok("preadv", "into two buffers", |w| two(w, false)),
        fails("preadv", EBADF, "no descriptor", |w| {
            args![NO_FD, w.out(16), 1, 0]
        }),
        ok("pwritev", "from two buffers", |w| two(w, true)),
        fails("pwritev", ESPIPE, "a pipe", |w| {
            let (_, writer) = w.pipe();
            let buffer = w.bytes(b"abc");
            args![writer, vector(w, &[(buffer.address(), 3)]), 1, 0]
        }),
        ok("preadv2", "into two buffers", |w| two(w, false)),
        fails("preadv2", EOPNOTSUPP, "an unknown flag", |w| {
            let mut args = two(w, false);
            args[5] = 0x4000_0000;
            args
        }),
        ok("pwritev2", "at the end", |w| {
            let mut args = two(w, true);
            args[5] = libc::RWF_APPEND as u64;
            args
        }),
        fails("pwritev2", EBADF, "no descriptor", |w| {
            args![NO_FD, w.out(16), 1, 0, 0, 0]
        }),
        ok("access", "may be read", |w| {
            args![w.file("f", b""), libc::R_OK]
        }),
        fails("access", EACCES, "may not be written", |w| {
            args![w.text("/etc"), libc::W_OK]
        })
        .by_user(),
        ok("faccessat", "may be read", |w| {
            args![AT_FDCWD, w.file("f", b""), libc::R_OK]
        }),
        fails("faccessat", ENOENT, "no file", |w| {
            args![AT_FDCWD, w.text("none"), 0]
        }),
        ok("faccessat2", "a link itself", |w| {
            std::os::unix::fs::symlink("to", "l").expect("a link");
            args![AT_FDCWD, w.text("l"), libc::F_OK, AT_SYMLINK_NOFOLLOW]
        }),
        fails("faccessat2", EINVAL, "an unknown flag", |w| {
            args![AT_FDCWD, w.file("f", b""), libc::R_OK, 0x4000]
        }),
        ok("truncate", "to three bytes", |w| {
            args![w.file("f", b"contents"), 3]
        }),
        fails("truncate", EINVAL, "to less than nothing", |w| {
            args![w.file("f", b""), -1]
        }),
        ok("ftruncate", "to more", |w| {
            let fd = w.open("f", b"contents");
            args![fd, 100]
        }),
        fails("ftruncate", EINVAL, "read-only", |w| {
            fs::write("f", b"").expect("a file");
            let fd = w.open_with("f", O_RDONLY);
            args![fd, 3]
        }),
        ok("fallocate", "punches a hole", |w| {
            let fd = w.open("f", &[1; 8192]);
            args![
                fd,
                libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
                4096,
                4096
            ]
        }),
        fails("fallocate", EBADF, "no descriptor", |_| {
            args![NO_FD, 0, 0, 1]
        }),
        ok("getdents", "a folder", |w| {
            fs::create_dir("d").expect("a folder");
            fs::write("d/a", b"").expect("a file");
            let fd = w.open_folder("d");
            args![fd, w.out_varying(256, ENTRIES), 256]
        }),
        fails("getdents", ENOTDIR, "a file", |w| {
            let fd = w.open("f", b"");
            args![fd, w.out(256), 256]
        }),
        ok("getdents64", "a folder", |w| {
            fs::create_dir("d").expect("a folder");
            fs::write("d/a", b"").expect("a file");
            let fd = w.open_folder("d");
            args![fd, w.out_varying(256, ENTRIES), 256]
        }),
        fails("getdents64", EINVAL, "no room", |w| {
            let fd = w.open_folder(".");
            args![fd, w.out(8), 8]
        }),
        ok("getcwd", "the scratch folder", |w| args![w.out(128), 128]),
        fails("getcwd", ERANGE, "no room", |w| args![w.out(4), 4]),
        ok("chdir", "down", |w| args![w.folder("d")]),
        fails("chdir", ENOTDIR, "into a file", |w| args![w.file("f", b"")]),
        ok("fchdir", "down", |w| {
            fs::create_dir("d").expect("a folder");
            let fd = w.open_folder("d");
            args![fd]
        }),
        fails("fchdir", EBADF, "no descriptor", |_| args![NO_FD]),
        ok("chroot", "into a folder", |w| {
            new_root(w);
            args![w.text("d")]
        })
        .apart(),
        fails("chroot", EPERM, "as a user", |w| args![w.text(".")]).by_user(),
        ok("rename", "a file", from_to),
        fails("rename", ENOENT, "no file", |w| {
            args![w.text("a"), w.text("b")]
        }),
        ok("renameat", "a file", |w| {
            let [a, b, ..] = from_to(w);
            args![AT_FDCWD, a, AT_FDCWD, b]
        }),
        fails("renameat", EBADF, "no folder", |w| {
            let [a, b, ..] = from_to(w);
            args![NO_FD, a, AT_FDCWD, b]
        }),
        ok("renameat2", "exchanges two files", |w| {
            let (a, b) = (w.file("a", b"contents of a"), w.file("b", b"of b"));
            args![AT_FDCWD, a, AT_FDCWD, b, libc::RENAME_EXCHANGE]
        }),
        fails("renameat2", EEXIST, "replaces nothing", |w| {
            let (a, b) = (w.file("a", b"contents of a"), w.file("b", b"of b"));
            args![AT_FDCWD, a, AT_FDCWD, b, libc::RENAME_NOREPLACE]
        }),
        ok("mkdir", "under the umask", |w| args![w.text("d"), 0o777]),
        fails("mkdir", EEXIST, "there is one", |w| {
            args![w.folder("d"), 0o777]
        }),
        ok("mkdirat", "in a folder", |w| {
            fs::create_dir("d").expect("a folder");
            let fd = w.open_folder("d");
            args![fd, w.text("e"), 0o700]
        }),
        fails("mkdirat", EFAULT, "no path", |w| {
            args![AT_FDCWD, w.nowhere(), 0o700]
        }),
        ok("rmdir", "an empty folder", |w| args![w.folder("d")]),
        fails("rmdir", ENOTEMPTY, "a folder with a file", |w| {
            let path = w.folder("d");
            fs::write("d/f", b"").expect("a file");
            args![path]
        }),
        ok("link", "a second name", from_to),
        fails("link", EEXIST, "the name is taken", |w| {
            let (a, b) = (w.file("a", b""), w.file("b", b""));
            args![a, b]
        }),
        ok("linkat", "an open file", |w| {
            let fd = w.open_with(".", libc::O_TMPFILE | O_RDWR);
            args![fd, w.text(""), AT_FDCWD, w.text("named"), AT_EMPTY_PATH]
        }),
        fails("linkat", EPERM, "a folder", |w| {
            args![AT_FDCWD, w.folder("d"), AT_FDCWD, w.text("e"), 0]
        }),
        ok("unlink", "a file", |w| args![w.file("f", b"")]),
        fails("unlink", EISDIR, "a folder", |w| args![w.folder("d")]),
        ok("unlinkat", "a folder", |w| {
            args![AT_FDCWD, w.folder("d"), AT_REMOVEDIR]
        }),
        fails("unlinkat", EINVAL, "an unknown flag", |w| {
            args![AT_FDCWD, w.file("f", b""), 1]
        }),
        ok("symlink", "to nothing", |w| {
            args![w.text("nothing"), w.text("l")]
        }),
        fails("symlink", ENOENT, "an empty target", |w| {
            args![w.text(""), w.text("l")]
        }),
        ok("symlinkat", "to nothing", |w| {
            args![w.text("nothing"), AT_FDCWD, w.text("l")]
        }),
        fails("symlinkat", ENOTDIR, "in a file", |w| {
            let fd = w.open("f", b"");
            args![w.text("nothing"), fd, w.text("l")]
        }),
        ok("readlink", "a part of the target", |w| {
            std::os::unix::fs::symlink("target", "l").expect("a link");
            args![w.text("l"), w.out(16), 4]
        }),
        fails("readlink", EINVAL, "a file", |w| {
            args![w.file("f", b""), w.out(16), 16]
        }),
        ok("readlinkat", "the target", |w| {
            std::os::unix::fs::symlink("target", "l").expect("a link");
            let fd = w.open_with("l", O_PATH | libc::O_NOFOLLOW);
            args![fd, w.text(""), w.out(16), 16]
        }),
        fails("readlinkat", EINVAL, "no room", |w| {
            args![AT_FDCWD, w.text("l"), w.out(16), 0]
        }),
        ok("chmod", "sets bits", |w| args![w.file("f", b""), 0o4751]),
        fails("chmod", EPERM, "another's file", |w| {
            args![w.text("/etc"), 0o777]
        })
        .by_user(),
        ok("fchmod", "sets bits", |w| {
            let fd = w.open("f", b"");
            args![fd, 0o400]
        }),
        fails("fchmod", EBADF, "no descriptor", |_| args![NO_FD, 0o400]),
        ok("fchmodat", "sets bits", |w| {
            args![AT_FDCWD, w.file("f", b""), 0o111]
        }),
        fails("fchmodat", ENOENT, "no file", |w| {
            args![AT_FDCWD, w.text("none"), 0o111]
        }),
        ok("fchmodat2", "sets bits", |w| {
            args![AT_FDCWD, w.file("f", b""), 0o111, 0]
        }),
        fails("fchmodat2", EOPNOTSUPP, "a symbolic link", |w| {
            std::os::unix::fs::symlink("target", "l").expect("a link");
            args![AT_FDCWD, w.text("l"), 0o111, AT_SYMLINK_NOFOLLOW]
        }),
        ok("chown", "another owner", |w| {
            args![w.file("f", b""), 12, 34]
        }),
        fails("chown", EPERM, "as a user", |w| {
            args![w.file("f", b""), 12, 34]
        })
        .by_user(),
        ok("fchown", "another group", |w| {
            let fd = w.open("f", b"");
            args![fd, -1, 34]
        }),
        fails("fchown", EBADF, "no descriptor", |_| args![NO_FD, 1, 1]),
        ok("lchown", "a symbolic link", |w| {
            std::os::unix::fs::symlink("target", "l").expect("a link");
            args![w.text("l"), 12, 34]
        }),
        fails("lchown", ENAMETOOLONG, "a long name", |w| {
            args![w.text(&"n".repeat(300)), 1, 1]
        }),
        ok("fchownat", "another owner", |w| {
            args![AT_FDCWD, w.file("f", b""), 12, -1, 0]
        }),
        fails("fchownat", EINVAL, "an unknown flag", |w| {
            args![AT_FDCWD, w.file("f", b""), 1, 1, 1]
        }),
        ok("umask", "another mask", |_| args![0o077]),
        ok("utime", "two times", |w| {
            args![w.file("f", b""), w.words(&[1_000_000, 2_000_000])]
        }),
        fails("utime", ENOENT, "no file", |w| args![w.text("none"), 0]),
        ok("utimes", "two times", |w| {
            args![w.file("f", b""), w.words(&[1_000_000, 5, 2_000_000, 6])]
        }),
        fails("utimes", EINVAL, "too many microseconds", |w| {
            args![w.file("f", b""), w.words(&[1, 1_000_000, 2, 6])]
        }),
        ok("futimesat", "two times", |w| {
            args![
                AT_FDCWD,
                w.file("f", b""),
                w.words(&[1_000_000, 5, 2_000_000, 6])
            ]
        }),
        fails("futimesat", EBADF, "no folder", |w| {
            args![NO_FD, w.text("f"), 0]
        }),
        ok("utimensat", "one time, the other left", |w| {
            // UTIME_OMIT
            args![
                AT_FDCWD,
                w.file("f", b""),
                w.words(&[0, 0x3fff_fffe, 2_000_000, 7]),
                0
            ]
        }),
        fails("utimensat", EACCES, "another's file", |w| {
            args![AT_FDCWD, w.text("/etc"), 0, 0]
        })
        .by_user(),
        ok("mknod", "a fifo", |w| {
            args![w.text("p"), libc::S_IFIFO | 0o666, 0]
        }),
        fails("mknod", EPERM, "a device, as a user", |w| {
            args![w.text("n"), libc::S_IFCHR | 0o666, 0x103]
        })
        .by_user(),
        ok("mknodat", "a device", |w| {
            args![AT_FDCWD, w.text("n"), libc::S_IFCHR | 0o666, 0x103]
        }),
        fails("mknodat", EEXIST, "the name is taken", |w| {
            args![AT_FDCWD, w.file("f", b""), libc::S_IFREG | 0o666, 0]
        }),
        ok("sync", "everything", |_| args![]),
        ok("syncfs", "the scratch folder's", |w| {
            let fd = w.open("f", b"x");
            args![fd]
        }),
        fails("syncfs", EBADF, "no descriptor", |_| args![NO_FD]),
        ok("fsync", "a file", |w| {
            let fd = w.open("f", b"x");
            args![fd]
        }),
        fails("fsync", EINVAL, "a pipe", |w| {
            let (reader, _) = w.pipe();
            args![reader]
        }),
        ok("fdatasync", "a file", |w| {
            let fd = w.open("f", b"x");
            args![fd]
        }),
        fails("fdatasync", EBADF, "no descriptor", |_| args![NO_FD]),
        ok("sync_file_range", "a part", |w| {
            let fd = w.open("f", b"contents");
            args![fd, 0, 4, 2]
        }),
        fails("sync_file_range", EINVAL, "an unknown flag", |w| {
            let fd = w.open("f", b"contents");
            args![fd, 0, 4, 64]
        }),
        ok("readahead", "a part", |w| {
            let fd = w.open_with("/etc/passwd", O_RDONLY);
            args![fd, 0, 4096]
        }),
        fails("readahead", EBADF, "no descriptor", |_| {
            args![NO_FD, 0, 4096]
        }),
        ok("fadvise64", "it will be needed", |w| {
            let fd = w.open("f", b"contents");
            args![fd, 0, 0, libc::POSIX_FADV_WILLNEED]
        }),
        fails("fadvise64", EINVAL, "unknown advice", |w| {
            let fd = w.open("f", b"contents");
            args![fd, 0, 0, 99]
        }),
        ok("sendfile", "from a file to another", |w| {
            let (from, to) = (w.open("from", b"contents"), w.open("to", b""));
            args![to, from, w.words(&[2]), 100]
        }),
        fails("sendfile", EBADF, "no source", |w| {
            let to = w.open("to", b"");
            args![to, NO_FD, 0, 100]
        }),
        ok("copy_file_range", "from a file to another", |w| {
            let (from, to) = (w.open("from", b"contents"), w.open("to", b""));
            args![from, w.words(&[2]), to, w.words(&[1]), 100, 0]
        }),
        fails("copy_file_range", EINVAL, "an unknown flag", |w| {
            let (from, to) = (w.open("from", b"contents"), w.open("to", b""));
            args![from, 0, to, 0, 100, 1]
        }),
        ok("splice", "from a file into a pipe", |w| {
            let from = w.open("from", b"contents");
            let (reader, writer) = w.pipe();
            w.then_read(reader);
            args![from, w.words(&[2]), writer, 0, 5, 0]
        }),
        fails("splice", EINVAL, "without a pipe", |w| {
            let (from, to) = (w.open("from", b"contents"), w.open("to", b""));
            args![from, 0, to, 0, 5, 0]
        }),
        ok("tee", "from a pipe into another", |w| {
            let (a, _) = w.filled_pipe(b"bytes");
            let (b, to) = w.pipe();
            w.then_read(a);
            w.then_read(b);
            args![a, to, 5, 0]
        }),
        fails("tee", EINVAL, "without a pipe", |w| {
            let (from, to) = (w.open("from", b"contents"), w.open("to", b""));
            args![from, to, 5, 0]
        }),
        ok("vmsplice", "memory into a pipe", |w| {
            let (reader, writer) = w.pipe();
            w.then_read(reader);
            let buffer = w.bytes(b"bytes");
            args![writer, vector(w, &[(buffer.address(), 5)]), 1, 0]
        }),
        fails("vmsplice", EBADF, "no pipe", |w| {
            let (fd, buffer) = (w.open("f", b""), w.bytes(b"bytes"));
            args![fd, vector(w, &[(buffer.address(), 5)]), 1, 0]
        }),
        ok("setxattr", "a new attribute", |w| {
            let file = w.file("f", b"");
            attribute(w, file.address(), 0)
        }),
        fails("setxattr", ENODATA, "replaces nothing", |w| {
            let file = w.file("f", b"");
            attribute(w, file.address(), libc::XATTR_REPLACE as u64)
        }),
        ok("lsetxattr", "a new attribute", |w| {
            let file = w.file("f", b"");
            attribute(w, file.address(), 0)
        }),
        fails("lsetxattr", EPERM, "a symbolic link", |w| {
            std::os::unix::fs::symlink("to", "l").expect("a link");
            let link = w.text("l");
            attribute(w, link.address(), 0)
        }),
        ok("fsetxattr", "a new attribute", |w| {
            let fd = w.open("f", b"");
            attribute(w, fd as u64, 0)
        }),
        fails("fsetxattr", EBADF, "no descriptor", |w| {
            attribute(w, NO_FD as u64, 0)
        }),
        ok("setxattrat", "a new attribute", |w| {
            let (file, name, value) = (w.file("f", b""), w.text("user.a"), w.bytes(b"green"));
            args![
                AT_FDCWD,
                file,
                0,
                name,
                xattr_args(w, value.address(), 5),
                16
            ]
        }),
        fails("setxattrat", EINVAL, "a short structure", |w| {
            let (file, name) = (w.file("f", b""), w.text("user.a"));
            args![AT_FDCWD, file, 0, name, xattr_args(w, 0, 0), 8]
        }),
        ok("getxattr", "the value", |w| {
            let file = with_attributes(w);
            args![file, w.text("user.colour"), w.out(16), 16]
        }),
        fails("getxattr", ENODATA, "no attribute", |w| {
            let file = with_attributes(w);
            args![file, w.text("user.none"), w.out(16), 16]
        }),
        ok("lgetxattr", "its length", |w| {
            let file = with_attributes(w);
            args![file, w.text("user.colour"), 0, 0]
        }),
        fails("lgetxattr", ERANGE, "no room", |w| {
            let file = with_attributes(w);
            args![file, w.text("user.colour"), w.out(2), 2]
        }),
        ok("fgetxattr", "the value", |w| {
            with_attributes(w);
            let fd = w.open_with("f", O_RDONLY);
            args![fd, w.text("user.colour"), w.out(16), 16]
        }),
        fails("fgetxattr", EBADF, "no descriptor", |w| {
            args![NO_FD, w.text("user.colour"), w.out(16), 16]
        }),
        ok("getxattrat", "the value", |w| {
            let (file, value) = (with_attributes(w), w.out(16));
            let name = w.text("user.colour");
            args![
                AT_FDCWD,
                file,
                0,
                name,
                xattr_args(w, value.address(), 16),
                16
            ]
        }),
        fails("getxattrat", ENODATA, "no attribute", |w| {
            let (file, value) = (with_attributes(w), w.out(16));
            let name = w.text("user.none");
            args![
                AT_FDCWD,
                file,
                0,
                name,
                xattr_args(w, value.address(), 16),
                16
            ]
        }),
        ok("listxattr", "the names", |w| {
            args![with_attributes(w), w.out(64), 64]
        }),
        fails("listxattr", ENOENT, "no file", |w| {
            args![w.text("none"), w.out(64), 64]
        }),
        ok("llistxattr", "the names", |w| {
            args![with_attributes(w), w.out(64), 64]
        }),
        fails("llistxattr", ERANGE, "no room", |w| {
            args![with_attributes(w), w.out(3), 3]
        }),
        ok("flistxattr", "the names", |w| {
            with_attributes(w);
            let fd = w.open_with("f", O_RDONLY);
            args![fd, w.out(64), 64]
        }),
        fails("flistxattr", EBADF, "no descriptor", |w| {
            args![NO_FD, w.out(64), 64]
        }),
        ok("listxattrat", "the names", |w| {
            args![AT_FDCWD, with_attributes(w), 0, w.out(64), 64]
        }),
        fails("listxattrat", ENOENT, "no file", |w| {
            args![AT_FDCWD, w.text("none"), 0, w.out(64), 64]
        }),
        ok("removexattr", "an attribute", |w| {
            args![with_attributes(w), w.text("user.colour")]
        }),
        fails("removexattr", ENODATA, "no attribute", |w| {
            args![with_attributes(w), w.text("user.none")]
        }),
        ok("lremovexattr", "an attribute", |w| {
            args![with_attributes(w), w.text("user.colour")]
        }),
        fails("lremovexattr", EOPNOTSUPP, "an unknown kind", |w| {
            args![with_attributes(w), w.text("nobody.none")]
        }),
        ok("fremovexattr", "an attribute", |w| {
            with_attributes(w);
            let fd = w.open_with("f", O_RDWR);
            args![fd, w.text("user.colour")]
        }),
        fails("fremovexattr", EBADF, "no descriptor", |w| {
            args![NO_FD, w.text("user.colour")]
        }),
        ok("removexattrat", "an attribute", |w| {
            args![AT_FDCWD, with_attributes(w), 0, w.text("user.colour")]
        }),
        fails("removexattrat", ENODATA, "no attribute", |w| {
            args![AT_FDCWD, with_attributes(w), 0, w.text("user.none")]
        }),
        ok("file_getattr", "a file", |w| {
            args![AT_FDCWD, w.file("f", b""), w.out(24), 24, 0]
        }),
        fails("file_getattr", EINVAL, "a short structure", |w| {
            args![AT_FDCWD, w.file("f", b""), w.out(24), 8, 0]
        }),
        ok("file_setattr", "no dump", |w| {
            let file = w.file("f", b"");
            // FS_XFLAG_NODUMP
            args![AT_FDCWD, file, w.words(&[0x80, 0, 0]), 24, 0]
        }),
        fails("file_setattr", ENOENT, "no file", |w| {
            args![AT_FDCWD, w.text("none"), w.words(&[0, 0, 0]), 24, 0]
        }),
        ok("name_to_handle_at", "a file", |w| {
            let path = w.file("f", b"");
            // struct file_handle with room for 120 bytes.
            let mut handle = [0; 128];
            handle[..4].copy_from_slice(&120_u32.to_ne_bytes());
            let handle = w.bytes(&handle);
            w.vary(&[8..128]);
            args![AT_FDCWD, path, handle, w.out_varying(4, &[0..4]), 0]
        }),
        fails("name_to_handle_at", libc::EOVERFLOW, "no room", |w| {
            let path = w.file("f", b"");
            args![
                AT_FDCWD,
                path,
                w.halves(&[0, 0]),
                w.out_varying(4, &[0..4]),
                0
            ]
        }),
        ok("open_by_handle_at", "a file", |w| {
            let path = w.file("f", b"contents");
            let mut handle = [0; 128];
            handle[..4].copy_from_slice(&120_u32.to_ne_bytes());
            let handle = w.bytes(&handle);
            w.vary(&[8..128]);
            let mount = w.out_varying(4, &[0..4]);
            w.sys("name_to_handle_at", args![AT_FDCWD, path, handle, mount, 0]);
            args![AT_FDCWD, handle, O_RDONLY]
        }),
        fails("open_by_handle_at", EPERM, "as a user", |w| {
            args![AT_FDCWD, w.halves(&[8, 1, 0, 0]), O_RDONLY]
        })
        .by_user(),
        ok("cachestat", "a file", |w| {
            let fd = w.open("f", &[1; 8192]);
            args![fd, w.words(&[0, 8192]), w.out(40), 0]
        }),
        fails("cachestat", EINVAL, "a flag", |w| {
            let fd = w.open("f", b"");
            args![fd, w.words(&[0, 1]), w.out(40), 1]
        }),
        ok("flock", "locks a file", |w| {
            let fd = w.open("f", b"");
            args![fd, libc::LOCK_EX]
        }),
        fails("flock", libc::EAGAIN, "another has it", |w| {
            let fd = w.open("f", b"");
            w.sys("flock", args![fd, libc::LOCK_EX]);
            let other = w.open_with("f", O_RDWR);
            args![other, libc::LOCK_SH | libc::LOCK_NB]
        }),
        ok("fchroot", "into a folder", |w| {
            new_root(w);
            let fd = w.open_folder("d");
            args![fd, 0]
        })
        .apart(),
        fails("fchroot", EBADF, "no descriptor", |_| args![NO_FD, 0]),
        fails("open", ENXIO, "a fifo without a reader", |w| {
            let path = w.text("p");
            w.sys("mknod", args![path, libc::S_IFIFO | 0o666, 0]);
            args![path, O_WRONLY | libc::O_NONBLOCK]
        }),
        fails("open", ENOTDIR, "a file as a folder", |w| {
            args![w.file("f", b""), O_RDONLY | O_DIRECTORY]
        }),
    ]
}
