// SPDX-License-Identifier: MIT OR Apache-2.0

//! A file opened, measured, copied to the standard output and closed by one message.

use nlcall::raw::{Arg, Batch, Call, CallFlags, Chain, Results, Session};

fn main() -> Result<(), nlcall::Error> {
    const OPENAT: u32 = 257;
    const FSTAT: u32 = 5;
    const SENDFILE: u32 = 40;
    const CLOSE: u32 = 3;
    const AT_FDCWD: i32 = -100;
    const STDOUT: i32 = 1;
    /// Where `struct stat` has the size, in bytes.
    const ST_SIZE: u32 = 48;

    let path = c"/etc/os-release";
    let mut stat = [0u8; 144];
    let [path, output] = [path.as_ptr() as u64, stat.as_mut_ptr() as u64];
    // INLINE: this thread makes the calls, before it is told that they were sent.
    let inline = CallFlags::INLINE;
    // HARDLINK: whatever happens to the file, it is closed.
    let carry_on = inline | CallFlags::HARDLINK;
    // SAFETY: path and stat are there until the calls are over; the descriptor is the chain's own.
    let call = |nr, args: &[Arg], flags| unsafe { Call::with_args(nr, args) }.flags(flags);

    let mut chain = Chain::new();
    let open = chain.push(call(OPENAT, &[AT_FDCWD.into(), path.into()], inline));
    let measure = [open.result(), Arg::OutPtr(output)];
    let measure = chain.push(call(FSTAT, &measure, carry_on));
    let size = measure.load::<i64>(ST_SIZE);
    let copy = [STDOUT.into(), open.result(), 0u64.into(), size];
    chain.push(call(SENDFILE, &copy, carry_on));
    chain.push(call(CLOSE, &[open.result()], inline));

    let mut batch = Batch::new();
    batch.push_chain(&chain);
    let mut results = Results::new();
    Session::open()?.submit_into(&batch, &mut results)?;
    for completion in results.iter() {
        eprintln!("{:?}: {:?}", completion.outcome, completion.result());
    }
    Ok(())
}
