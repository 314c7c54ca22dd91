// SPDX-License-Identifier: MIT OR Apache-2.0

//! One case: a call, what surrounds it, and what a plain call gives.

use std::ops::RangeInclusive;

use nlcall_abi::syscalls;
use nlcall_tests::memory::Memory;

use crate::world::World;

/// The six arguments of a call.
pub type Args = [u64; 6];

/// What can be an argument.
pub trait Argument {
    /// As the register has it.
    fn value(self) -> u64;
}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl Argument for $number {
            fn value(self) -> u64 {
                self as u64
            }
        })*
    };
}
// As C widens them: by sign, where there is one.
numbers! { i32 i64 u8 u16 u32 u64 usize }

impl Argument for Memory {
    fn value(self) -> u64 {
        self.address()
    }
}

/// The arguments of a call; those that are not given are 0.
macro_rules! args {
    ($($argument:expr),* $(,)?) => {{
        let given: &[u64] = &[$($crate::case::Argument::value($argument)),*];
        let mut all = [0; 6];
        all[..given.len()].copy_from_slice(given);
        all
    }};
}
pub(crate) use args;

/// What the plain call must give, so that a case tests what its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A value that is no error.
    Success,
    /// This error number.
    Error(i32),
    /// The call does not return: the process ends with this status, or has another program.
    End(i32),
}

/// How the value that a call returned is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// As it is.
    Exact,
    /// As the process that it names: this one, its parent, one of its helpers, a new one.
    Process,
    /// Only whether it lies in the range of numbers that are possible.
    Varies,
}

/// What is compared, named as the report names it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Aspect {
    /// What the call returned.
    Result,
    /// The bytes of all memory that was prepared.
    Memory,
    /// The table of descriptors and the state of what they refer to.
    Descriptors,
    /// What is mapped where.
    Mappings,
    /// Credentials, signals, limits, folders, timers and more of the process.
    Process,
    /// What the case looks at afterwards.
    Aftermath,
    /// The tree of files.
    Files,
    /// How the process ended.
    End,
}

/// A difference that a worker must make.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// In these.
    pub aspects: &'static [Aspect],
    /// Why.
    pub why: &'static str,
    /// Whether it may stay away.
    pub sometimes: bool,
}

/// A call in its surroundings.
#[derive(Clone)]
pub struct Case {
    /// The call's name in the kernel's table.
    pub call: &'static str,
    /// What it does here.
    pub what: &'static str,
    /// What the plain call gives.
    pub expected: Expected,
    /// Prepares, in the process that makes the call.
    pub prepare: fn(&mut World) -> Args,
    /// How values are compared.
    pub value: Value,
    /// A worker must reject the call.
    pub only_inline: bool,
    /// What is another on a worker.
    pub difference: Option<Difference>,
    /// In mount, UTS and IPC namespaces of its own.
    pub apart: bool,
    /// As a user without privileges.
    pub as_user: bool,
    /// The call returns twice.
    pub forks: bool,
    /// While no other case is at work.
    pub alone: bool,
    /// An option of the kernel's configuration, and the error without it.
    pub needs: Option<(&'static str, i32)>,
}

/// A call that succeeds.
pub fn ok(call: &'static str, what: &'static str, prepare: fn(&mut World) -> Args) -> Case {
    Case::new(call, what, Expected::Success, prepare)
}

/// A call that fails with this error number.
pub fn fails(
    call: &'static str,
    errno: i32,
    what: &'static str,
    prepare: fn(&mut World) -> Args,
) -> Case {
    Case::new(call, what, Expected::Error(errno), prepare)
}

/// A call that does not return: the process ends with this status.
pub fn ends(
    call: &'static str,
    status: i32,
    what: &'static str,
    prepare: fn(&mut World) -> Args,
) -> Case {
    Case::new(call, what, Expected::End(status), prepare)
}

impl Case {
    fn new(
        call: &'static str,
        what: &'static str,
        expected: Expected,
        prepare: fn(&mut World) -> Args,
    ) -> Self {
        Self {
            call,
            what,
            expected,
            prepare,
            value: Value::Exact,
            only_inline: false,
            difference: None,
            apart: false,
            as_user: false,
            forks: false,
            alone: false,
            needs: None,
        }
    }

    /// What the case is called.
    pub fn title(&self) -> String {
        format!("{}: {}", self.call, self.what)
    }

    /// The call's number.
    pub fn nr(&self) -> u32 {
        nr(self.call)
    }

    /// The value names a process.
    pub fn gives_process(mut self) -> Self {
        self.value = Value::Process;
        self
    }

    /// The value is another each time.
    pub fn varies(mut self) -> Self {
        self.value = Value::Varies;
        self
    }

    /// With these arguments a worker must reject the call, although it may make others.
    pub fn only_inline(mut self) -> Self {
        self.only_inline = true;
        self
    }

    /// A worker gives something else, in these.
    pub fn differs(mut self, aspects: &'static [Aspect], why: &'static str) -> Self {
        self.difference = Some(Difference {
            aspects,
            why,
            sometimes: false,
        });
        self
    }

    /// A worker may give something else, in these.
    pub fn may_differ(mut self, aspects: &'static [Aspect], why: &'static str) -> Self {
        self.difference = Some(Difference {
            aspects,
            why,
            sometimes: true,
        });
        self
    }

    /// In namespaces of its own.
    pub fn apart(mut self) -> Self {
        self.apart = true;
        self
    }

    /// As a user without privileges.
    pub fn by_user(mut self) -> Self {
        self.as_user = true;
        self
    }

    /// It looks at the whole machine, or changes it.
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// A kernel made without this option gives this error instead.
    pub fn needs(mut self, option: &'static str, errno: i32) -> Self {
        self.needs = Some((option, errno));
        self
    }

    /// Nothing but this error comes of it.
    pub fn must_fail(&mut self, errno: i32) {
        self.expected = Expected::Error(errno);
        self.difference = None;
    }

    /// The call returns twice; the new process ends at once.
    pub fn forks(mut self) -> Self {
        self.forks = true;
        self.gives_process()
    }
}

/// The number of a call.
pub fn nr(name: &str) -> u32 {
    let entry = syscalls::by_name(name);
    entry
        .unwrap_or_else(|| panic!("{name} is not in the table"))
        .nr
}

/// Why a call has no case of success, or none of failure.
pub struct Exempt {
    /// The calls.
    pub calls: &'static [&'static str],
    /// Why.
    pub why: &'static str,
}

/// What the kernel returns in place of a value.
pub const ERRORS: RangeInclusive<i64> = -4095..=-1;
