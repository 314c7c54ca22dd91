// SPDX-License-Identifier: MIT OR Apache-2.0

//! Foreign code that panics: wakers, and what belongs to operations.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    task::Waker,
    thread,
};

/// The first panic of several steps, each of which is made whatever those before it did: they concern
/// different tasks. It goes on when all are made.
#[derive(Default)]
#[must_use = "the panic is to go on"]
pub(crate) struct Panics(Option<Box<dyn Any + Send>>);

impl Panics {
    /// Makes a step.
    pub(crate) fn catch(&mut self, step: impl FnOnce()) {
        // What a step leaves behind is looked at by nobody, or is as after a panic anywhere else.
        if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(step)) {
            self.0.get_or_insert(panic);
        }
    }

    /// Wakes all of these.
    pub(crate) fn wake(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        for waker in wakers {
            self.catch(|| waker.wake());
        }
    }

    /// Lets the panic go on, if there was one, and none goes on already: two would end the process.
    pub(crate) fn resume(self) {
        if let Some(panic) = self.0.filter(|_| !thread::panicking()) {
            panic::resume_unwind(panic);
        }
    }
}

/// Wakes all of these; a panic goes on after the last.
pub(crate) fn wake(wakers: impl IntoIterator<Item = Waker>) {
    let mut panics = Panics::default();
    panics.wake(wakers);
    panics.resume();
}
