// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs that people use.

use std::{fs, path::Path, time::Duration};

use super::compare::{same, same_in};
use crate::harness::{needs, scaled, Test};

/// The long run takes whole trees.
const HOUR: Duration = Duration::from_secs(3600);

macro_rules! patient_tests {
    ($($name:ident),* $(,)?) => {
        &[$(Test::new(stringify!($name), $name).patience(HOUR)),*]
    };
}

pub const TESTS: &[Test] = patient_tests![
    files_are_listed,
    files_are_found,
    files_are_packed,
    files_are_hashed,
    files_behave_as_posix_says,
    lines_are_sorted,
    a_database_is_filled_and_asked,
    python_runs_threads_and_children,
    python_passes_its_own_tests,
    a_repository_is_filled,
    a_program_is_compiled,
    make_runs_two_jobs,
    stressors_find_nothing,
];

/// A tree that does not change meanwhile.
const TREE: [&str; 2] = ["/usr/share/perl5", "/usr"];

fn files_are_listed() {
    // The links of /proc are as many as there are processes, the kernel's own included, which come
    // and go; and /sys is as old as the kernel's memory of it.
    same("ls -la --ignore=proc --ignore=sys / /etc; ls /nothing");
    same(&format!("ls -lR {}", scaled(TREE[0], TREE[1])));
}

fn files_are_found() {
    same(&format!("find {} -xdev", scaled(TREE[0], "/")));
    same("find /etc -xdev -type f -size -2k -newer /etc/passwd | sort");
}

fn files_are_packed() {
    same(&format!(
        "tar -C {} -cf packed.tar . && tar -tf packed.tar | wc -l && mkdir to && \
         tar -C to -xf packed.tar && find to | wc -l && rm -r to packed.tar",
        scaled("/usr/share/perl5", "/usr/share")
    ));
}

fn files_are_hashed() {
    same(&format!(
        "sha256sum {} 2>&1 | sort | sha256sum; sha256sum /bin/sh /nothing; echo $?",
        scaled("/usr/bin/[a-c]*", "/usr/bin/*")
    ));
}

/// `tests/programs/filesystem.c` says what came of each call.
fn files_behave_as_posix_says() {
    let shown = same("filesystem");
    assert!(shown.lines().count() > 100, "{shown}");
    assert!(shown.contains("= -1 EACCES"), "{shown}");
}

fn lines_are_sorted() {
    let bytes = scaled(1 << 20, 100 << 20);
    let prepare = |folder: &Path| {
        let mut random = fastrand::Rng::with_seed(5);
        let mut text = String::with_capacity(bytes + 32);
        while text.len() < bytes {
            text += &format!("{:020} {:08x}\n", random.u64(..), random.u32(..));
        }
        fs::write(folder.join("lines"), text).expect("lines");
    };
    // So little memory that it needs files.
    same_in(
        "sort -S 500K -T . lines > sorted && sort -c sorted && rm lines",
        prepare,
    );
}

fn a_database_is_filled_and_asked() {
    needs("/usr/bin/sqlite3");
    let rows = scaled(100, 10_000);
    same(&format!(
        "(echo 'create table t(a integer primary key, b text);'; \
         for i in $(seq 1 {rows}); do echo \"insert into t values($i, 'row $i');\"; done) | \
         sqlite3 db && sqlite3 db 'select count(*), sum(a), max(b) from t; pragma integrity_check' && \
         sqlite3 db .dump | sha256sum && rm db"
    ));
}

const PYTHON: &str = r#"
import json, os, signal, subprocess, threading, time
def child(i, out):
    out[i] = subprocess.run(["sh", "-c", f"echo {i}"], capture_output=True, text=True).stdout
