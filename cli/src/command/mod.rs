// SPDX-License-Identifier: MIT OR Apache-2.0

//! The subcommands.

use nlcall::raw::Session;

use crate::exit::{
    Failure,
    Status, //
};
use crate::options::{
    Command,
    Options, //
};

pub mod batch;
pub mod bench;
pub mod call;
pub mod cat;
pub mod completions;
pub mod config;
pub mod describe;
pub mod doctor;
pub mod fds;
pub mod kill;
pub mod limits;
pub mod list;
pub mod man;
pub mod monitor;
pub mod ps;
pub mod redirect;
pub mod run;
pub mod stat;
pub mod top;

/// Does what the command line says.
pub fn run(options: &Options) -> Result<Status, Failure> {
    match &options.command {
        Command::Call(call) => call::run(call, options.json),
        Command::Batch(batch) => batch::run(batch),
        Command::Cat(cat) => cat::run(cat),
        Command::Kill(kill) => kill::run(kill, &mut Session::open()?),
        Command::List(list) => list::run(list, &Session::open()?, options.json),
        Command::Describe(call) => describe::run(call, options.json),
        Command::Ps(ps) => ps::run(ps, &Session::open()?, options.json),
        Command::Top(top) => top::run(top, options.json),
        Command::Stat(stat) => stat::run(stat, &Session::open()?, options.json),
        Command::Redirect(redirect) => redirect::run(redirect, options.json),
        Command::Fds(fds) => fds::run(fds, options.json),
        Command::Limits(limits) => limits::run(limits, options.json),
        Command::Monitor(monitor) => monitor::run(monitor, options.json),
        Command::Config(config) => config::run(config, options.json),
        Command::Bench(bench) => bench::run(bench, options.json),
        Command::Run(program) => run::run(program, options.json),
        Command::Doctor => doctor::run(options.json),
        Command::Completions(shell) => completions::run(shell),
        Command::Man(man) => man::run(man),
    }
}
