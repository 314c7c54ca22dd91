// SPDX-License-Identifier: MIT OR Apache-2.0

//! The standard output of another process moved to a file, without stopping it.

use nlcall::raw::{Arg, Batch, Call, CallFlags, Chain, Data, Session, Target};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const OPENAT: u32 = 257;
    const DUP3: u32 = 292;
    const CLOSE: u32 = 3;
    const AT_FDCWD: i32 = -100;
    /// `O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC`
    const FLAGS: u32 = 0o1 | 0o100 | 0o2000 | 0o2000000;
    const STDOUT: u32 = 1;

    let pid = std::env::args().nth(1).ok_or("the number of a process")?;
    // The calls are made in there; the path travels with them.
    let target = Target::open(pid.parse()?)?;
    let mut data = Data::new();
    let path = data.put_c_str(c"/tmp/output");
    // SAFETY: the calls take no address but that of the path, and the descriptor that they replace
    // is one that the program only writes to.
    let call = |nr, args: &[Arg]| unsafe { Call::with_args(nr, args) };

    let mut chain = Chain::new();
    let open = [AT_FDCWD.into(), path.address(), FLAGS.into(), 0o666.into()];
    let open = chain.push(call(OPENAT, &open));
    let replace = call(DUP3, &[open.result(), STDOUT.into(), 0.into()]);
    chain.push(replace.flags(CallFlags::HARDLINK));
    chain.push(call(CLOSE, &[open.result()]));

    let mut batch = Batch::new();
    batch.push_chain(&chain).data(data).target(&target);
    let session = Session::open()?;
    session.submit(batch)?;
    while session.in_flight() > 0 {
        let completion = session.wait()?;
        println!("{:?}: {:?}", completion.outcome, completion.result());
    }
    Ok(())
}
