use std::fmt;
use std::num::NonZeroU32;

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
