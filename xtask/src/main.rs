// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask`: the project's own commands.

mod apt;
mod bench;
mod cache;
mod chamber;
mod checkout;
mod conditions;
mod contract;
mod demo;
mod dist;
mod exit;
mod header;
mod host;
mod kernel;
mod licences;
mod module;
mod oracle;
mod programs;
mod sandbox;
mod say;
mod soak;
mod stage;
mod syscalls;
mod tally;
mod test;
mod vm;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{
    CommandFactory,
    Parser,
    Subcommand, //
};

use crate::sandbox::{
    Choice,
    Sandbox, //
};
use crate::say::say;

/// The project's own commands: the sandbox, the module, the guest, the tests.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = exit::HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Shows system calls made as netlink messages, and checks each answer
    ///
    /// Boots the stock kernel with the module in a guest and runs the tour there. Fails at a wrong
    /// answer.
    Demo {
        #[command(flatten)]
        kernel: KernelArguments,
    },
    /// Runs all tests, on this machine and in the guest; the last line is the sum
    ///
    /// Besides the tests of every package: the promises of `vm`, the guest's kernel log, unloading
    /// the module, the table of system calls and the licence lines. With `--kernel debug`
    /// or `kcsan`, only those in which the kernel has a part: not the packages' own, nor the licence
    /// lines.
    Test {
        /// Run the long form and write its result into docs/results
        #[arg(long)]
        full: bool,
        /// Only make every system call plainly and over netlink, compare what that left behind, and
        /// write the result into docs/results
        #[arg(long, conflicts_with = "full")]
        oracle: bool,
        #[command(flatten)]
        kernel: KernelArguments,
    },
    /// Measures what system calls cost, made in every way that Linux has
    ///
    /// Runs `nlcall-bench` in guests: one that counts instructions, and ones with two processors and
    /// one that measure time. Prints tables, and holds the instructions against the targets. A whole
    /// run is written into docs/results: as a report, as JSON and as a chart.
    Bench {
        #[command(flatten)]
        arguments: bench::Arguments,
        #[command(flatten)]
        kernel: KernelArguments,
    },
    /// Puts mixed load on the module for a long time, and holds the kernel's memory against what it was
    ///
    /// The random tests, which account for every call, and services that time theirs, all at once.
    /// Prints what was done, latencies and memory; fails where memory grew. A run of 30 minutes or
    /// more is written into docs/results.
    Soak {
        /// How long, besides a minute to warm up
        #[arg(long, value_name = "N", default_value_t = 30)]
        #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000))]
        minutes: u64,
        #[command(flatten)]
        kernel: KernelArguments,
    },
    /// Boots the guest with the module loaded and runs a command in it as root
    ///
    /// The command finds this project's programs on its PATH, and the module's file in
    /// $NLCALL_MODULE. Its standard input, output and error are passed on as they are, and so
    /// is its exit status. What it leaves running is killed when it ends; then the module must
    /// unload. A warning, an oops or a hang of the guest's kernel makes this fail and shows
    /// the kernel's log.
    Vm(VmArguments),
    /// Builds the kernel module and prints where it is
    Module {
        #[command(flatten)]
        kernel: KernelArguments,
    },
    /// Writes the newest kernel's table of system calls into the wire format's crate
    Syscalls {
        /// Change nothing; fail where the table is another than the kernel's, or does not begin
        /// with that of an older one
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        kernel: KernelArguments,
    },
    /// Builds Debian packages into target/dist and prints where they are
    ///
    /// `nlcall` holds the command, its completions and manual pages, the YNL specification and the C
    /// header; `nlcall-dkms` holds the module's source, which DKMS builds on the machine.
    Dist {
        /// Then install, use, upgrade, remove and purge them, in the sandbox and in a guest, and
        /// try what is said about what is missing; prints each step, and the sum last. The first
        /// time, this makes the kernel's Rust artifacts as it does on any machine
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        kernel: KernelArguments,
    },
    /// Writes the C header of the wire format, abi/include/nlcall.h, from its specification
    Header {
        /// Change nothing; fail where the header is another, or does not compile as C and as C++
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        kernel: KernelArguments,
    },
    /// Prepares the sandbox and prints where it is
    ///
    /// Every command that needs the sandbox does this by itself. It lives in $NLCALL_CACHE,
    /// $XDG_CACHE_HOME/nlcall or ~/.cache/nlcall, and is made once; an interrupted attempt is
    /// taken up where it stopped.
    Sandbox {
        #[command(flatten)]
        kernel: KernelArguments,
    },
    /// Runs a command inside namespaces that are already made; started by this program itself
    #[command(hide = true)]
    Enter {
        /// What to do
        plan: String,
    },
}

