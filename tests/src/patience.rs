// SPDX-License-Identifier: MIT OR Apache-2.0

//! Waiting for something that happens by itself.

use std::time::{Duration, Instant};

/// When to take it that it will never happen. No promise is about time: this only turns a hang
/// into a message, and is long enough for a busy machine that is emulated in software.
const BOUND: Duration = Duration::from_secs(60);

const STEP: Duration = Duration::from_millis(1);

/// Waits until the condition holds; `what` completes the sentence "waited in vain until".
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let holds = holds_eventually(&mut condition);
    assert!(holds, "waited in vain until {what}");
}

/// Waits until the condition holds; false when it never does.
#[must_use]
pub fn holds_eventually(mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if begun.elapsed() > BOUND {
            return false;
        }
        std::thread::sleep(STEP);
    }
}
