use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Deref;

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

/// The addresses of a transport: a slice that needs no allocation for one address, which is what
/// most have.
#[derive(Clone)]
pub struct Addresses(Stored);

#[derive(Clone)]
enum Stored {
    One(IpAddr),
    /// Any number but one.
    Many(Box<[IpAddr]>),
}

impl Deref for Addresses {
    type Target = [IpAddr];

    fn deref(&self) -> &[IpAddr] {
        match &self.0 {
            Stored::One(address) => std::slice::from_ref(address),
            Stored::Many(addresses) => addresses,
        }
    }
}

impl From<IpAddr> for Addresses {
    fn from(address: IpAddr) -> Self {
        Self(Stored::One(address))
    }
}

impl<const N: usize> From<[IpAddr; N]> for Addresses {
    fn from(addresses: [IpAddr; N]) -> Self {
        Self::from(addresses.as_slice())
    }
}

impl From<&[IpAddr]> for Addresses {
    fn from(addresses: &[IpAddr]) -> Self {
        match addresses {
            [address] => Self::from(*address),
            _ => Self(Stored::Many(addresses.into())),
        }
    }
}

impl From<Vec<IpAddr>> for Addresses {
    fn from(addresses: Vec<IpAddr>) -> Self {
        match addresses.as_slice() {
            [address] => Self::from(*address),
            _ => Self(Stored::Many(addresses.into())),
        }
    }
}

impl FromIterator<IpAddr> for Addresses {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        let mut addresses = addresses.into_iter();
        match (addresses.next(), addresses.next()) {
            (Some(only), None) => Self::from(only),
            (first, second) => {
                first.into_iter().chain(second).chain(addresses).collect::<Vec<_>>().into()
            }
        }
    }
}

impl<'a> IntoIterator for &'a Addresses {
    type Item = &'a IpAddr;
    type IntoIter = std::slice::Iter<'a, IpAddr>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Eq for Addresses {}

impl PartialEq for Addresses {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Ord for Addresses {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl PartialOrd for Addresses {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Addresses {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_what_they_are_made_of_however_they_are_made() {
        let all = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        for count in 0..=2 {
            let some = &all[..count];
            let addresses = Addresses::from(some);
            assert_eq!(*addresses, *some);
            assert_eq!(addresses, Addresses::from(some.to_vec()));
            assert_eq!(addresses, some.iter().copied().collect());
            assert_eq!(addresses.into_iter().copied().collect::<Vec<_>>(), some);
        }
        assert_eq!(Addresses::from(all[0]), Addresses::from([all[0]]));
        assert!(Addresses::from(all) > Addresses::from(all[0]));
    }

    #[test]
    fn one_address_takes_no_more_room_than_a_slice_and_its_kind() {
        assert_eq!(size_of::<Addresses>(), 24);
    }
}
