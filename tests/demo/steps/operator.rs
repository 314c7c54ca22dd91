// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can be done to a program that runs, without stopping it.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{ensure, Context, Result};
use nlcall_tests::patience;

use crate::report::Report;

/// A program that runs as long as it is needed.
struct Program(Child);

impl Program {
    fn start(command: &mut Command) -> Result<Self> {
        Ok(Self(command.spawn().context("starting a program")?))
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a command says.
fn said(report: &mut Report, arguments: &[&str]) -> Result<String> {
    report.show(format_args!("$ nlcall {}", arguments.join(" ")));
    let output = super::run("nlcall", arguments)?;
    let text = String::from_utf8(output.stdout)?;
    text.lines().for_each(|line| report.show(line));
    Ok(text)
}

/// Any call, in a process that only sleeps.
pub fn call(report: &mut Report) -> Result<()> {
    const FOLDER: &str = "/usr";

    let program = Program::start(Command::new("sleep").arg("1000000").current_dir(FOLDER))?;
    let pid = program.pid();
    report.show(format_args!("$ cd {FOLDER}; sleep 1000000 &"));
    let cwd = said(report, &["call", "--pid", &pid, "getcwd", "@4096", "4096"])?;
    ensure!(
        cwd.starts_with(&format!("getcwd(\"{FOLDER}\", 4096) = ")),
        "it is in {FOLDER}"
    );
    let opened = said(
        report,
        &[
            "call", "--pid", &pid, "openat", "AT_FDCWD", "share", "O_PATH",
        ],
    )?;
    let fd = opened.trim().rsplit_once(" = ").context("a result")?.1;
    let link = fs::read_link(format!("/proc/{pid}/fd/{fd}"))?;
    ensure!(
        link == Path::new(FOLDER).join("share"),
        "{}",
        link.display()
    );
    said(report, &["fds", "--pid", &pid, "--close", fd])?;
    ensure!(
        !Path::new(&format!("/proc/{pid}/fd/{fd}")).exists(),
        "it is still open"
    );
    said(report, &["limits", "--pid", &pid, "nofile=77:88"])?;
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let line = line.context("a line for it")?;
    ensure!(line.contains("77") && line.contains("88"), "{line}");
    report
        .checked("/proc says the same of its descriptors and its limits; it sleeps all the while");
    Ok(())
}

/// The output of a program that prints all the time.
pub fn redirect(report: &mut Report) -> Result<()> {
    const SCRIPT: &str = "n=0; until [ -e stop ]; do echo $n; n=$((n + 1)); done";

    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let output = |name: &str| fs::read_to_string(path(name)).unwrap_or_default();
    let mut program = Program::start(
        Command::new("sh")
            .args(["-c", SCRIPT])
            .current_dir(folder.path())
            .stdout(Stdio::from(fs::File::create(path("first"))?)),
    )?;
    report.show(format_args!("$ sh -c '{SCRIPT}' > first &"));
    patience::until("the program prints", || !output("first").is_empty());
    let second = path("second");
    let second = second.to_str().context("a path in UTF-8")?;
    let redirect = ["redirect", "--pid", &program.pid(), "--stdout", second];
    said(report, &redirect)?;
    patience::until("it prints to the other file", || {
        !output("second").is_empty()
    });
    fs::write(path("stop"), "")?;
    ensure!(program.0.wait()?.success(), "it was to end well");

    let (first, second) = (output("first"), output("second"));
    let count = |text: &str| text.lines().count();
    report.show(format_args!(
        "{} lines in the first file, {} in the second",
        count(&first),
        count(&second)
    ));
    let printed = first + &second;
    let expected: String = (0..count(&printed)).map(|n| format!("{n}\n")).collect();
    ensure!(printed == expected, "a line is lost, or twice there");
    report.checked("the numbers in both files together are without a gap; the program ran through");
    Ok(())
}
