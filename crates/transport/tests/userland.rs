//! Userland SCTP over UDP on loopback: two endpoints in one task, and forgers on plain UDP sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::task::Poll;

use rserpool_transport::userland::UserlandEndpoint;
use rserpool_transport::{
    Address, AssocId, DownReason, Endpoint, Event, Options, Ppid, Remote, Scheme,
};

fn bind(url: &str) -> UserlandEndpoint {
    bind_with(url, &Options::default())
}

fn bind_with(url: &str, options: &Options) -> UserlandEndpoint {
    UserlandEndpoint::bind(&url.parse::<Address>().unwrap(), options).unwrap()
}

fn remote(ip: IpAddr, port: u16) -> Remote {
    Remote { scheme: Scheme::UserlandSctp, addresses: vec![ip], port, encapsulation: None }
}

fn loopback(endpoint: &UserlandEndpoint) -> Remote {
    remote(Ipv4Addr::LOCALHOST.into(), endpoint.local().port)
}

/// The next event of any of the endpoints.
async fn next(endpoints: &mut [&mut UserlandEndpoint]) -> (usize, Event) {
    poll_fn(|cx| {
        for (index, endpoint) in endpoints.iter_mut().enumerate() {
            if let Poll::Ready(event) = endpoint.poll_event(cx) {
                return Poll::Ready((index, event));
            }
        }
        Poll::Pending
    })
    .await
}

/// Dials from `a` to `b` and waits until both are up.
async fn connected(a: &mut UserlandEndpoint, b: &mut UserlandEndpoint) -> (AssocId, AssocId) {
    let dialed = a.connect(&loopback(b)).unwrap();
    let mut accepted = None;
    let mut up = false;
    while !up || accepted.is_none() {
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
    }
    (dialed, accepted.unwrap())
}

#[tokio::test]
async fn carries_messages_of_every_length_both_ways() {
    let mut a = bind("sctp+udp://127.0.0.1:0");
    let mut b = bind("sctp+udp://127.0.0.1:0");
    let (at_a, at_b) = connected(&mut a, &mut b).await;
    for length in [4_usize, 5, 100, 1451, 1452, 1472, 4096, 65_532, 65_536] {
        let sent: Vec<u8> = (0..=250).cycle().take(length).collect();
        a.send(at_a, Ppid::ASAP, &sent).unwrap();
        b.send(at_b, Ppid(0xffff_fff0), &sent).unwrap();
        for _ in 0..2 {
            let expected = match next(&mut [&mut a, &mut b]).await {
                (0, Event::Message { assoc, ppid, octets }) if assoc == at_a => {
                    (ppid == Ppid(0xffff_fff0)) && octets == sent
                }
                (1, Event::Message { assoc, ppid, octets }) if assoc == at_b => {
                    ppid == Ppid::ASAP && octets == sent
                }
                other => panic!("{other:?}"),
            };
            assert!(expected);
        }
    }
    a.close(at_a);
    let mut ends = Vec::new();
    for _ in 0..2 {
        ends.push(next(&mut [&mut a, &mut b]).await);
    }
    ends.sort_by_key(|(index, _)| *index);
    let closed = |assoc| Event::Down { assoc, reason: DownReason::Closed };
    assert_eq!(ends, [(0, closed(at_a)), (1, closed(at_b))]);
}
