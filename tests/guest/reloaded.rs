// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module with other parameters than it was loaded with.

use nlcall_tests::{module, patience};

use crate::harness::skip;

/// Puts the old parameters back when it is dropped.
pub struct Reloaded {
    before: String,
}

impl Reloaded {
    /// Loads the module anew with these parameters.
    pub fn with(parameters: &str) -> Self {
        if module::file().is_none() {
            skip("NLCALL_MODULE does not name the module's file: it cannot be loaded anew");
        }
        let before = module::parameters();
        reload(parameters);
        Self { before }
    }

    /// Loads the module so that it serves the classic protocol, where it does not.
    pub fn with_classic() -> Option<Self> {
        let parameters = module::parameters().replace("classic=0", "classic=1");
        (!module::is_classic()).then(|| Self::with(&parameters))
    }
}

impl Drop for Reloaded {
    fn drop(&mut self) {
        reload(&self.before);
    }
}

fn reload(parameters: &str) {
    patience::until("the module goes", || module::unload().is_ok());
    module::load(parameters).expect("the module can be loaded again");
}
