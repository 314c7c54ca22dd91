// SPDX-License-Identifier: GPL-2.0-only

//! One at a time, and nobody waits.

/// Admits one flusher at a time. Whoever comes while one is at work leaves a note instead of
/// waiting, and the one at work goes round once more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    /// Nobody is at work.
    #[default]
    Open,
    /// Somebody is at work.
    Busy,
    /// Somebody is at work and must look again before leaving.
    Again,
}

impl Gate {
    /// Asks to enter. `false`: somebody else is at work and will see to it.
    #[must_use]
    pub fn enter(&mut self) -> bool {
        let entered = *self == Gate::Open;
        *self = if entered { Gate::Busy } else { Gate::Again };
        entered
    }

    /// Asks to leave. `false`: somebody came in the meantime; look again.
    #[must_use]
    pub fn leave(&mut self) -> bool {
        let left = *self == Gate::Busy;
        *self = if left { Gate::Open } else { Gate::Busy };
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_makes_the_one_inside_look_again_once() {
        let mut gate = Gate::default();
        assert!(gate.enter());
        assert!(!gate.enter());
        assert!(!gate.enter());
        assert!(!gate.leave());
        assert!(gate.leave());
        assert!(gate.enter());
    }
}
