//! Two or more endpoints in one task, peers that vanish without a word, and forgers on plain sockets.

mod addresses;
mod dial;
mod forger;
mod forgery;
mod fragments;
mod loss;
mod mutation;
mod paths;
mod routes;
mod shutdown;
mod size;

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::task::Poll;

use super::UserlandEndpoint;
use super::endpoint::{engine, settings};
use super::table::{Table, association_id};
use crate::{Address, AssocId, DownReason, Endpoint, Event, Options, Ppid, Remote, Scheme};

fn bind() -> UserlandEndpoint {
    bind_at("127.0.0.1:0", &Options::default())
}

fn bind_at(at: &str, options: &Options) -> UserlandEndpoint {
    let url: Address = format!("sctp+udp://{at}").parse().unwrap();
    UserlandEndpoint::bind(&url, options).unwrap()
}

fn remote(ip: impl Into<IpAddr>, port: u16) -> Remote {
    let addresses = vec![ip.into()];
    Remote {
        scheme: Scheme::UserlandSctp,
        addresses,
        port,
        encapsulation: None,
        zone: 0,
        expected: Default::default(),
    }
}

fn loopback(endpoint: &UserlandEndpoint) -> Remote {
    remote(Ipv4Addr::LOCALHOST, endpoint.local().port)
}

/// The next event of any of the endpoints, but for congestion.
async fn next(endpoints: &mut [&mut UserlandEndpoint]) -> (usize, Event) {
    poll_fn(|cx| {
        for (index, endpoint) in endpoints.iter_mut().enumerate() {
            while let Poll::Ready(event) = endpoint.poll_event(cx) {
                if !is_congestion(&event) {
                    return Poll::Ready((index, event));
                }
            }
        }
        Poll::Pending
    })
    .await
}

fn is_congestion(event: &Event) -> bool {
    matches!(event, Event::Congested { .. } | Event::Drained { .. })
}

/// Lets an endpoint do what there is to do now; no event may come of it, but for
/// congestion.
async fn settle(endpoint: &mut UserlandEndpoint) {
    for _ in 0..8 {
        let event = poll_fn(|cx| Poll::Ready(endpoint.poll_event(cx))).await;
        let is_quiet = matches!(&event, Poll::Ready(event) if is_congestion(event));
        assert!(is_quiet || event.is_pending(), "{event:?}");
        tokio::task::yield_now().await;
    }
}

/// Dials from `a` and waits until both are up.
async fn dial(
    a: &mut UserlandEndpoint,
    b: &mut UserlandEndpoint,
    to: &Remote,
) -> (AssocId, AssocId) {
    let dialed = a.connect(to).unwrap();
    let mut accepted = None;
    let mut up = false;
    loop {
        match next(&mut [a, b]).await {
            (0, Event::Up { assoc, info }) => {
                assert!(assoc == dialed && info.dialed);
                up = true;
            }
            (1, Event::Up { assoc, info }) => {
                assert!(!info.dialed);
                accepted = Some(assoc);
            }
            other => panic!("{other:?}"),
        }
        if let (true, Some(accepted)) = (up, accepted) {
            return (dialed, accepted);
        }
    }
}

async fn connected(a: &mut UserlandEndpoint, b: &mut UserlandEndpoint) -> (AssocId, AssocId) {
    let to = loopback(b);
    dial(a, b, &to).await
}

/// Ends an endpoint as SIGKILL would: nobody is told, the port is closed.
fn kill(mut endpoint: UserlandEndpoint) {
    forget(&mut endpoint);
}

/// Lets an endpoint forget all associations, as a process that has begun anew.
fn forget(endpoint: &mut UserlandEndpoint) {
    endpoint.table = Table::default();
    endpoint.engine = engine(settings(&endpoint.options), endpoint.local.port, Vec::new()).unwrap();
}

/// The own tag of an association and its peer's.
fn tags(endpoint: &UserlandEndpoint, assoc: AssocId) -> [u32; 2] {
    endpoint.engine.tags(association_id(assoc)).unwrap()
}

/// Where an association sends to.
fn peer_of(endpoint: &UserlandEndpoint, assoc: AssocId) -> std::net::SocketAddr {
    endpoint.engine.way(association_id(assoc)).unwrap().remote
}

fn down(assoc: AssocId, reason: DownReason) -> Event {
    Event::Down { assoc, reason }
}

#[tokio::test]
async fn carries_messages_of_every_length_both_ways() {
    let (mut a, mut b) = (bind(), bind());
    let (at_a, at_b) = connected(&mut a, &mut b).await;
    // Around the sizes of one, two and many packets.
    for length in [4, 5, 100, 1443, 1444, 1445, 2887, 2888, 2889, 4096, 65_532, 65_535, 65_536] {
        let sent: Vec<u8> = (0..=250).cycle().take(length).collect();
        a.send(at_a, Ppid::ASAP, &sent).unwrap();
        b.send(at_b, Ppid(u32::MAX), &sent).unwrap();
        for _ in 0..2 {
            let (index, event) = next(&mut [&mut a, &mut b]).await;
            let (assoc, ppid) = [(at_a, Ppid(u32::MAX)), (at_b, Ppid::ASAP)][index];
            assert!(event == Event::Message { assoc, ppid, octets: sent.clone() }, "{length}");
        }
    }
}

