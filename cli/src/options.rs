// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line.

use std::ffi::{
    OsStr,
    OsString, //
};
use std::os::unix::ffi::{
    OsStrExt,
    OsStringExt, //
};
use std::path::PathBuf;
use std::time::Duration;

use clap::{
    Args,
    Parser,
    Subcommand, //
};

use crate::command::monitor::filter::Expression;
use crate::command::top::columns;
use crate::names::signal;

/// Make Linux system calls through netlink.
///
/// Every call is sent to the kernel module `nlcall` as a netlink message, executed there as if this
/// process had made it, and comes back as a completion.
#[derive(Debug, Parser)]
#[command(
    name = "nlcall",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
#[command(after_help = EXIT_STATUS)]
pub struct Options {
    /// Print tables and results as JSON
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_STATUS: &str = "\
Exit status: 0 success; 1 a call failed or was refused; 2 wrong usage; 69 no module is loaded.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make one system call and print it as strace does
    Call(CallOptions),
    /// Make the system calls of a file, a line of JSON each
    Batch(BatchOptions),
    /// Print files; everything is read through netlink
    Cat(CatOptions),
    /// Send a signal to processes
    Kill(KillOptions),
    /// Show the system calls and what may be done with each
    List(ListOptions),
    /// Say what a system call takes, who executes it, and how it is made
    Describe(DescribeOptions),
    /// Show the sessions that are open
    Ps(PsOptions),
    /// Watch the sessions, and how long their calls take
    Top(TopOptions),
    /// Print a line about all sessions for each interval
    Stat(StatOptions),
    /// Give a running program other standard files, without stopping it
    Redirect(RedirectOptions),
    /// Show the descriptors of a running program, or close some of them
    Fds(FdsOptions),
    /// Show or change the resource limits of a running program
    Limits(LimitsOptions),
    /// Print the calls that processes make through the module, as strace does
    Monitor(MonitorOptions),
    /// Show or change the module's limits, and who may use it
    Config(ConfigOptions),
    /// Measure what system calls cost here, made in every way that Linux has
    Bench(BenchOptions),
    /// Run a program whose system calls travel over netlink
    Run(RunOptions),
    /// Look for what keeps calls from working, and say what to do
    #[command(after_help = EXIT_STATUS)]
    Doctor,
    /// Print a script with which a shell completes this command's words
    Completions(CompletionsOptions),
    /// Write the manual pages of this command
    Man(ManOptions),
}

/// Make one system call and print it as strace does.
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS, after_long_help = CALL_HELP.trim_start())]
pub struct CallOptions {
    /// Show at most this many bytes of a string
    #[arg(short, long, value_name = "BYTES", default_value_t = 32)]
    pub string_limit: usize,

    /// Show all fields of structures
    #[arg(short, long)]
    pub verbose: bool,

    /// Make the call in the calling thread itself, not on a worker
    #[arg(short, long)]
    pub inline: bool,

    /// Interrupt the call when it takes longer than this, such as 500ms or 2s
    #[arg(short, long, value_name = "DURATION", value_parser = parse_timeout)]
    pub timeout: Option<Duration>,

    /// Make the call in this process, without stopping it, instead of the own one
    #[arg(short, long, value_name = "PID", value_parser = parse_pid(), conflicts_with = "inline")]
    pub pid: Option<u32>,

    /// The system call's name, as `nlcall list` shows it, or its number
    pub name: String,

    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<OsString>,
}

const CALL_HELP: &str = r#"
Arguments are written as strace prints them, each as one word of the shell:
  3  -1  0x10  0644      a number: decimal, hexadecimal, octal
  /etc/hostname          a string, where the parameter takes one
  '"a b\n"'              a quoted string with C's escapes; also for bytes and structures
  O_RDWR|O_CREAT         names, joined with `|` (quote the bar for the shell)
  AT_FDCWD  NULL  SIGTERM
  @100                   a buffer of 100 zero bytes, shown after the call
  @                      a buffer of the size that the parameter or the call's length asks for
  '{tv_sec=1, tv_nsec=0}' or '{1, 0}'   a structure
  '[{fd=0, events=POLLIN}]'             an array
  '["ls", "-l"]'  '[@10, "abc"]'        strings of execve; buffers and strings of readv, writev
A string that looks like a number must be quoted: '"7"'. `nlcall call NAME` with a wrong number of
arguments shows what the call takes.

Calls that act on their thread (`nlcall list` calls them `inline only`) need --inline. What they
change ends with the command, unless they replace it, as execve does; a child that fork makes ends
at once.

--pid makes the call in another process, with its memory, files, working directory and rights, on
a thread of its own; nothing of it is stopped. Strings, structures and buffers are placed in its
memory for the time of the call; numbers are descriptors and addresses of that process. It takes the
right to ptrace it.

