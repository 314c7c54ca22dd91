// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall call NAME ARGS...`

use nlcall::raw::{
    Call,
    CallFlags,
    Data,
    Outcome,
    Results,
    Session, //
};
use nlcall::Error;
use serde::Serialize;

use super::list::{
    Entry,
    INLINE_ONLY, //
};
use crate::exit::{
    Failure,
    Status, //
};
use crate::image::Memory;
use crate::invocation::{
    errno,
    memory,
    Invocation, //
};
use crate::json;
use crate::kernel::Reply;
use crate::layout::Detail;
use crate::options::CallOptions;
use crate::process::{
    Answer,
    Caller,
    Process, //
};
use crate::table::print;

/// Makes the call and prints it.
pub fn run(options: &CallOptions, json: bool) -> Result<Status, Failure> {
    // A call that cannot be is wrong with and without the module.
    let invocation = Invocation::new(&options.name, &options.args)?;
    match options.pid {
        None => here(&invocation, options, json),
        Some(pid) => elsewhere(&invocation, pid, options, json),
    }
}

/// Makes the call in this process.
fn here(invocation: &Invocation, options: &CallOptions, json: bool) -> Result<Status, Failure> {
    let here = invocation.here().map_err(Failure::Memory)?;
    let session = Session::open()?;
    // SAFETY: The memory that the arguments were given is never unmapped. Everything else is what
    // the user asked for, in a process that does nothing besides.
    let made = unsafe { make(&session, invocation.nr(), here.registers(), options) };
    match made {
        Err(Error::InChild) => end_child(),
        Ok(reply) => report(invocation, &reply, &here.memory(), options, json),
        Err(error) => {
            let hint = match options.inline {
                true => "",
                false => "executes only INLINE: add --inline",
            };
            refused(invocation, &session, error, hint, json)
        }
    }
}

/// Makes the call in another process.
fn elsewhere(
    invocation: &Invocation,
    pid: u32,
    options: &CallOptions,
    json: bool,
) -> Result<Status, Failure> {
    let mut data = Data::new();
    let elsewhere = invocation.elsewhere(&mut data)?;
    let mut process = Process::open(pid)?;
    // SAFETY: Nothing of this process is among the arguments. What the call does to the other one is
    // what the user asked for.
    let call = unsafe { Call::with_args(invocation.nr(), elsewhere.args()) }
        .timeout(options.timeout.unwrap_or_default());
    match process.make(call.into(), data) {
        Ok(answers) => {
            let [Answer { reply, data }] = &answers[..] else {
                return Err(Error::NothingInFlight.into());
            };
            let after = elsewhere.after(reply.outcome == Outcome::Ran, data);
            report(invocation, reply, &memory(&after), options, json)
        }
        Err(error) => {
            let hint = "executes only INLINE, and so not in another process";
            refused(invocation, process.session(), error, hint, json)
        }
    }
}

/// Prints a call that was made.
fn report(
    invocation: &Invocation,
    reply: &Reply,
    memory: &[Option<&dyn Memory>],
    options: &CallOptions,
    json: bool,
) -> Result<Status, Failure> {
    let detail = Detail {
        string: options.string_limit,
        in_full: options.verbose,
    };
    match json {
        true => json::print_object(&Report::of(invocation, reply, memory, detail))?,
        false => print(&(invocation.show(reply, memory, detail) + "\n"))?,
    }
    Ok(Status::failed_if(
        reply.outcome != Outcome::Ran || errno(reply).is_some(),
    ))
}

/// Says why a call was not accepted. The hint is for those that execute only INLINE.
fn refused(
    invocation: &Invocation,
    session: &Session,
    error: Error,
    hint: &str,
    json: bool,
) -> Result<Status, Failure> {
    let Error::Rejected { errno, message, .. } = error else {
        return Err(error.into());
    };
    let rejection = Rejection {
        name: invocation.name(),
        nr: invocation.nr(),
        outcome: "rejected",
        errno: errno.name(),
        message: message.unwrap_or_else(|| errno.to_string()),
        verdict: entry(session, invocation.nr()).map(|entry| entry.verdict),
    };
    eprintln!("nlcall: {}", rejection.line(hint));
    if json {
        json::print_object(&rejection)?;
    }
    Ok(Status::Failed)
}

/// Makes the call.
///
/// # Safety
///
/// As for [`Call::new`].
unsafe fn make(
    session: &Session,
    nr: u32,
    registers: [u64; 6],
    options: &CallOptions,
) -> Result<Reply, Error> {
    // SAFETY: The caller promises it.
    let call = unsafe { Call::new(nr, &registers) }.timeout(options.timeout.unwrap_or_default());
    if !options.inline {
        session.submit(call.into())?;
        return session.wait().map(|completion| Reply::from(&completion));
    }
    let mut results = Results::with_capacity(1);
    session.submit_into(&call.flags(CallFlags::INLINE).into(), &mut results)?;
    match results.get(0) {
        Some(completion) => Ok(Reply::from(&completion)),
        // The call has made the memory unusable.
        None => session.wait().map(|completion| Reply::from(&completion)),
    }
}

/// The end of a child that the call made. The parent prints what it returned.
pub(super) fn end_child() -> ! {
    // SAFETY: It ends this process, and nothing else.
    unsafe { libc::_exit(0) }
}

