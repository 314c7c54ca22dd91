// SPDX-License-Identifier: MIT OR Apache-2.0

//! Name and network of the guest.

use std::os::fd::AsRawFd;

use anyhow::{
    Context,
    Result, //
};
use rustix::net::{
    AddressFamily,
    SocketType, //
};

const HOST_NAME: &str = "nlcall";

/// Names the machine and takes the loopback interface up.
pub fn set_up() -> Result<()> {
    rustix::system::sethostname(HOST_NAME.as_bytes()).context("naming the machine")?;
    std::fs::write("/etc/hostname", format!("{HOST_NAME}\n")).context("writing /etc/hostname")?;
    let hosts = format!("127.0.0.1 localhost {HOST_NAME}\n::1 localhost\n");
    std::fs::write("/etc/hosts", hosts).context("writing /etc/hosts")?;
    loopback_up().context("taking the loopback interface up")
}

fn loopback_up() -> Result<()> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: `ifreq` is plain data; all zeros is a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq` from its argument, which lives until the call returns.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(())
}
