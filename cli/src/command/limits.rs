// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall limits --pid PID [NAME[=SOFT[:HARD]]]...`

use linux_raw_sys::general::{
    __NR_prlimit64,
    RLIMIT_AS,
    RLIMIT_CORE,
    RLIMIT_CPU,
    RLIMIT_DATA,
    RLIMIT_FSIZE,
    RLIMIT_LOCKS,
    RLIMIT_MEMLOCK,
    RLIMIT_MSGQUEUE,
    RLIMIT_NICE,
    RLIMIT_NOFILE,
    RLIMIT_NPROC,
    RLIMIT_RSS,
    RLIMIT_RTPRIO,
    RLIMIT_RTTIME,
    RLIMIT_SIGPENDING,
    RLIMIT_STACK, //
};
use nlcall::raw::{
    Arg,
    Batch,
    Call,
    Data, //
};
use serde::Serialize;

use crate::exit::{
    Failure,
    Status, //
};
use crate::invocation::errno;
use crate::json;
use crate::options::LimitsOptions;
use crate::process::{
    failure,
    Answer,
    Caller,
    Process, //
};
use crate::table::{
    numbers,
    print_table,
    text,
    Column, //
};

const COLUMNS: &[Column] = &[
    text("RESOURCE"),
    numbers("SOFT"),
    numbers("HARD"),
    text("UNITS"),
    text("MEANING"),
];

/// `RLIM64_INFINITY`.
const UNLIMITED: u64 = u64::MAX;

/// Length of a `struct rlimit64` in bytes.
const RLIMIT: usize = 16;

/// A resource, by the name that `prlimit(1)` has for it.
#[derive(Debug, PartialEq, Eq)]
struct Resource {
    name: &'static str,
    number: u32,
    units: &'static str,
    meaning: &'static str,
}

const fn resource(
    name: &'static str,
    number: u32,
    units: &'static str,
    meaning: &'static str,
) -> Resource {
    Resource {
        name,
        number,
        units,
        meaning,
    }
}

const RESOURCES: &[Resource] = &[
    resource("as", RLIMIT_AS, "bytes", "address space"),
    resource("core", RLIMIT_CORE, "bytes", "size of a core file"),
    resource("cpu", RLIMIT_CPU, "seconds", "processor time"),
    resource("data", RLIMIT_DATA, "bytes", "size of the data segment"),
    resource(
        "fsize",
        RLIMIT_FSIZE,
        "bytes",
        "size of a file that is written",
    ),
    resource("locks", RLIMIT_LOCKS, "locks", "file locks"),
    resource("memlock", RLIMIT_MEMLOCK, "bytes", "memory that is locked"),
    resource("msgqueue", RLIMIT_MSGQUEUE, "bytes", "POSIX message queues"),
    resource(
        "nice",
        RLIMIT_NICE,
        "",
        "ceiling of the priority, as 20 - nice",
    ),
    resource("nofile", RLIMIT_NOFILE, "files", "open descriptors"),
    resource("nproc", RLIMIT_NPROC, "processes", "processes of the user"),
    resource("rss", RLIMIT_RSS, "bytes", "resident memory (not enforced)"),
    resource(
        "rtprio",
        RLIMIT_RTPRIO,
        "",
        "ceiling of the real-time priority",
    ),
    resource(
        "rttime",
        RLIMIT_RTTIME,
        "microseconds",
        "real-time processor time without a pause",
    ),
    resource(
        "sigpending",
        RLIMIT_SIGPENDING,
        "signals",
        "pending signals of the user",
    ),
    resource("stack", RLIMIT_STACK, "bytes", "size of the stack"),
];

/// A soft and a hard limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    soft: u64,
    hard: u64,
}

/// What is to become of a limit; what is not given stays.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    resource: &'static Resource,
    soft: Option<u64>,
    hard: Option<u64>,
}

/// One limit, for programs. What has no limit is null.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Row {
    resource: &'static str,
    soft: Option<u64>,
    hard: Option<u64>,
    units: &'static str,
}

