// SPDX-License-Identifier: MIT OR Apache-2.0

//! The syntax of one argument, as strace prints it.
//!
//! | written | means |
//! | --- | --- |
//! | `3`, `-1`, `0x10`, `0644` | a number: decimal, hexadecimal, octal |
//! | `"a\n"` | a string, with C's escapes |
//! | `@100` | a buffer of 100 zero bytes |
//! | `@` | a buffer of the size that the parameter needs |
//! | `{tv_sec=1, tv_nsec=0}`, `{1, 0}` | a structure |
//! | `[3, 4]` | an array |
//! | anything else | a word: a path, or names joined with a vertical bar |
//!
//! What a word means is up to the parameter; see [`crate::signature`].

pub mod quote;

use quote::{
    unquote,
    QuoteError, //
};

/// The largest buffer that `@N` makes, in bytes.
pub const MAX_BUFFER: u64 = 1 << 30;

/// How deep structures and arrays nest.
const MAX_DEPTH: usize = 8;

/// One argument as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number; negative ones in two's complement.
    Number(u64),
    /// A quoted string, without its quotes.
    Quoted(Vec<u8>),
    /// A buffer of this many bytes, or of what the parameter needs.
    Buffer(Option<usize>),
    /// A structure: fields by name or by position.
    Structure(Vec<(Option<String>, Value)>),
    /// An array.
    Array(Vec<Value>),
    /// Anything else.
    Word(Vec<u8>),
    /// A number that is known only when the call starts. No text stands for it.
    Later,
}

/// Why an argument was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// Inside a string.
    #[error("{0}")]
    Quote(#[from] QuoteError),
    /// Something follows the end of the argument.
    #[error("unexpected `{0}` after the end of the argument")]
    Trailing(String),
    /// An opening brace or bracket has no counterpart.
    #[error("`{0}` is missing; quote the argument if it is a string")]
    Unclosed(char),
    /// A value was expected.
    #[error("a value is missing")]
    Missing,
    /// A number needs more than 64 bits.
    #[error("`{0}` does not fit into 64 bits")]
    TooLarge(String),
    /// `@` with something that is not a size.
    #[error("`@{0}` is not a buffer: write `@N`, N bytes up to {MAX_BUFFER}")]
    Buffer(String),
    /// Structures inside structures inside structures.
    #[error("nested more than {MAX_DEPTH} deep")]
    TooDeep,
}

/// Reads one argument.
pub fn parse(text: &[u8]) -> Result<Value, SyntaxError> {
    let mut reader = Reader { text, at: 0 };
    let value = match text.first() {
        Some(b'"' | b'{' | b'[') => reader.value(0)?,
        Some(b'@') => {
            reader.at = text.len();
            buffer(&text[1..])?
        }
        _ => {
            reader.at = text.len();
            bare(text)?
        }
    };
    reader.space();
    match &text[reader.at..] {
        [] => Ok(value),
        rest => Err(SyntaxError::Trailing(lossy(rest))),
    }
}

/// A number where the text is one: `12`, `-1`, `0x1f`, `017`.
pub fn number(text: &[u8]) -> Option<Result<u64, SyntaxError>> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let (radix, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', rest @ ..] if !rest.is_empty() => (8, rest),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.iter().all(|byte| char::from(*byte).is_digit(radix)) {
        return None;
    }
    // Only ASCII digits are left.
    let digits = std::str::from_utf8(digits).ok()?;
    let value = u64::from_str_radix(digits, radix)
        .ok()
        .and_then(|value| match negative {
            false => Some(value),
            true if value <= 1 << 63 => Some(value.wrapping_neg()),
            true => None,
        });
    Some(value.ok_or_else(|| SyntaxError::TooLarge(lossy(text))))
}

fn bare(text: &[u8]) -> Result<Value, SyntaxError> {
    match number(text) {
        Some(value) => value.map(Value::Number),
        None => Ok(Value::Word(text.to_vec())),
    }
}

