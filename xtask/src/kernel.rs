// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which kernels the project supports, and which of them a mirror has.

use std::collections::{
    BTreeMap,
    BTreeSet, //
};
use std::fmt;
use std::str::FromStr;

use serde::{
    Deserialize,
    Serialize, //
};

/// The kernel series that the module is written for, newest first.
pub const SUPPORTED: &[&str] = &["7.3", "7.2"];

/// Ends the release name of the kernels that the guest boots.
const FLAVOUR: &str = "cloud-amd64";

/// A stock kernel: one build of Debian's `linux` source package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// What `uname -r` says: `7.3.4+deb13-cloud-amd64`.
    pub release: String,
    /// Version of its packages: `7.3.4-1~bpo13+1`.
    pub package_version: String,
    /// Whether image and modules are separate packages.
    pub split: bool,
}

impl Kernel {
    /// Its series: `7.3`.
    pub fn series(&self) -> String {
        let numbers = numbers(&self.release);
        numbers
            .iter()
            .take(2)
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(".")
    }

    /// Whether there is no newer series that is supported.
    pub fn is_of_newest_series(&self) -> bool {
        SUPPORTED
            .first()
            .is_some_and(|newest| *newest == self.series())
    }

    /// What follows the upstream version in the release name: `+deb13-cloud-amd64`.
    pub fn local_version(&self) -> &str {
        let end = self.release.find(|c: char| !c.is_ascii_digit() && c != '.');
        end.map_or("", |end| &self.release[end..])
    }

    /// The packages that hold the image, the modules, the headers and the source.
    pub fn packages(&self) -> Vec<String> {
        let release = &self.release;
        let mut packages = if self.split {
            // The package linux-image-* only adds what makes an initramfs.
            vec![
                format!("linux-binary-{release}"),
                format!("linux-modules-{release}"),
            ]
        } else {
            vec![format!("linux-image-{release}")]
        };
        packages.push(format!("linux-headers-{release}"));
        packages.push(format!("linux-source-{}", self.series()));
        packages
            .iter()
            .map(|package| format!("{package}={}", self.package_version))
            .collect()
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (Debian {})", self.release, self.package_version)
    }
}

/// Which kernel the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request(String);

