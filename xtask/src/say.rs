// SPDX-License-Identifier: MIT OR Apache-2.0

//! What this program tells the user, all on standard error.

/// Prints one message that begins with `xtask:`.
macro_rules! say {
    ($($arg:tt)*) => {
        eprintln!("xtask: {}", format_args!($($arg)*))
    };
}

pub(crate) use say;
