// SPDX-License-Identifier: MIT OR Apache-2.0

//! The checks.

use std::path::Path;

use super::machine::Machine;
use super::Check;

/// Kernel versions for which the module is made.
const SUPPORTED: &[(u32, u32)] = &[(7, 3), (7, 2)];

/// Bytes that the sandbox of `cargo xtask` takes while it is made.
const SANDBOX: u64 = 6_500_000_000;

/// The variable that says whether Secure Boot is on: four bytes of attributes and one of value.
const SECURE_BOOT: &str =
    "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// All checks of a machine.
pub(super) fn all(machine: &Machine) -> Vec<Check> {
    vec![
        kernel(machine),
        module(machine),
        module_file(machine),
        artifacts(machine),
        access(machine),
        limits(machine),
        lockdown(machine),
        signatures(machine),
        secure_boot(machine),
        seccomp(machine),
        disk(machine),
    ]
}

/// Whether the module is made for this kernel.
fn kernel(machine: &Machine) -> Check {
    const NAME: &str = "kernel";
    let release = &machine.release;
    match version(release) {
        Some(version) if SUPPORTED.contains(&version) => {
            Check::good(NAME, format!("{release} is supported"))
        }
        _ => {
            let supported: Vec<_> = SUPPORTED
                .iter()
                .map(|(major, minor)| format!("{major}.{minor}"))
                .collect();
            Check::bad(NAME, format!("{release} is not supported")).fix(format!(
                "boot Linux {} (Debian 13: linux-image-amd64 of trixie-backports), or use a guest: \
                 `cargo xtask vm`",
                supported.join(" or ")
            ))
        }
    }
}

/// Major and minor version of a kernel release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|byte: char| !byte.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Whether the module is loaded.
fn module(machine: &Machine) -> Check {
    const NAME: &str = "module";
    match machine.has("/sys/module/nlcall") {
        true => Check::good(NAME, "nlcall is loaded"),
        false => Check::bad(NAME, "nlcall is not loaded").fix("`modprobe nlcall`"),
    }
}

/// Whether there is a module to load.
fn module_file(machine: &Machine) -> Check {
    const NAME: &str = "file";
    let modules = machine.modules();
    let listed = machine
        .text(modules.join("modules.dep"))
        .unwrap_or_default();
    let known = listed
        .lines()
        .filter_map(|line| line.split(':').next())
        .find(|path| {
            Path::new(path)
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name == "nlcall.ko" || name.starts_with("nlcall.ko."))
        });
    let unlisted = [
        "updates/nlcall.ko",
        "updates/dkms/nlcall.ko",
        "extra/nlcall.ko",
    ]
    .into_iter()
    .find(|path| machine.has(modules.join(path)));
    match (known, unlisted) {
        (Some(path), _) => Check::good(NAME, format!("{}", modules.join(path).display())),
        (None, Some(path)) => {
            let path = modules.join(path);
            Check::warning(NAME, format!("{} is not in modules.dep", path.display()))
                .fix("`depmod`")
        }
        (None, None) => {
            Check::warning(NAME, format!("no nlcall.ko in {}", modules.display())).fix(format!(
                "`cargo xtask module --kernel {}`, copy nlcall.ko to {}, `depmod`",
                machine.release,
                modules.join("updates").display()
            ))
        }
    }
}

/// Whether the kernel's headers can build a Rust module.
fn artifacts(machine: &Machine) -> Check {
    const NAME: &str = "headers";
    let build = machine.modules().join("build");
    let rust = build.join("rust/libkernel.rmeta");
    if machine.has(&rust) {
        return Check::good(NAME, format!("{}", rust.display()));
    }
    let finding = match machine.has(&build) {
        true => format!("{} has no Rust artifacts", build.display()),
        false => format!("no kernel headers in {}", build.display()),
    };
    Check::warning(NAME, finding)
        .fix("needed only to build the module here; `cargo xtask module` builds it in its sandbox")
}

