// SPDX-License-Identifier: MIT OR Apache-2.0

/// The module's limits, and who may use it: see [`Session::config`](super::Session::config) and
/// [`Session::set_config`](super::Session::set_config).
///
/// When it is read, a field is none where the module has no such setting. When it is set, a field
/// that is none stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Who may submit: `root`, `everyone` or a decimal group id.
    pub access: Option<String>,
    /// Most calls in flight per session.
    pub max_in_flight: Option<u32>,
    /// Most calls in flight of all sessions of a user.
    pub max_in_flight_user: Option<u32>,
    /// Most workers per session.
    pub max_workers: Option<u32>,
    /// Most workers of all sessions of a user.
    pub max_workers_user: Option<u32>,
    /// Most workers of the machine.
    pub max_workers_total: Option<u32>,
    /// Most workers of a session that run at the same time; 0: as many as there are processors, at
    /// most four.
    pub max_running: Option<u32>,
    /// Milliseconds that a worker without a call stays.
    pub idle_ms: Option<u32>,
    /// Most bytes of messages with INLINE calls that wait for their senders to return, of all
    /// sessions of a user.
    pub max_inline_bytes: Option<u32>,
}
