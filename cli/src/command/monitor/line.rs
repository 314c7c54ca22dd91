// SPDX-License-Identifier: MIT OR Apache-2.0

//! A call of some process, as strace prints it.

use std::borrow::Cow;

use nlcall::raw::{
    Outcome,
    TracedCall,
    TracedEnd,
    TracedMemory, //
};
use nlcall_abi::{
    self as abi,
    syscalls,
    ArgKind, //
};

use crate::invocation::{
    show_number,
    show_pointer,
    show_result, //
};
use crate::kernel::Reply;
use crate::layout::{
    Detail,
    Format, //
};
use crate::signature::{
    Extent,
    Kind,
    Signature, //
};
use crate::syntax::quote::quote;

/// A call with what its parameters are.
pub struct Line<'a> {
    /// Its name.
    pub name: Cow<'static, str>,
    call: &'a TracedCall,
    signature: &'static Signature,
    detail: Detail,
}

impl<'a> Line<'a> {
    /// A call, shown in such detail.
    pub fn new(call: &'a TracedCall, detail: Detail) -> Self {
        let entry = syscalls::by_nr(call.nr);
        let name = match entry {
            Some(entry) => Cow::Borrowed(entry.name),
            // As strace calls it.
            None => Cow::Owned(format!("syscall_{:#x}", call.nr)),
        };
        let signature = entry.and_then(|entry| Signature::of(entry.name));
        Self {
            name,
            call,
            signature: signature.unwrap_or_else(Signature::of_number),
            detail,
        }
    }

    /// The arguments of a call that has ended.
    pub fn arguments(&self, end: &TracedEnd) -> Vec<String> {
        let written = match end.outcome {
            Outcome::Ran => u64::try_from(end.ret).ok(),
            _ => None,
        };
        (0..self.given())
            .map(|index| self.argument(index, &end.memory[index], written))
            .collect()
    }

    /// The arguments of a call that was accepted.
    pub fn arguments_before(&self) -> Vec<String> {
        (0..self.given())
            .map(|index| self.reference(index).unwrap_or_else(|| self.plain(index)))
            .collect()
    }

    /// What a call that has ended returned.
    pub fn result(&self, end: &TracedEnd) -> String {
        show_result(self.signature.returns, &reply(self.call, end))
    }

    fn kind(&self, index: usize) -> Kind {
        self.signature.parameters[index].kind
    }

    /// How many arguments are shown: not those at the end which may be left out and are 0, and the
    /// mode of a file only where one may be made.
    fn given(&self) -> usize {
        let parameters = self.signature.parameters;
        let is_left_out = |index: usize| {
            let makes_files = || {
                let flags = self.call.args[index - 1];
                flags & u64::from(libc::O_CREAT as u32) != 0
                    || flags & libc::O_TMPFILE as u64 == libc::O_TMPFILE as u64
            };
            match parameters[index] {
                ref parameter if !parameter.optional => false,
                ref parameter if matches!(parameter.kind, Kind::Mode) && index > 0 => {
                    !makes_files()
                }
                _ => self.call.args[index] == 0,
            }
        };
        let mut given = parameters.len();
        while given > 0 && is_left_out(given - 1) {
            given -= 1;
        }
        given
    }

    /// An argument that was not known when the call was accepted.
    fn reference(&self, index: usize) -> Option<String> {
        let bits = self.call.arg_kinds >> (index as u32 * abi::ARG_KIND_BITS) & 0xf;
        let value = self.call.args[index];
        // At most four bits.
        match ArgKind::from_wire(bits as u8)? {
            ArgKind::Value | ArgKind::OutPtr => None,
            ArgKind::Result => Some(format!("<result of call {value}>")),
            ArgKind::Load => Some(format!("<output of call {}>", value & 0xff_ffff)),
            ArgKind::Data => Some(format!("<data at {value}>")),
            ArgKind::Out => Some(format!("<output at {}>", value & u64::from(u32::MAX))),
        }
    }

    /// An argument without the memory that it may point to.
    fn plain(&self, index: usize) -> String {
        let (kind, value) = (self.kind(index), self.call.args[index]);
        show_number(kind, value).unwrap_or_else(|| show_pointer(kind, value))
    }

    /// An argument of a call that returned `written`, where it succeeded.
    fn argument(&self, index: usize, memory: &TracedMemory, written: Option<u64>) -> String {
        self.memory(index, memory, written)
            .unwrap_or_else(|| self.plain(index))
    }

