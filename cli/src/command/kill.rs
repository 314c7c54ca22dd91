// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall kill [-SIGNAL] PID...`

use nlcall::{
    Errno,
    Error, //
};

use crate::exit::{
    Failure,
    Status, //
};
use crate::invocation::errno;
use crate::kernel::{
    call,
    Kernel, //
};
use crate::options::KillOptions;

/// Number of `kill(2)` in the x86-64 table.
const KILL: u32 = linux_raw_sys::general::__NR_kill;

/// Sends the signal to each process in turn.
pub fn run(options: &KillOptions, kernel: &mut dyn Kernel) -> Result<Status, Failure> {
    let mut failed = false;
    for pid in &options.pids {
        if let Err(errno) = send(kernel, i64::from(*pid), options.signal)? {
            eprintln!("nlcall kill: ({pid}): {}", errno.description());
            failed = true;
        }
    }
    Ok(Status::failed_if(failed))
}

/// Sends a signal. Nothing else may be in flight.
pub(super) fn send(
    kernel: &mut dyn Kernel,
    pid: i64,
    signal: u32,
) -> Result<Result<(), Errno>, Error> {
    // The kernel takes the lower half; the upper one is the sign.
    let args = [pid as u64, u64::from(signal), 0, 0, 0, 0];
    // SAFETY: kill(2) takes no address. What the signal does is the user's wish.
    let reply = unsafe { call(kernel, KILL, args) }?;
    Ok(errno(&reply).map_or(Ok(()), Err))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::plain::Plain;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    #[test]
    fn every_process_gets_the_signal_although_one_is_missing() {
        let mut children: Vec<_> = (0..2)
            .map(|_| Command::new("sleep").arg("1000").spawn().unwrap())
            .collect();
        let pids = vec![children[0].id() as i32, i32::MAX, children[1].id() as i32];
        let options = KillOptions {
            signal: libc::SIGTERM as u32,
            pids,
        };
        let status = run(&options, &mut Plain::new(1)).unwrap();
        assert_eq!(status, Status::Failed);
        for child in &mut children {
            assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
        }
    }

    #[test]
    fn signal_0_only_asks() {
        let options = KillOptions {
            signal: 0,
            pids: vec![std::process::id() as i32],
        };
        assert_eq!(run(&options, &mut Plain::new(1)).unwrap(), Status::Success);
    }
}
