// SPDX-License-Identifier: MIT OR Apache-2.0

//! What was measured. The JSON of `docs/results/bench.json` is these types.

use serde::{Deserialize, Serialize};

use crate::{clock::Unit, contender::Contender, plan::Operation};

/// Version of the JSON. It changes when the meaning of a field does, or when one goes.
pub const SCHEMA: u32 = 1;

/// A whole benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Date, `YYYY-MM-DD`.
    pub date: String,
    /// Commit of the module and of the programs.
    pub commit: String,
    /// The machine that everything ran on.
    pub machine: String,
    /// The emulator, where there was one.
    pub emulator: String,
    /// One for each guest that was booted.
    pub runs: Vec<Run>,
}

/// What one machine measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// What was counted.
    pub unit: Unit,
    /// Under which conditions.
    pub conditions: Conditions,
    /// What came out.
    pub rows: Vec<Row>,
}

/// The machine that measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// Release of the kernel.
    pub kernel: String,
    /// Processors.
    pub cpus: usize,
    /// Model of the processor, as the machine shows it.
    pub processor: String,
    /// QEMU's options for the processor; empty on a machine that is not xtask's.
    #[serde(default)]
    pub accelerator: String,
    /// File system of the files.
    pub file_system: String,
    /// Version of the module; none where it is not loaded.
    pub module: Option<String>,
    /// Rounds of each contender.
    pub rounds: usize,
}

/// One contender's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was done.
    pub operation: Operation,
    /// How many in one go.
    pub batch: usize,
    /// By whom.
    pub contender: Contender,
    /// The result.
    #[serde(flatten)]
    pub value: Value,
}

/// A number, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Value {
    /// Cost of one operation.
    Measured {
        /// The middle one of the rounds.
        median: f64,
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },
    /// This way has no such operation.
    NotPossible {
        /// Why.
        reason: String,
    },
    /// The module that is loaded does not do it.
    NotSupported {
        /// What.
        reason: String,
    },
    /// It went wrong.
    Failed {
        /// How.
        reason: String,
    },
}

impl Value {
    /// The result of these rounds.
    pub fn of(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        // Of an even number the lower one: what disturbs a round makes it longer.
        let middle = rounds.len().saturating_sub(1) / 2;
        match (rounds.first(), rounds.get(middle), rounds.last()) {
            (Some(&min), Some(&median), Some(&max)) => Self::Measured { median, min, max },
            _ => Self::Failed {
                reason: "no round was measured".to_owned(),
            },
        }
    }

    /// The number, if there is one.
    pub fn median(&self) -> Option<f64> {
        match self {
            Self::Measured { median, .. } => Some(*median),
            _ => None,
        }
    }

    /// Why there is no number.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Measured { .. } => None,
            Self::NotPossible { reason }
            | Self::NotSupported { reason }
            | Self::Failed { reason } => Some(reason),
        }
    }
}

impl Run {
    /// What a contender needs for one operation.
    pub fn cost(&self, operation: Operation, batch: usize, contender: Contender) -> Option<f64> {
        self.rows
            .iter()
            .find(|row| {
                row.operation == operation && row.batch == batch && row.contender == contender
            })
            .and_then(|row| row.value.median())
    }
}

/// What a program that measures says while it does, one JSON object per line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The next group.
    Begins {
        /// Groups that are done.
        done: usize,
        /// Groups in all.
        of: usize,
        /// What it is.
        what: String,
    },
    /// Everything.
    Ends(Run),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_round_counts() {
        let value = Value::of(vec![5.0, 1.0, 900.0]);
        assert_eq!(
            value,
            Value::Measured {
                median: 5.0,
                min: 1.0,
                max: 900.0
            }
        );
        assert_eq!(Value::of(vec![3.0, 2.0]).median(), Some(2.0));
        assert!(Value::of(Vec::new()).reason().is_some());
    }

    #[test]
    fn a_row_survives_json() {
        for value in [
            Value::of(vec![1.5]),
            Value::NotPossible {
                reason: "none".to_owned(),
            },
        ] {
            let row = Row {
                operation: Operation::FileChain,
                batch: 64,
                contender: Contender::Uring,
                value,
            };
            let json = serde_json::to_string(&row).expect("JSON");
            assert!(json.contains("\"file-chain\""), "{json}");
            assert_eq!(
                serde_json::from_str::<Row>(&json).expect("the same row"),
                row
            );
        }
    }
}