Examples:
  nlcall call getpid
  nlcall call openat AT_FDCWD /etc/hostname O_RDONLY
  nlcall call read 0 @100 100 < /etc/hostname
  nlcall call newfstatat AT_FDCWD /etc/passwd @ 0
  nlcall call mkdir /tmp/new 0755
  nlcall call pipe2 @ 'O_CLOEXEC|O_NONBLOCK'
  nlcall call nanosleep '{tv_sec=1, tv_nsec=0}' NULL
  nlcall call write 1 '"hello\n"' 6
  nlcall call --inline execve /bin/true '["true"]' NULL
  nlcall call --timeout 500ms read 0 @100 100
  nlcall call writev 1 '["hello, ", "world\n"]' 2
  nlcall call --pid 1234 getcwd @4096 4096
  nlcall call --pid 1234 lseek 3 0 SEEK_CUR
  nlcall --json call uname @

Exit status: 0 the call succeeded; 1 it failed, was refused or did not run; 2 wrong usage;
69 no module is loaded."#;

/// Make the system calls of a file, a line of JSON each.
#[derive(Debug, Args)]
#[command(after_long_help = BATCH_HELP.trim_start(), after_help = EXIT_STATUS)]
pub struct BatchOptions {
    /// Show at most this many bytes of a string
    #[arg(short, long, value_name = "BYTES", default_value_t = 32)]
    pub string_limit: usize,

    /// Show all fields of structures
    #[arg(short, long)]
    pub verbose: bool,

    /// Make the calls in this process, without stopping it, instead of the own one
    #[arg(short, long, value_name = "PID", value_parser = parse_pid())]
    pub pid: Option<u32>,

    /// Only look whether the lines are right
    #[arg(short, long)]
    pub check: bool,

    /// The file; `-` is the standard input
    #[arg(default_value = "-")]
    pub file: PathBuf,
}

const BATCH_HELP: &str = r#"
All calls are submitted together, and each that has ended is printed as a line of JSON: what `nlcall
--json call` prints, with its `id`. Where a line is wrong, nothing is submitted. A line has

  call     the name or number of a system call
  args     its arguments: numbers, texts that are written as for `nlcall call`, objects and arrays for
           structures and arrays, null for NULL; {"text": "7"} is a text that is not looked into
  id       a text or number of your own; otherwise the number of the line
  flags    link: the next call starts when this one succeeded, otherwise it and those that are linked
           to it are cancelled; hardlink: the next starts however this one ended; drain: this one
           waits for all before it, and those behind it wait; inline: made in the calling thread;
           skip_success: printed only where it fails
  timeout  a time limit: seconds, or a text such as "500ms"

An argument that is {"result_of": ID} is what an earlier call of the same chain returned;
{"load_from": ID, "offset": N, "width": N} is a field of so many bytes of what it has written to its
buffer.

Examples:
  nlcall batch calls.json
  echo '{"call": "getpid"}' | nlcall batch
  nlcall batch --check calls.json
  nlcall batch --pid 1234 calls.json | jq -r .line

  {"id": "open", "call": "openat", "args": ["AT_FDCWD", "/etc/hostname", "O_RDONLY"], "flags": ["link"]}
  {"call": "read", "args": [{"result_of": "open"}, "@100", 100], "flags": ["hardlink"]}
  {"call": "close", "args": [{"result_of": "open"}], "flags": ["skip_success"]}

Exit status: 0 all calls succeeded; 1 one failed, was refused or did not run; 2 a line is wrong;
69 no module is loaded."#;

/// Print files; where no module is loaded, threads read them.
#[derive(Debug, Args)]
#[command(after_long_help = CAT_HELP.trim_start(), after_help = EXIT_STATUS)]
pub struct CatOptions {
    /// Files to print; `-` is the standard input, also when there are none
    pub files: Vec<OsString>,

    /// Say on the standard error who reads the files
    #[arg(short, long)]
    pub verbose: bool,
}

const CAT_HELP: &str = r"
Opening, looking at, reading and closing the files goes through netlink, with up to eight reads
of 256 KiB in flight; the standard output is written as usual. Where no module is loaded, or does
not let this user use it, threads of the command do the same, and a line on the standard error
says so.

Examples:
  nlcall cat /etc/os-release
  nlcall cat /proc/self/status
  nlcall cat header - trailer < body > all
  nlcall cat big.iso | sha256sum

Exit status: 0 all files were printed; 1 one could not be; 2 wrong usage.";

/// Send a signal to processes.
#[derive(Debug, Args)]
#[command(after_long_help = KILL_HELP.trim_start(), after_help = EXIT_STATUS)]
#[command(override_usage = "nlcall kill [-SIGNAL | -s SIGNAL] PID...")]
pub struct KillOptions {
    /// The signal, by number or name; 0 only asks whether the process exists
    #[arg(short, long, value_name = "SIGNAL", default_value = "TERM", value_parser = parse_signal)]
    pub signal: u32,

