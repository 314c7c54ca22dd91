// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module's tracepoints: through tracefs, and through perf and bpftrace, which read it.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use nlcall::raw::{Batch, CallFlags, Chain, Session};
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
    session,
};

use crate::harness::{needs, skip, tests, Test};

pub const TESTS: &[Test] = tests![
    calls_are_seen_from_submission_to_completion,
    a_rejection_is_seen_with_its_reason,
    a_tracepoint_can_be_filtered,
    what_is_switched_off_sees_nothing,
    perf_counts_and_records,
    bpftrace_reads_the_fields,
];

const TRACING: &str = "/sys/kernel/tracing";

/// Tracepoints that are on as long as this is there.
struct Traced(&'static str);

impl Traced {
    /// Switches on what the folder below `events` holds.
    fn on(events: &'static str) -> Self {
        write("trace", "");
        let traced = Self(events);
        write(&traced.file("enable"), "1");
        traced
    }

    fn file(&self, name: &str) -> String {
        format!("events/{}/{name}", self.0)
    }

    /// The lines of tracepoints, without what the kernel writes before them.
    fn lines(&self) -> Vec<String> {
        let trace = fs::read_to_string(Path::new(TRACING).join("trace")).expect("the trace");
        let lines = trace
            .lines()
            .filter_map(|line| Some(line.split_once(": nlcall_")?.1.to_owned()));
        lines.collect()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        write(&self.file("enable"), "0");
        write("trace", "");
    }
}

fn write(file: &str, text: &str) {
    fs::write(Path::new(TRACING).join(file), text).expect("tracefs takes it");
}

/// The value of a field of a line.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let start = format!("{name}=");
    let field = line.split(' ').find_map(|field| field.strip_prefix(&start));
    field.unwrap_or_else(|| panic!("no {name} in {line}"))
}

fn calls_are_seen_from_submission_to_completion() {
    let session = Session::open().expect("a session");
    let pid = std::process::id().to_string();
    let traced = Traced::on("nlcall");
    let buffer = Memory::zeroed(8);
    session
        .submit(calls::read(-1, buffer).user_data(0x51).into())
        .expect("accepted");
    session.wait().expect("it completes");
    // Two calls, the second of which does not begin.
    let mut chain = Chain::new();
    for (user_data, call) in [(0x61, calls::close(-1)), (0x62, calls::getpid())] {
        chain.push(call.flags(CallFlags::INLINE).user_data(user_data));
    }
    let mut batch = Batch::new();
    batch.push_chain(&chain);
    session.submit(batch).expect("accepted");
    session::collect(&session, 2);

    let lines = traced.lines();
    let id = session::info(&session).id.to_string();
    let of = |user_data: &str, kind: &str| {
        let mut lines = lines
            .iter()
            .filter(|line| line.starts_with(kind) && field(line, "user_data") == user_data);
        let line = lines.next().unwrap_or_else(|| panic!("{kind}{user_data}"));
        assert!(lines.next().is_none(), "{kind}{user_data} twice");
        assert_eq!(field(line, "session"), id);
        line
    };
    let line = of("0x51", "submit_req: ");
    assert_eq!(field(line, "pid"), pid);
    assert_eq!(field(line, "nr"), "0");
    let address = format!("0xffffffffffffffff,{:#x},0x8,0x0,0x0,0x0", buffer.address());
    assert_eq!(field(line, "args"), address);
    let line = of("0x51", "complete: ");
    assert_eq!((field(line, "ret"), field(line, "outcome")), ("-9", "RAN"));
    assert_ne!(field(line, "ns"), "0");

    let line = of("0x61", "submit_req: ");
    assert_eq!(field(line, "flags"), "LINK|INLINE");
    of("0x62", "submit_req: ");
    assert_eq!(field(of("0x61", "complete: "), "ret"), "-9");
    let line = of("0x62", "complete: ");
    assert_eq!(field(line, "outcome"), "CANCELED");
    assert_eq!((field(line, "ret"), field(line, "ns")), ("-125", "0"));
}