/// Whether the module serves this user.
fn access(machine: &Machine) -> Check {
    const NAME: &str = "access";
    const PARAMETER: &str = "/sys/module/nlcall/parameters/access";
    let Some(access) = machine.text(PARAMETER) else {
        return Check::warning(NAME, "unknown until the module is loaded");
    };
    let user = machine.user;
    let allowed = match access.as_str() {
        _ if user == 0 => true,
        "everyone" => true,
        "root" => false,
        group => group
            .parse()
            .is_ok_and(|group| machine.groups.contains(&group)),
    };
    match allowed {
        true => Check::good(NAME, format!("access={access} includes user {user}")),
        false => Check::bad(
            NAME,
            format!("access={access} does not include user {user}"),
        )
        .fix("run as root, or as root `nlcall config access=GROUP_ID` (or access=everyone)"),
    }
}

/// Whether this user may have as many workers as the module allows: they are threads of the
/// process, and count as such.
fn limits(machine: &Machine) -> Check {
    const NAME: &str = "limits";
    const PARAMETER: &str = "/sys/module/nlcall/parameters/max_workers";
    let number = |text: String| text.parse::<u64>().ok();
    let Some(workers) = machine.text(PARAMETER).and_then(number) else {
        return Check::warning(NAME, "unknown until the module is loaded");
    };
    // `Max processes   SOFT   HARD   processes`; what is no number is `unlimited`.
    let limits = machine.text("/proc/self/limits").unwrap_or_default();
    let threads = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max processes"))
        .and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    match threads {
        // The limit does not hold for root.
        Some(threads) if threads <= workers && machine.user != 0 => Check::warning(
            NAME,
            format!(
                "user {} may have {threads} threads, and a session {workers} workers: calls that \
                 no worker can be made for end with EAGAIN",
                machine.user
            ),
        )
        .fix(format!(
            "`ulimit -u` with more than {workers}, or as root `nlcall config max_workers=NUMBER`"
        )),
        _ => Check::good(
            NAME,
            format!("{workers} workers per session (`nlcall config`)"),
        ),
    }
}

/// Whether lockdown forbids unsigned modules.
fn lockdown(machine: &Machine) -> Check {
    const NAME: &str = "lockdown";
    let Some(modes) = machine.text("/sys/kernel/security/lockdown") else {
        return Check::good(NAME, "off, or not visible here");
    };
    let mode = modes.split_whitespace().find_map(|mode| {
        mode.strip_prefix('[')
            .and_then(|mode| mode.strip_suffix(']'))
    });
    match mode {
        Some("none") => Check::good(NAME, "off"),
        mode => Check::warning(
            NAME,
            format!(
                "{}: unsigned modules are not loaded",
                mode.unwrap_or(&modes)
            ),
        )
        .fix(
            "sign nlcall.ko with a key that the kernel trusts (mokutil), or boot without lockdown",
        ),
    }
}

/// Whether the kernel insists on signatures.
fn signatures(machine: &Machine) -> Check {
    const NAME: &str = "signatures";
    match machine
        .text("/sys/module/module/parameters/sig_enforce")
        .as_deref()
    {
        Some("Y" | "1") => Check::warning(
            NAME,
            "module.sig_enforce is on: unsigned modules are not loaded",
        )
        .fix(
            "sign nlcall.ko with a key that the kernel trusts, or boot without module.sig_enforce",
        ),
        _ => Check::good(NAME, "unsigned modules are accepted"),
    }
}

/// Whether the firmware insists on signatures, which switches lockdown on.
fn secure_boot(machine: &Machine) -> Check {
    const NAME: &str = "secureboot";
    match machine.bytes(SECURE_BOOT).as_deref() {
        Ok([_, _, _, _, 1, ..]) => Check::warning(NAME, "on: the kernel may lock itself down")
            .fix("enrol a key of your own (mokutil) and sign nlcall.ko, or switch it off"),
        _ => Check::good(NAME, "off"),
    }
}

/// Whether a seccomp filter watches this process.
fn seccomp(machine: &Machine) -> Check {
    const NAME: &str = "seccomp";
    let status = machine.text("/proc/self/status").unwrap_or_default();
    let mode = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"))
        .map(str::trim);
    match mode {
        Some("0") | None => Check::good(NAME, "no filter on this process"),
        Some(_) => Check::good(
            NAME,
            "a filter is on this process: it decides each call, as plainly",
        ),
    }
}

