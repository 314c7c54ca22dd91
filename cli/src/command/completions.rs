// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall completions SHELL`

use clap::CommandFactory;
use clap_complete::{
    generate,
    Shell, //
};

use crate::exit::{
    Failure,
    Status, //
};
use crate::options::{
    CompletionsOptions,
    Options, //
};
use crate::table::print;

/// Prints the script that completes the command's words.
pub fn run(options: &CompletionsOptions) -> Result<Status, Failure> {
    print(&script(options.shell))?;
    Ok(Status::Success)
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut Options::command(), "nlcall", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_shell_completes_every_subcommand() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for subcommand in Options::command().get_subcommands() {
                let name = subcommand.get_name();
                assert!(script.contains(name), "{shell}: {name}");
            }
        }
    }
}
