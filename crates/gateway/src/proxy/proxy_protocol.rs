//! The PROXY protocol: what a server is told of the client behind a proxy, before the client's octets.
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Octets, with a CRC32c of the header.
    V2,
}

/// What is neither `v1` nor `v2`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("v1 or v2")]
pub struct ProxyProtocolParseError;

impl FromStr for ProxyProtocol {
    type Err = ProxyProtocolParseError;

    fn from_str(text: &str) -> Result<Self, ProxyProtocolParseError> {
        match text {
            "v1" => Ok(Self::V1),
            "v2" => Ok(Self::V2),
            _ => Err(ProxyProtocolParseError),
        }
    }
}

impl fmt::Display for ProxyProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}

/// Where a client comes from, and where it came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ends {
    pub(super) client: SocketAddr,
    pub(super) proxy: SocketAddr,
}

impl Ends {
    /// Both in IPv4 where they are written in IPv6 only because of the socket.
    fn canonical(self) -> (SocketAddr, SocketAddr) {
        let canonical = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
        (canonical(self.client), canonical(self.proxy))
    }
}

impl ProxyProtocol {
    /// What comes before the client's octets; `None`: nothing is known of its ends.
    pub(super) fn header(self, ends: Option<Ends>) -> Vec<u8> {
        match self {
            Self::V1 => line(ends).into_bytes(),
            Self::V2 => octets(ends),
        }
    }
}

fn line(ends: Option<Ends>) -> String {
    let Some((client, proxy)) = ends.map(Ends::canonical) else {
        return "PROXY UNKNOWN\r\n".into();
    };
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let (ips, ports) = ((client.ip(), proxy.ip()), (client.port(), proxy.port()));
    format!("PROXY {family} {} {} {} {}\r\n", ips.0, ips.1, ports.0, ports.1)
}

/// What no other protocol begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, on behalf of somebody else.
const PROXY: u8 = 0x21;
/// The family and the transport: unspecified, TCP over IPv4, TCP over IPv6.
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// `PP2_TYPE_CRC32C`, with the length of its value, and that while the checksum is computed.
const CHECKSUM: [u8; 7] = [0x03, 0, 4, 0, 0, 0, 0];

fn octets(ends: Option<Ends>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some((client, proxy)) = ends.map(Ends::canonical) else {
        header.extend([PROXY, UNSPECIFIED, 0, 0]);
        return header;
    };
    let mut rest = Vec::new();
    for ip in [client.ip(), proxy.ip()] {
        match ip {
            IpAddr::V4(ip) => rest.extend(ip.octets()),
            IpAddr::V6(ip) => rest.extend(ip.octets()),
        }
    }
    rest.extend([client.port(), proxy.port()].into_iter().flat_map(u16::to_be_bytes));
    rest.extend(CHECKSUM);
    header.extend([PROXY, if client.is_ipv4() { TCP4 } else { TCP6 }]);
    // Two addresses and a checksum: the high octet of the length is 0.
    header.extend([0, u8::try_from(rest.len()).unwrap_or_default()]);
    header.extend(rest);
    let checksum = crc32c::crc32c(&header).to_be_bytes();
    let start = header.len() - checksum.len();
    header[start..].copy_from_slice(&checksum);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(client: &str, proxy: &str) -> Option<Ends> {
        Some(Ends { client: client.parse().unwrap(), proxy: proxy.parse().unwrap() })
    }

    #[test]
    fn lines_are_as_the_specification_shows_them() {
        for (ends, expected) in [
            (
                ends("255.255.255.255:65535", "192.0.2.1:80"),
                "PROXY TCP4 255.255.255.255 192.0.2.1 65535 80\r\n",
            ),
            (ends("[2001:db8::1]:1", "[::1]:2"), "PROXY TCP6 2001:db8::1 ::1 1 2\r\n"),
            (
                ends("[::ffff:192.0.2.7]:1", "[::ffff:192.0.2.1]:2"),
                "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n",
            ),
            (None, "PROXY UNKNOWN\r\n"),
        ] {
            assert_eq!(ProxyProtocol::V1.header(ends), expected.as_bytes());
        }
    }

    #[test]
    fn octets_are_what_another_implementation_reads() {
        let header = ProxyProtocol::V2.header(ends("192.0.2.7:256", "192.0.2.1:80"));
        let start =
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xc0\0\x02\x07\xc0\0\x02\x01\x01\0\0\x50\x03\0\x04";
        assert_eq!(header[..start.len()], *start);
        assert_eq!(header.len(), start.len() + 4);
        for ends in [
            ends("192.0.2.7:256", "192.0.2.1:80"),
            ends("[2001:db8::7]:5000", "[2001:db8::1]:443"),
            ends("[::ffff:192.0.2.7]:256", "[::ffff:192.0.2.1]:80"),
            None,
        ] {
            let header = ProxyProtocol::V2.header(ends);
            let read = ppp::v2::Header::try_from(&*header).unwrap();
            assert_eq!(
                (read.version, read.command),
                (ppp::v2::Version::Two, ppp::v2::Command::Proxy)
            );
            let told = match read.addresses {
                ppp::v2::Addresses::IPv4(it) => Some((
                    SocketAddr::from((it.source_address, it.source_port)),
                    SocketAddr::from((it.destination_address, it.destination_port)),
                )),
                ppp::v2::Addresses::IPv6(it) => Some((
                    SocketAddr::from((it.source_address, it.source_port)),
                    SocketAddr::from((it.destination_address, it.destination_port)),
                )),
                _ => None,
            };
            assert_eq!(told, ends.map(Ends::canonical));
            // The checksum is that of the header without it.
            let tlvs: Vec<_> = read.tlvs().collect::<Result<_, _>>().unwrap();
            let [checksum] = &*tlvs else {
                assert!(tlvs.is_empty() && ends.is_none(), "{tlvs:?}");
                assert_eq!(header[12..], [0x21, 0, 0, 0]);
                continue;
            };
            assert_eq!(checksum.kind, u8::from(ppp::v2::Type::CRC32C));
            let mut without = header.clone();
            let start = header.len() - 4;
            without[start..].fill(0);
            assert_eq!(checksum.value.as_ref(), crc32c::crc32c(&without).to_be_bytes());
        }
    }
}
