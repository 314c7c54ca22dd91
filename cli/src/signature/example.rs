// SPDX-License-Identifier: MIT OR Apache-2.0

//! A call as somebody may write it, made up from what its parameters are.

use super::{
    Kind,
    Parameter,
    Signature, //
};
use crate::layout::{
    Detail,
    Format, //
};

/// What is written where the call takes bytes, and how many they are.
const BYTES: (&str, u64) = ("\"hello\"", 5);
/// How large a buffer is.
const BUFFER: u64 = 100;

impl Signature {
    /// Arguments that the call takes, each as it is written; not those that may be left out. They
    /// refer to nothing that is there.
    pub fn example(&self) -> Vec<String> {
        let parameters = &self.parameters[..self.required()];
        let numbers = (0..parameters.len()).map(|index| self.number(index));
        parameters
            .iter()
            .zip(numbers)
            .map(|(parameter, number)| match number {
                Some(number) => number.to_string(),
                None => word(parameter),
            })
            .collect()
    }

    /// What a parameter must be that says how much there is of another one.
    fn number(&self, index: usize) -> Option<u64> {
        self.parameters
            .iter()
            .enumerate()
            .find_map(|(other, parameter)| match parameter.kind {
                Kind::BytesIn(length) if length == index => Some(BYTES.1),
                Kind::BytesOut(extent) if extent.length() == index => Some(BUFFER),
                // The number of entries is the next one.
                Kind::Gather | Kind::Scatter if other + 1 == index => Some(1),
                Kind::InOut(Format::List(_)) if other + 1 == index => Some(1),
                _ => None,
            })
    }
}

fn word(parameter: &Parameter) -> String {
    match parameter.kind {
        Kind::Int | Kind::Uint if parameter.name.ends_with("pid") => "1234".to_owned(),
        Kind::Int | Kind::Uint | Kind::Long | Kind::Ulong | Kind::Hex | Kind::Any => "0".to_owned(),
        Kind::Fd => "3".to_owned(),
        Kind::Dirfd => "AT_FDCWD".to_owned(),
        Kind::Mode => "0644".to_owned(),
        Kind::Signal => "SIGTERM".to_owned(),
        Kind::Names(set) => match set.constants().next() {
            Some((name, _)) => name.to_owned(),
            None => "0".to_owned(),
        },
        Kind::Path => "/tmp/example".to_owned(),
        Kind::Text => "example".to_owned(),
        Kind::BytesIn(_) => BYTES.0.to_owned(),
        Kind::BytesOut(_) => format!("@{BUFFER}"),
        Kind::In(format) | Kind::InOut(format) => structure(format),
        Kind::Out(format) => match format.size() {
            Some(_) => "@".to_owned(),
            None => format!("@{BUFFER}"),
        },
        Kind::Strings => "[\"example\"]".to_owned(),
        Kind::Gather => format!("[{}]", BYTES.0),
        Kind::Scatter => format!("[@{BUFFER}]"),
        Kind::Address => "NULL".to_owned(),
    }
}

/// A structure of zeroes.
fn structure(format: &Format) -> String {
    let (format, is_list) = match format {
        Format::List(item) => (*item, true),
        format => (format, false),
    };
    let zeroes = vec![0; format.size().unwrap_or(0)];
    let text = format.show_or_quote(&zeroes, Detail::default());
    match is_list {
        true => format!("[{text}]"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invocation::Invocation;
    use crate::signature::table::TABLE;
    use nlcall::raw::Data;

    #[test]
    fn every_example_is_a_call_that_can_be_made() {
        for signature in TABLE {
            let words = signature.example();
            let words: Vec<_> = words.iter().map(Into::into).collect();
            let invocation = Invocation::new(signature.name, &words);
            let invocation = invocation.unwrap_or_else(|error| panic!("{signature}: {error}"));
            // Nothing reaches beyond its memory.
            if let Err(error) = invocation.elsewhere(&mut Data::new()) {
                panic!("{signature}: {error}");
            }
        }
    }

    #[test]
    fn examples_are_written_by_kind() {
        let words = |name| Signature::of(name).unwrap().example();
        assert_eq!(words("openat"), ["AT_FDCWD", "/tmp/example", "O_RDONLY"]);
        assert_eq!(words("read"), ["3", "@100", "100"]);
        assert_eq!(words("write"), ["3", "\"hello\"", "5"]);
        assert_eq!(words("kill"), ["1234", "SIGTERM"]);
        assert_eq!(words("writev"), ["3", "[\"hello\"]", "1"]);
        assert_eq!(words("nanosleep"), ["{tv_sec=0, tv_nsec=0}"]);
        assert!(words("getpid").is_empty());
    }
}
