// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall describe NAME`

use nlcall::raw::{
    Session,
    Verdict, //
};
use nlcall::Error;
use nlcall_abi::policy;
use nlcall_abi::syscalls::{
    self,
    Syscall, //
};
use serde::Serialize;

use super::list::verdict;
use crate::exit::{
    Failure,
    Status, //
};
use crate::invocation::InvocationError;
use crate::json;
use crate::options::DescribeOptions;
use crate::signature::{
    near,
    Kind,
    Returns,
    Signature, //
};
use crate::syntax::number;
use crate::table::{
    lay_out,
    print,
    terminal_width,
    text,
    Column, //
};

mod manual;

const COLUMNS: &[Column] = &[text("PARAMETER"), text("TYPE"), text("IS WRITTEN AS")];

/// Says what a call takes, who executes it, and how it is made.
pub fn run(options: &DescribeOptions, json: bool) -> Result<Status, Failure> {
    let (syscall, signature) = find(&options.name)?;
    let policy = match Session::open() {
        Ok(session) => Policy::of_module(&session, syscall)?,
        Err(Error::ModuleMissing) => Policy::of_this_release(syscall),
        Err(error) => return Err(error.into()),
    };
    let description = Description::new(syscall, signature, policy);
    match json {
        true => json::print_object(&description)?,
        false => print(&description.show(terminal_width()))?,
    }
    Ok(Status::Success)
}

/// A call by its name or number.
fn find(name: &str) -> Result<(&'static Syscall, &'static Signature), InvocationError> {
    let entry = match number(name.as_bytes()) {
        Some(nr) => nr
            .ok()
            .and_then(|nr| u32::try_from(nr).ok())
            .and_then(syscalls::by_nr),
        None => syscalls::by_name(name),
    };
    entry
        .and_then(|entry| Some((entry, Signature::of(entry.name)?)))
        .ok_or_else(|| InvocationError::UnknownCall {
            name: name.to_owned(),
            near: near(name),
        })
}

/// What is decided about a call, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Policy {
    verdict: Verdict,
    reason: Option<String>,
    /// Version of the module; none where none is loaded.
    module: Option<String>,
}

impl Policy {
    fn of_module(session: &Session, syscall: &Syscall) -> Result<Self, Error> {
        let module = Some(session.features().module_version.clone());
        let calls = session.syscalls()?;
        let known = calls.into_iter().find(|it| it.nr == syscall.nr);
        Ok(match known {
            Some(known) => Self {
                verdict: known.verdict,
                reason: known.reason,
                module,
            },
            None => Self {
                verdict: Verdict::Refused,
                reason: Some("this module does not know it".to_owned()),
                module,
            },
        })
    }

    fn of_this_release(syscall: &Syscall) -> Self {
        let (verdict, reason) = match policy::entry(syscall.nr) {
            Some(judgement) => (judgement.verdict, judgement.reason),
            None => (Verdict::Refused, Some("it is not in the table")),
        };
        Self {
            verdict,
            reason: reason.map(str::to_owned),
            module: None,
        }
    }
}

/// A call, for programs.
#[derive(Debug, Serialize)]
struct Description {
    name: &'static str,
    nr: u32,
    /// Whether the kernel of this release has it; otherwise it answers `ENOSYS`.
    implemented: bool,
    signature: String,
    parameters: Vec<ParameterRow>,
    returns: &'static str,
    verdict: &'static str,
    reason: Option<String>,
    /// Whether the reason is about some arguments only.
    by_arguments: bool,
    worker: bool,
    inline: bool,
    /// Version of the module that said so; none where it is the table of this release.
    module: Option<String>,
    /// A command.
    example: String,
    /// Its manual page.
    manual: Option<String>,
}

#[derive(Debug, Serialize)]
struct ParameterRow {
    name: &'static str,
    #[serde(rename = "type")]
    kind: String,
    meaning: String,
    optional: bool,
}

