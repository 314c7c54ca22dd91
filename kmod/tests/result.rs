// SPDX-License-Identifier: GPL-2.0-only

//! The result of the oracle in docs/results is of this policy table: a row per call, with its
//! verdict and its reason.

use std::{fs, path::Path};

use nlcall_kmod::{policy, wire::Verdict};

#[test]
fn the_oracles_result_has_a_row_per_call_with_its_verdict() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/results/syscalls.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split('|').map(str::trim).collect())
        .filter(|cells: &Vec<&str>| cells.len() == 9 && cells[1].parse::<u32>().is_ok())
        .collect();
    let advice = "`cargo xtask test --oracle` writes it anew";
    assert_eq!(rows.len(), policy::table().count(), "{advice}");
    for (row, (syscall, judgement)) in rows.iter().zip(policy::table()) {
        let verdict = match judgement.verdict {
            Verdict::Both => "both",
            Verdict::Differs => "differs",
            Verdict::InlineOnly => "INLINE only",
            Verdict::Refused => "refused",
        };
        let found = (row[1], row[2], row[3], row[7]);
        let nr = syscall.nr.to_string();
        let reason = judgement.reason.unwrap_or("");
        let wanted = (nr.as_str(), syscall.name, verdict, reason);
        assert_eq!(found, wanted, "{advice}");
    }
}
