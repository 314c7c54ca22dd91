// SPDX-License-Identifier: MIT OR Apache-2.0

//! Holds what a call left behind against what the plain one did.

use nlcall_oracle::Compared;

use crate::{
    case::{Aspect, Case, Difference, Expected},
    observe::Observation,
    run::{self, REFUSED},
};

/// What is not as the case expects it of the plain call.
pub fn unexpected(case: &Case, plain: &Observation) -> Option<String> {
    let line = |aspect| {
        let lines: Option<&Vec<String>> = plain.get(&aspect);
        lines
            .and_then(|lines| lines.first())
            .map_or("", |line| line)
    };
    let (result, end) = (line(Aspect::Result), line(Aspect::End));
    let right = match case.expected {
        Expected::Success => !result.is_empty() && !result.starts_with("-E"),
        Expected::Error(errno) => result == run::error(errno),
        Expected::End(status) => {
            let signaled = nix::sys::signal::Signal::try_from(-status);
            let wanted = match signaled {
                Ok(signal) => format!("signal {signal}"),
                Err(_) => format!("status {status}"),
            };
            return (!result.is_empty() || end != wanted)
                .then(|| format!("{end} after {result:?}, and not {wanted}"));
        }
    };
    let wanted = &case.expected;
    (!right || end != "status 0").then(|| format!("{result}, {end}, and not {wanted:?}"))
}

/// A worker must have rejected the call.
pub fn rejected(worker: &Observation) -> Compared {
    let result = &worker[&Aspect::Result];
    match result[0].starts_with(&format!("{REFUSED}EOPNOTSUPP")) {
        true => Compared::Rejected,
        false => Compared::Different(vec![format!("not rejected: {}", result[0])]),
    }
}

/// Compares everything; what is stated to be another must be.
pub fn with(plain: &Observation, made: &Observation, stated: Option<&Difference>) -> Compared {
    let mut differing = Vec::new();
    let mut lines = Vec::new();
    let aspects = plain.keys().chain(made.keys());
    for aspect in aspects.collect::<std::collections::BTreeSet<_>>() {
        let of = |observation: &Observation| observation.get(aspect).cloned().unwrap_or_default();
        let (a, b) = (of(plain), of(made));
        if a == b {
            continue;
        }
        differing.push(*aspect);
        let is_stated = stated.is_some_and(|stated| stated.aspects.contains(aspect));
        if !is_stated {
            lines.extend(only_in(&a, &b).map(|line| format!("{aspect:?}: plain {line}")));
            lines.extend(only_in(&b, &a).map(|line| format!("{aspect:?}:  here {line}")));
            if lines.is_empty() {
                lines.push(format!("{aspect:?}: in another order"));
            }
        }
    }
    match stated {
        _ if !lines.is_empty() => Compared::Different(lines),
        None => Compared::Identical,
        Some(stated) if differing.is_empty() && !stated.sometimes => {
            Compared::Different(vec!["a difference is stated, and there is none".to_owned()])
        }
        Some(stated) => Compared::Stated {
            // What may be another, so that the report is the same each time.
            aspects: stated.aspects.iter().map(|it| format!("{it:?}")).collect(),
            why: stated.why.to_owned(),
        },
    }
}

/// Lines of `a` that `b` does not have.
fn only_in<'a>(a: &'a [String], b: &'a [String]) -> impl Iterator<Item = &'a String> {
    a.iter().filter(|line| !b.contains(line))
}
