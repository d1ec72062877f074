//! Several own addresses: peers are told of them, and of those that come and go.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::Error;

fn at(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 9, last])
}

/// An endpoint at these addresses.
fn bind_to(lasts: &[u8]) -> UserlandEndpoint {
    let hosts: Vec<String> = lasts.iter().map(|last| at(*last).to_string()).collect();
    bind_at(&format!("{}:0", hosts.join(",")), &Options::default())
}

fn set(addresses: &[IpAddr]) -> BTreeSet<IpAddr> {
    addresses.iter().copied().collect()
}

/// What each side knows of the addresses of both: its own, and its peer's.
#[derive(Default)]
struct Known([[BTreeSet<IpAddr>; 2]; 2]);

impl Known {
    fn note(&mut self, end: usize, local: &[IpAddr], remote: &[IpAddr]) {
        self.0[end] = [set(local), set(remote)];
    }

    /// Whether both know that they are at these.
    fn are(&self, a: &[u8], b: &[u8]) -> bool {
        let [a, b] =
            [a, b].map(|lasts| lasts.iter().map(|last| at(*last)).collect::<BTreeSet<_>>());
        self.0 == [[a.clone(), b.clone()], [b, a]]
    }

    /// Until both know that they are at these; messages that arrive meanwhile are counted.
    async fn become_as(
        &mut self,
        ends: &mut [UserlandEndpoint; 2],
        a: &[u8],
        b: &[u8],
    ) -> [usize; 2] {
        let mut messages = [0; 2];
        while !self.are(a, b) {
            let [one, two] = ends;
            match next(&mut [one, two]).await {
                (end, Event::Up { info, .. }) => self.note(end, &info.local, &info.remote),
                (end, Event::Addresses { local, remote, .. }) => self.note(end, &local, &remote),
                (end, Event::Message { .. }) => messages[end] += 1,
                (_, Event::Path { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        messages
    }
}

fn to(endpoint: &UserlandEndpoint) -> Remote {
    Remote { addresses: endpoint.local().addresses, ..loopback(endpoint) }
}

#[tokio::test(start_paused = true)]
async fn both_sides_know_all_addresses_that_their_users_have_named() {
    for (a, b) in [(&[1, 2][..], &[3, 4][..]), (&[1, 2, 5], &[3]), (&[1], &[3, 4])] {
        let mut ends = [bind_to(a), bind_to(b)];
        let remote = to(&ends[1]);
        ends[0].connect(&remote).unwrap();
        Known::default().become_as(&mut ends, a, b).await;
    }
}

/// One of two networks fails at both ends, as far as sockets can have it: nothing is lost, and after
/// the first message that was missed they go the other way.
#[tokio::test(start_paused = true)]
async fn an_address_that_is_gone_loses_nothing() {
    let mut ends = [bind_to(&[1, 2]), bind_to(&[3, 4])];
    let remote = to(&ends[1]);
    let assoc = ends[0].connect(&remote).unwrap();
    let mut known = Known::default();
    known.become_as(&mut ends, &[1, 2], &[3, 4]).await;

    // Its peer is not told: that is what a network that fails looks like.
    let gone = peer_of(&ends[0], assoc).ip();
    let [a, b] = &mut ends;
    let dead = b.sockets.iter().position(|socket| socket.address() == gone).unwrap();
    b.sockets.remove(dead);
    b.heard.remove(dead);
    let silent = std::net::UdpSocket::bind((gone, b.local.port)).unwrap();
    a.send(assoc, Ppid::ASAP, b"whatever becomes of it").unwrap();
    let begin = tokio::time::Instant::now();
    let mut lost = None;
    let mut arrived = None;
    while lost.is_none() || arrived.is_none() {
        match next(&mut [a, b]).await {
            (0, Event::Path { address, reachable: false, .. }) => lost = Some(address),
            (1, Event::Message { octets, .. }) => {
                assert_eq!(octets, b"whatever becomes of it");
                arrived = Some(begin.elapsed());
            }
            (1, Event::Path { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    drop(silent);
    assert_eq!(lost, Some(gone));
    let (arrived, rto) = (arrived.unwrap(), Options::default().rto.initial);
    assert!(arrived <= rto + Duration::from_millis(50), "{arrived:?}");
}

#[tokio::test(start_paused = true)]
async fn addresses_come_and_go() {
    for end in [0, 1] {
        let mut ends = [bind_to(&[1]), bind_to(&[3])];
        let remote = to(&ends[1]);
        let assoc = ends[0].connect(&remote).unwrap();
        let mut known = Known::default();
        known.become_as(&mut ends, &[1], &[3]).await;

        ends[end].add_address(at(7)).unwrap();
        assert!(matches!(ends[end].add_address(at(7)), Err(Error::System { .. })));
        let (old, new) = ([[1], [3]], [1 + 2 * u8::try_from(end).unwrap(), 7]);
        let now = |changed: &[u8]| {
            let mut both = old.map(|one| one.to_vec());
            both[end] = changed.to_vec();
            both
        };
        let [a, b] = now(&new);
        known.become_as(&mut ends, &a, &b).await;
        ends[end].remove_address(at(new[0])).unwrap();
        let [a, b] = now(&[7]);
        known.become_as(&mut ends, &a, &b).await;
        assert_eq!(ends[end].local().addresses, [at(7)]);

        // The association lives where nobody was at its beginning.
        ends[0].send(assoc, Ppid::ASAP, &[7; 5000]).unwrap();
        let [one, two] = &mut ends;
        let (1, Event::Message { octets, .. }) = next(&mut [one, two]).await else { panic!() };
        assert_eq!(octets, [7; 5000]);
        for wrong in [at(7), at(9)] {
            assert!(matches!(ends[end].remove_address(wrong), Err(Error::System { .. })));
        }
        let elsewhere = "192.0.2.1".parse().unwrap();
        assert!(matches!(ends[end].add_address(elsewhere), Err(Error::System { .. })));
        assert_eq!(ends[end].local().addresses, [at(7)]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_dials_from_several_addresses_tells_them() {
    let dial_from = vec![at(1), at(2)];
    let options = Options { dial_from, ..Options::default() };
    let mut ends = [UserlandEndpoint::dialer(&options).unwrap(), bind_to(&[3, 4])];
    let remote = to(&ends[1]);
    ends[0].connect(&remote).unwrap();
    Known::default().become_as(&mut ends, &[1, 2], &[3, 4]).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_everywhere_tells_none() {
    let mut ends = [bind_to(&[1]), bind_at("0.0.0.0:0", &Options::default())];
    let remote = remote(at(3), ends[1].local.port);
    ends[0].connect(&remote).unwrap();
    Known::default().become_as(&mut ends, &[1], &[3]).await;
    assert!(ends[1].host.is_none(), "no host but this one is there");
    assert!(matches!(ends[1].add_address(at(5)), Err(Error::System { .. })));
    assert!(matches!(ends[1].remove_address(at(3)), Err(Error::System { .. })));
}
