// SPDX-License-Identifier: MIT OR Apache-2.0

//! The signatures of all x86-64 system calls, in the order of their numbers.
//!
//! Names and types of the parameters are those of the `SYSCALL_DEFINE` macros of Linux 7.3; a
//! script read them once, by the entry points that `arch/x86/entry/syscalls/syscall_64.tbl` names,
//! and turned C types into kinds: `int` into `Int`, `const char __user *filename` into `Path`,
//! pointers that are not described further into `Address`. The kinds of the calls that people make
//! by hand were then refined: sets of names, structures, and which buffers are read or written.
//! Calls without an entry point, `(..)`, take up to six numbers. A test holds the table complete.

use super::Extent::{
    Returned,
    Text as Terminated, //
};
use super::Kind::*;
use super::{
    Parameter,
    Returns,
    Signature, //
};
use crate::layout::structures::*;
use crate::names::{
    file,
    memory,
    process,
    socket,
    time, //
};

/// Writes signatures as `name(parameter: KIND, last[optional]: KIND) -> RETURNS;`.
macro_rules! signatures {
    ($($name:ident $parameters:tt $(-> $returns:ident)?;)*) => {
        &[$(Signature {
            name: stringify!($name),
            parameters: signatures!(@parameters $parameters),
            returns: signatures!(@returns $($returns)?),
        }),*]
    };
    (@parameters (..)) => { SIX_NUMBERS };
    (@parameters ($($name:tt $([$optional:ident])? : $kind:expr),* $(,)?)) => {
        &[$(Parameter {
            name: stringify!($name),
            kind: $kind,
            optional: signatures!(@is $($optional)?),
        }),*]
    };
    (@is) => { false };
    (@is optional) => { true };
    (@returns) => { Returns::Number };
    (@returns $returns:ident) => { Returns::$returns };
}

/// What a call takes of which nothing is known.
pub(super) static SIX_NUMBERS: &[Parameter] = &{
    const fn number(name: &'static str) -> Parameter {
        Parameter {
            name,
            kind: Hex,
            optional: true,
        }
    }
    [
        number("arg1"),
        number("arg2"),
        number("arg3"),
        number("arg4"),
        number("arg5"),
        number("arg6"),
    ]
};

