// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs a program plainly and under `nlcall run`, and holds the two against each other.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Everything that can be seen of a program.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: String,
    printed: Vec<u8>,
    complained: Vec<u8>,
    files: BTreeMap<PathBuf, File>,
}

/// A file that it left behind.
#[derive(Debug, PartialEq, Eq)]
struct File {
    mode: u32,
    links: u64,
    contents: Vec<u8>,
}

/// Runs a script of the shell twice, each time in an empty folder of the same name. Both must show
/// the same, and leave the same files; what is shown is returned.
pub fn same(script: &str) -> String {
    same_in(script, |_| {})
}

/// The same, where something is prepared in the folder.
pub fn same_in(script: &str, prepare: impl Fn(&Path)) -> String {
    let plain = seen(&["sh"], script, &prepare);
    let run = seen(&["nlcall", "run", "--", "sh"], script, &prepare);
    assert_eq!(run.status, plain.status, "{script}: {}", shown(&run));
    differ("printed", &run.printed, &plain.printed);
    differ("complained", &run.complained, &plain.complained);
    let names = |seen: &Seen| seen.files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&run), names(&plain), "{script}");
    for (name, file) in &plain.files {
        let other = &run.files[name];
        assert_eq!(
            (other.mode, other.links),
            (file.mode, file.links),
            "{script}: {name:?}"
        );
        differ(&name.to_string_lossy(), &other.contents, &file.contents);
    }
    shown(&plain)
}

/// Fails where the two differ, and says from where on.
fn differ(what: &str, run: &[u8], plain: &[u8]) {
    if run == plain {
        return;
    }
    let same = run.iter().zip(plain).take_while(|(a, b)| a == b).count();
    let around = |bytes: &[u8]| {
        let end = bytes.len().min(same + 200);
        String::from_utf8_lossy(&bytes[same.saturating_sub(200)..end]).into_owned()
    };
    panic!(
        "{what}: {} bytes, plainly {}; they differ from byte {same} on:\n--- run\n{}\n--- plainly\n{}",
        run.len(),
        plain.len(),
        around(run),
        around(plain)
    );
}

fn shown(seen: &Seen) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&seen.printed) + &text(&seen.complained)
}

/// Runs `sh -c SCRIPT`, with what comes before it.
fn seen(before: &[&str], script: &str, prepare: &impl Fn(&Path)) -> Seen {
    let folder = Path::new("compared");
    fs::create_dir(folder).expect("an empty folder");
    prepare(folder);
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(before[0])
        .args(&before[1..])
        .args(["-c", script])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let mut files = BTreeMap::new();
    collect(folder, &mut files);
    fs::remove_dir_all(folder).expect("the folder can be removed");
    Seen {
        status: status.to_string(),
        printed: stdout,
        complained: stderr,
        files,
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, File>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let metadata = path.symlink_metadata().expect("a file");
        let contents = if metadata.is_file() {
            fs::read(&path).expect("the file's contents")
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path).expect("where the link leads");
            target.as_os_str().as_bytes().to_vec()
        } else {
            Vec::new()
        };
        if metadata.is_dir() {
            collect(&path, files);
        }
        let file = File {
            mode: metadata.mode(),
            links: metadata.nlink(),
            contents,
        };
        files.insert(path, file);
    }
}
