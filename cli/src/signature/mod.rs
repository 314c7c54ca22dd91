// SPDX-License-Identifier: MIT OR Apache-2.0

//! What each system call takes: names, kinds and number of its parameters.

use std::fmt;

use crate::layout::Format;
use crate::names::Set;

mod example;
mod table;

/// A system call's parameters and result.
#[derive(Debug)]
pub struct Signature {
    /// Its name in the kernel's table.
    pub name: &'static str,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    /// What it returns.
    pub returns: Returns,
}

/// One parameter.
#[derive(Debug)]
pub struct Parameter {
    /// Its name in the kernel's source.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Whether it may be left out at the end of the arguments; it is 0 then.
    pub optional: bool,
}

/// What a parameter is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A signed 32-bit number.
    Int,
    /// An unsigned 32-bit number.
    Uint,
    /// A signed 64-bit number.
    Long,
    /// An unsigned 64-bit number.
    Ulong,
    /// An unsigned 64-bit number that is shown in hexadecimal.
    Hex,
    /// A descriptor.
    Fd,
    /// A descriptor of a directory, or `AT_FDCWD`.
    Dirfd,
    /// Permissions, in octal.
    Mode,
    /// A signal.
    Signal,
    /// A number with names.
    Names(&'static Set),
    /// A path: a string that ends at a zero byte.
    Path,
    /// A string that ends at a zero byte.
    Text,
    /// Bytes that the kernel reads; the parameter with this index is their number.
    BytesIn(usize),
    /// Bytes that the kernel writes.
    BytesOut(Extent),
    /// A structure that the kernel reads.
    In(&'static Format),
    /// A structure that the kernel writes.
    Out(&'static Format),
    /// A structure that the kernel reads and writes.
    InOut(&'static Format),
    /// Pointers to strings, with a null pointer at the end.
    Strings,
    /// `struct iovec`s of bytes that the kernel reads.
    Gather,
    /// `struct iovec`s of bytes that the kernel writes, as many as the call returns.
    Scatter,
    /// An address, shown as such.
    Address,
    /// Anything: what it is depends on another parameter.
    Any,
}

/// How many of the bytes that the kernel wrote are shown, and which parameter is their number.
#[derive(Clone, Copy, Debug)]
pub enum Extent {
    /// As many as the call returned.
    Returned(usize),
    /// Up to the first zero byte.
    Text(usize),
}

impl Extent {
    /// Index of the parameter that is the number of bytes.
    pub fn length(self) -> usize {
        match self {
            Extent::Returned(index) | Extent::Text(index) => index,
        }
    }
}

/// What a call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// A number or a descriptor, in decimal.
    Number,
    /// An address, in hexadecimal.
    Address,
    /// Permissions, in octal.
    Mode,
}

impl Signature {
    /// The signature of a call.
    pub fn of(name: &str) -> Option<&'static Signature> {
        table::TABLE.iter().find(|signature| signature.name == name)
    }

    /// What a call takes of which only the number is known: up to six numbers.
    pub fn of_number() -> &'static Signature {
        static RAW: Signature = Signature {
            name: "syscall",
            parameters: table::SIX_NUMBERS,
            returns: Returns::Number,
        };
        &RAW
    }

    /// Number of parameters that must be given.
    pub fn required(&self) -> usize {
        self.parameters
            .iter()
            .take_while(|parameter| !parameter.optional)
            .count()
    }
}

/// Names of system calls that resemble `name`, the nearest first.
pub fn near(name: &str) -> Vec<&'static str> {
    const MOST: usize = 5;
    const LIKENESS: f64 = 0.85;
    let mut near: Vec<_> = table::TABLE
        .iter()
        .map(|signature| (strsim::jaro_winkler(name, signature.name), signature.name))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(MOST).map(|(_, name)| name).collect()
}

impl fmt::Display for Signature {
    /// `openat(dfd, filename, flags, [mode])`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (index, parameter) in self.parameters.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            match parameter.optional {
                true => write!(f, "[{parameter}]")?,
                false => write!(f, "{parameter}")?,
            }
        }
        f.write_str(")")
    }
}

impl fmt::Display for Parameter {
    /// `flags: O_*`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Int => "int",
            Kind::Uint => "uint",
            Kind::Long => "long",
            Kind::Ulong | Kind::Hex => "ulong",
            Kind::Fd => "fd",
            Kind::Dirfd => "fd or AT_FDCWD",
            Kind::Mode => "mode",
            Kind::Signal => "signal",
            Kind::Names(set) => return write!(f, "{}*", set.prefix),
            Kind::Path => "path",
            Kind::Text => "string",
            Kind::BytesIn(_) => "bytes",
            Kind::BytesOut(_) => "@N",
            Kind::In(_) => "{...}",
            Kind::Out(_) | Kind::InOut(_) => "@",
            Kind::Strings => "[string, ...]",
            Kind::Gather => "[bytes, ...]",
            Kind::Scatter => "[@N, ...]",
            Kind::Address => "address",
            Kind::Any => "any",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlcall_abi::syscalls;

    #[test]
    fn every_system_call_has_a_signature() {
        let ours: Vec<_> = table::TABLE
            .iter()
            .map(|signature| signature.name)
            .collect();
        let theirs: Vec<_> = syscalls::TABLE.iter().map(|syscall| syscall.name).collect();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn no_call_takes_more_than_six_arguments() {
        for signature in table::TABLE {
            assert!(signature.parameters.len() <= 6, "{signature}");
        }
    }

    #[test]
    fn optional_parameters_come_last() {
        for signature in table::TABLE {
            let after = &signature.parameters[signature.required()..];
            assert!(
                after.iter().all(|parameter| parameter.optional),
                "{signature}"
            );
        }
    }

    #[test]
    fn lengths_refer_to_numbers() {
        for signature in table::TABLE {
            for parameter in signature.parameters {
                let length = match parameter.kind {
                    Kind::BytesIn(index) => index,
                    Kind::BytesOut(extent) => extent.length(),
                    _ => continue,
                };
                assert!(
                    matches!(
                        signature.parameters[length].kind,
                        Kind::Int | Kind::Uint | Kind::Long | Kind::Ulong
                    ),
                    "{signature}: {parameter}"
                );
            }
        }
    }

    #[test]
    fn a_signature_is_shown_as_its_call_is_written() {
        assert_eq!(
            Signature::of("openat").unwrap().to_string(),
            "openat(dfd: fd or AT_FDCWD, filename: path, flags: O_*, [mode: mode])"
        );
        assert_eq!(Signature::of("getpid").unwrap().to_string(), "getpid()");
        assert_eq!(
            Signature::of("read").unwrap().to_string(),
            "read(fd: fd, buf: @N, count: ulong)"
        );
    }

    #[test]
    fn misspelt_names_have_neighbours() {
        assert!(near("opnat").contains(&"openat"));
        assert_eq!(near("getpdi").first(), Some(&"getpid"));
        assert!(near("qqqqqqqq").is_empty());
    }
}
