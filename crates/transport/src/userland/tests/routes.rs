//! Addresses and ports: wildcards, several addresses, other encapsulation ports, ports that move.

use std::net::{Ipv6Addr, UdpSocket};

use rserpool_sctp::crc::seal;

use super::*;
use crate::multicast;

#[tokio::test]
async fn answers_from_the_address_that_the_peer_used() {
    let mut server = bind_at("0.0.0.0:0", &Options::default());
    let mut client = bind();
    let to = remote([127, 0, 0, 5], server.local().port);
    let dialed = client.connect(&to).unwrap();
    let mut ups = 0;
    while ups < 2 {
        let (index, Event::Up { assoc, info }) = next(&mut [&mut client, &mut server]).await else {
            panic!()
        };
        if index == 0 {
            assert_eq!((assoc, &info.remote), (dialed, &to.addresses));
        } else {
            assert_eq!(info.local, [IpAddr::from([127, 0, 0, 5])]);
            server.send(assoc, Ppid::ASAP, b"from where?").unwrap();
        }
        ups += 1;
    }
    // The client would count an answer from elsewhere, but on a network it would not get here.
    let (0, Event::Message { .. }) = next(&mut [&mut client, &mut server]).await else { panic!() };
    let from = peer_of(&client, dialed);
    assert_eq!(from.ip(), to.addresses[0]);
}

#[tokio::test]
async fn listens_for_both_families_at_the_wildcard() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return eprintln!("SKIPPED: this host has no IPv6");
    }
    let mut server = bind_at("[::]:0", &Options::default());
    let mut client = UserlandEndpoint::dialer(&Options::default()).unwrap();
    let port = server.local().port;
    for ip in [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)] {
        let (near, far) = dial(&mut client, &mut server, &remote(ip, port)).await;
        server.send(far, Ppid::ASAP, &[7; 3000]).unwrap();
        let message = Event::Message { assoc: near, ppid: Ppid::ASAP, octets: vec![7; 3000] };
        assert_eq!(next(&mut [&mut client, &mut server]).await, (0, message));
    }
    assert_eq!(server.statistics().associations, 2);
}

// Checklist 44, 45.
#[tokio::test]
async fn listens_on_every_address_and_at_another_udp_port() {
    let spare = UdpSocket::bind(("127.0.0.2", 0)).unwrap().local_addr().unwrap().port();
    let url = format!("127.0.0.2,127.0.0.3:3863?encap={spare}");
    let mut server = bind_at(&url, &Options::default());
    assert_eq!(server.local().port, 3863);
    for last in [2, 3] {
        let mut client = bind();
        let to = Remote { encapsulation: Some(spare), ..remote([127, 0, 0, last], 3863) };
        let (_, far) = dial(&mut client, &mut server, &to).await;
        let local = server.engine.way(association_id(far)).unwrap().local;
        assert_eq!(local, Some([127, 0, 0, last].into()));
        server.abort(far);
    }
    // Without it the UDP port would be the SCTP port, where nobody is.
    let mut client = bind();
    let wrong = client.connect(&remote([127, 0, 0, 2], 3863)).unwrap();
    assert_eq!(next(&mut [&mut client]).await, (0, down(wrong, DownReason::Refused)));
}

#[tokio::test]
async fn shares_its_port_with_announcements_and_with_nobody_else() {
    for groups_first in [false, true] {
        let free = UdpSocket::bind(("0.0.0.0", 0)).unwrap().local_addr().unwrap().port();
        let address = (Ipv4Addr::new(239, 1, 2, 3), free).into();
        let group = multicast::Group::new(address).through("lo");
        let listener = groups_first.then(|| multicast::Listener::join(&group).unwrap());
        let mut server = bind_at(&format!("0.0.0.0:{free}"), &Options::default());
        let _listener = listener.unwrap_or_else(|| multicast::Listener::join(&group).unwrap());
        let mut client = bind();
        connected(&mut client, &mut server).await;

        for host in ["0.0.0.0", "127.0.0.1"] {
            let url = format!("sctp+udp://{host}:{free}").parse().unwrap();
            let second = UserlandEndpoint::bind(&url, &Options::default());
            let why = second.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(why.ends_with("the port is in use"), "{host}: {why}");
        }
        // Announcements do not come to the endpoint.
        multicast::Announcer::open(&group).unwrap().send(b"here I am").unwrap();
        settle(&mut server).await;
        assert_eq!(server.statistics().checksum_errors, 0);
    }
}

