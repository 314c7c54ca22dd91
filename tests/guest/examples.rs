// SPDX-License-Identifier: MIT OR Apache-2.0

//! The library's larger examples that need the module, and the first one, which does not.

#[path = "../../client/examples/log_rotator.rs"]
mod log_rotator;
#[path = "../../client/examples/walker.rs"]
mod walker;

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{symlink, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nlcall_tests::patience;

use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    the_first_program_is_served_by_the_module,
    the_walker_finds_what_a_plain_walk_does,
    the_walker_says_what_it_cannot_look_at,
    the_log_rotator_loses_no_line,
    the_log_rotator_changes_nothing_where_it_cannot_go_on,
];

/// The same program as on a machine without the module.
fn the_first_program_is_served_by_the_module() {
    let ran = Command::new("nlcall-first-file").output().expect("it runs");
    let name = fs::read_to_string("/etc/hostname").expect("a name");
    let expected = format!(
        "netlink read {} bytes of /etc/hostname:\n{name}\n",
        name.len()
    );
    assert_eq!(String::from_utf8_lossy(&ran.stdout), expected);
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
}

/// What a plain walk finds: files, bytes in them, folders.
fn plain(folder: &Path) -> (u64, u64, u64) {
    let mut found = (0, 0, 1);
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let metadata = entry.metadata().expect("a file");
        if metadata.is_dir() {
            let (files, bytes, folders) = plain(&entry.path());
            found = (found.0 + files, found.1 + bytes, found.2 + folders);
        } else {
            found = (found.0 + 1, found.1 + metadata.len(), found.2);
        }
    }
    found
}

fn the_walker_finds_what_a_plain_walk_does() {
    for folder in 0..40 {
        let path = PathBuf::from(format!("tree/folder-{}/below-{folder}", folder % 7));
        fs::create_dir_all(&path).expect("a folder");
        for file in 0..folder * 2 {
            fs::write(path.join(format!("file-{file}")), vec![1; file * 10]).expect("a file");
        }
    }
    // More entries than a buffer holds, and a link, which is not followed.
    for file in 0..1500 {
        fs::write(format!("tree/a-file-with-a-long-name-{file:04}"), "12").expect("a file");
    }
    symlink("/", "tree/link").expect("a link");
    let root = Path::new("tree");
    for threads in [1, 2, 5] {
        let found = walker::walk(root, threads).expect("accepted");
        assert_eq!(found.errors, [""; 0]);
        let found = (found.files, found.bytes, found.folders);
        assert_eq!(found, plain(root), "{threads} threads");
    }
}

fn the_walker_says_what_it_cannot_look_at() {
    let found = walker::walk(Path::new("/no/such/folder"), 2).expect("accepted");
    let errors = ["\"/no/such/folder/\": ENOENT (No such file or directory)"];
    assert_eq!(
        (found.files, &found.errors[..]),
        (0, &errors.map(String::from)[..])
    );
}

/// A shell that writes numbered lines to a log, which is its standard error as well, until there is a
/// file `stop`.
fn chatter(log: &Path) -> Child {
    let file = File::create_new(log).expect("a new log");
    let errors = file.try_clone().expect("another descriptor");
    let script = "i=0; while [ ! -e stop ]; do echo $i; i=$((i+1)); done";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script]).stdin(Stdio::null());
    shell.stdout(file).stderr(errors).spawn().expect("a shell")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("a log")
}

fn the_log_rotator_loses_no_line() {
    const OLD: usize = 3;

    let log = std::env::current_dir().expect("a folder").join("log");
    let mut program = chatter(&log);
    fs::set_permissions(&log, Permissions::from_mode(0o640)).expect("permissions");
    let numbered = |number: usize| PathBuf::from(format!("{}.{number}", log.display()));
    let mut thrown_away = String::new();
    for round in 0..2 * OLD {
        patience::until("the program has written", || !text(&log).is_empty());
        let last = numbered(OLD);
        if last.exists() {
            thrown_away += &text(&last);
        }
        let count = log_rotator::rotate(program.id(), &log, OLD).expect("it is rotated");
        assert_eq!(count, 2, "round {round}");
        assert_eq!(fs::metadata(&log).expect("a log").mode() & 0o7777, 0o640);
    }
    patience::until("the program has written", || !text(&log).is_empty());
    File::create("stop").expect("a file");
    assert!(program.wait().expect("it ends").success());

    assert!(
        !numbered(OLD + 1).exists(),
        "as many are kept as was asked for"
    );
    let kept: String = (1..=OLD)
        .rev()
        .map(|number| text(&numbered(number)))
        .collect();
    let all = thrown_away + &kept + &text(&log);
    let numbers: Vec<usize> = all
        .lines()
        .map(|it| it.parse().expect("a number"))
        .collect();
    let expected: Vec<usize> = (0..numbers.len()).collect();
    assert!(numbers == expected, "{numbers:?}");
}

fn the_log_rotator_changes_nothing_where_it_cannot_go_on() {
    let log = std::env::current_dir().expect("a folder").join("log");
    let mut program = chatter(&log);
    patience::until("the program has written", || !text(&log).is_empty());
    let other = Path::new("other");
    fs::write(other, "").expect("a file");
    let why = log_rotator::rotate(program.id(), other, 3).expect_err("nobody writes to it");
    assert!(why.to_string().contains("does not write to"), "{why}");
    assert!(other.exists());

    File::create("stop").expect("a file");
    assert!(program.wait().expect("it ends").success());
    let why = log_rotator::rotate(program.id(), &log, 3).expect_err("it is gone");
    assert!(why.to_string().contains("there is none"), "{why}");
    assert!(!Path::new("log.1").exists());
}
