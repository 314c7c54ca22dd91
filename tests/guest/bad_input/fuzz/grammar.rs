// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a message may say, as the specification has it, and messages that are made of that.

use fastrand::Rng;
use nlcall_abi::{flag, submit, ArgKind, Call, Command, Readi, Reloc, ARG_KIND_BITS};
use nlcall_spec::{AttributeSet, Exchange, Spec, SPEC};
use nlcall_tests::{
    classic,
    memory::Memory,
    message::{Message, ACK, DUMP, REQUEST},
};
use zerocopy::IntoBytes;

/// `NLA_F_NESTED` of `include/uapi/linux/netlink.h`.
const NESTED: u16 = 0x8000;

/// Bytes of the memory that calls are given.
pub const ROOM: usize = 4096;

/// Requests of the family, and the attributes that each may carry.
pub struct Grammar {
    requests: Vec<Request>,
}

struct Request {
    command: u8,
    is_dump: bool,
    /// Those that it carries.
    attributes: Vec<Attribute>,
    /// Those of its set.
    others: Vec<Attribute>,
}

#[derive(Clone, Copy)]
struct Attribute {
    number: u16,
    value: Value,
}

/// What an attribute carries.
#[derive(Clone, Copy)]
enum Value {
    Nothing,
    U32,
    U64,
    Text,
    Bytes,
    Calls,
    Relocs,
}

/// What the process that sends has, for its calls.
pub struct World {
    /// Memory of the process.
    pub room: Memory,
    /// A path.
    pub path: Memory,
    /// Descriptors of processes.
    pub pidfds: Vec<i32>,
    /// Its own number.
    pub pid: i32,
}

impl Grammar {
    /// That of `nlcall.yaml`.
    pub fn of_the_specification() -> Self {
        let spec = Spec::read(SPEC).expect("the specification can be read");
        let numbers = spec.operations.numbered();
        let operations = spec.operations.list.iter().zip(numbers);
        let requests = operations.flat_map(|(operation, (_, number))| {
            let set = operation.attribute_set.as_ref();
            let set = set.and_then(|set| spec.attribute_sets.iter().find(|it| it.name == *set));
            let request = |exchange: &Exchange, is_dump| Request {
                command: number as u8,
                is_dump,
                attributes: attributes(set, |name| exchange.request.attributes.contains(name)),
                others: attributes(set, |_| true),
            };
            [
                operation.r#do.as_ref().map(|it| request(it, false)),
                operation.dump.as_ref().map(|it| request(it, true)),
            ]
        });
        Self {
            requests: requests.flatten().collect(),
        }
    }

    /// A message that is right, or nearly so.
    pub fn message(&self, random: &mut Rng, family: u16, world: &World) -> Message {
        let mut message = if random.u8(..) < 176 {
            submission(random, family, world)
        } else {
            self.request(random, family, world)
        };
        message.seq = random.u32(..);
        if random.bool() {
            message.flags &= !ACK;
        }
        if random.u8(..) < 4 {
            message.flags ^= 1 << random.u8(0..16);
        }
        message
    }

    /// Any of the requests.
    fn request(&self, random: &mut Rng, family: u16, world: &World) -> Message {
        let request = one(random, &self.requests);
        let mut message = Message::new(family, Command::Submit);
        message.command = request.command;
        if request.is_dump {
            message.flags = REQUEST | DUMP;
        }
        for attribute in &request.attributes {
            if random.bool() {
                put(random, &mut message, *attribute, world);
            }
        }
        if random.u8(..) < 32 && !request.others.is_empty() {
            let mut attribute = *one(random, &request.others);
            if random.bool() {
                attribute.number = random.u16(0..40);
            }
            put(random, &mut message, attribute, world);
        }
        if random.u8(..) < 16 {
            let inner = std::mem::take(&mut message.body);
            let number = random.u16(0..12) | NESTED;
            message.attribute(number, &inner[..inner.len().min(4096)]);
        }
        message
    }
}

/// The attributes of a set that are chosen by name.
fn attributes(set: Option<&AttributeSet>, chosen: impl Fn(&String) -> bool) -> Vec<Attribute> {
    let Some(set) = set else { return Vec::new() };
    let attributes = set.attributes.iter().zip(set.numbered());
    let attributes = attributes.filter(|(it, _)| chosen(&it.name));
    attributes
        .map(|(it, (_, number))| Attribute {
            number: number as u16,
            value: match (it.r#type.as_str(), it.r#struct.as_deref()) {
                ("flag" | "pad", _) => Value::Nothing,
                ("u32" | "s32", _) => Value::U32,
                ("u64" | "s64", _) => Value::U64,
                ("string", _) => Value::Text,
                ("binary", Some("call")) => Value::Calls,
                ("binary", Some("reloc")) => Value::Relocs,
                ("binary", _) => Value::Bytes,
                (other, _) => panic!("{}: a type {other}, which this does not know", it.name),
            },
        })
        .collect()
}

