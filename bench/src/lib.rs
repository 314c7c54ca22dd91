// SPDX-License-Identifier: MIT OR Apache-2.0

//! The same system calls made in every way that Linux has, and what each way costs.
//!
//! A [`Work`](work::Work) says what the calls are, a [`Contender`](contender::Contender) how they
//! are made. A [`plan`] is measured cell by cell: each contender of an operation runs in a process
//! of its own, so that one's threads do not slow down the other's calls, and their rounds
//! alternate. [`result`] is what comes out, [`table`], [`report`] and `chart` show it, [`target`]
//! holds it against what was aimed at.

mod area;
mod cell;
pub mod clock;
pub mod contender;
mod extra;
pub mod fixtures;
mod netlink;
pub mod options;
pub mod plan;
pub mod report;
pub mod result;
mod rotate;
pub mod run;
mod serve;
pub mod table;
pub mod target;
mod walk;
mod work;

#[cfg(feature = "chart")]
pub mod chart;
