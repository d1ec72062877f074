//! Messages in frames that were made up: every link layer, IP, and what is on it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pcap_parser::Linktype;
use rserpool_wire::Protocol;

use super::Found;
use super::capture::Frame;
use super::packet::Dissector;

/// No message.
const NOTHING: [Vec<u8>; 0] = [];

const CLIENT: u16 = 40_000;
const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const SCTP: u8 = 132;
const TCP: u8 = 6;
const UDP: u8 = 17;
const BEGIN: u8 = 2;
const END: u8 = 1;

/// `ASAP_HANDLE_RESOLUTION` of a pool with this name.
fn resolution(pool: &str) -> Vec<u8> {
    let handle = rserpool_wire::param::PoolHandle::new(pool.as_bytes()).unwrap();
    let body = rserpool_wire::asap::HandleResolution { want_updates: false, handle, items: None };
    rserpool_wire::Message::from(rserpool_wire::Asap::HandleResolution(body)).encode()
}

/// An IP packet from an address to itself.
fn ip(address: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    match address {
        IpAddr::V4(v4) => {
            let length = (length + 20).to_be_bytes();
            let start = [0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0];
            [&start[..], &v4.octets(), &v4.octets(), payload].concat()
        }
        IpAddr::V6(v6) => {
            let length = length.to_be_bytes();
            let start = [0x60, 0, 0, 0, length[0], length[1], protocol, 64];
            [&start[..], &v6.octets(), &v6.octets(), payload].concat()
        }
    }
}

fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).unwrap();
    let header = [source, destination, length, 0].map(u16::to_be_bytes).concat();
    [&header[..], payload].concat()
}

fn tcp(destination: u16, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let ports = [CLIENT, destination].map(u16::to_be_bytes).concat();
    let sequence = sequence.to_be_bytes();
    let rest = [0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0];
    [&ports[..], &sequence, &rest, payload].concat()
}

/// A DATA chunk with its padding.
fn data(flags: u8, tsn: u32, ppid: u32, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 16).unwrap().to_be_bytes();
    let start = [0, flags, length[0], length[1]];
    let padding = vec![0; payload.len().next_multiple_of(4) - payload.len()];
    [&start[..], &tsn.to_be_bytes(), &[0; 4], &ppid.to_be_bytes(), payload, &padding].concat()
}

/// An SCTP packet to the port of ASAP, with its checksum.
fn sctp(tag: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    let ports = [CLIENT, 3863].map(u16::to_be_bytes).concat();
    let mut packet = [&ports[..], &tag.to_be_bytes(), &[0; 4], &chunks.concat()].concat();
    let sum = crc32c::crc32c(&packet);
    packet[8..12].copy_from_slice(&sum.to_le_bytes());
    packet
}

fn dissect(dissector: &mut Dissector, link: Linktype, octets: &[u8]) -> Vec<Found> {
    dissector.frame(Frame { number: 1, time_s: None, link, octets })
}

/// What is found in IP packets.
fn found(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut dissector = Dissector::default();
    let frames = packets.iter().flat_map(|ip| dissect(&mut dissector, Linktype::RAW, ip));
    let mut messages: Vec<_> = frames.map(|found| found.octets).collect();
    messages.extend(dissector.finish().into_iter().map(|found| found.octets));
    messages
}

fn one_message() -> Vec<u8> {
    sctp(7, &[data(BEGIN | END, 1, 11, &resolution("pool"))])
}

#[test]
fn every_link_layer_leads_to_the_message() {
    let (v4, v6) = (ip(V4, SCTP, &one_message()), ip(V6, SCTP, &one_message()));
    let vlan = [&[0; 12][..], &[0x81, 0, 0, 7, 0x08, 0], &v4].concat();
    let two_vlans = [&[0; 12][..], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 8, 0x86, 0xdd], &v6].concat();
    for (link, frame) in [
        (Linktype::ETHERNET, [&[0; 12][..], &[0x08, 0], &v4].concat()),
        (Linktype::ETHERNET, [&[0; 12][..], &[0x86, 0xdd], &v6].concat()),
        (Linktype::ETHERNET, vlan),
        (Linktype::ETHERNET, two_vlans),
        (Linktype::LINUX_SLL, [&[0; 14][..], &[0x08, 0], &v4].concat()),
        (Linktype::LINUX_SLL, [&[0; 14][..], &[0x86, 0xdd], &v6].concat()),
        (Linktype::LINUX_SLL2, [&[0x08, 0][..], &[0; 18], &v4].concat()),
        (Linktype::RAW, v4.clone()),
        (Linktype::RAW, v6.clone()),
        (Linktype::IPV4, v4.clone()),
        (Linktype::IPV6, v6.clone()),
        (Linktype::NULL, [&[2, 0, 0, 0][..], &v4].concat()),
        (Linktype::LOOP, [&[0, 0, 0, 24][..], &v6].concat()),
    ] {
        let mut dissector = Dissector::default();
        let messages = dissect(&mut dissector, link, &frame);
        assert_eq!(messages.len(), 1, "{link}");
        assert_eq!(messages[0].octets, resolution("pool"), "{link}");
        let place = messages[0].place.unwrap();
        assert_eq!((place.transport, place.source.port()), ("sctp", CLIENT));
        for cut in 0..frame.len() {
            assert_eq!(dissect(&mut dissector, link, &frame[..cut]), [], "{link}, {cut}");
        }
    }
}

