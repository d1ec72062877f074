//! Parameters (RFC 9260 §3.2.1): what INIT, INIT ACK, HEARTBEAT and ASCONF carry.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::auth::Vector;
use crate::chunk::{Unknown, end, kind as chunk};
use crate::read::u16_at;

/// Parameter types.
pub mod kind {
    /// What comes back with a HEARTBEAT ACK (RFC 9260 §3.3.5).
    pub const HEARTBEAT_INFO: u16 = 1;
    /// An address (§3.3.2.1.1).
    pub const IPV4: u16 = 5;
    /// An address (§3.3.2.1.2).
    pub const IPV6: u16 = 6;
    /// The cookie (§3.3.3.1).
    pub const STATE_COOKIE: u16 = 7;
    /// What was not understood of an INIT (§3.3.3.1).
    pub const UNRECOGNIZED: u16 = 8;
    /// Asks for a cookie that lives longer (§3.3.2.1.3).
    pub const COOKIE_PRESERVATIVE: u16 = 9;
    /// A name in place of addresses, which is not taken any more (§3.3.2.1.4).
    pub const HOST_NAME: u16 = 11;
    /// Which families of addresses its sender can use (§3.3.2.1.5).
    pub const SUPPORTED_ADDRESSES: u16 = 12;
    /// Explicit congestion notification (RFC 9260 appendix, reserved).
    pub const ECN: u16 = 0x8000;
    /// Random octets of the key (RFC 4895 §3.1).
    pub const RANDOM: u16 = 0x8002;
    /// Chunks that its sender takes only with AUTH (RFC 4895 §3.2).
    pub const CHUNKS: u16 = 0x8003;
    /// HMACs that its sender knows (RFC 4895 §3.3).
    pub const HMAC_ALGO: u16 = 0x8004;
    /// Chunks that its sender knows (RFC 5061 §4.2.7).
    pub const SUPPORTED_EXTENSIONS: u16 = 0x8008;
    /// Adds an address (RFC 5061 §4.2.1).
    pub const ADD_ADDRESS: u16 = 0xc001;
    /// Deletes an address (RFC 5061 §4.2.2).
    pub const DELETE_ADDRESS: u16 = 0xc002;
    /// Says why a change was refused (RFC 5061 §4.2.3).
    pub const ERROR_CAUSE: u16 = 0xc003;
    /// Chooses the primary address (RFC 5061 §4.2.4).
    pub const SET_PRIMARY: u16 = 0xc004;
    /// Says that a change was made (RFC 5061 §4.2.5).
    pub const SUCCESS: u16 = 0xc005;
    /// A number for the upper layer (RFC 5061 §4.2.6).
    pub const ADAPTATION: u16 = 0xc006;
}

/// Addresses that are read from one INIT or INIT ACK; others are passed over.
pub(crate) const ADDRESSES_MAX: usize = 16;

/// One parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parameter<'a> {
    /// Its type.
    pub kind: u16,
    /// What follows its header, without padding.
    pub value: &'a [u8],
    /// All of it, without padding.
    pub whole: &'a [u8],
}

impl Parameter<'_> {
    /// The address in it, where it is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self.kind {
            kind::IPV4 => <[u8; 4]>::try_from(self.value).ok().map(IpAddr::from),
            kind::IPV6 => <[u8; 16]>::try_from(self.value).ok().map(IpAddr::from),
            _ => None,
        }
    }
}

/// Parameters one after the other, up to the first that is not whole.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a> {
    rest: &'a [u8],
}

impl<'a> Parameters<'a> {
    /// The parameters in `octets`.
    pub fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// After the last one: whether nothing is left over.
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Parameter<'a>;

    fn next(&mut self) -> Option<Parameter<'a>> {
        let length = usize::from(u16_at(self.rest, 2)?);
        let whole = self.rest.get(..length)?;
        let [a, b, _, _, value @ ..] = whole else { return None };
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Parameter { kind: u16::from_be_bytes([*a, *b]), value, whole })
    }
}

