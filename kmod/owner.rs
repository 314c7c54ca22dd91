// SPDX-License-Identifier: GPL-2.0-only

//! Who may begin a session on a socket.
//!
//! A socket can be opened by one program and written to by another, more privileged one that takes
//! it for its output. The second must not be made to execute the first one's messages with its own
//! rights: the credentials of the sender have to be such that the opener could have had them.

/// `CAP_SETGID` and `CAP_SETUID` of `include/uapi/linux/capability.h`.
const CAP_SETGID: u32 = 6;
const CAP_SETUID: u32 = 7;

/// The parts of a `struct cred` that decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Address of the user namespace.
    pub user_ns: usize,
    /// Real, effective, saved and file system user id, in the kernel's own numbering.
    pub uids: [u32; 4],
    /// Real, effective, saved and file system group id.
    pub gids: [u32; 4],
    /// Address of the supplementary groups.
    pub groups: usize,
    /// Permitted capabilities.
    pub permitted: u64,
    /// Effective capabilities.
    pub effective: u64,
}

impl Identity {
    fn may(&self, capability: u32) -> bool {
        self.permitted & (1 << capability) != 0
    }

    /// Whether the holder of `opener` could have obtained this identity; the error says what
    /// stands against it.
    pub fn obtainable_from(&self, opener: &Self) -> Result<(), &'static str> {
        if self.user_ns != opener.user_ns {
            return Err("the socket was opened in another user namespace");
        }
        if (self.permitted | self.effective) & !opener.permitted != 0 {
            return Err("the opener of the socket had fewer capabilities");
        }
        if !opener.may(CAP_SETUID) && !among(&self.uids, &opener.uids) {
            return Err("the opener of the socket had another user id");
        }
        if !opener.may(CAP_SETGID)
            && (!among(&self.gids, &opener.gids) || self.groups != opener.groups)
        {
            return Err("the opener of the socket had another group id");
        }
        Ok(())
    }
}

fn among(ids: &[u32; 4], allowed: &[u32; 4]) -> bool {
    ids.iter().all(|id| allowed.contains(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Identity = Identity {
        user_ns: 1,
        uids: [1000; 4],
        gids: [100; 4],
        groups: 2,
        permitted: 0,
        effective: 0,
    };
    const ROOT: Identity = Identity {
        uids: [0; 4],
        gids: [0; 4],
        groups: 3,
        permitted: u64::MAX,
        effective: u64::MAX,
        ..USER
    };

    #[test]
    fn the_same_identity_and_less_of_it_are_fine() {
        assert_eq!(USER.obtainable_from(&USER), Ok(()));
        assert_eq!(ROOT.obtainable_from(&ROOT), Ok(()));
        assert_eq!(USER.obtainable_from(&ROOT), Ok(()));
    }

    #[test]
    fn a_privileged_program_does_not_speak_for_the_opener() {
        assert!(ROOT.obtainable_from(&USER).is_err());
        // The same user id, and a capability more.
        let capable = Identity {
            permitted: 1,
            ..USER
        };
        assert!(capable.obtainable_from(&USER).is_err());
        // A set-user-id program, and one with another group.
        let setuid = Identity {
            uids: [1000, 0, 0, 0],
            ..USER
        };
        assert!(setuid.obtainable_from(&USER).is_err());
        let setgid = Identity {
            gids: [100, 5, 5, 5],
            ..USER
        };
        assert!(setgid.obtainable_from(&USER).is_err());
        let groups = Identity { groups: 9, ..USER };
        assert!(groups.obtainable_from(&USER).is_err());
        let elsewhere = Identity { user_ns: 9, ..USER };
        assert!(elsewhere.obtainable_from(&USER).is_err());
    }

    #[test]
    fn a_saved_id_may_come_back() {
        let opener = Identity {
            uids: [1000, 1000, 0, 1000],
            ..USER
        };
        let now = Identity {
            uids: [1000, 0, 0, 0],
            ..USER
        };
        assert_eq!(now.obtainable_from(&opener), Ok(()));
    }
}
