// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signals that ask a command to end, which it does when it is in order.

use std::sync::atomic::{
    AtomicBool,
    Ordering, //
};
use std::time::Duration;

/// How long a command sleeps at most before it looks whether it is to end.
pub const STEP: Duration = Duration::from_millis(200);

static CAME: AtomicBool = AtomicBool::new(false);

/// From now on SIGHUP, SIGINT and SIGTERM are only noted.
pub fn note() {
    extern "C" fn note(_: libc::c_int) {
        CAME.store(true, Ordering::Relaxed);
    }
    let handler: extern "C" fn(libc::c_int) = note;
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
        // SAFETY: The handler stores to an atomic, which a signal handler may do.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

/// Whether one came.
pub fn came() -> bool {
    CAME.load(Ordering::Relaxed)
}
