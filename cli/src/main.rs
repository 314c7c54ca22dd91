// SPDX-License-Identifier: MIT OR Apache-2.0

//! Make Linux system calls through netlink: `nlcall --help`.

use std::process::ExitCode;

use clap::Parser;
use nlcall_cli::command;
use nlcall_cli::options::{
    spell_out_signal,
    Options, //
};

fn main() -> ExitCode {
    end_quietly_on_broken_pipes();
    let options = Options::parse_from(spell_out_signal(std::env::args_os()));
    match command::run(&options) {
        Ok(status) => status.into(),
        Err(failure) => {
            eprintln!("nlcall: {}", failure.message());
            failure.status().into()
        }
    }
}

/// Rust's runtime ignores SIGPIPE, which makes `nlcall list | head` complain. A command ends.
fn end_quietly_on_broken_pipes() {
    // SAFETY: The default action is no handler, so there is none that could break anything, and
    // no other thread exists yet.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
