use std::fmt;
use std::sync::Arc;

use crate::codec::{Codec, HEADER_LEN, Reader, Writer, padding_len};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::registry::ParamType;

/// The name of a pool: opaque octets, unique in the operational scope (RFC 5354 §3.9).
///
/// Cloning shares the octets. `Display` escapes what is not printable ASCII.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------------------------------+-------------------------------+
/// |          Type = 0x9           |        Length = variable      |
/// +-------------------------------+-------------------------------+
/// :                          Pool Handle                          :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PoolHandle(Arc<[u8]>);

impl PoolHandle {
    /// Longest handle, in octets: what a 16-bit message length leaves for it. Registrars allow
    /// less: 32 by default.
    pub const MAX_LEN: usize = 65_000;

    /// A handle of the given octets, `None` where there are none or more than [`Self::MAX_LEN`].
    pub fn new(octets: impl Into<Arc<[u8]>>) -> Option<Self> {
        let octets = octets.into();
        (1..=Self::MAX_LEN).contains(&octets.len()).then_some(Self(octets))
    }

    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolHandle({self})")
    }
}

impl Codec for PoolHandle {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut value = r.param(ParamType::POOL_HANDLE)?;
        let octets = value.remainder();
        Self::new(octets).ok_or_else(|| {
            let length = octets.len() + HEADER_LEN;
            let kind = DecodeErrorKind::Length { field: "Pool Handle", length };
            let mut error = value.error(kind);
            error.offset = error.parameter.unwrap_or_default() + 2;
            error
        })
    }

    fn encoded_len(&self) -> usize {
        HEADER_LEN + self.0.len() + padding_len(self.0.len())
    }

    fn encode(&self, w: &mut Writer) {
        w.param(ParamType::POOL_HANDLE, |w| w.slice(&self.0));
    }
}