/// Changes what is to be changed, and shows what is only named; all where nothing is.
pub fn run(options: &LimitsOptions, json: bool) -> Result<Status, Failure> {
    let (changes, shown) = read(&options.limits)?;
    let mut process = Process::open(options.pid)?;
    let failed = apply(&mut process, options.pid, &changes)?;
    for why in &failed {
        eprintln!("nlcall limits: {why}");
    }
    if !shown.is_empty() {
        let limits = limits(&mut process, options.pid, &shown)?;
        let rows = shown.iter().zip(limits);
        match json {
            true => {
                let rows: Vec<_> = rows.map(|(it, limit)| row(it, limit)).collect();
                json::print_list("limits", &rows)?;
            }
            false => {
                let cells = rows.map(|(it, limit)| cells(it, limit));
                print_table(COLUMNS, cells)?;
            }
        }
    }
    Ok(Status::failed_if(!failed.is_empty()))
}

/// Which limits are to be changed, and which shown.
fn read(words: &[String]) -> Result<(Vec<Change>, Vec<&'static Resource>), Failure> {
    let (mut changes, mut shown) = (Vec::new(), Vec::new());
    for word in words {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.as_str(), None),
        };
        let wrong = |why| Failure::Setting {
            name: name.to_owned(),
            why,
        };
        let resource = find(name).ok_or_else(|| {
            let known: Vec<_> = RESOURCES.iter().map(|resource| resource.name).collect();
            wrong(format!("no such limit; known: {}", known.join(", ")))
        })?;
        let named: Vec<_> = changes
            .iter()
            .map(|change: &Change| change.resource)
            .collect();
        if named.iter().chain(&shown).any(|known| *known == resource) {
            return Err(wrong("given twice".to_owned()));
        }
        match value {
            None => shown.push(resource),
            Some(value) => changes.push(change(resource, value).map_err(wrong)?),
        }
    }
    if words.is_empty() {
        shown.extend(RESOURCES);
    }
    Ok((changes, shown))
}

/// `nofile`, `RLIMIT_NOFILE`.
fn find(name: &str) -> Option<&'static Resource> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("rlimit_").unwrap_or(&name);
    RESOURCES.iter().find(|resource| resource.name == name)
}

/// `SOFT`, `SOFT:HARD`, `SOFT:` or `:HARD`.
fn change(resource: &'static Resource, value: &str) -> Result<Change, String> {
    let number = |text: &str| match text {
        "" => Ok(None),
        "unlimited" | "infinity" => Ok(Some(UNLIMITED)),
        _ => match text.parse() {
            Ok(number) if number != UNLIMITED => Ok(Some(number)),
            _ => Err(format!("`{text}` is no number, nor `unlimited`")),
        },
    };
    let (soft, hard) = value.split_once(':').unwrap_or((value, ""));
    let change = Change {
        resource,
        soft: number(soft)?,
        hard: number(hard)?,
    };
    match (change.soft, change.hard) {
        (None, None) => Err("a value is missing: SOFT, SOFT:HARD or :HARD".to_owned()),
        (Some(soft), Some(hard)) if soft > hard => {
            Err("the soft limit is above the hard one".to_owned())
        }
        _ => Ok(change),
    }
}

/// Makes the changes, each whatever becomes of the others; returns what went wrong.
fn apply(process: &mut dyn Caller, pid: u32, changes: &[Change]) -> Result<Vec<String>, Failure> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    // The kernel takes both limits, and here one may be missing.
    let resources: Vec<_> = changes.iter().map(|change| change.resource).collect();
    let before = limits(process, pid, &resources)?;
    let mut data = Data::new();
    let calls = (0..)
        .zip(changes)
        .zip(before)
        .map(|((index, change), before)| {
            let soft = change.soft.unwrap_or(before.soft).to_ne_bytes();
            let hard = change.hard.unwrap_or(before.hard).to_ne_bytes();
            let new = data.put(&[soft, hard].concat());
            prlimit(index, change.resource, new.address(), 0u64.into())
        });
    let calls: Batch = calls.collect();
    let answers = process
        .make(calls, data)
        .map_err(|error| failure(pid, error))?;
    let failed = changes.iter().zip(&answers).filter_map(|(change, answer)| {
        let errno = errno(&answer.reply)?;
        Some(format!("{}: {errno}", change.resource.name))
    });
    Ok(failed.collect())
}

