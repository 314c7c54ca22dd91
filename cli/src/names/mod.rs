// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names of constants: `O_RDWR|O_CREAT`, `SEEK_SET`, `SIGKILL`.
//!
//! A [`Set`] holds the names that one parameter understands. The values come from the kernel's own
//! headers, through the crate `linux-raw-sys` (and `libc` for the few that it lacks), so the
//! compiler checks every name; the same set turns names into numbers and numbers into names.

use std::fmt::Write as _;

use crate::layout::octal;

pub mod file;
pub mod memory;
pub mod process;
pub mod signal;
pub mod socket;
pub mod time;

/// A name and its value.
pub type Constant = (&'static str, u64);

/// Bits of a value that hold a number, not flags: `O_ACCMODE`, `MAP_TYPE`, `S_IFMT`.
#[derive(Debug)]
pub struct Field {
    /// The bits.
    pub mask: u64,
    /// The numbers that have a name.
    pub names: &'static [Constant],
}

/// The names that one parameter understands.
#[derive(Debug)]
pub struct Set {
    /// What a value without a name is commented with: `O_` gives `0x99 /* O_??? */`.
    pub prefix: &'static str,
    /// How many bits the kernel looks at.
    pub bits: u32,
    /// Bits that hold a number.
    pub field: Option<Field>,
    /// Where the values are flags, each is one or several bits (several-bit ones first), and one
    /// with the value 0 names the absence of all. Otherwise each is a whole value.
    pub names: &'static [Constant],
    /// How the values combine.
    pub kind: SetKind,
}

/// How the values of a [`Set`] combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetKind {
    /// Not at all: each is a whole value.
    Choice,
    /// With `|`.
    Flags,
    /// With `|`; what has no name are permissions, in octal.
    Permissions,
}

