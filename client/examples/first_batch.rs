// SPDX-License-Identifier: MIT OR Apache-2.0

//! Two system calls in one message.

use nlcall::raw::{Batch, Call, Session};

fn main() -> Result<(), nlcall::Error> {
    const OPENAT: u32 = 257;
    const GETPID: u32 = 39;
    let path = c"/etc/hostname";
    let at_fdcwd = -100i32 as u64;

    let session = Session::open()?;
    let mut batch = Batch::new();
    // SAFETY: the path is static; both calls leave the rest of the process alone.
    batch.push(unsafe { Call::new(OPENAT, &[at_fdcwd, path.as_ptr() as u64, 0]) }.user_data(1));
    // SAFETY: getpid takes no arguments.
    batch.push(unsafe { Call::new(GETPID, &[]) }.user_data(2));
    session.submit(batch)?;

    while session.in_flight() > 0 {
        let completion = session.wait()?;
        println!("call {}: {:?}", completion.user_data, completion.result());
    }
    Ok(())
}
