// SPDX-License-Identifier: MIT OR Apache-2.0

//! Structures in memory, shown and written as strace does: `{tv_sec=1, tv_nsec=0}`, `[3, 4]`.

use crate::names::Set;

mod encode;
mod show;
pub mod structures;

pub use encode::{
    names_value,
    EncodeError,
    NameError, //
};
pub use show::octal;

/// How bytes in memory are to be read.
#[derive(Debug)]
pub enum Format {
    /// A signed number of so many bytes.
    Signed(usize),
    /// An unsigned number of so many bytes.
    Unsigned(usize),
    /// An unsigned number of so many bytes, in hexadecimal.
    Hex(usize),
    /// Type and permissions of a file: `S_IFREG|0644`.
    Mode(usize),
    /// A device number of so many bytes: `makedev(0x1, 0x3)`.
    Device(usize),
    /// A resource limit: `8192*1024`, `RLIM64_INFINITY`.
    Limit,
    /// A number of so many bytes that has names.
    Names(&'static Set, usize),
    /// Text that ends at a zero byte, in an array of so many bytes.
    Text(usize),
    /// A structure.
    Structure(&'static Layout),
    /// So many of the same.
    Array(&'static Format, usize),
    /// As many of the same as there are.
    List(&'static Format),
}

/// A structure.
#[derive(Debug)]
pub struct Layout {
    /// Its size in bytes.
    pub size: usize,
    /// Its fields, in the order in which strace prints them.
    pub fields: &'static [Field],
}

/// A field of a structure.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its offset in bytes.
    pub offset: usize,
    /// What it is.
    pub format: Format,
    /// When it is shown.
    pub shown: Shown,
}

/// When a field is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Always.
    Always,
    /// Where structures are shown in full.
    InFull,
    /// Size of a file: always, except of a device.
    Size,
    /// Number of a device: always, but only of a device.
    Device,
}

/// How much is shown.
#[derive(Clone, Copy, Debug)]
pub struct Detail {
    /// Most bytes of a string.
    pub string: usize,
    /// All fields of a structure.
    pub in_full: bool,
}

impl Default for Detail {
    /// As strace without options.
    fn default() -> Self {
        Self {
            string: 32,
            in_full: false,
        }
    }
}

impl Format {
    /// Its size in bytes; `None` for a list, which is as long as it is.
    pub fn size(&self) -> Option<usize> {
        match self {
            Format::Signed(size)
            | Format::Unsigned(size)
            | Format::Hex(size)
            | Format::Mode(size)
            | Format::Device(size)
            | Format::Names(_, size)
            | Format::Text(size) => Some(*size),
            Format::Limit => Some(8),
            Format::Structure(layout) => Some(layout.size),
            Format::Array(item, count) => Some(item.size()? * count),
            Format::List(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::structures::*;
    use super::*;
    use crate::names::file;
    use crate::syntax::parse;
    use proptest::prelude::*;

    fn encode(format: &Format, text: &str) -> Result<Vec<u8>, EncodeError> {
        format.encode(&parse(text.as_bytes()).unwrap())
    }

    fn round_trip(format: &Format, text: &str) -> String {
        let detail = Detail {
            in_full: true,
            ..Detail::default()
        };
        format.show(&encode(format, text).unwrap(), detail).unwrap()
    }

    #[test]
    fn structures_are_written_by_name_or_position() {
        assert_eq!(
            round_trip(&TIMESPEC, "{tv_sec=1, tv_nsec=-2}"),
            "{tv_sec=1, tv_nsec=-2}"
        );
        assert_eq!(round_trip(&TIMESPEC, "{5}"), "{tv_sec=5, tv_nsec=0}");
        assert_eq!(
            round_trip(
                &OPEN_HOW,
                "{flags=O_RDWR|O_CREAT, mode=0600, resolve=RESOLVE_BENEATH}"
            ),
            "{flags=O_RDWR|O_CREAT, mode=0600, resolve=RESOLVE_BENEATH}"
        );
        assert_eq!(
            round_trip(&POLLFDS, "[{fd=-1, events=POLLIN}, {3, POLLOUT|POLLHUP}]"),
            "[{fd=-1, events=POLLIN, revents=0}, {fd=3, events=POLLOUT|POLLHUP, revents=0}]"
        );
        assert_eq!(
            round_trip(&RLIMIT, "{8388608, RLIM64_INFINITY}"),
            "{rlim_cur=8192*1024, rlim_max=RLIM64_INFINITY}"
        );
        assert_eq!(round_trip(&DESCRIPTOR_PAIR, "[3, 4]"), "[3, 4]");
    }

    #[test]
    fn what_does_not_fit_a_structure_is_rejected() {
        assert_eq!(
            encode(&TIMESPEC, "3"),
            Err(EncodeError::Expected("a structure: {name=value, ...}"))
        );
        assert_eq!(encode(&TIMESPEC, "{1, 2, 3}"), Err(EncodeError::TooMany(2)));
        assert_eq!(
            encode(&TIMESPEC, "{sec=1}"),
            Err(EncodeError::NoField(
                "sec".to_owned(),
                "tv_sec, tv_nsec".to_owned()
            ))
        );
        assert_eq!(
            encode(&POLLFDS, "[{0, 0x10000}]"),
            Err(EncodeError::TooLarge(2))
        );
        assert_eq!(
            encode(&POLLFDS, "[{0x80000000, 0}]"),
            Ok(vec![0, 0, 0, 0x80, 0, 0, 0, 0])
        );
        assert!(matches!(
            encode(&POLLFDS, "[{0, POLLXX}]"),
            Err(EncodeError::Name(_))
        ));
        assert_eq!(
            encode(&DESCRIPTOR_PAIR, "[1, 2, 3]"),
            Err(EncodeError::TooMany(2))
        );
    }

    #[test]
    fn unknown_names_come_with_the_nearest_known_ones() {
        let error = names_value(Some(&file::OPEN), b"O_RDWR|O_CREATE").unwrap_err();
        assert_eq!(error.name, "O_CREATE");
        assert_eq!(error.known[0], "O_CREAT");
    }

    #[test]
    fn names_and_numbers_mix() {
        assert_eq!(names_value(Some(&file::OPEN), b"O_RDWR|0x40"), Ok(0o102));
        assert_eq!(names_value(Some(&file::WHENCE), b"2"), Ok(2));
        assert_eq!(names_value(None, b"FD_CLOEXEC"), Ok(1));
        assert!(names_value(None, b"").is_err());
    }

    #[test]
    fn numbers_keep_their_sign() {
        let detail = Detail::default();
        assert_eq!(Format::Signed(2).show(&[0xfe, 0xff], detail).unwrap(), "-2");
        assert_eq!(
            Format::Unsigned(2).show(&[0xfe, 0xff], detail).unwrap(),
            "65534"
        );
        assert_eq!(Format::Signed(8).show(&[0xff; 8], detail).unwrap(), "-1");
        assert_eq!(Format::Signed(4).show(&[1, 2, 3], detail), None);
    }

    #[test]
    fn too_few_bytes_are_shown_as_a_string() {
        assert_eq!(STAT.show_or_quote(b"ab\0", Detail::default()), r#""ab\0""#);
    }

    #[test]
    fn modes_are_type_and_permissions() {
        assert_eq!(show::show_mode(0o100644), "S_IFREG|0644");
        assert_eq!(show::show_mode(0o41777), "S_IFDIR|01777");
        assert_eq!(show::show_mode(0o644), "0644");
        assert_eq!(octal(0), "000");
        assert_eq!(octal(7), "007");
        assert_eq!(octal(0o22), "022");
    }

    proptest! {
        #[test]
        fn any_bytes_are_shown_without_a_panic(bytes: Vec<u8>, in_full: bool) {
            let detail = Detail { string: 32, in_full };
            for format in ALL {
                let _ = format.show_or_quote(&bytes, detail);
            }
        }

        #[test]
        fn any_argument_is_encoded_without_a_panic(text in "[-@\"{}\\[\\],=x0-9a ]{0,24}") {
            if let Ok(value) = parse(text.as_bytes()) {
                for format in ALL {
                    let _ = format.encode(&value);
                }
            }
        }

        #[test]
        fn times_read_back(sec: i64, nsec: i64) {
            let text = format!("{{tv_sec={sec}, tv_nsec={nsec}}}");
            prop_assert_eq!(round_trip(&TIMESPEC, &text), text);
        }

        #[test]
        fn encoded_structures_have_the_structures_size(
            values in proptest::collection::vec(0u8..100, 0..3),
        ) {
            let list: Vec<_> = values.iter().map(u8::to_string).collect();
            for format in [&TIMESPEC, &TIMEVAL, &RLIMIT, &OPEN_HOW] {
                if let Ok(bytes) = encode(format, &format!("{{{}}}", list.join(","))) {
                    prop_assert_eq!(Some(bytes.len()), format.size());
                }
            }
        }
    }
}