/// Every system call, as `nlcall_abi::syscalls::TABLE` has them.
pub(super) static TABLE: &[Signature] = signatures! {
    read(fd: Fd, buf: BytesOut(Returned(2)), count: Ulong);
    write(fd: Fd, buf: BytesIn(2), count: Ulong);
    open(filename: Path, flags: Names(&file::OPEN), mode[optional]: Mode);
    close(fd: Fd);
    stat(filename: Path, statbuf: Out(&STAT));
    fstat(fd: Fd, statbuf: Out(&STAT));
    lstat(filename: Path, statbuf: Out(&STAT));
    poll(ufds: InOut(&POLLFDS), nfds: Uint, timeout_msecs: Int);
    lseek(fd: Fd, offset: Long, whence: Names(&file::WHENCE));
    mmap(
        addr: Address, len: Ulong, prot: Names(&memory::PROTECTION), flags: Names(&memory::MAP),
        fd: Fd, off: Hex,
    ) -> Address;
    mprotect(start: Address, len: Ulong, prot: Names(&memory::PROTECTION));
    munmap(addr: Address, len: Ulong);
    brk(brk: Address) -> Address;
    rt_sigaction(sig: Signal, act: Address, oact: Address, sigsetsize: Ulong);
    rt_sigprocmask(how: Names(&process::MASK_HOW), nset: Address, oset: Address, sigsetsize: Ulong);
    rt_sigreturn();
    ioctl(fd: Fd, cmd: Names(&file::IOCTL), arg[optional]: Any);
    pread64(fd: Fd, buf: BytesOut(Returned(2)), count: Ulong, pos: Long);
    pwrite64(fd: Fd, buf: BytesIn(2), count: Ulong, pos: Long);
    readv(fd: Fd, vec: Scatter, vlen: Ulong);
    writev(fd: Fd, vec: Gather, vlen: Ulong);
    access(filename: Path, mode: Names(&file::ACCESS));
    pipe(fildes: Out(&DESCRIPTOR_PAIR));
    select(n: Int, inp: Address, outp: Address, exp: Address, tvp: In(&TIMEVAL));
    sched_yield();
    mremap(
        addr: Address, old_len: Ulong, new_len: Ulong, flags: Names(&memory::REMAP),
        new_addr[optional]: Address,
    ) -> Address;
    msync(start: Address, len: Ulong, flags: Names(&memory::SYNC));
    mincore(start: Address, len: Ulong, vec: Address);
    madvise(start: Address, len_in: Ulong, behavior: Names(&memory::ADVICE));
    shmget(key: Int, size: Ulong, shmflg: Names(&process::IPC_GET));
    shmat(shmid: Int, shmaddr: Address, shmflg: Names(&process::SHM_AT)) -> Address;
    shmctl(shmid: Int, cmd: Names(&process::IPC_CTL), buf: Address);
    dup(fildes: Fd);
    dup2(oldfd: Fd, newfd: Fd);
    pause();
    nanosleep(rqtp: In(&TIMESPEC), rmtp[optional]: Address);
    getitimer(which: Names(&time::INTERVAL), value: Out(&ITIMERVAL));
    alarm(seconds: Uint);
    setitimer(which: Names(&time::INTERVAL), value: In(&ITIMERVAL), ovalue: Out(&ITIMERVAL));
    getpid();
    sendfile(out_fd: Fd, in_fd: Fd, offset: InOut(&OFFSET), count: Ulong);
    socket(family: Names(&socket::FAMILY), type: Names(&socket::TYPE), protocol: Int);
    connect(fd: Fd, uservaddr: BytesIn(2), addrlen: Int);
    accept(fd: Fd, upeer_sockaddr: Address, upeer_addrlen: InOut(&INT));
    sendto(
        fd: Fd, buff: BytesIn(2), len: Ulong, flags: Names(&socket::MESSAGE),
        addr[optional]: BytesIn(5), addr_len[optional]: Int,
    );
    recvfrom(
        fd: Fd, ubuf: BytesOut(Returned(2)), size: Ulong, flags: Names(&socket::MESSAGE),
        addr[optional]: Address, addr_len[optional]: Address,
    );
    sendmsg(fd: Fd, msg: Address, flags: Names(&socket::MESSAGE));
    recvmsg(fd: Fd, msg: Address, flags: Names(&socket::MESSAGE));
    shutdown(fd: Fd, how: Names(&socket::SHUTDOWN));
    bind(fd: Fd, umyaddr: BytesIn(2), addrlen: Int);
    listen(fd: Fd, backlog: Int);
    getsockname(fd: Fd, usockaddr: Address, usockaddr_len: InOut(&INT));
    getpeername(fd: Fd, usockaddr: Address, usockaddr_len: InOut(&INT));
    socketpair(
        family: Names(&socket::FAMILY), type: Names(&socket::TYPE), protocol: Int,
        usockvec: Out(&DESCRIPTOR_PAIR),
    );
    setsockopt(
        fd: Fd, level: Names(&socket::LEVEL), optname: Names(&socket::OPTION), optval: BytesIn(4),
        optlen: Int,
    );
    getsockopt(
        fd: Fd, level: Names(&socket::LEVEL), optname: Names(&socket::OPTION), optval: Text,
        optlen: InOut(&INT),
    );
    clone(
        clone_flags: Names(&process::CLONE), newsp: Ulong, parent_tidptr: Address,
        child_tidptr: Address, tls: Ulong,
    );
    fork();
    vfork();
    execve(filename: Path, argv: Strings, envp[optional]: Strings);
    exit(error_code: Int);
    wait4(
        upid: Int, stat_addr: Out(&INT), options: Names(&process::WAIT), ru[optional]: Out(&RUSAGE),
    );
    kill(pid: Int, sig: Signal);
    uname(name: Out(&UTSNAME));
    semget(key: Int, nsems: Int, semflg: Names(&process::IPC_GET));
    semop(semid: Int, tsops: Address, nsops: Uint);
    semctl(semid: Int, semnum: Int, cmd: Names(&process::SEM_CTL), arg[optional]: Any);
    shmdt(shmaddr: Address);
    msgget(key: Int, msgflg: Names(&process::IPC_GET));
    msgsnd(msqid: Int, msgp: Address, msgsz: Ulong, msgflg: Names(&process::MESSAGE));
    msgrcv(msqid: Int, msgp: Address, msgsz: Ulong, msgtyp: Long, msgflg: Names(&process::MESSAGE));
    msgctl(msqid: Int, cmd: Names(&process::IPC_CTL), buf: Address);
    fcntl(fd: Fd, cmd: Names(&file::FCNTL), arg[optional]: Any);
    flock(fd: Fd, cmd: Names(&file::FLOCK));
    fsync(fd: Fd);
    fdatasync(fd: Fd);
    truncate(path: Path, length: Long);
    ftruncate(fd: Fd, length: Long);
    getdents(fd: Fd, dirent: BytesOut(Returned(2)), count: Uint);
    getcwd(buf: BytesOut(Terminated(1)), size: Ulong);
    chdir(filename: Path);
    fchdir(fd: Fd);
    rename(oldname: Path, newname: Path);
    mkdir(pathname: Path, mode: Mode);
    rmdir(pathname: Path);
    creat(pathname: Path, mode: Mode);
    link(oldname: Path, newname: Path);
    unlink(pathname: Path);
    symlink(oldname: Path, newname: Path);
    readlink(path: Path, buf: BytesOut(Returned(2)), bufsiz: Int);
    chmod(filename: Path, mode: Mode);
    fchmod(fd: Fd, mode: Mode);
    chown(filename: Path, user: Int, group: Int);
    fchown(fd: Fd, user: Int, group: Int);
    lchown(filename: Path, user: Int, group: Int);
    umask(mask: Mode) -> Mode;
    gettimeofday(tv: Out(&TIMEVAL), tz[optional]: Out(&TIMEZONE));
    getrlimit(resource: Names(&process::RESOURCE), rlim: Out(&RLIMIT));
    getrusage(who: Names(&process::USAGE), ru: Out(&RUSAGE));
    sysinfo(info: Out(&SYSINFO));
    times(tbuf: Address);
    ptrace(
        request: Names(&process::PTRACE), pid: Long, addr[optional]: Address, data[optional]: Any,
    );
    getuid();
    syslog(type: Int, buf: BytesOut(Returned(2)), len: Int);
    getgid();
    setuid(uid: Int);
    setgid(gid: Int);
    geteuid();
    getegid();
    setpgid(pid: Int, pgid: Int);
    getppid();
    getpgrp();
    setsid();
    setreuid(ruid: Int, euid: Int);
    setregid(rgid: Int, egid: Int);
    getgroups(gidsetsize: Int, grouplist: Out(&IDS));
    setgroups(gidsetsize: Int, grouplist: In(&IDS));
    setresuid(ruid: Int, euid: Int, suid: Int);
    getresuid(ruidp: Out(&UNSIGNED), euidp: Out(&UNSIGNED), suidp: Out(&UNSIGNED));
    setresgid(rgid: Int, egid: Int, sgid: Int);
    getresgid(rgidp: Out(&UNSIGNED), egidp: Out(&UNSIGNED), sgidp: Out(&UNSIGNED));
    getpgid(pid: Int);
    setfsuid(uid: Int);
    setfsgid(gid: Int);
    getsid(pid: Int);
    capget(header: Address, dataptr: Address);
    capset(header: Address, data: Address);
    rt_sigpending(uset: Address, sigsetsize: Ulong);
    rt_sigtimedwait(uthese: Address, uinfo: Address, uts: In(&TIMESPEC), sigsetsize: Ulong);
    rt_sigqueueinfo(pid: Int, sig: Signal, uinfo: Address);
    rt_sigsuspend(unewset: Address, sigsetsize: Ulong);
    sigaltstack(uss: Address, uoss: Address);
    utime(filename: Path, times: Address);
    mknod(filename: Path, mode: Mode, dev: Hex);
    uselib(..);
    personality(personality: Hex);
    ustat(dev: Uint, ubuf: Address);
    statfs(pathname: Path, buf: Out(&STATFS));
    fstatfs(fd: Fd, buf: Out(&STATFS));
    sysfs(option: Int, arg1[optional]: Any, arg2[optional]: Any);
    getpriority(which: Names(&process::PRIORITY), who: Int);
    setpriority(which: Names(&process::PRIORITY), who: Int, niceval: Int);
    sched_setparam(pid: Int, param: In(&INT));
    sched_getparam(pid: Int, param: Out(&INT));
    sched_setscheduler(pid: Int, policy: Names(&process::POLICY), param: In(&INT));
    sched_getscheduler(pid: Int);
    sched_get_priority_max(policy: Names(&process::POLICY));
    sched_get_priority_min(policy: Names(&process::POLICY));
    sched_rr_get_interval(pid: Int, interval: Out(&TIMESPEC));
    mlock(start: Address, len: Ulong);
    munlock(start: Address, len: Ulong);
    mlockall(flags: Names(&memory::LOCK_ALL));
    munlockall();
    vhangup();
    modify_ldt(func: Int, ptr: Address, bytecount: Ulong);
    pivot_root(new_root: Path, put_old: Path);
    _sysctl(..);
    prctl(
        option: Names(&process::PRCTL), arg2[optional]: Any, arg3[optional]: Any,
        arg4[optional]: Any, arg5[optional]: Any,
    );
    arch_prctl(option: Hex, arg2[optional]: Any);
    adjtimex(txc_p: Address);
    setrlimit(resource: Names(&process::RESOURCE), rlim: In(&RLIMIT));
    chroot(filename: Path);
    sync();
    acct(name: Path);
    settimeofday(tv: In(&TIMEVAL), tz[optional]: In(&TIMEZONE));
    mount(
        dev_name: Text, dir_name: Path, type[optional]: Text, flags[optional]: Names(&file::MOUNT),
        data[optional]: Text,
    );
    umount2(name: Path, flags: Names(&file::UNMOUNT));
    swapon(specialfile: Path, swap_flags: Int);
    swapoff(specialfile: Path);
    reboot(magic1: Hex, magic2: Hex, cmd: Hex, arg[optional]: Any);
    sethostname(name: BytesIn(1), len: Int);
    setdomainname(name: BytesIn(1), len: Int);
    iopl(level: Uint);
    ioperm(from: Ulong, num: Ulong, turn_on: Int);
    create_module(..);
    init_module(umod: BytesIn(1), len: Ulong, uargs: Text);
    delete_module(name_user: Text, flags: Names(&file::OPEN));
    get_kernel_syms(..);
    query_module(..);
    quotactl(cmd: Uint, special: Path, id: Int, addr[optional]: Any);
    nfsservctl(..);
    getpmsg(..);
    putpmsg(..);
    afs_syscall(..);
    tuxcall(..);
    security(..);
    gettid();
    readahead(fd: Fd, offset: Long, count: Ulong);
    setxattr(
        pathname: Path, name: Text, value: BytesIn(3), size: Ulong, flags: Names(&file::XATTR),
    );
    lsetxattr(
        pathname: Path, name: Text, value: BytesIn(3), size: Ulong, flags: Names(&file::XATTR),
    );
    fsetxattr(fd: Fd, name: Text, value: BytesIn(3), size: Ulong, flags: Names(&file::XATTR));
    getxattr(pathname: Path, name: Text, value: BytesOut(Returned(3)), size: Ulong);
    lgetxattr(pathname: Path, name: Text, value: BytesOut(Returned(3)), size: Ulong);
    fgetxattr(fd: Fd, name: Text, value: BytesOut(Returned(3)), size: Ulong);
    listxattr(pathname: Path, list: BytesOut(Returned(2)), size: Ulong);
    llistxattr(pathname: Path, list: BytesOut(Returned(2)), size: Ulong);
    flistxattr(fd: Fd, list: BytesOut(Returned(2)), size: Ulong);
    removexattr(pathname: Path, name: Text);
    lremovexattr(pathname: Path, name: Text);
    fremovexattr(fd: Fd, name: Text);
    tkill(pid: Int, sig: Signal);
    time(tloc[optional]: Out(&OFFSET));
    futex(
        uaddr: InOut(&UNSIGNED), op: Names(&process::FUTEX), val: Uint,
        utime[optional]: In(&TIMESPEC), uaddr2[optional]: InOut(&UNSIGNED), val3[optional]: Uint,
    );
    sched_setaffinity(pid: Int, len: Uint, user_mask_ptr: BytesIn(1));
    sched_getaffinity(pid: Int, len: Uint, user_mask_ptr: BytesOut(Returned(1)));
    set_thread_area(..);
    io_setup(nr_events: Uint, ctxp: Address);
    io_destroy(ctx: Hex);
    io_getevents(ctx_id: Hex, min_nr: Long, nr: Long, events: Address, timeout: In(&TIMESPEC));
    io_submit(ctx_id: Hex, nr: Long, iocbpp: Address);
    io_cancel(ctx_id: Hex, iocb: Address, result: Address);
    get_thread_area(..);
    lookup_dcookie(..);
    epoll_create(size: Int);
    epoll_ctl_old(..);
    epoll_wait_old(..);
    remap_file_pages(
        start: Address, size: Ulong, prot: Names(&memory::PROTECTION), pgoff: Ulong,
        flags: Names(&memory::MAP),
    );
    getdents64(fd: Fd, dirent: BytesOut(Returned(2)), count: Uint);
    set_tid_address(tidptr: Address);
    restart_syscall();
    semtimedop(semid: Int, tsops: Address, nsops: Uint, timeout: In(&TIMESPEC));
    fadvise64(fd: Fd, offset: Long, len: Ulong, advice: Names(&file::FADVISE));
    timer_create(
        which_clock: Names(&time::CLOCK), timer_event_spec: Address, created_timer_id: Out(&INT),
    );
    timer_settime(
        timer_id: Int, flags: Names(&time::TIMER), new_setting: In(&ITIMERSPEC),
        old_setting[optional]: Out(&ITIMERSPEC),
    );
    timer_gettime(timer_id: Int, setting: Out(&ITIMERSPEC));
    timer_getoverrun(timer_id: Int);
    timer_delete(timer_id: Int);
    clock_settime(which_clock: Names(&time::CLOCK), tp: In(&TIMESPEC));
    clock_gettime(which_clock: Names(&time::CLOCK), tp: Out(&TIMESPEC));
    clock_getres(which_clock: Names(&time::CLOCK), tp: Out(&TIMESPEC));
    clock_nanosleep(
        which_clock: Names(&time::CLOCK), flags: Names(&time::TIMER), rqtp: In(&TIMESPEC),
        rmtp[optional]: Address,
    );
    exit_group(error_code: Int);
    epoll_wait(epfd: Fd, events: Out(&EPOLL_EVENTS), maxevents: Int, timeout: Int);
    epoll_ctl(epfd: Fd, op: Names(&file::EPOLL_CTL), fd: Fd, event[optional]: In(&EPOLL_EVENT));
    tgkill(tgid: Int, pid: Int, sig: Signal);
    utimes(filename: Path, utimes[optional]: In(&TIMEVAL_PAIR));
    vserver(..);
    mbind(
        start: Address, len: Ulong, mode: Names(&memory::POLICY), nmask: Address, maxnode: Ulong,
        flags: Uint,
    );
    set_mempolicy(mode: Names(&memory::POLICY), nmask: Address, maxnode: Ulong);
    get_mempolicy(policy: Address, nmask: Address, maxnode: Ulong, addr: Ulong, flags: Ulong);
    mq_open(
        u_name: Text, oflag: Names(&file::OPEN), mode[optional]: Mode, u_attr[optional]: Address,
    );
    mq_unlink(u_name: Text);
    mq_timedsend(
        mqdes: Fd, u_msg_ptr: BytesIn(2), msg_len: Ulong, msg_prio: Uint,
        u_abs_timeout[optional]: In(&TIMESPEC),
    );
    mq_timedreceive(
        mqdes: Fd, u_msg_ptr: BytesOut(Returned(2)), msg_len: Ulong,
        u_msg_prio[optional]: Out(&UNSIGNED), u_abs_timeout[optional]: In(&TIMESPEC),
    );
    mq_notify(mqdes: Fd, u_notification: Address);
    mq_getsetattr(mqdes: Fd, u_mqstat: Address, u_omqstat: Address);
    kexec_load(entry: Ulong, nr_segments: Ulong, segments: Address, flags: Ulong);
    waitid(
        which: Names(&process::WAIT_FOR), upid: Int, infop: Address, options: Names(&process::WAIT),
        ru[optional]: Out(&RUSAGE),
    );
    add_key(_type: Text, _description: Text, _payload: BytesIn(3), plen: Ulong, ringid: Int);
    request_key(_type: Text, _description: Text, _callout_info: Text, destringid: Int);
    keyctl(
        option: Int, arg2[optional]: Any, arg3[optional]: Any, arg4[optional]: Any,
        arg5[optional]: Any,
    );
    ioprio_set(which: Int, who: Int, ioprio: Int);
    ioprio_get(which: Int, who: Int);
    inotify_init();
    inotify_add_watch(fd: Fd, pathname: Path, mask: Names(&file::WATCH));
    inotify_rm_watch(fd: Fd, wd: Int);
    migrate_pages(pid: Int, maxnode: Ulong, old_nodes: Address, new_nodes: Address);
    openat(dfd: Dirfd, filename: Path, flags: Names(&file::OPEN), mode[optional]: Mode);
    mkdirat(dfd: Dirfd, pathname: Path, mode: Mode);
    mknodat(dfd: Dirfd, filename: Path, mode: Mode, dev: Hex);
    fchownat(dfd: Dirfd, filename: Path, user: Int, group: Int, flag: Names(&file::AT));
    futimesat(dfd: Dirfd, filename: Path, utimes[optional]: In(&TIMEVAL_PAIR));
    newfstatat(dfd: Dirfd, filename: Path, statbuf: Out(&STAT), flag: Names(&file::AT));
    unlinkat(dfd: Dirfd, pathname: Path, flag: Names(&file::UNLINK_AT));
    renameat(olddfd: Dirfd, oldname: Path, newdfd: Dirfd, newname: Path);
    linkat(
        olddfd: Dirfd, oldname: Path, newdfd: Dirfd, newname: Path, flags: Names(&file::LINK_AT),
    );
    symlinkat(oldname: Path, newdfd: Dirfd, newname: Path);
    readlinkat(dfd: Dirfd, pathname: Path, buf: BytesOut(Returned(3)), bufsiz: Int);
    fchmodat(dfd: Dirfd, filename: Path, mode: Mode);
    faccessat(dfd: Dirfd, filename: Path, mode: Names(&file::ACCESS));
    pselect6(n: Int, inp: Address, outp: Address, exp: Address, tsp: In(&TIMESPEC), sig: Address);
    ppoll(
        ufds: InOut(&POLLFDS), nfds: Uint, tsp: In(&TIMESPEC), sigmask: Address, sigsetsize: Ulong,
    );
    unshare(unshare_flags: Names(&process::CLONE));
    set_robust_list(head: Address, len: Ulong);
    get_robust_list(pid: Int, head_ptr: Address, len_ptr: Address);
    splice(
        fd_in: Fd, off_in: InOut(&OFFSET), fd_out: Fd, off_out: InOut(&OFFSET), len: Ulong,
        flags: Names(&file::SPLICE),
    );
    tee(fdin: Fd, fdout: Fd, len: Ulong, flags: Names(&file::SPLICE));
    sync_file_range(fd: Fd, offset: Long, nbytes: Long, flags: Names(&file::SYNC_RANGE));
    vmsplice(fd: Fd, uiov: Gather, nr_segs: Ulong, flags: Names(&file::SPLICE));
    move_pages(
        pid: Int, nr_pages: Ulong, pages: Address, nodes: Address, status: Address, flags: Int,
    );
    utimensat(
        dfd: Dirfd, filename: Path, utimes: In(&TIMESPEC_PAIR), flags[optional]: Names(&file::AT),
    );
    epoll_pwait(
        epfd: Fd, events: Out(&EPOLL_EVENTS), maxevents: Int, timeout: Int,
        sigmask[optional]: Address, sigsetsize[optional]: Ulong,
    );
    signalfd(ufd: Fd, user_mask: Address, sizemask: Ulong);
    timerfd_create(clockid: Names(&time::CLOCK), flags: Names(&time::TIMERFD));
    eventfd(count: Uint);
    fallocate(fd: Fd, mode: Names(&file::FALLOCATE), offset: Long, len: Long);
    timerfd_settime(
        ufd: Fd, flags: Names(&time::TIMERFD_SET), utmr: In(&ITIMERSPEC),
        otmr[optional]: Out(&ITIMERSPEC),
    );
    timerfd_gettime(ufd: Fd, otmr: Out(&ITIMERSPEC));
    accept4(
        fd: Fd, upeer_sockaddr: Address, upeer_addrlen: InOut(&INT), flags: Names(&socket::ACCEPT),
    );
    signalfd4(ufd: Fd, user_mask: Address, sizemask: Ulong, flags: Names(&file::DESCRIPTOR));
    eventfd2(count: Uint, flags: Names(&file::EVENTFD));
    epoll_create1(flags: Names(&file::EPOLL_CREATE));
    dup3(oldfd: Fd, newfd: Fd, flags: Names(&file::DESCRIPTOR));
    pipe2(fildes: Out(&DESCRIPTOR_PAIR), flags: Names(&file::DESCRIPTOR));
    inotify_init1(flags: Names(&file::INOTIFY));
    preadv(fd: Fd, vec: Scatter, vlen: Ulong, pos_l: Ulong, pos_h: Ulong);
    pwritev(fd: Fd, vec: Gather, vlen: Ulong, pos_l: Ulong, pos_h: Ulong);
    rt_tgsigqueueinfo(tgid: Int, pid: Int, sig: Signal, uinfo: Address);
    perf_event_open(attr_uptr: Address, pid: Int, cpu: Int, group_fd: Fd, flags: Ulong);
    recvmmsg(fd: Fd, mmsg: Address, vlen: Uint, flags: Names(&socket::MESSAGE), timeout: Address);
    fanotify_init(flags: Uint, event_f_flags: Uint);
    fanotify_mark(fanotify_fd: Fd, flags: Uint, mask: Ulong, dfd: Dirfd, pathname: Path);
    prlimit64(
        pid: Int, resource: Names(&process::RESOURCE), new_rlim: In(&RLIMIT),
        old_rlim[optional]: Out(&RLIMIT),
    );
    name_to_handle_at(
        dfd: Dirfd, name: Text, handle: Address, mnt_id: Address, flag: Names(&file::HANDLE_AT),
    );
    open_by_handle_at(mountdirfd: Dirfd, handle: Address, flags: Names(&file::OPEN));
    clock_adjtime(which_clock: Names(&time::CLOCK), utx: Address);
    syncfs(fd: Fd);
    sendmmsg(fd: Fd, mmsg: Address, vlen: Uint, flags: Names(&socket::MESSAGE));
    setns(fd: Fd, flags: Names(&process::CLONE));
    getcpu(cpup: Out(&UNSIGNED), nodep[optional]: Out(&UNSIGNED), unused[optional]: Address);
    process_vm_readv(
        pid: Int, lvec: Scatter, liovcnt: Ulong, rvec: Gather, riovcnt: Ulong, flags: Ulong,
    );
    process_vm_writev(
        pid: Int, lvec: Gather, liovcnt: Ulong, rvec: Gather, riovcnt: Ulong, flags: Ulong,
    );
    kcmp(pid1: Int, pid2: Int, type: Int, idx1: Ulong, idx2: Ulong);
    finit_module(fd: Fd, uargs: Text, flags: Int);
    sched_setattr(pid: Int, uattr: Address, flags: Uint);
    sched_getattr(pid: Int, uattr: Address, usize: Uint, flags: Uint);
    renameat2(
        olddfd: Dirfd, oldname: Path, newdfd: Dirfd, newname: Path, flags: Names(&file::RENAME),
    );
    seccomp(op: Uint, flags: Uint, uargs: Address);
    getrandom(ubuf: BytesOut(Returned(1)), len: Ulong, flags: Names(&memory::RANDOM));
    memfd_create(uname: Text, flags: Names(&file::MEMFD));
    kexec_file_load(
        kernel_fd: Fd, initrd_fd: Fd, cmdline_len: Ulong, cmdline_ptr: Text, flags: Ulong,
    );
    bpf(
        cmd: Int, uattr: Address, size: Uint, uattr_common[optional]: Address,
        size_common[optional]: Uint,
    );
    execveat(
        fd: Fd, filename: Path, argv: Strings, envp[optional]: Strings,
        flags[optional]: Names(&file::AT),
    );
    userfaultfd(flags: Int);
    membarrier(cmd: Names(&memory::BARRIER), flags: Uint, cpu_id[optional]: Int);
    mlock2(start: Address, len: Ulong, flags: Names(&memory::LOCK));
    copy_file_range(
        fd_in: Fd, off_in: InOut(&OFFSET), fd_out: Fd, off_out: InOut(&OFFSET), len: Ulong,
        flags: Uint,
    );
    preadv2(
        fd: Fd, vec: Scatter, vlen: Ulong, pos_l: Ulong, pos_h: Ulong,
        flags: Names(&file::READ_WRITE),
    );
    pwritev2(
        fd: Fd, vec: Gather, vlen: Ulong, pos_l: Ulong, pos_h: Ulong,
        flags: Names(&file::READ_WRITE),
    );
    pkey_mprotect(start: Address, len: Ulong, prot: Names(&memory::PROTECTION), pkey: Int);
    pkey_alloc(flags: Ulong, init_val: Ulong);
    pkey_free(pkey: Int);
    statx(
        dfd: Dirfd, filename: Path, flags: Names(&file::STATX_AT), mask: Names(&file::STATX),
        buffer: Out(&STATX),
    );
    io_pgetevents(
        ctx_id: Hex, min_nr: Long, nr: Long, events: Address, timeout: In(&TIMESPEC), usig: Address,
    );
    rseq(rseq: Address, rseq_len: Uint, flags: Int, sig: Uint);
    uretprobe();
    uprobe();
    pidfd_send_signal(pidfd: Fd, sig: Signal, info[optional]: Address, flags[optional]: Uint);
    io_uring_setup(entries: Uint, params: Address);
    io_uring_enter(
        fd: Fd, to_submit: Uint, min_complete: Uint, flags: Uint, argp: Address, argsz: Ulong,
    );
    io_uring_register(fd: Fd, opcode: Uint, arg: Address, nr_args: Uint);
    open_tree(dfd: Dirfd, filename: Path, flags: Names(&file::OPEN_TREE));
    move_mount(
        from_dfd: Dirfd, from_pathname: Path, to_dfd: Dirfd, to_pathname: Path,
        flags: Names(&file::MOVE_MOUNT),
    );
    fsopen(_fs_name: Text, flags: Names(&file::FSOPEN));
    fsconfig(fd: Fd, cmd: Names(&file::FSCONFIG), _key: Text, _value: Text, aux: Int);
    fsmount(fs_fd: Fd, flags: Names(&file::FSMOUNT), attr_flags: Names(&file::MOUNT_ATTRIBUTE));
    fspick(dfd: Dirfd, path: Path, flags: Hex);
    pidfd_open(pid: Int, flags: Names(&process::PIDFD));
    clone3(uargs: Address, size: Ulong);
    close_range(fd: Fd, max_fd: Uint, flags: Names(&process::CLOSE_RANGE));
    openat2(dfd: Dirfd, filename: Path, how: In(&OPEN_HOW), usize: Ulong);
    pidfd_getfd(pidfd: Fd, fd: Fd, flags: Uint);
    faccessat2(
        dfd: Dirfd, filename: Path, mode: Names(&file::ACCESS), flags: Names(&file::ACCESS_AT),
    );
    process_madvise(
        pidfd: Fd, vec: Gather, vlen: Ulong, behavior: Names(&memory::ADVICE), flags: Uint,
    );
    epoll_pwait2(
        epfd: Fd, events: Out(&EPOLL_EVENTS), maxevents: Int, timeout: In(&TIMESPEC),
        sigmask[optional]: Address, sigsetsize[optional]: Ulong,
    );
    mount_setattr(dfd: Dirfd, path: Path, flags: Hex, uattr: Address, usize: Ulong);
    quotactl_fd(fd: Fd, cmd: Uint, id: Int, addr: Address);
    landlock_create_ruleset(attr: Address, size: Ulong, flags: Uint);
    landlock_add_rule(ruleset_fd: Fd, rule_type: Uint, rule_attr: Address, flags: Uint);
    landlock_restrict_self(ruleset_fd: Fd, flags: Uint);
    memfd_secret(flags: Uint);
    process_mrelease(pidfd: Fd, flags: Uint);
    futex_waitv(
        waiters: Address, nr_futexes: Uint, flags: Uint, timeout: In(&TIMESPEC),
        clockid: Names(&time::CLOCK),
    );
    set_mempolicy_home_node(start: Address, len: Ulong, home_node: Ulong, flags: Ulong);
    cachestat(fd: Fd, cstat_range: In(&CACHESTAT_RANGE), cstat: Out(&CACHESTAT), flags: Uint);
    fchmodat2(dfd: Dirfd, filename: Path, mode: Mode, flags: Names(&file::AT));
    map_shadow_stack(addr: Address, size: Ulong, flags: Uint) -> Address;
    futex_wake(uaddr: Address, mask: Ulong, nr: Int, flags: Uint);
    futex_wait(
        uaddr: Address, val: Ulong, mask: Ulong, flags: Uint, timeout: In(&TIMESPEC),
        clockid: Names(&time::CLOCK),
    );
    futex_requeue(waiters: Address, flags: Uint, nr_wake: Int, nr_requeue: Int);
    statmount(req: Address, buf: Address, bufsize: Ulong, flags: Uint);
    listmount(req: Address, mnt_ids: Address, nr_mnt_ids: Ulong, flags: Uint);
    lsm_get_self_attr(attr: Uint, ctx: Address, size: InOut(&UNSIGNED), flags: Uint);
    lsm_set_self_attr(attr: Uint, ctx: Address, size: Uint, flags: Uint);
    lsm_list_modules(ids: Address, size: InOut(&UNSIGNED), flags: Uint);
    mseal(start: Address, len: Ulong, flags: Ulong);
    setxattrat(
        dfd: Dirfd, pathname: Path, at_flags: Names(&file::AT), name: Text, uargs: Address,
        usize: Ulong,
    );
    getxattrat(
        dfd: Dirfd, pathname: Path, at_flags: Names(&file::AT), name: Text, uargs: Address,
        usize: Ulong,
    );
    listxattrat(
        dfd: Dirfd, pathname: Path, at_flags: Names(&file::AT), list: BytesOut(Returned(4)),
        size: Ulong,
    );
    removexattrat(dfd: Dirfd, pathname: Path, at_flags: Names(&file::AT), name: Text);
    open_tree_attr(
        dfd: Dirfd, filename: Path, flags: Names(&file::OPEN_TREE), uattr: Address, usize: Ulong,
    );
    file_getattr(
        dfd: Dirfd, filename: Path, ufattr: Address, usize: Ulong, at_flags: Names(&file::AT),
    );
    file_setattr(
        dfd: Dirfd, filename: Path, ufattr: Address, usize: Ulong, at_flags: Names(&file::AT),
    );
    listns(req: Address, ns_ids: Address, nr_ns_ids: Ulong, flags: Uint);
    rseq_slice_yield();
    fchroot(fd: Fd, flags: Uint);
};
