// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sandbox: a Debian tree with a stock kernel, its Rust artifacts, the toolchain that it was
//! built with, and QEMU.
//!
//! It is made in steps, each with a stamp that says it is done; a run that was interrupted goes on
//! with the first step that has none. The steps of a kernel have stamps of their own, so several
//! kernels share one tree.

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
use sha2::{
    Digest,
    Sha256, //
};

use crate::apt;
use crate::cache::{
    self,
    Lock, //
};
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

/// What the tree holds besides the kernel. rustc, bindgen and gcc are the release's own: the kernel
/// was built with them, and Rust crates of different compilers do not fit together.
const PACKAGES: &[&str] = &[
    // The module's toolchain.
    "rustc",
    "rust-src",
    "bindgen",
    "gcc-14",
    "libc6-dev",
    "make",
    // What the kernel's build needs. Without pahole the configuration would lose its type
    // information, and with it members of `struct module`.
    "bc",
    "bison",
    "flex",
    "kmod",
    "libdw-dev",
    "libelf-dev",
    "libssl-dev",
    "pahole",
    "perl",
    "python3-minimal",
    "xz-utils",
    // The guest.
    "qemu-system-x86",
    "virtiofsd",
];

/// Folder of the prepared kernel sources in the tree.
const SOURCES: &str = "/usr/src/nlcall";

/// Compilers that the kernel was built with, for `make`.
pub const MAKE_COMPILERS: &[&str] = &["CC=gcc-14", "HOSTCC=gcc-14"];

/// A sandbox that is ready for a kernel.
#[derive(Clone, Debug)]
pub struct Sandbox {
    folder: PathBuf,
    /// The kernel it is ready for.
    pub kernel: Kernel,
}

impl Sandbox {
    /// The sandbox for the kernel that was asked for, or for the newest supported one. Makes what
    /// is missing.
    pub fn prepare(request: Option<&Request>) -> Result<Self> {
        let layout = Layout::find()?;
        if let Some(kernel) = layout.ready_kernel(request)? {
            return Ok(Self {
                folder: layout.folder,
                kernel,
            });
        }
        let _lock = Lock::take(&layout.folder.join("lock"), "preparing the sandbox")?;
        // Another run may have finished it meanwhile.
        if let Some(kernel) = layout.ready_kernel(request)? {
            return Ok(Self {
                folder: layout.folder,
                kernel,
            });
        }
        let kernel = layout.make(request)?;
        Ok(Self {
            folder: layout.folder,
            kernel,
        })
    }

    /// The tree.
    pub fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// The prepared source of the kernel, as a path inside the tree.
    pub fn source(&self) -> PathBuf {
        source(&self.kernel)
    }

    /// A path of the tree, as seen from outside.
    pub fn outside(&self, inside: &Path) -> PathBuf {
        self.tree().join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// A command inside the tree.
    pub fn command(&self, program: &str) -> Chamber {
        Chamber::new(&self.tree(), program)
    }

    /// The kernel's image, as a path inside the tree.
    pub fn image(&self) -> Result<PathBuf> {
        let release = &self.kernel.release;
        [
            format!("/usr/lib/modules/{release}/vmlinuz"),
            format!("/boot/vmlinuz-{release}"),
        ]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| self.outside(path).exists())
        .with_context(|| format!("no image of {release} in {:?}", self.tree()))
    }
}

fn source(kernel: &Kernel) -> PathBuf {
    Path::new(SOURCES).join(&kernel.release)
}