/// What the highest bits of an unknown parameter type ask for (RFC 9260 §3.2.1).
pub fn unknown(kind: u16) -> Unknown {
    Unknown { stop: kind & 0x8000 == 0, report: kind & 0x4000 != 0 }
}

/// Appends a parameter: its header, what `value` appends, and padding.
pub fn write(octets: &mut Vec<u8>, kind: u16, value: impl FnOnce(&mut Vec<u8>)) {
    let start = octets.len();
    octets.extend_from_slice(&kind.to_be_bytes());
    octets.extend_from_slice(&[0, 0]);
    value(octets);
    end(octets, start);
}

/// Appends an address parameter.
pub fn write_address(octets: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => write(octets, kind::IPV4, |o| o.extend_from_slice(&v4.octets())),
        IpAddr::V6(v6) => write(octets, kind::IPV6, |o| o.extend_from_slice(&v6.octets())),
    }
}

/// What the parameters of an INIT or INIT ACK say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Offer<'a> {
    /// Its sender's addresses, besides the one that it was sent from; none that may not be used.
    pub(crate) addresses: Vec<IpAddr>,
    /// The cookie.
    pub(crate) cookie: Option<&'a [u8]>,
    /// What it says of AUTH, where it can do that.
    pub(crate) vector: Option<Vector>,
    /// Whether it can change addresses: it knows ASCONF and ASCONF ACK.
    pub(crate) asconf: bool,
    /// Parameters that are to be reported, encoded.
    pub(crate) unrecognized: Vec<u8>,
    /// What cannot be used: a name in place of addresses.
    pub(crate) unresolvable: bool,
}

impl<'a> Offer<'a> {
    /// Reads the parameters of a chunk that came from `source`. `None` where they break the rules of
    /// their framing.
    pub(crate) fn read(octets: &'a [u8], source: IpAddr) -> Option<Self> {
        let mut offer = Self::default();
        let mut vector = Vector::default();
        let mut parameters = Parameters::new(octets);
        for parameter in &mut parameters {
            match parameter.kind {
                kind::IPV4 | kind::IPV6 => offer.add(parameter.address()?, source),
                kind::STATE_COOKIE => offer.cookie = Some(parameter.value),
                kind::HOST_NAME => offer.unresolvable = true,
                kind::SUPPORTED_EXTENSIONS => {
                    let knows = |kind| parameter.value.contains(&kind);
                    offer.asconf = knows(chunk::ASCONF) && knows(chunk::ASCONF_ACK);
                }
                kind::RANDOM | kind::CHUNKS | kind::HMAC_ALGO => vector.take(&parameter),
                // What needs no answer, and what we do not do.
                kind::UNRECOGNIZED
                | kind::COOKIE_PRESERVATIVE
                | kind::SUPPORTED_ADDRESSES
                | kind::ADAPTATION
                | kind::ECN => {}
                other => {
                    let Unknown { stop, report } = unknown(other);
                    if report {
                        offer.unrecognized.extend_from_slice(parameter.whole);
                        let padded = offer.unrecognized.len().next_multiple_of(4);
                        offer.unrecognized.resize(padded, 0);
                    }
                    if stop {
                        offer.vector = vector.usable();
                        return Some(offer);
                    }
                }
            }
        }
        offer.vector = vector.usable();
        parameters.is_at_end().then_some(offer)
    }

    fn add(&mut self, address: IpAddr, source: IpAddr) {
        let address = address.to_canonical();
        let is_new = address != source && !self.addresses.contains(&address);
        if is_new && self.addresses.len() < ADDRESSES_MAX && may_be_used(address, source) {
            self.addresses.push(address);
        }
    }
}

