// SPDX-License-Identifier: MIT OR Apache-2.0

//! Kills whichever process passes a point, there and then: a BPF program at a probe.

use std::{
    fs,
    io::Error,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use zerocopy::{Immutable, IntoBytes};

/// Commands and types of `include/uapi/linux/bpf.h` and `include/uapi/linux/perf_event.h`.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TYPE_KPROBE: u32 = 2;
const BPF_FUNC_SEND_SIGNAL: u32 = 109;
const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;

/// Instructions of BPF: `r1 = SIGKILL`, `call bpf_send_signal`, `r0 = 0`, `exit`.
static PROGRAM: [u64; 4] = [
    0xb7 | 1 << 8 | (libc::SIGKILL as u64) << 32,
    0x85 | (BPF_FUNC_SEND_SIGNAL as u64) << 32,
    0xb7,
    0x95,
];

/// The beginning of `union bpf_attr` for a program.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log: [u64; 2],
}

/// The beginning of `struct perf_event_attr`.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Event {
    kind: u32,
    size: u32,
    config: u64,
    rest: [u64; 6],
}

/// The program is at work as long as this is there, in every process that holds it.
#[derive(Debug)]
pub struct Killer {
    _event: OwnedFd,
}

impl Killer {
    /// At the event of this folder of tracefs, a probe that is switched off by then.
    pub fn at(event: &str) -> Self {
        let id = fs::read_to_string(format!("{event}/id")).expect("the number of an event");
        let attributes = Event {
            kind: PERF_TYPE_TRACEPOINT,
            size: size_of::<Event>() as u32,
            config: id.trim().parse().expect("a number"),
            rest: [0; 6],
        };
        // SAFETY: reads the attributes alone. Every process, as processor 0 sees it: a program runs
        // on all of them.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                &raw const attributes,
                -1,
                0,
                -1,
                0,
            )
        };
        let event = owned(fd, "perf_event_open");
        let program = program();
        let set = |request: libc::c_ulong, argument: libc::c_int| {
            // SAFETY: takes numbers alone.
            let result = unsafe { libc::ioctl(event.as_raw_fd(), request, argument) };
            assert_eq!(result, 0, "a probe's program: {}", Error::last_os_error());
        };
        set(PERF_EVENT_IOC_SET_BPF, program.as_raw_fd());
        set(PERF_EVENT_IOC_ENABLE, 0);
        Self { _event: event }
    }
}

fn program() -> OwnedFd {
    let load = Load {
        kind: BPF_PROG_TYPE_KPROBE,
        instructions: PROGRAM.len() as u32,
        code: PROGRAM.as_ptr().addr() as u64,
        license: c"Dual MIT/GPL".as_ptr().addr() as u64,
        log: [0; 2],
    };
    // SAFETY: reads the attributes, the instructions and the text, which all live on.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const load,
            size_of::<Load>(),
        )
    };
    owned(fd, "BPF_PROG_LOAD")
}

fn owned(fd: libc::c_long, what: &str) -> OwnedFd {
    assert!(fd >= 0, "{what}: {}", Error::last_os_error());
    // SAFETY: the kernel just made this descriptor for us.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}