    /// Process ids; a negative one is a process group, 0 the own one, -1 every process
    #[arg(required = true, allow_negative_numbers = true, value_name = "PID")]
    pub pids: Vec<i32>,
}

const KILL_HELP: &str = r"
The signal is a number or a name, with or without SIG: -9, -KILL, -SIGKILL, -s KILL, -s RTMIN+1.

Examples:
  nlcall kill 1234
  nlcall kill -9 1234 1235
  nlcall kill -HUP -- -1234     the process group 1234
  nlcall kill -0 1234           only asks whether the process exists

Exit status: 0 all signals were sent; 1 one could not be; 2 wrong usage; 69 no module is loaded.";

/// Show the system calls and what may be done with each.
#[derive(Debug, Args)]
#[command(after_long_help = LIST_HELP.trim_start(), after_help = EXIT_STATUS)]
pub struct ListOptions {
    /// Only the calls whose name matches
    #[arg(value_name = "GLOB", value_parser = parse_glob)]
    pub pattern: Option<glob::Pattern>,
}

const LIST_HELP: &str = r#"
Verdicts: `both`, executed on a worker thread and INLINE; `differs`, the same with the difference
that the reason states; `inline only`, only in the calling thread itself; `refused`.

Examples:
  nlcall list
  nlcall list '*at'
  nlcall list 'set*'
  nlcall --json list | jq -r '.calls[] | select(.verdict == "refused") | .name'

Exit status: 0 something was shown; 1 no call matches; 2 wrong usage; 69 no module is loaded."#;

/// Say what a system call takes, who executes it, and how it is made.
#[derive(Debug, Args)]
#[command(after_long_help = DESCRIBE_HELP.trim_start(), after_help = EXIT_STATUS)]
pub struct DescribeOptions {
    /// The system call's name, as `nlcall list` shows it, or its number
    pub name: String,
}

const DESCRIBE_HELP: &str = r"
Who executes the call is what the loaded module says; where none is loaded, the table of this release
does. A worker executes it while the caller goes on; INLINE, the caller does so itself. The example can
be made as it stands, and refers to nothing that is there.

Examples:
  nlcall describe openat
  nlcall describe 257
  nlcall --json describe openat | jq -r .example

Exit status: 0 success; 1 the module did not answer; 2 there is no such call.";

/// Show the sessions that are open.
#[derive(Debug, Args)]
#[command(after_long_help = PS_HELP.trim_start(), after_help = EXIT_STATUS)]
pub struct PsOptions {
    /// Show also how calls ended that no completion told of in full
    #[arg(short, long)]
    pub long: bool,

    /// Show how long calls took on workers, by system call
    #[arg(short = 't', long, conflicts_with = "long")]
    pub latency: bool,
}

const PS_HELP: &str = r"
The host's root sees all sessions; others see only that of the command itself, which has none.

IN FLIGHT  calls accepted whose completion was not delivered: QUEUED, RUNNING (BLOCKED of these)
           and UNDELIVERED, which wait for room in the receive buffer
WORKERS    threads that execute calls, IDLE of them without one
saturated  every worker up to the limit is blocked, and calls wait
--long     INLINE: executed by their submitters; SKIPPED: succeeded without a completion, as asked;
           CANCELED; TIMED OUT; REJECTED: named by messages that were rejected; FOR: the process
           that the calls come from, where PID executes them on behalf of another one
--latency  from acceptance to the delivery of the completion; half of the calls took no longer than
           P50, 99 of 100 no longer than P99, as powers of two

Examples:
  nlcall ps
  nlcall ps --latency
  nlcall --json ps | jq '.sessions[] | select(.saturated)'

Exit status: 0 success; 1 the module did not answer; 2 wrong usage; 69 no module is loaded.";

/// Watch the sessions, and how long their calls take.
#[derive(Debug, Args)]
#[command(after_long_help = TOP_HELP.trim_start(), after_help = EXIT_STATUS)]
pub struct TopOptions {
    /// Time between two looks: seconds, or a number with a unit such as 500ms
    #[arg(short, long, visible_short_alias = 'd', value_name = "SECONDS")]
    #[arg(default_value = "1", value_parser = parse_interval)]
    pub interval: Duration,

    /// Print each look as text instead of drawing it; --json does so as well
    #[arg(short, long)]
    pub batch: bool,

    /// End after so many looks
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Order the sessions by this column, the largest first
    #[arg(short, long, value_name = "COLUMN", default_value = "CALLS/S")]
    #[arg(value_parser = parse_column)]
    pub sort: usize,

    /// Show only sessions whose number, process or name has this in it
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    pub filter: String,

    /// Columns of each look that is printed; otherwise those of the terminal, or 200
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(20..=1000))]
    pub width: Option<u16>,
}

