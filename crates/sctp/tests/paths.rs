//! Several paths: failover, confirmation, heartbeats (RFC 9260 §6.4, §8, RFC 7829).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod network;

use std::time::Duration;

use network::{Impairment, Network, PORT, ip, ms, payload, quick, socket};
use rserpool_sctp::chunk::{Chunks, kind};
use rserpool_sctp::packet::HEADER;
use rserpool_sctp::parameter::Parameters;
use rserpool_sctp::{Command, Config, DownReason, Endpoint, Event, Input, Output, PathChange, Way};

/// A message of 500 octets each 20 ms for so long, both ways where it is echoed; the longest pause
/// between two that arrive at `end`.
fn small_messages(network: &mut Network, time: Duration, end: usize) -> Duration {
    let begin = network.now;
    let (mut number, before) = (0, network.seen[end].messages.len());
    while network.now < begin + time {
        network.send(0, 0, &payload(number, 500));
        number += 1;
        network.run(ms(20));
    }
    network.run(ms(2000));
    let arrived = &network.seen[end].messages[before..];
    assert_eq!(arrived.len(), number, "nothing is lost");
    let pauses = arrived.windows(2).map(|pair| pair[1].0 - pair[0].0);
    pauses.max().unwrap()
}

#[test]
fn both_sides_confirm_all_paths_at_the_beginning() {
    let network = Network::up(1, 3, [quick(), quick()]);
    for end in [0, 1] {
        assert_eq!(network.seen[end].up.as_ref().unwrap().remote.len(), 3);
        for other in [1, 2] {
            let confirmed = Event::Path(ip(1 - end, other), PathChange::Confirmed);
            assert!(network.seen[end].has(&confirmed), "{end} {other}");
        }
    }
}

/// Who has no addresses that it tells everybody tells those that it leaves from, where there are
/// several.
#[test]
fn a_dial_from_several_addresses_tells_them() {
    for (locals, told) in [([0, 1], vec![ip(0, 0), ip(0, 1)]), ([0, 0], vec![])] {
        let mut endpoint = Endpoint::new(quick(), PORT, Vec::new(), [7; 32]);
        let way = |network: u8, from: u8| Way {
            local: Some(ip(0, from)),
            remote: socket(ip(1, network)),
        };
        let ways = [way(0, locals[0]), way(1, locals[1])];
        let id = endpoint.connect_over(ms(0), &ways, PORT).unwrap();
        let mut packet = Vec::new();
        assert_eq!(endpoint.poll(&mut packet), Some(Output::Packet(ways[0])));
        let init = Chunks::new(&packet, HEADER).next().unwrap();
        let parameters = Parameters::new(&init.value[16..]);
        assert_eq!(parameters.filter_map(|p| p.address()).collect::<Vec<_>>(), told);
        assert_eq!(endpoint.own_addresses(id), told);
    }
}

/// A process that is gone is so on all paths: the first error of the network that says so is enough to
/// ask the others.
#[test]
fn a_peer_that_is_gone_on_all_paths_is_known_after_two_errors() {
    let mut network = Network::up(1, 2, [quick(), quick()]);
    network.records = true;
    network.cut(0, true);
    network.cut(1, true);
    let at = network.now;
    network.send(0, 0, &payload(0, 100));
    network.drain();
    let mut errors = 0;
    while !network.seen[0].has(&Event::Down(DownReason::Unreachable)) {
        let (_, _, way, packet) = network.record.remove(0);
        let input = Input::Unreachable { remote: way.remote, quote: &packet };
        network.ends[0].handle(at, input);
        network.drain();
        errors += 1;
    }
    assert!(errors <= 3, "{errors}: the message, and a HEARTBEAT for each path at most");

    // One path alone is no end.
    let mut network = Network::up(1, 2, [quick(), quick()]);
    network.records = true;
    network.send(0, 0, &payload(0, 100));
    network.drain();
    let (_, _, way, packet) = network.record.remove(0);
    network.ends[0].handle(network.now, Input::Unreachable { remote: way.remote, quote: &packet });
    network.run(ms(2_000));
    let downs = network.seen[0].events.iter().filter(|(_, e)| matches!(e, Event::Down(_))).count();
    assert_eq!((downs, network.seen[1].messages.len()), (0, 1));
}

/// RTOs of 100, 200 and 400 ms: HEARTBEATs that ask for the same do not make them longer.
#[test]
fn a_silent_peer_is_given_up_after_one_expiry_more_than_retransmissions() {
    let config = Config { association_retransmits_max: 2, path_retransmits_max: 2, ..quick() };
    for pause in [1, 20, 400] {
        let mut network = Network::up(1, 1, [config.clone(), config.clone()]);
        network.echoes = true;
        for number in 0..10 {
            network.send(0, 0, &payload(number, 100));
            network.run(ms(pause));
        }
        network.cut(0, true);
        let cut_at = network.now;
        network.send(0, 0, &payload(10, 100));
        let down = Event::Down(DownReason::Timeout);
        assert!(network.run_until(ms(5_000), |network| network.seen[0].has(&down)), "{pause}");
        assert_eq!(network.now - cut_at, ms(700), "{pause}");
    }
}

