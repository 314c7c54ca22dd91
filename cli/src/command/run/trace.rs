// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `--trace` prints: a line for each call, as strace has it.

use std::collections::HashMap;
use std::io::{
    self,
    Write, //
};
use std::sync::atomic::Ordering::Relaxed;

use nlcall::raw::{
    CallFlags,
    Outcome,
    Restart,
    TracedCall,
    TracedEnd,
    TracedMemory,
    Way, //
};
use nlcall_abi::syscalls;
use nlcall_run::shared::{
    Capture,
    Moment,
    Piece,
    Record,
    Shared,
    RECORD_LEN, //
};
use rustix::fd::OwnedFd;
use rustix::net::{
    recv,
    RecvFlags, //
};
use zerocopy::FromBytes;

use crate::command::monitor::line::Line;
use crate::layout::Detail;
use crate::signature::{
    Extent,
    Kind,
    Signature, //
};

/// `exit` and `exit_group`.
const EXITS: [u32; 2] = [
    linux_raw_sys::general::__NR_exit,
    linux_raw_sys::general::__NR_exit_group,
];

/// Says what of each call's arguments is wanted.
pub fn ask_for_memory(shared: &Shared) {
    for call in syscalls::TABLE {
        let Some(signature) = Signature::of(call.name) else {
            continue;
        };
        let captures = &shared.captures[call.nr as usize];
        for (place, parameter) in captures.iter().zip(signature.parameters) {
            place.store(capture(parameter.kind).to_bits(), Relaxed);
        }
    }
}

fn capture(kind: Kind) -> Capture {
    /// Of a list, whose length another argument says.
    const LIST: u16 = 256;
    let size = |size: Option<usize>| match size {
        Some(size) => u16::try_from(size).ok(),
        None => Some(LIST),
    };
    match kind {
        Kind::Path | Kind::Text => Capture::Text,
        Kind::BytesIn(length) => Capture::Bytes(length as u16),
        Kind::BytesOut(Extent::Returned(_)) => Capture::Returned,
        Kind::BytesOut(Extent::Text(_)) => Capture::TextAfter,
        Kind::In(format) | Kind::InOut(format) => {
            size(format.size()).map_or(Capture::None, Capture::Structure)
        }
        Kind::Out(format) => size(format.size()).map_or(Capture::None, Capture::StructureAfter),
        _ => Capture::None,
    }
}

/// Prints what comes, until no program is left that something could come from.
pub fn print(socket: &OwnedFd) -> io::Result<()> {
    let mut lines = Lines::default();
    let mut bytes = [0; RECORD_LEN];
    loop {
        let received = match recv(socket, &mut bytes[..], RecvFlags::empty()) {
            Ok((received, _)) => received,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let text = match received {
            0 => lines.rest(),
            _ => lines.of(&bytes[..received]),
        };
        io::stderr().lock().write_all(text.as_bytes())?;
        if received == 0 {
            return Ok(());
        }
    }
}

/// Turns records into lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The first thread: its lines have no number.
    first: Option<u32>,
    /// Calls that do not come back if they succeed, by thread.
    begun: HashMap<u32, String>,
}

impl Lines {
    /// The lines that a record completes.
    pub fn of(&mut self, bytes: &[u8]) -> String {
        let Ok((record, rest)) = Record::read_from_prefix(bytes) else {
            return String::new();
        };
        let Ok(nr) = u32::try_from(record.nr) else {
            return String::new();
        };
        let first = *self.first.get_or_insert(record.thread);
        let prefix = match record.thread == first {
            true => String::new(),
            false => format!("[pid {:5}] ", record.thread),
        };
        let call = TracedCall {
            user_data: 0,
            nr,
            flags: CallFlags::empty(),
            args: record.args,
            arg_kinds: 0,
            way: Way::Inline,
        };
        let end = TracedEnd {
            ret: record.ret,
            outcome: Outcome::Ran,
            restart: Restart::None,
            duration: None,
            memory: memory(rest),
        };
        let line = Line::new(&call, Detail::default());
        let begins = format!("{}(", line.name);
        let shown = format!("{prefix}{begins}{})", line.arguments(&end).join(", "));
        let ended = record.moment == Moment::Ended as u8;
        let mut text = String::new();
        if let Some(begun) = self.begun.remove(&record.thread) {
            // It failed where it comes back.
            if !(ended && begun.contains(&begins)) {
                text += &format!("{begun} = 0\n");
            }
        }
        if ended {
            text += &format!("{shown} = {}\n", line.result(&end));
        } else if EXITS.contains(&nr) {
            text += &format!("{shown} = ?\n");
        } else {
            self.begun.insert(record.thread, shown);
        }
        text
    }

