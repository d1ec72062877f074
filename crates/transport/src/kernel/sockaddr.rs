//! Socket addresses as octets: packed lists, as SCTP's options want and return them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The length of `struct sockaddr_in` and `struct sockaddr_in6`.
const V4: usize = 16;
const V6: usize = 28;
/// The length of `struct sockaddr_storage`.
pub(super) const STORAGE: usize = 128;

/// Packs addresses one behind the other, without padding.
pub(super) fn encode(addresses: impl IntoIterator<Item = IpAddr>, port: u16) -> Vec<u8> {
    let mut out = Vec::new();
    for address in addresses {
        match address {
            IpAddr::V4(ip) => {
                out.extend(family(libc::AF_INET));
                out.extend(port.to_be_bytes());
                out.extend(ip.octets());
                out.extend([0; 8]);
            }
            IpAddr::V6(ip) => {
                out.extend(family(libc::AF_INET6));
                out.extend(port.to_be_bytes());
                out.extend([0; 4]); // flow information
                out.extend(ip.octets());
                out.extend([0; 4]); // scope
            }
        }
    }
    out
}

/// Reads the first address of a packed list; also returns how many octets it takes.
pub(super) fn decode(octets: &[u8]) -> Option<(SocketAddr, usize)> {
    let (fam, rest) = octets.split_first_chunk()?;
    let (port, rest) = rest.split_first_chunk()?;
    let port = u16::from_be_bytes(*port);
    match libc::c_int::from(u16::from_ne_bytes(*fam)) {
        libc::AF_INET if octets.len() >= V4 => {
            let ip = Ipv4Addr::from(*rest.first_chunk::<4>()?);
            Some((SocketAddr::from((ip, port)), V4))
        }
        libc::AF_INET6 if octets.len() >= V6 => {
            let ip = Ipv6Addr::from(*rest.get(4..)?.first_chunk::<16>()?);
            Some((SocketAddr::from((ip.to_canonical(), port)), V6))
        }
        _ => None,
    }
}

/// Reads a packed list, up to its end or the first thing that is no address.
pub(super) fn decode_list(mut octets: &[u8]) -> impl Iterator<Item = SocketAddr> {
    std::iter::from_fn(move || {
        let (address, len) = decode(octets)?;
        octets = &octets[len..];
        Some(address)
    })
}

fn family(family: libc::c_int) -> [u8; 2] {
    u16::try_from(family).unwrap_or_default().to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_list_of_both_families_comes_back() {
        let ips: Vec<IpAddr> =
            ["10.0.0.1", "fd00::1", "127.0.0.2"].map(|a| a.parse().unwrap()).into();
        let octets = encode(ips.iter().copied(), 3863);
        assert_eq!(octets.len(), 16 + 28 + 16);
        assert!(decode_list(&octets).eq(ips.iter().map(|ip| SocketAddr::new(*ip, 3863))));
        for len in 0..octets.len() {
            assert!(decode_list(&octets[..len]).count() < 3, "cut at {len}");
        }
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        let octets = encode(["::ffff:10.0.0.1".parse().unwrap()], 1);
        assert_eq!(decode(&octets), Some(("10.0.0.1:1".parse().unwrap(), 28)));
    }
}
