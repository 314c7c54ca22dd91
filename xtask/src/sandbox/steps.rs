// SPDX-License-Identifier: MIT OR Apache-2.0

//! The steps in which a sandbox is made.

use std::fs;
use std::path::{
    Path,
    PathBuf, //
};
use std::process::Command;

use anyhow::{
    ensure,
    Context,
    Result, //
};

use super::layout::{
    artifacts_step,
    kernel_step,
    outside,
    source,
    source_step,
    Layout,
    DEFAULT,
    SOURCES, //
};
use super::{
    debug,
    Extra,
    MAKE_COMPILERS,
    PACKAGES, //
};
use crate::apt;
use crate::cache::Lock;
use crate::chamber::{
    self,
    Chamber, //
};
use crate::exit::{
    Exit,
    Failure, //
};
use crate::host;
use crate::kernel::{
    self,
    Kernel,
    Request, //
};
use crate::say::say;
use crate::stage::Stage;

/// Carries out the steps that are not done, and returns the kernel that the sandbox is then ready
/// for.
pub fn carry_out(layout: &Layout, request: Option<&Request>) -> Result<Kernel> {
    Steps { layout }.all(request)
}

/// Adds packages that not every command needs, if that is not done.
pub fn add(layout: &Layout, extra: Extra) -> Result<()> {
    if layout.is_done(extra.step()) {
        return Ok(());
    }
    Steps { layout }.add(extra)
}

/// Carries out the steps of a debug kernel that are not done, on top of a sandbox that is ready for
/// the stock kernel, and returns its release name.
pub fn make_debug_kernel(layout: &Layout, kernel: &Kernel, place: &debug::Place) -> Result<String> {
    Steps { layout }.debug_kernel(kernel, place)
}

struct Steps<'a> {
    layout: &'a Layout,
}

