// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall list [GLOB]`

use nlcall::raw::{
    Session,
    SyscallInfo,
    Verdict, //
};
use serde::Serialize;

use crate::exit::{
    Failure,
    Status, //
};
use crate::json;
use crate::options::ListOptions;
use crate::table::{
    numbers,
    print_table,
    text,
    Column, //
};

const COLUMNS: &[Column] = &[numbers("NR"), text("NAME"), text("VERDICT"), text("REASON")];

/// Prints the module's policy table.
pub fn run(options: &ListOptions, session: &Session, json: bool) -> Result<Status, Failure> {
    let entries = session.syscalls()?.into_iter().map(Entry::from).collect();
    let entries = matching(entries, options.pattern.as_ref());
    match (&options.pattern, entries.is_empty()) {
        (Some(pattern), true) => Err(Failure::NoMatch(pattern.to_string())),
        _ => {
            match json {
                true => json::print_list("calls", &entries)?,
                false => {
                    let rows = entries.into_iter().map(Entry::into_row);
                    print_table(COLUMNS, rows)?;
                }
            }
            Ok(Status::Success)
        }
    }
}

/// One system call, for programs.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    pub nr: u32,
    pub name: String,
    pub verdict: &'static str,
    pub reason: Option<String>,
}

/// The verdict on a call that no worker executes.
pub(super) const INLINE_ONLY: &str = "inline only";

impl Entry {
    fn into_row(self) -> Vec<String> {
        let reason = self.reason.unwrap_or_default();
        vec![
            self.nr.to_string(),
            self.name,
            self.verdict.to_owned(),
            reason,
        ]
    }
}

impl From<SyscallInfo> for Entry {
    fn from(info: SyscallInfo) -> Self {
        let SyscallInfo {
            nr,
            name,
            verdict,
            reason,
            ..
        } = info;
        Self {
            nr,
            name,
            verdict: self::verdict(verdict),
            reason,
        }
    }
}

/// A verdict in words.
pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Both => "both",
        Verdict::Differs => "differs",
        Verdict::InlineOnly => INLINE_ONLY,
        Verdict::Refused => "refused",
    }
}

/// The entries whose name matches, in the order of their numbers.
fn matching(mut entries: Vec<Entry>, pattern: Option<&glob::Pattern>) -> Vec<Entry> {
    entries.retain(|entry| pattern.is_none_or(|pattern| pattern.matches(&entry.name)));
    entries.sort_by_key(|entry| entry.nr);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::lay_out;

    fn entries() -> Vec<Entry> {
        let entry = |nr, name: &str, verdict, reason: Option<&str>| Entry {
            nr,
            name: name.to_owned(),
            verdict,
            reason: reason.map(str::to_owned),
        };
        vec![
            entry(257, "openat", "both", None),
            entry(2, "open", "both", None),
            entry(
                15,
                "rt_sigreturn",
                "refused",
                Some("works on the thread's own registers"),
            ),
        ]
    }

    fn names(pattern: Option<&str>) -> Vec<String> {
        let pattern = pattern.map(|pattern| glob::Pattern::new(pattern).unwrap());
        matching(entries(), pattern.as_ref())
            .into_iter()
            .map(|entry| entry.name)
            .collect()
    }

    #[test]
    fn entries_are_chosen_by_pattern_and_ordered_by_number() {
        assert_eq!(names(None), ["open", "rt_sigreturn", "openat"]);
        assert_eq!(names(Some("open*")), ["open", "openat"]);
        assert_eq!(names(Some("open")), ["open"]);
        assert_eq!(names(Some("rt_[a-s]*")), ["rt_sigreturn"]);
        assert!(names(Some("x*")).is_empty());
    }

    #[test]
    fn the_documentation_shows_what_programs_get() {
        let printed = json::pretty_list("calls", &matching(entries(), None));
        json::documented::assert_shows("nlcall list", &printed);
    }

    #[test]
    fn the_table_has_a_row_per_call() {
        let rows = matching(entries(), None).into_iter().map(Entry::into_row);
        assert_eq!(
            lay_out(COLUMNS, rows, None),
            " NR  NAME          VERDICT  REASON\n  \
              2  open          both\n \
             15  rt_sigreturn  refused  works on the thread's own registers\n\
             257  openat        both\n"
        );
    }
}
