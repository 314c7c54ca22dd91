// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command as it is run: exit status, and what goes where.
//!
//! What needs the module is tested in the guest. Here, calls that are wrong end with status 2
//! whether or not there is a module; the tests that need a machine without one look whether it is.

use std::process::Stdio;

use assert_cmd::assert::Assert;
use assert_cmd::cargo::cargo_bin_cmd;
use predicates::prelude::*;

fn nlcall(args: &[&str]) -> Assert {
    cargo_bin_cmd!("nlcall").args(args).write_stdin("").assert()
}

/// Whether calls can be made here. Where they can, the tests of their absence have no object.
fn module_is_loaded() -> bool {
    std::path::Path::new("/sys/module/nlcall").exists()
}

#[test]
fn without_the_module_threads_read_files_and_it_is_said() {
    if module_is_loaded() {
        eprintln!("skipped: the module is loaded on this machine");
        return;
    }
    let text = std::fs::read("/etc/passwd").unwrap();
    let said = |text: &str| text.lines().count() == 1 && text.starts_with("nlcall cat: threads ");
    nlcall(&["cat", "/etc/passwd", "-", "/etc/passwd"])
        .code(0)
        .stdout([&text[..], &text[..]].concat())
        .stderr(predicate::function(said))
        .stderr(predicate::str::contains("modprobe nlcall"));
    nlcall(&["cat", "/no/such/file"])
        .code(1)
        .stderr(predicate::str::contains(
            "/no/such/file: No such file or directory",
        ));
}

#[test]
fn without_the_module_every_command_ends_with_69_and_one_line() {
    if module_is_loaded() {
        eprintln!("skipped: the module is loaded on this machine");
        return;
    }
    for args in [
        &["call", "getpid"][..],
        &["call", "openat", "AT_FDCWD", "/etc/hostname", "O_RDONLY"],
        &["--json", "call", "uname", "@"],
        &["kill", "-0", "1"],
        &["list"],
        &["list", "open*"],
        &["ps"],
        &["ps", "--json"],
        &["ps", "--long"],
        &["stat"],
        &["stat", "-i", "0.1", "3"],
        &["--json", "top", "-n", "1"],
        &["top", "--batch"],
        &["monitor"],
        &["monitor", "-p", "1", "-e", "openat", "--for", "1s"],
        &["bench"],
        &["config"],
        &["config", "max_workers=4", "access=root"],
        &["call", "--inline", "fork"],
        &["call", "--timeout", "1s", "pause"],
        &["call", "--pid", "1", "openat", "AT_FDCWD", "/", "O_RDONLY"],
        &["redirect", "--pid", "1", "--stdout", "/dev/null"],
        &["fds", "--pid", "1", "--close", "1000"],
        &["limits", "--pid", "1"],
        &["limits", "--pid", "1", "nofile=5"],
        &["run", "--", "cat", "/etc/hostname"],
        &["run", "-c", "--", "true"],
    ] {
        nlcall(args)
            .code(69)
            .stdout("")
            .stderr(predicate::str::starts_with("nlcall: "))
            .stderr(predicate::str::contains("modprobe nlcall"))
            .stderr(predicate::function(|text: &str| text.lines().count() == 1));
    }
}