impl Steps<'_> {
    /// Carries out the steps that are not done.
    fn all(&self, request: Option<&Request>) -> Result<Kernel> {
        let needed = match self.layout.is_done("tools") {
            false => host::BYTES_FOR_ALL,
            true => host::BYTES_FOR_KERNEL,
        };
        host::check(&self.layout.folder, needed)?;
        say!(
            "preparing the sandbox in {}: about {:.0} GB on disk, 4 to 10 minutes (once)",
            self.layout.folder.display(),
            host::SANDBOX_BYTES as f64 / 1e9
        );
        if !self.layout.is_done("base") {
            self.make_base()?;
        }
        if !self.layout.is_done("tools") {
            self.make_tools()?;
        }
        let mut installed = self.layout.installed_kernels()?;
        if request.is_none() {
            // An older series was once asked for; the mirror may have a newer one.
            installed.retain(Kernel::is_of_newest_series);
        }
        let kernel = match kernel::choose(&installed, request) {
            Ok(kernel) => kernel,
            Err(_) => self.install_kernel(request)?,
        };
        if !self.layout.is_done(&source_step(&kernel)) {
            self.unpack_source(&kernel)?;
        }
        if !self.layout.is_done(&artifacts_step(&kernel)) {
            self.make_artifacts(&kernel)?;
        }
        if request.is_none() {
            self.layout.set_done(DEFAULT, &kernel.release)?;
        }
        say!("the sandbox is ready, with kernel {kernel}");
        Ok(kernel)
    }

    /// The smallest Debian tree, from the machine's own mirror.
    fn make_base(&self) -> Result<()> {
        let mut stage = Stage::begin("1/5 Debian tree", self.layout.log("1-base"), 940)?;
        let partial = self.layout.partial_tree();
        chamber::remove_tree(&partial)?;
        chamber::remove_tree(&self.layout.tree())?;
        let archive = apt::machine_archive()?;
        let mut command = chamber::unshare();
        command.args([
            "--pid",
            "--mount-proc",
            "--",
            "mmdebstrap",
            "--verbose",
            "--mode=root",
        ]);
        command.args([
            "--variant=minbase",
            "--components=main",
            "--include=ca-certificates",
        ]);
        // The mirror's own certificates, proxies and the like hold here as well.
        let options = self.transport_options()?;
        for option in options.lines() {
            command.arg(format!("--aptopt={}", option.trim_end_matches(';')));
        }
        command.arg(apt::SUITE).arg(&partial);
        match &archive {
            Some(uri) => {
                stage.note(&format!("mirror, from this machine's configuration: {uri}"))?;
                command.arg(format!("deb {uri} {} main", apt::SUITE));
            }
            None => {
                stage.note("mirror: mmdebstrap's default (this machine's apt serves no Debian)")?
            }
        }
        stage.run(command)?;
        self.add_backports(&partial)?;
        // Folders of the machine are mounted here, and the prepared sources lie there.
        for folder in [chamber::MOUNT_DIR, SOURCES] {
            let folder = outside(&partial, Path::new(folder));
            fs::create_dir_all(&folder).with_context(|| format!("making {folder:?}"))?;
        }
        fs::rename(&partial, self.layout.tree()).context("putting the tree in its place")?;
        self.layout.set_done("base", apt::SUITE)?;
        stage.done();
        Ok(())
    }

    /// How this machine reaches its mirror.
    fn transport_options(&self) -> Result<String> {
        let output = Command::new("apt-config")
            .arg("dump")
            .output()
            .context("starting apt-config")?;
        Ok(apt::transport_options(&String::from_utf8_lossy(
            &output.stdout,
        )))
    }

    /// Adds the suite that carries the kernels, on the mirror that the tree was made from.
    fn add_backports(&self, tree: &Path) -> Result<()> {
        let sources = apt::read_sources(&tree.join("etc/apt"));
        let uri = apt::debian_archive(&sources).with_context(|| {
            format!(
                "mmdebstrap left no Debian source in {:?}",
                tree.join("etc/apt")
            )
        })?;
        let list = tree.join("etc/apt/sources.list.d/nlcall-backports.list");
        fs::write(&list, format!("deb {uri} {} main\n", apt::BACKPORTS))
            .with_context(|| format!("writing {list:?}"))?;
        let conf = tree.join("etc/apt/apt.conf.d/99nlcall");
        let options = self.transport_options()?;
        fs::write(
            &conf,
            format!("{options}APT::Install-Recommends \"false\";\n"),
        )
        .with_context(|| format!("writing {conf:?}"))
    }

    /// A command inside the tree.
    fn command(&self, program: &str) -> Chamber {
        Chamber::new(&self.layout.tree(), program)
    }

    fn apt_get(&self, args: &[&str]) -> Result<Command> {
        self.command("apt-get")
            .args(["--yes", "--quiet"])
            .args(args.iter().copied())
            .online()
            .command()
    }

    fn install(&self, stage: &mut Stage, packages: &[&str]) -> Result<()> {
        // An earlier attempt may have been interrupted between unpacking and configuring.
        stage.run(self.command("dpkg").args(["--configure", "-a"]).command()?)?;
        stage.run(self.apt_get(&["update"])?)?;
        stage.run(self.apt_get(&[&["install"], packages].concat())?)?;
        stage.run(self.apt_get(&["clean"])?)
    }

    fn make_tools(&self) -> Result<()> {
        let mut stage = Stage::begin("2/5 toolchain and QEMU", self.layout.log("2-tools"), 730)?;
        self.install(&mut stage, PACKAGES)?;
        self.layout.set_done("tools", &PACKAGES.join("\n"))?;
        stage.done();
        Ok(())
    }

    fn add(&self, extra: Extra) -> Result<()> {
        let packages = extra.packages();
        let mut stage = Stage::begin(extra.title(), self.layout.log(extra.step()), 20)?;
        self.install(&mut stage, packages)?;
        self.layout.set_done(extra.step(), &packages.join("\n"))?;
        stage.done();
        Ok(())
    }

    /// Chooses a kernel of the mirror and installs its packages.
    fn install_kernel(&self, request: Option<&Request>) -> Result<Kernel> {
        let mut stage = Stage::begin("3/5 kernel", self.layout.log("3-kernel"), 77)?;
        stage.run(self.command("dpkg").args(["--configure", "-a"]).command()?)?;
        stage.run(self.apt_get(&["update"])?)?;
        let cache = |args: &[&str]| {
            self.command("apt-cache")
                .args(args.iter().copied())
                .output()
        };
        let names = cache(&["pkgnames", "linux-"])?;
        let names: Vec<_> = names
            .lines()
            .filter(|name| {
                [
                    "linux-binary-",
                    "linux-modules-",
                    "linux-image-",
                    "linux-headers-",
                    "linux-source-",
                ]
                .iter()
                .any(|prefix| name.starts_with(prefix))
            })
            .collect();
        let madison = cache(&[&["madison"], names.as_slice()].concat())?;
        let kernel = kernel::choose(&kernel::complete(&madison), request)
            .map_err(|error| Failure::new(Exit::Machine, error.to_string()))?;
        match request {
            Some(request) => say!("the mirror's newest kernel for --kernel {request}: {kernel}"),
            None => say!("the mirror's newest supported kernel: {kernel}"),
        }
        let packages = kernel.packages();
        let packages: Vec<_> = packages.iter().map(String::as_str).collect();
        stage.run(self.apt_get(&[&["install"], packages.as_slice()].concat())?)?;
        stage.run(self.apt_get(&["clean"])?)?;
        self.layout
            .set_done(&kernel_step(&kernel), &serde_json::to_string(&kernel)?)?;
        stage.done();
        Ok(kernel)
    }

    fn unpack_source(&self, kernel: &Kernel) -> Result<()> {
        let mut stage = Stage::begin("4/5 kernel source", self.layout.log("4-source"), 83)?;
        self.unpack(&mut stage, kernel, &source(kernel))?;
        self.layout
            .set_done(&source_step(kernel), &kernel.package_version)?;
        stage.done();
        Ok(())
    }

    /// Unpacks a kernel's source into a folder of the tree, which then holds nothing else.
    fn unpack(&self, stage: &mut Stage, kernel: &Kernel, folder: &Path) -> Result<()> {
        chamber::remove_tree(&self.layout.outside(folder))?;
        stage.run(self.command("mkdir").arg("-p").arg(folder).command()?)?;
        stage.run(
            self.command("tar")
                .args([
                    "--extract",
                    "--strip-components=1",
                    "--checkpoint=2000",
                    "--file",
                ])
                .arg(format!("/usr/src/linux-source-{}.tar.xz", kernel.series()))
                .arg("--directory")
                .arg(folder)
                .command()?,
        )
    }

    /// Rebuilds what Debian's headers leave out: the Rust crates of the kernel, with its own
    /// configuration.
    fn make_artifacts(&self, kernel: &Kernel) -> Result<()> {
        let mut stage = Stage::begin("5/5 Rust artifacts", self.layout.log("5-artifacts"), 219)?;
        let headers = PathBuf::from(format!("/usr/src/linux-headers-{}", kernel.release));
        let folder = source(kernel);
        for file in [".config", "Module.symvers"] {
            let copy = self
                .command("cp")
                .arg(headers.join(file))
                .arg(folder.join(file))
                .command()?;
            stage.run(copy)?;
        }
        let jobs = std::thread::available_parallelism()?;
        let local_version = format!("LOCALVERSION={}", kernel.local_version());
        for target in [&["olddefconfig"][..], &["prepare", "modules_prepare"]] {
            let make = self
                .command("make")
                .folder(&folder)
                .args(MAKE_COMPILERS.iter().copied())
                .args([&local_version, &format!("-j{jobs}")])
                .args(target.iter().copied())
                .command()?;
            stage.run(make)?;
            if target == ["olddefconfig"] {
                self.check_configuration(&headers, &folder)?;
            }
        }
        let read = |file: &str| fs::read_to_string(self.layout.outside(&folder.join(file)));
        let release = read("include/config/kernel.release").context("reading the built release")?;
        ensure!(
            release.trim() == kernel.release,
            "the source calls itself {}, the kernel {}: their packages do not belong together",
            release.trim(),
            kernel.release
        );
        self.layout
            .set_done(&artifacts_step(kernel), &kernel.package_version)?;
        stage.done();
        Ok(())
    }

    /// The configuration must have survived this toolchain: an option that falls out changes the
    /// layout of the kernel's structures, and a module built with it would not fit.
    fn check_configuration(&self, headers: &Path, folder: &Path) -> Result<()> {
        let read = |folder: &Path| {
            let path = self.layout.outside(&folder.join(".config"));
            fs::read_to_string(&path).with_context(|| format!("reading {path:?}"))
        };
        let differences = kernel::configuration_differences(&read(headers)?, &read(folder)?);
        if differences.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Machine,
            format!(
                "the sandbox's toolchain changes the kernel's configuration, so modules built with it \
                 would not fit:\n{}\n  The mirror's {} and {} do not belong together; try again when \
                 both are current.",
                differences.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n"),
                apt::SUITE,
                apt::BACKPORTS,
            ),
        )
        .into())
    }

    /// Carries out the steps of a debug kernel that are not done.
    fn debug_kernel(&self, kernel: &Kernel, place: &debug::Place) -> Result<String> {
        host::check(&self.layout.folder, host::BYTES_FOR_DEBUG_KERNEL)?;
        say!(
            "making the debug kernel of {kernel}: about {:.0} GB on disk, half an hour on two \
             processors (once for each configuration)",
            host::DEBUG_KERNEL_BYTES as f64 / 1e9
        );
        if !self.layout.is_done(debug::TOOLS_STEP) {
            self.make_debug_tools()?;
        }
        let source_step = debug::Place::source_step(kernel);
        if !self.layout.is_done(&source_step) {
            let mut stage =
                Stage::begin("debug 2/3 source", self.layout.log("debug-2-source"), 83)?;
            self.unpack(&mut stage, kernel, &place.source)?;
            self.layout
                .set_done(&source_step, &kernel.package_version)?;
            stage.done();
        }
        self.build_debug_kernel(kernel, place)
    }

    fn make_debug_tools(&self) -> Result<()> {
        // The packages of the tree are in everybody's way.
        let _lock = Lock::take(&self.layout.lock(), "installing clang in the sandbox")?;
        let mut stage = Stage::begin("debug 1/3 clang", self.layout.log("debug-1-clang"), 37)?;
        self.install(&mut stage, debug::PACKAGES)?;
        self.layout
            .set_done(debug::TOOLS_STEP, &debug::PACKAGES.join("\n"))?;
        stage.done();
        Ok(())
    }

    /// Configures and builds a debug kernel, going on with what an earlier attempt has left.
    fn build_debug_kernel(&self, kernel: &Kernel, place: &debug::Place) -> Result<String> {
        let mut stage = Stage::begin("debug 3/3 kernel", self.layout.log("debug-3-kernel"), 2240)?;
        let outside = self.layout.outside(&place.folder);
        fs::create_dir_all(&outside).with_context(|| format!("making {outside:?}"))?;
        let fragment = outside.join(debug::FRAGMENT);
        fs::write(&fragment, place.checks.fragment())
            .with_context(|| format!("writing {fragment:?}"))?;
        let allconfig = format!(
            "KCONFIG_ALLCONFIG={}",
            place.folder.join(debug::FRAGMENT).display()
        );
        let jobs = format!("-j{}", std::thread::available_parallelism()?);
        let make = |targets: &[&str]| {
            self.command("make")
                .folder(&place.source)
                .arg(format!("O={}", place.folder.display()))
                .args(debug::MAKE_COMPILERS.iter().copied())
                .args(debug::MAKE_VARIABLES.iter().copied())
                .args(place.checks.of_kernel().iter().copied())
                .args(targets.iter().copied())
                .command()
        };
        let read = |file: &str| {
            let path = outside.join(file);
            fs::read_to_string(&path).with_context(|| format!("reading {path:?}"))
        };
        stage.run(make(&[&allconfig, "allnoconfig"])?)?;
        let lost = place.checks.lost_options(&read(".config")?);
        ensure!(
            lost.is_empty(),
            "these options of the debug kernel need something that its configuration or the \
             sandbox lacks: {}",
            lost.join(" ")
        );
        stage.run(make(&[&jobs, "bzImage"])?)?;
        stage.run(make(&[&jobs, "modules_prepare"])?)?;
        // A whole build would add what the kernel's own modules export; none is built.
        fs::copy(
            outside.join("vmlinux.symvers"),
            outside.join("Module.symvers"),
        )
        .with_context(|| format!("copying the kernel's symbols in {outside:?}"))?;
        let release = read("include/config/kernel.release")?.trim().to_owned();
        self.layout.set_done(&place.kernel_step(kernel), &release)?;
        stage.done();
        say!("the debug kernel is ready: {release}");
        Ok(release)
    }
}