const TOP_HELP: &str = r"
The upper part has the sessions, of which the host's root sees all, and others only those of the command
itself; the lower part has how long calls took on workers, by system call: of all sessions or of one, in
the last interval or since the sessions began. P50 and P99 are powers of two; the last column has how
many calls took how long, from less than a microsecond to seconds.

S           s: every worker up to the limit is blocked, and calls wait; e: the process has ended;
            c: the socket is closed
arrows      choose a session
< >         order by another column; r the other way round
/           show only sessions whose number, process or name has this in it; ESC shows all again
k, c        end or signal the process whose calls they are: no other process may cancel them
l           latency in the last interval, or since the sessions began
a           latency of all sessions, or of the chosen one
+ -         look less or more often; SPACE looks at once; p stands still
h, ?        this; q ends it

Examples:
  nlcall top
  nlcall top -i 5 --sort BLOCKED --filter nginx
  nlcall top -b -n 1
  nlcall --json top -n 1 | jq '.sessions[] | {pid, comm, per_second}'

Exit status: 0 success; 1 the module did not answer, or the terminal; 2 wrong usage; 69 no module is
loaded.";

/// Print a line about all sessions for each interval.
#[derive(Debug, Args)]
#[command(after_long_help = STAT_HELP.trim_start(), after_help = EXIT_STATUS)]
pub struct StatOptions {
    /// Length of an interval: seconds, or a number with a unit such as 500ms
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = parse_interval)]
    pub interval: Duration,

    /// Show when each interval ended
    #[arg(short, long)]
    pub time: bool,

    /// Show all that is known of an interval
    #[arg(short, long)]
    pub wide: bool,

    /// End after so many lines
    #[arg(value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

const STAT_HELP: &str = r"
Each line is printed at the end of its interval; the first comes after one. What a session did between
the last look at it and its end is not counted.

sess, sat      sessions, and those whose workers are all blocked while calls wait
flight         calls in flight: queued, run (block of these) and, with --wide, undel, whose completions
               wait for room
work, idle     workers, and those without a call
call/s         calls that were accepted in a second; done/s completions that were delivered; inl/s calls
               that their submitters executed; skip/s that needed no completion; rej/s rejected;
               canc/s cancelled; tout/s whose time limit passed
mean, p50, p99 how long calls took on workers that were delivered in the interval, in powers of two

Examples:
  nlcall stat -i 1
  nlcall stat -i 60 --time --wide >> /var/log/nlcall.log
  nlcall stat 1
  nlcall --json stat -i 10 | jq -c '{time_ns, in_flight, rate: .per_second.accepted}'

Exit status: 0 success; 1 the module did not answer; 2 wrong usage; 69 no module is loaded.";

/// Give a running program other standard files, without stopping it.
#[derive(Debug, Args)]
#[command(after_long_help = REDIRECT_HELP.trim_start(), after_help = EXIT_STATUS)]
#[command(group = clap::ArgGroup::new("files").required(true).multiple(true))]
pub struct RedirectOptions {
    /// The program's process id
    #[arg(short, long, value_name = "PID", value_parser = parse_pid())]
    pub pid: u32,

    /// Write its standard output to this file
    #[arg(long, value_name = "FILE", group = "files")]
    pub stdout: Option<PathBuf>,

    /// Write its standard error to this file
    #[arg(long, value_name = "FILE", group = "files")]
    pub stderr: Option<PathBuf>,

    /// Write behind what is in the files; otherwise they are emptied
    #[arg(short, long)]
    pub append: bool,

    /// Read its standard input from this file
    #[arg(long, value_name = "FILE", group = "files")]
    pub stdin: Option<PathBuf>,
}

const REDIRECT_HELP: &str = r"
One chain of system calls, made inside the program on a thread of its own, opens the files and puts
them in the place of its descriptors, as the shell does with `>`, `>>`, `2>` and `<` before a program
starts. Nothing of the program is stopped or restarted, and nothing of its output is lost: what was
written went where it went, and what is written from now on goes to the new file. A write that is
blocked ends where it began, or begins again with the new file. Where a file cannot be opened, nothing
changes. (A thread of the program may see a call end with EINTR that never restarts, such as
epoll_wait, as after SIGSTOP and SIGCONT.)

A relative FILE is one of the current directory. The files are opened with the program's root
directory, mounts and rights, and a file that is made has the permissions 0666 less its umask. Two
outputs to the same FILE share it. Children that the program has already are not affected. It takes
the right to ptrace the program.

Examples:
  nlcall redirect --pid 1234 --stdout /var/log/job.log --append
  nlcall redirect --pid 1234 --stdout out --stderr out
  nlcall redirect --pid $(pidof make) --stdin /dev/null --stdout /dev/null

Exit status: 0 all were replaced; 1 they could not be; 2 wrong usage; 69 no module is loaded.";

