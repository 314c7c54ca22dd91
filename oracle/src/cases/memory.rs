// SPDX-License-Identifier: MIT OR Apache-2.0

//! The address space.

use libc::{
    EACCES, EBADF, EFAULT, EINVAL, ENOMEM, EOPNOTSUPP, EPERM, ESRCH, MAP_ANONYMOUS,
    MAP_FIXED_NOREPLACE, MAP_PRIVATE, MAP_SHARED, PROT_NONE, PROT_READ, PROT_WRITE,
};
use nlcall_tests::memory::PAGE;

use crate::{
    case::{args, fails, ok, Case},
    world::{World, NO_FD, NO_PID},
};

const READ_WRITE: i32 = PROT_READ | PROT_WRITE;

/// This process as a descriptor.
fn this(w: &mut World) -> i32 {
    let this = std::process::id();
    w.sys("pidfd_open", args![this, 0]) as i32
}

/// `struct iovec` of pages, in memory.
fn vector_of(w: &mut World, count: usize) -> nlcall_tests::memory::Memory {
    let pages = w.pages(count);
    w.words(&[pages.address(), pages.len() as u64])
}

/// Where nothing is mapped.
fn hole(w: &mut World) -> u64 {
    let at = w.sys(
        "mmap",
        args![0, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0],
    );
    w.sys("munmap", args![at, 4 * PAGE]);
    at as u64
}

/// A protection key that lets this thread do everything.
fn key(w: &mut World) -> i64 {
    w.sys("pkey_alloc", args![0, 0])
}

pub fn cases() -> Vec<Case> {
    let mut cases = cases_of_every_processor();
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if flags.contains(" user_shstk") {
        cases.extend([
            ok("map_shadow_stack", "a page", |_| args![0, PAGE, 0]),
            fails("map_shadow_stack", EINVAL, "an unknown flag", |_| {
                args![0, PAGE, 16]
            }),
        ]);
    } else {
        cases.push(fails(
            "map_shadow_stack",
            EOPNOTSUPP,
            "this processor has none",
            |_| args![0, PAGE, 0],
        ));
    }
    cases
}

