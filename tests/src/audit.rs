// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's audit records, as its daemon gets them.

use std::{collections::BTreeMap, io, process};

use netlink_packet_core::{Emitable, NetlinkBuffer, NetlinkHeader, NLMSG_ERROR};
use netlink_sys::{protocols::NETLINK_AUDIT, Socket, SocketAddr};
use nix::unistd::Pid;
use rustix::net::{recv, RecvFlags};
use zerocopy::{Immutable, IntoBytes};

use crate::message::{ACK, REQUEST};

/// Message types of `include/uapi/linux/audit.h`.
const SET: u16 = 1001;
const ADD_RULE: u16 = 1011;
const DELETE_RULE: u16 = 1012;
const FIRST_EVENT: u16 = 1300;
const CONFIG_CHANGE: u16 = 1305;
const END_OF_EVENT: u16 = 1320;
const LAST_EVENT: u16 = 1399;

/// `struct audit_status`, as far as it is set.
#[derive(Default, IntoBytes, Immutable)]
#[repr(C)]
struct Status {
    mask: u32,
    enabled: u32,
    failure: u32,
    pid: u32,
    others: [u32; 7],
}

/// In `mask`: `AUDIT_STATUS_ENABLED` and `AUDIT_STATUS_PID`.
const ENABLED: u32 = 1;
const DAEMON: u32 = 4;

/// `struct audit_rule_data` with one field.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Rule {
    flags: u32,
    action: u32,
    field_count: u32,
    mask: [u32; 64],
    fields: [u32; 64],
    values: [u32; 64],
    field_flags: [u32; 64],
    buflen: u32,
}

/// One event: its records, by type, in their order; without their time and number.
pub type Event = Vec<(u16, String)>;

/// This process as the daemon of audit. Audit is off again when it is dropped.
pub struct Daemon {
    socket: Socket,
    rules: Vec<(Pid, Vec<libc::c_long>)>,
    sent: u32,
    /// Events that are not over.
    open: BTreeMap<String, Event>,
}

impl Daemon {
    /// Switches audit on; an error where the kernel has none of system calls.
    pub fn begin() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_AUDIT)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 1 << 20)?;
        let mut daemon = Self {
            socket,
            rules: Vec::new(),
            sent: 0,
            open: BTreeMap::new(),
        };
        daemon.set(1, process::id())?;
        Ok(daemon)
    }

    fn set(&mut self, enabled: u32, pid: u32) -> io::Result<()> {
        let status = Status {
            mask: ENABLED | DAEMON,
            enabled,
            pid,
            ..Status::default()
        };
        self.request(SET, status.as_bytes())
    }

    /// Asks for a record of each of these calls of a process.
    pub fn watch(&mut self, pid: Pid, calls: &[libc::c_long]) -> io::Result<()> {
        self.request(ADD_RULE, rule(pid, calls).as_bytes())?;
        self.rules.push((pid, calls.to_vec()));
        Ok(())
    }

    /// Sends a request and waits for its answer. Events that end meanwhile are passed over: they are
    /// of the request itself, since those who are watched wait.
    fn request(&mut self, kind: u16, payload: &[u8]) -> io::Result<()> {
        self.sent += 1;
        let mut header = NetlinkHeader::default();
        header.length = (header.buffer_len() + payload.len()) as u32;
        header.message_type = kind;
        header.flags = REQUEST | ACK;
        header.sequence_number = self.sent;
        let mut bytes = vec![0; header.buffer_len()];
        header.emit(&mut bytes);
        bytes.extend(payload);
        self.socket.send(&bytes, 0)?;
        loop {
            let (kind, payload) = self.receive();
            if kind == NLMSG_ERROR {
                let errno = i32::from_ne_bytes(payload[..4].try_into().expect("an error number"));
                return match errno {
                    0 => Ok(()),
                    errno => Err(io::Error::from_raw_os_error(-errno)),
                };
            }
            self.take(kind, &payload);
        }
    }

    fn receive(&self) -> (u16, Vec<u8>) {
        let mut buffer = vec![0; 16 << 10];
        let (_, length) = recv(&self.socket, &mut buffer[..], RecvFlags::TRUNC).expect("a message");
        let message = NetlinkBuffer::new(&buffer[..length]);
        // The length of a record leaves its header out, in some kernels.
        (message.message_type(), buffer[16..length].to_vec())
    }

    /// Takes in a record; the event that it ends.
    fn take(&mut self, kind: u16, payload: &[u8]) -> Option<Event> {
        if !(FIRST_EVENT..=LAST_EVENT).contains(&kind) {
            return None;
        }
        let text = String::from_utf8_lossy(payload);
        let text = text.trim_end_matches(['\0', '\n', ' ']);
        // audit(1700000000.123:45): ...
        let (stamp, said) = text.split_once("):")?;
        if kind == END_OF_EVENT {
            return self.open.remove(stamp);
        }
        let event = self.open.entry(stamp.to_owned()).or_default();
        event.push((kind, said.trim().to_owned()));
        None
    }

    /// Waits for the next event, other than a change of the rules.
    pub fn event(&mut self) -> Event {
        loop {
            let (kind, payload) = self.receive();
            match self.take(kind, &payload) {
                Some(event) if event.iter().all(|(kind, _)| *kind != CONFIG_CHANGE) => {
                    return event
                }
                _ => {}
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        for (pid, calls) in std::mem::take(&mut self.rules) {
            self.request(DELETE_RULE, rule(pid, &calls).as_bytes())
                .expect("the rule is there");
        }
        self.set(0, 0).expect("audit can be switched off");
    }
}

fn rule(pid: Pid, calls: &[libc::c_long]) -> Rule {
    /// `AUDIT_FILTER_EXIT`, `AUDIT_ALWAYS`, `AUDIT_PID` and `AUDIT_EQUAL`.
    const FILTER_EXIT: u32 = 4;
    const ALWAYS: u32 = 2;
    const FIELD_PID: u32 = 0;
    const EQUAL: u32 = 0x4000_0000;

    let mut rule = Rule {
        flags: FILTER_EXIT,
        action: ALWAYS,
        field_count: 1,
        mask: [0; 64],
        fields: [0; 64],
        values: [0; 64],
        field_flags: [0; 64],
        buflen: 0,
    };
    for nr in calls {
        rule.mask[*nr as usize / 32] |= 1 << (nr % 32);
    }
    rule.fields[0] = FIELD_PID;
    rule.values[0] = pid.as_raw() as u32;
    rule.field_flags[0] = EQUAL;
    rule
}
