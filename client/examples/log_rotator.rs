// SPDX-License-Identifier: MIT OR Apache-2.0

//! Rotates the log of a program that cannot do it: the file gets another name, and the program's
//! descriptors, without stopping it, a new file. What it opens or closes at that moment is not seen.

use std::error::Error;
use std::fs::{self, File};
use std::os::unix::{ffi::OsStrExt, fs::chown, fs::MetadataExt};
use std::path::{Path, PathBuf};
use std::{ffi::CString, io};

use nlcall::raw::{Arg, Batch, Call, CallFlags, Chain, Data, Session, Target};

/// A descriptor of the program that writes to the log.
struct Writer {
    fd: i32,
    /// Whether a program that it executes does not get it.
    cloexec: bool,
}

/// Gives the log of a process the name with `.1` behind it, those that have numbers the next one, up
/// to `keep`, and returns how many descriptors of the process write to the new one.
pub fn rotate(pid: u32, log: &Path, keep: usize) -> Result<usize, Box<dyn Error>> {
    let log = log.canonicalize()?;
    // From here on the number cannot come to mean another process.
    let target = Target::open(pid)?;
    let writers = writers(pid, &log)?;
    if writers.is_empty() {
        return Err(format!("process {pid} does not write to {}", log.display()).into());
    }
    let old = fs::metadata(&log)?;
    let first = put_away(&log, keep)?;
    let moved = create_like(&log, &old).and_then(|()| reopen(&target, &log, &writers));
    if moved.is_err() {
        rename(&first, &log)?;
    }
    moved.map(|()| writers.len())
}

/// Gives a log and its predecessors the next name, and returns the log's.
pub fn put_away(log: &Path, keep: usize) -> io::Result<PathBuf> {
    let numbered = |number| PathBuf::from(format!("{}.{number}", log.display()));
    for number in (1..keep).rev() {
        rename(&numbered(number), &numbered(number + 1))?;
    }
    rename(log, &numbered(1))?;
    Ok(numbered(1))
}

/// What of a process writes to a file.
fn writers(pid: u32, log: &Path) -> Result<Vec<Writer>, Box<dyn Error>> {
    let mut writers = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        // It may be closed by now.
        if fs::read_link(entry.path()).is_ok_and(|path| path == log) {
            let fd: i32 = entry.file_name().to_string_lossy().parse()?;
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}"))?;
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = i32::from_str_radix(flags.ok_or("no flags")?.trim(), 8)?;
            if flags & libc::O_ACCMODE != libc::O_RDONLY {
                let cloexec = flags & libc::O_CLOEXEC != 0;
                writers.push(Writer { fd, cloexec });
            }
        }
    }
    Ok(writers)
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

/// An empty file with the owner and the permissions of another one.
fn create_like(path: &Path, old: &fs::Metadata) -> Result<(), Box<dyn Error>> {
    let file = File::create_new(path)?;
    chown(path, Some(old.uid()), Some(old.gid()))?;
    file.set_permissions(old.permissions())?;
    Ok(())
}

/// In the process: opens the log, puts it in the place of the descriptors, and closes what is left.
fn reopen(target: &Target, log: &Path, writers: &[Writer]) -> Result<(), Box<dyn Error>> {
    const FLAGS: i32 = libc::O_WRONLY | libc::O_APPEND | libc::O_CLOEXEC | libc::O_NOCTTY;

    let mut data = Data::new();
    let path = data.put_c_str(&CString::new(log.as_os_str().as_bytes())?);
    // SAFETY: the only address is that of the path, which travels along. The program writes to what
    // is replaced, and goes on to write to what takes its place; the rest is the chain's own.
    let call = |nr: i64, args: &[Arg]| unsafe { Call::with_args(nr as u32, args) };
    let mut chain = Chain::new();
    let open = [libc::AT_FDCWD.into(), path.address(), FLAGS.into()];
    let new = chain.push(call(libc::SYS_openat, &open));
    for (number, Writer { fd, cloexec }) in (1..).zip(writers) {
        let flags = if *cloexec { libc::O_CLOEXEC } else { 0 };
        let replace = [new.result(), (*fd).into(), flags.into()];
        // The others go on where one fails, so that what was opened is closed.
        let replace = call(libc::SYS_dup3, &replace).flags(CallFlags::HARDLINK);
        chain.push(replace.user_data(number));
    }
    chain.push(call(libc::SYS_close, &[new.result()]));

    let mut batch = Batch::new();
    batch.push_chain(&chain).data(data).target(target);
    let session = Session::open()?;
    session.submit(batch)?;
    let mut failed = None;
    while session.in_flight() > 0 {
        // The first says why; what follows it was given up for that.
        let done = session.wait()?;
        failed = failed.or(done.result().err());
    }
    failed.map_or(Ok(()), |why| Err(why.into()))
}

#[allow(dead_code, reason = "a test uses the rest")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [pid, log, keep] = &arguments[..] else {
        return Err("the number of a process, its log, and how many old ones to keep".into());
    };
    let count = rotate(pid.parse()?, Path::new(log), keep.parse()?)?;
    println!("{log}: new for {count} descriptors");
    Ok(())
}
