// SPDX-License-Identifier: MIT OR Apache-2.0

//! Waiting for something that happens by itself.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

/// How often longer than in a stock kernel everything may take: a kernel that checks itself is
/// slow. The guest's first process sets it.
const FACTOR: &str = "NLCALL_PATIENCE";

/// When to take it that it will never happen, in a stock kernel. No promise is about time: this only
/// turns a hang into a message, and is long enough for a busy machine that is emulated in software.
const BOUND: Duration = Duration::from_secs(60);

const STEP: Duration = Duration::from_millis(1);

/// 1 in a stock kernel.
fn factor() -> u32 {
    static BY: LazyLock<u32> = LazyLock::new(|| match std::env::var(FACTOR) {
        Ok(factor) => factor.parse().expect("a factor"),
        Err(_) => 1,
    });
    *BY
}

/// Whether the kernel checks its memory. Then each piece takes more of it, and is kept for a while
/// when it is given back, so that nothing can be said about how much something takes.
#[must_use]
pub fn kernel_checks() -> bool {
    factor() > 1
}

/// A time that is long enough in a stock kernel, for the kernel that runs.
#[must_use]
pub fn scaled(duration: Duration) -> Duration {
    duration.saturating_mul(factor())
}

/// How many random attempts, of so many in a stock kernel, take as long in the kernel that runs.
#[must_use]
pub fn affordable(attempts: u64) -> u64 {
    attempts.div_ceil(factor().into())
}

/// Waits until the condition holds; `what` completes the sentence "waited in vain until".
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let holds = holds_eventually(&mut condition);
    assert!(holds, "waited in vain until {what}");
}

/// Waits until the condition holds; false when it never does.
#[must_use]
pub fn holds_eventually(mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    let bound = scaled(BOUND);
    loop {
        if condition() {
            return true;
        }
        if begun.elapsed() > bound {
            return false;
        }
        std::thread::sleep(STEP);
    }
}
