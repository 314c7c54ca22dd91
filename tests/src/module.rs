// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module as the kernel shows it.

use std::{env, ffi::CString, fs, path::PathBuf};

use netlink_sys::Socket;
use nlcall::raw::Session;
use nlcall_abi::CLASSIC_PROTOCOL;
use rustix::io::Errno;

const NAME: &str = "nlcall";

/// How many references keep the module from being unloaded.
pub fn references() -> u64 {
    let text = fs::read_to_string(format!("/sys/module/{NAME}/refcnt"));
    let text = text.expect("the module is loaded, and can be unloaded");
    text.trim().parse().expect("refcnt is a number")
}

/// Who may submit: the parameter `access`.
pub fn access() -> String {
    let path = format!("/sys/module/{NAME}/parameters/access");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.trim().to_owned()
}

/// Whether raw netlink protocol 28 is served: the parameter `classic`.
pub fn is_classic() -> bool {
    Socket::new(CLASSIC_PROTOCOL as isize).is_ok()
}

/// The parameters that this module could be loaded with, for loading it again.
pub fn parameters() -> String {
    let session = Session::open().expect("a socket");
    let features = session.features();
    format!(
        "access={} max_in_flight={} max_workers={} classic={}",
        access(),
        features.max_in_flight,
        features.max_workers,
        u8::from(is_classic())
    )
}

/// The file that the module was loaded from, where the guest says it.
pub fn file() -> Option<PathBuf> {
    env::var_os("NLCALL_MODULE").map(PathBuf::from)
}

/// Asks for the module to go; does not wait where it is in use.
pub fn unload() -> Result<(), Errno> {
    let name = CString::new(NAME).expect("the name has no NUL");
    rustix::system::delete_module(&name, libc::O_NONBLOCK)
}

/// Loads the module from its file.
pub fn load(parameters: &str) -> Result<(), Errno> {
    let path = file().expect("NLCALL_MODULE names the module's file");
    let file = fs::File::open(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let parameters = CString::new(parameters).expect("parameters have no NUL");
    rustix::system::finit_module(&file, &parameters, 0)
}
