//! Laws for all values and all octets.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod strategies;
mod vectors;

use proptest::collection::vec;
use proptest::prelude::*;
use rserpool_wire::codec::Codec;
use rserpool_wire::dump::{Dump, HeaderKind, Node};
use rserpool_wire::{Decoded, Message, Protocol, fuzzing};

use vectors::{FILES, vectors};

fn assert_round_trip<T: Codec + PartialEq + std::fmt::Debug>(value: &T) {
    let octets = value.to_octets();
    assert_eq!(octets.len() % 4, 0);
    assert_eq!(T::from_octets(&octets).as_ref(), Ok(value));
}

/// What every decoder and everything behind it must stand.
fn assert_laws(protocol: Protocol, octets: &[u8]) {
    let ppid = u8::try_from(protocol.ppid()).unwrap();
    let input = [&[ppid], octets].concat();
    fuzzing::round_trip(&input);
    fuzzing::report(&input);
    fuzzing::dump(&input);
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Asap), Just(Protocol::Enrp)]
}

/// Where the nodes are for which `wanted` holds: offset and octets. What a cause carries is data.
fn places(node: &Node, wanted: &dyn Fn(&Node) -> bool, found: &mut Vec<(usize, usize)>) {
    if wanted(node) {
        found.push((node.offset, node.octets));
    }
    if node.header.is_none_or(|header| header.kind != HeaderKind::Cause) {
        node.inner.iter().for_each(|inner| places(inner, wanted, found));
    }
}

proptest! {
    #[test]
    fn every_address_comes_back(value in strategies::address()) {
        assert_round_trip(&value);
    }

    #[test]
    fn every_transport_comes_back(value in strategies::transport()) {
        assert_round_trip(&value);
    }

    #[test]
    fn every_policy_comes_back(value in strategies::policy()) {
        assert_round_trip(&value);
    }

    #[test]
    fn every_pool_handle_comes_back(value in strategies::pool_handle()) {
        assert_round_trip(&value);
    }

    #[test]
    fn every_pool_element_comes_back(value in strategies::pool_element()) {
        assert_round_trip(&value);
    }

    #[test]
    fn every_server_information_comes_back(value in strategies::server()) {
        assert_round_trip(&value);
    }

    #[test]
    fn every_cookie_comes_back(value in strategies::cookie()) {
        assert_round_trip(&value);
    }

    #[test]
    fn every_identifier_and_checksum_comes_back(id in strategies::pe_id(), sum in any::<u16>()) {
        assert_round_trip(&id);
        assert_round_trip(&rserpool_wire::param::PeChecksum(sum));
    }

    #[test]
    fn every_message_comes_back(message in strategies::message()) {
        let octets = message.encode();
        prop_assert_eq!(octets.len() % 4, 0);
        let decoded = Message::decode(message.protocol(), &octets);
        prop_assert_eq!(&decoded, &Ok(Decoded { message, skipped: vec![] }));
        let decoded = decoded.unwrap();
        assert_laws(decoded.message.protocol(), &octets);
    }

    #[test]
    fn padding_may_hold_anything(message in strategies::message(), garbage: u8) {
        let mut octets = message.encode();
        let dump = Dump::new(message.protocol(), &octets);
        let mut padding = vec![];
        places(&dump.root, &|node| node.name == "padding", &mut padding);
        for (offset, length) in padding {
            octets[offset..offset + length].fill(garbage);
        }
        let decoded = Message::decode(message.protocol(), &octets).unwrap();
        prop_assert_eq!(decoded.message, message);
    }

    #[test]
    fn flags_without_a_meaning_are_ignored(message in strategies::message(), flags: u8) {
        let mut octets = message.encode();
        octets[1] |= flags & 0xfc;
        let decoded = Message::decode(message.protocol(), &octets).unwrap();
        prop_assert_eq!(decoded.message, message);
    }

    #[test]
    fn no_octets_do_harm(protocol in protocol(), octets in vec(any::<u8>(), 0..300)) {
        assert_laws(protocol, &octets);
    }

    #[test]
    fn nothing_behind_a_good_header_does_harm(
        protocol in protocol(),
        ty in 0_u8..16,
        body in vec(prop_oneof![3 => Just(0), 2 => 0_u8..20, 1 => any::<u8>()], 0..200),
    ) {
        let length = u16::try_from(4 + body.len()).unwrap().to_be_bytes();
        assert_laws(protocol, &[&[ty, 0], &length[..], &body].concat());
    }

    #[test]
    fn no_change_to_a_message_does_harm(
        message in strategies::message(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end: prop::sample::Index,
    ) {
        let mut octets = message.encode();
        for (index, octet) in changes {
            let index = index.index(octets.len());
            octets[index] = octet;
        }
        assert_laws(message.protocol(), &octets);
        assert_laws(message.protocol(), &octets[..end.index(octets.len())]);
    }
}

#[test]
fn no_length_that_lies_does_harm() {
    let files = FILES.into_iter().chain(["negatives", "rsplib-errors"]);
    for vector in files.flat_map(vectors) {
        let dump = Dump::new(vector.protocol, &vector.octets);
        let mut headers = vec![];
        places(&dump.root, &|node| node.header.is_some(), &mut headers);
        for (offset, length) in headers {
            let near = (length.saturating_sub(5)..length + 6).chain([0, 1, 3, 4, 0xfffc, 0xffff]);
            for lie in near {
                let mut octets = vector.octets.clone();
                let lie = u16::try_from(lie).unwrap().to_be_bytes();
                octets[offset + 2..offset + 4].copy_from_slice(&lie);
                assert_laws(vector.protocol, &octets);
            }
        }
    }
}

#[test]
fn no_cut_does_harm() {
    let files = FILES.into_iter().chain(["negatives", "rsplib-errors"]);
    for vector in files.flat_map(vectors) {
        for length in 0..=vector.octets.len() {
            assert_laws(vector.protocol, &vector.octets[..length]);
        }
    }
}

#[test]
fn no_length_does_harm() {
    for total in [65_532, 65_535, 65_536, 65_537, 1 << 20] {
        for octet in [0, 0x80, 0xff] {
            let mut octets = vec![octet; total];
            for ty in 0..16 {
                octets[..4].copy_from_slice(&[ty, 0, 0xff, 0xff]);
                let _ = Message::decode(Protocol::Asap, &octets);
                let _ = Message::decode(Protocol::Enrp, &octets);
            }
            assert_laws(Protocol::Asap, &octets);
        }
    }
    // The longest message that there can be.
    let handle = [9; 65_000];
    let cookie = rserpool_wire::param::Cookie::new(handle).unwrap();
    let message = Message::from(rserpool_wire::Asap::Cookie(cookie));
    let octets = message.encode();
    assert_eq!(Message::decode(Protocol::Asap, &octets).unwrap().message, message);
    assert!(octets.len() <= Message::MAX_LEN);
}