#[test]
fn without_the_module_the_doctor_says_what_to_do_about_it() {
    if module_is_loaded() {
        eprintln!("skipped: the module is loaded on this machine");
        return;
    }
    nlcall(&["doctor"])
        .code(69)
        .stdout(predicate::str::contains("FAIL  module"))
        .stdout(predicate::str::contains("`modprobe nlcall`"))
        .stderr("");
    let output = nlcall(&["doctor", "--json"])
        .code(69)
        .get_output()
        .stdout
        .clone();
    let checks: serde_json::Value = serde_json::from_slice(&output).unwrap();
    let module = checks["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == "module")
        .unwrap();
    assert_eq!(module["verdict"], "bad");
    assert!(module["fix"].as_str().unwrap().contains("modprobe nlcall"));
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_wrong() {
    for (args, text) in [
        (&[][..], "Usage: nlcall"),
        (&["frobnicate"], "unrecognized subcommand"),
        (&["--frobnicate"], "unexpected argument"),
        (&["call"], "Usage: nlcall call"),
        (
            &["call", "opnat"],
            "unknown system call `opnat`; near: openat",
        ),
        (&["call", "getpid", "1"], "getpid takes no arguments, not 1"),
        (
            &["call", "read", "0"],
            "read(fd: fd, buf: @N, count: ulong)",
        ),
        (
            &["call", "open", "/x", "O_RDWT"],
            "unknown name `O_RDWT`; known: O_RDWR",
        ),
        (&["call", "read", "0", "@x", "1"], "`@x` is not a buffer"),
        (
            &["call", "write", "1", "\"abc", "3"],
            "the closing quote is missing",
        ),
        (
            &["call", "lseek", "0", "99999999999999999999", "0"],
            "does not fit into 64 bits",
        ),
        (&["kill"], "Usage: nlcall kill"),
        (&["kill", "-NOSUCH", "1"], "not a signal"),
        (&["kill", "-77", "1"], "not a signal"),
        (&["kill", "one"], "invalid"),
        (&["list", "a***"], "invalid"),
        (&["list", "a", "b"], "unexpected argument"),
        (&["bench", "--only", "everything"], "invalid value"),
        (&["bench", "--batches", "0"], "not a number from 1 to 16384"),
        (&["ps", "1"], "unexpected argument"),
        (&["ps", "--long", "--latency"], "cannot be used with"),
        (&["call", "--timeout", "5", "pause"], "time unit needed"),
        (&["call", "--timeout", "0s", "pause"], "more time than none"),
        (&["config", "max_workers"], "not of the form NAME=VALUE"),
        (
            &["config", "max_workres=4"],
            "no such setting; known: access",
        ),
        (&["config", "idle_ms=soon"], "`soon` is not a number"),
        (
            &["call", "--pid", "1", "read", "0", "@4", "100"],
            "it has 4 bytes, and the call may use 100",
        ),
        (
            &["call", "--pid", "1", "--inline", "fork"],
            "cannot be used with",
        ),
        (&["call", "--pid", "0", "getpid"], "invalid value"),
        (&["redirect", "--pid", "1"], "Usage: nlcall redirect"),
        (&["redirect", "--stdout", "x"], "--pid <PID>"),
        (&["fds"], "--pid <PID>"),
        (&["limits", "--pid", "1", "files"], "no such limit"),
        (
            &["limits", "--pid", "1", "nofile=2:1"],
            "nofile: the soft limit is above the hard one",
        ),
        (&["describe"], "Usage: nlcall describe"),
        (&["describe", "opnat"], "near: openat"),
        (
            &["top"],
            "the standard output is no terminal; --batch prints text",
        ),
        (
            &["top", "-b", "--sort", "nothing"],
            "no such column; there are ID, PID",
        ),
        (&["top", "-b", "-n", "0"], "invalid value"),
        (&["stat", "-i", "0"], "longer than nothing"),
        (&["stat", "1", "2"], "unexpected argument"),
        (&["batch", "-p", "0"], "invalid value"),
        (&["run"], "Usage: nlcall run"),
        (&["run", "-c", "--"], "Usage: nlcall run"),
        (&["run", "--", "no-such-command"], "command not found"),
        (&["run", "--", "/dev/null"], "no program for x86-64"),
    ] {
        nlcall(args)
            .code(2)
            .stdout("")
            .stderr(predicate::str::contains(text));
    }
}

#[test]
fn every_command_explains_itself_with_examples() {
    for command in [
        "batch",
        "bench",
        "call",
        "cat",
        "completions",
        "config",
        "describe",
        "fds",
        "kill",
        "limits",
        "list",
        "man",
        "ps",
        "redirect",
        "stat",
        "top",
    ] {
        nlcall(&[command, "--help"])
            .code(0)
            .stdout(predicate::str::contains("Examples:"))
            .stdout(predicate::str::contains(format!("nlcall {command} ")))
            .stdout(predicate::str::contains("Exit status: 0"));
    }
    nlcall(&["run", "--help"])
        .code(0)
        .stdout(predicate::str::contains("nlcall run -- ls"))
        .stdout(predicate::str::contains("Exit status: that of the program"));
    nlcall(&["doctor", "--help"])
        .code(0)
        .stdout(predicate::str::contains("Usage:"));
    nlcall(&["--help"])
        .code(0)
        .stdout(predicate::str::contains("Exit status: 0"));
    nlcall(&["--version"])
        .code(0)
        .stdout(predicate::str::starts_with("nlcall "));
}

#[test]
fn a_wrong_line_is_named_and_nothing_is_submitted() {
    let good = "{\"call\": \"getpid\"}\n";
    let batch = |args: &[&str], input: &str| {
        let args = [&["batch"], args].concat();
        cargo_bin_cmd!("nlcall")
            .args(args)
            .write_stdin(input)
            .assert()
    };
    let wrong = format!("{good}{{\"call\": \"getpdi\"}}\n");
    batch(&[], &wrong)
        .code(2)
        .stdout("")
        .stderr(predicate::str::starts_with(
            "nlcall: standard input:2: unknown system call `getpdi`; near: getpid",
        ));
    batch(&["--check"], good).code(0).stdout("").stderr("");
    let inline = "{\"call\": \"fork\", \"flags\": [\"inline\"]}";
    batch(&["--check", "--pid", "1"], inline)
        .code(2)
        .stderr(predicate::str::contains("standard input:1: "));
    batch(&["/no/such/file"], "")
        .code(1)
        .stderr(predicate::str::starts_with(
            "nlcall: /no/such/file: No such file",
        ));
    if !module_is_loaded() {
        batch(&[], good)
            .code(69)
            .stdout("")
            .stderr(predicate::str::contains("modprobe nlcall"));
    }
}

#[test]
fn without_the_module_calls_are_described_by_the_release() {
    if module_is_loaded() {
        eprintln!("skipped: the module is loaded on this machine");
        return;
    }
    nlcall(&["describe", "setuid"])
        .code(0)
        .stdout(predicate::str::contains("setuid(uid: "))
        .stdout(predicate::str::contains("no module is loaded"))
        .stdout(predicate::str::contains("nlcall call --inline setuid"))
        .stderr("");
}

#[test]
fn descriptors_are_listed_without_the_module() {
    let pid = std::process::id().to_string();
    let file = tempfile::NamedTempFile::new().unwrap();
    nlcall(&["fds", "--pid", &pid])
        .code(0)
        .stdout(predicate::str::contains("FLAGS"))
        .stdout(predicate::str::contains(file.path().to_str().unwrap()));
    nlcall(&["fds", "--pid", "2147483647"])
        .code(1)
        .stderr("nlcall: process 2147483647: there is none\n");
}

#[test]
fn a_reader_that_leaves_ends_the_command_quietly() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    drop(reader);
    let mut command = std::process::Command::new(cargo_bin_cmd!("nlcall").get_program());
    let output = command
        .arg("--help")
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|child| child.wait_with_output())
        .unwrap();
    assert_eq!(output.stderr, b"");
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    assert_eq!(signal, Some(libc::SIGPIPE));
}