fn one<'a, T>(random: &mut Rng, of: &'a [T]) -> &'a T {
    &of[random.usize(0..of.len())]
}

/// A number that borders on something, or is small.
fn number(random: &mut Rng) -> u64 {
    let border = [
        0,
        1,
        3,
        7,
        8,
        0x7fff,
        0xffff,
        0x7fff_ffff,
        0xffff_ffff,
        1 << 63,
        u64::MAX,
    ];
    match random.u8(0..4) {
        0 => *one(random, &border),
        1 => random.u64(..),
        _ => random.u64(0..80),
    }
}

/// Adds an attribute with a value of its type.
fn put(random: &mut Rng, message: &mut Message, attribute: Attribute, world: &World) {
    let value = match attribute.value {
        Value::Nothing => Vec::new(),
        Value::U32 => (number(random) as u32).to_ne_bytes().to_vec(),
        Value::U64 => number(random).to_ne_bytes().to_vec(),
        Value::Text => one(random, &["root\0", "everyone\0", "1\0", "", "0", "\0\0"])
            .as_bytes()
            .to_vec(),
        Value::Bytes => vec![random.u8(..); random.usize(0..64)],
        Value::Calls => calls(random, world).0.as_bytes().to_vec(),
        Value::Relocs => relocs(random).as_bytes().to_vec(),
    };
    message.attribute(attribute.number, &value);
}

fn relocs(random: &mut Rng) -> Vec<Reloc> {
    let reloc = |random: &mut Rng| Reloc {
        at: random.u32(0..16) * 8,
        to: random.u32(0..128),
    };
    (0..random.usize(0..4)).map(|_| reloc(random)).collect()
}

/// A SUBMIT with all that it may have.
fn submission(random: &mut Rng, family: u16, world: &World) -> Message {
    let (calls, executor) = calls(random, world);
    let mut message = match random.u8(0..16) {
        0 => {
            // Entries of a later version, each in an attribute of its own.
            let mut message = Message::new(family, Command::Submit);
            message.attribute(submit::CALL_SIZE, &88_u32.to_ne_bytes());
            for call in &calls {
                let mut entry = call.as_bytes().to_vec();
                entry.resize(88, 0);
                message.attribute(submit::CALLS, &entry);
            }
            message
        }
        _ => Message::submit(family, &calls),
    };
    let rarely = random.u8(..) < 8;
    if executor == Executor::Sender || rarely {
        if random.bool() {
            let at = world.room.address() + random.u64(0..64) * 8;
            message.attribute(submit::RESULTS_PTR, &at.to_ne_bytes());
        }
    } else {
        if random.bool() || executor == Executor::Area {
            message.attribute(submit::DATA, &vec![0; random.usize(64..200)]);
            if random.bool() {
                message.attribute(submit::RELOC, relocs(random).as_bytes());
            }
        }
        if random.u8(0..6) == 0 && !world.pidfds.is_empty() {
            let pidfd = *one(random, &world.pidfds);
            message.attribute(submit::TARGET_PIDFD, &pidfd.to_ne_bytes());
        }
    }
    message
}

/// Who executes the calls of a message, and what with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Executor {
    Workers,
    /// Workers, with memory that travels along.
    Area,
    Sender,
    Both,
}

/// Calls in chains, some of which refer to earlier ones.
fn calls(random: &mut Rng, world: &World) -> (Vec<Call>, Executor) {
    let executor = match random.u8(0..10) {
        0..=3 => Executor::Workers,
        4 | 5 => Executor::Area,
        6..=8 => Executor::Sender,
        _ => Executor::Both,
    };
    let count = match random.u8(..) {
        0 => random.usize(1..300),
        _ => random.usize(1..7),
    };
    let mut calls: Vec<Call> = Vec::with_capacity(count);
    let (mut chain, mut end) = (0, 0);
    for index in 0..count {
        let is_joined = calls.last().is_some_and(|call| call.flags & LINKS != 0);
        if !is_joined {
            chain = index;
        }
        let inline = match executor {
            Executor::Sender => true,
            Executor::Both if is_joined => calls[chain].flags & flag::INLINE != 0,
            Executor::Both => random.bool(),
            Executor::Workers | Executor::Area => false,
        };
        let mut call = any_call(random, world, inline);
        call.flags |= match random.u8(0..16) {
            0..=4 => flag::LINK,
            5 => flag::HARDLINK,
            6 => flag::SKIP_SUCCESS,
            7 if !inline => flag::DRAIN,
            _ => 0,
        };
        if inline {
            call.flags |= flag::INLINE;
        }
        if random.u8(0..8) == 0 {
            call.timeout_ns = random.u64(1..1_000_000);
        }
        if random.u8(0..3) == 0 {
            let (kind, value) = argument(random, chain..index, executor, &mut end);
            let arg = random.usize(0..6);
            call.arg_kinds |= (kind as u32) << (arg as u32 * ARG_KIND_BITS);
            call.args[arg] = value;
        }
        calls.push(call);
    }
    if let (Some(last), true) = (calls.last_mut(), random.u8(0..16) != 0) {
        last.flags &= !LINKS;
    }
    (calls, executor)
}

