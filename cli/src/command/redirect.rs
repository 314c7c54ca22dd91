// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall redirect --pid PID [--stdout FILE] [--stderr FILE] [--stdin FILE]`

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use linux_raw_sys::general::{
    __NR_close,
    __NR_dup3,
    __NR_openat, //
    AT_FDCWD,
    O_APPEND,
    O_CLOEXEC,
    O_CREAT,
    O_NOCTTY,
    O_RDONLY,
    O_TRUNC,
    O_WRONLY,
};
use nlcall::raw::{
    Arg,
    Batch,
    Call,
    CallFlags,
    Chain,
    Data, //
};
use serde::Serialize;

use crate::exit::{
    Failure,
    Status, //
};
use crate::invocation::errno;
use crate::json;
use crate::options::RedirectOptions;
use crate::process::{
    failure,
    Answer,
    Caller,
    Proc,
    Process, //
};
use crate::table::print;

/// Permissions of a file that is created, less the umask of the process.
const MODE: u64 = 0o666;

/// A file, and the descriptors that are to refer to it.
#[derive(Debug, PartialEq, Eq)]
struct Redirection {
    path: PathBuf,
    flags: u32,
    fds: Vec<u32>,
}

/// What became of a descriptor, for programs.
#[derive(Debug, Serialize)]
struct Row {
    fd: u32,
    /// What it referred to, where that may be known.
    before: Option<String>,
    after: String,
}

/// Replaces the descriptors and says what they were.
pub fn run(options: &RedirectOptions, json: bool) -> Result<Status, Failure> {
    let redirections = redirections(options)?;
    let mut process = Process::open(options.pid)?;
    let rows = redirect(&mut process, options.pid, &redirections)?;
    let rows = match rows {
        Ok(rows) => rows,
        Err(why) => {
            eprintln!("nlcall redirect: {why}");
            return Ok(Status::Failed);
        }
    };
    if json {
        json::print_list("descriptors", &rows)?;
        return Ok(Status::Success);
    }
    let lines = rows.iter().map(|row| {
        let before = row.before.as_deref().unwrap_or("?");
        format!("{}: {before} -> {}\n", row.fd, row.after)
    });
    print(&lines.collect::<String>())?;
    Ok(Status::Success)
}

/// What the command line asks for: each file once, in the order of the descriptors.
fn redirections(options: &RedirectOptions) -> Result<Vec<Redirection>, Failure> {
    let behind = match options.append {
        true => O_APPEND,
        false => O_TRUNC,
    };
    let output = O_WRONLY | O_CREAT | behind;
    let wanted = [
        (0, &options.stdin, O_RDONLY),
        (1, &options.stdout, output),
        (2, &options.stderr, output),
    ];
    let mut redirections: Vec<Redirection> = Vec::new();
    for (fd, path, flags) in wanted {
        let Some(path) = path else {
            continue;
        };
        // The process has a working directory of its own.
        let path = std::path::absolute(path).map_err(|error| Failure::Setting {
            name: path.display().to_string(),
            why: error.to_string(),
        })?;
        // What is not inherited is gone before anybody sees it, should the program start another one.
        let flags = flags | O_NOCTTY | O_CLOEXEC;
        let mut known = redirections.iter_mut();
        match known.find(|it| it.path == path && it.flags == flags) {
            Some(redirection) => redirection.fds.push(fd),
            None => redirections.push(Redirection {
                path,
                flags,
                fds: vec![fd],
            }),
        }
    }
    Ok(redirections)
}

/// Makes the calls. The inner error says what could not be done.
fn redirect(
    process: &mut dyn Caller,
    pid: u32,
    redirections: &[Redirection],
) -> Result<Result<Vec<Row>, String>, Failure> {
    let proc = Proc::new(pid);
    let mut rows = Vec::new();
    for redirection in redirections {
        for fd in &redirection.fds {
            let before = proc.target(*fd);
            // A file opened there could become that descriptor itself. What may not be known is for the
            // kernel to refuse.
            if before
                .as_ref()
                .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
            {
                let why = format!("descriptor {fd} is not open: nothing goes through it");
                return Err(Failure::Process { pid, why });
            }
            rows.push(Row {
                fd: *fd,
                before: before
                    .ok()
                    .map(|target| target.to_string_lossy().into_owned()),
                after: redirection.path.display().to_string(),
            });
        }
    }
    let (calls, data) = calls(redirections);
    let answers = process
        .make(calls, data)
        .map_err(|error| failure(pid, error))?;
    let opened = &answers[..redirections.len()];
    let failed = opened.iter().position(|answer| answer.reply.ret < 0);
    if let Some(failed) = failed {
        close(process, &opened[..failed]).map_err(|error| failure(pid, error))?;
        let path = redirections[failed].path.display();
        return Ok(Err(format!(
            "{path}: {}; nothing was changed",
            why(&opened[failed])
        )));
    }
    for (row, replaced) in rows.iter().zip(&answers[redirections.len()..]) {
        if replaced.reply.ret < 0 {
            return Ok(Err(format!("descriptor {}: {}", row.fd, why(replaced))));
        }
    }
    Ok(Ok(rows))
}

