//! Addresses that come and go (RFC 5061), and who may say so (RFC 4895).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod network;

use network::{Network, PORT, ip, ms, payload, quick, socket};
use rserpool_sctp::chunk::{Chunks, kind};
use rserpool_sctp::{AddressChange, Command, Endpoint, Event, Message, PathChange, crc};

/// An association over one network; both ends have an address in a second one that the other has not
/// heard of.
fn with_more(seed: u64) -> Network {
    let mut network = Network::up(seed, 1, [quick(), quick()]);
    for end in [0, 1] {
        network.addresses[end].push(ip(end, 1));
    }
    network
}

fn exchange(network: &mut Network, count: usize) {
    let before = [0, 1].map(|end| network.seen[end].messages.len());
    for number in 0..count {
        network.send(0, 0, &payload(number, 300));
        network.send(1, 0, &payload(number, 300));
        network.run(ms(20));
    }
    network.run(ms(500));
    for end in [0, 1] {
        assert_eq!(network.seen[end].messages.len() - before[end], count, "{end}");
    }
}

/// Who looks at its host twice says the same twice, and loopback is nobody else's.
#[test]
fn an_address_is_added_once() {
    let mut network = with_more(1);
    network.records = true;
    for address in [ip(0, 1), ip(0, 1), "127.0.0.1".parse().unwrap()] {
        network.command(0, Command::AddAddress(address));
    }
    network.run(ms(100));
    network.command(0, Command::AddAddress(ip(0, 1)));
    network.run(ms(100));
    let asconfs = network.record.iter().filter(|(_, from, _, packet)| {
        *from == 0 && Chunks::new(packet, 12).any(|chunk| chunk.kind == kind::ASCONF)
    });
    assert_eq!(asconfs.count(), 1);
    let id = network.seen[0].assoc.unwrap();
    assert_eq!(network.ends[0].own_addresses(id), [ip(0, 0), ip(0, 1)]);
}

#[test]
fn an_address_is_added_and_used_when_the_first_one_is_deleted() {
    for end in [0, 1] {
        let mut network = with_more(1);
        network.command(end, Command::AddAddress(ip(end, 1)));
        network.run(ms(20));
        assert!(network.seen[end].has(&Event::Address(ip(end, 1), AddressChange::Added)));
        let peer = &network.seen[1 - end];
        assert!(peer.has(&Event::Path(ip(end, 1), PathChange::Added)));
        assert!(peer.has(&Event::Path(ip(end, 1), PathChange::Confirmed)));
        network.records = true;
        network.command(end, Command::DeleteAddress(ip(end, 0)));
        exchange(&mut network, 20);
        assert!(network.seen[end].has(&Event::Address(ip(end, 0), AddressChange::Deleted)));
        let removed = Event::Path(ip(end, 0), PathChange::Removed);
        assert!(network.seen[1 - end].has(&removed));
        let late = network.record.iter().filter(|(_, from, ..)| *from == end).skip(1);
        for (_, _, way, _) in late {
            assert_eq!(way.local, Some(ip(end, 1)), "nothing leaves from the deleted address");
        }
        let to = network.record.iter().rev().find(|(_, from, ..)| *from == 1 - end).unwrap();
        assert_eq!(to.2.remote, socket(ip(end, 1)));
        let timeouts = network.ends.each_ref().map(|e| e.statistics().timeouts);
        assert_eq!(timeouts, [0, 0], "no pause");
    }
}

/// From one network to another, under load: the association goes along.
#[test]
fn an_end_that_moves_keeps_its_association() {
    for seed in 0..20 {
        let mut network = with_more(seed);
        network.impairment.delay = ms(seed % 7);
        // The peer is reached from everywhere at its one address.
        exchange(&mut network, 5);
        network.cut.insert(ip(0, 0));
        network.command(0, Command::AddAddress(ip(0, 1)));
        network.command(0, Command::DeleteAddress(ip(0, 0)));
        exchange(&mut network, 30);
        assert!(network.seen[0].has(&Event::Address(ip(0, 1), AddressChange::Added)));
        assert!(network.seen[0].has(&Event::Address(ip(0, 0), AddressChange::Deleted)));
        assert_eq!(network.ends[0].len(), 1);
        // And further, back to where it came from.
        network.cut.clear();
        network.cut.insert(ip(0, 1));
        network.command(0, Command::AddAddress(ip(0, 0)));
        network.command(0, Command::DeleteAddress(ip(0, 1)));
        exchange(&mut network, 30);
        assert!(network.seen[1].has(&Event::Path(ip(0, 1), PathChange::Removed)));
    }
}

#[test]
fn the_peer_can_be_asked_to_use_another_address() {
    let mut network = Network::up(2, 2, [quick(), quick()]);
    network.command(1, Command::SetPeerPrimary(ip(1, 1)));
    network.run(ms(20));
    assert!(network.seen[1].has(&Event::Address(ip(1, 1), AddressChange::Primary)));
    assert!(network.seen[0].has(&Event::Path(ip(1, 1), PathChange::Used)));
    network.records = true;
    network.send(0, 0, b"x");
    network.run(ms(5));
    assert_eq!(network.record[0].2.remote, socket(ip(1, 1)));
    // One that it does not have is refused: unresolvable address.
    network.command(1, Command::SetPeerPrimary(ip(1, 9)));
    network.run(ms(20));
    assert!(network.seen[1].has(&Event::Address(ip(1, 9), AddressChange::Refused(5))));
}