fn cases_of_every_processor() -> Vec<Case> {
    vec![
        ok("mmap", "memory", |_| {
            args![0, 3 * PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0]
        }),
        ok("mmap", "a file", |w| {
            let fd = w.open("f", b"contents");
            w.then(|value| {
                let memory = value as *const [u8; 8];
                // SAFETY: the mapping is of a file with eight bytes.
                format!("{:?}", unsafe { memory.read_volatile() })
            });
            args![0, PAGE, PROT_READ, MAP_SHARED, fd, 0]
        }),
        fails("mmap", EBADF, "no descriptor", |_| {
            args![0, PAGE, PROT_READ, MAP_SHARED, NO_FD, 0]
        }),
        fails("mmap", libc::EEXIST, "over something", |w| {
            let pages = w.pages(1);
            let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
            args![pages, PAGE, READ_WRITE, flags, -1, 0]
        }),
        ok("munmap", "a page in the middle", |w| {
            let pages = w.pages(3);
            args![pages.from_offset(PAGE), PAGE]
        }),
        fails("munmap", EINVAL, "nothing", |w| args![w.pages(1), 0]),
        ok("mremap", "grows", |w| {
            args![w.pages(2), 2 * PAGE, 8 * PAGE, libc::MREMAP_MAYMOVE]
        }),
        fails("mremap", EFAULT, "nothing there", |w| {
            args![hole(w), PAGE, 2 * PAGE, 1]
        }),
        ok("mprotect", "read-only", |w| {
            let pages = w.pages(3);
            args![pages.from_offset(PAGE), PAGE, PROT_READ]
        }),
        fails("mprotect", ENOMEM, "nothing there", |w| {
            args![hole(w), PAGE, PROT_READ]
        }),
        ok("brk", "where it is", |_| args![0]),
        ok("brk", "a page further", |w| {
            let now = w.sys("brk", args![0]);
            args![now + PAGE as i64]
        }),
        ok("msync", "a file", |w| {
            let fd = w.open("f", &[1; 4096]);
            let at = w.sys("mmap", args![0, PAGE, READ_WRITE, MAP_SHARED, fd, 0]);
            args![at, PAGE, libc::MS_SYNC]
        }),
        fails("msync", ENOMEM, "nothing there", |w| {
            args![hole(w), PAGE, libc::MS_SYNC]
        }),
        ok("mincore", "one page of three", |w| {
            args![w.pages(3), 3 * PAGE, w.out(3)]
        }),
        fails("mincore", ENOMEM, "nothing there", |w| {
            args![hole(w), PAGE, w.out(3)]
        }),
        ok("madvise", "not for children", |w| {
            args![w.pages(2), PAGE, libc::MADV_DONTFORK]
        }),
        ok("madvise", "not needed", |w| {
            args![w.pages(2), PAGE, libc::MADV_DONTNEED]
        }),
        fails("madvise", EINVAL, "unknown advice", |w| {
            args![w.pages(2), PAGE, 99]
        }),
        ok("process_madvise", "cold", |w| {
            args![this(w), vector_of(w, 2), 1, libc::MADV_COLD, 0]
        }),
        fails("process_madvise", EBADF, "no process", |w| {
            args![NO_FD, vector_of(w, 2), 1, libc::MADV_COLD, 0]
        }),
        ok("mlock", "two pages", |w| args![w.pages(3), 2 * PAGE]),
        fails("mlock", ENOMEM, "nothing there", |w| args![hole(w), PAGE]),
        ok("mlock2", "as it is used", |w| args![w.pages(3), PAGE, 1]),
        fails("mlock2", EINVAL, "an unknown flag", |w| {
            args![w.pages(3), PAGE, 2]
        }),
        ok("munlock", "a page", |w| {
            let pages = w.pages(2);
            w.sys("mlock", args![pages, 2 * PAGE]);
            args![pages, PAGE]
        }),
        fails("munlock", ENOMEM, "nothing there", |w| args![hole(w), PAGE]),
        ok("mlockall", "what will be mapped", |w| {
            w.pages(1);
            w.then(|_| {
                let all = args![0, PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0];
                crate::world::must("mmap", all);
                let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
                let locked = status.lines().find(|line| line.starts_with("VmLck"));
                locked.unwrap_or_default().to_owned()
            });
            args![libc::MCL_FUTURE]
        }),
        fails("mlockall", EINVAL, "nothing", |_| args![0]),
        ok("munlockall", "two pages", |w| {
            let pages = w.pages(2);
            w.sys("mlock", args![pages, 2 * PAGE]);
            args![]
        }),
        ok("mseal", "a page", |w| {
            let pages = w.pages(2);
            w.then_call("munmap", args![pages, PAGE]);
            args![pages, PAGE, 0]
        }),
        fails("mseal", ENOMEM, "nothing there", |w| {
            args![hole(w), PAGE, 0]
        }),
        ok("remap_file_pages", "the second page first", |w| {
            let contents: Vec<u8> = [[1; 4096], [2; 4096]].concat();
            let fd = w.open("f", &contents);
            let at = w.sys("mmap", args![0, 2 * PAGE, READ_WRITE, MAP_SHARED, fd, 0]);
            w.then(move |_| {
                // SAFETY: the mapping is of a file of two pages.
                format!("{}", unsafe { (at as *const u8).read_volatile() })
            });
            args![at, PAGE, 0, 1, 0]
        }),
        fails("remap_file_pages", EINVAL, "no file", |w| {
            args![w.pages(2), PAGE, 0, 1, 0]
        }),
        ok("mbind", "to the first node", |w| {
            args![w.pages(2), PAGE, libc::MPOL_BIND, w.words(&[1]), 64, 0]
        }),
        fails("mbind", EINVAL, "no policy", |w| {
            args![w.pages(2), PAGE, 99, w.words(&[1]), 64, 0]
        }),
        ok("set_mempolicy", "the first node", |w| {
            let (policy, nodes) = (w.out(4), w.out(8));
            w.then_call("get_mempolicy", args![policy, nodes, 64, 0, 0]);
            w.then(move |_| format!("{:?}", (policy.get(), nodes.get())));
            args![libc::MPOL_PREFERRED, w.words(&[1]), 64]
        }),
        fails("set_mempolicy", EINVAL, "no policy", |w| {
            args![99, w.words(&[1]), 64]
        }),
        ok("get_mempolicy", "of the thread", |w| {
            args![w.out(4), w.out(128), 1024, 0, 0]
        }),
        fails("get_mempolicy", EINVAL, "unknown flags", |w| {
            args![w.out(4), 0, 0, 0, 0x100]
        }),
        ok("set_mempolicy_home_node", "the first", |w| {
            let pages = w.pages(2);
            let nodes = w.words(&[1]);
            w.sys("mbind", args![pages, PAGE, libc::MPOL_BIND, nodes, 64, 0]);
            args![pages, PAGE, 0, 0]
        }),
        fails("set_mempolicy_home_node", EINVAL, "a flag", |w| {
            args![w.pages(2), PAGE, 0, 1]
        }),
        ok("migrate_pages", "from node to node", |w| {
            args![0, 64, w.words(&[1]), w.words(&[1])]
        }),
        fails("migrate_pages", ESRCH, "no process", |w| {
            args![NO_PID, 64, w.words(&[1]), w.words(&[1])]
        }),
        ok("move_pages", "asks where one is", |w| {
            let pages = w.pages(1);
            args![0, 1, w.words(&[pages.address()]), 0, w.out(4), 0]
        }),
        fails("move_pages", ESRCH, "no process", |w| {
            args![NO_PID, 1, w.words(&[0]), 0, w.out(4), 0]
        }),
        ok("pkey_alloc", "a key", |_| args![0, 2]),
        fails("pkey_alloc", EINVAL, "a flag", |_| args![1, 0]),
        ok("pkey_free", "a key", |w| args![key(w)]),
        fails("pkey_free", EINVAL, "no key", |_| args![9]),
        ok("pkey_mprotect", "under a key", |w| {
            args![w.pages(2), PAGE, READ_WRITE, key(w)]
        }),
        fails("pkey_mprotect", EINVAL, "no key", |w| {
            args![w.pages(2), PAGE, READ_WRITE, 9]
        }),
        ok("read", "into memory under a protection key", |w| {
            let fd = w.open("f", b"contents");
            let pages = w.pages(1);
            let key = key(w);
            w.sys("pkey_mprotect", args![pages, PAGE, READ_WRITE, key]);
            w.then(move |_| {
                // SAFETY: the page may be read and written by this thread.
                format!("{:?}", unsafe {
                    (pages.address() as *const [u8; 4]).read_volatile()
                })
            });
            args![fd, pages, 4]
        }),
        ok("process_vm_readv", "from this process", |w| {
            let (from, to) = (w.bytes(b"contents"), w.out(8));
            let (from, to) = (w.words(&[from.address(), 8]), w.words(&[to.address(), 8]));
            args![std::process::id(), to, 1, from, 1, 0]
        }),
        fails("process_vm_readv", ESRCH, "no process", |w| {
            let to = w.out(8);
            let to = w.words(&[to.address(), 8]);
            args![NO_PID, to, 1, to, 1, 0]
        }),
        ok("process_vm_writev", "into a helper", |w| {
            let shared = w.bytes(b"xxxxxxxx");
            let child = w.child();
            let from = w.bytes(b"contents");
            let back = w.out(8);
            let at_child = w.words(&[shared.address(), 8]);
            let at_back = w.words(&[back.address(), 8]);
            w.then_call("process_vm_readv", args![child, at_back, 1, at_child, 1, 0]);
            w.then(move |_| String::from_utf8_lossy(&back.get()).into_owned());
            args![child, w.words(&[from.address(), 8]), 1, at_child, 1, 0]
        }),
        fails("process_vm_writev", EPERM, "another's process", |w| {
            args![1, w.words(&[16, 1]), 1, w.words(&[16, 1]), 1, 0]
        })
        .by_user(),
        ok("process_mrelease", "of a helper on its way out", |w| {
            let child = w.child();
            let pidfd = w.sys("pidfd_open", args![child, 0]);
            // It stops where it exits, while it has its memory.
            let exits = libc::PTRACE_O_TRACEEXIT;
            w.sys("ptrace", args![libc::PTRACE_SEIZE, child, 0, exits]);
            w.sys("kill", args![child, libc::SIGKILL]);
            w.sys("wait4", args![child, 0, libc::__WALL, 0]);
            args![pidfd, 0]
        }),
        fails("process_mrelease", EINVAL, "a helper that lives", |w| {
            let child = w.child();
            args![w.sys("pidfd_open", args![child, 0]), 0]
        }),
        ok("membarrier", "what there is", |_| args![0, 0, 0]),
        ok("membarrier", "registers, and asks", |w| {
            w.sys(
                "membarrier",
                args![libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0],
            );
            args![libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0]
        }),
        fails("membarrier", EPERM, "not registered", |_| {
            args![libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0]
        }),
        ok("getrandom", "sixteen bytes", |w| {
            args![w.out_varying(16, &[0..16]), 16, 0]
        }),
        fails("getrandom", EINVAL, "unknown flags", |w| {
            args![w.out(16), 16, 0x100]
        }),
        fails(
            "mmap",
            EACCES,
            "writes into a file that is only read",
            |w| {
                std::fs::write("f", b"contents").expect("a file");
                let fd = w.open_with("f", libc::O_RDONLY);
                args![0, PAGE, READ_WRITE, MAP_SHARED, fd, 0]
            },
        ),
    ]
}
