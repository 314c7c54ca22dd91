// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages, semaphores and shared memory of System V, and POSIX message queues: each case in a
//! namespace of its own, where numbers begin anew.

use std::ops::Range;

use libc::{
    EAGAIN, EBADF, EEXIST, EINVAL, ENOENT, ENOMSG, IPC_CREAT, IPC_EXCL, IPC_NOWAIT, IPC_PRIVATE,
    IPC_RMID, IPC_STAT, O_CREAT, O_RDWR,
};
use nlcall_tests::memory::{Memory, PAGE};

use crate::{
    case::{args, fails, ok, Case},
    world::{World, NO_FD},
};

const KEY: i32 = 0x6e6c;

/// `struct shmid64_ds`: times, and processes.
const SHM: &[Range<usize>] = &[56..88];
/// `struct msqid64_ds`.
const MSG: &[Range<usize>] = &[48..72, 96..104];
/// `struct semid64_ds`.
const SEM: &[Range<usize>] = &[48..80];

fn queue(w: &mut World) -> i64 {
    w.sys("msgget", args![KEY, IPC_CREAT | 0o600])
}

/// A queue with a message of type 3.
fn filled(w: &mut World) -> i64 {
    let (queue, message) = (queue(w), message(w));
    w.sys("msgsnd", args![queue, message, 5, 0]);
    queue
}

fn message(w: &mut World) -> Memory {
    let mut bytes = 3_u64.to_ne_bytes().to_vec();
    bytes.extend_from_slice(b"bytes");
    w.bytes(&bytes)
}

fn semaphores(w: &mut World) -> i64 {
    w.sys("semget", args![KEY, 2, IPC_CREAT | 0o600])
}

/// `struct sembuf`: which, by how much, flags.
fn operation(w: &mut World, by: i16, flags: i32) -> Memory {
    let mut bytes = 1_u16.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&by.to_ne_bytes());
    bytes.extend_from_slice(&(flags as u16).to_ne_bytes());
    w.bytes(&bytes)
}

/// The value of the second semaphore.
fn then_value(w: &mut World, set: i64) {
    w.then_call("semctl", args![set, 1, libc::GETVAL, 0]);
}

fn segment(w: &mut World) -> i64 {
    w.sys("shmget", args![KEY, 2 * PAGE, IPC_CREAT | 0o600])
}

/// A POSIX queue with room for two messages of eight bytes.
fn posix(w: &mut World, flags: i32) -> i64 {
    let (name, attributes) = (w.text("nlcall"), w.words(&[0, 2, 8, 0, 0, 0, 0, 0]));
    w.sys(
        "mq_open",
        args![name, O_CREAT | O_RDWR | flags, 0o600, attributes],
    )
}

fn posix_filled(w: &mut World) -> i64 {
    let (queue, bytes) = (posix(w, 0), w.bytes(b"bytes"));
    w.sys("mq_timedsend", args![queue, bytes, 5, 7, 0]);
    queue
}