/// Show the descriptors of a running program, or close some of them.
#[derive(Debug, Args)]
#[command(after_long_help = FDS_HELP.trim_start(), after_help = EXIT_STATUS)]
pub struct FdsOptions {
    /// The program's process id
    #[arg(short, long, value_name = "PID", value_parser = parse_pid())]
    pub pid: u32,

    /// Close this descriptor; may be given several times
    #[arg(short, long, value_name = "FD")]
    pub close: Vec<u32>,
}

const FDS_HELP: &str = r#"
The list is that of /proc, and needs no module: how each file was opened, where in it the program is,
and what it is. Descriptors are closed by the program itself, on a thread of its own, without stopping
it; that it does not use them any more is for you to know. It takes the right to ptrace the program.

Examples:
  nlcall fds --pid 1234
  nlcall fds --pid 1234 --close 7 --close 8
  nlcall --json fds --pid 1234 | jq '.descriptors[] | select(.target | endswith("(deleted)")) | .fd'

Exit status: 0 success; 1 a descriptor could not be closed, or may not be seen; 2 wrong usage; 69 no
module is loaded."#;

/// Show or change the resource limits of a running program.
#[derive(Debug, Args)]
#[command(after_long_help = LIMITS_HELP.trim_start(), after_help = EXIT_STATUS)]
pub struct LimitsOptions {
    /// The program's process id
    #[arg(short, long, value_name = "PID", value_parser = parse_pid())]
    pub pid: u32,

    /// Limits to show, or to change: a number or `unlimited`
    #[arg(value_name = "NAME[=SOFT[:HARD]]")]
    pub limits: Vec<String>,
}

const LIMITS_HELP: &str = r"
The names are those of prlimit(1): as, core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile,
nproc, rss, rtprio, rttime, sigpending, stack; RLIMIT_NOFILE is nofile. Without one, all are shown.
What is not given stays: nofile=4096 changes the soft limit, nofile=:8192 the hard one,
nofile=4096:8192 both. Each change is made for itself.

The program itself makes the calls, prlimit(0, ...), with its own rights: it takes CAP_SYS_RESOURCE
of the program to raise a hard limit, and the right to ptrace it to have it do so.

Examples:
  nlcall limits --pid 1234
  nlcall limits --pid 1234 nofile core
  nlcall limits --pid 1234 nofile=4096 core=unlimited
  nlcall limits --pid 1234 cpu=3600:7200
  nlcall --json limits --pid 1234 | jq '.limits[] | select(.soft == null) | .resource'

Exit status: 0 success; 1 a limit could not be read or changed; 2 wrong usage; 69 no module is
loaded.";

/// Print the calls that processes make through the module, as strace does.
#[derive(Debug, Args)]
#[command(after_long_help = MONITOR_HELP.trim_start(), after_help = EXIT_STATUS)]
pub struct MonitorOptions {
    /// Only calls of these processes, or in them
    #[arg(short, long = "pid", value_name = "PID", value_delimiter = ',')]
    pub pids: Vec<u32>,

    /// Only these calls, such as `openat,read`, `%file`, `open*` or `!getpid`
    #[arg(short, long = "expression", value_name = "EXPR", value_parser = Expression::parse)]
    pub expressions: Vec<Expression>,

    /// Only calls that failed or did not run
    #[arg(short = 'Z', long)]
    pub failed_only: bool,

    /// Show calls also when they are accepted
    #[arg(long)]
    pub submissions: bool,

    /// Show how each call travelled: worker, inline or target
    #[arg(short, long)]
    pub ways: bool,

    /// Show when each call ended
    #[arg(short, long)]
    pub time: bool,

    /// Show how many seconds each call took
    #[arg(short = 'T', long)]
    pub durations: bool,

    /// Most bytes of a string to show
    #[arg(short, long, value_name = "BYTES", default_value_t = 32)]
    pub string_limit: usize,

    /// Show all fields of structures
    #[arg(short, long)]
    pub verbose: bool,

    /// Do not say when it begins to listen
    #[arg(short, long)]
    pub quiet: bool,

    /// End after so many lines
    #[arg(short, long, value_name = "N")]
    pub count: Option<u64>,

    /// End after this time, such as 500ms or 2s
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_timeout)]
    pub duration: Option<Duration>,
}

const MONITOR_HELP: &str = r#"
Every line is a call that has ended, with the memory that it was given or that it filled: at most
256 bytes of each, and none that was not there at that moment. It needs CAP_SYS_ADMIN in the initial
user namespace, and the initial network namespace; process ids are those of the initial pid
namespace. Nobody's call waits for it: what comes faster than it can be read is lost, and the
standard error says how much. While it listens, calls are executed one by one.

