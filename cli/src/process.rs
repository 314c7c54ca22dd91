// SPDX-License-Identifier: MIT OR Apache-2.0

//! Another process, as the place where calls are made; and what `/proc` tells about it.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use nlcall::raw::{
    Batch,
    Data,
    Session,
    Target, //
};
use nlcall::Error;

use crate::exit::Failure;
use crate::kernel::Reply;

/// Something that makes calls in a process, and waits for them.
pub trait Caller {
    /// Makes the calls, whose `user_data` is their index. Returns how they ended, in that order.
    fn make(&mut self, calls: Batch, data: Data) -> Result<Vec<Answer>, Error>;
}

/// How a call in another process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it returned.
    pub reply: Reply,
    /// Its outputs.
    pub data: Vec<u8>,
}

/// Another process.
#[derive(Debug)]
pub struct Process {
    session: Session,
    target: Target,
}

impl Process {
    /// The process of this number.
    ///
    /// # Errors
    ///
    /// Where there is no module, or no such process.
    pub fn open(pid: u32) -> Result<Self, Error> {
        let session = Session::open()?;
        let target = Target::open(pid)?;
        Ok(Self { session, target })
    }

    /// The session through which its calls go.
    pub fn session(&self) -> &Session {
        &self.session
    }
}

impl Caller for Process {
    fn make(&mut self, mut calls: Batch, data: Data) -> Result<Vec<Answer>, Error> {
        let count = calls.len();
        calls.data(data).target(&self.target);
        self.session.submit(calls)?;
        let mut answers = Vec::with_capacity(count);
        for _ in 0..count {
            let completion = self.session.wait()?;
            answers.push(Answer {
                reply: Reply::from(&completion),
                data: completion.into_data(),
            });
        }
        answers.sort_by_key(|answer| answer.reply.user_data);
        Ok(answers)
    }
}

/// The failure of a command for a process: of all errors the kernel's rejection is about that.
pub fn failure(pid: u32, error: Error) -> Failure {
    match error {
        Error::Rejected { errno, message, .. } => Failure::Process {
            pid,
            why: match message {
                Some(message) => format!("refused: {message}: {errno}"),
                None => format!("refused: {errno}"),
            },
        },
        error => error.into(),
    }
}

/// What `/proc` says of a process.
#[derive(Clone, Copy, Debug)]
pub struct Proc {
    pid: u32,
}

/// An open descriptor of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its number.
    pub fd: u32,
    /// How it was opened: `O_*`.
    pub flags: u32,
    /// Where in the file the next read or write is.
    pub position: u64,
    /// A path, or what it is otherwise.
    pub target: OsString,
}

impl Proc {
    /// Of the process of this number.
    pub fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// What a descriptor refers to.
    ///
    /// # Errors
    ///
    /// `ENOENT` where it is not open, or there is no such process; `EACCES` where that may not be
    /// known.
    pub fn target(&self, fd: u32) -> io::Result<OsString> {
        let link = std::fs::read_link(self.path(&format!("fd/{fd}")))?;
        Ok(link.into_os_string())
    }

    /// All open descriptors, in the order of their numbers. What the process opens or closes
    /// meanwhile may be among them or not.
    ///
    /// # Errors
    ///
    /// As for [`target`](Self::target).
    pub fn descriptors(&self) -> io::Result<Vec<Descriptor>> {
        let mut descriptors = Vec::new();
        for entry in std::fs::read_dir(self.path("fd"))? {
            let name = entry?.file_name();
            let Some(fd) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let described = self.target(fd).and_then(|target| {
                let info = std::fs::read_to_string(self.path(&format!("fdinfo/{fd}")))?;
                Ok((target, info))
            });
            match described {
                Ok((target, info)) => descriptors.extend(descriptor(fd, target, &info)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        descriptors.sort_by_key(|descriptor| descriptor.fd);
        Ok(descriptors)
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid))
    }
}

/// A descriptor of this number, with what its file in `fdinfo` says.
fn descriptor(fd: u32, target: OsString, info: &str) -> Option<Descriptor> {
    let field = |name: &str| {
        let mut lines = info.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.trim())
    };
    Some(Descriptor {
        fd,
        flags: u32::from_str_radix(field("flags")?, 8).ok()?,
        position: field("pos")?.parse().ok()?,
        target,
    })
}

#[cfg(test)]
pub mod own {
    //! The part of the module and of another process, taken by plain system calls in this one.

    use std::collections::HashMap;

    use nlcall::raw::{
        ArgKind,
        Outcome, //
    };
    use nlcall_abi as abi;

    use super::*;
    use crate::memory::Buffer;

    /// Makes calls in this process, one after the other.
    #[derive(Default)]
    pub struct Own {
        /// Every call made, with the arguments that it got.
        pub made: Vec<(u32, [u64; 6])>,
        /// What calls of a number return instead of being made.
        pub fail: HashMap<u32, i64>,
        /// What a submission is rejected with.
        pub rejection: Option<(i32, &'static str)>,
    }

