//! Decoding takes memory in proportion to the message. A test of its own, for it counts what the
//! whole process allocates.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod vectors;

use std::alloc::System;

use hex_literal::hex;
use rserpool_wire::codec::Writer;
use rserpool_wire::dump::Dump;
use rserpool_wire::registry::ParamType;
use rserpool_wire::{Message, Protocol};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use vectors::{FILES, vectors};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Decoding allocates at most so many times the octets of the message, all allocations added up.
const DECODE_FACTOR: usize = 16;

const HANDLE: [u8; 8] = hex!("00090005 61 000000");

fn allocated<T>(work: impl FnOnce() -> T) -> usize {
    let region = Region::new(ALLOCATOR);
    let value = work();
    let allocated = region.change().bytes_allocated;
    drop(value);
    allocated
}

fn message(ty: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut w = Writer::default();
    w.message(ty, 0, |w| parts.iter().for_each(|part| w.slice(part)));
    w.into_octets()
}

fn parameter(ty: ParamType, parts: &[&[u8]]) -> Vec<u8> {
    let mut w = Writer::default();
    w.param(ty, |w| parts.iter().for_each(|part| w.slice(part)));
    w.into_octets()
}

/// Messages of about so many octets that make the most of them.
fn hostile(octets: usize) -> Vec<(&'static str, Protocol, Vec<u8>)> {
    let many = |part: &[u8]| part.repeat(octets / part.len());
    let ids = [1; 8];
    let (skipped, causes) = (many(&hex!("80010004")), many(&hex!("00000004")));
    let error = parameter(ParamType::OPERATION_ERROR, &[&causes]);
    let element_start = hex!("00000001 00000000 00000000 00100004 00080008 00000001");
    let element = parameter(ParamType::POOL_ELEMENT, &[&element_start]);
    let sctp_start = hex!("00000000 00010008 7f000001");
    let server_start = hex!("00000001 00040010 00000000 00010008 7f000001");
    let server = parameter(ParamType::SERVER_INFORMATION, &[&server_start]);
    let entry_of = |elements| [&HANDLE[..], &element.repeat(elements)].concat();
    let fat = |ty, start: &[u8]| parameter(ty, &[start, &skipped]);

    // Each needs four octets more than what is in it.
    let nested = |levels| {
        (0..levels).fold(Vec::new(), |inner, level| {
            let ty = if level % 2 == 0 { ParamType(1) } else { ParamType::OPERATION_ERROR };
            parameter(ty, &[&inner])
        })
    };

    let (asap, enrp) = (Protocol::Asap, Protocol::Enrp);
    let addresses = [&[0; 4][..], &many(&sctp_start[4..])].concat();
    let addresses = parameter(ParamType::SCTP_TRANSPORT, &[&addresses]);
    vec![
        ("skipped", asap, message(2, &[&skipped])),
        ("handle, skipped", asap, message(2, &[&HANDLE, &skipped])),
        ("causes", asap, message(14, &[&error])),
        ("causes of ENRP", enrp, message(10, &[&ids, &error])),
        ("addresses", asap, message(10, &[&[0; 4], &addresses])),
        (
            "transports",
            asap,
            message(10, &[&[0; 4], &many(&hex!("00050010 00070000 00010008 7f000001"))]),
        ),
        ("announce, skipped", asap, message(10, &[&[0; 4], &skipped])),
        ("elements", asap, message(6, &[&HANDLE, &many(&element)])),
        ("element, skipped", asap, message(6, &[&HANDLE, &element, &skipped])),
        ("element, causes", asap, message(6, &[&HANDLE, &element, &error])),
        (
            "skipped in an element",
            asap,
            message(6, &[&HANDLE, &fat(ParamType::POOL_ELEMENT, &element_start)]),
        ),
        (
            "skipped in a transport",
            asap,
            message(10, &[&[0; 4], &fat(ParamType::SCTP_TRANSPORT, &sctp_start)]),
        ),
        ("card of many", asap, message(13, &[&HANDLE, &many(&element)])),
        ("card of two", asap, message(13, &[&HANDLE, &element, &element])),
        ("card, skipped", asap, message(13, &[&HANDLE, &element, &skipped])),
        ("entries of one", enrp, message(3, &[&ids, &many(&entry_of(1))])),
        ("entries of two", enrp, message(3, &[&ids, &many(&entry_of(2))])),
        ("entries of five", enrp, message(3, &[&ids, &many(&entry_of(5))])),
        ("entry of many", enrp, message(3, &[&ids, &HANDLE, &many(&element)])),
        ("entry, skipped", enrp, message(3, &[&ids, &entry_of(1), &skipped])),
        ("servers", enrp, message(6, &[&ids, &many(&server)])),
        ("server, skipped", enrp, message(6, &[&ids, &server, &skipped])),
        (
            "skipped in a server",
            enrp,
            message(6, &[&ids, &fat(ParamType::SERVER_INFORMATION, &server_start)]),
        ),
        ("nested", asap, message(14, &[&many(&nested(10))])),
        ("nested deeply", asap, message(14, &[&nested(octets / 8 * 2)])),
        ("cookie", asap, message(11, &[&parameter(ParamType::COOKIE, &[&many(&[7])])])),
    ]
}

#[test]
fn a_message_takes_no_more_memory_than_a_small_multiple_of_its_length() {
    let golden = FILES.into_iter().chain(["negatives", "rsplib-errors"]).flat_map(vectors);
    let mut messages: Vec<_> =
        golden.map(|vector| ("golden", vector.protocol, vector.octets)).collect();
    for octets in [28, 60, 200, 1000, 5000, 65_000] {
        messages.extend(hostile(octets));
    }
    for (name, protocol, octets) in messages {
        let decode = allocated(|| Message::decode(protocol, &octets));
        let dump = allocated(|| Dump::new(protocol, &octets)) - decode;
        let length = octets.len();
        assert!(decode <= DECODE_FACTOR * length, "{name}: {decode} for {length}");
        assert!(dump <= Dump::MEMORY_FACTOR * length.max(4), "{name}: {dump} for {length}");
    }
}
