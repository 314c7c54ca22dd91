// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which calls are shown: `-e openat,read`, `-e trace=%file`, `-e '!getpid'`.

use std::collections::BTreeSet;

use nlcall_abi::syscalls;

use crate::signature::{
    near,
    Kind,
    Signature, //
};
use crate::syntax::number;

/// One `-e`: calls by number, or all but these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    calls: BTreeSet<u32>,
    is_inverted: bool,
}

impl Expression {
    /// Reads an expression as strace has them: names, numbers, classes and, which strace has in
    /// another form, patterns, separated by commas; `!` before them means all others.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = ["trace=", "t="]
            .iter()
            .find_map(|qualifier| text.strip_prefix(qualifier))
            .unwrap_or(text);
        let (is_inverted, list) = match text.strip_prefix('!') {
            Some(list) => (true, list),
            None => (false, text),
        };
        let mut calls = BTreeSet::new();
        for item in list.split(',') {
            calls.extend(select(item.trim())?);
        }
        Ok(Self { calls, is_inverted })
    }
}

/// The calls that one item of an expression names.
fn select(item: &str) -> Result<Vec<u32>, String> {
    if let Some(class) = item.strip_prefix('%') {
        let takes: fn(Kind) -> bool = match class {
            "file" => |kind| matches!(kind, Kind::Path),
            "desc" => |kind| matches!(kind, Kind::Fd | Kind::Dirfd),
            _ => {
                return Err(format!(
                    "unknown class `%{class}`; known are %file and %desc"
                ))
            }
        };
        return Ok(all(|signature| {
            signature
                .parameters
                .iter()
                .any(|parameter| takes(parameter.kind))
        }));
    }
    if item.contains(['*', '?', '[']) {
        let pattern = glob::Pattern::new(item).map_err(|error| format!("`{item}`: {error}"))?;
        let calls = all(|signature| pattern.matches(signature.name));
        return match calls.is_empty() {
            true => Err(format!("no system call matches `{item}`")),
            false => Ok(calls),
        };
    }
    match number(item.as_bytes()) {
        Some(number) => number
            .ok()
            .and_then(|number| u32::try_from(number).ok())
            .map(|number| vec![number])
            .ok_or_else(|| format!("`{item}` is not the number of a system call")),
        None => match syscalls::by_name(item) {
            Some(entry) => Ok(vec![entry.nr]),
            None => Err(match near(item).as_slice() {
                [] => format!("unknown system call `{item}`"),
                near => format!(
                    "unknown system call `{item}`; did you mean {}?",
                    near.join(", ")
                ),
            }),
        },
    }
}

fn all(mut is_meant: impl FnMut(&Signature) -> bool) -> Vec<u32> {
    syscalls::TABLE
        .iter()
        .filter(|entry| Signature::of(entry.name).is_some_and(&mut is_meant))
        .map(|entry| entry.nr)
        .collect()
}

/// All of them together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// None: every call.
    wanted: Option<BTreeSet<u32>>,
    unwanted: BTreeSet<u32>,
}

impl Filter {
    /// Shows what one of the expressions names, or everything where all of them are inverted; and
    /// nothing that an inverted one names.
    pub fn of(expressions: &[Expression]) -> Self {
        let mut filter = Self::default();
        for expression in expressions {
            match expression.is_inverted {
                true => filter.unwanted.extend(&expression.calls),
                false => filter
                    .wanted
                    .get_or_insert_default()
                    .extend(&expression.calls),
            }
        }
        filter
    }

    /// Whether the call of this number is shown.
    pub fn shows(&self, nr: u32) -> bool {
        self.wanted
            .as_ref()
            .is_none_or(|wanted| wanted.contains(&nr))
            && !self.unwanted.contains(&nr)
    }

    /// Whether only calls that were named are shown.
    pub fn is_selective(&self) -> bool {
        self.wanted.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter(texts: &[&str]) -> Filter {
        let expressions = texts.iter().map(|text| Expression::parse(text));
        Filter::of(&expressions.collect::<Result<Vec<_>, _>>().unwrap())
    }

    fn shown(texts: &[&str]) -> Vec<&'static str> {
        let filter = filter(texts);
        let names = syscalls::TABLE.iter();
        names
            .filter(|entry| filter.shows(entry.nr))
            .map(|entry| entry.name)
            .collect()
    }

    #[test]
    fn calls_are_named_as_for_strace() {
        for texts in [
            &["openat,read"][..],
            &["trace=openat,read"],
            &["t=read", "openat"],
            &["0,0x101"],
            &["read, openat"],
        ] {
            assert_eq!(shown(texts), ["read", "openat"], "{texts:?}");
        }
    }

    #[test]
    fn inverted_expressions_leave_out() {
        let all = syscalls::TABLE.len();
        assert_eq!(shown(&[]).len(), all);
        assert_eq!(shown(&["!getpid"]).len(), all - 1);
        assert_eq!(shown(&["trace=!getpid,read", "!write"]).len(), all - 3);
        assert_eq!(shown(&["read,write", "!write"]), ["read"]);
        assert!(!filter(&["!getpid"]).is_selective());
        assert!(filter(&["getpid"]).is_selective());
    }

    #[test]
    fn patterns_and_classes_name_several() {
        assert_eq!(shown(&["pwrite*"]), ["pwrite64", "pwritev", "pwritev2"]);
        let files = shown(&["%file"]);
        assert!(files.contains(&"openat") && files.contains(&"execve") && !files.contains(&"read"));
        let descriptors = shown(&["trace=%desc"]);
        assert!(descriptors.contains(&"read") && descriptors.contains(&"openat"));
        assert!(!descriptors.contains(&"open"));
    }

    #[test]
    fn what_names_nothing_is_an_error() {
        let error = |text| Expression::parse(text).unwrap_err();
        assert!(error("opnat").contains("did you mean openat"));
        assert_eq!(error("qqqqqqq"), "unknown system call `qqqqqqq`");
        assert_eq!(error("qq*"), "no system call matches `qq*`");
        assert!(error("%net").starts_with("unknown class `%net`"));
        assert!(error("99999999999").contains("not the number"));
        assert!(error("read,").starts_with("unknown system call ``"));
        assert!(error("").starts_with("unknown system call ``"));
    }

    proptest! {
        #[test]
        fn any_expression_is_read_without_a_panic(text in "[-!=%*?\\[\\],a-z0-9 ]{0,16}") {
            let _ = Expression::parse(&text);
        }
    }
}
