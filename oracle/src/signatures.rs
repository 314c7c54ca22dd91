// SPDX-License-Identifier: MIT OR Apache-2.0

//! The signatures that the command `nlcall` has, held against the kernel that runs.

use std::fs;

use nlcall_cli::signature::{Kind, Signature};
use nlcall_tests::calls::of_this_kernel;

use crate::configuration::Configuration;

/// Where the kernel describes the system calls that it can trace.
const EVENTS: &str = "/sys/kernel/tracing/events/syscalls";

/// Entries whose functions have another name in the kernel's source.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("stat", "newstat"),
    ("fstat", "newfstat"),
    ("lstat", "newlstat"),
    ("uname", "newuname"),
    ("umount2", "umount"),
    ("sendfile", "sendfile64"),
];

/// Calls that the kernel does not describe: x86-64's own without parameters that could be traced.
const UNDESCRIBED: &[&str] = &[
    "rt_sigreturn",
    "uretprobe",
    "uprobe",
    // A name without a function, and a function that the configuration leaves out.
    "_sysctl",
    "rseq_slice_yield",
];

/// One parameter, as the kernel describes it: `const char * filename`.
#[derive(Debug)]
struct Field {
    kind: String,
    name: String,
}

/// The parameters of a call; none where the kernel does not describe it.
fn fields(name: &str) -> Option<Vec<Field>> {
    let other = OTHER_NAMES.iter().find(|(ours, _)| *ours == name);
    let event = other.map_or(name, |(_, theirs)| theirs);
    let format = fs::read_to_string(format!("{EVENTS}/sys_enter_{event}/format")).ok()?;
    let declarations = format.lines().filter_map(|line| {
        let declaration = line.trim().strip_prefix("field:")?.split(';').next()?;
        let (kind, name) = declaration.rsplit_once(' ')?;
        // What a pointer points to follows the parameters.
        if kind.starts_with("__data_loc") {
            return None;
        }
        Some(Field {
            kind: kind.to_owned(),
            name: name.to_owned(),
        })
    });
    // What every event has, and the number.
    let own = |field: &Field| !field.name.starts_with("common_") && field.name != "__syscall_nr";
    Some(declarations.filter(own).collect())
}

/// Whether a kind can be this type of C.
fn suits(kind: Kind, field: &Field) -> bool {
    const SIGNED: &[&str] = &[
        "int",
        "pid_t",
        "key_t",
        "key_serial_t",
        "mqd_t",
        "timer_t",
        "clockid_t",
        "qid_t",
        "__s32",
        "int32_t",
        "rwf_t",
    ];
    const UNSIGNED: &[&str] = &[
        "unsigned int",
        "unsigned",
        "u32",
        "uint32_t",
        "__u32",
        "uid_t",
        "gid_t",
        "qid_t",
        "mode_t",
        "umode_t",
        "rwf_t",
        "old_uid_t",
    ];
    const SIGNED_WORDS: &[&str] = &["long", "off_t", "loff_t"];
    const WORDS: &[&str] = &[
        "unsigned long",
        "size_t",
        "aio_context_t",
        "u64",
        "__u64",
        "cap_user_header_t",
    ];

    let kind_of_c = field.kind.replace("const ", "");
    let is = |names: &[&str]| names.contains(&kind_of_c.trim());
    let is_pointer = field.kind.contains('*')
        || field.kind.ends_with("_t")
            && !is(SIGNED)
            && !is(UNSIGNED)
            && !is(SIGNED_WORDS)
            && !is(WORDS);
    let is_number = kind_of_c.starts_with("enum ")
        || is(SIGNED)
        || is(UNSIGNED)
        || is(SIGNED_WORDS)
        || is(WORDS);
    match kind {
        Kind::Int => is(SIGNED) || is(UNSIGNED),
        Kind::Uint | Kind::Mode => is_number && !is(SIGNED_WORDS) && !is(WORDS),
        Kind::Long => is(SIGNED_WORDS) || is(WORDS),
        Kind::Ulong => is(WORDS) || is(SIGNED_WORDS),
        Kind::Signal | Kind::Fd | Kind::Dirfd => is(SIGNED) || is(UNSIGNED) || is(WORDS),
        Kind::Hex | Kind::Names(_) => is_number,
        Kind::Any => true,
        Kind::Address => is_pointer || is(WORDS),
        _ => is_pointer,
    }
}

/// In what the command's signatures are others than the kernel's own: number, names and types of the
/// parameters.
pub fn differences(configuration: &Configuration) -> Vec<String> {
    let (mut held, mut wrong) = (0, Vec::new());
    for call in of_this_kernel() {
        let signature = Signature::of(call.name).expect("a test of the command holds it");
        let Some(fields) = fields(call.name) else {
            let is_there = call.implemented && !configuration.leaves_out(call.name);
            if is_there && !UNDESCRIBED.contains(&call.name) {
                wrong.push(format!("{}: the kernel does not describe it", call.name));
            }
            continue;
        };
        held += 1;
        let ours = signature.parameters.iter().map(|parameter| parameter.name);
        let theirs = fields.iter().map(|field| field.name.as_str());
        if !ours.eq(theirs) {
            wrong.push(format!("{signature}: the kernel has {fields:?}"));
            continue;
        }
        for (parameter, field) in signature.parameters.iter().zip(&fields) {
            if !suits(parameter.kind, field) {
                wrong.push(format!("{}: {parameter} is {field:?}", call.name));
            }
        }
    }
    if held < 350 {
        wrong.push(format!("the kernel describes only {held} calls"));
    }
    wrong
}