#[test]
fn ethernet_padding_is_no_part_of_the_packet() {
    let message = resolution("p");
    let frame = [&[0; 12][..], &[0x08, 0], &ip(V4, UDP, &udp(3863, 3863, &message)), &[0; 20]];
    let mut dissector = Dissector::default();
    let messages = dissect(&mut dissector, Linktype::ETHERNET, &frame.concat());
    assert_eq!(messages[0].octets, message);
}

#[test]
fn datagrams_at_the_ports_of_the_protocols_are_messages() {
    let mut dissector = Dissector::default();
    for (port, protocol) in [(3863, Protocol::Asap), (9901, Protocol::Enrp)] {
        for (source, destination) in [(port, 5000), (5000, port)] {
            let packet = ip(V4, UDP, &udp(source, destination, b"anything"));
            let messages = dissect(&mut dissector, Linktype::RAW, &packet);
            assert_eq!(
                (messages[0].protocol, &messages[0].octets[..]),
                (protocol, &b"anything"[..])
            );
        }
    }
    let elsewhere = ip(V4, UDP, &udp(5000, 53, b"anything"));
    assert_eq!(dissect(&mut dissector, Linktype::RAW, &elsewhere), []);
}

#[test]
fn sctp_over_udp_is_known_by_its_checksum_at_any_port() {
    let encapsulated = one_message();
    for ports in [(3863, 3863), (9901, 40_001), (40_001, 40_002)] {
        let packet = ip(V4, UDP, &udp(ports.0, ports.1, &encapsulated));
        assert_eq!(found(&[packet]), [resolution("pool")], "{ports:?}");
    }
    // A checksum that the network card would have filled in.
    let mut without = encapsulated;
    without[8..12].fill(0);
    assert_eq!(found(&[ip(V4, UDP, &udp(9899, 9899, &without))]), [resolution("pool")]);
    assert_eq!(found(&[ip(V4, UDP, &udp(9899, 5000, b"no SCTP"))]), NOTHING);
}

#[test]
fn other_payload_protocols_are_left_out() {
    let chunks = [
        data(BEGIN | END, 1, 0, b"hello"),
        data(BEGIN | END, 2, 12, &[5, 0, 0, 12]),
        data(BEGIN | END, 3, 0x2909_7602, b"hello"),
        data(BEGIN | END, 4, 11, &resolution("unaligned")),
    ];
    let messages = found(&[ip(V4, SCTP, &sctp(7, &chunks))]);
    assert_eq!(messages, [vec![5, 0, 0, 12], resolution("unaligned")]);
}

#[test]
fn fragments_are_put_together_in_any_order() {
    let message = resolution("a pool with a long name, in parts");
    let parts: Vec<_> = message.chunks(16).collect();
    assert_eq!(parts.len(), 3);
    let tsn = u32::MAX; // The numbers wrap.
    let packets = [
        data(BEGIN, tsn, 11, parts[0]),
        data(0, tsn.wrapping_add(1), 11, parts[1]),
        data(END, tsn.wrapping_add(2), 11, parts[2]),
    ]
    .map(|chunk| ip(V4, SCTP, &sctp(7, &[chunk])));
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let packets = order.map(|index| packets[index].clone());
        assert_eq!(found(&packets), [&message[..]], "{order:?}");
    }
    let other = ip(V4, SCTP, &sctp(8, &[data(END, 1, 11, parts[2])]));
    assert_eq!(found(&[packets[0].clone(), packets[1].clone(), other]), NOTHING);
    assert_eq!(found(&[packets[0].clone(), packets[2].clone()]), NOTHING);
}