    impl Caller for Own {
        fn make(&mut self, calls: Batch, data: Data) -> Result<Vec<Answer>, Error> {
            if let Some((errno, text)) = self.rejection {
                return Err(Error::Rejected {
                    errno: nlcall::Errno::from_raw(errno),
                    message: Some(text.to_owned()),
                    attr_offset: None,
                });
            }
            let area = area(&data);
            let mut answers: Vec<Answer> = Vec::new();
            let mut broken = false;
            for (index, call) in calls.as_abi().iter().enumerate() {
                assert_eq!(call.user_data, index as u64);
                let results: Vec<_> = answers.iter().map(|answer| answer.reply.ret).collect();
                let mut outputs = Vec::new();
                let args = std::array::from_fn(|arg| {
                    let value = call.args[arg];
                    let kind = (call.arg_kinds >> (arg as u32 * abi::ARG_KIND_BITS)) & 0xf;
                    match ArgKind::from_wire(kind as u8) {
                        Some(ArgKind::Value) => value,
                        Some(ArgKind::Data) => area.address() + value,
                        Some(ArgKind::Out) => {
                            let (offset, len) = (value & 0xffff_ffff, value >> 32);
                            outputs.push(offset as usize..(offset + len) as usize);
                            area.address() + offset
                        }
                        Some(ArgKind::Result) => results[value as usize] as u64,
                        other => panic!("{other:?} in {call:?}"),
                    }
                });
                let (ret, outcome) = match (broken, self.fail.get(&call.nr)) {
                    (true, _) => (-i64::from(libc::ECANCELED), Outcome::Canceled),
                    (false, fail) => {
                        self.made.push((call.nr, args));
                        (
                            fail.copied().unwrap_or_else(|| plain(call.nr, args)),
                            Outcome::Ran,
                        )
                    }
                };
                let memory = area.copy(usize::MAX);
                let output = outputs.iter().flat_map(|range| &memory[range.clone()]);
                answers.push(Answer {
                    reply: Reply {
                        user_data: call.user_data,
                        ret,
                        outcome,
                    },
                    data: match outcome {
                        Outcome::Ran => output.copied().collect(),
                        _ => Vec::new(),
                    },
                });
                let linked = call.flags & abi::flag::LINK != 0;
                let joined = linked || call.flags & abi::flag::HARDLINK != 0;
                broken = joined && (broken || linked && ret < 0);
            }
            Ok(answers)
        }
    }

    /// The area of a message, in memory of this process.
    fn area(data: &Data) -> Buffer {
        let place = Buffer::zeroed(data.len()).unwrap();
        let mut bytes = data.bytes().to_vec();
        let address = place.address();
        for reloc in data.relocs() {
            let pointer = address + u64::from(reloc.to);
            bytes[reloc.at as usize..][..8].copy_from_slice(&pointer.to_ne_bytes());
        }
        place.fill(&bytes);
        place
    }

    fn plain(nr: u32, [a, b, c, d, e, f]: [u64; 6]) -> i64 {
        // SAFETY: The addresses are those of the area, which is never unmapped and ends where nobody
        // may touch anything; the tests make calls that disturb nothing else.
        match unsafe { libc::syscall(i64::from(nr), a, b, c, d, e, f) } {
            -1 => -i64::from(io::Error::last_os_error().raw_os_error().unwrap_or(0)),
            ret => ret,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn descriptors_of_this_process_are_listed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file.as_file(), b"12345").unwrap();
        let fd = file.as_file().as_raw_fd() as u32;
        let proc = Proc::new(std::process::id());
        let descriptors = proc.descriptors().unwrap();
        let own = descriptors.iter().find(|it| it.fd == fd).unwrap();
        assert_eq!(
            (own.position, &own.target[..]),
            (5, file.path().as_os_str())
        );
        assert_eq!(own.flags & 0o3, libc::O_RDWR as u32);
        assert!(descriptors.is_sorted_by_key(|descriptor| descriptor.fd));
        assert_eq!(proc.target(fd).unwrap(), file.path().as_os_str());
        let error = proc.target(i32::MAX as u32).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_fdinfo_says_may_be_anything() {
        let read = |info| descriptor(3, OsString::new(), info);
        let info = "pos:\t10\nflags:\t02100001\nmnt_id:\t15\ninotify wd:1 flags:7\n";
        let known = read(info).unwrap();
        assert_eq!((known.position, known.flags), (10, 0o2100001));
        for broken in [
            "",
            "pos:\t1\n",
            "pos:\tx\nflags:\t1\n",
            "pos:\t1\nflags:\t9\n",
        ] {
            assert_eq!(read(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_rejection_is_about_the_process() {
        let rejected = Error::Rejected {
            errno: nlcall::Errno::from_raw(libc::EPERM),
            message: Some("no right to ptrace it".to_owned()),
            attr_offset: None,
        };
        assert_eq!(
            failure(7, rejected).message(),
            "process 7: refused: no right to ptrace it: EPERM (Operation not permitted)"
        );
        let gone = Error::Target {
            pid: 7,
            why: io::Error::from_raw_os_error(libc::ESRCH),
        };
        assert_eq!(failure(7, gone).message(), "process 7: there is none");
        let other = failure(7, Error::ModuleMissing);
        assert_eq!(other.status(), crate::exit::Status::NoModule);
    }
}
