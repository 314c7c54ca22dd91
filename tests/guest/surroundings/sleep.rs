// SPDX-License-Identifier: MIT OR Apache-2.0

//! The whole machine, which is to sleep.

use std::{fs::File, os::fd::AsRawFd, thread, time::Duration};

use nix::sys::signal::Signal;
use nlcall::raw::{Batch, Call, Data, Session, Target};
use nlcall_tests::{patience, pipe::Pipe, process::Child, session, threads};

use crate::{
    crowd::{crowd, BLOCKED},
    harness::{skip, tests, Test},
};

pub const TESTS: &[Test] = tests![every_worker_stands_still_when_the_machine_is_to_sleep];

/// Has all processes stand still, but for the one that has it open.
const SNAPSHOT: &str = "/dev/snapshot";
/// `SNAPSHOT_FREEZE` and `SNAPSHOT_UNFREEZE` of `include/uapi/linux/suspend_ioctls.h`.
const FREEZE: libc::c_ulong = 0x3301;
const UNFREEZE: libc::c_ulong = 0x3302;

fn order(snapshot: &File, what: libc::c_ulong) {
    // SAFETY: neither order has an argument.
    let done = unsafe { libc::ioctl(snapshot.as_raw_fd(), what) };
    let why = std::io::Error::last_os_error();
    assert_eq!(done, 0, "not all processes and workers follow: {why}");
}

fn every_worker_stands_still_when_the_machine_is_to_sleep() {
    let snapshot = File::open(SNAPSHOT)
        .unwrap_or_else(|error| skip(&format!("this guest does not hibernate: {error}")));
    let pipe = Pipe::new();
    let mut child = crowd(&pipe, || {});
    let there_too = Pipe::new();
    let target = Child::fork(|channel| {
        channel.try_get();
    });
    let session = Session::open().expect("a session");
    let (mut batch, mut data) = (Batch::new(), Data::new());
    let fd = there_too.reader.as_raw_fd();
    let room = data.reserve(1);
    // SAFETY: the only address is in the memory that travels with the call.
    let read = unsafe {
        let args = [fd.into(), room.output(), 1.into()];
        Call::with_args(libc::SYS_read as u32, &args)
    };
    batch.push(read);
    let there = Target::open(target.pid().as_raw() as u32).expect("it is there");
    batch.data(data).target(&there);
    session.submit(batch).expect("accepted");
    patience::until("it is made there", || {
        !threads::workers(target.pid()).is_empty()
    });

    order(&snapshot, FREEZE);
    pipe.fill(&[0; BLOCKED]);
    there_too.fill(&[0]);
    thread::sleep(Duration::from_millis(100));
    let done = session.try_wait().expect("receiving works");
    assert_eq!(done, None, "a worker did not stand still");
    order(&snapshot, UNFREEZE);
    child.succeed();
    assert_eq!(session::collect(&session, 1)[&0].ret, 1);
    target.signal(Signal::SIGKILL);
}
