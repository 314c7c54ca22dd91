// SPDX-License-Identifier: MIT OR Apache-2.0

//! Loads and unloads the module.

use std::ffi::CString;
use std::fs::File;
use std::path::Path;
use std::time::{
    Duration,
    Instant, //
};

use anyhow::{
    bail,
    Context,
    Result, //
};
use guest_init::{
    MODULE_FILE,
    MODULE_NAME,
    RUN_DIR, //
};
use rustix::io::Errno;

/// How long sessions that end by themselves may keep the module, in a stock kernel.
const PATIENCE: Duration = Duration::from_secs(30);

/// Loads the module with these parameters.
pub fn load(parameters: &str) -> Result<()> {
    let path = Path::new(RUN_DIR).join(MODULE_FILE);
    let file = File::open(&path).with_context(|| format!("opening {path:?}"))?;
    let parameters_c = CString::new(parameters).context("the module's parameters")?;
    rustix::system::finit_module(&file, &parameters_c, 0).with_context(|| {
        format!("loading the module with the parameters {parameters:?} (the kernel's log says why)")
    })
}

/// Unloads the module. It must go: no process is left that could use it. A command may have
/// unloaded it.
pub fn unload(patience: u32) -> Result<()> {
    let name = CString::new(MODULE_NAME)?;
    let begun = Instant::now();
    loop {
        // O_NONBLOCK: a module in use is an answer, not something to wait for in the kernel.
        match rustix::system::delete_module(&name, libc::O_NONBLOCK) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::WOULDBLOCK | Errno::BUSY) if begun.elapsed() < PATIENCE * patience => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => {
                let users = std::fs::read_to_string(format!("/sys/module/{MODULE_NAME}/refcnt"));
                let users = users.as_deref().map_or("unknown", str::trim);
                bail!("after all processes had ended the module could not be unloaded: {error} (references: {users})");
            }
        }
    }
}