/// Declares [`Set`]s of a [`SetKind`] each. A `where` clause names the bits that hold a number.
macro_rules! sets {
    (@kind choice) => { $crate::names::SetKind::Choice };
    (@kind flags) => { $crate::names::SetKind::Flags };
    (@kind permissions) => { $crate::names::SetKind::Permissions };
    (@field) => { None };
    (@field $mask:ident { $($name:ident),* $(,)? }) => {
        Some($crate::names::Field {
            mask: $mask as u64,
            names: &[$((stringify!($name), $name as u64)),*],
        })
    };
    ($(
        $(#[$meta:meta])*
        $kind:ident $set:ident($prefix:literal, $bits:literal)
            $(where $mask:ident { $($number:ident),* $(,)? })?
            { $($name:ident),* $(,)? }
    )*) => {
        $(
            $(#[$meta])*
            pub static $set: $crate::names::Set = $crate::names::Set {
                prefix: $prefix,
                bits: $bits,
                field: sets!(@field $($mask { $($number),* })?),
                names: &[$((stringify!($name), $name as u64)),*],
                kind: sets!(@kind $kind),
            };
        )*

        /// The sets of this file.
        pub(super) static ALL: &[&$crate::names::Set] = &[$(&$set),*];
    };
}
pub(crate) use sets;

impl Set {
    /// The value of one name.
    pub fn value(&self, name: &str) -> Option<u64> {
        self.constants()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// The names, those of the number field first.
    pub fn constants(&self) -> impl Iterator<Item = Constant> {
        let field = self.field.as_ref().map_or(&[][..], |field| field.names);
        field.iter().chain(self.names).copied()
    }

    /// Writes a value as strace does: names joined with `|`, what has no name in hexadecimal.
    pub fn show(&self, value: u64) -> String {
        let value = value & self.mask();
        match self.kind {
            SetKind::Choice => self.show_choice(value),
            SetKind::Flags | SetKind::Permissions => self.show_flags(value),
        }
    }

    fn mask(&self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    fn show_choice(&self, value: u64) -> String {
        match self
            .constants()
            .find(|(_, known)| known & self.mask() == value)
        {
            Some((name, _)) => name.to_owned(),
            None => format!("{value:#x} /* {}??? */", self.prefix),
        }
    }

    fn show_flags(&self, value: u64) -> String {
        let mut rest = value;
        let mut text = String::new();
        let mut add = |part: &str| {
            if !text.is_empty() {
                text.push('|');
            }
            text.push_str(part);
        };
        if let Some(field) = &self.field {
            let number = value & field.mask;
            if let Some((name, _)) = field.names.iter().find(|(_, known)| *known == number) {
                add(name);
                rest &= !field.mask;
            }
        }
        for (name, bits) in self.names {
            let bits = bits & self.mask();
            if bits != 0 && rest & bits == bits {
                add(name);
                rest &= !bits;
            }
        }
        let named = !text.is_empty();
        if rest != 0 && named {
            text.push('|');
        }
        // Writing to a String cannot fail.
        let _ = match (self.kind, rest, named) {
            (SetKind::Permissions, rest, _) if rest != 0 || !named => {
                write!(text, "{}", octal(rest))
            }
            (_, 0, true) => Ok(()),
            (_, 0, false) => {
                let zero = self.names.iter().find(|(_, bits)| *bits == 0);
                write!(text, "{}", zero.map_or("0", |(name, _)| name))
            }
            (_, rest, true) => write!(text, "{rest:#x}"),
            (_, rest, false) => write!(text, "{rest:#x} /* {}??? */", self.prefix),
        };
        text
    }
}

/// The value of a name, whichever set it is in: for parameters that have no set of their own.
pub fn anywhere(name: &str) -> Option<u64> {
    [file::ALL, memory::ALL, process::ALL, socket::ALL, time::ALL]
        .into_iter()
        .flatten()
        .find_map(|set| set.value(name))
        .or_else(|| signal::number(name).map(u64::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn every_set() -> Vec<&'static Set> {
        [file::ALL, memory::ALL, process::ALL, socket::ALL, time::ALL].concat()
    }

    /// What the shown text stands for, read back name by name.
    fn read(set: &Set, text: &str) -> u64 {
        let text = text.split(" /*").next().unwrap();
        text.split('|')
            .map(|part| match part.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
                None if part.starts_with('0') => u64::from_str_radix(part, 8).unwrap(),
                None => set.value(part).unwrap(),
            })
            .fold(0, |all, part| all | part)
            & set.mask()
    }

    #[test]
    fn every_name_is_shown_as_itself_or_as_a_name_of_the_same_value() {
        for set in every_set() {
            for (name, value) in set.constants() {
                let shown = set.show(value);
                assert_eq!(
                    read(set, &shown),
                    value & set.mask(),
                    "{name} was shown as {shown}"
                );
                assert!(!shown.contains("???"), "{name} was shown as {shown}");
            }
        }
    }

    #[test]
    fn a_name_means_the_same_in_every_set() {
        let mut seen = std::collections::HashMap::new();
        for set in every_set() {
            for (name, value) in set.constants() {
                let value = value & set.mask();
                assert_eq!(
                    *seen.entry(name).or_insert(value) as u32,
                    value as u32,
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn open_flags_are_shown_as_strace_shows_them() {
        let show = |flags: u32| file::OPEN.show(u64::from(flags));
        assert_eq!(show(0), "O_RDONLY");
        assert_eq!(show(0o102), "O_RDWR|O_CREAT");
        assert_eq!(show(0o2000000), "O_RDONLY|O_CLOEXEC");
        assert_eq!(show(0o4010000 | 1), "O_WRONLY|O_SYNC");
        assert_eq!(show(0x8000_0000), "O_RDONLY|0x80000000");
        assert_eq!(show(3), "O_ACCMODE");
    }

    #[test]
    fn values_without_a_name_are_marked() {
        assert_eq!(file::WHENCE.show(99), "0x63 /* SEEK_??? */");
        assert_eq!(memory::PROTECTION.show(0), "PROT_NONE");
        assert_eq!(file::UNLINK_AT.show(0), "0");
        assert_eq!(process::IPC_GET.show(0o644), "0644");
        assert_eq!(process::IPC_GET.show(0o3600), "IPC_CREAT|IPC_EXCL|0600");
        assert_eq!(file::UNLINK_AT.show(0x4000_0000), "0x40000000 /* AT_??? */");
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_as_the_same_value(value: u64, low: u16) {
            for set in every_set() {
                for value in [value, u64::from(low)] {
                    prop_assert_eq!(read(set, &set.show(value)), value & set.mask());
                }
            }
        }
    }
}