fn a_rejection_is_seen_with_its_reason() {
    let session = Session::open().expect("a session");
    let traced = Traced::on("nlcall/nlcall_req_failed");
    let batch = Batch::from(call(libc::SYS_rt_sigreturn, &[]));
    session.submit(batch).expect_err("rejected");
    let lines = traced.lines();
    let [line] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert_eq!(field(line, "session"), "0");
    assert_eq!(field(line, "pid"), std::process::id().to_string());
    assert_eq!(field(line, "command"), "1");
    assert_eq!(field(line, "err"), libc::EOPNOTSUPP.to_string());
    assert!(line.contains("text=\"call 0: rt_sigreturn: "), "{line}");
}

fn a_tracepoint_can_be_filtered() {
    let session = Session::open().expect("a session");
    write("events/nlcall/nlcall_complete/filter", "ret < 0");
    let traced = Traced::on("nlcall/nlcall_complete");
    session::value(&session, calls::getpid());
    session::error(&session, calls::close(-1));
    let lines = traced.lines();
    drop(traced);
    write("events/nlcall/nlcall_complete/filter", "0");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(field(&lines[0], "nr"), libc::SYS_close.to_string());
}

fn what_is_switched_off_sees_nothing() {
    let session = Session::open().expect("a session");
    let traced = Traced::on("nlcall/nlcall_complete");
    session::value(&session, calls::getpid());
    assert_eq!(
        traced.lines().len(),
        1,
        "submissions are another tracepoint"
    );
    write(&traced.file("enable"), "0");
    session::value(&session, calls::getpid());
    session::inline_values(&session, [calls::getpid()]);
    assert_eq!(traced.lines().len(), 1);
}

fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// What a program printed, which has to succeed.
fn printed(program: &str, args: &[&str]) -> String {
    let output = run(program, args);
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// A call that fails, so that it can be told from others.
const CLOSE: [&str; 4] = ["nlcall", "call", "close", "12345"];

fn perf_counts_and_records() {
    const PERF: &str = "/usr/bin/perf";
    needs(PERF);
    let record = ["record", "-a", "-q", "-e", "nlcall:*", "-o", "seen", "--"];
    // It ends as the program does that it watches.
    let output = run(PERF, &[&record[..], &CLOSE].concat());
    assert!(Path::new("seen").exists(), "{output:?}");
    let lines = printed(PERF, &["script", "-i", "seen", "-F", "event,trace"]);
    let of = |event: &str| {
        let nr = format!(" nr={} ", libc::SYS_close);
        let mut lines = lines.lines().map(str::trim_start);
        let line = lines.find(|line| line.starts_with(event) && line.contains(&nr));
        line.unwrap_or_else(|| panic!("no {event} in {lines:?}", lines = lines.collect::<Vec<_>>()))
            .to_owned()
    };
    let submitted = of("nlcall:nlcall_submit_req");
    assert!(submitted.contains("args=0x3039,"), "{submitted}");
    let completed = of("nlcall:nlcall_complete");
    assert_eq!(field(&completed, "ret"), "-9");
    assert_eq!(field(&completed, "outcome"), "RAN");
}

fn bpftrace_reads_the_fields() {
    const BPFTRACE: &str = "/usr/bin/bpftrace";
    needs(BPFTRACE);
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        skip("this kernel does not describe its types (BTF), which bpftrace needs");
    }
    let program = format!(
        "tracepoint:nlcall:nlcall_complete /args.nr == {}/ {{ printf(\"ret %d after %d ns\\n\", args.ret, args.ns > 0); }}",
        libc::SYS_close
    );
    let lines = printed(BPFTRACE, &["-q", "-e", &program, "-c", &CLOSE.join(" ")]);
    assert!(lines.contains("ret -9 after 1 ns"), "{lines}");
}