#[tokio::test]
async fn refuses_to_be_dialed_where_it_only_dials() {
    let (mut a, mut b) = (bind(), UserlandEndpoint::dialer(&Options::default()).unwrap());
    assert!(b.local().addresses.is_empty());
    let assoc = a.connect(&loopback(&b)).unwrap();
    assert_eq!(next(&mut [&mut a, &mut b]).await, (0, down(assoc, DownReason::Refused)));
    // By the ABORT of the peer, not by the network.
    assert_eq!((a.statistics().unreachable, b.statistics().out_of_the_blue), (0, 1));
}

// Checklist 44, 47.
#[tokio::test]
async fn the_udp_port_moves_with_the_right_tag_only() {
    let (mut a, mut b) = (bind(), bind());
    let (at_a, _) = connected(&mut a, &mut b).await;
    let to = (Ipv4Addr::LOCALHOST, a.local.port);
    let (before, [tag, _]) = (peer_of(&a, at_a), tags(&a, at_a));
    let ports = [b.local.port, a.local.port];
    let elsewhere = UdpSocket::bind(("127.0.0.1", 0)).unwrap();

    elsewhere.send_to(&heartbeat(ports, tag ^ 1), to).unwrap();
    elsewhere.send_to(&heartbeat([ports[0] ^ 1, ports[1]], tag), to).unwrap();
    settle(&mut a).await;
    assert_eq!(peer_of(&a, at_a), before);
    assert_eq!(a.statistics().out_of_the_blue, 2);

    elsewhere.send_to(&heartbeat(ports, tag), to).unwrap();
    settle(&mut a).await;
    assert_eq!(peer_of(&a, at_a), elsewhere.local_addr().unwrap());
    assert_eq!(a.engine.with_remote(before, ports[0]), None);
    // An ABORT and one more for the strangers, the answer for the peer.
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let mut octets = [0; 100];
        elsewhere.recv(&mut octets).unwrap();
        kinds.push(octets[12]);
    }
    assert_eq!(kinds, [6, 6, 5]);
}

fn heartbeat(ports: [u16; 2], tag: u32) -> Vec<u8> {
    let mut octets = Vec::new();
    octets.extend_from_slice(&ports[0].to_be_bytes());
    octets.extend_from_slice(&ports[1].to_be_bytes());
    octets.extend_from_slice(&tag.to_be_bytes());
    octets.extend_from_slice(&[0; 4]);
    octets.extend_from_slice(&[4, 0, 0, 12, 0, 1, 0, 8, 1, 2, 3, 4]);
    seal(&mut octets);
    octets
}

/// A link-local address of this host, and the name of its interface.
fn link_local() -> Option<(Ipv6Addr, String)> {
    let all = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    all.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let ip = Ipv6Addr::from(u128::from_str_radix(words.next()?, 16).ok()?);
        ip.is_unicast_link_local().then_some((ip, words.last()?.to_owned()))
    })
}

#[tokio::test]
async fn dials_a_link_local_address_over_its_interface() {
    let Some((ip, interface)) = link_local() else {
        return eprintln!("SKIPPED: this host has no link-local address");
    };
    // What is for an own address does not leave the host.
    let mut server = bind_at(&format!("[{ip}%{interface}]:0"), &Options::default());
    let port = server.local().port;
    let url: Address = format!("sctp+udp://[{ip}%{interface}]:{port}").parse().unwrap();
    let to = url.resolve().await.unwrap();
    for mut client in [
        UserlandEndpoint::dialer(&Options::default()).unwrap(),
        bind_at(&format!("[{ip}%{interface}]:0"), &Options::default()),
    ] {
        let (near, far) = dial(&mut client, &mut server, &to).await;
        client.send(near, Ppid::ASAP, &[7; 3000]).unwrap();
        let message = Event::Message { assoc: far, ppid: Ppid::ASAP, octets: vec![7; 3000] };
        assert_eq!(next(&mut [&mut client, &mut server]).await, (1, message));
        server.abort(far);
    }
}