    fn memory(&self, index: usize, memory: &TracedMemory, written: Option<u64>) -> Option<String> {
        let args = &self.call.args;
        let limit = self.detail.string;
        let format = |format: &Format, bytes: &[u8], items: Option<u64>| {
            let bytes = match (format, items) {
                (Format::List(item), Some(items)) => {
                    let size = items.checked_mul(item.size()? as u64)?;
                    bytes.get(..usize::try_from(size).ok()?)?
                }
                (Format::List(_), None) => return None,
                _ => bytes,
            };
            format.show(bytes, self.detail)
        };
        match self.kind(index) {
            Kind::Path => Some(text(memory.input()?, usize::MAX)),
            Kind::Text => Some(text(memory.input()?, limit)),
            Kind::BytesIn(length) => Some(bytes(memory.input()?, args[length], limit)),
            Kind::BytesOut(Extent::Returned(length)) => {
                Some(bytes(memory.output()?, written?.min(args[length]), limit))
            }
            Kind::BytesOut(Extent::Text(_)) => {
                written?;
                Some(text(memory.output()?, usize::MAX))
            }
            // Those that the kernel writes are as many as it says; the number of those that it reads
            // is the argument behind, and before them for the one call whose memory it only reads.
            Kind::Out(it) => format(it, memory.output()?, Some(written?)),
            Kind::InOut(it) => format(it, memory.output()?, args.get(index + 1).copied()),
            Kind::In(it) => format(it, memory.input()?, index.checked_sub(1).map(|at| args[at])),
            _ => None,
        }
    }
}

/// How a call ended, as completions have it.
pub fn reply(call: &TracedCall, end: &TracedEnd) -> Reply {
    Reply {
        user_data: call.user_data,
        ret: end.ret,
        outcome: end.outcome,
    }
}

/// A string that ends at a zero byte, which may lie beyond what was looked at.
fn text(memory: &[u8], limit: usize) -> String {
    match memory.iter().position(|byte| *byte == 0) {
        Some(end) => bytes(memory, end as u64, limit),
        None => bytes(memory, u64::MAX, limit),
    }
}