-e takes names, numbers, patterns and the classes %file and %desc, separated by commas, as strace's
-e trace=; `!` before them means all others. Several add up. With --json each event is one object on
one line, with a `version`; what was lost is an object as well.

Examples:
  nlcall monitor
  nlcall monitor -p 1234 -e openat,read -T
  nlcall monitor -e '!getpid' --failed-only
  nlcall monitor --for 10s | sort | uniq -c
  nlcall --json monitor --count 1 | jq -r .name

It ends with Ctrl-C, after --count lines or --for a time.

Exit status: 0 success; 1 it may not listen; 2 wrong usage; 69 no module is loaded."#;

/// Show or change the module's limits, and who may use it.
#[derive(Debug, Args)]
#[command(after_long_help = CONFIG_HELP.trim_start(), after_help = EXIT_STATUS)]
pub struct ConfigOptions {
    /// Settings to change, all of them or none
    #[arg(value_name = "NAME=VALUE", value_parser = parse_setting)]
    pub changes: Vec<(String, String)>,
}

const CONFIG_HELP: &str = r"
Without an argument, all settings are shown. Changes hold at once, for the sessions that are open
as well, until the module is unloaded; they need CAP_SYS_ADMIN in the initial user namespace. The
module's parameters of the same names set them when it is loaded.

Examples:
  nlcall config
  nlcall config max_workers=256
  nlcall config access=everyone max_in_flight=4096
  nlcall --json config | jq .max_workers

Exit status: 0 success; 1 the module refused the change; 2 wrong usage; 69 no module is loaded.";

/// A process id.
fn parse_pid() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(i32::MAX))
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "not of the form NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Seconds, or a number with a unit.
pub(crate) fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }?;
    match interval.is_zero() {
        true => Err("an interval is longer than nothing".to_owned()),
        false => Ok(interval),
    }
}

fn parse_column(text: &str) -> Result<usize, String> {
    columns::by_heading(text).ok_or_else(|| {
        let known: Vec<_> = columns::ALL.iter().map(|column| column.heading).collect();
        format!("no such column; there are {}", known.join(", "))
    })
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("a call needs more time than none".to_owned()),
        time => time.map_err(|error| error.to_string()),
    }
}

/// Run a program whose system calls travel over netlink.
#[derive(Debug, Args)]
#[command(after_long_help = RUN_HELP.trim_start(), after_help = EXIT_STATUS)]
pub struct RunOptions {
    /// Print a summary at the end: calls, errors, time, and how each call travelled
    #[arg(short = 'c', long)]
    pub summary: bool,

    /// Print each call as strace does
    #[arg(short, long)]
    pub trace: bool,

    /// Have workers execute the calls that they may
    #[arg(short, long)]
    pub workers: bool,

    /// The program, as a shell finds it
    #[arg(value_name = "CMD")]
    pub program: OsString,

    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<OsString>,
}

const RUN_HELP: &str = r"
A library is loaded into the program, and into every program that it executes. Each system call of
theirs is sent to the module as a netlink message, which the calling thread itself executes
(INLINE), so that signals, credentials and waiting are what they are for a plain call. New threads
and processes, what ends them, and signal handling are native. Calls that the C library makes
without entering the kernel (the clock) stay as they are.

The summary and the trace go to the standard error output. A line of the trace is printed when the call
is over, which may be behind what the program itself prints.

With --workers, calls that every thread of a process may make are executed by workers, and interrupted
there when a signal comes. It is slower, and there to be looked at.

Programs that are linked statically, or run with more rights than yours, cannot be run so; started
by another program, they run as they are.

Examples:
  nlcall run -- ls -lR /usr
  nlcall run -c -- make -j2
  nlcall run --trace -- cat /etc/hostname
  nlcall run -c --workers -- sort /etc/passwd
  nlcall --json run -c -- git status 2> summary.json

Exit status: that of the program; 2 where it cannot be run so, or wrong usage; 69 no module is
loaded.";

/// Measure what system calls cost here, made in every way that Linux has.
#[derive(Debug, Args)]
#[command(after_long_help = BENCH_HELP.trim_start(), after_help = EXIT_STATUS)]
pub struct BenchOptions {
    /// What to measure.
    #[command(flatten)]
    pub bench: nlcall_bench::options::Options,
}

const BENCH_HELP: &str = r"
Plain calls, nlcall in the calling thread and on workers, io_uring, a thread pool and POSIX AIO do the
same; each in a process of its own, taking turns. Where nothing is named, a short form is measured.
Files are made in the temporary folder, or below --folder, and removed again.

Examples:
  nlcall bench
  nlcall bench --only pread,statx --batches 8,64
  nlcall bench --throughput
  nlcall bench --only fsync --folder /home/me
  nlcall --json bench > result.json

Exit status: 0 it was measured; 1 it could not be; 2 wrong usage; 69 no module is loaded.";

