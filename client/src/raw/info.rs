// SPDX-License-Identifier: MIT OR Apache-2.0

use nlcall_abi::{FrontEnd, SessionState, Verdict};

/// One entry of the module's policy table: what may be done with a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyscallInfo {
    /// System call number of the x86-64 table.
    pub nr: u32,
    /// Its name, as in the kernel's table.
    pub name: String,
    /// What may be done with it.
    pub verdict: Verdict,
    /// Why, in words; none where it executes everywhere without a difference.
    pub reason: Option<String>,
}

/// One session of the module.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Number of the session, unique since the module was loaded.
    pub id: u64,
    /// Process id of the owner in the reader's pid namespace; 0 where it is not visible there or
    /// the owner has ended.
    pub pid: u32,
    /// Name (`comm`) of the owner.
    pub comm: String,
    /// Netlink port id of the socket.
    pub port_id: u32,
    /// Its state.
    pub state: SessionState,
    /// How it is spoken to.
    pub front_end: FrontEnd,
    /// Calls accepted whose completion was not yet delivered.
    pub in_flight: u32,
    /// Calls that wait for a worker.
    pub queued: u32,
    /// Calls that a worker executes, blocked ones included.
    pub running: u32,
    /// Running calls that are blocked.
    pub blocked: u32,
    /// Completions that wait for room in the receive buffer.
    pub undelivered: u32,
    /// Workers of the session.
    pub workers: u32,
    /// Whether every worker up to the cap is blocked while calls wait.
    pub saturated: bool,
    /// Calls accepted since the session began.
    pub accepted: u64,
    /// Completions delivered since the session began.
    pub delivered: u64,
    /// Calls that a message named and that were rejected with it.
    pub rejected: u64,
    /// `nlmsg_seq` of the last SUBMIT that was accepted.
    pub last_seq: u32,
}
