// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module with other parameters than it was loaded with.

use nlcall_tests::{module, patience};
use rustix::io::Errno;

use crate::harness::skip;

/// Puts the old parameters back when it is dropped.
pub struct Reloaded {
    before: String,
}

impl Reloaded {
    /// Loads the module anew with these parameters.
    pub fn with(parameters: &str) -> Self {
        let (reloaded, ()) = Self::by(|_| load(parameters));
        reloaded
    }

    /// Unloads the module and has it loaded by this, which is told the old parameters.
    pub fn by<R>(load: impl FnOnce(&str) -> R) -> (Self, R) {
        if module::file().is_none() {
            skip("NLCALL_MODULE does not name the module's file: it cannot be loaded anew");
        }
        let reloaded = Self {
            before: module::parameters(),
        };
        unload();
        let result = load(&reloaded.before);
        (reloaded, result)
    }

    /// Loads the module so that it serves the classic protocol, where it does not.
    pub fn with_classic() -> Option<Self> {
        let parameters = module::parameters().replace("classic=0", "classic=1");
        (!module::is_classic()).then(|| Self::with(&parameters))
    }
}

impl Drop for Reloaded {
    fn drop(&mut self) {
        unload();
        load(&self.before);
    }
}

fn unload() {
    // Where loading failed there is none.
    patience::until("the module goes", || {
        matches!(module::unload(), Ok(()) | Err(Errno::NOENT))
    });
}

fn load(parameters: &str) {
    module::load(parameters).expect("the module can be loaded again");
}
