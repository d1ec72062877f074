//! Messages between two endpoints, in virtual time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod network;

use network::{Impairment, Network, ms, payload, quick};
use rserpool_sctp::{Command, Config, DownReason, Event, Message};

#[test]
fn an_association_begins_carries_messages_both_ways_and_ends() {
    let mut network = Network::new(1, 1, [Config::default(), Config::default()]);
    network.connect();
    network.run(ms(10));
    let up = network.seen[0].up.clone().unwrap();
    assert!(up.dialed && up.address_changes && up.streams_out == 16);
    assert!(!network.seen[1].up.clone().unwrap().dialed);
    for (end, length) in [(0, 1), (1, 1), (0, 100_000), (1, 262_144), (0, 1444), (0, 1445)] {
        network.send(end, 3, &payload(length, length));
    }
    network.run(ms(2000));
    let lengths = |end: usize| -> Vec<usize> {
        network.seen[end].messages.iter().map(|(_, m)| m.octets.len()).collect()
    };
    assert_eq!(lengths(1), [1, 100_000, 1444, 1445]);
    assert_eq!(lengths(0), [1, 262_144]);
    for end in [0, 1] {
        for (_, message) in &network.seen[end].messages {
            assert_eq!((message.stream, message.ppid, message.unordered), (3, 11, false));
            let length = message.octets.len();
            assert_eq!(message.octets, payload(length, length));
        }
    }
    network.command(0, Command::Shutdown);
    network.run(ms(100));
    for end in [0, 1] {
        assert!(network.seen[end].has(&Event::Down(DownReason::Closed)), "{end}");
        assert!(network.ends[end].is_empty());
        assert_eq!(network.ends[end].statistics().retransmissions, 0);
    }
    assert!(network.seen[1].has(&Event::PeerShutdown));
    network.assert_consistent();
}

#[test]
fn what_was_sent_before_a_shutdown_is_delivered() {
    let mut network = Network::up(2, 1, [quick(), quick()]);
    network.impairment = Impairment { loss: 100, delay: ms(5), ..Impairment::default() };
    for number in 0..100 {
        network.send(0, 0, &payload(number, 3000));
        network.send(1, 0, &payload(number, 30));
    }
    network.command(0, Command::Shutdown);
    network.command(1, Command::Shutdown);
    network.run(ms(60_000));
    assert_eq!(network.seen[1].messages.len(), 100);
    assert_eq!(network.seen[0].messages.len(), 100);
    assert!(network.ends.iter().all(rserpool_sctp::Endpoint::is_empty));
}

/// Settings that nobody should have do no harm.
#[test]
fn extreme_settings_work() {
    use std::time::Duration;
    let slow = Config {
        rto_initial: Duration::MAX,
        rto_min: Duration::MAX,
        rto_max: Duration::MAX,
        heartbeat_interval: Duration::MAX,
        sack_delay: Duration::MAX,
        cookie_life: Duration::MAX,
        message_max: usize::MAX,
        receive_window: usize::MAX,
        send_queue_max: usize::MAX,
        ..Config::default()
    };
    let small = Config {
        rto_initial: Duration::ZERO,
        rto_min: Duration::ZERO,
        rto_max: Duration::ZERO,
        heartbeat_interval: Duration::ZERO,
        head_start: Duration::ZERO,
        mtu_v4: 0,
        addresses_max: 0,
        burst_max: 0,
        ..Config::default()
    };
    for (one, other) in [(&slow, &slow), (&small, &small), (&slow, &small), (&small, &slow)] {
        let mut network = Network::up(7, 2, [one.clone(), other.clone()]);
        for number in 0..20 {
            network.send(0, 0, &payload(number, 5000));
            network.send(1, 0, &payload(number, 5000));
        }
        network.run(ms(3000));
        let counts = network.seen.each_ref().map(|seen| seen.messages.len());
        assert_eq!(counts, [20; 2], "{one:?} {other:?}");
    }
}

#[test]
fn an_abort_ends_both_sides_at_once() {
    let mut network = Network::up(3, 1, [quick(), quick()]);
    network.command(1, Command::Abort);
    network.run(ms(5));
    assert!(network.seen[1].has(&Event::Down(DownReason::UserAborted)));
    assert!(network.seen[0].has(&Event::Down(DownReason::Aborted(Some(12)))));
}

#[test]
fn who_does_not_listen_refuses() {
    let mut network = Network::new(4, 1, [quick(), quick()]);
    network.ends[1].listen(false);
    network.connect();
    network.run(ms(5));
    assert!(network.seen[0].has(&Event::Down(DownReason::Refused)));
}

#[test]
fn who_is_silent_is_given_up() {
    let mut network = Network::new(5, 1, [quick(), quick()]);
    network.cut(0, true);
    network.connect();
    network.run(ms(20_000));
    assert!(network.seen[0].has(&Event::Down(DownReason::Timeout)));

    let mut network = Network::up(6, 1, [quick(), quick()]);
    network.cut(0, true);
    network.send(0, 0, b"x");
    network.run(ms(60_000));
    for end in [0, 1] {
        assert!(network.seen[end].has(&Event::Down(DownReason::Timeout)), "{end}");
    }
}

/// Everything arrives, in the order of its stream, whatever the network does.
#[test]
fn thousands_of_networks_that_lose_delay_double_and_reorder_deliver_everything() {
    let seeds = std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(3000);
    for seed in 0..seeds {
        let mut network =
            Network::new(seed, 1 + u8::try_from(seed % 2).unwrap(), [quick(), quick()]);
        let half = network.rng.u64(0..=25);
        network.impairment = Impairment {
            loss: network.rng.u32(0..=50),
            duplicates: network.rng.u32(0..=20),
            delay: ms(half),
            jitter: ms(network.rng.u64(0..=5)),
        };
        network.connect();
        assert!(network.run_until(ms(30_000), |n| n.seen[0].up.is_some()), "seed {seed}");
        let count = 40;
        let mut sent = 0;
        for number in 0..count {
            let length = network.rng.usize(4..=if number % 8 == 0 { 20_000 } else { 500 });
            let stream = network.rng.u16(0..3);
            let unordered = network.rng.u32(..10) == 0;
            let octets = payload(number, length).into();
            let message = Message { stream, ppid: 7, unordered, octets };
            let id = network.seen[0].assoc.unwrap();
            network.ends[0].send(network.now, id, message).unwrap();
            sent += 1;
            if number % 4 == 3 {
                network.run(ms(5));
            }
            if network.seen[1].assoc.is_some() && number % 2 == 0 {
                network.send(1, 1, &payload(number, 100));
            }
        }
        let done = network.run_until(ms(120_000), |n| n.seen[1].messages.len() >= sent);
        assert!(
            done,
            "seed {seed}: {} of {sent}, {:?}",
            network.seen[1].messages.len(),
            network.impairment
        );
        network.run(ms(3000));
        network.assert_consistent();
        assert_eq!(network.seen[1].messages.len(), sent, "seed {seed}: nothing twice");
        let mut last = [None; 3];
        for (_, message) in &network.seen[1].messages {
            let number = u32::from_be_bytes(*message.octets.first_chunk().unwrap());
            let length = message.octets.len();
            assert_eq!(message.octets, payload(usize::try_from(number).unwrap(), length));
            if !message.unordered {
                let last = &mut last[usize::from(message.stream)];
                assert!(*last < Some(number), "seed {seed}: order");
                *last = Some(number);
            }
        }
    }
}