impl FromStr for Request {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let series = numbers(text);
        if series.len() < 2 {
            return Err(
                "a kernel is named by its series (7.3), version (7.3.4) or release \
                        (7.3.4+deb13-cloud-amd64)"
                    .to_owned(),
            );
        }
        let series = format!("{}.{}", series[0], series[1]);
        if !SUPPORTED.contains(&series.as_str()) {
            return Err(format!(
                "series {series} is not supported; supported: {}",
                SUPPORTED.join(", ")
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Request {
    /// Whether this kernel is one that was asked for.
    pub fn accepts(&self, kernel: &Kernel) -> bool {
        let wanted = &self.0;
        let version = &kernel.release[..kernel.release.len() - kernel.local_version().len()];
        *wanted == kernel.release || wanted == version || *wanted == kernel.series()
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The leading numbers of a version.
fn numbers(version: &str) -> Vec<u32> {
    let end = version
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(version.len());
    version[..end]
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect()
}

/// The kernels that can be built for, out of the lines that `apt-cache madison` prints for packages
/// of the `linux` source: those whose image, headers and source are all there in one version.
/// Newest first.
pub fn complete(madison: &str) -> Vec<Kernel> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in madison.lines() {
        let mut fields = line.split('|').map(str::trim);
        if let (Some(package), Some(version)) = (fields.next(), fields.next()) {
            versions.entry(package).or_default().insert(version);
        }
    }
    let has = |package: String, version: &str| {
        versions
            .get(package.as_str())
            .is_some_and(|versions| versions.contains(version))
    };
    let mut kernels = Vec::new();
    for (package, package_versions) in &versions {
        let Some(release) = package.strip_prefix("linux-headers-") else {
            continue;
        };
        if !release.ends_with(FLAVOUR) {
            continue;
        }
        for version in package_versions {
            let split = has(format!("linux-binary-{release}"), version)
                && has(format!("linux-modules-{release}"), version);
            let kernel = Kernel {
                release: release.to_owned(),
                package_version: (*version).to_owned(),
                split,
            };
            let image = split || has(format!("linux-image-{release}"), version);
            if image && has(format!("linux-source-{}", kernel.series()), version) {
                kernels.push(kernel);
            }
        }
    }
    sort(&mut kernels);
    kernels
}

/// Puts the newest kernels first.
pub fn sort(kernels: &mut [Kernel]) {
    kernels.sort_by(|a, b| {
        numbers(&b.release)
            .cmp(&numbers(&a.release))
            .then_with(|| b.package_version.cmp(&a.package_version))
    });
}

/// The options that two kernel configurations set differently, besides the compiler's own
/// description of itself.
pub fn configuration_differences(wanted: &str, found: &str) -> Vec<String> {
    fn options(text: &str) -> BTreeSet<&str> {
        text.lines()
            .filter(|line| {
                line.starts_with("CONFIG_") && !line.starts_with("CONFIG_CC_VERSION_TEXT=")
            })
            .collect()
    }
    let (wanted, found) = (options(wanted), options(found));
    let lost = wanted.difference(&found).map(|line| format!("- {line}"));
    let new = found.difference(&wanted).map(|line| format!("+ {line}"));
    lost.chain(new).collect()
}

/// Why no kernel could be chosen.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the mirror has no kernel {wanted}\n  found: {found}\n  supported series: {}\n  \
     Check that the mirror carries the suite {}, or name a kernel with --kernel.",
    SUPPORTED.join(", "), crate::apt::BACKPORTS
)]
pub struct NoKernel {
    wanted: String,
    found: String,
}

/// The newest supported kernel of these, or the newest that the request accepts.
pub fn choose(kernels: &[Kernel], request: Option<&Request>) -> Result<Kernel, NoKernel> {
    kernels
        .iter()
        .filter(|kernel| SUPPORTED.contains(&kernel.series().as_str()))
        .find(|kernel| request.is_none_or(|request| request.accepts(kernel)))
        .cloned()
        .ok_or_else(|| NoKernel {
            wanted: request.map_or("of a supported series".to_owned(), |request| {
                request.to_string()
            }),
            found: match kernels {
                [] => "none whose image, headers and source have one version".to_owned(),
                _ => kernels
                    .iter()
                    .map(Kernel::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
            },
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADISON: &str = "\
linux-binary-7.3.4+deb13-cloud-amd64 | 7.3.4-1~bpo13+1 | http://mirror.example/debian trixie-backports/main amd64 Packages
linux-modules-7.3.4+deb13-cloud-amd64 | 7.3.4-1~bpo13+1 | x
linux-headers-7.3.4+deb13-cloud-amd64 | 7.3.4-1~bpo13+1 | x
linux-source-7.3 | 7.3.4-1~bpo13+1 | x
linux-binary-7.2.12+deb13-cloud-amd64 | 7.2.12-1~bpo13+1 | x
linux-modules-7.2.12+deb13-cloud-amd64 | 7.2.12-1~bpo13+1 | x
linux-headers-7.2.12+deb13-cloud-amd64 | 7.2.12-1~bpo13+1 | x
linux-source-7.2 | 7.2.12-1~bpo13+1 | x
linux-binary-7.3.10+deb13-cloud-amd64 | 7.3.10-1~bpo13+1 | x
linux-modules-7.3.10+deb13-cloud-amd64 | 7.3.10-1~bpo13+1 | x
linux-headers-7.3.10+deb13-cloud-amd64 | 7.3.10-1~bpo13+1 | x
linux-image-6.12.107+deb13-cloud-amd64 | 6.12.107-1 | x
linux-headers-6.12.107+deb13-cloud-amd64 | 6.12.107-1 | x
linux-headers-6.12.107+deb13-amd64 | 6.12.107-1 | x
linux-source-6.12 | 6.12.107-1 | x
";

    fn releases(kernels: &[Kernel]) -> Vec<&str> {
        kernels
            .iter()
            .map(|kernel| kernel.release.as_str())
            .collect()
    }

    #[test]
    fn a_kernel_without_its_source_is_left_out() {
        let kernels = complete(MADISON);
        assert_eq!(
            releases(&kernels),
            [
                "7.3.4+deb13-cloud-amd64",
                "7.2.12+deb13-cloud-amd64",
                "6.12.107+deb13-cloud-amd64"
            ]
        );
        assert!(kernels[0].split);
        assert!(!kernels[2].split);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let madison = format!("{MADISON}linux-source-7.3 | 7.3.10-1~bpo13+1 | x\n");
        assert_eq!(complete(&madison)[0].release, "7.3.10+deb13-cloud-amd64");
    }

    #[test]
    fn the_newest_supported_one_is_chosen() {
        let kernel = choose(&complete(MADISON), None).unwrap();
        assert_eq!(kernel.series(), "7.3");
        assert_eq!(kernel.local_version(), "+deb13-cloud-amd64");
        assert_eq!(
            kernel.packages(),
            [
                "linux-binary-7.3.4+deb13-cloud-amd64=7.3.4-1~bpo13+1",
                "linux-modules-7.3.4+deb13-cloud-amd64=7.3.4-1~bpo13+1",
                "linux-headers-7.3.4+deb13-cloud-amd64=7.3.4-1~bpo13+1",
                "linux-source-7.3=7.3.4-1~bpo13+1",
            ]
        );
    }

    #[test]
    fn a_request_names_series_version_or_release() {
        let kernels = complete(MADISON);
        for text in ["7.3", "7.3.4", "7.3.4+deb13-cloud-amd64"] {
            let request = text.parse().unwrap();
            assert_eq!(
                choose(&kernels, Some(&request)).unwrap().release,
                "7.3.4+deb13-cloud-amd64"
            );
        }
        let older = "7.2".parse().unwrap();
        let older = choose(&kernels, Some(&older)).unwrap();
        assert_eq!(older.release, "7.2.12+deb13-cloud-amd64");
        assert!(kernels[0].is_of_newest_series() && !older.is_of_newest_series());
        let request = "7.3.1".parse().unwrap();
        assert!(choose(&kernels, Some(&request)).is_err());
        assert!("6.12".parse::<Request>().is_err());
        assert!("seven".parse::<Request>().is_err());
    }

    #[test]
    fn a_lost_option_is_a_difference_and_a_renamed_compiler_is_not() {
        let wanted = "# comment\nCONFIG_CC_VERSION_TEXT=\"a\"\nCONFIG_RUST=y\nCONFIG_NET=y\n";
        let found = "CONFIG_CC_VERSION_TEXT=\"b\"\n# CONFIG_RUST is not set\nCONFIG_NET=y\n";
        assert_eq!(
            configuration_differences(wanted, found),
            ["- CONFIG_RUST=y"]
        );
        assert!(configuration_differences(wanted, wanted).is_empty());
    }

    #[test]
    fn the_error_names_what_was_found_and_what_is_supported() {
        let old: Vec<_> = complete(MADISON)
            .into_iter()
            .filter(|kernel| kernel.series() == "6.12")
            .collect();
        let error = choose(&old, None).unwrap_err().to_string();
        assert!(
            error.contains("6.12.107+deb13-cloud-amd64 (Debian 6.12.107-1)"),
            "{error}"
        );
        assert!(error.contains("7.3"), "{error}");
    }
}