out = {}
threads = [threading.Thread(target=child, args=(i, out)) for i in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(sorted(out.items())))
got = []
signal.signal(signal.SIGALRM, lambda *_: got.append("alarm"))
signal.setitimer(signal.ITIMER_REAL, 0.05)
time.sleep(0.2)
r, w = os.pipe()
signal.setitimer(signal.ITIMER_REAL, 0.05)
threading.Timer(0.2, lambda: os.write(w, b"x")).start()
print(os.read(r, 1), got)
try: subprocess.run(["/nothing"])
except FileNotFoundError as error: print(error)
try: os.posix_spawn("/nothing", ["nothing"], {})
except FileNotFoundError as error: print(error)
print(os.waitpid(os.posix_spawn("/usr/bin/env", ["env"], {"A": "B"}), 0)[1])
pid = os.fork()
if pid == 0: os._exit(3)
print(os.waitpid(pid, 0)[1])
lock = threading.Condition()
with lock: print(lock.wait(0.05))
os.kill(os.getpid(), signal.SIGTERM)
"#;

fn python_runs_threads_and_children() {
    let prepare = |folder: &Path| fs::write(folder.join("it.py"), PYTHON).expect("a script");
    same_in("python3 it.py; echo $?", prepare);
}

/// Times are in the output: what counts is that all pass. Those of timers measure time, to three
/// digits, which an emulated processor does not have.
fn python_passes_its_own_tests() {
    needs("/usr/lib/python3.13/test/test_json");
    let run = scaled(
        "unittest -q test.test_json.test_scanstring test.test_json.test_float",
        "test -i 'test.test_os.TimerfdTests.*' test_json test_os test_threading",
    );
    let shown = same(&format!(
        "python3 -m {run} > output 2>&1; echo $?; tail -n 1 output; rm output"
    ));
    assert!(shown.starts_with("0\n"), "{shown}");
}

const DATES: &str = "export HOME=. GIT_AUTHOR_DATE=2000-01-01T00:00:00Z GIT_COMMITTER_DATE=2000-01-01T00:00:00Z \
     GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org";

/// Where it takes git long to look for files, `git status` would say how long.
fn a_repository_is_filled() {
    needs("/usr/bin/git");
    same(&format!(
        "{DATES}; git init -b main . && cp -r /etc/apt /etc/passwd . && git add . && \
         git commit -qm one && echo more >> passwd && git commit -qam two && git log --stat && \
         git fsck && git gc -q && git -c advice.statusUoption=false status && rm -rf .git apt"
    ));
}

const HELLO: &str = "#include <stdio.h>\nint main(void) { return puts(\"hello\") < 0; }\n";

fn a_program_is_compiled() {
    let prepare = |folder: &Path| fs::write(folder.join("hello.c"), HELLO).expect("a source");
    same_in(
        "gcc-14 -O2 -o hello hello.c && ./hello && gcc-14 -c nothing.c; echo $?",
        prepare,
    );
}

fn make_runs_two_jobs() {
    let prepare = |folder: &Path| {
        let names = ["a", "b"];
        for name in names {
            fs::write(folder.join(format!("{name}.c")), HELLO).expect("a source");
        }
        let rules = "all: a b\n%: %.c\n\t@gcc-14 -o $@ $<\nfail:\n\tfalse\n";
        fs::write(folder.join("Makefile"), rules).expect("rules");
    };
    same_in("make -j2 -Otarget; ./a; ./b; make fail; echo $?", prepare);
}

/// Of stress-ng: file system, pipes, signals, memory, processes. Each checks its own results.
const STRESSORS: &[&str] = &[
    "access",
    "chdir",
    "chmod",
    "dentry",
    "dir",
    "fallocate",
    "fcntl",
    "getdent",
    "link",
    "rename",
    "pipe",
    "poll",
    "eventfd",
    "signal",
    "sigpending",
    "sigsuspend",
    "sigrt",
    "mmap",
    "mprotect",
    "mremap",
    "brk",
    "fork",
    "vfork",
    "clone",
    "exec",
    "wait",
    "pthread",
    "futex",
    "sem",
    "switch",
];

fn stressors_find_nothing() {
    needs("/usr/bin/stress-ng");
    let (every, seconds) = scaled((10, 1), (1, 2));
    for stressor in STRESSORS.iter().step_by(every) {
        let shown = same(&format!(
            "stress-ng --quiet --verify --oom-avoid --{stressor} 1 --timeout {seconds} >&2; echo $?"
        ));
        assert_eq!(shown, "0\n", "{stressor}");
    }
}
