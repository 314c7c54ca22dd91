// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names that calls on sockets take.

use linux_raw_sys::general::{
    O_CLOEXEC,
    O_NONBLOCK, //
};
use linux_raw_sys::net::*;

use super::sets;

sets! {
    /// Address families.
    choice FAMILY("AF_", 32) {
        AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_ALG, AF_BLUETOOTH, AF_CAN,
        AF_KEY, AF_TIPC, AF_VSOCK, AF_XDP,
    }

    /// `socket(2)`, type.
    flags TYPE("SOCK_", 32)
        where SOCK_TYPE_MASK { SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_RDM, SOCK_SEQPACKET }
        { SOCK_CLOEXEC, SOCK_NONBLOCK }

    /// `accept4(2)`.
    flags ACCEPT("SOCK_", 32) { SOCK_CLOEXEC, SOCK_NONBLOCK }

    /// `send(2)`, `recv(2)` and their relatives.
    flags MESSAGE("MSG_", 32) {
        MSG_OOB, MSG_PEEK, MSG_DONTROUTE, MSG_CTRUNC, MSG_TRUNC, MSG_DONTWAIT, MSG_EOR, MSG_WAITALL,
        MSG_CONFIRM, MSG_ERRQUEUE, MSG_NOSIGNAL, MSG_MORE, MSG_CMSG_CLOEXEC,
    }

    /// `shutdown(2)`.
    choice SHUTDOWN("SHUT_", 32) { SHUT_RD, SHUT_WR, SHUT_RDWR }

    /// `setsockopt(2)`, level.
    choice LEVEL("SOL_", 32) {
        SOL_IP, SOL_SOCKET, SOL_TCP, SOL_UDP, SOL_IPV6, SOL_RAW, SOL_PACKET, SOL_NETLINK, SOL_ALG,
    }

    /// `setsockopt(2)`, option of SOL_SOCKET.
    choice OPTION("SO_", 32) {
        SO_DEBUG, SO_REUSEADDR, SO_TYPE, SO_ERROR, SO_DONTROUTE, SO_BROADCAST, SO_SNDBUF, SO_RCVBUF,
        SO_KEEPALIVE, SO_OOBINLINE, SO_PRIORITY, SO_LINGER, SO_REUSEPORT, SO_PASSCRED, SO_PEERCRED,
        SO_RCVLOWAT, SO_SNDLOWAT, SO_BINDTODEVICE, SO_ATTACH_FILTER, SO_DETACH_FILTER,
        SO_ACCEPTCONN, SO_PEERSEC, SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_MARK, SO_PROTOCOL, SO_DOMAIN,
        SO_PEEK_OFF, SO_LOCK_FILTER, SO_BUSY_POLL, SO_INCOMING_CPU, SO_COOKIE, SO_PEERGROUPS,
        SO_ZEROCOPY, SO_PEERPIDFD,
    }
}

/// `include/linux/net.h`: the type, and the descriptor flags beside it.
const SOCK_TYPE_MASK: u32 = 0xf;
const SOCK_CLOEXEC: u32 = O_CLOEXEC;
const SOCK_NONBLOCK: u32 = O_NONBLOCK;