/// What the module's policy table says about a call.
fn entry(session: &Session, nr: u32) -> Option<Entry> {
    session
        .syscalls()
        .ok()?
        .into_iter()
        .find(|syscall| syscall.nr == nr)
        .map(Entry::from)
}

/// A call that was made, for programs.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    name: &'a str,
    nr: u32,
    /// As strace prints them.
    args: Vec<String>,
    /// What the call returned, negative errors included.
    ret: i64,
    /// `EBADF`.
    errno: Option<String>,
    /// `Bad file descriptor`.
    error: Option<String>,
    outcome: &'static str,
    /// The whole line.
    line: String,
}

impl<'a> Report<'a> {
    pub(super) fn of(
        invocation: &'a Invocation,
        reply: &Reply,
        memory: &[Option<&dyn Memory>],
        detail: Detail,
    ) -> Self {
        let errno = errno(reply);
        Self {
            name: invocation.name(),
            nr: invocation.nr(),
            args: invocation.show_arguments(reply, memory, detail),
            ret: reply.ret,
            errno: errno.and_then(|errno| errno.name()),
            error: errno.map(|errno| errno.description()),
            outcome: outcome(reply.outcome),
            line: invocation.show(reply, memory, detail),
        }
    }
}

/// A call that the module rejected, for programs.
#[derive(Debug, Serialize)]
struct Rejection<'a> {
    name: &'a str,
    nr: u32,
    outcome: &'static str,
    errno: Option<String>,
    /// Why, as the kernel's extended acknowledgement says it.
    message: String,
    /// What the policy table says about the call.
    verdict: Option<&'static str>,
}

impl Rejection<'_> {
    /// One line for people: the message without what it says about the place of the call in its
    /// batch, which holds nothing else here. The hint is for a call that executes only INLINE.
    fn line(&self, hint: &str) -> String {
        let mut why = self.message.as_str();
        for known in ["call 0: ", self.name, ": "] {
            why = why.strip_prefix(known).unwrap_or(why);
        }
        let mut line = format!("{}: refused: {why}", self.name);
        if self.verdict == Some(INLINE_ONLY) && !hint.is_empty() {
            line.push_str(&format!(" ({hint})"));
        }
        line
    }
}

/// How a call ended, in words for programs.
pub(super) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ran => "ran",
        Outcome::NotStarted => "not started",
        Outcome::Canceled => "canceled",
        Outcome::TimedOut => "timed out",
        Outcome::Refused => "refused",
        Outcome::Interrupted => "interrupted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_holds_what_the_line_holds() {
        let args = ["999".into(), "@16".into(), "16".into()];
        let invocation = Invocation::new("read", &args).unwrap();
        let reply = Reply {
            user_data: 0,
            ret: -9,
            outcome: Outcome::Ran,
        };
        let here = invocation.here().unwrap();
        let memory = here.memory();
        let report =
            serde_json::to_value(Report::of(&invocation, &reply, &memory, Detail::default()))
                .unwrap();
        assert_eq!(report["name"], "read");
        assert_eq!(report["nr"], 0);
        assert_eq!(report["args"][0], "999");
        assert_eq!(report["args"][2], "16");
        assert_eq!(report["ret"], -9);
        assert_eq!(report["errno"], "EBADF");
        assert_eq!(report["error"], "Bad file descriptor");
        assert_eq!(report["outcome"], "ran");
        assert!(report["line"]
            .as_str()
            .unwrap()
            .ends_with("= -1 EBADF (Bad file descriptor)"));
    }

    #[test]
    fn the_documentation_shows_what_programs_get() {
        let invocation = Invocation::new("close", &["999".into()]).unwrap();
        let reply = Reply {
            user_data: 0,
            ret: -9,
            outcome: Outcome::Ran,
        };
        let report = Report::of(&invocation, &reply, &[None], Detail::default());
        json::documented::assert_shows("nlcall call", &json::pretty(&report));
        let rejection = Rejection {
            name: "setuid",
            nr: 105,
            outcome: "rejected",
            errno: Some("EOPNOTSUPP".to_owned()),
            message: "call 0: setuid: credentials are per thread: flag it INLINE".to_owned(),
            verdict: Some(INLINE_ONLY),
        };
        json::documented::assert_shows("nlcall call", &json::pretty(&rejection));
    }

    #[test]
    fn a_rejection_says_why_without_repeating_itself() {
        let mut rejection = Rejection {
            name: "rt_sigreturn",
            nr: 15,
            outcome: "rejected",
            errno: Some("EOPNOTSUPP".to_owned()),
            message: "call 0: rt_sigreturn: works on the thread's own saved registers".to_owned(),
            verdict: Some("refused"),
        };
        assert_eq!(
            rejection.line("add --inline"),
            "rt_sigreturn: refused: works on the thread's own saved registers"
        );
        rejection.message = "Resource temporarily unavailable".to_owned();
        rejection.verdict = Some(INLINE_ONLY);
        assert_eq!(
            rejection.line("add --inline"),
            "rt_sigreturn: refused: Resource temporarily unavailable \
             (add --inline)"
        );
        assert_eq!(
            rejection.line(""),
            "rt_sigreturn: refused: Resource temporarily unavailable"
        );
    }
}
