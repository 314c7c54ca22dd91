// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's structures: offsets and sizes come from `linux-raw-sys`, which is generated from
//! the kernel's headers.

use linux_raw_sys::general as kernel;
use linux_raw_sys::system;

use super::{
    Field,
    Format,
    Layout,
    Shown, //
};
use crate::names::file;

/// Declares a structure's [`Layout`] from the kernel's: fields in the order in which strace
/// prints them, with their [`Format`] and, unless always, when they are [`Shown`].
macro_rules! structure {
    ($type:path { $($field:ident: $format:expr $(, $shown:ident)?;)* }) => {
        Format::Structure(&Layout {
            size: std::mem::size_of::<$type>(),
            fields: &[$(Field {
                name: stringify!($field),
                offset: std::mem::offset_of!($type, $field),
                format: $format,
                shown: structure!(@shown $($shown)?),
            }),*],
        })
    };
    (@shown) => { Shown::Always };
    (@shown $shown:ident) => { Shown::$shown };
}

use Format::{
    Array,
    Device,
    Hex,
    Limit,
    List,
    Mode,
    Names,
    Signed,
    Text,
    Unsigned, //
};

/// `struct timespec`.
pub static TIMESPEC: Format = structure!(kernel::__kernel_timespec {
    tv_sec: Signed(8);
    tv_nsec: Signed(8);
});

/// `struct timeval`.
pub static TIMEVAL: Format = structure!(kernel::__kernel_old_timeval {
    tv_sec: Signed(8);
    tv_usec: Signed(8);
});

/// Two of `struct timespec`: access and modification.
pub static TIMESPEC_PAIR: Format = Array(&TIMESPEC, 2);

/// Two of `struct timeval`: access and modification.
pub static TIMEVAL_PAIR: Format = Array(&TIMEVAL, 2);

/// `struct itimerspec`.
pub static ITIMERSPEC: Format = structure!(kernel::__kernel_itimerspec {
    it_interval: TIMESPEC_FIELD;
    it_value: TIMESPEC_FIELD;
});

/// `struct itimerval`.
pub static ITIMERVAL: Format = structure!(kernel::__kernel_old_itimerval {
    it_interval: TIMEVAL_FIELD;
    it_value: TIMEVAL_FIELD;
});

const TIMESPEC_FIELD: Format = structure!(kernel::__kernel_timespec {
    tv_sec: Signed(8);
    tv_nsec: Signed(8);
});

const TIMEVAL_FIELD: Format = structure!(kernel::__kernel_old_timeval {
    tv_sec: Signed(8);
    tv_usec: Signed(8);
});

const STATX_TIME: Format = structure!(kernel::statx_timestamp {
    tv_sec: Signed(8);
    tv_nsec: Unsigned(4);
});

/// `struct timezone`.
pub static TIMEZONE: Format = structure!(kernel::timezone {
    tz_minuteswest: Signed(4);
    tz_dsttime: Signed(4);
});

/// `struct stat`.
pub static STAT: Format = structure!(kernel::stat {
    st_dev: Device(8), InFull;
    st_ino: Unsigned(8), InFull;
    st_mode: Mode(4);
    st_nlink: Unsigned(8), InFull;
    st_uid: Unsigned(4), InFull;
    st_gid: Unsigned(4), InFull;
    st_blksize: Unsigned(8), InFull;
    st_blocks: Unsigned(8), InFull;
    st_size: Signed(8), Size;
    st_rdev: Device(8), Device;
    st_atime: Signed(8), InFull;
    st_atime_nsec: Unsigned(8), InFull;
    st_mtime: Signed(8), InFull;
    st_mtime_nsec: Unsigned(8), InFull;
    st_ctime: Signed(8), InFull;
    st_ctime_nsec: Unsigned(8), InFull;
});

/// `struct statx`.
pub static STATX: Format = structure!(kernel::statx {
    stx_mask: Names(&file::STATX, 4);
    stx_blksize: Unsigned(4), InFull;
    stx_attributes: Names(&file::STATX_ATTRIBUTE, 8);
    stx_nlink: Unsigned(4), InFull;
    stx_uid: Unsigned(4), InFull;
    stx_gid: Unsigned(4), InFull;
    stx_mode: Mode(2);
    stx_ino: Unsigned(8), InFull;
    stx_size: Unsigned(8);
    stx_blocks: Unsigned(8), InFull;
    stx_attributes_mask: Names(&file::STATX_ATTRIBUTE, 8), InFull;
    stx_atime: STATX_TIME, InFull;
    stx_btime: STATX_TIME, InFull;
    stx_ctime: STATX_TIME, InFull;
    stx_mtime: STATX_TIME, InFull;
    stx_rdev_major: Unsigned(4), InFull;
    stx_rdev_minor: Unsigned(4), InFull;
    stx_dev_major: Unsigned(4), InFull;
    stx_dev_minor: Unsigned(4), InFull;
    stx_mnt_id: Hex(8), InFull;
    stx_dio_mem_align: Unsigned(4), InFull;
    stx_dio_offset_align: Unsigned(4), InFull;
    stx_subvol: Unsigned(8), InFull;
});

/// `struct statfs`.
pub static STATFS: Format = structure!(kernel::statfs {
    f_type: Hex(8);
    f_bsize: Signed(8);
    f_blocks: Unsigned(8);
    f_bfree: Unsigned(8);
    f_bavail: Unsigned(8);
    f_files: Unsigned(8);
    f_ffree: Unsigned(8);
    f_namelen: Signed(8);
    f_frsize: Signed(8);
    f_flags: Hex(8);
});