/// Whether somebody who speaks from `source` may say that `address` is its own: one host, and not one
/// that means something else here than there.
pub(crate) fn may_be_used(address: IpAddr, source: IpAddr) -> bool {
    let elsewhere = match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_link_local() || v4 == Ipv4Addr::UNSPECIFIED,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == Ipv6Addr::UNSPECIFIED,
    };
    let elsewhere = elsewhere && address != source;
    !elsewhere && !address.is_multicast() && (!address.is_loopback() || source.is_loopback())
}

/// Those of the own addresses that a peer at `peer` is told: all that mean the same there as here.
/// None where it is reached by an address that is good for one link only.
pub(crate) fn told(own: &[IpAddr], peer: IpAddr) -> Vec<IpAddr> {
    // What may be used from elsewhere is not of one link.
    let elsewhere = if peer.is_ipv4() {
        IpAddr::V4(Ipv4Addr::BROADCAST)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    if !peer.is_loopback() && !may_be_used(peer, elsewhere) {
        return Vec::new();
    }
    own.iter().copied().filter(|own| may_be_used(*own, peer)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    #[test]
    fn a_peer_is_told_what_means_the_same_there() {
        let own = ["127.0.0.1", "10.0.0.1", "fe80::1", "2001:db8::1"].map(|ip| ip.parse().unwrap());
        let told = |peer: &str| -> Vec<String> {
            told(&own, peer.parse().unwrap()).iter().map(IpAddr::to_string).collect()
        };
        assert_eq!(told("127.0.0.2"), ["127.0.0.1", "10.0.0.1", "2001:db8::1"]);
        assert_eq!(told("10.0.0.2"), ["10.0.0.1", "2001:db8::1"]);
        assert_eq!(told("2001:db8::2"), ["10.0.0.1", "2001:db8::1"]);
        assert_eq!(told("fe80::2"), [""; 0]);
        assert_eq!(told("169.254.0.2"), [""; 0]);
    }

    const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    #[test]
    fn addresses_of_other_scopes_are_passed_over() {
        let mut octets = Vec::new();
        let listed = ["10.0.0.1", "10.0.1.1", "127.0.0.1", "224.0.0.1", "0.0.0.0", "fe80::1"];
        for address in listed.into_iter().chain(["2001:db8::1", "::ffff:10.0.1.1", "ff02::1"]) {
            write_address(&mut octets, address.parse().unwrap());
        }
        let offer = Offer::read(&octets, SOURCE).unwrap();
        let expected: [IpAddr; 2] = ["10.0.1.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(offer.addresses, expected);
        assert!(may_be_used("127.0.0.2".parse().unwrap(), "127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_list_of_very_many_addresses_is_cut() {
        let mut octets = Vec::new();
        for last in 2..=200 {
            write_address(&mut octets, IpAddr::from([10, 0, 0, last]));
        }
        assert_eq!(Offer::read(&octets, SOURCE).unwrap().addresses.len(), ADDRESSES_MAX);
    }

    #[test]
    fn unknown_parameters_are_reported_and_end_the_reading_as_their_bits_say() {
        let address = hex!("0005 0008 0a000101");
        let read = |unknown: [u8; 4]| {
            let octets = [&unknown[..], &address].concat();
            let offer = Offer::read(&octets, SOURCE).unwrap();
            (offer.unrecognized.len(), offer.addresses.len())
        };
        assert_eq!(read(hex!("0033 0004")), (0, 0));
        assert_eq!(read(hex!("4033 0004")), (4, 0));
        assert_eq!(read(hex!("8033 0004")), (0, 1));
        assert_eq!(read(hex!("c033 0004")), (4, 1));
        // FORWARD TSN: reported, and the rest is read.
        assert_eq!(read(hex!("c000 0004")), (4, 1));
    }

    #[test]
    fn a_parameter_that_is_not_whole_spoils_them_all() {
        for octets in [&hex!("8033 0003")[..], &hex!("8033 0005"), &hex!("0005 0006 0a00"), &[0]] {
            assert_eq!(Offer::read(octets, SOURCE), None, "{octets:?}");
        }
    }
}
