use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::codec::{Codec, HEADER_LEN, Reader, Writer};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::registry::ParamType;

/// An IP address (RFC 5354 §3.1, §3.2).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------------------------------+-------------------------------+
/// |       Type = 0x1 or 0x2       |       Length = 8 or 20        |
/// +-------------------------------+-------------------------------+
/// :                    IPv4 or IPv6 address                       :
/// +---------------------------------------------------------------+
/// ```
impl Codec for IpAddr {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let ty = r.next_type()?;
        match ty {
            Some(ParamType::IPV4_ADDRESS) => {
                let mut value = r.param(ParamType::IPV4_ADDRESS)?;
                let octets: [u8; 4] = value.array("IPv4 Address")?;
                value.finish_value("IPv4 Address")?;
                Ok(Ipv4Addr::from(octets).into())
            }
            Some(ParamType::IPV6_ADDRESS) => {
                let mut value = r.param(ParamType::IPV6_ADDRESS)?;
                let octets: [u8; 16] = value.array("IPv6 Address")?;
                value.finish_value("IPv6 Address")?;
                Ok(Ipv6Addr::from(octets).into())
            }
            Some(other) => Err(r.error(DecodeErrorKind::Unexpected(other))),
            None => Err(r.error(DecodeErrorKind::Missing(ParamType::IPV4_ADDRESS))),
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::V4(_) => HEADER_LEN + 4,
            Self::V6(_) => HEADER_LEN + 16,
        }
    }

    fn encode(&self, w: &mut Writer) {
        match self {
            Self::V4(ip) => w.param(ParamType::IPV4_ADDRESS, |w| w.slice(&ip.octets())),
            Self::V6(ip) => w.param(ParamType::IPV6_ADDRESS, |w| w.slice(&ip.octets())),
        }
    }
}