/// `struct new_utsname`.
pub static UTSNAME: Format = structure!(system::new_utsname {
    sysname: Text(65);
    nodename: Text(65);
    release: Text(65), InFull;
    version: Text(65), InFull;
    machine: Text(65), InFull;
    domainname: Text(65), InFull;
});

/// `struct sysinfo`.
pub static SYSINFO: Format = structure!(system::sysinfo {
    uptime: Signed(8);
    loads: Array(&Unsigned(8), 3);
    totalram: Unsigned(8);
    freeram: Unsigned(8);
    sharedram: Unsigned(8);
    bufferram: Unsigned(8);
    totalswap: Unsigned(8);
    freeswap: Unsigned(8);
    procs: Unsigned(2);
    totalhigh: Unsigned(8);
    freehigh: Unsigned(8);
    mem_unit: Unsigned(4);
});

/// `struct rlimit64`, which `struct rlimit` equals on x86-64.
pub static RLIMIT: Format = structure!(kernel::rlimit64 {
    rlim_cur: Limit;
    rlim_max: Limit;
});

/// `struct rusage`.
pub static RUSAGE: Format = structure!(kernel::rusage {
    ru_utime: TIMEVAL_FIELD;
    ru_stime: TIMEVAL_FIELD;
    ru_maxrss: Signed(8), InFull;
    ru_ixrss: Signed(8), InFull;
    ru_idrss: Signed(8), InFull;
    ru_isrss: Signed(8), InFull;
    ru_minflt: Signed(8), InFull;
    ru_majflt: Signed(8), InFull;
    ru_nswap: Signed(8), InFull;
    ru_inblock: Signed(8), InFull;
    ru_oublock: Signed(8), InFull;
    ru_msgsnd: Signed(8), InFull;
    ru_msgrcv: Signed(8), InFull;
    ru_nsignals: Signed(8), InFull;
    ru_nvcsw: Signed(8), InFull;
    ru_nivcsw: Signed(8), InFull;
});

/// `struct open_how`.
pub static OPEN_HOW: Format = structure!(kernel::open_how {
    flags: Names(&file::OPEN, 8);
    mode: Mode(8);
    resolve: Names(&file::RESOLVE, 8);
});

/// `struct flock`.
pub static FLOCK: Format = structure!(kernel::flock {
    l_type: Names(&file::RECORD_LOCK, 2);
    l_whence: Names(&file::WHENCE, 2);
    l_start: Signed(8);
    l_len: Signed(8);
    l_pid: Signed(4), InFull;
});

/// Some of `struct pollfd`.
pub static POLLFDS: Format = List(&structure!(kernel::pollfd {
    fd: Signed(4);
    events: Names(&file::POLL_EVENT, 2);
    revents: Names(&file::POLL_EVENT, 2);
}));

/// `struct epoll_event`.
pub static EPOLL_EVENT: Format = EPOLL_EVENT_ITEM;

/// Some of `struct epoll_event`.
pub static EPOLL_EVENTS: Format = List(&EPOLL_EVENT);

const EPOLL_EVENT_ITEM: Format = structure!(kernel::epoll_event {
    events: Names(&file::EPOLL_EVENT, 4);
    data: Hex(8);
});

/// `struct winsize`.
pub static WINSIZE: Format = structure!(kernel::winsize {
    ws_row: Unsigned(2);
    ws_col: Unsigned(2);
    ws_xpixel: Unsigned(2);
    ws_ypixel: Unsigned(2);
});

/// `struct cachestat_range`.
pub static CACHESTAT_RANGE: Format = structure!(kernel::cachestat_range {
    off: Unsigned(8);
    len: Unsigned(8);
});

/// `struct cachestat`.
pub static CACHESTAT: Format = structure!(kernel::cachestat {
    nr_cache: Unsigned(8);
    nr_dirty: Unsigned(8);
    nr_writeback: Unsigned(8);
    nr_evicted: Unsigned(8);
    nr_recently_evicted: Unsigned(8);
});

/// Two descriptors: `pipe(2)`, `socketpair(2)`.
pub static DESCRIPTOR_PAIR: Format = Array(&Signed(4), 2);

/// An `int`, or `struct sched_param`, which holds one.
pub static INT: Format = Array(&Signed(4), 1);

/// An `unsigned int`.
pub static UNSIGNED: Format = Array(&Unsigned(4), 1);

/// An offset in a file.
pub static OFFSET: Format = Array(&Signed(8), 1);

/// Group ids.
pub static IDS: Format = List(&Unsigned(4));

/// All formats of this file.
pub static ALL: &[&Format] = &[
    &TIMESPEC,
    &TIMEVAL,
    &TIMESPEC_PAIR,
    &TIMEVAL_PAIR,
    &ITIMERSPEC,
    &ITIMERVAL,
    &TIMEZONE,
    &STAT,
    &STATX,
    &STATFS,
    &UTSNAME,
    &SYSINFO,
    &RLIMIT,
    &RUSAGE,
    &OPEN_HOW,
    &FLOCK,
    &POLLFDS,
    &EPOLL_EVENT,
    &EPOLL_EVENTS,
    &WINSIZE,
    &CACHESTAT_RANGE,
    &CACHESTAT,
    &DESCRIPTOR_PAIR,
    &INT,
    &UNSIGNED,
    &OFFSET,
    &IDS,
];
