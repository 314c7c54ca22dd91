// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall call NAME ARGS...`

use nlcall::raw::{
    Call,
    CallFlags,
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
use crate::invocation::{
    errno,
    Invocation, //
};
use crate::kernel::Reply;
use crate::layout::Detail;
use crate::options::CallOptions;
use crate::table::{
    print,
    print_json, //
};

/// Makes the call and prints it.
pub fn run(options: &CallOptions, json: bool) -> Result<Status, Failure> {
    // A call that cannot be is wrong with and without the module.
    let invocation = Invocation::new(&options.name, &options.args)?;
    let detail = Detail {
        string: options.string_limit,
        in_full: options.verbose,
    };
    let session = Session::open()?;
    // SAFETY: The memory that the arguments were given is never unmapped. Everything else is what
    // the user asked for, in a process that does nothing besides.
    let made = unsafe { make(&session, &invocation, options) };
    match made {
        Err(Error::InChild) => end_child(),
        Ok(reply) => {
            match json {
                true => print_json(&Report::of(&invocation, &reply, detail))?,
                false => print(&(invocation.show(&reply, detail) + "\n"))?,
            }
            Ok(Status::failed_if(
                reply.outcome != Outcome::Ran || errno(&reply).is_some(),
            ))
        }
        Err(Error::Rejected { errno, message, .. }) => {
            let rejection = Rejection {
                name: invocation.name(),
                nr: invocation.nr(),
                outcome: "rejected",
                errno: errno.name(),
                message: message.unwrap_or_else(|| errno.to_string()),
                verdict: entry(&session, invocation.nr()).map(|entry| entry.verdict),
            };
            eprintln!("nlcall: {}", rejection.line(options.inline));
            if json {
                print_json(&rejection)?;
            }
            Ok(Status::Failed)
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes the call.
///
/// # Safety
///
/// As for [`Call::new`].
unsafe fn make(
    session: &Session,
    invocation: &Invocation,
    options: &CallOptions,
) -> Result<Reply, Error> {
    // SAFETY: The caller promises it.
    let call = unsafe { Call::new(invocation.nr(), &invocation.registers()) }
        .timeout(options.timeout.unwrap_or_default());
    if !options.inline {
        session.submit(call.into())?;
        return session.wait().map(Reply::from);
    }
    let mut results = Results::with_capacity(1);
    session.submit_into(&call.flags(CallFlags::INLINE).into(), &mut results)?;
    match results.get(0) {
        Some(completion) => Ok(completion.into()),
        // The call has made the memory unusable.
        None => session.wait().map(Reply::from),
    }
}

/// The end of a child that the call made. The parent prints what it returned.
fn end_child() -> ! {
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
struct Report<'a> {
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
    fn of(invocation: &'a Invocation, reply: &Reply, detail: Detail) -> Self {
        let errno = errno(reply);
        Self {
            name: invocation.name(),
            nr: invocation.nr(),
            args: invocation.show_arguments(reply, detail),
            ret: reply.ret,
            errno: errno.and_then(|errno| errno.name()),
            error: errno.map(|errno| errno.description()),
            outcome: outcome(reply.outcome),
            line: invocation.show(reply, detail),
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
    /// batch, which holds nothing else here.
    fn line(&self, inline: bool) -> String {
        let mut why = self.message.as_str();
        for known in ["call 0: ", self.name, ": "] {
            why = why.strip_prefix(known).unwrap_or(why);
        }
        let mut line = format!("{}: refused: {why}", self.name);
        if self.verdict == Some(INLINE_ONLY) && !inline {
            line.push_str(" (executes only INLINE: add --inline)");
        }
        line
    }
}

fn outcome(outcome: Outcome) -> &'static str {
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
        let report =
            serde_json::to_value(Report::of(&invocation, &reply, Detail::default())).unwrap();
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
            rejection.line(false),
            "rt_sigreturn: refused: works on the thread's own saved registers"
        );
        rejection.message = "Resource temporarily unavailable".to_owned();
        rejection.verdict = Some(INLINE_ONLY);
        assert_eq!(
            rejection.line(false),
            "rt_sigreturn: refused: Resource temporarily unavailable \
             (executes only INLINE: add --inline)"
        );
        assert_eq!(
            rejection.line(true),
            "rt_sigreturn: refused: Resource temporarily unavailable"
        );
    }
}