/// Where the parts of a sandbox are.
struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// The sandbox that this version of the project makes; one with other contents has another
    /// name.
    fn find() -> Result<Self> {
        let mut hash = Sha256::new();
        for part in [apt::SUITE, apt::BACKPORTS].iter().chain(PACKAGES) {
            hash.update(part);
            hash.update("\n");
        }
        let key: String = hash
            .finalize()
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let folder = cache::folder()?.join(format!("sandbox-{}-{key}", apt::SUITE));
        for part in ["logs", "stamps"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("making {part:?}"))?;
        }
        Ok(Self { folder })
    }

    fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    fn stamp(&self, name: &str) -> PathBuf {
        self.folder.join("stamps").join(name)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    fn is_done(&self, name: &str) -> bool {
        self.stamp(name).exists()
    }

    /// Marks a step as done, with a note of what it made.
    fn set_done(&self, name: &str, note: &str) -> Result<()> {
        let stamp = self.stamp(name);
        let partial = stamp.with_extension("partial");
        fs::write(&partial, note).with_context(|| format!("writing {partial:?}"))?;
        fs::rename(&partial, &stamp).with_context(|| format!("writing {stamp:?}"))
    }

    /// The kernels whose packages are in the tree, newest first.
    fn installed_kernels(&self) -> Result<Vec<Kernel>> {
        let stamps = self.folder.join("stamps");
        let mut kernels: Vec<Kernel> = Vec::new();
        for entry in fs::read_dir(&stamps).with_context(|| format!("reading {stamps:?}"))? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().ends_with(".kernel") {
                continue;
            }
            let text = fs::read_to_string(entry.path())?;
            kernels.push(
                serde_json::from_str(&text)
                    .with_context(|| format!("reading {:?}", entry.path()))?,
            );
        }
        kernel::sort(&mut kernels);
        Ok(kernels)
    }

    /// A kernel for which nothing is left to do.
    fn ready_kernel(&self, request: Option<&Request>) -> Result<Option<Kernel>> {
        let ready: Vec<_> = self
            .installed_kernels()?
            .into_iter()
            .filter(|kernel| self.is_done(&artifacts_step(kernel)))
            .collect();
        Ok(kernel::choose(&ready, request).ok())
    }

    /// Carries out the steps that are not done.
    fn make(&self, request: Option<&Request>) -> Result<Kernel> {
        host::check(&self.folder)?;
        say!(
            "preparing the sandbox in {}: about {:.0} GB on disk, 4 to 10 minutes (once)",
            self.folder.display(),
            host::SANDBOX_BYTES as f64 / 1e9
        );
        if !self.is_done("base") {
            self.make_base()?;
        }
        if !self.is_done("tools") {
            self.make_tools()?;
        }
        let installed = kernel::choose(&self.installed_kernels()?, request).ok();
        let kernel = match installed {
            Some(kernel) => kernel,
            None => self.install_kernel(request)?,
        };
        if !self.is_done(&source_step(&kernel)) {
            self.unpack_source(&kernel)?;
        }
        if !self.is_done(&artifacts_step(&kernel)) {
            self.make_artifacts(&kernel)?;
        }
        say!("the sandbox is ready, with kernel {kernel}");
        Ok(kernel)
    }

    /// The smallest Debian tree, from the machine's own mirror.
    fn make_base(&self) -> Result<()> {
        let mut stage = Stage::begin("1/5 Debian tree", self.log("1-base"), 940)?;
        let partial = self.folder.join("tree.partial");
        chamber::remove_tree(&partial)?;
        chamber::remove_tree(&self.tree())?;
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
            let mut command = chamber::unshare();
            command
                .args(["--", "mkdir", "-p"])
                .arg(join(&partial, folder));
            stage.run(command)?;
        }
        fs::rename(&partial, self.tree()).context("putting the tree in its place")?;
        self.set_done("base", apt::SUITE)?;
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

    fn apt_get(&self, args: &[&str]) -> Result<Command> {
        Chamber::new(&self.tree(), "apt-get")
            .args(["--yes", "--quiet"])
            .args(args.iter().copied())
            .online()
            .command()
    }

    fn make_tools(&self) -> Result<()> {
        let mut stage = Stage::begin("2/5 toolchain and QEMU", self.log("2-tools"), 730)?;
        // An earlier attempt may have been interrupted between unpacking and configuring.
        stage.run(
            Chamber::new(&self.tree(), "dpkg")
                .args(["--configure", "-a"])
                .command()?,
        )?;
        stage.run(self.apt_get(&["update"])?)?;
        stage.run(self.apt_get(&[&["install"], PACKAGES].concat())?)?;
        stage.run(self.apt_get(&["clean"])?)?;
        self.set_done("tools", &PACKAGES.join("\n"))?;
        stage.done();
        Ok(())
    }

    /// Chooses a kernel of the mirror and installs its packages.
    fn install_kernel(&self, request: Option<&Request>) -> Result<Kernel> {
        let mut stage = Stage::begin("3/5 kernel", self.log("3-kernel"), 77)?;
        stage.run(
            Chamber::new(&self.tree(), "dpkg")
                .args(["--configure", "-a"])
                .command()?,
        )?;
        stage.run(self.apt_get(&["update"])?)?;
        let cache = |args: &[&str]| {
            Chamber::new(&self.tree(), "apt-cache")
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
        self.set_done(
            &format!("{}.kernel", kernel.release),
            &serde_json::to_string(&kernel)?,
        )?;
        stage.done();
        Ok(kernel)
    }

    fn unpack_source(&self, kernel: &Kernel) -> Result<()> {
        let mut stage = Stage::begin("4/5 kernel source", self.log("4-source"), 83)?;
        let folder = source(kernel);
        chamber::remove_tree(&join(&self.tree(), &folder.to_string_lossy()))?;
        let command = |program: &str| Chamber::new(&self.tree(), program);
        stage.run(command("mkdir").arg("-p").arg(&folder).command()?)?;
        stage.run(
            command("tar")
                .args([
                    "--extract",
                    "--strip-components=1",
                    "--checkpoint=2000",
                    "--file",
                ])
                .arg(format!("/usr/src/linux-source-{}.tar.xz", kernel.series()))
                .arg("--directory")
                .arg(&folder)
                .command()?,
        )?;
        self.set_done(&source_step(kernel), &kernel.package_version)?;
        stage.done();
        Ok(())
    }

    /// Rebuilds what Debian's headers leave out: the Rust crates of the kernel, with its own
    /// configuration.
    fn make_artifacts(&self, kernel: &Kernel) -> Result<()> {
        let mut stage = Stage::begin("5/5 Rust artifacts", self.log("5-artifacts"), 219)?;
        let headers = PathBuf::from(format!("/usr/src/linux-headers-{}", kernel.release));
        let folder = source(kernel);
        for file in [".config", "Module.symvers"] {
            let copy = Chamber::new(&self.tree(), "cp")
                .arg(headers.join(file))
                .arg(folder.join(file))
                .command()?;
            stage.run(copy)?;
        }
        let jobs = std::thread::available_parallelism()?;
        let local_version = format!("LOCALVERSION={}", kernel.local_version());
        for target in [&["olddefconfig"][..], &["prepare", "modules_prepare"]] {
            let make = Chamber::new(&self.tree(), "make")
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
        let read = |file: &str| {
            fs::read_to_string(join(&self.tree(), &folder.join(file).to_string_lossy()))
        };
        let release = read("include/config/kernel.release").context("reading the built release")?;
        ensure!(
            release.trim() == kernel.release,
            "the source calls itself {}, the kernel {}: their packages do not belong together",
            release.trim(),
            kernel.release
        );
        self.set_done(&artifacts_step(kernel), &kernel.package_version)?;
        stage.done();
        Ok(())
    }

    /// The configuration must have survived this toolchain: an option that falls out changes the
    /// layout of the kernel's structures, and a module built with it would not fit.
    fn check_configuration(&self, headers: &Path, folder: &Path) -> Result<()> {
        let read = |folder: &Path| {
            let path = join(&self.tree(), &folder.join(".config").to_string_lossy());
            fs::read_to_string(&path).with_context(|| format!("reading {path:?}"))
        };
        let differences = kernel::configuration_differences(&read(headers)?, &read(folder)?);
        if differences.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Machine,
            format!(
                "the sandbox's toolchain changes the kernel's configuration, so modules built with it would not \
                 fit:\n{}\n  The mirror's {} and {} do not belong together; try again when both are current.",
                differences.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n"),
                apt::SUITE,
                apt::BACKPORTS,
            ),
        )
        .into())
    }
}

fn source_step(kernel: &Kernel) -> String {
    format!("{}.source", kernel.release)
}

fn artifacts_step(kernel: &Kernel) -> String {
    format!("{}.artifacts", kernel.release)
}

/// A path of the tree, as seen from outside.
fn join(tree: &Path, inside: &str) -> PathBuf {
    tree.join(inside.trim_start_matches('/'))
}
