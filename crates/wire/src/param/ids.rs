use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::codec::{Codec, Reader, Writer};
use crate::error::DecodeError;
use crate::registry::ParamType;

/// The identifier of a pool element, drawn by the element, unique in its pool (RFC 5354 §3.14).
///
/// 0 can be read and written but is refused at registration.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeId(pub u32);

impl fmt::Display for PeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// As people write it: `17`, `0x11`. 0 is one of them.
impl FromStr for PeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        number(text)
            .map(Self)
            .ok_or(IdError("an element's identifier is a number up to 0xffffffff"))
    }
}

/// A text that is no identifier.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct IdError(&'static str);

/// A number in decimal, or in hexadecimal after `0x`; without a sign.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // The standard library takes a sign, too.
    let has_digits_only = digits.chars().all(|digit| digit.is_digit(radix));
    u32::from_str_radix(digits, radix).ok().filter(|_| has_digits_only)
}

impl Codec for PeId {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut value = r.param(ParamType::PE_IDENTIFIER)?;
        let id = value.u32("PE Identifier")?;
        value.finish_value("PE Identifier")?;
        Ok(Self(id))
    }

    fn encode(&self, w: &mut Writer) {
        w.param(ParamType::PE_IDENTIFIER, |w| w.u32(self.0));
    }
}

/// The identifier of a registrar ("ENRP server"): 32 bits, never 0 (RFC 5353 §2.1).
///
/// Where the wire allows 0 ("undetermined", "everyone"), the field is an `Option`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RegistrarId(NonZeroU32);

impl RegistrarId {
    /// The identifier, `None` for 0.
    pub const fn new(id: u32) -> Option<Self> {
        match NonZeroU32::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    pub(crate) fn to_wire(id: Option<Self>) -> u32 {
        id.map_or(0, Self::get)
    }
}

impl From<NonZeroU32> for RegistrarId {
    fn from(id: NonZeroU32) -> Self {
        Self(id)
    }
}

/// As people write it: `17`, `0x11`.
impl FromStr for RegistrarId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let id = number(text).and_then(Self::new);
        id.ok_or(IdError("a registrar's identifier is 1 to 0xffffffff"))
    }
}

impl fmt::Display for RegistrarId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// The checksum over the elements of one registrar (RFC 5354 §3.15, 5353 §3.6.2).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeChecksum(pub u16);

impl fmt::Display for PeChecksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

impl Codec for PeChecksum {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut value = r.param(ParamType::PE_CHECKSUM)?;
        let checksum = value.u16("PE Checksum")?;
        value.finish_value("PE Checksum")?;
        Ok(Self(checksum))
    }

    fn encode(&self, w: &mut Writer) {
        w.param(ParamType::PE_CHECKSUM, |w| w.u16(self.0));
    }
}

/// The state of a session, opaque to all but the servers of its pool (RFC 5354 §3.13).
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Cookie(Box<[u8]>);

impl Cookie {
    /// Longest cookie, in octets: what a 16-bit message length leaves for it.
    pub const MAX_LEN: usize = 65_000;

    /// A cookie of the given octets, `None` where they are more than [`Self::MAX_LEN`].
    pub fn new(octets: impl Into<Box<[u8]>>) -> Option<Self> {
        let octets = octets.into();
        (octets.len() <= Self::MAX_LEN).then_some(Self(octets))
    }

    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Codec for Cookie {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut value = r.param(ParamType::COOKIE)?;
        Ok(Self(value.remainder().into()))
    }

    fn encode(&self, w: &mut Writer) {
        w.param(ParamType::COOKIE, |w| w.slice(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_read_as_people_write_them_and_as_they_are_shown() {
        for (text, number) in [
            ("17", Some(17)),
            ("0x11", Some(17)),
            ("0x00000011", Some(17)),
            ("0xFFFFffff", Some(u32::MAX)),
            ("4294967295", Some(u32::MAX)),
            ("0", Some(0)),
            ("4294967296", None),
            ("0x100000000", None),
            ("", None),
            ("0x", None),
            ("0X11", None),
            ("+17", None),
            ("0x+11", None),
            ("-1", None),
            (" 17", None),
            ("11h", None),
        ] {
            assert_eq!(text.parse().ok(), number.map(PeId), "{text}");
            assert_eq!(text.parse().ok(), number.and_then(RegistrarId::new), "{text}");
        }
        let registrar = RegistrarId::new(0x1234).unwrap();
        assert_eq!(registrar.to_string().parse(), Ok(registrar));
        assert_eq!(PeId(9).to_string().parse(), Ok(PeId(9)));
    }
}
