//! Beginning anew, and both at once (RFC 9260 §5.2).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod network;

use network::{Impairment, Network, PORT, ip, ms, payload, quick, socket};
use rserpool_sctp::{Config, DownReason, Endpoint, Event, SendError};

fn restarted(network: &Network, end: usize) -> usize {
    let is = |event: &Event| matches!(event, Event::Restarted(_));
    network.seen[end].events.iter().filter(|(_, event)| is(event)).count()
}

#[test]
fn a_peer_that_lost_its_memory_begins_anew() {
    let mut restarts = 0;
    for seed in 0..50 {
        let mut network = Network::up(seed, 2, [quick(), quick()]);
        network.impairment =
            Impairment { loss: 20, delay: ms(seed % 10), jitter: ms(1), ..Impairment::default() };
        network.send(0, 0, b"before");
        network.send(1, 0, b"before");
        network.run(ms(1000));
        // What waits is lost.
        network.cut(0, true);
        network.cut(1, true);
        network.send(1, 0, &payload(0, 50_000));
        network.run(ms(10));
        network.cut.clear();
        let seed = [u8::try_from(seed).unwrap() + 100; 32];
        network.ends[0] = Endpoint::new(quick(), PORT, network.addresses[0].clone(), seed);
        network.connect();
        // The old association may have spoken first, and have been told that it is over.
        let is_up = |event: &Event| matches!(event, Event::Up(_) | Event::Restarted(_));
        let ups = |n: &Network| n.seen[1].events.iter().filter(|(_, e)| is_up(e)).count();
        assert!(network.run_until(ms(20_000), |n| ups(n) == 2));
        restarts += restarted(&network, 1);
        network.run(ms(500));
        assert_eq!((network.ends[0].len(), network.ends[1].len()), (1, 1));
        let before = [0, 1].map(|end| network.seen[end].messages.len());
        for number in 0..20 {
            network.send(0, 1, &payload(number, 2000));
            network.send(1, 1, &payload(number, 2000));
        }
        network.run(ms(20_000));
        for end in [0, 1] {
            assert_eq!(network.seen[end].messages.len() - before[end], 20, "{end}");
        }
        network.assert_consistent();
    }
    assert!(restarts >= 25, "{restarts}");
}

/// The old association notices that the peer has forgotten it, if it speaks first.
#[test]
fn who_speaks_to_a_peer_that_lost_its_memory_is_told() {
    let mut network = Network::up(1, 1, [quick(), quick()]);
    network.ends[0] = Endpoint::new(quick(), PORT, network.addresses[0].clone(), [9; 32]);
    network.send(1, 0, b"x");
    network.run(ms(10));
    assert!(network.seen[1].has(&Event::Down(DownReason::Aborted(None))));
    assert!(network.ends[1].is_empty());
}

/// From an address that the association does not have, nobody can take it over.
#[test]
fn a_restart_with_more_addresses_is_refused_and_the_association_lives() {
    let mut network = Network::up(2, 1, [quick(), quick()]);
    let own = vec![ip(0, 0), ip(0, 5)];
    let other = Endpoint::new(quick(), PORT, own, [9; 32]);
    let old = std::mem::replace(&mut network.ends[0], other);
    let id = network.seen[0].assoc;
    network.connect();
    network.run(ms(100));
    assert!(network.seen[0].has(&Event::Down(DownReason::Refused)));
    network.ends[0] = old;
    network.seen[0].assoc = id;
    network.send(1, 0, b"still here");
    network.run(ms(100));
    assert_eq!(network.seen[0].messages.len(), 1);
    assert_eq!(restarted(&network, 1), 0);
}

#[test]
fn both_dial_at_once_and_become_one_association() {
    for seed in 0..200 {
        let mut network =
            Network::new(seed, 1 + u8::try_from(seed % 3).unwrap(), [quick(), quick()]);
        network.ends[0].listen(true);
        let delay = ms(1 + seed % 20);
        network.impairment = Impairment { loss: 30, duplicates: 50, delay, jitter: ms(seed % 5) };
        network.connect();
        network.run(ms(seed % 40));
        let remotes: Vec<_> = network.addresses[0].iter().map(|ip| socket(*ip)).collect();
        // Where the first INIT has arrived and been answered already, there may be one.
        let _ = network.ends[1].connect(network.now, &remotes, PORT);
        let up = network.run_until(ms(30_000), |n| n.seen.iter().all(|seen| seen.up.is_some()));
        assert!(up, "seed {seed}");
        network.impairment = Impairment::default();
        network.run(ms(5000));
        assert_eq!((network.ends[0].len(), network.ends[1].len()), (1, 1), "seed {seed}");
        network.send(0, 0, b"one");
        network.send(1, 0, b"two");
        network.run(ms(2000));
        assert!(network.seen.iter().all(|seen| seen.messages.len() == 1), "seed {seed}");
    }
}

/// What is set up again right after an end is a new association.
#[test]
fn an_association_that_ended_can_begin_again_at_once() {
    for seed in 0..20 {
        let mut network = Network::up(seed, 2, [quick(), quick()]);
        for round in 0..10 {
            network.send(0, 0, &payload(round, 100));
            network.command(0, rserpool_sctp::Command::Shutdown);
            network.run(ms(50));
            assert!(network.ends.iter().all(Endpoint::is_empty));
            network.connect();
            network.run(ms(50));
        }
        assert_eq!(network.seen[1].messages.len(), 10);
    }
}

#[test]
fn limits_of_the_own_side_are_errors() {
    let config = Config { send_queue_max: 10_000, message_max: 5000, ..quick() };
    let mut network = Network::new(3, 1, [config.clone(), config]);
    network.connect();
    assert_eq!(network.try_send(0, 0, b"x"), Err(SendError::NotUp));
    network.run(ms(50));
    assert_eq!(network.try_send(0, 0, b""), Err(SendError::Empty));
    assert_eq!(network.try_send(0, 16, b"x"), Err(SendError::NoStream));
    assert_eq!(network.try_send(0, 0, &[0; 5001]), Err(SendError::TooLong));
    assert_eq!(network.try_send(0, 0, &[0; 5000]), Ok(()));
    assert_eq!(network.try_send(0, 0, &[0; 5000]), Ok(()));
    assert_eq!(network.try_send(0, 0, b"x"), Err(SendError::Full));
    network.run(ms(1000));
    assert!(network.seen[0].has(&Event::Writable));
    assert_eq!(network.try_send(0, 0, b"x"), Ok(()));
    let again = network.ends[0].connect(network.now, &[socket(ip(1, 0))], PORT);
    let id = network.seen[0].assoc.unwrap();
    assert_eq!(again, Err(rserpool_sctp::ConnectError::Connected(id)));
}