/// Whether the sandbox of `cargo xtask` has room.
fn disk(machine: &Machine) -> Check {
    const NAME: &str = "disk";
    let Some(cache) = &machine.cache else {
        return Check::warning(NAME, "no place for the sandbox of `cargo xtask`")
            .fix("set NLCALL_CACHE to a folder");
    };
    // The folder is made when it is needed; until then its nearest ancestor counts.
    let free = cache
        .ancestors()
        .find_map(|folder| rustix::fs::statvfs(folder).ok());
    let free = free.map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    let finding = format!("{} free for {}", gigabytes(free), cache.display());
    match free >= SANDBOX {
        true => Check::good(NAME, finding),
        false => Check::warning(NAME, finding).fix(format!(
            "a new sandbox of `cargo xtask` needs {}; set NLCALL_CACHE to a folder with more room",
            gigabytes(SANDBOX)
        )),
    }
}

fn gigabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000_000;
    format!("{}.{} GB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    /// A machine made of these files.
    fn machine(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Machine) {
        let dir = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            let path = dir.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let machine = Machine {
            root: dir.path().to_owned(),
            release: "7.3.4+deb13-cloud-amd64".to_owned(),
            user: 1000,
            groups: vec![1000, 27],
            cache: Some(dir.path().join("not/yet/there")),
        };
        (dir, machine)
    }

    /// What a check finds on a machine made of these files.
    fn verdict(check: fn(&Machine) -> Check, files: &[(&str, &[u8])]) -> Verdict {
        let (_dir, machine) = machine(files);
        let check = check(&machine);
        assert_eq!(
            check.fix.is_none() && !check.finding.starts_with("unknown"),
            check.verdict == Verdict::Good,
            "what is not good comes with what to do: {check:?}"
        );
        check.verdict
    }

    #[test]
    fn only_kernels_that_the_module_is_made_for_are_supported() {
        for (release, expected) in [
            ("7.3.4+deb13-cloud-amd64", Verdict::Good),
            ("7.3-rc1", Verdict::Good),
            ("7.2.12+deb13-cloud-amd64", Verdict::Good),
            ("7.1.9", Verdict::Bad),
            ("7.30.1", Verdict::Bad),
            ("6.12.0-amd64", Verdict::Bad),
            ("7", Verdict::Bad),
            ("", Verdict::Bad),
        ] {
            let (_dir, mut machine) = machine(&[]);
            machine.release = release.to_owned();
            assert_eq!(kernel(&machine).verdict, expected, "{release}");
        }
    }

    #[test]
    fn a_loaded_module_is_seen() {
        assert_eq!(verdict(module, &[]), Verdict::Bad);
        assert_eq!(
            verdict(module, &[("/sys/module/nlcall/refcnt", b"0")]),
            Verdict::Good
        );
    }

    #[test]
    fn a_module_file_is_found_by_modules_dep() {
        const DEP: &str = "/lib/modules/7.3.4+deb13-cloud-amd64/modules.dep";
        const FILE: &str = "/lib/modules/7.3.4+deb13-cloud-amd64/updates/nlcall.ko";
        assert_eq!(verdict(module_file, &[]), Verdict::Warning);
        let other = b"kernel/fs/ext4.ko: kernel/lib/crc16.ko\nkernel/notnlcall.ko:\n";
        assert_eq!(verdict(module_file, &[(DEP, other)]), Verdict::Warning);
        assert_eq!(
            verdict(module_file, &[(DEP, b"updates/nlcall.ko.xz:\n")]),
            Verdict::Good
        );
        assert_eq!(verdict(module_file, &[(FILE, b"")]), Verdict::Warning);
    }

    #[test]
    fn rust_artifacts_are_looked_for_in_the_headers() {
        const FILE: &str = "/lib/modules/7.3.4+deb13-cloud-amd64/build/rust/libkernel.rmeta";
        const MAKEFILE: &str = "/lib/modules/7.3.4+deb13-cloud-amd64/build/Makefile";
        assert_eq!(verdict(artifacts, &[]), Verdict::Warning);
        assert_eq!(verdict(artifacts, &[(MAKEFILE, b"")]), Verdict::Warning);
        assert_eq!(verdict(artifacts, &[(FILE, b"")]), Verdict::Good);
    }

    #[test]
    fn access_is_for_root_a_group_or_everyone() {
        let with = |access: &[u8]| verdict(access_check(), &[(ACCESS, access)]);
        fn access_check() -> fn(&Machine) -> Check {
            access
        }
        const ACCESS: &str = "/sys/module/nlcall/parameters/access";
        assert_eq!(with(b"everyone\n"), Verdict::Good);
        assert_eq!(with(b"root\n"), Verdict::Bad);
        assert_eq!(with(b"27\n"), Verdict::Good);
        assert_eq!(with(b"28\n"), Verdict::Bad);
        assert_eq!(verdict(access, &[]), Verdict::Warning);
        let (_dir, mut root) = machine(&[(ACCESS, b"root\n")]);
        root.user = 0;
        assert_eq!(access(&root).verdict, Verdict::Good);
    }

    #[test]
    fn workers_are_threads_of_the_user() {
        const PARAMETER: &str = "/sys/module/nlcall/parameters/max_workers";
        const LIMITS: &str = "/proc/self/limits";
        let with = |threads: &str| {
            let table = format!(
                "Limit                     Soft Limit           Hard Limit           Units\n\
                 Max stack size            8388608              unlimited            bytes\n\
                 Max processes             {threads:20} 200000               processes\n"
            );
            let files: &[(&str, &[u8])] = &[(PARAMETER, b"128\n"), (LIMITS, table.as_bytes())];
            let root = {
                let (_dir, mut machine) = machine(files);
                machine.user = 0;
                limits(&machine).verdict
            };
            assert_eq!(root, Verdict::Good);
            verdict(limits, files)
        };
        assert_eq!(with("unlimited"), Verdict::Good);
        assert_eq!(with("129"), Verdict::Good);
        assert_eq!(with("128"), Verdict::Warning);
        assert_eq!(verdict(limits, &[]), Verdict::Warning);
        assert_eq!(verdict(limits, &[(PARAMETER, b"128\n")]), Verdict::Good);
    }

    #[test]
    fn what_keeps_unsigned_modules_out_is_seen() {
        const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
        assert_eq!(verdict(lockdown, &[]), Verdict::Good);
        assert_eq!(
            verdict(
                lockdown,
                &[(LOCKDOWN, b"[none] integrity confidentiality\n")]
            ),
            Verdict::Good
        );
        assert_eq!(
            verdict(
                lockdown,
                &[(LOCKDOWN, b"none [integrity] confidentiality\n")]
            ),
            Verdict::Warning
        );
        const ENFORCE: &str = "/sys/module/module/parameters/sig_enforce";
        assert_eq!(verdict(signatures, &[(ENFORCE, b"N\n")]), Verdict::Good);
        assert_eq!(verdict(signatures, &[(ENFORCE, b"Y\n")]), Verdict::Warning);
        assert_eq!(
            verdict(secure_boot, &[(SECURE_BOOT, &[6, 0, 0, 0, 0])]),
            Verdict::Good
        );
        assert_eq!(
            verdict(secure_boot, &[(SECURE_BOOT, &[6, 0, 0, 0, 1])]),
            Verdict::Warning
        );
        assert_eq!(verdict(secure_boot, &[]), Verdict::Good);
    }

    #[test]
    fn a_seccomp_filter_is_seen() {
        const STATUS: &str = "/proc/self/status";
        assert_eq!(
            verdict(
                seccomp,
                &[(STATUS, b"Name:\tx\nSeccomp:\t0\nSeccomp_filters:\t0\n")]
            ),
            Verdict::Good
        );
        assert_eq!(
            verdict(
                seccomp,
                &[(STATUS, b"Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n")]
            ),
            Verdict::Good
        );
    }

    #[test]
    fn a_place_without_room_is_said() {
        let (_dir, mut machine) = machine(&[]);
        machine.cache = Some(PathBuf::from("/proc/self/nowhere"));
        let check = disk(&machine);
        assert_eq!(check.verdict, Verdict::Warning);
        assert!(check.finding.starts_with("0.0 GB free"), "{check:?}");
        machine.cache = None;
        assert_eq!(disk(&machine).verdict, Verdict::Warning);
        assert_eq!(gigabytes(SANDBOX), "6.5 GB");
    }

    #[test]
    fn every_check_is_one_line() {
        let (_dir, machine) = machine(&[]);
        for check in all(&machine) {
            assert_eq!(check.line().matches('\n').count(), 1, "{check:?}");
        }
    }
}
