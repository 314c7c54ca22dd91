// SPDX-License-Identifier: GPL-2.0-only

//! What follows when a system call returns on a worker.

use crate::{
    policy,
    reject::errno,
    wire::{
        Outcome,
        Restart, //
    },
};

/// How a call ended: the part of its completion that is not its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Return value: a result, or a negative errno.
    pub ret: i64,
    /// Whether the call ran.
    pub outcome: Outcome,
    /// What the kernel would have done about an interruption.
    pub restart: Restart,
}

impl Ending {
    /// Ran to its end; the value is the system call's own.
    pub const fn ran(ret: i64) -> Self {
        Self {
            ret,
            outcome: Outcome::Ran,
            restart: Restart::None,
        }
    }

    /// Never started, for the reason that `errno` (positive) names.
    pub const fn not_started(errno: i32) -> Self {
        Self {
            ret: -(errno as i64),
            outcome: Outcome::NotStarted,
            restart: Restart::None,
        }
    }

    /// Cancelled before it started, or the chain broke before it.
    pub fn canceled() -> Self {
        Self {
            ret: -i64::from(errno::ECANCELED),
            outcome: Outcome::Canceled,
            restart: Restart::None,
        }
    }
}

/// Whether a call of this number succeeded, in the sense of LINK. `arg` gives an argument's value.
/// One that was refused may have: where a supervisor carried it out.
#[inline]
pub fn succeeded(ending: &Ending, nr: u32, arg: impl FnOnce(usize) -> u64) -> bool {
    matches!(ending.outcome, Outcome::Ran | Outcome::Refused)
        && !(-4095..0).contains(&ending.ret)
        && policy::length_argument(nr).is_none_or(|index| arg(index) == ending.ret as u64)
}

/// Whether a running call was asked to stop, and by what: the first wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Stop {
    /// It was not.
    #[default]
    No,
    /// A cancel, or its session or process is ending.
    Asked,
    /// Its time limit passed.
    TimedOut,
}

impl Stop {
    /// The same, where something else asks it to stop, too.
    #[must_use]
    pub fn or(self, asked: bool) -> Self {
        match self {
            Stop::No if asked => Stop::Asked,
            first => first,
        }
    }
}

/// What the worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The call is complete.
    Complete(Ending),
    /// The kernel interrupted the call for reasons of its own (a stop signal, the freezer, task
    /// work): handle those, then issue it again.
    Again,
    /// The same, for a call that keeps what remains of its time limit in the worker's restart
    /// block: issue `restart_syscall`.
    Continue,
}

/// The codes that never reach user space, of `include/linux/errno.h`.
fn restart_of(ret: i64) -> Restart {
    match ret {
        -512 => Restart::Sys,
        -513 => Restart::NoIntr,
        -514 => Restart::NoHand,
        -516 => Restart::Block,
        _ => Restart::None,
    }
}

/// Whether a call that returned this was interrupted, so that [`after`] must be asked. Any other
/// came to its end, whoever wanted to stop it.
#[inline(always)]
pub fn is_interruption(ret: i64) -> bool {
    ret == -i64::from(errno::EINTR) || (-516..=-512).contains(&ret)
}

/// Decides what follows from the value that the system call switch returned.
pub fn after(ret: i64, stop: Stop) -> Next {
    let restart = restart_of(ret);
    let interrupted = restart != Restart::None || ret == -i64::from(errno::EINTR);
    match (interrupted, stop) {
        (true, Stop::Asked) => Next::Complete(Ending {
            ret: -i64::from(errno::EINTR),
            outcome: Outcome::Interrupted,
            restart,
        }),
        (true, Stop::TimedOut) => Next::Complete(Ending {
            ret: -i64::from(errno::ETIME),
            outcome: Outcome::TimedOut,
            restart,
        }),
        _ => match restart {
            Restart::None => Next::Complete(Ending::ran(ret)),
            Restart::Block => Next::Continue,
            Restart::Sys | Restart::NoIntr | Restart::NoHand => Next::Again,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_errors_complete() {
        for ret in [0, 1, i64::MAX, -1, -4, -511, -515, -517, -4095, i64::MIN] {
            assert_eq!(after(ret, Stop::No), Next::Complete(Ending::ran(ret)));
        }
    }

    #[test]
    fn an_interruption_of_the_kernel_is_invisible() {
        for ret in [-512, -513, -514] {
            assert_eq!(after(ret, Stop::No), Next::Again);
        }
        assert_eq!(after(-516, Stop::No), Next::Continue);
    }

    #[test]
    fn an_interruption_on_request_says_how_to_restart() {
        let cases = [
            (-512, Restart::Sys),
            (-513, Restart::NoIntr),
            (-514, Restart::NoHand),
            (-516, Restart::Block),
            (-4, Restart::None),
        ];
        for (ret, restart) in cases {
            assert!(is_interruption(ret));
            for (stop, outcome, errno) in [
                (Stop::Asked, Outcome::Interrupted, errno::EINTR),
                (Stop::TimedOut, Outcome::TimedOut, errno::ETIME),
            ] {
                let ending = Ending {
                    ret: -i64::from(errno),
                    outcome,
                    restart,
                };
                assert_eq!(after(ret, stop), Next::Complete(ending), "{ret}");
            }
        }
    }

    #[test]
    fn errors_and_short_transfers_are_no_success() {
        let args = |index: usize| [3_u64, 0, 100, 0, 50, 0][index];
        let success = |ret, nr| succeeded(&Ending::ran(ret), nr, args);
        assert!(success(0, 39) && success(-4096, 9) && success(i64::MIN, 9));
        assert!(!success(-1, 39) && !success(-4095, 9));
        let named = |(nr, length): (usize, &u8)| (*length != 0).then_some((nr, *length));
        let lengths: Vec<_> = policy::LENGTHS
            .iter()
            .enumerate()
            .filter_map(named)
            .collect();
        assert_eq!(
            lengths,
            [(0, 2), (1, 2), (17, 2), (18, 2), (275, 4), (276, 2)]
        );
        for nr in [0, 1, 17, 18, 276] {
            assert!(
                success(100, nr) && !success(99, nr) && !success(0, nr),
                "{nr}"
            );
        }
        assert!(success(50, 275) && !success(49, 275));
        assert!(success(99, 19), "readv");
        let refused = |ret| Ending {
            outcome: Outcome::Refused,
            ..Ending::ran(ret)
        };
        assert!(succeeded(&refused(0), 39, args) && succeeded(&refused(100), 0, args));
        assert!(!succeeded(&refused(-1), 39, args) && !succeeded(&refused(99), 0, args));
        assert!(!succeeded(&Ending::not_started(11), 39, args));
        assert!(!succeeded(&Ending::canceled(), 39, args));
    }

    #[test]
    fn a_call_that_ended_in_spite_of_the_request_ran() {
        for ret in [5, 0, -11, -515, -517] {
            for stop in [Stop::Asked, Stop::TimedOut] {
                assert_eq!(after(ret, stop), Next::Complete(Ending::ran(ret)), "{ret}");
            }
        }
    }

    #[test]
    fn whoever_need_not_ask_gets_no_other_answer() {
        for ret in -5000..5000 {
            if is_interruption(ret) {
                continue;
            }
            for stop in [Stop::No, Stop::Asked, Stop::TimedOut] {
                assert_eq!(after(ret, stop), Next::Complete(Ending::ran(ret)), "{ret}");
            }
        }
    }
}
