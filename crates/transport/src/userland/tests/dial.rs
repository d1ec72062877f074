//! Peers with several addresses, of which some do not answer.

use std::net::{Ipv6Addr, UdpSocket};

use rserpool_sctp::chunk::kind as chunk;
use rserpool_sctp::packet::HEADER;
use tokio::time::Instant;

use super::*;

/// A place of this port whose owner reads nothing.
fn silent_at(ip: Ipv4Addr, port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((ip, port)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn at(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

fn remote_of(addresses: &[Ipv4Addr], port: u16) -> Remote {
    Remote { addresses: addresses.iter().map(|ip| (*ip).into()).collect(), ..remote(at(1), port) }
}

#[tokio::test(start_paused = true)]
async fn a_dead_first_address_costs_a_head_start() {
    let (mut a, mut b) = (bind(), bind_at("127.0.0.5:0", &Options::default()));
    let port = b.local().port;
    let silent = [silent_at(at(3), port), silent_at(at(4), port)];
    let begin = Instant::now();
    let to = remote_of(&[at(3), at(4), at(5)], port);
    let (at_a, at_b) = dial(&mut a, &mut b, &to).await;
    assert!(begin.elapsed() < 3 * Options::default().head_start, "{:?}", begin.elapsed());
    assert_eq!(peer_of(&a, at_a), (at(5), port).into());
    // It goes there and nowhere else, and is known by that address only.
    a.send(at_a, Ppid::ASAP, &[7; 3000]).unwrap();
    let message = Event::Message { assoc: at_b, ppid: Ppid::ASAP, octets: vec![7; 3000] };
    assert_eq!(next(&mut [&mut a, &mut b]).await, (1, message));
    for silent in &silent {
        let mut octets = [0; 2000];
        let kinds: Vec<u8> =
            std::iter::from_fn(|| silent.recv(&mut octets).ok().map(|_| octets[HEADER])).collect();
        assert!(!kinds.is_empty() && kinds.iter().all(|kind| *kind == chunk::INIT), "{kinds:?}");
    }
    assert_eq!(a.engine.with_remote((at(3), port).into(), port), None);
    let error = a.connect(&to).unwrap_err();
    assert!(matches!(error, crate::Error::Connected(assoc) if assoc == at_a));
    a.abort(at_a);
    assert_eq!(a.engine.with_remote((at(5), port).into(), port), None);
    // The same peer again, as if it was the first time.
    a.connect(&to).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_leads_to_the_next_address_at_once() {
    let (mut a, mut b) = (bind(), bind_at("127.0.0.5:0", &Options::default()));
    // Nobody is there, so the host says so; and a peer says so that does not listen.
    let port = b.local().port;
    let begin = Instant::now();
    let (at_a, _) = dial(&mut a, &mut b, &remote_of(&[at(3), at(4), at(5)], port)).await;
    assert!(begin.elapsed() < Options::default().head_start, "{:?}", begin.elapsed());
    assert_eq!(a.statistics().unreachable, 2);
    a.abort(at_a);

    let all = remote_of(&[at(3), at(4)], port);
    let assoc = a.connect(&all).unwrap();
    assert_eq!(next(&mut [&mut a]).await, (0, down(assoc, DownReason::Refused)));
    assert_eq!(a.statistics().associations, 0);
}

#[tokio::test(start_paused = true)]
async fn gives_up_at_the_deadline_whichever_addresses_there_are() {
    let mut a = bind();
    let port = a.local().port;
    let _silent = [silent_at(at(3), port), silent_at(at(4), port)];
    let begin = Instant::now();
    // The middle one refuses.
    let assoc = a.connect(&remote_of(&[at(3), at(5), at(4)], port)).unwrap();
    assert_eq!(next(&mut [&mut a]).await, (0, down(assoc, DownReason::Timeout)));
    let late = begin.elapsed() - Options::default().connect_timeout;
    assert!(late <= std::time::Duration::from_millis(2), "{late:?}");
    for ip in [at(3), at(4), at(5)] {
        assert_eq!(a.engine.with_remote((ip, port).into(), port), None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_of_a_family_without_route_costs_nothing() {
    let mut a = UserlandEndpoint::dialer(&Options::default()).unwrap();
    let mut b = bind();
    let begin = Instant::now();
    // An address of documentation: no host has a route to it but by a default one.
    let nowhere = "2001:db8::1".parse::<Ipv6Addr>().unwrap();
    let to = Remote { addresses: vec![nowhere.into(), at(1).into()], ..loopback(&b) };
    dial(&mut a, &mut b, &to).await;
    assert!(begin.elapsed() < 2 * Options::default().head_start);
}

#[tokio::test(start_paused = true)]
async fn two_that_dial_each_other_by_several_addresses_are_one_association() {
    let (mut a, mut b) =
        (bind_at("127.0.0.3:0", &Options::default()), bind_at("127.0.0.5:0", &Options::default()));
    let (to_a, to_b) = (a.local().port, b.local().port);
    let _silent = [silent_at(at(2), to_a), silent_at(at(2), to_b)];
    let dialed = [
        a.connect(&remote_of(&[at(2), at(5)], to_b)).unwrap(),
        b.connect(&remote_of(&[at(2), at(3)], to_a)).unwrap(),
    ];
    let mut names = [None; 2];
    while names.iter().any(Option::is_none) {
        match next(&mut [&mut a, &mut b]).await {
            (index, Event::Up { assoc, .. }) => names[index] = Some(assoc),
            (index, Event::Down { assoc, reason: DownReason::Restarted }) => {
                assert_eq!(Some(assoc), names[index].take());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((a.statistics().associations, b.statistics().associations), (1, 1), "{dialed:?}");
    a.send(names[0].unwrap(), Ppid::ASAP, b"hello").unwrap();
    let octets = b"hello".to_vec();
    let message = Event::Message { assoc: names[1].unwrap(), ppid: Ppid::ASAP, octets };
    assert_eq!(next(&mut [&mut a, &mut b]).await, (1, message));
}

#[tokio::test]
async fn leaves_from_the_address_that_is_asked_for() {
    let options = Options { dial_from: vec![at(9).into()], ..Options::default() };
    for mut client in [
        UserlandEndpoint::dialer(&options).unwrap(),
        bind_at("[::]:0", &options),
        bind_at("0.0.0.0:0", &options),
    ] {
        let mut server = bind();
        let dialed = client.connect(&loopback(&server)).unwrap();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            match next(&mut [&mut client, &mut server]).await {
                (0, Event::Up { assoc, .. }) => {
                    assert_eq!(assoc, dialed);
                    seen.push(None);
                }
                (1, Event::Up { info, .. }) => seen.push(Some(info.remote)),
                other => panic!("{other:?}"),
            }
        }
        assert!(seen.contains(&Some(vec![at(9).into()])), "{seen:?}");
    }
    let mut client = UserlandEndpoint::dialer(&options).unwrap();
    let error = client.connect(&remote(Ipv4Addr::new(192, 0, 2, 1), 3863)).unwrap_err();
    assert!(error.to_string().contains("192.0.2.1 cannot be reached from 127.0.0.9"), "{error}");
}
