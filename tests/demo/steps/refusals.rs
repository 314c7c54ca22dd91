// SPDX-License-Identifier: MIT OR Apache-2.0

//! What wrong requests get.

use anyhow::{ensure, Context, Result};
use nlcall::{
    raw::{Call, Session, Verdict},
    Errno, Error,
};
use nlcall_abi::submit;
use nlcall_tests::{
    calls::{self, call, Arg},
    message::Message,
    pipe::Pipe,
    socket::RawSocket,
};

use crate::report::Report;

/// Submits a call that has to be rejected, shows the error and returns its number.
fn rejection(report: &mut Report, session: &Session, call: Call) -> Result<(i32, String)> {
    let error = session
        .submit(call.into())
        .err()
        .context("it was accepted")?
        .error;
    report.show(&error);
    let text = error.to_string();
    match error {
        Error::Rejected { errno, .. } => Ok((errno.raw(), text)),
        error => Err(error.into()),
    }
}

/// A refusal says why.
pub fn refused(report: &mut Report) -> Result<()> {
    let session = Session::open()?;
    report.show("rt_sigreturn()");
    let (errno, text) = rejection(report, &session, call(libc::SYS_rt_sigreturn, &[]))?;
    ensure!(errno == libc::EOPNOTSUPP, "the error is to be EOPNOTSUPP");
    let policy = session
        .syscalls()?
        .into_iter()
        .find(|it| it.name == "rt_sigreturn");
    let policy = policy.context("the policy table has no rt_sigreturn")?;
    let reason = policy.reason.unwrap_or_default();
    ensure!(
        policy.verdict == Verdict::Refused && text.contains(&reason),
        "the table: {reason}"
    );
    report.checked("the error is EOPNOTSUPP, its reason that of the policy table");
    Ok(())
}

/// A number outside of the kernel's table.
pub fn unknown(report: &mut Report) -> Result<()> {
    let session = Session::open()?;
    report.show("system call 9999");
    let (errno, _) = rejection(report, &session, call(9999, &[]))?;
    ensure!(errno == libc::ENOSYS, "the error is to be ENOSYS");
    let known = session.syscalls()?.iter().any(|it| it.nr == 9999);
    ensure!(!known, "the policy table has an entry 9999");
    report.checked("the error is ENOSYS, and the policy table has no such number");
    Ok(())
}

/// The call's own error, as it would be plainly.
pub fn bad_pointer(report: &mut Report) -> Result<()> {
    let session = Session::open()?;
    let pipe = Pipe::new();
    pipe.fill(b"four");
    let address = 0xffff_8880_0000_0000;
    let read = call(
        libc::SYS_read,
        &[(&pipe.reader).into(), Arg::wild(address), 4.into()],
    );
    session.submit(read.into()).map_err(Error::from)?;
    let completion = session.wait()?;
    let error = completion.result().err().context("it succeeded")?;
    report.show(format_args!("read(fd, {address:#x}, 4) = -1 {error}"));
    ensure!(
        completion.ran() && error.raw() == libc::EFAULT,
        "the error is to be EFAULT"
    );
    ensure!(pipe.take() == b"four", "the bytes are gone");
    report.checked("the call ran, its error is EFAULT, and the four bytes are still in the pipe");
    Ok(())
}

/// The message is rejected whole, and says where it is wrong.
pub fn malformed(report: &mut Report) -> Result<()> {
    let mut socket = RawSocket::open();
    let mut message = Message::submit(socket.family(), &[calls::getpid().into()]);
    let at = 20 + message.body.len() as u32;
    message.attribute(submit::CALLS, &[0xff; 79]);
    let answer = socket.request(message);
    let place = answer.offset.context("the rejection names no place")?;
    report.show("SUBMIT with a call of 80 bytes and one of 79");
    let errno = Errno::from_raw(answer.errno);
    report.show(format_args!("{}: {errno}, at byte {place}", answer.text));
    ensure!(answer.errno == libc::EINVAL, "the error is to be EINVAL");
    ensure!(place == at, "the wrong attribute is at byte {at}");
    socket.assert_no_more_completions();
    report.checked("EINVAL, the offset is the wrong attribute's, and the first call did not run");
    Ok(())
}