#[derive(clap::Args)]
struct KernelArguments {
    /// A kernel by its series (7.3), version (7.3.4) or release; or one that checks itself, which is
    /// built once: `debug`, or `kcsan` for data races; if not given, the newest supported one
    #[arg(long = "kernel", value_name = "V")]
    choice: Option<Choice>,
}

impl KernelArguments {
    fn sandbox(&self) -> Result<Sandbox> {
        Sandbox::prepare(self.choice.as_ref())
    }
}

#[derive(clap::Args)]
struct VmArguments {
    #[command(flatten)]
    kernel: KernelArguments,
    /// Processors of the guest
    #[arg(long, value_name = "N", default_value_t = vm::DEFAULT_CPUS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: u32,
    /// Emulate one processor that takes one nanosecond for each instruction: times become counts
    #[arg(long, conflicts_with = "cpus")]
    icount: bool,
    /// Show a folder of this machine in the guest; may be given several times
    #[arg(long = "share", value_name = "HOSTDIR:GUESTDIR")]
    shares: Vec<vm::ShareArgument>,
    /// Parameters to load the module with, besides access=everyone
    #[arg(
        long,
        value_name = "NAME=VALUE ...",
        default_value = "",
        hide_default_value = true
    )]
    params: String,
    /// Seconds that the command may take [default: 600, with a debug kernel eight times that]
    #[arg(long, value_name = "S")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    /// Do not load the module
    #[arg(long, conflicts_with = "params")]
    plain: bool,
    /// Look for memory that the kernel lost, after the command and the module's unloading; needs
    /// --kernel debug, and two minutes or more
    #[arg(long)]
    leaks: bool,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            say!("{error:#}");
            ExitCode::from(exit::status_of(&error))
        }
    }
}

/// Whether the kernel that was asked for keeps account of its memory.
fn finds_leaks(choice: Option<&Choice>) -> bool {
    matches!(choice, Some(Choice::Debug(checks)) if checks.finds_leaks())
}

fn run(task: Task) -> Result<u8> {
    match task {
        Task::Demo { kernel } => demo::run(kernel.choice.as_ref()),
        Task::Test {
            oracle: true,
            kernel,
            ..
        } => oracle::run(&kernel.sandbox()?),
        Task::Test { full, kernel, .. } => test::run(kernel.choice.as_ref(), full),
        Task::Bench { arguments, kernel } => bench::run(&kernel.sandbox()?, &arguments),
        Task::Soak { minutes, kernel } => soak::run(&kernel.sandbox()?, minutes),
        Task::Vm(arguments) => {
            if arguments.leaks && !finds_leaks(arguments.kernel.choice.as_ref()) {
                Arguments::command()
                    .error(
                        ErrorKind::ArgumentConflict,
                        "--leaks needs --kernel debug: no other kernel keeps account of its memory",
                    )
                    .exit();
            }
            let sandbox = arguments.kernel.sandbox()?;
            let timeout = match arguments.timeout {
                Some(seconds) => Duration::from_secs(seconds),
                None => Duration::from_secs(vm::DEFAULT_TIMEOUT_SECONDS) * sandbox.patience(),
            };
            let options = vm::Options {
                cpus: arguments.cpus,
                icount: arguments.icount,
                shares: arguments.shares,
                parameters: arguments.params,
                timeout,
                plain: arguments.plain,
                leaks: arguments.leaks,
                command: arguments.command,
            };
            vm::run(&sandbox, &options, vm::Streams::own()?)
        }
        Task::Module { kernel } => {
            println!("{}", module::build(&kernel.sandbox()?)?.display());
            Ok(0)
        }
        Task::Syscalls {
            check: true,
            kernel,
        } => {
            syscalls::check(&kernel.sandbox()?)?;
            Ok(0)
        }
        Task::Syscalls {
            check: false,
            kernel,
        } => {
            println!("{}", syscalls::write(&kernel.sandbox()?)?.display());
            Ok(0)
        }
        Task::Dist { check, kernel } => {
            let sandbox = kernel.sandbox()?;
            for package in dist::build(&sandbox)? {
                println!("{}", package.display());
            }
            if !check {
                return Ok(0);
            }
            let tally = dist::check(&sandbox)?;
            println!("{tally}");
            Ok(tally.status())
        }
        Task::Header {
            check: true,
            kernel,
        } => {
            header::check(&kernel.sandbox()?)?;
            Ok(0)
        }
        Task::Header { check: false, .. } => {
            println!("{}", header::write()?.display());
            Ok(0)
        }
        Task::Sandbox { kernel } => {
            println!("{}", kernel.sandbox()?.tree().display());
            Ok(0)
        }
        Task::Enter { plan } => chamber::enter(&plan),
    }
}
