//! Associations over several addresses.

use std::net::IpAddr;

use rserpool_transport::{Endpoint, Error, Event, Ppid};

use crate::lab::{
    Hole, associate, bind, elsewhere, impatient, message, next, remote, say, set, skips, up,
};

// Checklist 42.
#[tokio::test]
async fn an_association_has_all_addresses_of_both_sides() {
    if skips() {
        return;
    }
    let mut server = bind("127.0.0.1,[::1],127.0.0.2");
    let mut client = bind("127.0.0.3,[::1]");
    let there = client.connect(&remote(&server)).unwrap();
    let (assoc, near) = up(&mut client).await;
    assert_eq!((assoc, near.dialed, near.local_port), (there, true, client.local().port));
    let (_, far) = up(&mut server).await;
    assert_eq!((far.dialed, far.local_port), (false, server.local().port));
    for (info, own, peer) in [(&near, &client, &server), (&far, &server, &client)] {
        assert_eq!(set(&info.local), set(&own.local().addresses));
        assert_eq!(set(&info.remote), set(&peer.local().addresses));
        assert_eq!(info.remote_port, peer.local().port);
    }
}

#[tokio::test]
async fn reaches_a_peer_whose_first_address_is_dead() {
    if skips() || elsewhere() {
        return;
    }
    let (mut server, mut client) = (bind("127.0.0.1,127.0.0.2"), bind("127.0.0.3"));
    // Nobody is there, and nobody says so.
    let _hole = Hole::at("127.9.0.1");
    let mut to = remote(&server);
    to.addresses.insert(0, "127.9.0.1".parse().unwrap());
    let there = client.connect(&to).unwrap();
    let (assoc, info) = up(&mut client).await;
    assert_eq!((assoc, set(&info.remote)), (there, set(&server.local().addresses)));
    up(&mut server).await;
}

#[tokio::test]
async fn a_dead_path_is_told_and_nothing_is_lost() {
    if skips() || elsewhere() {
        return;
    }
    let (mut server, mut client) = (impatient("127.9.1.1,127.9.1.2"), impatient("127.9.1.3"));
    let (there, here) = associate(&mut client, &mut server).await;
    let dead: IpAddr = "127.9.1.1".parse().unwrap();
    let path = |reachable| Event::Path { assoc: there, address: dead, reachable };

    let hole = Hole::at("127.9.1.1");
    client.send(there, Ppid::ASAP, b"over the other path").unwrap();
    assert_eq!(next(&mut server).await, message(here, Ppid::ASAP, b"over the other path"));
    assert_eq!(next(&mut client).await, path(false));
    drop(hole);
    assert_eq!(next(&mut client).await, path(true));
}

#[tokio::test]
async fn addresses_come_and_go() {
    if skips() {
        return;
    }
    let addip = std::fs::read_to_string("/proc/sys/net/sctp/addip_enable").unwrap();
    if addip.trim() == "0" {
        return say("SKIPPED, addresses cannot change: sysctl -w net.sctp.addip_enable=1");
    }
    let (mut server, mut client) = (bind("127.0.0.1"), bind("127.0.0.1"));
    let (there, here) = associate(&mut client, &mut server).await;
    let (one, two): (IpAddr, IpAddr) = ("127.0.0.1".parse().unwrap(), "127.0.0.4".parse().unwrap());

    server.add_address(two).unwrap();
    assert_eq!(server.local().addresses, [one, two]);
    let Event::Addresses { assoc, remote, local } = next(&mut client).await else {
        panic!("not told")
    };
    assert_eq!(local, [one]);
    assert_eq!((assoc, set(&remote)), (there, set(&[one, two])));

    server.remove_address(one).unwrap();
    assert_eq!(server.local().addresses, [two]);
    let told = Event::Addresses { assoc: there, remote: vec![two], local: vec![one] };
    assert_eq!(next(&mut client).await, told);

    client.send(there, Ppid::ASAP, b"to the new address").unwrap();
    assert_eq!(next(&mut server).await, message(here, Ppid::ASAP, b"to the new address"));
    assert!(matches!(server.remove_address(two), Err(Error::System { .. })), "it is the last");
    assert!(matches!(server.add_address("192.0.2.1".parse().unwrap()), Err(Error::System { .. })));
    assert_eq!(server.local().addresses, [two]);
}
