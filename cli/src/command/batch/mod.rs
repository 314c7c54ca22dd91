// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall batch FILE`

use std::fs;
use std::io::{
    self,
    Read, //
};

use nlcall::raw::{
    Batch,
    Completion,
    Outcome,
    Session,
    SubmitError,
    Target, //
};
use nlcall::Error;
use serde::Serialize;
use serde_json::Value as Json;

use super::call::{
    end_child,
    Report, //
};
use crate::exit::{
    Failure,
    Status, //
};
use crate::invocation::errno;
use crate::json;
use crate::kernel::Reply;
use crate::layout::Detail;
use crate::options::BatchOptions;
use crate::process::failure;
use crate::table::print;

pub mod input;
pub mod plan;
#[cfg(test)]
mod tests;

use plan::{
    Placed,
    Plan,
    Wrong, //
};

/// Makes the calls of a file, and prints a line when one has ended.
pub fn run(options: &BatchOptions) -> Result<Status, Failure> {
    // Lines that are wrong are so with and without the module.
    let plan = Plan::read(&text(options)?).map_err(|wrong| line(options, wrong))?;
    let (batch, placed) = match options.pid {
        // SAFETY: What the calls do is what the user asked for, in a process that does nothing
        // besides.
        None => unsafe { plan.here() }.map_err(Failure::Memory)?,
        // SAFETY: Nothing of this process is among the arguments. What the calls do to the other one
        // is what the user asked for.
        Some(_) => unsafe { plan.elsewhere() }.map_err(|wrong| line(options, wrong))?,
    };
    if options.check {
        return Ok(Status::Success);
    }
    let session = Session::open()?;
    make(&session, batch, &plan, &placed, options)
}

fn text(options: &BatchOptions) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match is_standard_input(options) {
        true => io::stdin().lock().read_to_string(&mut text).map(drop),
        false => fs::read_to_string(&options.file).map(|read| text = read),
    };
    read.map_err(|source| Failure::File {
        path: name(options).into(),
        source,
    })?;
    Ok(text)
}

fn is_standard_input(options: &BatchOptions) -> bool {
    options.file.as_os_str() == "-"
}

/// What the file is called in messages.
fn name(options: &BatchOptions) -> String {
    match is_standard_input(options) {
        true => "standard input".to_owned(),
        false => options.file.display().to_string(),
    }
}

fn line(options: &BatchOptions, Wrong { line, why }: Wrong) -> Failure {
    Failure::Line {
        file: name(options),
        line,
        why,
    }
}

/// Submits the calls and prints how they end.
fn make(
    session: &Session,
    mut batch: Batch,
    plan: &Plan,
    placed: &Placed<'_>,
    options: &BatchOptions,
) -> Result<Status, Failure> {
    if let Some(pid) = options.pid {
        batch.target(&Target::open(pid)?);
    }
    let mut all_succeeded = true;
    let mut each = |completion: Completion| {
        let (line, has_succeeded) = completed(completion, plan, placed, options);
        all_succeeded &= has_succeeded;
        print(&(line + "\n"))
    };
    let submitted = submit(session, batch, &mut each)?;
    loop {
        match session.wait() {
            Ok(completion) => each(completion)?,
            Err(Error::NothingInFlight) => break,
            Err(error) => return Err(error.into()),
        }
    }
    match submitted {
        Ok(()) => Ok(Status::failed_if(!all_succeeded)),
        Err(rejected) => Err(refused(rejected, plan, options)),
    }
}

/// Submits all calls, as others end where there are too many.
fn submit(
    session: &Session,
    mut batch: Batch,
    each: &mut dyn FnMut(Completion) -> Result<(), Failure>,
) -> Result<Result<(), SubmitError>, Failure> {
    loop {
        match session.submit(batch) {
            Ok(_) => return Ok(Ok(())),
            Err(rejected) if matches!(rejected.error, Error::InChild) => end_child(),
            Err(rejected) if rejected.error.is_limit() && session.in_flight() > 0 => {
                batch = rejected.rest;
                while let Some(completion) = session.try_wait()? {
                    each(completion)?;
                }
                session.wait_for_room()?;
            }
            Err(rejected) => return Ok(Err(rejected)),
        }
    }
}

/// How a call ended, for programs.
#[derive(Debug, Serialize)]
struct Completed<'a> {
    id: &'a Json,
    #[serde(flatten)]
    report: Report<'a>,
}

/// The line for a call that ended, and whether it succeeded.
fn completed(
    completion: Completion,
    plan: &Plan,
    placed: &Placed<'_>,
    options: &BatchOptions,
) -> (String, bool) {
    let reply = Reply::from(&completion);
    // No other call has been submitted.
    let index = completion.user_data as usize;
    let detail = Detail {
        string: options.string_limit,
        in_full: options.verbose,
    };
    let output = completion.into_data();
    let line = placed.with_memory(index, &reply, &output, |memory| {
        let item = &plan.items()[index];
        json::line(&Completed {
            id: &item.id,
            report: Report::of(&item.invocation, &reply, memory, detail),
        })
    });
    let has_succeeded = reply.outcome == Outcome::Ran && errno(&reply).is_none();
    (line, has_succeeded)
}

/// Why calls were not accepted.
fn refused(rejected: SubmitError, plan: &Plan, options: &BatchOptions) -> Failure {
    let first = plan.items().len() - rejected.rest.len();
    match (refusal(&rejected.error, first, plan, options), options.pid) {
        (Some(failure), _) => failure,
        (None, Some(pid)) => failure(pid, rejected.error),
        (None, None) => rejected.error.into(),
    }
}

/// The line that a rejection is about, where the kernel names a call: it counts from the first that
/// was not accepted.
fn refusal(error: &Error, first: usize, plan: &Plan, options: &BatchOptions) -> Option<Failure> {
    let Error::Rejected { message, .. } = error else {
        return None;
    };
    let (call, why) = message
        .as_deref()?
        .strip_prefix("call ")?
        .split_once(": ")?;
    let index = first.checked_add(call.parse().ok()?)?;
    Some(Failure::Refused {
        file: name(options),
        line: plan.items().get(index)?.line,
        why: why.to_owned(),
    })
}