#[tokio::test]
async fn a_restarted_peer_gets_a_new_name() {
    let (mut a, mut b) = (bind(), bind());
    let (old, _) = connected(&mut a, &mut b).await;
    forget(&mut b);

    let again = b.connect(&loopback(&a)).unwrap();
    assert_eq!(next(&mut [&mut a, &mut b]).await, (0, down(old, DownReason::Restarted)));
    let (0, Event::Up { assoc, info }) = next(&mut [&mut a, &mut b]).await else { panic!() };
    assert!(assoc != old && !info.dialed);
    let (1, Event::Up { assoc: up, .. }) = next(&mut [&mut a, &mut b]).await else { panic!() };
    assert_eq!(up, again);

    assert!(a.send(old, Ppid::ASAP, b"late").is_err());
    a.send(assoc, Ppid::ASAP, b"anew").unwrap();
    let octets = b"anew".to_vec();
    let message = Event::Message { assoc: again, ppid: Ppid::ASAP, octets };
    assert_eq!(next(&mut [&mut a, &mut b]).await, (1, message));
    assert_eq!((a.statistics().associations, b.statistics().associations), (1, 1));
}

#[tokio::test]
async fn what_the_other_side_queued_arrives_before_a_close() {
    let (mut a, mut b) = (bind(), bind());
    let (at_a, at_b) = connected(&mut a, &mut b).await;
    for number in 0..20 {
        b.send(at_b, Ppid::ENRP, &[number; 60_000]).unwrap();
    }
    // More than the window takes is on its way when the SHUTDOWN comes.
    settle(&mut b).await;
    a.close(at_a);
    for number in 0..20 {
        let (index, event) = next(&mut [&mut a, &mut b]).await;
        let Event::Message { octets, .. } = event else { panic!("{event:?} before {number}") };
        assert!(index == 0 && octets == [number; 60_000], "{number}");
    }
    let mut ends = [next(&mut [&mut a, &mut b]).await, next(&mut [&mut a, &mut b]).await];
    ends.sort_by_key(|(index, _)| *index);
    assert_eq!(ends, [(0, down(at_a, DownReason::Closed)), (1, down(at_b, DownReason::Closed))]);
}

#[tokio::test]
async fn names_its_peer_where_it_is_connected_already() {
    let (mut a, mut b) = (bind(), bind());
    let (at_a, at_b) = connected(&mut a, &mut b).await;
    let error = a.connect(&loopback(&b)).unwrap_err();
    assert!(matches!(error, crate::Error::Connected(assoc) if assoc == at_a));
    let error = b.connect(&loopback(&a)).unwrap_err();
    assert!(matches!(error, crate::Error::Connected(assoc) if assoc == at_b));
}

#[tokio::test(start_paused = true)]
async fn takes_any_timers() {
    use crate::Rto;
    use std::time::Duration;
    let zero = Duration::ZERO;
    let second = Duration::from_secs(1);
    for (initial, min, max) in [(zero, zero, zero), (second, second, zero), (zero, second, second)]
    {
        let options = Options {
            rto: Rto { initial, min, max },
            heartbeat: zero,
            path_retransmits_max: 0,
            ..Options::default()
        };
        let (mut a, mut b) = (bind_at("127.0.0.1:0", &options), bind_at("127.0.0.1:0", &options));
        let (at_a, _) = connected(&mut a, &mut b).await;
        a.send(at_a, Ppid::ASAP, b"hello").unwrap();
        let (1, Event::Message { .. }) = next(&mut [&mut a, &mut b]).await else { panic!() };
        a.close(at_a);
        for _ in 0..2 {
            let (_, event) = next(&mut [&mut a, &mut b]).await;
            assert!(matches!(event, Event::Down { reason: DownReason::Closed, .. }), "{event:?}");
        }
    }
}

#[tokio::test]
async fn can_talk_to_itself() {
    let mut a = bind();
    let assoc = a.connect(&loopback(&a)).unwrap();
    let (0, Event::Up { assoc: up, .. }) = next(&mut [&mut a]).await else { panic!() };
    assert_eq!(up, assoc);
    a.send(assoc, Ppid::ASAP, b"echo").unwrap();
    let octets = b"echo".to_vec();
    let message = Event::Message { assoc, ppid: Ppid::ASAP, octets };
    assert_eq!(next(&mut [&mut a]).await, (0, message));
    a.close(assoc);
    assert_eq!(next(&mut [&mut a]).await, (0, down(assoc, DownReason::Closed)));
}