#[test]
fn the_last_address_is_not_deleted() {
    let mut network = Network::up(3, 1, [quick(), quick()]);
    network.command(0, Command::DeleteAddress(ip(0, 0)));
    network.run(ms(20));
    assert!(network.seen[0].has(&Event::Address(ip(0, 0), AddressChange::Refused(0xa0))));
    exchange(&mut network, 3);
}

#[test]
fn an_asconf_that_is_lost_is_sent_again_and_done_once() {
    let mut network = with_more(4);
    let mut lost = 0;
    network.filter = Some(Box::new(move |_, octets| {
        let has = |wanted| Chunks::new(octets, 12).any(|chunk| chunk.kind == wanted);
        // The first question and the first two answers.
        let loses = (has(kind::ASCONF) && lost == 0) || (has(kind::ASCONF_ACK) && lost < 3);
        lost += u32::from(loses);
        !loses
    }));
    network.command(0, Command::AddAddress(ip(0, 1)));
    network.run(ms(3000));
    assert!(network.seen[0].has(&Event::Address(ip(0, 1), AddressChange::Added)));
    let added = Event::Path(ip(0, 1), PathChange::Added);
    let count = network.seen[1].events.iter().filter(|(_, event)| *event == added).count();
    assert_eq!(count, 1);
}

#[test]
fn more_addresses_than_may_be_are_refused() {
    let mut network = Network::up(5, 8, [quick(), quick()]);
    network.command(0, Command::AddAddress(ip(0, 100)));
    network.run(ms(20));
    assert!(network.seen[0].has(&Event::Address(ip(0, 100), AddressChange::Refused(0xa1))));
    exchange(&mut network, 3);
}

/// Whatever octet of an ASCONF or its AUTH is changed on the way, nothing is done.
#[test]
fn a_forged_asconf_does_nothing() {
    for at in 12..96 {
        let mut network = with_more(6);
        let mut done = false;
        network.filter = Some(Box::new(move |_, octets| {
            let is_asconf = Chunks::new(octets, 12).any(|chunk| chunk.kind == kind::ASCONF);
            if is_asconf && at < octets.len() && !done {
                done = true;
                octets[at] ^= 0x10;
                crc::seal(octets);
            } else if is_asconf {
                return false;
            }
            true
        }));
        network.command(0, Command::AddAddress(ip(0, 1)));
        network.run(ms(90));
        let added = Event::Path(ip(0, 1), PathChange::Added);
        assert!(!network.seen[1].has(&added), "octet {at}");
        network.assert_consistent();
    }
}

/// Without AUTH in front, and from somebody who was not there at the beginning.
#[test]
fn an_asconf_without_auth_is_ignored() {
    let mut network = with_more(7);
    network.filter = Some(Box::new(|_, octets| {
        let auth = Chunks::new(octets, 12).find(|chunk| chunk.kind == kind::AUTH);
        if let Some((offset, length)) = auth.map(|auth| (auth.offset, auth.whole.len())) {
            octets.drain(offset..offset + length);
            crc::seal(octets);
        }
        true
    }));
    network.command(0, Command::AddAddress(ip(0, 1)));
    network.run(ms(300));
    assert!(!network.seen[1].has(&Event::Path(ip(0, 1), PathChange::Added)));
    assert!(network.ends[1].statistics().not_authentic > 0);
}

/// An address of somebody else gets HEARTBEATs, a few, and nothing else.
#[test]
fn an_address_that_is_not_the_peers_is_never_used() {
    let mut network = Network::up(8, 1, [quick(), quick()]);
    network.command(0, Command::AddAddress(ip(0, 77)));
    network.records = true;
    network.run(ms(50));
    assert!(network.seen[1].has(&Event::Path(ip(0, 77), PathChange::Added)));
    network.cut(0, true);
    network.send(1, 0, &payload(0, 200_000));
    network.run(ms(10_000));
    let victim = socket(ip(0, 77));
    let to = network.record.iter().filter(|(_, from, way, _)| *from == 1 && way.remote == victim);
    let octets: usize = to.clone().map(|(.., octets)| octets.len()).sum();
    assert!(to.clone().all(|(.., octets)| octets[12] == kind::HEARTBEAT));
    assert!(octets < 1000, "{octets}");
}

/// Who says nothing of AUTH is asked for no address change.
#[test]
fn without_auth_of_the_peer_there_are_no_changes() {
    let mut network = with_more(9);
    network.ends[0] = Endpoint::new(quick(), PORT, vec![ip(0, 0)], [3; 32]);
    network.filter = Some(Box::new(|_, octets| {
        if octets[12] == kind::INIT {
            octets.truncate(32);
            octets[14..16].copy_from_slice(&20_u16.to_be_bytes());
            crc::seal(octets);
        }
        true
    }));
    // Its old association is gone: a restart.
    network.connect();
    network.run(ms(50));
    assert!(!network.seen[0].up.as_ref().unwrap().address_changes);
    network.command(0, Command::AddAddress(ip(0, 1)));
    network.run(ms(20));
    assert!(network.seen[0].has(&Event::Address(ip(0, 1), AddressChange::Refused(0))));
    let octets = b"x".to_vec().into();
    let message = Message { stream: 0, ppid: 0, unordered: false, octets };
    let id = network.seen[0].assoc.unwrap();
    network.ends[0].send(network.now, id, message).unwrap();
    network.run(ms(50));
    assert_eq!(network.seen[1].messages.len(), 1);
}
