// SPDX-License-Identifier: GPL-2.0-only

//! Short formatted text without allocation.

use core::fmt;

/// Longest text in bytes: `NETLINK_MAX_FMTMSG_LEN` of `include/linux/netlink.h` less the final NUL.
pub const MAX_LEN: usize = 79;

/// Text of at most [`MAX_LEN`] bytes; what does not fit is cut off.
///
/// # Invariants
///
/// `bytes[..len]` is UTF-8.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    bytes: [u8; MAX_LEN],
    len: usize,
}

impl Text {
    /// Formats `args`.
    #[cold]
    #[inline(never)]
    pub fn format(args: fmt::Arguments<'_>) -> Self {
        let mut text = Self {
            bytes: [0; MAX_LEN],
            len: 0,
        };
        // Writing never fails: it cuts off instead.
        let _ = fmt::write(&mut text, args);
        text
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let mut room = (MAX_LEN - self.len).min(s.len());
        // Cut between characters, which keeps the invariant.
        while !s.is_char_boundary(room) {
            room -= 1;
        }
        self.bytes[self.len..self.len + room].copy_from_slice(&s.as_bytes()[..room]);
        self.len += room;
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_characters() {
        let text = Text::format(format_args!("{}ß", "x".repeat(MAX_LEN - 1)));
        assert_eq!(text.as_str(), "x".repeat(MAX_LEN - 1));
        let text = Text::format(format_args!("{}", "y".repeat(500)));
        assert_eq!(text.as_str(), "y".repeat(MAX_LEN));
    }
}