/// The chain: open all files, put them in the place of the descriptors, close what is left over.
/// Nothing is replaced unless all could be opened; from then on all are closed, whatever happens.
fn calls(redirections: &[Redirection]) -> (Batch, Data) {
    let mut data = Data::new();
    let mut chain = Chain::new();
    let mut number = 0;
    let mut call = |nr, args: &[Arg], flags| {
        number += 1;
        // SAFETY: The addresses are those of the paths. To replace the descriptors is what the user
        // wants; all others are the chain's own.
        unsafe { Call::with_args(nr, args) }
            .user_data(number - 1)
            .flags(flags)
    };
    let mut opened = Vec::new();
    for redirection in redirections {
        // A path from the command line or the working directory has no zero byte.
        let path = CString::new(redirection.path.as_os_str().as_bytes()).unwrap_or_default();
        let path = data.put_c_str(&path);
        let at = Arg::from(AT_FDCWD);
        let args = [at, path.address(), redirection.flags.into(), MODE.into()];
        opened.push(chain.push(call(__NR_openat, &args, CallFlags::empty())));
    }
    for (redirection, opened) in redirections.iter().zip(&opened) {
        for fd in &redirection.fds {
            let args = [opened.result(), Arg::from(*fd), 0u32.into()];
            chain.push(call(__NR_dup3, &args, CallFlags::HARDLINK));
        }
    }
    for opened in &opened {
        chain.push(call(__NR_close, &[opened.result()], CallFlags::HARDLINK));
    }
    let mut batch = Batch::new();
    batch.push_chain(&chain);
    (batch, data)
}

/// Closes what was opened, where the chain did not come so far.
fn close(process: &mut dyn Caller, opened: &[Answer]) -> Result<(), nlcall::Error> {
    let calls = (0..).zip(opened).map(|(index, answer)| {
        let fd = answer.reply.ret as u64;
        // SAFETY: Nobody else knows the descriptor.
        unsafe { Call::new(__NR_close, &[fd]) }.user_data(index)
    });
    process.make(calls.collect(), Data::new()).map(drop)
}

