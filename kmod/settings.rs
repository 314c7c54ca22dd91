// SPDX-License-Identifier: GPL-2.0-only

//! What can be set while the module is loaded: the limits, and who may submit.

use core::fmt;

use crate::{
    reject::{
        reject,
        Rejection, //
    },
    wire::config, //
};

/// A setting that is a number.
pub struct Setting {
    /// Its attribute in CONFIG_GET and CONFIG_SET.
    pub attr: u16,
    /// Its name: that of the module parameter.
    pub name: &'static str,
    /// Its least value.
    pub min: u32,
    /// Its greatest value.
    pub max: u32,
}

/// Number of [`SETTINGS`].
pub const COUNT: usize = 8;

/// Where each setting is in [`SETTINGS`], as `enum nlcall_setting` of `shim.h` has it.
pub const MAX_IN_FLIGHT: usize = 0;
/// See [`MAX_IN_FLIGHT`].
pub const MAX_WORKERS: usize = 1;
/// See [`MAX_IN_FLIGHT`].
pub const MAX_IN_FLIGHT_USER: usize = 2;
/// See [`MAX_IN_FLIGHT`].
pub const MAX_WORKERS_USER: usize = 3;
/// See [`MAX_IN_FLIGHT`].
pub const MAX_WORKERS_TOTAL: usize = 4;
/// See [`MAX_IN_FLIGHT`].
pub const MAX_RUNNING: usize = 5;
/// See [`MAX_IN_FLIGHT`].
pub const IDLE_MS: usize = 6;
/// See [`MAX_IN_FLIGHT`].
pub const MAX_INLINE_BYTES: usize = 7;

/// The settings that are numbers.
pub static SETTINGS: [Setting; COUNT] = {
    const fn setting(attr: u16, name: &'static str, min: u32, max: u32) -> Setting {
        Setting {
            attr,
            name,
            min,
            max,
        }
    }
    [
        setting(config::MAX_IN_FLIGHT, "max_in_flight", 1, 1 << 20),
        setting(config::MAX_WORKERS, "max_workers", 1, 65536),
        setting(config::MAX_IN_FLIGHT_USER, "max_in_flight_user", 1, 1 << 24),
        setting(config::MAX_WORKERS_USER, "max_workers_user", 1, 1 << 20),
        setting(config::MAX_WORKERS_TOTAL, "max_workers_total", 1, 1 << 20),
        setting(config::MAX_RUNNING, "max_running", 0, 1024),
        setting(config::IDLE_MS, "idle_ms", 1, 24 * 3600 * 1000),
        setting(config::MAX_INLINE_BYTES, "max_inline_bytes", 0, 1 << 31),
    ]
};

impl Setting {
    /// Whether it may have this value.
    pub fn check(&self, value: u32) -> Result<(), Rejection> {
        let Self { name, min, max, .. } = *self;
        if (min..=max).contains(&value) {
            return Ok(());
        }
        Err(reject!(
            EINVAL,
            "{name}: {value} is not from {min} to {max}"
        ))
    }
}

/// Who may submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Who has `CAP_SYS_ADMIN` in the initial user namespace.
    Root,
    /// Besides, the members of this group of the initial user namespace.
    Group(u32),
    /// Everyone.
    Everyone,
}

impl Access {
    /// Reads the setting.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        match text {
            "root" => Ok(Self::Root),
            "everyone" => Ok(Self::Everyone),
            group => match group.parse() {
                // Neither a sign nor the number that stands for no group.
                Ok(gid) if gid != u32::MAX && !group.starts_with('+') => Ok(Self::Group(gid)),
                _ => Err(reject!(
                    EINVAL,
                    "access: give root, everyone or the number of a group"
                )),
            },
        }
    }

    const ROOT: u64 = u64::MAX;
    const EVERYONE: u64 = u64::MAX - 1;

    /// In one word, to be kept in an atomic.
    pub const fn encode(self) -> u64 {
        match self {
            Self::Root => Self::ROOT,
            Self::Everyone => Self::EVERYONE,
            Self::Group(gid) => gid as u64,
        }
    }

    /// What [`encode`](Self::encode) made.
    pub const fn decode(word: u64) -> Self {
        match word {
            Self::EVERYONE => Self::Everyone,
            gid if gid <= u32::MAX as u64 => Self::Group(gid as u32),
            _ => Self::Root,
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Everyone => f.write_str("everyone"),
            Self::Group(gid) => write!(f, "{gid}"),
        }
    }
}