impl Description {
    fn new(syscall: &Syscall, signature: &'static Signature, policy: Policy) -> Self {
        let inline = policy.verdict != Verdict::Refused;
        let worker = inline && policy.verdict != Verdict::InlineOnly;
        let by_arguments = policy
            .reason
            .as_deref()
            .is_some_and(|reason| reason.starts_with(policy::CONDITIONAL));
        Self {
            name: syscall.name,
            nr: syscall.nr,
            implemented: syscall.implemented,
            signature: signature.to_string(),
            parameters: signature
                .parameters
                .iter()
                .map(|parameter| ParameterRow {
                    name: parameter.name,
                    kind: parameter.kind.to_string(),
                    meaning: meaning(parameter.kind, signature),
                    optional: parameter.optional,
                })
                .collect(),
            returns: match signature.returns {
                Returns::Number => "a number",
                Returns::Address => "an address, in hexadecimal",
                Returns::Mode => "permissions, in octal",
            },
            verdict: verdict(policy.verdict),
            reason: policy.reason,
            by_arguments,
            worker,
            inline,
            module: policy.module,
            example: example(signature, worker, inline),
            manual: manual::page(syscall.name),
        }
    }

    fn show(&self, width: Option<u16>) -> String {
        let mut shown = format!("{}, number {}\n", self.signature, self.nr);
        if !self.parameters.is_empty() {
            let rows = self.parameters.iter().map(|row| {
                let optional = if row.optional {
                    "; may be left out"
                } else {
                    ""
                };
                let meaning = format!("{}{optional}", row.meaning);
                vec![row.name.to_owned(), row.kind.clone(), meaning]
            });
            shown.push('\n');
            shown.push_str(&lay_out(COLUMNS, rows, width));
        }
        shown.push('\n');
        let facts = [
            ("Returns", Some(self.returns.to_owned())),
            (
                "Kernel",
                (!self.implemented)
                    .then(|| format!("{} has no such call: ENOSYS", syscalls::RELEASE)),
            ),
            ("Worker", Some(self.worker())),
            ("INLINE", Some(self.inline())),
            ("Says", Some(self.source())),
            ("Example", Some(self.example.clone())),
            (
                "Manual",
                Some(self.manual.clone().unwrap_or_else(|| "none".to_owned())),
            ),
        ];
        let facts = facts
            .into_iter()
            .filter_map(|(name, fact)| Some(vec![format!("{name}:"), fact?]));
        // Without a line for the headings, which are empty.
        let facts = lay_out(&[text(""), text("")], facts, width);
        shown.push_str(facts.trim_start_matches('\n'));
        shown
    }

    fn worker(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or_default();
        match (self.worker, self.by_arguments) {
            (true, true) => format!("yes, with some arguments {reason}"),
            (true, false) if reason.is_empty() => "yes".to_owned(),
            (true, false) => format!("yes, with a difference: {reason}"),
            (false, _) => format!("no: {reason}"),
        }
    }

    fn inline(&self) -> String {
        match self.inline {
            true => "yes".to_owned(),
            false => format!("no: {}", self.reason.as_deref().unwrap_or_default()),
        }
    }

    fn source(&self) -> String {
        match &self.module {
            Some(version) => format!("the module that is loaded, version {version}"),
            None => "the table of this release; no module is loaded".to_owned(),
        }
    }
}

/// A command that makes the call.
fn example(signature: &Signature, worker: bool, inline: bool) -> String {
    let mut words = vec!["nlcall".to_owned(), "call".to_owned()];
    if inline && !worker {
        words.push("--inline".to_owned());
    }
    words.push(signature.name.to_owned());
    words.extend(signature.example().iter().map(|word| quoted(word)));
    words.join(" ")
}

/// A word as the shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@/_-.".contains(&byte);
    match word.bytes().all(is_plain) {
        true => word.to_owned(),
        // No example has a quote of this kind.
        false => format!("'{word}'"),
    }
}

