// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls that the submitting thread makes itself.

use anyhow::{bail, ensure, Result};
use nix::{
    sys::wait::{waitpid, WaitStatus},
    unistd::{gettid, Pid},
};
use nlcall::{
    raw::{Batch, Results, Session},
    Error,
};
use nlcall_tests::{
    calls::{self, call, inline},
    process::{exit_now, Child},
    session, threads,
};

use crate::report::Report;

const CALLS: usize = 1000;

/// A batch whose results come back in memory.
pub fn batch(report: &mut Report) -> Result<()> {
    let session = Session::open()?;
    let mut batch = Batch::with_capacity(CALLS);
    for name in 0..CALLS as u64 {
        let nr = if name % 2 == 0 {
            libc::SYS_gettid
        } else {
            libc::SYS_getpid
        };
        batch.extend(
            inline([call(nr, &[])])
                .into_iter()
                .map(|it| it.user_data(name)),
        );
    }
    let mut results = Results::new();
    let submitted = session
        .submit_into(&batch, &mut results)
        .map_err(Error::from)?;
    report.show(format_args!(
        "{} calls in {} message: {} results in memory when it was sent",
        submitted.calls,
        submitted.messages,
        results.len()
    ));
    ensure!(results.len() == CALLS, "results are missing");
    let (pid, tid) = (i64::from(std::process::id()), i64::from(gettid().as_raw()));
    for (name, result) in (0..).zip(results.iter()) {
        let expected = if name % 2 == 0 { tid } else { pid };
        ensure!(
            (result.user_data, result.ret) == (name, expected),
            "call {name} gave {result:?}"
        );
    }
    ensure!(session.try_wait()?.is_none(), "a message came back");
    let workers = threads::workers(Pid::this()).len();
    let info = session::info(&session);
    report.show(format_args!("workers of the session: {}", info.workers));
    ensure!((workers, info.workers) == (0, 0), "a worker was made");
    report
        .checked("plain getpid() and gettid() of this thread give the same; no message came back");
    Ok(())
}

/// Calls that act on their thread, in a process made for that.
pub fn own_thread(report: &mut Report) -> Result<()> {
    const STATUS: i32 = 42;
    const USER: i32 = 1000;

    let session = Session::open()?;
    let fork = inline([call(libc::SYS_fork, &[])]).remove(0);
    let mut results = Results::new();
    match session.submit_into(&fork.into(), &mut results) {
        Ok(_) => {}
        Err(error) if matches!(error.error, Error::InChild) => exit_now(STATUS),
        Err(error) => bail!(error.error),
    }
    let child = results.get(0).map_or(0, |result| result.ret);
    report.show(format_args!("fork() = {child}"));
    let child = Pid::from_raw(i32::try_from(child)?);
    let status = waitpid(child, None)?;
    report.show(format_args!("the child ended: {status:?}"));
    ensure!(
        status == WaitStatus::Exited(child, STATUS),
        "it was to end with status {STATUS}"
    );

    // In a process of its own, since there is no way back.
    let mut process = Child::fork(|channel| {
        let session = Session::open().expect("a session");
        let become_user = call(
            libc::SYS_setresuid,
            &[USER.into(), USER.into(), USER.into()],
        );
        let asked = [become_user, call(libc::SYS_getuid, &[])];
        for value in session::inline_values(&session, asked) {
            channel.put(value as u64);
        }
        channel.put(nix::unistd::getuid().as_raw().into());
        session::value(&session, calls::getpid());
    });
    let [done, through, plainly] = [(); 3].map(|()| process.channel().get());
    process.succeed();
    report.show(format_args!(
        "setresuid({USER}, {USER}, {USER}) = {done}; getuid() in the same message = {through}"
    ));
    ensure!(
        (done, through, plainly) == (0, USER as u64, USER as u64),
        "a plain getuid() gives {plainly}"
    );
    report.checked("wait(2) for the child, and a plain getuid() of the thread that changed it");
    Ok(())
}