/// What a CONFIG_SET changes, all of it or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New values, as [`SETTINGS`] has them.
    pub values: [Option<u32>; COUNT],
    /// Who may submit.
    pub access: Option<Access>,
}

impl Changes {
    /// Reads what a CONFIG_SET asks for, each value checked: `number` gives the value of an
    /// attribute that is there. A rejection comes with the attribute that is wrong.
    pub fn read(
        number: impl Fn(u16) -> Option<u32>,
        access: Option<&str>,
    ) -> Result<Self, (Option<u16>, Rejection)> {
        let mut changes = Self::default();
        for (change, setting) in changes.values.iter_mut().zip(&SETTINGS) {
            let Some(value) = number(setting.attr) else {
                continue;
            };
            setting
                .check(value)
                .map_err(|rejection| (Some(setting.attr), rejection))?;
            *change = Some(value);
        }
        if let Some(text) = access {
            let access = Access::parse(text);
            changes.access = Some(access.map_err(|it| (Some(config::ACCESS), it))?);
        }
        if changes.is_empty() {
            let rejection = reject!(EINVAL, "CONFIG_SET names no setting");
            return Err((None, rejection));
        }
        Ok(changes)
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reject::errno::EINVAL;

    #[test]
    fn each_setting_has_its_place_and_a_range() {
        let places = [
            (MAX_IN_FLIGHT, "max_in_flight"),
            (MAX_WORKERS, "max_workers"),
            (MAX_IN_FLIGHT_USER, "max_in_flight_user"),
            (MAX_WORKERS_USER, "max_workers_user"),
            (MAX_WORKERS_TOTAL, "max_workers_total"),
            (MAX_RUNNING, "max_running"),
            (IDLE_MS, "idle_ms"),
            (MAX_INLINE_BYTES, "max_inline_bytes"),
        ];
        for (place, name) in places {
            let setting = &SETTINGS[place];
            assert_eq!(setting.name, name);
            for fits in [setting.min, setting.max] {
                assert_eq!(setting.check(fits), Ok(()), "{name}");
            }
            for wrong in [setting.min.checked_sub(1), Some(setting.max + 1)] {
                let Some(wrong) = wrong else { continue };
                let rejection = setting.check(wrong).unwrap_err();
                assert_eq!(rejection.errno, EINVAL);
                let range = format!(
                    "{name}: {wrong} is not from {} to {}",
                    setting.min, setting.max
                );
                assert_eq!(rejection.text.as_str(), range);
            }
        }
        let mut attrs: Vec<u16> = SETTINGS.iter().map(|setting| setting.attr).collect();
        attrs.push(config::ACCESS);
        attrs.sort_unstable();
        let all: Vec<u16> = (1..=config::MAX).collect();
        assert_eq!(attrs, all, "every attribute has a setting");
    }

    #[test]
    fn changes_are_read_or_the_wrong_one_is_named() {
        let read = |values: &[(u16, u32)], access| {
            let number = |attr| values.iter().find(|it| it.0 == attr).map(|it| it.1);
            Changes::read(number, access)
        };
        let changes = read(&[(config::MAX_WORKERS, 5)], Some("everyone")).unwrap();
        let mut expected = Changes::default();
        expected.values[MAX_WORKERS] = Some(5);
        expected.access = Some(Access::Everyone);
        assert_eq!(changes, expected);
        let wrong = |values: &[(u16, u32)], access| {
            let (attr, rejection) = read(values, access).unwrap_err();
            assert_eq!(rejection.errno, EINVAL);
            attr
        };
        assert_eq!(wrong(&[], None), None);
        let values = [(config::MAX_WORKERS, 5), (config::IDLE_MS, 0)];
        assert_eq!(wrong(&values, None), Some(config::IDLE_MS));
        assert_eq!(wrong(&values[..1], Some("all")), Some(config::ACCESS));
    }

    #[test]
    fn access_is_read_and_shown_alike() {
        for (text, access) in [
            ("root", Access::Root),
            ("everyone", Access::Everyone),
            ("0", Access::Group(0)),
            ("4294967294", Access::Group(u32::MAX - 1)),
        ] {
            assert_eq!(Access::parse(text), Ok(access));
            assert_eq!(access.to_string(), text);
            assert_eq!(Access::decode(access.encode()), access);
        }
        for wrong in [
            "",
            "Root",
            "everybody",
            "-1",
            "+1",
            "1234x",
            "4294967295",
            "99999999999",
        ] {
            assert_eq!(Access::parse(wrong).unwrap_err().errno, EINVAL, "{wrong}");
        }
    }
}
