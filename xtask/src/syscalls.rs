// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's table of system calls, as the wire format's crate carries it.
//!
//! It is that of the newest series. That of an older one is its beginning, since new calls get the
//! next numbers; the module leaves out what is behind.

use std::fs;
use std::path::{
    Path,
    PathBuf, //
};

use anyhow::{
    ensure,
    Context,
    Result, //
};

use crate::checkout;
use crate::exit::{
    Exit,
    Failure, //
};
use crate::kernel::SUPPORTED;
use crate::sandbox::Sandbox;

/// The kernel's table, in its source.
const KERNEL_TABLE: &str = "arch/x86/entry/syscalls/syscall_64.tbl";
/// What is made of it, in the checkout.
const FILE: &str = "abi/src/syscalls.rs";
/// Begins the line that names the release.
const RELEASE: &str = "pub const RELEASE: &str = ";
/// Begins the table.
const TABLE: &str = "pub static TABLE: &[Syscall] = &[\n";
/// Ends it, and the file.
const END: &str = "];\n";

/// Writes the table that the sandbox's kernel has, which is of the newest series.
pub fn write(sandbox: &Sandbox) -> Result<PathBuf> {
    ensure!(
        sandbox.is_of_newest_series(),
        "{FILE} holds the table of Linux {}, and {} has only its beginning: leave --kernel out",
        SUPPORTED[0],
        sandbox.release()
    );
    let path = checkout::root().join(FILE);
    let generated = generated(sandbox, &path)?;
    fs::write(&path, generated).with_context(|| format!("writing {path:?}"))?;
    Ok(path)
}

/// Fails where the checkout's table is another than the kernel's, or does not begin with that of an
/// older one.
pub fn check(sandbox: &Sandbox) -> Result<()> {
    let path = checkout::root().join(FILE);
    let generated = generated(sandbox, &path)?;
    let present = fs::read_to_string(&path).with_context(|| format!("reading {path:?}"))?;
    let difference = match sandbox.is_of_newest_series() {
        true => first_difference(&present, &generated),
        false => first_difference_of_beginning(&present, &generated),
    };
    match difference {
        None => Ok(()),
        Some((line, found, wanted)) => Err(Failure::new(
            Exit::Failed,
            format!(
                "{FILE} is not the table of {}: line {line} is {found:?} and should be {wanted:?}; \
                 `cargo xtask syscalls` writes it anew",
                sandbox.release()
            ),
        )
        .into()),
    }
}

/// The file as it should be: all that surrounds the table is kept.
fn generated(sandbox: &Sandbox, path: &Path) -> Result<String> {
    let table = sandbox.outside(&sandbox.source().join(KERNEL_TABLE));
    let table = fs::read_to_string(&table).with_context(|| format!("reading {table:?}"))?;
    let present = fs::read_to_string(path).with_context(|| format!("reading {path:?}"))?;
    replace_table(&present, SUPPORTED[0], &entries(&table)?)
        .with_context(|| format!("{FILE} has lost the lines {RELEASE:?} and {TABLE:?}"))
}

/// The first line in which two texts differ: its number, and what each has there.
fn first_difference<'a>(a: &'a str, b: &'a str) -> Option<(usize, &'a str, &'a str)> {
    let (mut a, mut b) = (a.lines(), b.lines());
    for number in 1.. {
        match (a.next(), b.next()) {
            (None, None) => return None,
            (a, b) if a == b => {}
            (a, b) => return Some((number, a.unwrap_or("(the end)"), b.unwrap_or("(the end)"))),
        }
    }
    None
}

/// The same where `a` may go on where the table of `b` ends.
fn first_difference_of_beginning<'a>(a: &'a str, b: &'a str) -> Option<(usize, &'a str, &'a str)> {
    let b = b.strip_suffix(END).unwrap_or(b);
    let count = b.lines().count();
    first_difference(a, b).filter(|(line, ..)| *line <= count)
}

fn replace_table(file: &str, release: &str, entries: &[Entry]) -> Option<String> {
    let (head, _) = file.split_once(TABLE)?;
    let (before, rest) = head.split_once(RELEASE)?;
    let (_, after) = rest.split_once('\n')?;
    let lines: String = entries.iter().map(Entry::line).collect();
    Some(format!(
        "{before}{RELEASE}\"{release}\";\n{after}{TABLE}{lines}{END}"
    ))
}

/// One entry of the kernel's table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    nr: u32,
    name: String,
    implemented: bool,
}

impl Entry {
    fn line(&self) -> String {
        let function = if self.implemented { "entry" } else { "empty" };
        format!("    {function}({}, {:?}),\n", self.nr, self.name)
    }
}

/// The entries that a 64-bit process can call.
fn entries(table: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for line in table.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<_> = line.split_whitespace().collect();
        let [nr, abi, name, rest @ ..] = words.as_slice() else {
            continue;
        };
        if matches!(*abi, "common" | "64") {
            let nr = nr
                .parse()
                .with_context(|| format!("the number of {name}"))?;
            entries.push(Entry {
                nr,
                name: (*name).to_owned(),
                implemented: !rest.is_empty(),
            });
        }
    }
    entries.sort_by_key(|entry| entry.nr);
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: &str = "\
# comment
1	common	write			sys_write
0	common	read			sys_read
60	common	exit			sys_exit			-			noreturn
174	64	create_module
512	x32	rt_sigaction		compat_sys_rt_sigaction
";

    #[test]
    fn entries_of_64_bit_processes_in_order() {
        let lines: String = entries(KERNEL).unwrap().iter().map(Entry::line).collect();
        assert_eq!(
            lines,
            "    entry(0, \"read\"),\n    entry(1, \"write\"),\n    entry(60, \"exit\"),\n    \
             empty(174, \"create_module\"),\n"
        );
    }

    #[test]
    fn only_release_and_table_change() {
        let file = format!(
            "// head\n{RELEASE}\"1.0\";\nfn keep() {{}}\n{TABLE}    entry(9, \"old\"),\n];\n"
        );
        let new = replace_table(&file, "7.3", &entries(KERNEL).unwrap()).unwrap();
        assert!(new.starts_with(&format!(
            "// head\n{RELEASE}\"7.3\";\nfn keep() {{}}\n{TABLE}    entry(0, "
        )));
        assert!(new.ends_with("    empty(174, \"create_module\"),\n];\n"));
        assert_eq!(
            replace_table(&new, "7.3", &entries(KERNEL).unwrap()).unwrap(),
            new
        );
        assert_eq!(replace_table("nothing of it", "7.3", &[]), None);
    }

    #[test]
    fn the_table_of_an_older_kernel_is_the_beginning() {
        let newest = format!("head\n{TABLE}    a,\n    b,\n    c,\n{END}");
        let older = format!("head\n{TABLE}    a,\n    b,\n{END}");
        assert_eq!(first_difference_of_beginning(&newest, &older), None);
        assert_eq!(first_difference_of_beginning(&newest, &newest), None);
        let other = format!("head\n{TABLE}    a,\n    x,\n{END}");
        assert_eq!(
            first_difference_of_beginning(&newest, &other),
            Some((4, "    b,", "    x,"))
        );
        // A call that the newest has not any more.
        assert_eq!(
            first_difference_of_beginning(&older, &newest),
            Some((5, "];", "    c,"))
        );
    }

    #[test]
    fn a_difference_is_named_by_its_line() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some((2, "b", "c")));
        assert_eq!(
            first_difference("a\n", "a\nc\n"),
            Some((2, "(the end)", "c"))
        );
    }
}
