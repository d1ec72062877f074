//! Senders that are not who they say, and packets that are none.

use std::time::Duration;

use rserpool_sctp::chunk::kind as chunk;
use rserpool_sctp::packet::HEADER;

use super::super::fuzzing::word;
use super::forger::{Forger, cookie_echo, init, packet};
use super::*;

#[tokio::test]
async fn takes_its_own_cookie_back_from_whom_it_gave_it_to() {
    let mut endpoint = bind();
    let forger = Forger::new(&endpoint);
    let (tag, cookie) = forger.cookie(&mut endpoint, 5000).await;
    forger.send(5000, tag, &cookie_echo(&cookie));
    let (_, Event::Up { info, .. }) = next(&mut [&mut endpoint]).await else { panic!() };
    assert_eq!(info.remote_port, 5000);
    assert_eq!(forger.receive().unwrap()[HEADER], chunk::COOKIE_ACK);

    // Echoed again, the COOKIE ACK may have been lost, it is no second association.
    forger.send(5000, tag, &cookie_echo(&cookie));
    settle(&mut endpoint).await;
    assert_eq!(forger.receive().unwrap()[HEADER], chunk::COOKIE_ACK);
    assert_eq!(endpoint.statistics().associations, 1);
}

#[tokio::test]
async fn refuses_cookies_that_it_did_not_give_to_this_peer() {
    let (mut endpoint, mut other) = (bind(), bind());
    let forger = Forger::new(&endpoint);
    let (tag, cookie) = forger.cookie(&mut endpoint, 5000).await;
    let mut refused = 0;
    for at in 0..cookie.len() {
        let mut forged = cookie.clone();
        forged[at] ^= 0x10;
        // Where it is the tag that was forged, the packet has it too.
        let tag = if (34..38).contains(&at) { word(&forged, 34) } else { tag };
        forger.send(5000, tag, &cookie_echo(&forged));
        refused += 1;
    }
    // The cookie without its MAC; cut short; longer.
    let end = cookie.len();
    for cookie in [&cookie[..end - 32], &cookie[..end - 1], &[&cookie[..], &[0; 4]].concat()] {
        forger.send(5000, tag, &cookie_echo(cookie));
        refused += 1;
    }
    // From another port, from another address, with another tag, with the cookie of somebody else.
    forger.send(5001, tag, &cookie_echo(&cookie));
    Forger::at("127.0.0.2", &endpoint).send(5000, tag, &cookie_echo(&cookie));
    forger.send(5000, tag ^ 1, &cookie_echo(&cookie));
    let (foreign_tag, foreign) = Forger::new(&other).cookie(&mut other, 5000).await;
    forger.send(5000, foreign_tag, &cookie_echo(&foreign));
    refused += 4;

    settle(&mut endpoint).await;
    assert_eq!(endpoint.statistics().cookies_refused, refused);
    assert_eq!(endpoint.statistics().associations, 0);
    assert_eq!(forger.receive(), None);
}

#[tokio::test(start_paused = true)]
async fn refuses_a_cookie_that_is_a_minute_old() {
    let mut endpoint = bind();
    let forger = Forger::new(&endpoint);
    let (tag, cookie) = forger.cookie(&mut endpoint, 5000).await;
    tokio::time::advance(Duration::from_millis(60_002)).await;
    forger.send(5000, tag, &cookie_echo(&cookie));
    settle(&mut endpoint).await;
    assert_eq!(endpoint.statistics().cookies_refused, 1);
    assert_eq!(endpoint.statistics().associations, 0);
}

#[tokio::test]
async fn a_flood_of_inits_leaves_nothing() {
    const INITS: u32 = 20_000;
    let mut endpoint = bind();
    let forger = Forger::new(&endpoint);
    let route = super::super::encapsulation::Route {
        socket: 0,
        local: None,
        remote: forger.socket.local_addr().unwrap(),
    };
    for number in 1..=INITS {
        // Straight in: the way over the socket would only cost time.
        let source = u16::try_from(number % 65_535).unwrap() + 1;
        endpoint.on_datagram(route, &packet([source, endpoint.local.port], 0, &init(number)));
    }
    endpoint.flush();
    assert!(forger.receive().is_some(), "they were answered");
    settle(&mut endpoint).await;
    assert_eq!(endpoint.statistics().associations, 0);
    assert!(endpoint.engine.is_empty() && endpoint.engine.next_timeout().is_none());
    assert_eq!((endpoint.events.len(), endpoint.events.capacity()), (0, 0));

    // And a peer that means it comes through.
    let mut client = bind();
    connected(&mut client, &mut endpoint).await;
}

