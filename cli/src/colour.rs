// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether there are colours.

/// Colours are for terminals, and for those who have not said that they want none
/// (<https://no-color.org>).
pub fn wanted(is_terminal: bool) -> bool {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_terminal && !is_unwanted
}