    /// What was held back, at the end.
    pub fn rest(&mut self) -> String {
        let begun = self.begun.drain();
        begun.map(|(_, begun)| format!("{begun} = 0\n")).collect()
    }
}

/// The memory of each argument.
fn memory(mut rest: &[u8]) -> [TracedMemory; 6] {
    let mut memory: [TracedMemory; 6] = Default::default();
    while let Ok((piece, bytes)) = Piece::read_from_prefix(rest) {
        let Some((own, others)) = bytes.split_at_checked(usize::from(piece.len)) else {
            break;
        };
        if let Some(memory) = memory.get_mut(usize::from(piece.argument)) {
            memory.before = Some(own.to_vec());
        }
        rest = others;
    }
    memory
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::*;

    fn record(nr: u32, args: [u64; 6], ret: i64, thread: u32, moment: Moment) -> Vec<u8> {
        let record = Record {
            nr: nr.into(),
            args,
            ret,
            thread,
            way: 1,
            moment: moment as u8,
            reserved: [0; 2],
        };
        record.as_bytes().to_vec()
    }

    fn with(mut record: Vec<u8>, argument: u16, bytes: &[u8]) -> Vec<u8> {
        let len = bytes.len() as u16;
        record.extend(Piece { argument, len }.as_bytes());
        record.extend(bytes);
        record
    }

    #[test]
    fn lines_are_as_strace_has_them() {
        let mut lines = Lines::default();
        let at_cwd = -100_i64 as u64;
        let open = record(257, [at_cwd, 0x1000, 0, 0x777, 0, 0], -2, 7, Moment::Ended);
        assert_eq!(
            lines.of(&with(open, 1, b"/nothing\0")),
            "openat(AT_FDCWD, \"/nothing\", O_RDONLY) = -1 ENOENT (No such file or directory)\n"
        );
        let read = record(0, [3, 0x2000, 100, 0, 0, 0], 4, 8, Moment::Ended);
        assert_eq!(
            lines.of(&with(read, 1, b"abc\n")),
            "[pid     8] read(3, \"abc\\n\", 100) = 4\n"
        );
        let read = record(0, [3, 0x2000, 100, 0, 0, 0], -9, 7, Moment::Ended);
        assert_eq!(
            lines.of(&read),
            "read(3, 0x2000, 100) = -1 EBADF (Bad file descriptor)\n"
        );
        let exit = record(231, [3, 0, 0, 0, 0, 0], 0, 7, Moment::Begins);
        assert_eq!(lines.of(&exit), "exit_group(3) = ?\n");
        assert_eq!(lines.rest(), "");
    }

    #[test]
    fn an_execve_succeeds_where_it_does_not_come_back() {
        let mut lines = Lines::default();
        let args = [0x1000, 0x2000, 0x3000, 0, 0, 0];
        let begins = with(record(59, args, 0, 7, Moment::Begins), 0, b"/bin/true\0");
        let failed = with(record(59, args, -2, 7, Moment::Ended), 0, b"/bin/true\0");
        let exit = record(231, [0; 6], 0, 7, Moment::Begins);
        assert_eq!(lines.of(&begins), "");
        let line = lines.of(&failed);
        assert!(line.ends_with("= -1 ENOENT (No such file or directory)\n"));
        assert_eq!(lines.of(&begins), "");
        assert_eq!(
            lines.of(&exit),
            "execve(\"/bin/true\", 0x2000, 0x3000) = 0\nexit_group(0) = ?\n"
        );
        assert_eq!(lines.of(&begins), "");
        assert!(lines.rest().ends_with(" = 0\n"));
    }

    #[test]
    fn records_that_make_no_sense_make_no_line() {
        let mut lines = Lines::default();
        assert_eq!(lines.of(&[]), "");
        assert_eq!(lines.of(&[0; 10]), "");
        let mut record = record(0, [0; 6], 0, 7, Moment::Ended);
        record.extend([9, 0, 255, 255, 1]);
        assert!(lines.of(&record).starts_with("read(0, "));
    }
}