const LINKS: u32 = flag::LINK | flag::HARDLINK;

/// An argument that is more than a value.
fn argument(
    random: &mut Rng,
    chain: std::ops::Range<usize>,
    executor: Executor,
    end: &mut u64,
) -> (ArgKind, u64) {
    let earlier = match chain.is_empty() {
        true => return (ArgKind::OutPtr, 0),
        false => random.usize(chain) as u64,
    };
    match random.u8(0..6) {
        0 | 1 => (ArgKind::Result, earlier),
        2 => {
            let width = *one(random, &[1_u64, 2, 4, 8]);
            (
                ArgKind::Load,
                earlier | width << 24 | random.u64(0..200) << 32,
            )
        }
        3 if executor == Executor::Area => (ArgKind::Data, random.u64(0..64)),
        4 if executor == Executor::Area => {
            let (from, len) = (*end + random.u64(0..8), random.u64(0..40));
            *end = from + len;
            (ArgKind::Out, from | len << 32)
        }
        _ => (ArgKind::OutPtr, number(random)),
    }
}

/// A call that may do whatever the process may do.
fn any_call(random: &mut Rng, world: &World, inline: bool) -> Call {
    let room = world.room.address() + random.u64(0..ROOM as u64 / 16) * 8;
    let path = world.path.address();
    let fd = random.u64(0..24);
    let nonblocking = 0o4000;
    let here = libc::AT_FDCWD as u64;
    let size = random.u64(0..64);
    let pid = world.pid as u64;
    let (nr, args) = match random.u8(..) {
        0..=31 => (libc::SYS_getpid, [0; 6]),
        32..=63 => (libc::SYS_getppid, [1, 2, 3, 4, 5, 6]),
        64..=79 => (libc::SYS_openat, [here, path, nonblocking, 0, 0, 0]),
        80..=95 => (libc::SYS_fstat, [fd, room, 0, 0, 0, 0]),
        96..=107 => (libc::SYS_close, [fd, 0, 0, 0, 0, 0]),
        108..=119 => (libc::SYS_dup, [fd, 0, 0, 0, 0, 0]),
        120..=131 => (libc::SYS_write, [fd, room, size, 0, 0, 0]),
        // What blocks blocks a worker; in the sender it is an end, as any other.
        132..=147 if !inline => (libc::SYS_read, [fd, room, size, 0, 0, 0]),
        148..=155 if !inline => (libc::SYS_futex, [room, 0, 0, 0, 0, 0]),
        132..=155 => (libc::SYS_read, [0, room, size, 0, 0, 0]),
        156..=163 => (libc::SYS_nanosleep, [path + 16, 0, 0, 0, 0, 0]),
        164..=171 => (libc::SYS_getdents64, [fd, room, 512, 0, 0, 0]),
        172..=179 => (libc::SYS_statx, [here, path, 0, 0xfff, room, 0]),
        180..=187 => (libc::SYS_poll, [room, 1, size / 16, 0, 0, 0]),
        188..=195 => (libc::SYS_pipe2, [room, nonblocking, 0, 0, 0, 0]),
        196..=203 => (libc::SYS_kill, [pid, 0, 0, 0, 0, 0]),
        204..=207 => (libc::SYS_wait4, [u64::MAX, room, 1, 0, 0, 0]),
        208..=211 => (libc::SYS_lseek, [fd, size, size % 3, 0, 0, 0]),
        212..=214 => (libc::SYS_fork, [0; 6]),
        215 => (libc::SYS_vfork, [0; 6]),
        216 => (libc::SYS_unshare, [random.u64(..), 0, 0, 0, 0, 0]),
        217 => (libc::SYS_exit_group, [0; 6]),
        218 => (libc::SYS_exit, [0; 6]),
        219 => (libc::SYS_execve, [path, 0, 0, 0, 0, 0]),
        // Whatever there is, with whatever there may be.
        220..=239 => {
            let mut args = [0; 6];
            for arg in &mut args {
                *arg = match random.u8(0..4) {
                    0 => room,
                    1 => path,
                    _ => number(random),
                };
            }
            (random.i64(0..480), args)
        }
        _ => (libc::SYS_gettid, [0; 6]),
    };
    Call {
        user_data: random.u64(0..8),
        nr: nr as u32,
        args,
        ..Call::default()
    }
}

/// A message of the early demonstration.
pub fn readi(random: &mut Rng, world: &World) -> Vec<u8> {
    let readi = Readi {
        pid: match random.u8(0..4) {
            0 => number(random) as i32,
            1 => random.i32(0..20),
            _ => world.pid,
        },
        fd: random.i32(-1..24),
        ptr: world.room.address(),
        count: random.i32(-1..64),
        padding: [0; 4],
    };
    classic::message(random.u32(..), readi.as_bytes())
}
