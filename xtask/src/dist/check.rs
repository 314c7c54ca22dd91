// SPDX-License-Identifier: MIT OR Apache-2.0

//! The life of the packages, installed for real: first in the sandbox, on a layer that is thrown
//! away, where DKMS builds at this machine's speed; then in a guest, where the module is loaded.

use std::fs;
use std::io;
use std::path::{
    PathBuf, //
};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{
    Context,
    Result, //
};

use super::{
    build_version,
    VERSION, //
};
use crate::cache::{
    self,
    Lock, //
};
use crate::chamber;
use crate::checkout;
use crate::sandbox::{
    Extra,
    Sandbox, //
};
use crate::say::say;
use crate::tally::{
    Tally,
    Transcript, //
};
use crate::test;
use crate::vm::{
    self,
    Streams, //
};

/// The scripts, in the checkout.
const SCRIPTS: &str = "packages/check";
/// From installing to purging; runs in the sandbox and in the guest.
const LIFE: &str = "life";
/// What is said about what a build lacks.
const MISSING: &str = "missing";
/// Where they see the packages and themselves.
const PLACE: &str = "/nlcall/life";
/// Where the sandbox sees the artifacts that earlier checks made.
const ARTIFACTS: &str = "/nlcall/artifacts";
/// Time that the guest may take, in a stock kernel.
const LIMIT: Duration = Duration::from_secs(1800);

/// Installs, uses, upgrades, removes and purges the packages, and has their build lack what it needs.
/// Prints each step.
pub fn check(sandbox: &Sandbox) -> Result<Tally> {
    sandbox.add(Extra::Packages)?;
    let check = Check::prepare(sandbox)?;
    let mut tally = check.in_sandbox(LIFE, &[VERSION, &check.newer, sandbox.release()])?;
    if tally.failed == 0 {
        // The guest installs what was compiled there.
        tally += check.in_guest()?;
    }
    let artifacts = format!("{ARTIFACTS}/{}", sandbox.release());
    tally += check.in_sandbox(MISSING, &[VERSION, sandbox.release(), &artifacts])?;
    Ok(tally)
}

struct Check<'a> {
    sandbox: &'a Sandbox,
    /// Two versions of the packages, and the scripts.
    life: PathBuf,
    /// The version that replaces the workspace's.
    newer: String,
    artifacts: PathBuf,
    /// DKMS writes into the artifacts.
    _lock: Lock,
}

impl<'a> Check<'a> {
    fn prepare(sandbox: &'a Sandbox) -> Result<Self> {
        let artifacts = cache::folder()?.join("dkms");
        fs::create_dir_all(&artifacts).with_context(|| format!("making {artifacts:?}"))?;
        let lock = Lock::take(&artifacts.with_extension("lock"), "trying the packages")?;
        let life = checkout::target().join("life");
        if life.exists() {
            fs::remove_dir_all(&life).with_context(|| format!("removing {life:?}"))?;
        }
        let newer = format!("{VERSION}+newer");
        for (folder, version) in [("old", VERSION), ("new", &newer)] {
            build_version(sandbox, version, &life.join(folder))?;
        }
        for script in ["steps", LIFE, MISSING] {
            let source = checkout::root().join(SCRIPTS).join(script);
            fs::copy(&source, life.join(script)).with_context(|| format!("copying {source:?}"))?;
        }
        Ok(Self {
            sandbox,
            life,
            newer,
            artifacts,
            _lock: lock,
        })
    }

    /// Runs a script in the sandbox, on a layer of its own.
    fn in_sandbox(&self, script: &str, arguments: &[&str]) -> Result<Tally> {
        let layer = tempfile::tempdir_in(checkout::target()).context("making a layer")?;
        let mut child = self
            .sandbox
            .command("sh")
            .args(words(script, arguments))
            .layer(layer.path())
            .bind(&self.life, PLACE)
            .bind(&self.artifacts, ARTIFACTS)
            .command()?
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {SCRIPTS}/{script} in the sandbox"))?;
        let mut output = child
            .stdout
            .take()
            .context("the script's output is not connected")?;
        let transcript = Transcript::default();
        io::copy(&mut output, &mut transcript.and(io::stdout()))
            .context("passing the script's output on")?;
        let status = child.wait().context("waiting for the script")?;
        // The overlay leaves a folder that only its own kind may enter.
        chamber::remove_tree(layer.path())?;
        Ok(whole(&transcript, script, status.success()))
    }

    /// Runs the packages' life in a guest, which nothing of this project is installed in.
    fn in_guest(&self) -> Result<Tally> {
        let share = format!("{}:{PLACE}", self.life.display());
        let arguments = [VERSION, &self.newer, self.sandbox.release()];
        let options = vm::Options {
            plain: true,
            shares: vec![share.parse().map_err(anyhow::Error::msg)?],
            timeout: LIMIT * self.sandbox.patience(),
            command: [vec!["sh".to_owned()], words(LIFE, &arguments)]
                .concat()
                .into_iter()
                .map(Into::into)
                .collect(),
            ..vm::Options::default()
        };
        let transcript = Transcript::default();
        let ended = vm::run(self.sandbox, &options, Streams::kept(&transcript)?);
        match ended {
            Ok(status) => Ok(whole(&transcript, LIFE, status == 0)),
            Err(error) => {
                let mut tally = transcript.tally();
                tally += test::check("the guest lives with the packages to the end", Err(error));
                Ok(tally)
            }
        }
    }
}

fn words(script: &str, arguments: &[&str]) -> Vec<String> {
    let script = format!("{PLACE}/{script}");
    [script.as_str(), PLACE]
        .iter()
        .chain(arguments)
        .map(|word| (*word).to_owned())
        .collect()
}

/// What a script counted; one that did not come to its sum has failed.
fn whole(transcript: &Transcript, script: &str, succeeded: bool) -> Tally {
    let mut tally = transcript.tally();
    if tally.failed == 0 && (!succeeded || tally.passed == 0) {
        say!("{SCRIPTS}/{script} did not run to its end");
        tally += Tally::FAILED;
    }
    tally
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn said(text: &str) -> Transcript {
        let transcript = Transcript::default();
        let mut tee = transcript.and(io::sink());
        tee.write_all(text.as_bytes()).unwrap();
        transcript
    }

    #[test]
    fn a_script_that_stops_without_its_sum_has_failed() {
        let sum = "test a: b ... ok\ntest result: ok. 1 passed; 0 failed; 0 ignored\n";
        assert_eq!(whole(&said(sum), LIFE, true), Tally::PASSED);
        assert_eq!(whole(&said(sum), LIFE, false).failed, 1);
        assert_eq!(
            whole(&said("test a: b ... ok\n"), LIFE, true),
            Tally::FAILED
        );
    }
}