/// 20 of 20: the longest pause is 150 ms at most, with small messages and an RTO of at least 100 ms,
/// wherever in the traffic the cut falls.
#[test]
fn the_cut_of_one_of_two_paths_pauses_small_messages_150_ms_at_most() {
    for seed in 0..20 {
        for echoes in [false, true] {
            let mut network = Network::up(seed, 2, [quick(), quick()]);
            network.impairment.delay = ms(seed % 5);
            network.echoes = echoes;
            small_messages(&mut network, ms(400 + 3 * seed), 1);
            let at = network.now;
            network.run(ms(seed));
            network.cut(0, true);
            let end = usize::from(!echoes);
            let pause = small_messages(&mut network, ms(3000), end);
            let pause = pause.max(
                network.seen[end].messages.iter().map(|(t, _)| *t).find(|t| *t > at).unwrap() - at,
            );
            assert!(pause <= ms(150), "seed {seed}: {pause:?}");
            network.assert_consistent();
        }
    }
}

/// The same while messages flow at the moment of the cut, in bulk.
#[test]
fn the_cut_of_one_of_two_paths_pauses_bulk_300_ms_at_most() {
    for seed in 0..20 {
        let config = Config { send_queue_max: 200_000, ..quick() };
        let mut network = Network::up(seed, 2, [config.clone(), config]);
        network.impairment.delay = ms(1 + seed % 5);
        let mut number = 0;
        let mut keep_full = |network: &mut Network, time: Duration| {
            let until = network.now + time;
            while network.now < until {
                while network.try_send(0, 0, &payload(number, 16_000)).is_ok() {
                    number += 1;
                }
                network.run(ms(5));
            }
            number
        };
        keep_full(&mut network, ms(100 + 7 * seed));
        network.cut(0, true);
        let sent = keep_full(&mut network, ms(700));
        network.run(ms(5000));
        let arrived = &network.seen[1].messages;
        assert_eq!(arrived.len(), sent, "nothing is lost");
        let pause = arrived.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap();
        assert!(pause <= ms(300), "seed {seed}: {pause:?}");
    }
}

#[test]
fn a_path_that_fails_is_left_and_used_again_when_it_answers() {
    let mut network = Network::up(3, 2, [quick(), quick()]);
    network.cut(0, true);
    small_messages(&mut network, ms(200), 1);
    network.run(ms(8000));
    let peer = ip(1, 0);
    for change in [PathChange::PotentiallyFailed, PathChange::Unreachable] {
        assert!(network.seen[0].has(&Event::Path(peer, change)), "{change:?}");
    }
    assert!(network.seen[0].has(&Event::Path(ip(1, 1), PathChange::Used)));
    network.cut(0, false);
    network.run(ms(3000));
    assert!(network.seen[0].has(&Event::Path(peer, PathChange::Reachable)));
    assert!(network.seen[0].has(&Event::Path(peer, PathChange::Used)), "back to the primary one");
    let pause = small_messages(&mut network, ms(500), 1);
    assert!(pause <= ms(25), "{pause:?}");
}

/// A path that comes and goes costs a timeout each time it goes, and no message.
#[test]
fn a_path_that_flaps_loses_nothing_and_does_not_end_the_association() {
    let mut network = Network::up(4, 2, [quick(), quick()]);
    for round in 0..20 {
        network.cut(0, round % 2 == 0);
        let pause = small_messages(&mut network, ms(300 + 37 * round), 1);
        assert!(pause <= ms(250), "round {round}: {pause:?}");
    }
    // In silence, with one path gone for longer than the association would live on it alone.
    network.cut(0, true);
    network.run(ms(120_000));
    small_messages(&mut network, ms(200), 1);
}

/// What goes one way arrives, and what comes back on the same path does not.
#[test]
fn a_path_that_carries_one_way_only_is_left() {
    let mut network = Network::up(5, 2, [quick(), quick()]);
    // What end 1 sends to the address of end 0 in network 0 is lost.
    network.addresses[0].retain(|address| *address != ip(0, 0));
    let pause = small_messages(&mut network, ms(2000), 1);
    assert!(pause <= ms(150), "{pause:?}");
    assert!(network.seen[0].has(&Event::Path(ip(1, 1), PathChange::Used)));
}

