// SPDX-License-Identifier: MIT OR Apache-2.0

//! Mounts.

use std::ffi::OsStr;

use rustix::mount::{MountFlags, UnmountFlags};

use super::{argument::Text, operation};

operation! {
    /// Mounts a file system: `mount(2)`.
    pub struct Mount = mount {
        source: Option<Text>,
        target: Text,
        kind: Option<Text>,
        flags: MountFlags,
        data: Option<Text>,
    } -> ()
}

impl Mount {
    /// That on `source`, of this kind, at `target`.
    pub fn new(
        source: impl AsRef<OsStr>,
        target: impl AsRef<OsStr>,
        kind: impl AsRef<OsStr>,
    ) -> Self {
        Self {
            source: Some(Text::new(source)),
            target: Text::new(target),
            kind: Some(Text::new(kind)),
            flags: MountFlags::empty(),
            data: None,
        }
    }

    /// The tree at `source`, at `target` as well (`MS_BIND`).
    pub fn bind(source: impl AsRef<OsStr>, target: impl AsRef<OsStr>) -> Self {
        Self {
            source: Some(Text::new(source)),
            target: Text::new(target),
            kind: None,
            flags: MountFlags::BIND,
            data: None,
        }
    }

    /// With these flags, too.
    pub fn flags(mut self, flags: MountFlags) -> Self {
        self.flags |= flags;
        self
    }

    /// Options of the file system, such as `size=1m`.
    pub fn data(mut self, data: impl AsRef<OsStr>) -> Self {
        self.data = Some(Text::new(data));
        self
    }
}

operation! {
    /// Removes a mount: `umount2(2)`.
    pub struct Unmount = umount2 {
        target: Text,
        flags: UnmountFlags,
    } -> ()
}

impl Unmount {
    /// That at this path.
    pub fn new(target: impl AsRef<OsStr>) -> Self {
        Self {
            target: Text::new(target),
            flags: UnmountFlags::empty(),
        }
    }

    /// `MNT_DETACH` and others.
    pub fn flags(mut self, flags: UnmountFlags) -> Self {
        self.flags = flags;
        self
    }
}
