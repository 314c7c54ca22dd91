// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a call left behind, as lines that can be compared.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt::Write,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    case::Aspect,
    world::{Prepared, World, FILL},
};

/// Lines for each aspect.
pub type Observation = BTreeMap<Aspect, Vec<String>>;

/// The bytes of all prepared memory, in rows; rows that hold nothing are left out.
pub fn memory(world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, prepared) in world.prepared.iter().enumerate() {
        rows(number, prepared, &mut lines);
    }
    for (number, pages) in world.pages.iter().enumerate() {
        // A call may have unmapped them.
        if is_readable(pages.address(), pages.len()) {
            let mut hasher = DefaultHasher::new();
            pages.get().hash(&mut hasher);
            lines.push(format!("pages {number}: {:016x}", hasher.finish()));
        }
    }
    lines
}

fn rows(number: usize, prepared: &Prepared, lines: &mut Vec<String>) {
    const ROW: usize = 16;

    let now = prepared.memory.get();
    let mut varied = vec![None; now.len()];
    for range in &prepared.varies {
        let range = range.start.min(now.len())..range.end.min(now.len());
        let written = now[range.clone()] != prepared.before[range.clone()];
        varied[range].fill(Some(written));
    }
    for (row, bytes) in now.chunks(ROW).enumerate() {
        let first = row * ROW;
        let varied = &varied[first..first + bytes.len()];
        let untouched = bytes.iter().all(|byte| *byte == FILL);
        if untouched && varied.iter().all(Option::is_none) {
            continue;
        }
        let mut line = format!("memory {number} +{first:#x}:");
        for (byte, varied) in bytes.iter().zip(varied) {
            let _ = match varied {
                None => write!(line, " {byte:02x}"),
                Some(true) => write!(line, " **"),
                Some(false) => write!(line, " .."),
            };
        }
        lines.push(line);
    }
}

/// Whether all of it is mapped and may be read.
fn is_readable(address: u64, len: usize) -> bool {
    let end = address + len as u64;
    let mut reached = address;
    for mapping in mappings() {
        if mapping.start <= reached && reached < mapping.end && mapping.what.starts_with('r') {
            reached = mapping.end;
        }
    }
    reached >= end && !has_key(address)
}

/// Whether a protection key may keep this thread from reading it.
fn has_key(address: u64) -> bool {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let mut inside = false;
    for line in smaps.lines() {
        if let Some(mapping) = Mapping::parse(line) {
            inside = mapping.start <= address && address < mapping.end;
        } else if inside && line.starts_with("ProtectionKey:") {
            return !line.ends_with(" 0");
        }
    }
    false
}

/// One line of `/proc/self/maps`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapping {
    start: u64,
    end: u64,
    /// Protection, offset and what is mapped.
    what: String,
}

impl Mapping {
    fn parse(line: &str) -> Option<Self> {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let mut words = rest.split_whitespace();
        let protection = words.next()?;
        let offset = words.next()?;
        // Device and inode are other ones each time.
        let name = words.nth(2).unwrap_or_default();
        Some(Self {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            what: format!("{protection} {offset} {}", without_numbers(name)),
        })
    }
}

/// What is mapped, apart from what the program needs for itself.
pub fn mappings() -> Vec<Mapping> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mappings = maps.lines().filter_map(Mapping::parse);
    mappings
        .filter(|it| {
            !["[heap]", "[stack]"]
                .iter()
                .any(|name| it.what.ends_with(name))
        })
        .collect()
}

/// What changed, and the state of the pages that were prepared.
pub fn changed_mappings(before: &[Mapping], world: &World) -> Vec<String> {
    let after = mappings();
    let gone = before.iter().filter(|it| !after.contains(it));
    let mut lines: Vec<_> = gone.map(|it| line(it, "gone")).collect();
    let new = after.iter().filter(|it| !before.contains(it));
    lines.extend(new.map(|it| line(it, "new")));
    if !world.pages.is_empty() {
        lines.extend(page_states(world));
    }
    lines
}

fn line(mapping: &Mapping, what: &str) -> String {
    let Mapping { start, end, .. } = mapping;
    format!("{what}: {start:x}-{end:x} {}", mapping.what)
}

/// Flags and locks of the mappings that the prepared pages lie in.
fn page_states(world: &World) -> Vec<String> {
    const WORTH: &[&str] = &["Size:", "Locked:", "VmFlags:", "ProtectionKey:"];

    let smaps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let mut lines = Vec::new();
    let mut inside = None;
    for line in smaps.lines() {
        if let Some(mapping) = Mapping::parse(line) {
            let overlaps = |pages: &&nlcall_tests::memory::Memory| {
                let start = pages.address();
                mapping.start < start + pages.len() as u64 && start < mapping.end
            };
            inside = world.pages.iter().position(|pages| overlaps(&pages));
        } else if let Some(number) = inside {
            if WORTH.iter().any(|name| line.starts_with(name)) {
                lines.push(format!("pages {number}: {}", line.trim_end()));
            }
        }
    }
    lines
}

