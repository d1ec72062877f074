//! From frames to messages: link layer, IP, and what is on it.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, IpNumber, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_parser::Linktype;
use rserpool_wire::Protocol;
use rserpool_wire::registry::{ASAP_PORT, ENRP_PORT};

use super::capture::Frame;
use super::{Found, Place, sctp, tcp};

/// The port of SCTP over UDP (RFC 6951 §5.1).
const ENCAPSULATION_PORT: u16 = 9899;

/// Finds messages in frames, which may hold parts of them.
#[derive(Debug, Default)]
pub(super) struct Dissector {
    sctp: sctp::Reassembly,
    tcp: tcp::Streams,
    /// Frames of link types that are not known, and parts of IP packets.
    unknown_links: u64,
    ip_fragments: u64,
}

impl Dissector {
    /// The messages that are complete with this frame.
    pub(super) fn frame(&mut self, frame: Frame<'_>) -> Vec<Found> {
        let Some(packet) = self.packet(frame) else {
            return Vec::new();
        };
        let (source, destination) = match &packet.net {
            Some(LaxNetSlice::Ipv4(ip)) => {
                let header = ip.header();
                (IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr()))
            }
            Some(LaxNetSlice::Ipv6(ip)) => {
                let header = ip.header();
                (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()))
            }
            Some(LaxNetSlice::Arp(_)) | None => return Vec::new(),
        };
        let place = |transport, ports: (u16, u16)| Place {
            frame: frame.number,
            time_s: frame.time_s,
            transport,
            source: SocketAddr::new(source, ports.0),
            destination: SocketAddr::new(destination, ports.1),
        };
        let Some(payload) = packet.ip_payload() else {
            return Vec::new();
        };
        if payload.fragmented {
            self.ip_fragments += 1;
            return Vec::new();
        }
        match &packet.transport {
            Some(TransportSlice::Udp(udp)) => {
                let ports = (udp.source_port(), udp.destination_port());
                self.datagram(udp.payload(), ports, place)
            }
            Some(TransportSlice::Tcp(segment)) => {
                let ports = (segment.source_port(), segment.destination_port());
                let Some(protocol) = protocol_of(ports) else {
                    return Vec::new();
                };
                let place = place("tcp", ports);
                let messages = self.tcp.segment(segment, protocol, place);
                messages.into_iter().map(|octets| found(place, protocol, octets)).collect()
            }
            None if payload.ip_number == IpNumber::SCTP => self.sctp_packet(payload.payload, place),
            _ => Vec::new(),
        }
    }

    /// The messages that the capture does not complete but that are long enough, and a word on
    /// what could not be looked into.
    pub(super) fn finish(self) -> Vec<Found> {
        let lost = [
            (self.unknown_links, "frames of an unknown link type"),
            (self.ip_fragments, "fragments of IP packets"),
            (self.sctp.lost(), "fragments of SCTP messages"),
            (self.tcp.gaps(), "gaps in TCP streams"),
        ];
        for (number, what) in lost.into_iter().filter(|(number, _)| *number != 0) {
            tracing::warn!("{number} {what} were skipped");
        }
        let rest = self.tcp.finish().into_iter();
        rest.map(|(place, protocol, octets)| found(place, protocol, octets)).collect()
    }

    /// Octets kept for messages that are not complete.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.sctp.held() + self.tcp.held()
    }

    fn packet<'a>(&mut self, frame: Frame<'a>) -> Option<LaxSlicedPacket<'a>> {
        let octets = frame.octets;
        let ethernet = |high_low: Option<&[u8; 2]>, payload: Option<&'a [u8]>| {
            let ether_type = EtherType(u16::from_be_bytes(*high_low?));
            Some(LaxSlicedPacket::from_ether_type(ether_type, payload?))
        };
        match frame.link {
            Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(octets).ok(),
            Linktype::LINUX_SLL => {
                ethernet(octets.get(14..).and_then(|rest| rest.first_chunk()), octets.get(16..))
            }
            Linktype::LINUX_SLL2 => ethernet(octets.first_chunk(), octets.get(20..)),
            Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 | Linktype(12 | 14) => {
                LaxSlicedPacket::from_ip(octets).ok()
            }
            // The address family in front differs between systems; IP says what it is.
            Linktype::NULL | Linktype::LOOP => {
                octets.get(4..).and_then(|ip| LaxSlicedPacket::from_ip(ip).ok())
            }
            _ => {
                self.unknown_links += 1;
                None
            }
        }
    }

    fn datagram(
        &mut self,
        payload: &[u8],
        ports: (u16, u16),
        place: impl Fn(&'static str, (u16, u16)) -> Place,
    ) -> Vec<Found> {
        let encapsulates = ports.0 == ENCAPSULATION_PORT || ports.1 == ENCAPSULATION_PORT;
        if encapsulates || sctp::has_valid_checksum(payload) {
            return self.sctp_packet(payload, place);
        }
        let message = |protocol| found(place("udp", ports), protocol, payload.to_vec());
        protocol_of(ports).filter(|_| !payload.is_empty()).map(message).into_iter().collect()
    }

    fn sctp_packet(
        &mut self,
        packet: &[u8],
        place: impl Fn(&'static str, (u16, u16)) -> Place,
    ) -> Vec<Found> {
        let Some((ports, messages)) = self.sctp.packet(packet) else {
            return Vec::new();
        };
        let place = place("sctp", ports);
        messages.into_iter().map(|(protocol, octets)| found(place, protocol, octets)).collect()
    }
}

fn found(place: Place, protocol: Protocol, octets: Vec<u8>) -> Found {
    Found { name: None, place: Some(place), protocol, octets }
}

/// The protocol of a pair of ports: the destination counts first.
fn protocol_of((source, destination): (u16, u16)) -> Option<Protocol> {
    [destination, source].into_iter().find_map(|port| match port {
        ASAP_PORT => Some(Protocol::Asap),
        ENRP_PORT => Some(Protocol::Enrp),
        _ => None,
    })
}
