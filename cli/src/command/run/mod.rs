// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall run -- CMD ARGS...`
//!
//! The command places the library of the crate `nlcall-run` in memory, where the program's dynamic
//! linker finds it, and executes the program; the rest happens there.

use std::ffi::{
    CString,
    OsStr,
    OsString, //
};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{
    OsStrExt,
    OsStringExt, //
};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::Ordering::Relaxed;

use nlcall::raw::{
    Call,
    CallFlags,
    Results,
    Session,
    Verdict, //
};
use nlcall_run::shared::{
    Shared,
    LIBRARY_PATH,
    PRELOAD,
    VARIABLE, //
};

use crate::exit::{
    Failure,
    Status, //
};
use crate::options::RunOptions;

mod placed;
mod summary;
mod target;
pub mod trace;

use placed::Placed;
pub use target::Unfit;

/// Runs a program whose system calls travel over netlink. Returns only where something is left to
/// do afterwards.
pub fn run(options: &RunOptions, json: bool) -> Result<Status, Failure> {
    let program = target::find(&options.program).map_err(Failure::Program)?;
    target::check(&program).map_err(Failure::Program)?;
    let session = Session::open()?;
    check_access(&session)?;
    target::check_kernel().map_err(Failure::Program)?;
    let failed = |error| Failure::Run(error);
    let (reader, writer) = match options.trace {
        true => trace_sockets().map(|(a, b)| (Some(a), Some(b))),
        false => Ok((None, None)),
    }
    .map_err(failed)?;
    let mut placed = Placed::new(options.summary, writer).map_err(failed)?;
    let execution = Execution::new(&program, options, &placed);
    if options.workers {
        ask_for_workers(placed.counters(), &session)?;
    }
    // The program is not to inherit it.
    drop(session);
    if !options.summary && !options.trace {
        return Err(failed(execution.execute()));
    }
    if options.trace {
        trace::ask_for_memory(placed.counters());
    }
    let pid = execution.start().map_err(failed)?;
    placed.leave_trace();
    if let Some(reader) = reader {
        trace::print(&reader).map_err(failed)?;
    }
    let status = wait(pid).map_err(failed)?;
    if options.summary {
        summary::print(placed.counters(), json);
    }
    end_like(status)
}

/// Where the trace is read, and where it is written: a message for each call.
fn trace_sockets() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?)
}

/// This process may use the module.
fn check_access(session: &Session) -> Result<(), Failure> {
    // SAFETY: getpid has no arguments.
    let call = unsafe { Call::new(linux_raw_sys::general::__NR_getpid, &[]) };
    let mut results = Results::with_capacity(1);
    session
        .submit_into(&call.flags(CallFlags::INLINE).into(), &mut results)
        .map_err(nlcall::Error::from)?;
    Ok(())
}

/// Says which calls workers are to execute: those that they execute without a difference.
fn ask_for_workers(shared: &Shared, session: &Session) -> Result<(), Failure> {
    for call in session.syscalls()? {
        if let Some(place) = shared.for_workers.get(call.nr as usize) {
            place.store((call.verdict == Verdict::Both).into(), Relaxed);
        }
    }
    Ok(())
}

/// What execve takes.
struct Execution {
    path: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Execution {
    fn new(path: &std::path::Path, options: &RunOptions, placed: &Placed) -> Self {
        let words = std::iter::once(&options.program).chain(&options.args);
        Self {
            path: c_string(path.as_os_str().to_owned()),
            arguments: words.cloned().map(c_string).collect(),
            environment: environment(std::env::vars_os(), placed.descriptors()),
        }
    }

    /// Becomes the program. Comes back where that fails.
    fn execute(&self) -> io::Error {
        let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
            let pointers = strings.iter().map(|string| string.as_ptr());
            pointers.chain([std::ptr::null()]).collect()
        };
        let (arguments, environment) = (pointers(&self.arguments), pointers(&self.environment));
        // SAFETY: Strings that end, in arrays that end.
        unsafe { libc::execve(self.path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        io::Error::last_os_error()
    }

    /// Has a child become the program. From then on the keys that interrupt and quit are for the
    /// program alone.
    fn start(&self) -> io::Result<libc::pid_t> {
        /// What a shell says of a command that it could not execute.
        const NOT_EXECUTED: i32 = 126;
        const KEYS: [i32; 2] = [libc::SIGINT, libc::SIGQUIT];
        // SAFETY: This process has one thread; the child makes nothing but the calls below.
        let pid = unsafe { libc::fork() };
        match pid {
            -1 => return Err(io::Error::last_os_error()),
            0 => {
                let error = self.execute();
                eprintln!("nlcall: {}: {error}", self.path.to_string_lossy());
                // SAFETY: Ends the child.
                unsafe { libc::_exit(NOT_EXECUTED) }
            }
            _ => {}
        }
        for key in KEYS {
            // SAFETY: No handler is installed.
            unsafe { libc::signal(key, libc::SIG_IGN) };
        }
        Ok(pid)
    }
}

/// Waits for the end of a child.
fn wait(pid: libc::pid_t) -> io::Result<ExitStatus> {
    let mut status = 0;
    loop {
        // SAFETY: Writes the status.
        match unsafe { libc::waitpid(pid, &mut status, 0) } {
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return Err(io::Error::last_os_error()),
            _ => return Ok(ExitStatus::from_raw(status)),
        }
    }
}

/// Ends as the program did: with its status, or by its signal.
fn end_like(status: ExitStatus) -> ! {
    if let Some(signal) = status.signal() {
        let no_core = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: The default action is no handler; the program has left the core file, if any.
        unsafe {
            libc::setrlimit(libc::RLIMIT_CORE, &no_core);
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
    std::process::exit(status.code().unwrap_or(1))
}

/// Words that the kernel gave to this process, or that hold no zero byte for another reason.
fn c_string(text: OsString) -> CString {
    CString::new(text.into_vec()).unwrap_or_default()
}

/// The program's environment: its own, and what the library needs.
fn environment(
    own: impl Iterator<Item = (OsString, OsString)>,
    descriptors: [i32; 3],
) -> Vec<CString> {
    let [library, counters, trace] = descriptors;
    let library_path = format!("{}{library}", String::from_utf8_lossy(LIBRARY_PATH));
    let mut preload = OsString::from(library_path);
    let mut strings = Vec::new();
    for (name, value) in own {
        if name.as_bytes() == VARIABLE {
            continue;
        }
        if name.as_bytes() == PRELOAD {
            preload.push(":");
            preload.push(value);
            continue;
        }
        strings.push(variable(&name, &value));
    }
    strings.push(variable(OsStr::from_bytes(PRELOAD), &preload));
    let placed = format!("{library},{counters},{trace}");
    strings.push(variable(OsStr::from_bytes(VARIABLE), placed.as_ref()));
    strings
}

fn variable(name: &OsStr, value: &OsStr) -> CString {
    let mut text = name.to_owned();
    text.push("=");
    text.push(value);
    c_string(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_keeps_what_is_there() {
        let own = [("A", "1"), ("LD_PRELOAD", "x.so y.so"), ("B", "")];
        let own = own.map(|(name, value)| (name.into(), value.into()));
        let strings = environment(own.into_iter(), [1024, 1025, -1]);
        let strings: Vec<_> = strings.iter().map(|text| text.to_str().unwrap()).collect();
        assert_eq!(
            strings,
            [
                "A=1",
                "B=",
                "LD_PRELOAD=/proc/self/fd/1024:x.so y.so",
                "NLCALL_RUN=1024,1025,-1",
            ]
        );
    }
}
