// SPDX-License-Identifier: MIT OR Apache-2.0

//! Strings as strace prints them and as C reads them.

/// Writes bytes as a quoted C string, as strace does: octal escapes for what is not printable,
/// and no more digits than the next byte allows.
pub fn quote(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x0b => text.push_str("\\v"),
            0x0c => text.push_str("\\f"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                let digit_follows = bytes.get(at + 1).is_some_and(|next| is_octal(*next));
                if digit_follows {
                    text.push_str(&format!("\\{byte:03o}"));
                } else {
                    text.push_str(&format!("\\{byte:o}"));
                }
            }
        }
    }
    text.push('"');
    text
}

/// As [`quote`], but at most `limit` bytes; `...` follows where there were more.
pub fn quote_up_to(bytes: &[u8], limit: usize) -> String {
    match bytes.get(..limit) {
        Some(shown) if shown.len() < bytes.len() => quote(shown) + "...",
        _ => quote(bytes),
    }
}

fn is_octal(byte: u8) -> bool {
    matches!(byte, b'0'..=b'7')
}

/// Why a quoted string was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// The closing quote is missing.
    #[error("the closing quote is missing")]
    Open,
    /// A backslash is followed by something that C does not know.
    #[error("unknown escape `\\{}`", char::from(*.0).escape_default())]
    Escape(u8),
    /// An octal escape does not fit into a byte.
    #[error("an octal escape is at most \\377")]
    TooLarge,
    /// `\x` without a digit.
    #[error("`\\x` needs one or two hexadecimal digits")]
    NoDigits,
}

/// Reads the inside of a quoted C string. `text` begins after the opening quote; returns the
/// bytes and how much of `text` was read, the closing quote included.
pub fn unquote(text: &[u8]) -> Result<(Vec<u8>, usize), QuoteError> {
    let mut bytes = Vec::new();
    let mut at = 0;
    loop {
        let byte = *text.get(at).ok_or(QuoteError::Open)?;
        at += 1;
        match byte {
            b'"' => return Ok((bytes, at)),
            b'\\' => {
                let (byte, read) = escape(&text[at..])?;
                bytes.push(byte);
                at += read;
            }
            _ => bytes.push(byte),
        }
    }
}

/// Reads what follows a backslash.
fn escape(text: &[u8]) -> Result<(u8, usize), QuoteError> {
    let first = *text.first().ok_or(QuoteError::Open)?;
    let byte = match first {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'f' => 0x0c,
        b'a' => 0x07,
        b'b' => 0x08,
        b'"' | b'\\' | b'\'' | b'?' => first,
        b'x' => {
            let digits = text[1..].iter().take(2).map_while(|byte| hex(*byte));
            let (value, read) = digits.fold((0, 0), |(value, read), digit| {
                (value * 16 + digit, read + 1)
            });
            return if read == 0 {
                Err(QuoteError::NoDigits)
            } else {
                Ok((value, 1 + read))
            };
        }
        b'0'..=b'7' => {
            let digits = text.iter().take(3).take_while(|byte| is_octal(**byte));
            let (value, read) = digits.fold((0u16, 0), |(value, read), byte| {
                (value * 8 + u16::from(byte - b'0'), read + 1)
            });
            return Ok((u8::try_from(value).map_err(|_| QuoteError::TooLarge)?, read));
        }
        _ => return Err(QuoteError::Escape(first)),
    };
    Ok((byte, 1))
}

fn hex(byte: u8) -> Option<u8> {
    // A hexadecimal digit fits.
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_shown_as_strace_shows_them() {
        assert_eq!(quote(b"abc\n"), r#""abc\n""#);
        assert_eq!(quote(b"\0"), r#""\0""#);
        assert_eq!(quote(b"\x001"), r#""\0001""#);
        assert_eq!(quote(b"\x018"), r#""\18""#);
        assert_eq!(quote("é".as_bytes()), r#""\303\251""#);
        assert_eq!(quote(br#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(quote(b"\x1b[0m\x7f"), r#""\33[0m\177""#);
    }

    #[test]
    fn long_strings_are_cut_at_the_limit() {
        assert_eq!(quote_up_to(b"abcdef", 3), r#""abc"..."#);
        assert_eq!(quote_up_to(b"abc", 3), r#""abc""#);
        assert_eq!(quote_up_to(b"abc", 0), r#"""..."#);
    }

    #[test]
    fn escapes_are_read_as_c_reads_them() {
        let read = |text: &str| unquote(text.as_bytes());
        assert_eq!(read(r#"a\x41\101\n" rest"#), Ok((b"aAA\n".to_vec(), 12)));
        assert_eq!(read(r#"\1234""#), Ok((b"S4".to_vec(), 6)));
        assert_eq!(read("abc"), Err(QuoteError::Open));
        assert_eq!(read("abc\\"), Err(QuoteError::Open));
        assert_eq!(read(r#"\q""#), Err(QuoteError::Escape(b'q')));
        assert_eq!(read(r#"\400""#), Err(QuoteError::TooLarge));
        assert_eq!(read(r#"\xg""#), Err(QuoteError::NoDigits));
    }

    proptest! {
        #[test]
        fn what_is_quoted_reads_back(bytes: Vec<u8>) {
            let quoted = quote(&bytes);
            prop_assert!(quoted.is_ascii());
            let (back, read) = unquote(&quoted.as_bytes()[1..]).unwrap();
            prop_assert_eq!(back, bytes);
            prop_assert_eq!(read, quoted.len() - 1);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = unquote(&bytes);
        }

        #[test]
        fn escapes_are_read_without_a_panic(text in "[\\\\x0-9a-f\"]{0,12}") {
            let _ = unquote(text.as_bytes());
        }
    }
}
