// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reports of data races in the kernel's log, and whether the module has a part in one.
//!
//! A report names two accesses, each with the functions that led to it, innermost first. The module
//! has a part in it where one of the accesses is its own. That its functions are further out says
//! little: a worker's are below every system call.

use std::sync::LazyLock;

use regex::Regex;

/// Begins a report.
const BEGINS: &str = "BUG: KCSAN: ";
/// Ends the part of a report that is about accesses.
const ENDS: &str = "Reported by Kernel Concurrency Sanitizer on:";
/// Ends each function of the module.
const OF_MODULE: &str = "[nlcall]";

/// Comes before the functions of an access.
static ACCESS: LazyLock<Regex> = LazyLock::new(|| pattern(r" to 0x[0-9a-f]+ of \d+ bytes by "));
/// Functions that access memory on behalf of who calls them: the module's part is theirs.
static HELPER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(__)?(mem(cpy|move|set|cmp|chr)|str[a-z]+|_?copy_(from|to)_|list_|llist_|hlist_|rb_|xas?_|refcount_|atomic|rust_helper_|mutex_|up_|down_|_raw_)",
    )
});

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|error| panic!("a pattern is wrong: {error}"))
}

/// Where in a report the log is.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Reader {
    /// In none.
    #[default]
    Outside,
    /// In one, behind what it says of an access or before that.
    Inside,
    /// Before the function that makes an access.
    BeforeAccess,
}

impl Reader {
    /// Whether this message is part of a report.
    pub fn is_part(&mut self, message: &str) -> bool {
        if message.starts_with(BEGINS) {
            *self = Self::Inside;
        }
        *self != Self::Outside
    }

    /// Reads a message that is part of a report. Whether it names an access of the module's.
    pub fn is_of_module(&mut self, message: &str) -> bool {
        if message.starts_with(ENDS) {
            *self = Self::Outside;
        } else if ACCESS.is_match(message) {
            *self = Self::BeforeAccess;
        } else if *self == Self::BeforeAccess && !HELPER.is_match(message) {
            *self = Self::Inside;
            return message.ends_with(OF_MODULE);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a report that name an access of the module's.
    fn named(report: &str) -> Vec<&str> {
        let mut reader = Reader::default();
        let mut named = Vec::new();
        for line in report.lines().map(str::trim) {
            if reader.is_part(line) && reader.is_of_module(line) {
                named.push(line);
            }
        }
        assert_eq!(reader, Reader::Outside, "the report ends");
        named
    }

    fn report(first: &str, second: &str) -> String {
        format!(
            "==================================================================
             BUG: KCSAN: data-race in something / something else

             write to 0xffff888104b2c9c8 of 8 bytes by task 174 on cpu 1:
              {first}
              vhost_task_fn+0xec/0x100
              ret_from_fork+0x2bc/0x350

             read to 0xffff888104b2c9c8 of 8 bytes by interrupt on cpu 0:
              {second}

             value changed: 0x0000000000000000 -> 0x0000000000000001

             Reported by Kernel Concurrency Sanitizer on:
             CPU: 0 UID: 0 PID: 173 Comm: nlcall-guest-te Tainted: G O
             ============================================================"
        )
    }

    const KERNEL: &str = "do_sys_poll+0x416/0x5a0\n nlcall_execute+0x1f/0x80 [nlcall]";
    const MODULE: &str = "_RNvMs_NtCs1_11nlcall_main6workerNtB4_6Worker4work+0x1/0x2 [nlcall]";
    const LIBRARY: &str = "__list_add_valid+0x1/0x2\n nlcall_notify+0x1f/0x80 [nlcall]";

    #[test]
    fn an_access_of_the_modules_is_named_whichever_it_is() {
        assert_eq!(named(&report(MODULE, KERNEL)), [MODULE]);
        assert_eq!(named(&report(KERNEL, MODULE)), [MODULE]);
        assert_eq!(named(&report(MODULE, MODULE)), [MODULE, MODULE]);
    }

    #[test]
    fn what_a_system_call_does_is_not_the_modules() {
        assert_eq!(named(&report(KERNEL, KERNEL)), [""; 0]);
    }

    #[test]
    fn what_a_list_does_is_whose_list_it_is() {
        let of_module = ["nlcall_notify+0x1f/0x80 [nlcall]"];
        assert_eq!(named(&report(LIBRARY, KERNEL)), of_module);
        assert_eq!(named(&report(KERNEL, LIBRARY)), of_module);
        let of_kernel = "memcpy+0x1/0x2\n pipe_write+0x1/0x2\n nlcall_execute+0x1/0x2 [nlcall]";
        assert_eq!(named(&report(of_kernel, KERNEL)), [""; 0]);
    }

    #[test]
    fn an_access_against_one_that_nobody_announced_is_named() {
        let report = format!(
            "BUG: KCSAN: data-race in x+0x1/0x2 [nlcall]\n\n\
             race at unknown origin, with read to 0xffff888104b2c9c8 of 8 bytes by task 9 on cpu 1:\n \
             {MODULE}\n\nvalue changed: 0x0 -> 0x1\n\n\
             Reported by Kernel Concurrency Sanitizer on:\n"
        );
        assert_eq!(named(&report), [MODULE]);
    }

    #[test]
    fn other_messages_are_no_part_of_a_report() {
        let mut reader = Reader::default();
        for line in ["BUG: KASAN: slab-out-of-bounds in x", MODULE, "read to 0x1"] {
            assert!(!reader.is_part(line), "{line}");
        }
    }
}