#[test]
fn a_dial_whose_first_address_is_dead_is_up_after_its_head_start() {
    let mut network = Network::new(6, 2, [quick(), quick()]);
    network.cut(0, true);
    network.connect();
    assert!(network.run_until(ms(300), |network| network.seen[0].up.is_some()));
    assert!(network.now >= ms(250));
    let pause = small_messages(&mut network, ms(300), 1);
    assert!(pause <= ms(25), "{pause:?}");
    // The first address is among the paths, and is used once it answers.
    network.cut(0, false);
    network.run(ms(5000));
    assert!(network.seen[0].has(&Event::Path(ip(1, 0), PathChange::Confirmed)));
}

/// RFC 9260 §5.4: nothing but HEARTBEATs goes to an address that has not answered.
#[test]
fn an_address_that_has_not_answered_gets_heartbeats_only() {
    let mut network = Network::new(7, 2, [quick(), quick()]);
    network.cut(1, true);
    network.records = true;
    network.connect();
    network.run(ms(300));
    // All of the confirmed path's answers are missing from now on.
    network.cut(0, true);
    for number in 0..10 {
        network.send(0, 0, &payload(number, 500));
        network.run(ms(100));
    }
    let unconfirmed = [ip(0, 1), ip(1, 1)];
    let mut heartbeats = 0;
    for (_, _, way, octets) in &network.record {
        if unconfirmed.contains(&way.remote.ip()) {
            for chunk in Chunks::new(octets, 12) {
                assert_eq!(chunk.kind, kind::HEARTBEAT);
                heartbeats += 1;
            }
        }
    }
    assert!((2..40).contains(&heartbeats), "{heartbeats}");
}

/// A SACK and a HEARTBEAT ACK go back to where what they answer came from.
#[test]
fn answers_go_back_to_where_the_question_came_from() {
    let mut network = Network::up(8, 2, [quick(), quick()]);
    network.command(0, Command::SetPrimary(ip(1, 1)));
    network.records = true;
    network.send(0, 0, b"one");
    network.send(0, 0, b"two");
    network.run(ms(200));
    let of = |from: usize, kind: u8| -> Vec<_> {
        let packets = network.record.iter().filter(move |(_, end, ..)| *end == from);
        let with = packets.filter(move |(_, _, _, octets)| {
            Chunks::new(octets, 12).any(|chunk| chunk.kind == kind)
        });
        with.map(|(_, _, way, _)| way.remote).collect()
    };
    assert!(of(0, kind::DATA).iter().all(|to| *to == socket(ip(1, 1))));
    assert!(!of(1, kind::SACK).is_empty());
    assert!(of(1, kind::SACK).iter().all(|to| *to == socket(ip(0, 1))));
}

/// Idle paths are asked after the heartbeat interval, with an RTO ± a half on top (RFC 9260 §8.3).
#[test]
fn idle_paths_are_asked_at_their_interval() {
    let config = Config { heartbeat_interval: ms(5000), ..quick() };
    let mut network = Network::up(9, 2, [config.clone(), config]);
    network.records = true;
    network.run(ms(60_000));
    for path in [0, 1] {
        let times: Vec<Duration> = network
            .record
            .iter()
            .filter(|(_, end, way, octets)| {
                *end == 0 && way.remote.ip() == ip(1, path) && octets[12] == kind::HEARTBEAT
            })
            .map(|(at, ..)| *at)
            .collect();
        assert!((10..=12).contains(&times.len()), "{times:?}");
        for pair in times.windows(2) {
            let gap = pair[1] - pair[0];
            assert!((ms(5050)..=ms(5160)).contains(&gap), "{gap:?}");
        }
    }
}

/// Whoever loses all paths and has them back in time goes on where he was.
#[test]
fn an_association_survives_when_all_paths_are_cut_for_a_while() {
    let mut network = Network::up(10, 2, [quick(), quick()]);
    network.send(0, 0, b"before");
    network.run(ms(10));
    network.cut(0, true);
    network.cut(1, true);
    network.send(0, 0, b"meanwhile");
    network.run(ms(3000));
    network.cut(0, false);
    network.cut(1, false);
    network.run(ms(3000));
    assert_eq!(network.seen[1].messages.len(), 2);
    network.send(1, 0, b"after");
    network.run(ms(100));
    assert_eq!(network.seen[0].messages.len(), 1);
}

#[test]
fn loss_on_both_paths_is_repaired() {
    for seed in 0..100 {
        let mut network = Network::up(seed, 2, [quick(), quick()]);
        let (delay, jitter) = (ms(seed % 25), ms(seed % 7));
        network.impairment = Impairment { loss: 50, delay, jitter, ..Impairment::default() };
        for number in 0..200 {
            network.send(0, 1, &payload(number, 700));
            if number % 20 == 0 {
                network.cut(u8::try_from(number / 20 % 2).unwrap(), number % 40 == 0);
                network.run(ms(30));
            }
        }
        network.cut.clear();
        let done = network.run_until(ms(60_000), |n| n.seen[1].messages.len() == 200);
        assert!(done, "seed {seed}: {}", network.seen[1].messages.len());
        network.assert_consistent();
    }
}