/// Runs a program that looks at a file; none where it is not installed.
fn looked_at(program: &str, args: &[&str], file: &std::path::Path) -> Option<std::process::Output> {
    let output = std::process::Command::new(program)
        .args(args)
        .arg(file)
        .output();
    match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("not looked at: there is no {program}");
            None
        }
        output => Some(output.unwrap()),
    }
}

#[test]
fn shells_read_their_completions() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = nlcall(&["completions", shell])
            .code(0)
            .get_output()
            .stdout
            .clone();
        let file = dir.path().join(shell);
        std::fs::write(&file, script).unwrap();
        if let Some(output) = looked_at(shell, &["-n"], &file) {
            assert!(output.status.success(), "{shell}: {output:?}");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{shell}");
        }
    }
    nlcall(&["completions", "csh"])
        .code(2)
        .stderr(predicate::str::contains("bash"));
}

#[test]
fn bash_completes_subcommands_and_options() {
    let dir = tempfile::tempdir().unwrap();
    let script = nlcall(&["completions", "bash"])
        .code(0)
        .get_output()
        .stdout
        .clone();
    let file = dir.path().join("nlcall");
    std::fs::write(&file, script).unwrap();
    let complete = r#". "$0"; COMP_WORDS=(nlcall mon); COMP_CWORD=1; _nlcall nlcall mon nlcall
        echo "${COMPREPLY[@]}"
        COMP_WORDS=(nlcall monitor --fail); COMP_CWORD=2; _nlcall nlcall --fail monitor
        echo "${COMPREPLY[@]}""#;
    if let Some(output) = looked_at("bash", &["-c", complete], &file) {
        let words = String::from_utf8_lossy(&output.stdout);
        assert_eq!(words, "monitor\n--failed-only\n", "{output:?}");
    }
}

#[test]
fn manual_pages_are_set_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    nlcall(&["man", dir.path().to_str().unwrap()])
        .code(0)
        .stdout("")
        .stderr("");
    let mut pages = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let page = entry.unwrap().path();
        pages += 1;
        for (program, args) in [
            ("groff", &["-man", "-ww", "-z", "-Tutf8"][..]),
            ("mandoc", &["-Tlint", "-Wwarning"]),
        ] {
            if let Some(output) = looked_at(program, args, &page) {
                let said = [output.stdout, output.stderr].concat();
                assert_eq!(
                    String::from_utf8_lossy(&said),
                    "",
                    "{program}: {}",
                    page.display()
                );
            }
        }
    }
    assert!(pages > 10, "{pages}");
}