/// The limits of these resources.
fn limits(
    process: &mut dyn Caller,
    pid: u32,
    resources: &[&'static Resource],
) -> Result<Vec<Limit>, Failure> {
    let mut data = Data::new();
    let calls = (0..).zip(resources).map(|(index, resource)| {
        let old = data.reserve(RLIMIT);
        prlimit(index, resource, 0u64.into(), old.output())
    });
    let calls: Batch = calls.collect();
    let answers = process
        .make(calls, data)
        .map_err(|error| failure(pid, error))?;
    let limits = resources.iter().zip(&answers);
    limits
        .map(|(resource, answer)| {
            limit(answer).ok_or_else(|| Failure::Process {
                pid,
                why: match errno(&answer.reply) {
                    Some(errno) => format!("{}: {errno}", resource.name),
                    None => format!("{}: no answer", resource.name),
                },
            })
        })
        .collect()
}

/// `prlimit64(0, ...)`: the limits of the process that makes the call.
fn prlimit(index: u64, resource: &Resource, new: Arg, old: Arg) -> Call {
    let args = [Arg::from(0u32), resource.number.into(), new, old];
    // SAFETY: The addresses are those of structures that travel with the call. That the process
    // copes with its limits is what the user answers for.
    unsafe { Call::with_args(__NR_prlimit64, &args) }.user_data(index)
}

/// The limit that came back.
fn limit(answer: &Answer) -> Option<Limit> {
    let (soft, hard) = answer.data.split_first_chunk::<8>()?;
    let hard = hard.first_chunk::<8>()?;
    (answer.reply.ret == 0).then(|| Limit {
        soft: u64::from_ne_bytes(*soft),
        hard: u64::from_ne_bytes(*hard),
    })
}

fn row(resource: &Resource, limit: Limit) -> Row {
    let number = |value| (value != UNLIMITED).then_some(value);
    Row {
        resource: resource.name,
        soft: number(limit.soft),
        hard: number(limit.hard),
        units: resource.units,
    }
}

fn cells(resource: &Resource, limit: Limit) -> Vec<String> {
    let number = |value| match value {
        UNLIMITED => "unlimited".to_owned(),
        value => value.to_string(),
    };
    vec![
        resource.name.to_owned(),
        number(limit.soft),
        number(limit.hard),
        resource.units.to_owned(),
        resource.meaning.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::process::RESOURCE;
    use crate::process::own::Own;

    fn words(words: &[&str]) -> Result<(Vec<Change>, Vec<&'static Resource>), String> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        read(&words).map_err(|failure| failure.message())
    }

    fn own() -> u32 {
        std::process::id()
    }

    #[test]
    fn every_resource_of_the_kernel_has_its_name() {
        let mut known: Vec<_> = RESOURCE.constants().collect();
        known.sort_by_key(|(name, _)| *name);
        let names = RESOURCES
            .iter()
            .map(|it| format!("RLIMIT_{}", it.name.to_uppercase()));
        let numbers = RESOURCES.iter().map(|it| u64::from(it.number));
        let ours: Vec<_> = names.zip(numbers).collect();
        let known: Vec<_> = known
            .iter()
            .map(|(name, it)| (String::from(*name), *it))
            .collect();
        assert_eq!(ours, known);
    }

    #[test]
    fn limits_are_named_and_changed() {
        let (changes, shown) =
            words(&["nofile=10:20", "RLIMIT_CORE", "cpu=unlimited", "as=:7"]).unwrap();
        assert_eq!(shown, [find("core").unwrap()]);
        let changes: Vec<_> = changes
            .iter()
            .map(|change| (change.resource.name, change.soft, change.hard))
            .collect();
        assert_eq!(
            changes,
            [
                ("nofile", Some(10), Some(20)),
                ("cpu", Some(UNLIMITED), None),
                ("as", None, Some(7)),
            ]
        );
        let (changes, shown) = words(&[]).unwrap();
        assert!(changes.is_empty());
        assert_eq!(shown.len(), RESOURCES.len());
        assert_eq!(words(&["nofile=5:"]).unwrap().0[0].hard, None);
    }

    #[test]
    fn the_documentation_shows_what_programs_get() {
        let limit = |soft, hard| Limit { soft, hard };
        let rows = [
            row(find("nofile").unwrap(), limit(1024, 524288)),
            row(find("core").unwrap(), limit(0, UNLIMITED)),
        ];
        let printed = json::pretty_list("limits", &rows);
        json::documented::assert_shows("nlcall limits", &printed);
    }

    #[test]
    fn what_is_no_limit_is_said() {
        for (wrong, text) in [
            ("files=1", "files: no such limit; known: as, core, "),
            ("nofile=", "nofile: a value is missing"),
            ("nofile=:", "nofile: a value is missing"),
            ("nofile=many", "nofile: `many` is no number"),
            ("nofile=-1", "`-1` is no number"),
            ("nofile=18446744073709551615", "is no number"),
            ("nofile=2:1", "nofile: the soft limit is above the hard one"),
        ] {
            let why = words(&[wrong]).unwrap_err();
            assert!(why.contains(text), "{wrong}: {why}");
        }
        for twice in [
            ["cpu", "cpu=1"],
            ["cpu=1", "cpu"],
            ["cpu=1", "RLIMIT_CPU=2"],
        ] {
            assert!(words(&twice).unwrap_err().ends_with(": given twice"));
        }
    }

    #[test]
    fn the_limits_of_this_process_are_read() {
        let resources: Vec<_> = RESOURCES.iter().collect();
        let read = limits(&mut Own::default(), own(), &resources).unwrap();
        for (resource, limit) in resources.iter().zip(read) {
            let mut known = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            // SAFETY: The structure is a local variable.
            let ret = unsafe { libc::getrlimit(resource.number, &mut known) };
            assert_eq!(ret, 0);
            let known = Limit {
                soft: known.rlim_cur,
                hard: known.rlim_max,
            };
            assert_eq!(limit, known, "{}", resource.name);
            assert_eq!(cells(resource, limit).len(), COLUMNS.len());
        }
    }

    #[test]
    fn what_is_not_given_stays() {
        // A limit that nothing here comes near, and that may be lowered and raised again.
        let resource = find("locks").unwrap();
        let mut process = Own::default();
        let before = limits(&mut process, own(), &[resource]).unwrap()[0];
        let set = |process: &mut Own, soft, hard| {
            let change = Change {
                resource,
                soft,
                hard,
            };
            apply(process, own(), &[change]).unwrap()
        };
        let soft = before.hard.min(1 << 40) - 1;
        assert_eq!(set(&mut process, Some(soft), None), [""; 0]);
        let now = limits(&mut process, own(), &[resource]).unwrap()[0];
        assert_eq!(now, Limit { soft, ..before });
        assert_eq!(set(&mut process, None, Some(before.hard)), [""; 0]);
        assert_eq!(limits(&mut process, own(), &[resource]).unwrap()[0], now);
        let failed = set(&mut process, Some(before.hard), Some(before.hard - 1));
        assert!(failed[0].starts_with("locks: EINVAL"), "{failed:?}");
        set(&mut process, Some(before.soft), None);
    }

    #[test]
    fn what_has_no_limit_is_null() {
        let limit = Limit {
            soft: 5,
            hard: UNLIMITED,
        };
        let resource = find("nofile").unwrap();
        assert_eq!(cells(resource, limit)[..3], ["nofile", "5", "unlimited"]);
        let row = serde_json::to_value(row(resource, limit)).unwrap();
        assert_eq!(
            row,
            serde_json::json!({"resource": "nofile", "soft": 5, "hard": null, "units": "files"})
        );
    }
}
