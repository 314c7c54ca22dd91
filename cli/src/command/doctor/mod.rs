// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall doctor`

use nlcall::raw::Session;
use nlcall::Error;
use serde::Serialize;

use crate::exit::{
    Failure,
    Status, //
};
use crate::json;
use crate::kernel::call;
use crate::table::print;

mod checks;
mod machine;

use machine::Machine;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// What was found.
    pub verdict: Verdict,
    /// The same, in words.
    pub finding: String,
    /// What to do about it, where something is to be done.
    pub fix: Option<String>,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// No obstacle to calls now, but perhaps to building or loading the module.
    Warning,
    /// Calls cannot be made.
    Bad,
}

impl Check {
    fn new(name: &'static str, verdict: Verdict, finding: impl Into<String>) -> Self {
        Self {
            name,
            verdict,
            finding: finding.into(),
            fix: None,
        }
    }

    fn good(name: &'static str, finding: impl Into<String>) -> Self {
        Self::new(name, Verdict::Good, finding)
    }

    fn warning(name: &'static str, finding: impl Into<String>) -> Self {
        Self::new(name, Verdict::Warning, finding)
    }

    fn bad(name: &'static str, finding: impl Into<String>) -> Self {
        Self::new(name, Verdict::Bad, finding)
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// One line.
    fn line(&self) -> String {
        let mark = match self.verdict {
            Verdict::Good => "ok",
            Verdict::Warning => "warn",
            Verdict::Bad => "FAIL",
        };
        let mut line = format!("{mark:<4}  {:<10}  {}", self.name, self.finding);
        if let Some(fix) = &self.fix {
            line.push_str(": ");
            line.push_str(fix);
        }
        line + "\n"
    }
}

/// Looks at everything.
pub fn run(json: bool) -> Result<Status, Failure> {
    let (answer, status) = try_a_call();
    let mut checks = checks::all(&Machine::this());
    checks.push(answer);
    match json {
        true => json::print_list("checks", &checks)?,
        false => print(&checks.iter().map(Check::line).collect::<String>())?,
    }
    Ok(status)
}

/// Whether a call works, which decides everything.
fn try_a_call() -> (Check, Status) {
    const NAME: &str = "call";
    const GETPID: u32 = linux_raw_sys::general::__NR_getpid;
    let made = Session::open().and_then(|mut session| {
        let version = session.features().module_version.clone();
        // SAFETY: getpid(2) takes nothing and changes nothing.
        let reply = unsafe { call(&mut session, GETPID, [0; 6]) }?;
        Ok((reply, version))
    });
    let own = i64::from(std::process::id());
    match made {
        Ok((reply, version)) if reply.ret == own => {
            let finding = format!("getpid was answered rightly by module version {version}");
            (Check::good(NAME, finding), Status::Success)
        }
        Ok((reply, version)) => {
            let finding = format!("getpid returned {} instead of {own}", reply.ret);
            let fix = format!("report it, with module version {version} and the kernel's log");
            (Check::bad(NAME, finding).fix(fix), Status::Failed)
        }
        Err(Error::ModuleMissing) => {
            let check = Check::bad(NAME, "there is no module to make calls")
                .fix("see the lines above; `modprobe nlcall` when they are good");
            (check, Status::NoModule)
        }
        Err(error) => {
            let finding = format!("refused: {}", Failure::from(error).message());
            (
                Check::bad(NAME, finding).fix("see the lines above"),
                Status::Failed,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_shows_what_programs_get() {
        let checks = [
            Check::good("kernel", "7.3.4+deb13-cloud-amd64"),
            Check::bad("module", "it is not loaded").fix("`modprobe nlcall`"),
        ];
        let printed = json::pretty_list("checks", &checks);
        json::documented::assert_shows("nlcall doctor", &printed);
    }
}