fn why(answer: &Answer) -> String {
    errno(&answer.reply).map_or_else(|| answer.reply.ret.to_string(), |errno| errno.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::own::Own;
    use std::fs::{
        self,
        File, //
    };
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::path::Path;

    fn options(words: &[&str]) -> RedirectOptions {
        crate::options::tests::redirect(words)
    }

    fn own() -> u32 {
        std::process::id()
    }

    /// Files of this process that take the part of the standard ones.
    fn redirection(path: &Path, file: &File) -> Redirection {
        Redirection {
            path: path.to_owned(),
            flags: O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
            fds: vec![file.as_raw_fd() as u32],
        }
    }

    fn open_files() -> usize {
        Proc::new(own()).descriptors().unwrap().len()
    }

    #[test]
    fn a_file_for_both_outputs_is_opened_once() {
        let plan = redirections(&options(&["--stderr", "/x/log", "--stdout", "/x/log"])).unwrap();
        let flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC;
        let log = Redirection {
            path: "/x/log".into(),
            flags,
            fds: vec![1, 2],
        };
        assert_eq!(plan, [log]);
        let plan = redirections(&options(&["--stdout", "a", "--append", "--stdin", "/a"])).unwrap();
        assert_eq!((plan[0].flags, plan[0].fds[0]), (O_NOCTTY | O_CLOEXEC, 0));
        assert_eq!(
            plan[1].flags,
            O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC
        );
        assert_eq!(plan[1].path, std::env::current_dir().unwrap().join("a"));
    }

    #[test]
    fn descriptors_are_replaced_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        let (mut one, mut two) = (
            File::create(path("1")).unwrap(),
            File::create(path("2")).unwrap(),
        );
        let mut own_process = Own::default();
        let plan = [
            redirection(&path("new 1"), &one),
            redirection(&path("new 2"), &two),
        ];
        one.write_all(b"before").unwrap();
        let rows = redirect(&mut own_process, own(), &plan).unwrap().unwrap();
        one.write_all(b"one").unwrap();
        two.write_all(b"two").unwrap();
        let read = |name| fs::read_to_string(path(name)).unwrap();
        assert_eq!((read("1"), read("new 1")), ("before".into(), "one".into()));
        assert_eq!((read("2"), read("new 2")), (String::new(), "two".into()));
        assert_eq!(rows[0].before.as_deref(), path("1").to_str());
        assert_eq!(rows[0].after, path("new 1").to_str().unwrap());
        let made: Vec<_> = own_process.made.iter().map(|(nr, _)| *nr).collect();
        let expected = [
            __NR_openat,
            __NR_openat,
            __NR_dup3,
            __NR_dup3,
            __NR_close,
            __NR_close,
        ];
        assert_eq!(made, expected);
        for (place, path) in [(2, "new 1"), (3, "new 2")] {
            let [opened, fd, _, ..] = own_process.made[place].1;
            assert_eq!(
                own_process.made[place + 2].1[0],
                opened,
                "{path} was closed"
            );
            let target = Proc::new(own()).target(fd as u32).unwrap();
            assert!(target.to_string_lossy().ends_with(path));
        }
    }

    #[test]
    fn the_documentation_shows_what_programs_get() {
        let row = Row {
            fd: 1,
            before: Some("pipe:[31337]".to_owned()),
            after: "/var/log/job.log".to_owned(),
        };
        let printed = json::pretty_list("descriptors", &[row]);
        json::documented::assert_shows("nlcall redirect", &printed);
    }

    #[test]
    fn nothing_changes_where_a_file_cannot_be_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        let file = File::create(path("1")).unwrap();
        let plan = [
            redirection(&path("new"), &file),
            redirection(&path("no/such/folder"), &file),
        ];
        let mut own_process = Own::default();
        let why = redirect(&mut own_process, own(), &plan)
            .unwrap()
            .unwrap_err();
        assert!(why.contains("no/such/folder: ENOENT"), "{why}");
        let made: Vec<_> = own_process.made.iter().map(|(nr, _)| *nr).collect();
        assert_eq!(made, [__NR_openat, __NR_openat, __NR_close]);
        let target = Proc::new(own()).target(file.as_raw_fd() as u32).unwrap();
        assert_eq!(target, path("1"));
    }

    #[test]
    fn what_was_opened_is_closed_where_it_cannot_be_put_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("1")).unwrap();
        let plan = [redirection(&dir.path().join("new"), &file)];
        let mut own_process = Own::default();
        own_process.fail.insert(__NR_dup3, -i64::from(libc::EBUSY));
        let why = redirect(&mut own_process, own(), &plan)
            .unwrap()
            .unwrap_err();
        assert!(why.contains("EBUSY"), "{why}");
        let [.., (nr, args)] = &own_process.made[..] else {
            panic!("calls")
        };
        assert_eq!((*nr, args[0]), (__NR_close, own_process.made[1].1[0]));
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_none_to_replace() {
        let plan = [Redirection {
            path: "/x".into(),
            flags: 0,
            fds: vec![i32::MAX as u32],
        }];
        let before = open_files();
        let mut own_process = Own::default();
        let failure = redirect(&mut own_process, own(), &plan).unwrap_err();
        assert!(failure.message().contains("is not open"), "{failure}");
        assert!(own_process.made.is_empty() && open_files() <= before);
    }

    #[test]
    fn a_refusal_has_its_reason() {
        let plan = [Redirection {
            path: "/x".into(),
            flags: 0,
            fds: vec![1],
        }];
        let mut own_process = Own {
            rejection: Some((libc::EPERM, "TARGET_PIDFD: no right to ptrace it")),
            ..Own::default()
        };
        let failure = redirect(&mut own_process, own(), &plan).unwrap_err();
        assert_eq!(failure.status(), Status::Failed);
        assert!(failure.message().contains("no right to ptrace it"));
    }
}
