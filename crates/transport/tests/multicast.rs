//! Announcements, over loopback and over whatever interface has IPv6 multicast.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test")]

use std::future::poll_fn;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::task::Poll;
use std::time::Duration;

use rserpool_transport::multicast::{Announcement, Announcer, Group, Listener};

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.local_addr().unwrap().port()
}

/// A group of this test's own, on loopback.
fn group(last: u8) -> Group {
    let ip = IpAddr::from([239, 255, 38, last]);
    Group::new(SocketAddr::new(ip, free_port())).through("lo")
}

async fn next(listener: &mut Listener) -> Announcement {
    let next = tokio::time::timeout(Duration::from_secs(60), listener.next());
    next.await.expect("nothing comes")
}

async fn is_silent(listener: &mut Listener) -> bool {
    poll_fn(|cx| Poll::Ready(listener.poll_next(cx).is_pending())).await
}

#[tokio::test]
async fn every_listener_of_the_host_hears_an_announcement_from_the_groups_port() {
    let group = group(1);
    let mut listeners = [Listener::join(&group).unwrap(), Listener::join(&group).unwrap()];
    let announcers = [Announcer::open(&group).unwrap(), Announcer::open(&group).unwrap()];
    let source = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), group.address.port());
    for (number, announcer) in announcers.iter().enumerate() {
        let octets = vec![u8::try_from(number).unwrap(); 1400];
        announcer.send(&octets).unwrap();
        for listener in &mut listeners {
            assert_eq!(next(listener).await, Announcement { octets: octets.clone(), source });
        }
    }
}

#[tokio::test]
async fn the_same_port_at_a_host_address_stays_apart() {
    let group = group(2);
    // As SCTP in UDP has it: its own, shared with nobody.
    let encapsulation = UdpSocket::bind((Ipv4Addr::LOCALHOST, group.address.port())).unwrap();
    encapsulation.set_nonblocking(true).unwrap();
    let mut listener = Listener::join(&group).unwrap();
    let announcer = Announcer::open(&group).unwrap();

    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    stranger.send_to(b"packet", encapsulation.local_addr().unwrap()).unwrap();
    announcer.send(b"announcement").unwrap();

    assert_eq!(next(&mut listener).await.octets, b"announcement");
    assert!(is_silent(&mut listener).await);
    let mut octets = [0; 100];
    assert_eq!(encapsulation.recv(&mut octets).unwrap(), 6);
    assert!(encapsulation.recv(&mut octets).is_err());
}

#[tokio::test]
async fn other_groups_at_the_same_port_are_not_heard() {
    let ours = group(3);
    let mut theirs = ours.clone();
    theirs.address.set_ip(IpAddr::from([239, 255, 38, 4]));
    let mut listener = Listener::join(&ours).unwrap();
    let mut other = Listener::join(&theirs).unwrap();
    Announcer::open(&theirs).unwrap().send(b"theirs").unwrap();
    Announcer::open(&ours).unwrap().send(b"ours").unwrap();
    assert_eq!(next(&mut listener).await.octets, b"ours");
    assert!(is_silent(&mut listener).await);
    assert_eq!(next(&mut other).await.octets, b"theirs");
    assert!(is_silent(&mut other).await);
}

#[tokio::test]
async fn without_an_interface_the_host_still_hears_itself() {
    let named = group(5);
    let group = Group { interface: None, ..named.clone() };
    let mut listener = match Listener::join(&group) {
        Ok(listener) => listener,
        Err(error) => panic!("{error}"),
    };
    Announcer::open(&group).unwrap().send(b"default").unwrap();
    assert_eq!(next(&mut listener).await.octets, b"default");
    Announcer::open(&named).unwrap().send(b"loopback").unwrap();
    assert_eq!(next(&mut listener).await.octets, b"loopback");
}

#[tokio::test]
async fn a_foreign_socket_costs_the_announcer_its_port_only() {
    let group = group(6);
    let _foreign = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, group.address.port())).unwrap();
    let announcer = Announcer::open(&group).unwrap();
    announcer.send(b"heard by nobody").unwrap();
    let error = Listener::join(&group).unwrap_err().to_string();
    let expected = format!("cannot use the multicast group {group}: the port is in use");
    assert_eq!(error, expected);
}

#[tokio::test]
async fn works_over_ipv6() {
    let mut group = Group::new(Group::asap_v6(2));
    assert_eq!(group.address.to_string(), "[ff02::133]:3863");
    group.address.set_port(free_port());
    for interface in std::fs::read_dir("/sys/class/net").unwrap() {
        let name = interface.unwrap().file_name().into_string().unwrap();
        let group = group.clone().through(&name);
        let (Ok(mut listener), Ok(announcer)) = (Listener::join(&group), Announcer::open(&group))
        else {
            continue;
        };
        if announcer.send(b"over IPv6").is_err() {
            continue;
        }
        let announcement = next(&mut listener).await;
        assert_eq!(announcement.octets, b"over IPv6");
        assert_eq!(announcement.source.port(), group.address.port());
        return;
    }
    let _ = writeln!(std::io::stderr(), "SKIPPED multicast over IPv6: no interface has it");
}

#[tokio::test]
async fn says_what_is_wrong() {
    let missing = group(7).through("none0");
    let expected = format!("cannot use the multicast group {missing}: no interface none0");
    assert_eq!(Listener::join(&missing).unwrap_err().to_string(), expected);
    assert_eq!(Announcer::open(&missing).unwrap_err().to_string(), expected);

    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        let unicast = Group::new(SocketAddr::new(ip, 3863));
        let error = Announcer::open(&unicast).unwrap_err().to_string();
        assert!(error.ends_with("that is not a multicast address"), "{error}");
    }
    let group = group(8);
    assert!(Announcer::open(&group).unwrap().send(&[0; 70_000]).is_err());
    assert_eq!(Group::new(Group::ASAP_V4).to_string(), "224.0.1.185:3863");
}