/// Print a script with which a shell completes this command's words.
#[derive(Debug, Args)]
#[command(after_long_help = COMPLETIONS_HELP.trim_start(), after_help = EXIT_STATUS)]
pub struct CompletionsOptions {
    /// The shell
    pub shell: clap_complete::Shell,
}

const COMPLETIONS_HELP: &str = r"
Examples:
  nlcall completions bash > /usr/share/bash-completion/completions/nlcall
  nlcall completions zsh > /usr/share/zsh/vendor-completions/_nlcall
  nlcall completions fish > /usr/share/fish/vendor_completions.d/nlcall.fish
  . <(nlcall completions bash)

Exit status: 0 it was printed; 1 it could not be; 2 wrong usage.";

/// Write the manual pages of this command.
#[derive(Debug, Args)]
#[command(after_long_help = MAN_HELP.trim_start(), after_help = EXIT_STATUS)]
pub struct ManOptions {
    /// Where to; it is made where it is missing
    pub folder: PathBuf,
}

const MAN_HELP: &str = r"
nlcall.1 is about the command, and nlcall-call.1 and others are about its subcommands. What they say is
what --help says.

Examples:
  nlcall man /usr/local/share/man/man1
  nlcall man . && man ./nlcall-call.1

Exit status: 0 they were written; 1 they could not be; 2 wrong usage.";

fn parse_signal(text: &str) -> Result<u32, String> {
    signal::number(text).ok_or_else(|| "not a signal; try a number, or a name such as TERM".into())
}

fn parse_glob(text: &str) -> Result<glob::Pattern, String> {
    glob::Pattern::new(text).map_err(|error| error.to_string())
}

