//! Peers that name several addresses.

use std::net::UdpSocket;
use std::time::Duration;

use rserpool_sctp::chunk::kind;
use rserpool_sctp::packet::HEADER;

use super::forger::{Forger, cookie_echo, init, packet};
use super::*;

const NAMED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// An INIT that names two addresses.
fn naming_init() -> Vec<u8> {
    let mut octets = init(77);
    octets[3] = 36;
    for address in [Ipv4Addr::LOCALHOST, NAMED] {
        octets.extend_from_slice(&[0, 5, 0, 8]);
        octets.extend_from_slice(&address.octets());
    }
    octets
}

#[tokio::test(start_paused = true)]
async fn an_address_that_a_peer_names_counts_once_it_has_answered() {
    let mut endpoint = bind_at("0.0.0.0:0", &Options::default());
    let forger = Forger::new(&endpoint);
    let udp = forger.socket.local_addr().unwrap().port();
    let named = UdpSocket::bind((NAMED, udp)).unwrap();
    named.set_nonblocking(true).unwrap();
    let (tag, cookie) = forger.cookie_for(&mut endpoint, 5000, &naming_init()).await;
    let mut octets = [0; 2000];
    assert!(named.recv(&mut octets).is_err(), "nothing goes there before there is an association");
    forger.send(5000, tag, &cookie_echo(&cookie));
    let (_, Event::Up { assoc, info }) = next(&mut [&mut endpoint]).await else { panic!() };
    assert_eq!(info.remote, [IpAddr::from(Ipv4Addr::LOCALHOST)]);
    endpoint.send(assoc, Ppid::ASAP, &[7; 100]).unwrap();

    let length = loop {
        settle(&mut endpoint).await;
        if let Ok(length) = named.recv(&mut octets) {
            break length;
        }
        tokio::time::advance(Duration::from_millis(10)).await;
    };
    // It is asked whether it is there, and gets nothing else.
    assert_eq!(octets[HEADER], kind::HEARTBEAT);
    octets[HEADER] = kind::HEARTBEAT_ACK;
    let answer = packet([5000, forger.to.1], tag, &octets[HEADER..length]);
    named.send_to(&answer, forger.to).unwrap();
    let (_, event) = next(&mut [&mut endpoint]).await;
    let Event::Addresses { assoc: of, remote, .. } = event else { panic!("{event:?}") };
    assert_eq!((of, remote), (assoc, vec![Ipv4Addr::LOCALHOST.into(), NAMED.into()]));

    // Only this one answers from now on: the other is reported, and messages go here.
    let mut lost = None;
    let mut messages = 0;
    while lost.is_none() || messages == 0 {
        tokio::time::advance(Duration::from_millis(10)).await;
        if let Poll::Ready(event) = poll_fn(|cx| Poll::Ready(endpoint.poll_event(cx))).await {
            match event {
                Event::Path { address, reachable: false, .. } => lost = Some(address),
                other => assert!(is_congestion(&other), "{other:?}"),
            }
        }
        while let Ok(length) = named.recv(&mut octets) {
            if octets[HEADER] == kind::DATA {
                messages += 1;
                let mut sack = [3, 0, 0, 16, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
                sack[4..8].copy_from_slice(&octets[HEADER + 4..HEADER + 8]);
                named.send_to(&packet([5000, forger.to.1], tag, &sack), forger.to).unwrap();
            }
            if octets[HEADER] == kind::HEARTBEAT {
                octets[HEADER] = kind::HEARTBEAT_ACK;
                let answer = packet([5000, forger.to.1], tag, &octets[HEADER..length]);
                named.send_to(&answer, forger.to).unwrap();
            }
        }
    }
    assert_eq!(lost, Some(Ipv4Addr::LOCALHOST.into()));
}