/// The table of descriptors.
pub fn descriptors() -> Vec<String> {
    let mut names = Names::default();
    let mut numbers: Vec<i32> = match fs::read_dir("/proc/self/fd") {
        Ok(entries) => entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect(),
        Err(error) => return vec![format!("/proc/self/fd: {error}")],
    };
    numbers.sort_unstable();
    let mut lines = Vec::new();
    for number in numbers {
        // The folder that was just listed is gone.
        let Ok(target) = fs::read_link(format!("/proc/self/fd/{number}")) else {
            continue;
        };
        let target = names.of(&target.to_string_lossy());
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        // The kernel orders what epoll watches by address.
        let mut info: Vec<_> = info.lines().filter_map(worth).collect();
        info.sort();
        lines.push(format!("{number}: {target} {}", info.join(" ")));
    }
    lines
}

/// What of a line of fdinfo is the same each time.
fn worth(line: &str) -> Option<String> {
    const WHOLE: &[&str] = &[
        "pos:",
        "flags:",
        "eventfd-count:",
        "sigmask:",
        "clockid:",
        "settime flags:",
        "fanotify flags:",
        "seals:",
    ];
    let words: Vec<_> = line.split_whitespace().collect();
    if WHOLE.iter().any(|name| line.starts_with(name)) {
        return Some(words.join(""));
    }
    match words.as_slice() {
        ["lock:", _, kind, mode, access, _, _, start, end] => {
            Some(format!("lock:{kind},{mode},{access},{start},{end}"))
        }
        ["tfd:", fd, "events:", events, "data:", data, ..] => {
            Some(format!("watches:{fd},{events},{data}"))
        }
        ["inotify", wd, .., mask, _] if mask.starts_with("mask:") => Some(format!("{wd},{mask}")),
        _ => None,
    }
}

/// Names for pipes and sockets, whose numbers are other ones each time.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    fn of(&mut self, target: &str) -> String {
        let Some((kind, _)) = target.split_once(":[") else {
            return without_numbers(target);
        };
        if kind == "anon_inode" {
            return target.to_owned();
        }
        let at = self.0.iter().position(|name| name == target);
        let at = at.unwrap_or_else(|| {
            self.0.push(target.to_owned());
            self.0.len() - 1
        });
        format!("{kind} {at}")
    }
}

/// A path whose parts that are numbers are left out: process ids in `/proc`, temporary files, loop
/// devices.
fn without_numbers(path: &str) -> String {
    let parts: Vec<_> = path
        .split('/')
        .map(|part| {
            let (part, rest) = part.split_once(' ').map_or((part, ""), |(a, b)| (a, b));
            let digits = part.trim_start_matches('#');
            let digits = digits.strip_prefix("loop").unwrap_or(digits);
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            match (is_number, rest) {
                (true, _) => "N".to_owned(),
                (false, "") => part.to_owned(),
                (false, rest) => format!("{part} {rest}"),
            }
        })
        .collect();
    parts.join("/")
}

/// State of the process and of its first thread.
pub fn process(world: &World) -> Vec<String> {
    const STATUS: &[&str] = &[
        "Name:",
        "Umask:",
        "Uid:",
        "Gid:",
        "Groups:",
        "VmLck:",
        "VmPin:",
        "SigPnd:",
        "ShdPnd:",
        "SigBlk:",
        "SigIgn:",
        "SigCgt:",
        "CapInh:",
        "CapPrm:",
        "CapEff:",
        "CapBnd:",
        "CapAmb:",
        "NoNewPrivs:",
        "Seccomp:",
        "THP_enabled:",
        "Cpus_allowed:",
        "Mems_allowed:",
        "untag_mask:",
        "x86_Thread_features:",
    ];

    let mut lines = Vec::new();
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let status = read("status");
    let worth = status
        .lines()
        .filter(|line| STATUS.iter().any(|name| line.starts_with(name)));
    lines.extend(worth.map(str::to_owned));
    // Behind the name, which may contain anything: fields 3 and following of proc_pid_stat(5).
    let stat = read("stat");
    let fields: Vec<_> = stat
        .rsplit_once(") ")
        .map(|(_, fields)| fields.split(' ').collect())
        .unwrap_or_default();
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or_default();
    for (name, number) in [("group", 5), ("session", 6)] {
        let pid = field(number).parse().unwrap_or(0);
        lines.push(format!("{name}: {}", who(world, pid)));
    }
    for (name, number) in [
        ("terminal", 7),
        ("priority", 18),
        ("nice", 19),
        ("real-time priority", 40),
        ("policy", 41),
    ] {
        lines.push(format!("{name}: {}", field(number)));
    }
    for link in ["cwd", "root"] {
        let target = fs::read_link(format!("/proc/self/{link}")).unwrap_or_default();
        lines.push(format!("{link}: {}", target.display()));
    }
    for name in [
        "personality",
        "oom_score_adj",
        "coredump_filter",
        "timerslack_ns",
    ] {
        lines.push(format!("{name}: {}", read(name).trim()));
    }
    lines.extend(read("limits").lines().map(str::to_owned));
    lines.extend(timers(&read("timers")));
    for name in ["hostname", "domainname"] {
        let value = fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        lines.push(format!("{name}: {}", value.trim()));
    }
    for (namespace, now) in namespaces() {
        let of_runner = own_namespaces().iter().any(|(_, it)| *it == now);
        lines.push(format!("{namespace} namespace: the machine's: {of_runner}"));
    }
    for which in [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF] {
        // SAFETY: the structure may be all zero, and the call writes it.
        let armed = unsafe {
            let mut value: libc::itimerval = std::mem::zeroed();
            libc::getitimer(which, &mut value);
            value.it_value.tv_sec != 0 || value.it_value.tv_usec != 0
        };
        lines.push(format!("interval timer {which}: {armed}"));
    }
    lines
}