/// Turns the `-9` or `-KILL` of `nlcall kill -9 PID` into an option that a parser knows.
///
/// What follows `kill` is a signal where it starts with `-` and a digit or an upper-case letter: a
/// negative process id needs `--` before it, or a signal, as for `kill(1)`.
pub fn spell_out_signal(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<_> = args.into_iter().collect();
    let is_option = |arg: &OsString| arg.as_bytes().starts_with(b"-");
    let Some(command) = args
        .iter()
        .skip(1)
        .position(|arg| !is_option(arg))
        .map(|at| at + 1)
    else {
        return args;
    };
    if args[command] != *OsStr::new("kill") {
        return args;
    }
    let after = args
        .iter_mut()
        .skip(command + 1)
        .find(|arg| arg.as_bytes() != b"--json");
    if let Some(arg) = after {
        let rest = match arg.as_bytes() {
            [b'-', rest @ ..] => rest,
            _ => return args,
        };
        let spelled = match rest {
            [b'0'..=b'9' | b'A'..=b'Z', ..] => true,
            _ => std::str::from_utf8(rest)
                .ok()
                .and_then(signal::number)
                .is_some(),
        };
        if spelled {
            *arg = OsString::from_vec([b"--signal=", rest].concat());
        }
    }
    args
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use clap::CommandFactory;
    use proptest::prelude::*;

    fn read(words: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from(spell_out_signal(words.iter().map(OsString::from)))
    }

    fn kill(words: &[&str]) -> Option<(u32, Vec<i32>)> {
        match read(&[&["nlcall", "kill"], words].concat()).ok()?.command {
            Command::Kill(options) => Some((options.signal, options.pids)),
            _ => None,
        }
    }

    /// The options of a redirection of this process.
    pub(crate) fn redirect(words: &[&str]) -> RedirectOptions {
        let words = [&["nlcall", "redirect", "--pid", "1"], words].concat();
        match read(&words).map(|options| options.command) {
            Ok(Command::Redirect(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_process_has_a_number() {
        let pid = |words: &[&str]| match read(&[&["nlcall"], words].concat()).ok()?.command {
            Command::Call(options) => options.pid,
            Command::Fds(options) => Some(options.pid),
            Command::Limits(options) => Some(options.pid),
            _ => None,
        };
        assert_eq!(pid(&["call", "--pid", "12", "getpid"]), Some(12));
        assert_eq!(pid(&["call", "-p12", "kill", "-1", "--pid"]), Some(12));
        assert_eq!(pid(&["fds", "-p", "12", "--close", "3"]), Some(12));
        assert_eq!(pid(&["limits", "nofile=1", "--pid=12"]), Some(12));
        for wrong in ["0", "-1", "x", "2147483648"] {
            assert_eq!(pid(&["fds", "--pid", wrong]), None, "{wrong}");
        }
        for wrong in [
            &["fds"][..],
            &["limits", "nofile"],
            &["redirect", "--stdout", "x"],
            &["redirect", "--pid", "1"],
            &["redirect", "--pid", "1", "--append"],
            &["fds", "--pid", "1", "--close", "-1"],
            &["call", "--inline", "--pid", "1", "getpid"],
        ] {
            assert!(read(&[&["nlcall"], wrong].concat()).is_err(), "{wrong:?}");
        }
        let options = redirect(&["--stdin", "a", "--stderr", "b"]);
        assert_eq!(options.stdin, Some("a".into()));
        assert!(options.stdout.is_none() && !options.append);
    }

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn signals_are_written_as_for_kill() {
        for words in [
            &["-9", "12"][..],
            &["-KILL", "12"],
            &["-SIGKILL", "12"],
            &["-s", "KILL", "12"],
            &["-s", "9", "12"],
            &["-skill", "12"],
            &["--signal", "sigkill", "12"],
            &["--signal=9", "12"],
            &["--json", "-9", "12"],
        ] {
            assert_eq!(kill(words), Some((9, vec![12])), "{words:?}");
        }
        assert_eq!(kill(&["12", "13"]), Some((15, vec![12, 13])));
        assert_eq!(kill(&["-0", "12"]), Some((0, vec![12])));
        assert_eq!(kill(&["-stop", "12"]), Some((19, vec![12])));
    }

    #[test]
    fn process_groups_are_negative() {
        assert_eq!(kill(&["--", "-12"]), Some((15, vec![-12])));
        assert_eq!(kill(&["-9", "--", "-12"]), Some((9, vec![-12])));
        assert_eq!(kill(&["-9", "-12"]), Some((9, vec![-12])));
        assert_eq!(kill(&["-s", "HUP", "-12", "13"]), Some((1, vec![-12, 13])));
    }

    #[test]
    fn a_number_first_is_a_signal_and_never_a_process_group() {
        assert_eq!(kill(&["-12"]), None);
        assert_eq!(kill(&["-1234", "5"]), None);
        assert_eq!(kill(&["-NOSUCH", "5"]), None);
    }

    #[test]
    fn a_process_id_is_a_number() {
        assert_eq!(kill(&[]), None);
        assert_eq!(kill(&["12x"]), None);
        assert_eq!(kill(&["99999999999"]), None);
    }

    #[test]
    fn arguments_of_a_call_may_look_like_options() {
        let options = read(&[
            "nlcall", "--json", "call", "-s", "8", "read", "-1", "@4", "-4",
        ])
        .unwrap();
        let Command::Call(call) = options.command else {
            panic!("{options:?}")
        };
        assert!(options.json);
        assert_eq!(call.string_limit, 8);
        assert_eq!(call.name, "read");
        assert_eq!(call.args, ["-1", "@4", "-4"]);
        let options = read(&["nlcall", "call", "kill", "-1", "-s"]).unwrap();
        let Command::Call(call) = options.command else {
            panic!("{options:?}")
        };
        assert_eq!(call.args, ["-1", "-s"]);
    }

    #[test]
    fn a_time_limit_has_a_unit_and_some_length() {
        let timeout = |text| match read(&["nlcall", "call", "--timeout", text, "pause"])
            .ok()?
            .command
        {
            Command::Call(options) => options.timeout,
            _ => None,
        };
        assert_eq!(timeout("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(timeout("1m 2s"), Some(Duration::from_secs(62)));
        for wrong in ["5", "-1s", "0s", "ms", ""] {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
        // Behind the first argument it is one as well.
        let options = read(&["nlcall", "call", "-i", "read", "0", "--timeout"]).unwrap();
        let Command::Call(call) = options.command else {
            panic!("{options:?}")
        };
        assert!(call.inline && call.timeout.is_none());
        assert_eq!(call.args, ["0", "--timeout"]);
    }

    #[test]
    fn a_setting_has_a_name_and_a_value() {
        let changes =
            |words: &[&str]| match read(&[&["nlcall", "config"], words].concat()).ok()?.command {
                Command::Config(options) => Some(options.changes),
                _ => None,
            };
        assert_eq!(changes(&[]), Some(Vec::new()));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            changes(&["a=1", "b==", "c="]),
            Some(vec![pair("a", "1"), pair("b", "="), pair("c", "")])
        );
        assert_eq!(changes(&["max_workers"]), None);
    }

    #[test]
    fn a_pattern_that_is_none_is_a_usage_error() {
        assert!(read(&["nlcall", "list", "a***b"]).is_err());
        assert!(read(&["nlcall", "list", "open*"]).is_ok());
    }

    proptest! {
        #[test]
        fn any_command_line_is_read_without_a_panic(
            words in proptest::collection::vec("[-a-zA-Z0-9@=* ]{0,8}", 0..6),
        ) {
            for command in [
                "call", "cat", "kill", "list", "ps", "monitor", "config", "redirect", "fds",
                "limits",
            ] {
                let args = ["nlcall", command].into_iter().chain(words.iter().map(String::as_str));
                let _ = Options::try_parse_from(spell_out_signal(args.map(OsString::from)));
            }
        }
    }
}
