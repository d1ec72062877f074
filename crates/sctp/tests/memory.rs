//! What messages and associations take of memory.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod network;

use std::alloc::System;

use network::{Network, ms, quick, socket};
use rserpool_sctp::{Config, Endpoint, Input, Message, Output, Way};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Hands all packets over; the messages that arrived are counted.
fn exchange(ends: &mut [Endpoint; 2], buffer: &mut Vec<u8>, count: &mut usize) {
    for _ in 0..4 {
        for end in [0, 1] {
            while let Some(output) = ends[end].poll(buffer) {
                match output {
                    Output::Packet(way) => {
                        let own = network::ip(end, 0);
                        let way = Way { local: Some(way.remote.ip()), remote: socket(own) };
                        ends[1 - end].handle(ms(60), Input::Packet { way, octets: buffer });
                    }
                    Output::Event(_, rserpool_sctp::Event::Message(_)) => *count += 1,
                    Output::Event(..) => {}
                }
            }
        }
    }
}

/// Both at once would count each other's.
#[test]
fn a_message_takes_one_allocation_and_an_idle_association_2600_octets() {
    // A message of one packet: its octets, where they arrive. What sends it has its own.
    let mut network = Network::up(1, 1, [quick(), quick()]);
    let id = network.seen[0].assoc.unwrap();
    let (mut buffer, mut count) = (Vec::with_capacity(2000), 0);
    static OCTETS: [u8; 700] = [7; 700];
    let mut round = |network: &mut Network, count: &mut usize| {
        for _ in 0..3 {
            let octets = bytes::Bytes::from_static(&OCTETS);
            let message = Message { stream: 0, ppid: 11, unordered: false, octets };
            network.ends[0].send(ms(60), id, message).unwrap();
        }
        exchange(&mut network.ends, &mut buffer, count);
    };
    for _ in 0..100 {
        round(&mut network, &mut count);
    }
    assert_eq!(count, 300);
    let region = Region::new(GLOBAL);
    for _ in 0..1000 {
        round(&mut network, &mut count);
    }
    let allocations = region.change().allocations;
    assert_eq!(count, 3300);
    assert!(allocations <= 3000 + 20, "{allocations} for 3000 messages");

    // Idle associations of one endpoint with as many peers, which are one endpoint, too.
    let config = || Config::default();
    let mut ends =
        [Endpoint::new(config(), 7, vec![], [1; 32]), Endpoint::new(config(), 7, vec![], [2; 32])];
    ends[1].listen(true);
    let region = Region::new(GLOBAL);
    let peers = 1000_u32;
    for number in 0..peers {
        // Each dial is of another address, and comes from another one.
        let address = |base: u32| socket(std::net::IpAddr::from((base + number).to_be_bytes()));
        let (own, peer) = (address(0x0a00_0000), address(0x0b00_0000));
        ends[0].connect(ms(1), &[peer], 7).unwrap();
        for _ in 0..4 {
            for end in [0, 1] {
                while let Some(output) = ends[end].poll(&mut buffer) {
                    if let Output::Packet(_) = output {
                        let remote = if end == 0 { own } else { peer };
                        let way = Way { local: None, remote };
                        ends[1 - end].handle(ms(1), Input::Packet { way, octets: &buffer });
                    }
                }
            }
        }
    }
    assert_eq!((ends[0].len(), ends[1].len()), (1000, 1000));
    let change = region.change();
    let kept = change.bytes_allocated - change.bytes_deallocated;
    let each = kept / usize::try_from(2 * peers).unwrap();
    assert!(each <= 2600, "{each} octets");
}