// Checklist 46.
#[tokio::test]
async fn counts_what_is_no_packet() {
    let mut endpoint = bind();
    let forger = Forger::new(&endpoint);
    let mut wrong = packet([5000, forger.to.1], 0, &init(1));
    wrong[8] ^= 1;
    for octets in [&wrong[..], b"", b"an announcement of another protocol", &wrong[..12]] {
        forger.socket.send_to(octets, forger.to).unwrap();
    }
    settle(&mut endpoint).await;
    assert_eq!(endpoint.statistics().checksum_errors, 4);

    let rules = [
        (0, vec![chunk::DATA, 3, 0, 17, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]),
        // No initiate tag, too short, with a tag in the header, in company.
        (0, init(0)),
        (0, vec![chunk::INIT, 0, 0, 8, 0, 0, 0, 1]),
        (9, init(1)),
        (0, [&init(1)[..], &[chunk::COOKIE_ACK, 0, 0, 4]].concat()),
        // Lengths that do not fit.
        (9, vec![chunk::COOKIE_ACK, 0, 0, 3]),
        (9, vec![chunk::COOKIE_ACK, 0, 0, 5]),
    ];
    for (tag, chunks) in &rules {
        forger.send(5000, *tag, chunks);
    }
    settle(&mut endpoint).await;
    assert_eq!(endpoint.statistics().malformed, rules.len() as u64);
    assert_eq!(endpoint.counters().malformed, 4 + rules.len() as u64);
    assert_eq!(forger.receive(), None, "nobody is answered");
}

#[tokio::test]
async fn answers_packets_out_of_the_blue() {
    let mut endpoint = bind();
    let forger = Forger::new(&endpoint);
    // What comes, and what answers it (RFC 9260 §8.4): type, flags.
    let answers = [
        (vec![4, 0, 0, 8, 0, 1, 0, 4], Some([chunk::ABORT, 1])),
        (vec![chunk::SHUTDOWN_ACK, 0, 0, 4], Some([chunk::SHUTDOWN_COMPLETE, 1])),
        (vec![chunk::ABORT, 0, 0, 4], None),
        (vec![chunk::ABORT, 1, 0, 4], None),
        (vec![4, 0, 0, 8, 0, 1, 0, 4, chunk::ABORT, 0, 0, 4], None),
        (vec![chunk::SHUTDOWN_COMPLETE, 1, 0, 4], None),
        (vec![chunk::COOKIE_ACK, 0, 0, 4], None),
        (vec![chunk::ERROR, 0, 0, 4], Some([chunk::ABORT, 1])),
        // A cookie that has become stale.
        (vec![chunk::ERROR, 0, 0, 12, 0, 3, 0, 8, 0, 0, 0, 1], None),
    ];
    for (chunks, expected) in &answers {
        forger.send(5000, 0x1234_5678, chunks);
        settle(&mut endpoint).await;
        let answer = forger.receive();
        assert_eq!(answer.as_ref().map(|a| [a[HEADER], a[HEADER + 1]]), *expected, "{chunks:?}");
        if let Some(answer) = answer {
            assert_eq!(answer, packet([forger.to.1, 5000], 0x1234_5678, &answer[HEADER..]));
        }
    }
    assert_eq!(endpoint.statistics().out_of_the_blue, answers.len() as u64);

    // An INIT for another SCTP port: nobody listens there.
    let stray = packet([5000, forger.to.1 ^ 1], 0, &init(99));
    forger.socket.send_to(&stray, forger.to).unwrap();
    settle(&mut endpoint).await;
    let refusal = packet([forger.to.1 ^ 1, 5000], 99, &[chunk::ABORT, 0, 0, 4]);
    assert_eq!(forger.receive(), Some(refusal));
}

#[tokio::test]
async fn nobody_without_the_tag_ends_an_association() {
    let (mut a, mut b) = (bind(), bind());
    let (at_a, _) = connected(&mut a, &mut b).await;
    let [tag, peer_tag] = tags(&a, at_a);
    let ports = [b.local.port, a.local.port];
    // As from the peer's own socket: an address is easily forged.
    let remote = peer_of(&a, at_a);
    let route = super::super::encapsulation::Route { socket: 0, local: None, remote };
    let abort = |flags| [chunk::ABORT, flags, 0, 4];
    for (tag, chunks) in [
        (tag ^ 1, &abort(0)[..]),
        (peer_tag, &abort(0)),
        (tag, &abort(1)),
        (peer_tag ^ 1, &abort(1)),
        (tag ^ 1, &[chunk::SHUTDOWN, 0, 0, 8, 0, 0, 0, 0]),
        (tag ^ 1, &[chunk::SHUTDOWN_ACK, 0, 0, 4]),
        // What a COOKIE ECHO does not prove may not ride on it.
        (tag ^ 1, &[&cookie_echo(&[0; 48])[..], &abort(0)].concat()),
        (tag ^ 1, &cookie_echo(&[0; 88])),
        (0, &init(1)),
    ] {
        a.on_datagram(route, &packet(ports, tag, chunks));
    }
    settle(&mut a).await;
    assert_eq!(a.statistics().associations, 1);

    a.on_datagram(route, &packet(ports, peer_tag, &abort(1)));
    assert_eq!(next(&mut [&mut a]).await, (0, down(at_a, DownReason::Reset)));
}