/// How an argument is written.
fn meaning(kind: Kind, signature: &Signature) -> String {
    let of = |index: usize| signature.parameters[index].name;
    match kind {
        Kind::Int | Kind::Uint | Kind::Long | Kind::Ulong | Kind::Hex => "a number".to_owned(),
        Kind::Fd => "the number of a descriptor".to_owned(),
        Kind::Dirfd => "the number of a directory's descriptor, or AT_FDCWD".to_owned(),
        Kind::Mode => "permissions: 0644".to_owned(),
        Kind::Signal => "a signal: SIGTERM, 15".to_owned(),
        Kind::Names(set) => {
            let names: Vec<_> = set.constants().map(|(name, _)| name).collect();
            match set.kind {
                crate::names::SetKind::Choice => format!("one of {}", names.join(", ")),
                _ => format!("names joined with |: {}", names.join(", ")),
            }
        }
        Kind::Path => "a path".to_owned(),
        Kind::Text => "a string".to_owned(),
        Kind::BytesIn(length) => format!("a string or bytes, {} of them", of(length)),
        Kind::BytesOut(extent) => format!("a buffer of {} bytes: @N", of(extent.length())),
        Kind::In(_) => "a structure that is read: {...}".to_owned(),
        Kind::Out(format) => match format.size() {
            Some(size) => format!("room for a structure of {size} bytes: @"),
            None => "room for a list: @N".to_owned(),
        },
        Kind::InOut(_) => "a structure that is read and written: {...} or @".to_owned(),
        Kind::Strings => "strings: [\"a\", \"b\"]".to_owned(),
        Kind::Gather => "bytes: [\"a\", \"b\"]".to_owned(),
        Kind::Scatter => "buffers: [@10, @20]".to_owned(),
        Kind::Address => "an address, a buffer (@N), quoted bytes, or NULL".to_owned(),
        Kind::Any => "a number, a name, a string or a buffer (@N)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(name: &str, module: Option<&str>) -> Description {
        let (syscall, signature) = find(name).unwrap();
        let policy = Policy {
            module: module.map(str::to_owned),
            ..Policy::of_this_release(syscall)
        };
        Description::new(syscall, signature, policy)
    }

    #[test]
    fn a_call_is_described_as_it_is_made() {
        insta::assert_snapshot!(described("openat", Some("0.1.0")).show(Some(80)));
    }

    #[test]
    fn what_a_worker_does_otherwise_is_said() {
        let worker = |name| described(name, None).worker();
        assert_eq!(worker("read"), "yes");
        assert_eq!(
            worker("ppoll"),
            "yes, with some arguments only INLINE with a mask: it would open the worker's"
        );
        assert_eq!(
            worker("gettid"),
            "yes, with a difference: answers about the worker"
        );
        assert_eq!(worker("setuid"), "no: credentials are per thread");
        let refused = described("rt_sigreturn", None);
        assert_eq!(refused.inline(), refused.worker());
        assert_eq!(described("setuid", None).inline(), "yes");
        assert!(described("read", None).source().contains("no module"));
    }

    #[test]
    fn calls_are_found_by_name_and_by_number() {
        assert_eq!(find("0").unwrap().0.name, "read");
        assert_eq!(find("0x101").unwrap().0.name, "openat");
        let unknown = |name| find(name).unwrap_err().to_string();
        assert!(unknown("opnat").contains("near: openat"));
        assert!(unknown("100000").contains("nlcall list"));
        assert!(unknown("99999999999999999999999").contains("nlcall list"));
    }

    #[test]
    fn examples_are_words_of_the_shell() {
        let example = |name| described(name, None).example;
        assert_eq!(example("setuid"), "nlcall call --inline setuid 0");
        assert_eq!(example("write"), "nlcall call write 3 '\"hello\"' 5");
        for syscall in syscalls::TABLE {
            assert_eq!(example(syscall.name).matches('\'').count() % 2, 0);
        }
    }

    #[test]
    fn every_call_is_described_on_a_narrow_terminal() {
        for syscall in syscalls::TABLE {
            let shown = described(syscall.name, None).show(Some(80));
            let facts = shown.split_once("\n\n").unwrap().1;
            assert!(
                facts.lines().all(|line| line.chars().count() <= 80),
                "{shown}"
            );
            assert!(facts.contains("\nExample: "), "{shown}");
        }
    }

    #[test]
    fn the_documentation_shows_what_programs_get() {
        let printed = json::pretty(&described("lseek", Some("0.1.0")));
        json::documented::assert_shows("nlcall describe", &printed);
    }
}