/// So many bytes, of which `limit` at most are shown, and `...` where that is not all.
fn bytes(memory: &[u8], length: u64, limit: usize) -> String {
    let wanted = usize::try_from(length).unwrap_or(usize::MAX);
    let shown = wanted.min(memory.len()).min(limit);
    let mut text = quote(&memory[..shown]);
    if shown < wanted {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::{
        call,
        end,
        with_memory, //
    };
    use super::*;
    use proptest::prelude::*;

    fn line(call: &TracedCall, end: &TracedEnd) -> String {
        let line = Line::new(call, Detail::default());
        let arguments = line.arguments(end).join(", ");
        format!("{}({arguments}) = {}", line.name, line.result(end))
    }

    #[test]
    fn paths_and_flags_are_shown_as_strace_shows_them() {
        let path = b"/etc/hostname\0and what lies behind";
        let opened = with_memory(end(6), 1, Some(path), None);
        assert_eq!(
            line(
                &call("openat", [-100i64 as u64, 0x7f00, 0, 0o644, 9, 9]),
                &opened
            ),
            r#"openat(AT_FDCWD, "/etc/hostname", O_RDONLY) = 6"#
        );
        let flags = (libc::O_CREAT | libc::O_WRONLY) as u64;
        assert_eq!(
            line(&call("openat", [3, 0x7f00, flags, 0o644, 0, 0]), &opened),
            r#"openat(3, "/etc/hostname", O_WRONLY|O_CREAT, 0644) = 6"#
        );
        // Longer than what the event has, or not there at all.
        let long = with_memory(end(-2), 1, Some(&[b'x'; 256]), None);
        assert!(line(&call("openat", [3, 0x7f00, 0, 0, 0, 0]), &long)
            .ends_with(r#"xxx"..., O_RDONLY) = -1 ENOENT (No such file or directory)"#));
        assert_eq!(
            line(&call("openat", [3, 0x7f00, 0, 0, 0, 0]), &end(-14)),
            "openat(3, 0x7f00, O_RDONLY) = -1 EFAULT (Bad address)"
        );
    }

    #[test]
    fn buffers_show_what_was_transferred() {
        let read = call("read", [3, 0x7f00, 100, 0, 0, 0]);
        let got = with_memory(end(5), 1, Some(b"old old old"), Some(b"hello old old"));
        assert_eq!(line(&read, &got), r#"read(3, "hello", 100) = 5"#);
        let failed = with_memory(end(-9), 1, Some(b"old old old"), None);
        assert_eq!(
            line(&read, &failed),
            "read(3, 0x7f00, 100) = -1 EBADF (Bad file descriptor)"
        );
        let much = with_memory(end(100), 1, None, Some(&[b'a'; 100]));
        let shown = format!(r#"read(3, "{}"..., 100) = 100"#, "a".repeat(32));
        assert_eq!(line(&read, &much), shown);

        let wrote = with_memory(end(3), 1, Some(b"abc\ndef"), None);
        let write = call("write", [1, 0x7f00, 4, 0, 0, 0]);
        assert_eq!(line(&write, &wrote), r#"write(1, "abc\n", 4) = 3"#);
        // Only a part of it was there.
        let write = call("write", [1, 0x7f00, 5000, 0, 0, 0]);
        assert_eq!(line(&write, &wrote), r#"write(1, "abc\ndef"..., 5000) = 3"#);
    }

    #[test]
    fn structures_are_shown_where_they_are_whole() {
        let pair = with_memory(end(0), 0, None, Some(&[3, 0, 0, 0, 4, 0, 0, 0, 9]));
        let pipe = call("pipe2", [0x7f00, libc::O_CLOEXEC as u64, 0, 0, 0, 0]);
        assert_eq!(line(&pipe, &pair), "pipe2([3, 4], O_CLOEXEC) = 0");
        let cut = with_memory(end(0), 0, None, Some(&[3, 0, 0, 0]));
        assert_eq!(line(&pipe, &cut), "pipe2(0x7f00, O_CLOEXEC) = 0");

        let time = [1u64, 5].map(u64::to_le_bytes).concat();
        let slept = with_memory(end(0), 0, Some(&time), None);
        let sleep = call("nanosleep", [0x7f00, 0, 0, 0, 0, 0]);
        assert_eq!(line(&sleep, &slept), "nanosleep({tv_sec=1, tv_nsec=5}) = 0");
    }

    #[test]
    fn lists_have_as_many_items_as_the_call_says() {
        // Two of them, and a third that is not meant.
        let fds = [3u8, 0, 0, 0, 1, 0, 0, 0].repeat(3);
        let polled = with_memory(end(0), 0, Some(&fds), None);
        assert_eq!(
            line(&call("poll", [0x7f00, 2, 5, 0, 0, 0]), &polled),
            "poll([{fd=3, events=POLLIN, revents=0}, {fd=3, events=POLLIN, revents=0}], 2, 5) = 0"
        );
        assert_eq!(
            line(&call("poll", [0x7f00, 4, 5, 0, 0, 0]), &polled),
            "poll(0x7f00, 4, 5) = 0"
        );
        let groups = [7u8, 0, 0, 0].repeat(4);
        let set = with_memory(end(0), 1, Some(&groups), None);
        assert_eq!(
            line(&call("setgroups", [2, 0x7f00, 0, 0, 0, 0]), &set),
            "setgroups(2, [7, 7]) = 0"
        );
    }

    #[test]
    fn calls_that_did_not_run_say_why() {
        let mut canceled = end(-125);
        canceled.outcome = Outcome::Canceled;
        assert_eq!(
            line(&call("close", [3, 0, 0, 0, 0, 0]), &canceled),
            "close(3) = ? (cancelled before it started: ECANCELED (Operation canceled))"
        );
    }

    #[test]
    fn calls_without_a_name_have_their_number() {
        let mut unknown = call("read", [1, 0, 0, 0, 0, 0]);
        unknown.nr = 0x1234;
        assert_eq!(line(&unknown, &end(0)), "syscall_0x1234(0x1) = 0");
    }

    #[test]
    fn arguments_that_are_not_known_yet_name_their_source() {
        let mut read = call("read", [0, 0x7f00, 1 | 8 << 24, 0, 0, 0]);
        read.arg_kinds = ArgKind::Result as u32 | (ArgKind::Load as u32) << 8;
        let line = Line::new(&read, Detail::default());
        assert_eq!(
            line.arguments_before(),
            ["<result of call 0>", "0x7f00", "<output of call 1>"]
        );
    }

    proptest! {
        #[test]
        fn any_call_is_shown_without_a_panic(
            nr in 0u32..500,
            args: [u64; 6],
            arg_kinds: u32,
            ret: i64,
            before: Vec<u8>,
            after: Vec<u8>,
        ) {
            let mut any = call("read", args);
            (any.nr, any.arg_kinds) = (nr, arg_kinds);
            let mut ended = end(ret);
            for argument in 0..6 {
                ended = with_memory(ended, argument, Some(&before), Some(&after));
            }
            let _ = line(&any, &ended);
            let _ = Line::new(&any, Detail::default()).arguments_before();
        }
    }
}