#[test]
fn retransmissions_are_found_once() {
    let again = ip(V4, SCTP, &one_message());
    assert_eq!(found(&[again.clone(), again.clone()]).len(), 1);
    // Made-up packets have no tag, and all the same number.
    let made_up = ip(V4, SCTP, &sctp(0, &[data(BEGIN | END, 0, 11, &resolution("pool"))]));
    assert_eq!(found(&[made_up.clone(), made_up]).len(), 2);
}

#[test]
fn parts_of_ip_packets_are_left_out() {
    let mut fragment = ip(V4, SCTP, &one_message());
    fragment[6] = 0x20; // More to come.
    assert_eq!(found(&[fragment]), NOTHING);
}

/// The messages in TCP segments to the port of ASAP.
fn streamed(segments: &[(u32, u8, &[u8])]) -> Vec<Vec<u8>> {
    let segments: Vec<_> = segments
        .iter()
        .map(|(sequence, flags, payload)| ip(V4, TCP, &tcp(3863, *sequence, *flags, payload)))
        .collect();
    found(&segments)
}

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

#[test]
fn a_stream_is_cut_into_messages_by_their_lengths() {
    let (one, two) = (resolution("one"), resolution("another"));
    let stream = [&one[..], &two, &one].concat();
    let all = [one.clone(), two, one];
    let start = u32::MAX - 5; // The numbers wrap.
    for size in 1..=stream.len() {
        let mut segments = vec![(start, SYN, &[][..])];
        let mut sequence = start.wrapping_add(1);
        for part in stream.chunks(size) {
            segments.push((sequence, ACK, part));
            sequence = sequence.wrapping_add(u32::try_from(part.len()).unwrap());
        }
        assert_eq!(streamed(&segments), all, "{size}");
        segments[1..].reverse();
        assert_eq!(streamed(&segments), all, "{size}, the last first");
    }
}

#[test]
fn a_stream_that_the_capture_joins_late_starts_with_a_message() {
    let message = resolution("pool");
    assert_eq!(streamed(&[(77, ACK, &message)]), [message]);
}

#[test]
fn octets_sent_again_are_taken_once() {
    let message = resolution("pool");
    let segments = [
        (1, ACK, &message[..8]),
        (1, ACK, &message[..8]),
        (5, ACK, &message[4..]),
        (9, ACK, &message[8..]),
    ];
    assert_eq!(streamed(&segments), [&message[..]]);
}

#[test]
fn a_stream_goes_on_behind_a_gap_once_too_much_waits_there() {
    let message = resolution("pool");
    let length = u32::try_from(message.len()).unwrap();
    let mut segments = vec![(0, ACK, &message[..8])];
    // The rest of the first message never comes.
    segments.extend((1..=100).map(|index| (index * length, ACK, &message[..])));
    assert_eq!(streamed(&segments).len(), 100);
}

#[test]
fn a_stream_that_is_none_of_messages_is_shown_once() {
    let garbage = b"GE\0\x01 HTTP/1.1\0\0";
    let message = resolution("pool");
    let segments = [(1, ACK, &garbage[..]), (1 + 15, ACK, &message[..])];
    assert_eq!(streamed(&segments).len(), 1);
    let over =
        [(1, ACK, &garbage[..]), (900, RST, &[]), (5000, SYN, &[]), (5001, ACK, &message[..])];
    assert_eq!(streamed(&over)[1..], [message]);
}

#[test]
fn a_last_message_without_its_padding_is_found() {
    let message = resolution("pool1");
    assert_eq!(streamed(&[(1, ACK, &message[..13])]), [&message[..13]]);
    assert_eq!(streamed(&[(1, ACK, &message[..12])]), NOTHING);
}

#[test]
fn many_connections_and_fragments_take_bounded_memory() {
    let mut dissector = Dissector::default();
    let part = vec![1; 60_000];
    for round in 0..2000_u32 {
        let fragment = ip(V4, SCTP, &sctp(round, &[data(BEGIN, 1, 11, &part)]));
        dissect(&mut dissector, Linktype::RAW, &fragment);
        let [a, b, c, d] = round.to_be_bytes();
        let address = IpAddr::from([a, b, c, d]);
        let early = ip(address, TCP, &tcp(3863, 1, ACK, &[0, 0, 0xff, 0xff]));
        dissect(&mut dissector, Linktype::RAW, &early);
        let early = ip(address, TCP, &tcp(3863, 100, ACK, &part));
        dissect(&mut dissector, Linktype::RAW, &early);
    }
    assert!(dissector.held() < 64 << 20, "{}", dissector.held());
}
