//! Control messages of datagrams: the own address of each, and ICMP errors. Read and written as
//! octets, so that nothing here has to be trusted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Room for one packet info message of either family.
pub(super) const PACKET_INFO: usize = 64;
/// Room for an extended error with the address of who reported it, and a packet info.
pub(super) const ERROR: usize = 160;

const WORD: usize = size_of::<usize>();
/// `struct cmsghdr`: length as a word, level and type.
const HEADER: usize = (WORD + 8).next_multiple_of(WORD);

/// The own address that a datagram was sent to (`IP_PKTINFO`, `IPV6_PKTINFO`).
pub(super) fn destination(control: &[u8]) -> Option<IpAddr> {
    messages(control).find_map(|message| match (message.level, message.kind) {
        // struct in_pktinfo: interface, own address, destination in the header.
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            let own: [u8; 4] = message.data.get(4..8)?.try_into().ok()?;
            Some(IpAddr::V4(Ipv4Addr::from(own)))
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            let own: [u8; 16] = message.data.get(..16)?.try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(own)))
        }
        _ => None,
    })
}

/// Writes the message that makes a datagram leave from `own`.
pub(super) fn packet_info(own: IpAddr, buffer: &mut [u8; PACKET_INFO]) -> &[u8] {
    buffer.fill(0);
    let (level, kind, length) = match own {
        IpAddr::V4(v4) => {
            buffer[HEADER + 4..HEADER + 8].copy_from_slice(&v4.octets());
            (libc::IPPROTO_IP, libc::IP_PKTINFO, 12)
        }
        IpAddr::V6(v6) => {
            buffer[HEADER..HEADER + 16].copy_from_slice(&v6.octets());
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, 20)
        }
    };
    buffer[..WORD].copy_from_slice(&(HEADER + length).to_ne_bytes());
    buffer[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
    buffer[WORD + 4..WORD + 8].copy_from_slice(&kind.to_ne_bytes());
    &buffer[..(HEADER + length).next_multiple_of(WORD)]
}

/// True for ICMP errors that say that nobody is there: protocol and port unreachable, which RFC 6951
/// §5.5 makes the same, and what ICMPv6 has for them. Others pass (RFC 9260 §10): a route may heal.
pub(super) fn says_port_unreachable(control: &[u8]) -> bool {
    messages(control).any(|message| {
        // struct sock_extended_err: errno, origin, type, code, …
        let Some(&[origin, kind, code]) = message.data.get(4..7) else { return false };
        match (message.level, message.kind) {
            (libc::IPPROTO_IP, libc::IP_RECVERR) => {
                origin == libc::SO_EE_ORIGIN_ICMP && kind == 3 && (code == 2 || code == 3)
            }
            (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                origin == libc::SO_EE_ORIGIN_ICMP6
                    && ((kind, code) == (1, 4) || (kind, code) == (4, 1))
            }
            _ => false,
        }
    })
}

struct Control<'a> {
    level: i32,
    kind: i32,
    data: &'a [u8],
}

fn messages(mut rest: &[u8]) -> impl Iterator<Item = Control<'_>> {
    std::iter::from_fn(move || {
        let length = usize::from_ne_bytes(rest.get(..WORD)?.try_into().ok()?);
        let data = rest.get(HEADER..length)?;
        let level = i32::from_ne_bytes(rest.get(WORD..WORD + 4)?.try_into().ok()?);
        let kind = i32::from_ne_bytes(rest.get(WORD + 4..WORD + 8)?.try_into().ok()?);
        rest = rest.get(length.next_multiple_of(WORD)..).unwrap_or_default();
        Some(Control { level, kind, data })
    })
}