pub fn cases() -> Vec<Case> {
    let cases = vec![
        ok("msgget", "a new queue", |_| {
            args![KEY, IPC_CREAT | IPC_EXCL | 0o640]
        }),
        fails("msgget", ENOENT, "no queue", |_| args![KEY, 0]),
        ok("msgsnd", "a message", |w| {
            let (queue, buffer) = (queue(w), w.out(16));
            w.then_call("msgrcv", args![queue, buffer, 8, 3, IPC_NOWAIT]);
            w.then(move |_| format!("{:?}", buffer.get()));
            args![queue, message(w), 5, 0]
        }),
        fails("msgsnd", EINVAL, "no queue", |w| {
            args![99, message(w), 5, 0]
        }),
        ok("msgrcv", "a message", |w| {
            args![filled(w), w.out(16), 8, 0, 0]
        }),
        fails("msgrcv", ENOMSG, "none of this type", |w| {
            args![filled(w), w.out(16), 8, 9, IPC_NOWAIT]
        }),
        ok("msgctl", "its state", |w| {
            args![filled(w), IPC_STAT, w.out_varying(120, MSG)]
        }),
        ok("msgctl", "removes it", |w| {
            let queue = queue(w);
            w.then_call("msgget", args![KEY, 0]);
            args![queue, IPC_RMID, 0]
        }),
        fails("msgctl", EINVAL, "no queue", |_| args![99, IPC_RMID, 0]),
        ok("semget", "two semaphores", |_| {
            args![KEY, 2, IPC_CREAT | 0o600]
        }),
        fails("semget", EEXIST, "there are some", |w| {
            semaphores(w);
            args![KEY, 2, IPC_CREAT | IPC_EXCL | 0o600]
        }),
        ok("semop", "raises one", |w| {
            let set = semaphores(w);
            then_value(w, set);
            args![set, operation(w, 3, 0), 1]
        }),
        fails("semop", EAGAIN, "it is zero", |w| {
            args![semaphores(w), operation(w, -1, IPC_NOWAIT), 1]
        }),
        ok("semtimedop", "raises one", |w| {
            let set = semaphores(w);
            then_value(w, set);
            args![set, operation(w, 3, 0), 1, w.words(&[5, 0])]
        }),
        fails("semtimedop", EAGAIN, "it stays zero", |w| {
            args![semaphores(w), operation(w, -1, 0), 1, w.words(&[0, 1000])]
        }),
        ok("semctl", "sets one", |w| {
            let set = semaphores(w);
            then_value(w, set);
            args![set, 1, libc::SETVAL, 5]
        }),
        ok("semctl", "their state", |w| {
            args![semaphores(w), 0, IPC_STAT, w.out_varying(104, SEM)]
        }),
        fails("semctl", EINVAL, "no semaphores", |_| {
            args![99, 0, libc::GETVAL, 0]
        }),
        ok("shmget", "two pages", |_| {
            args![KEY, 2 * PAGE, IPC_CREAT | 0o600]
        }),
        fails("shmget", EINVAL, "nothing", |_| {
            args![IPC_PRIVATE, 0, IPC_CREAT]
        }),
        ok("shmat", "two pages", |w| args![segment(w), 0, 0]),
        fails("shmat", EINVAL, "no memory", |_| args![99, 0, 0]),
        ok("shmdt", "two pages", |w| {
            let segment = segment(w);
            args![w.sys("shmat", args![segment, 0, 0])]
        }),
        fails("shmdt", EINVAL, "nothing there", |w| args![w.nowhere()]),
        ok("shmctl", "its state", |w| {
            args![segment(w), IPC_STAT, w.out_varying(112, SHM)]
        }),
        ok("shmctl", "removes it", |w| {
            let segment = segment(w);
            w.then_call("shmget", args![KEY, 0, 0]);
            args![segment, IPC_RMID, 0]
        }),
        fails("shmctl", EINVAL, "no memory", |_| args![99, IPC_RMID, 0]),
        ok("mq_open", "a new queue", |w| {
            let name = w.text("nlcall");
            args![
                name,
                O_CREAT | O_RDWR,
                0o600,
                w.words(&[0, 2, 8, 0, 0, 0, 0, 0])
            ]
        }),
        fails("mq_open", ENOENT, "no queue", |w| {
            args![w.text("none"), O_RDWR, 0, 0]
        }),
        ok("mq_unlink", "a queue", |w| {
            posix(w, 0);
            args![w.text("nlcall")]
        }),
        fails("mq_unlink", ENOENT, "no queue", |w| args![w.text("none")]),
        ok("mq_timedsend", "a message", |w| {
            let (queue, buffer, priority) = (posix(w, 0), w.out(8), w.out(4));
            w.then_call("mq_timedreceive", args![queue, buffer, 8, priority, 0]);
            w.then(move |_| format!("{:?} {:?}", buffer.get(), priority.get()));
            args![queue, w.bytes(b"bytes"), 5, 7, 0]
        }),
        fails("mq_timedsend", libc::EMSGSIZE, "a long message", |w| {
            args![posix(w, 0), w.bytes(b"too many bytes"), 14, 0, 0]
        }),
        ok("mq_timedreceive", "a message", |w| {
            args![posix_filled(w), w.out(8), 8, w.out(4), 0]
        }),
        fails("mq_timedreceive", EAGAIN, "none is there", |w| {
            args![posix(w, libc::O_NONBLOCK), w.out(8), 8, 0, 0]
        }),
        ok("mq_notify", "a signal when one comes", |w| {
            let signal = w.words(&[0, libc::SIGUSR1 as u64, 0, 0, 0, 0, 0, 0]);
            args![posix(w, 0), signal]
        }),
        fails("mq_notify", EBADF, "no queue", |_| args![NO_FD, 0]),
        ok("mq_getsetattr", "does not block any more", |w| {
            let attributes = w.words(&[libc::O_NONBLOCK as u64, 0, 0, 0, 0, 0, 0, 0]);
            args![posix_filled(w), attributes, w.out(64)]
        }),
        fails("mq_getsetattr", EBADF, "no queue", |w| {
            args![NO_FD, 0, w.out(64)]
        }),
    ];
    cases.into_iter().map(Case::apart).collect()
}