fn buffer(size: &[u8]) -> Result<Value, SyntaxError> {
    if size.is_empty() {
        return Ok(Value::Buffer(None));
    }
    let bad = || SyntaxError::Buffer(lossy(size));
    let bytes = number(size).ok_or_else(bad)?.map_err(|_| bad())?;
    if bytes > MAX_BUFFER {
        return Err(bad());
    }
    // At most MAX_BUFFER.
    Ok(Value::Buffer(Some(bytes as usize)))
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// A position in the text of one argument.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Steps over `byte` and the space before it, if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// A value inside a structure or an array, or one that begins with its delimiter.
    fn value(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        if depth > MAX_DEPTH {
            return Err(SyntaxError::TooDeep);
        }
        self.space();
        match self.peek() {
            Some(b'"') => {
                let (bytes, read) = unquote(&self.text[self.at + 1..])?;
                self.at += 1 + read;
                Ok(Value::Quoted(bytes))
            }
            Some(b'{') => {
                self.at += 1;
                self.list(b'}', |reader| {
                    let name = reader.field_name();
                    Ok((name, reader.value(depth + 1)?))
                })
                .map(Value::Structure)
            }
            Some(b'[') => {
                self.at += 1;
                self.list(b']', |reader| reader.value(depth + 1))
                    .map(Value::Array)
            }
            _ => {
                let word = self.word();
                match word {
                    [] => Err(SyntaxError::Missing),
                    [b'@', size @ ..] => buffer(size),
                    _ => bare(word),
                }
            }
        }
    }

    /// Items separated by commas, up to the closing delimiter.
    fn list<T>(
        &mut self,
        close: u8,
        item: impl Fn(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<Vec<T>, SyntaxError> {
        let mut items = Vec::new();
        if self.take(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.take(close) {
                return Ok(items);
            }
            if !self.take(b',') {
                return Err(SyntaxError::Unclosed(char::from(close)));
            }
        }
    }

    /// Steps over `name=`, if it comes next.
    fn field_name(&mut self) -> Option<String> {
        self.space();
        let rest = &self.text[self.at..];
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let end = rest.iter().position(|byte| !is_name(byte))?;
        if end == 0 || rest[end] != b'=' {
            return None;
        }
        self.at += end + 1;
        Some(lossy(&rest[..end]))
    }

    /// Everything up to a separator, without the space around it.
    fn word(&mut self) -> &[u8] {
        let rest = &self.text[self.at..];
        let end = rest
            .iter()
            .position(|byte| b",}]".contains(byte))
            .unwrap_or(rest.len());
        self.at += end;
        rest[..end].trim_ascii_end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Value, SyntaxError> {
        parse(text.as_bytes())
    }

    fn word(text: &str) -> Value {
        Value::Word(text.as_bytes().to_vec())
    }

    #[test]
    fn numbers_are_decimal_hexadecimal_or_octal() {
        assert_eq!(read("12"), Ok(Value::Number(12)));
        assert_eq!(read("0"), Ok(Value::Number(0)));
        assert_eq!(read("-1"), Ok(Value::Number(u64::MAX)));
        assert_eq!(read("0x1F"), Ok(Value::Number(31)));
        assert_eq!(read("-0x10"), Ok(Value::Number(16u64.wrapping_neg())));
        assert_eq!(read("0644"), Ok(Value::Number(0o644)));
        assert_eq!(read("18446744073709551615"), Ok(Value::Number(u64::MAX)));
        assert_eq!(read("-9223372036854775808"), Ok(Value::Number(1 << 63)));
    }

    #[test]
    fn numbers_that_do_not_fit_are_rejected() {
        for text in [
            "18446744073709551616",
            "-9223372036854775809",
            "0x10000000000000000",
        ] {
            assert_eq!(read(text), Err(SyntaxError::TooLarge(text.to_owned())));
        }
    }

    #[test]
    fn what_only_resembles_a_number_is_a_word() {
        for text in [
            "",
            "-",
            "0x",
            "08",
            "12a",
            "/etc/hostname",
            "O_RDWR|O_CREAT",
            "a b",
            "1.5",
        ] {
            assert_eq!(read(text), Ok(word(text)));
        }
    }

    #[test]
    fn strings_are_quoted() {
        assert_eq!(read(r#""a\n""#), Ok(Value::Quoted(b"a\n".to_vec())));
        assert_eq!(read(r#""a" "#), Ok(Value::Quoted(b"a".to_vec())));
        assert_eq!(read(r#""a"b"#), Err(SyntaxError::Trailing("b".to_owned())));
        assert_eq!(read(r#""a"#), Err(SyntaxError::Quote(QuoteError::Open)));
    }

    #[test]
    fn buffers_have_a_size_or_take_the_parameters() {
        assert_eq!(read("@16"), Ok(Value::Buffer(Some(16))));
        assert_eq!(read("@0x10"), Ok(Value::Buffer(Some(16))));
        assert_eq!(read("@"), Ok(Value::Buffer(None)));
        for text in ["-1", "x", "1073741825", "99999999999999999999"] {
            assert_eq!(
                read(&format!("@{text}")),
                Err(SyntaxError::Buffer(text.to_owned()))
            );
        }
    }

    #[test]
    fn structures_have_named_or_positional_fields() {
        let field = |name: Option<&str>, value| (name.map(str::to_owned), value);
        assert_eq!(
            read("{tv_sec=1, tv_nsec=0}"),
            Ok(Value::Structure(vec![
                field(Some("tv_sec"), Value::Number(1)),
                field(Some("tv_nsec"), Value::Number(0)),
            ]))
        );
        assert_eq!(
            read("{1,{-2}}"),
            Ok(Value::Structure(vec![
                field(None, Value::Number(1)),
                field(
                    None,
                    Value::Structure(vec![field(None, Value::Number(2u64.wrapping_neg()))])
                ),
            ]))
        );
        assert_eq!(
            read("[{fd=0, events=POLLIN|POLLOUT}]"),
            Ok(Value::Array(vec![Value::Structure(vec![
                field(Some("fd"), Value::Number(0)),
                field(Some("events"), word("POLLIN|POLLOUT")),
            ])]))
        );
        assert_eq!(read("[]"), Ok(Value::Array(Vec::new())));
        assert_eq!(
            read("{a=\"}\"}"),
            Ok(Value::Structure(vec![field(
                Some("a"),
                Value::Quoted(b"}".to_vec())
            )]))
        );
    }

    #[test]
    fn broken_structures_are_rejected() {
        assert_eq!(read("{1"), Err(SyntaxError::Unclosed('}')));
        assert_eq!(read("[1, "), Err(SyntaxError::Missing));
        assert_eq!(read("[1}"), Err(SyntaxError::Unclosed(']')));
        assert_eq!(read("[1] 2"), Err(SyntaxError::Trailing("2".to_owned())));
        assert_eq!(read(&"[".repeat(100)), Err(SyntaxError::TooDeep));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn anything_made_of_the_syntax_is_read_without_a_panic(
            text in "[-@\"\\\\{}\\[\\],=|x0-9a ]{0,24}",
        ) {
            let _ = parse(text.as_bytes());
        }

        #[test]
        fn numbers_read_back(value: u64) {
            prop_assert_eq!(read(&value.to_string()), Ok(Value::Number(value)));
            prop_assert_eq!(read(&format!("{value:#x}")), Ok(Value::Number(value)));
            prop_assert_eq!(read(&format!("0{value:o}")), Ok(Value::Number(value)));
            prop_assert_eq!(read(&(value as i64).to_string()), Ok(Value::Number(value)));
        }

        #[test]
        fn quoted_strings_read_back(bytes: Vec<u8>) {
            prop_assert_eq!(read(&quote::quote(&bytes)), Ok(Value::Quoted(bytes)));
        }
    }
}
