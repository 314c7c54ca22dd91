// SPDX-License-Identifier: GPL-2.0-only

//! What seccomp says about a call on behalf of the thread that submitted it.

use crate::{
    ended::Ending,
    policy,
    reject::errno,
    wire::{
        Outcome,
        Restart,
        Verdict, //
    },
};

/// A call without anything around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bare {
    /// System call number.
    pub nr: u32,
    /// The arguments.
    pub args: [u64; 6],
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The call may be made: the one that was asked about, or what a tracer made of it.
    Make(Bare),
    /// It ends in this way, without having been made.
    End(Ending),
}

impl Answer {
    /// The thread may make this call, where `asked` was asked about; by itself, or with `inline`
    /// not set, through a worker. A tracer may have changed it into one that it may not.
    pub fn permitted(call: Bare, asked: &Bare, inline: bool) -> Self {
        if call == *asked {
            return Self::Make(call);
        }
        let Some(judgement) = policy::judge(call.nr, &call.args) else {
            return Self::End(Ending::not_started(errno::ENOSYS));
        };
        match judgement.verdict {
            Verdict::Both | Verdict::Differs => Self::Make(call),
            Verdict::InlineOnly if inline => Self::Make(call),
            Verdict::InlineOnly | Verdict::Refused => {
                Self::End(Ending::not_started(errno::EOPNOTSUPP))
            }
        }
    }

    /// The thread may not make the call, which returns `ret` instead.
    pub fn refused(ret: i64) -> Self {
        // A signal came before a supervisor's answer.
        if (-516..=-512).contains(&ret) {
            return Self::End(Ending::not_started(errno::EINTR));
        }
        Self::End(Ending {
            ret,
            outcome: Outcome::Refused,
            restart: Restart::None,
        })
    }

    /// What stands until there is another answer: there is none where the question ends the thread.
    pub fn none_yet() -> Self {
        Self::refused(-i64::from(errno::ENOSYS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GETPID: Bare = Bare {
        nr: policy::nr("getpid"),
        args: [1, 2, 3, 4, 5, 6],
    };

    fn named(name: &str) -> Bare {
        Bare {
            nr: policy::nr(name),
            ..GETPID
        }
    }

    #[test]
    fn what_was_asked_about_is_made_as_it_was() {
        // What the policy says of it was asked before.
        for call in [GETPID, named("fork"), named("reboot")] {
            for inline in [false, true] {
                assert_eq!(Answer::permitted(call, &call, inline), Answer::Make(call));
            }
        }
    }

    #[test]
    fn what_a_tracer_made_of_it_is_judged() {
        let other = |call, inline| Answer::permitted(call, &GETPID, inline);
        let refused = |errno| Answer::End(Ending::not_started(errno));
        let arguments = Bare {
            args: [0; 6],
            ..GETPID
        };
        for call in [arguments, named("getppid"), named("gettid")] {
            assert_eq!(other(call, false), Answer::Make(call));
            assert_eq!(other(call, true), Answer::Make(call));
        }
        let fork = named("fork");
        assert_eq!(other(fork, true), Answer::Make(fork));
        assert_eq!(other(fork, false), refused(errno::EOPNOTSUPP));
        for inline in [false, true] {
            assert_eq!(other(named("reboot"), inline), refused(errno::EOPNOTSUPP));
            // An x32 call, and what is none.
            for nr in [0x4000_0000, u32::MAX] {
                let unknown = Bare { nr, ..GETPID };
                assert_eq!(other(unknown, inline), refused(errno::ENOSYS));
            }
        }
    }

    #[test]
    fn a_refused_call_returns_what_the_filter_says() {
        for ret in [0, 7, -1, -4, -38, -4095, i64::MIN] {
            let Answer::End(ending) = Answer::refused(ret) else {
                panic!("{ret}");
            };
            assert_eq!((ending.ret, ending.outcome), (ret, Outcome::Refused));
        }
        assert_eq!(
            Answer::refused(-512),
            Answer::End(Ending::not_started(errno::EINTR))
        );
    }
}