/// The namespaces of this process.
fn namespaces() -> Vec<(&'static str, Option<PathBuf>)> {
    ["mnt", "uts", "ipc", "net", "user", "pid", "cgroup", "time"]
        .map(|name| (name, fs::read_link(format!("/proc/self/ns/{name}")).ok()))
        .to_vec()
}

/// Those that this program was started in.
pub fn own_namespaces() -> &'static [(&'static str, Option<PathBuf>)] {
    static NAMESPACES: OnceLock<Vec<(&'static str, Option<PathBuf>)>> = OnceLock::new();
    NAMESPACES.get_or_init(namespaces)
}

/// POSIX timers, without what is another each time.
fn timers(text: &str) -> Vec<String> {
    let keeps = |line: &&str| line.starts_with("ID:") || line.starts_with("ClockID:");
    let mut lines: Vec<_> = text.lines().filter(keeps).map(str::to_owned).collect();
    let notified = text.lines().filter_map(|line| {
        let line = line.strip_prefix("notify: ")?;
        Some(format!("notify: {}", line.split('.').next()?))
    });
    lines.extend(notified);
    lines
}

/// A process by what it is to the one that makes the call.
pub fn who(world: &World, pid: i32) -> String {
    let known = world.processes.iter().find(|(known, _)| *known == pid);
    match known {
        Some((_, name)) => name.clone(),
        None if pid > 0 => "another".to_owned(),
        None => pid.to_string(),
    }
}

/// Everything below a folder: kind, permissions, owner, links, size, times, contents, attributes.
pub fn tree(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    describe(folder, folder, &mut lines);
    lines.sort();
    lines
}

fn describe(top: &Path, path: &Path, lines: &mut Vec<String>) {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return;
    };
    let name = path.strip_prefix(top).unwrap_or(path).display();
    let kind = metadata.file_type();
    // A folder's size and links say nothing more than its entries.
    let (size, links) = match kind.is_dir() {
        true => (0, 0),
        false => (metadata.size(), metadata.nlink()),
    };
    let mut line = format!(
        "./{name}: {:o} {}:{} links {links} size {size} device {:x} changed {} used {}",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        metadata.rdev(),
        moment(metadata.mtime()),
        moment(metadata.atime()),
    );
    if kind.is_symlink() {
        let target = fs::read_link(path).unwrap_or_default();
        let _ = write!(line, " to {}", target.display());
    }
    if kind.is_file() {
        let mut hasher = DefaultHasher::new();
        fs::read(path).ok().hash(&mut hasher);
        let blocks = metadata.blocks();
        let _ = write!(line, " blocks {blocks} contents {:016x}", hasher.finish());
    }
    if !kind.is_fifo() && !kind.is_socket() {
        for (name, value) in attributes(path) {
            let _ = write!(line, " {name}={value:?}");
        }
    }
    lines.push(line);
    if kind.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            describe(top, &entry.path(), lines);
        }
    }
}

/// A time that is about now is another each time.
fn moment(seconds: i64) -> String {
    const HOUR: i64 = 3600;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs() as i64);
    match (seconds - now).abs() < HOUR {
        true => "now".to_owned(),
        false => seconds.to_string(),
    }
}

/// Extended attributes of users.
fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = [0_u8; 1024];
    let Ok(length) = rustix::fs::llistxattr(path, &mut names) else {
        return Vec::new();
    };
    let names = names[..length].split(|byte| *byte == 0);
    names
        .filter(|name| name.starts_with(b"user."))
        .map(|name| {
            let mut value = [0_u8; 1024];
            let text = String::from_utf8_lossy(name).into_owned();
            let name = <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name);
            let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap_or(0);
            (text, value[..length].to_vec())
        })
        .collect()
}
