// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the controller of generic netlink says about a family.

use netlink_packet_core::{parse_string, parse_u16, parse_u32, DecodeError, ParseableParametrized};
use netlink_packet_generic::{
    constants::{
        CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_ATTR_MCAST_GROUPS, CTRL_ATTR_MCAST_GRP_ID,
        CTRL_ATTR_MCAST_GRP_NAME, CTRL_ATTR_VERSION,
    },
    GenlHeader,
};

use super::message::each;

/// A family, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) id: Option<u16>,
    pub(super) version: Option<u32>,
    /// Names and numbers of its multicast groups.
    pub(super) groups: Vec<(String, u32)>,
}

/// The netlink crates parse more of it than is needed, and panic at lengths that are wrong.
impl ParseableParametrized<[u8], GenlHeader> for Family {
    fn parse_with_param(attributes: &[u8], _header: GenlHeader) -> Result<Self, DecodeError> {
        let mut family = Self::default();
        each(attributes, |kind, value| {
            match kind {
                CTRL_ATTR_FAMILY_NAME => family.name = parse_string(value)?,
                CTRL_ATTR_FAMILY_ID => family.id = Some(parse_u16(value)?),
                CTRL_ATTR_VERSION => family.version = Some(parse_u32(value)?),
                CTRL_ATTR_MCAST_GROUPS => each(value, |_, value| {
                    family.groups.extend(group(value)?);
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(family)
    }
}

/// A group that has a name and a number.
fn group(attributes: &[u8]) -> Result<Option<(String, u32)>, DecodeError> {
    let (mut name, mut id) = (None, None);
    each(attributes, |kind, value| {
        match kind {
            CTRL_ATTR_MCAST_GRP_NAME => name = Some(parse_string(value)?),
            CTRL_ATTR_MCAST_GRP_ID => id = Some(parse_u32(value)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(name.zip(id))
}
