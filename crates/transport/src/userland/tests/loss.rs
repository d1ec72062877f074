//! Peers that are silent, dead or killed.

use std::time::Duration;

use tokio::task::coop;
use tokio::time::Instant;

use super::super::encapsulation::{QUOTE, Unreachable};
use super::*;

/// A place whose owner reads nothing.
fn silence() -> (std::net::UdpSocket, Remote) {
    let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, remote(Ipv4Addr::LOCALHOST, port))
}

#[tokio::test(start_paused = true)]
async fn gives_up_a_dial_at_its_deadline() {
    let mut a = bind();
    let (_silent, to) = silence();
    let begin = Instant::now();
    let assoc = a.connect(&to).unwrap();
    assert_eq!(next(&mut [&mut a]).await, (0, down(assoc, DownReason::Timeout)));
    // Timers have a grain of a millisecond.
    let late = begin.elapsed() - Options::default().connect_timeout;
    assert!(late <= Duration::from_millis(2), "{late:?}");
    assert_eq!(a.statistics().associations, 0);
}

/// Virtual time from the last sign of life until an association with a silent peer is given up.
async fn silence_noticed_after(talk: bool) -> Duration {
    let (mut a, mut b) = (bind(), bind());
    let (at_a, _) = connected(&mut a, &mut b).await;
    let begin = Instant::now();
    if talk {
        a.send(at_a, Ppid::ASAP, b"anybody?").unwrap();
    }
    assert_eq!(next(&mut [&mut a]).await, (0, down(at_a, DownReason::Timeout)));
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn notices_a_peer_that_does_not_acknowledge() {
    let options = Options::default();
    let bound = (options.path_retransmits_max + 1) * options.rto.max;
    let noticed = silence_noticed_after(true).await;
    assert!(noticed <= bound, "{noticed:?} > {bound:?}");
}

// Checklist 50.
#[tokio::test(start_paused = true)]
async fn notices_an_idle_peer_that_is_silent() {
    let options = Options::default();
    // One heartbeat after the other goes without answer.
    let bound = (options.path_retransmits_max + 1) * options.heartbeat + options.rto.max;
    let noticed = silence_noticed_after(false).await;
    assert!(noticed <= bound, "{noticed:?} > {bound:?}");
}

#[tokio::test]
async fn a_task_that_had_its_share_of_io_still_hears_its_peers() {
    let (mut a, mut b) = (bind(), bind());
    let (at_a, at_b) = connected(&mut a, &mut b).await;
    b.send(at_b, Ppid::ASAP, b"here I am").unwrap();
    settle(&mut b).await;
    let event = poll_fn(|cx| {
        while coop::has_budget_remaining() {
            if let Poll::Ready(share) = coop::poll_proceed(cx) {
                share.made_progress();
            }
        }
        Poll::Ready(a.poll_event(cx))
    });
    let octets = b"here I am".to_vec();
    let message = Event::Message { assoc: at_a, ppid: Ppid::ASAP, octets };
    assert_eq!(event.await, Poll::Ready(message));
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_answer_waits_to_be_read_is_not_silent() {
    let (mut a, mut b) = (bind(), bind());
    let (at_a, _) = connected(&mut a, &mut b).await;
    settle(&mut a).await;
    // What others sent is before the answer in the queue, and there is more of it than is read at
    // a time.
    let others = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    for _ in 0..200 {
        others.send_to(b"noise", ("127.0.0.1", a.local.port)).unwrap();
    }
    a.send(at_a, Ppid::ASAP, b"anybody?").unwrap();
    a.flush();
    let (0, Event::Message { .. }) = next(&mut [&mut b]).await else { panic!() };
    settle(&mut b).await;
    for _ in 0..4 {
        // As a thread that does something else for so long.
        tokio::time::advance(Options::default().rto.max).await;
        let event = poll_fn(|cx| Poll::Ready(a.poll_event(cx))).await;
        assert_eq!(event, Poll::Pending);
    }
    for _ in 0..8 {
        let event = poll_fn(|cx| Poll::Ready(a.poll_event(cx))).await;
        assert_eq!(event, Poll::Pending);
    }
    assert_eq!(a.statistics().checksum_errors, 200);
    a.send(at_a, Ppid::ASAP, b"there you are").unwrap();
    a.flush();
    let (_, Event::Message { octets, .. }) = next(&mut [&mut b]).await else { panic!() };
    assert_eq!(octets, b"there you are");
}

#[tokio::test]
async fn notices_a_killed_peer_at_the_next_packet() {
    for host in ["127.0.0.1", "[::1]"] {
        let url: Address = format!("sctp+udp://{host}:0").parse().unwrap();
        let end = || UserlandEndpoint::bind(&url, &Options::default());
        let (Ok(mut a), Ok(mut b)) = (end(), end()) else {
            eprintln!("SKIPPED: this host has no {host}");
            continue;
        };
        let to = remote(b.local().addresses[0], b.local().port);
        let (at_a, _) = dial(&mut a, &mut b, &to).await;
        kill(b);
        a.send(at_a, Ppid::ASAP, b"anybody?").unwrap();
        assert_eq!(next(&mut [&mut a]).await, (0, down(at_a, DownReason::Reset)), "{host}");
        assert_eq!(a.statistics().unreachable, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn notices_a_killed_idle_peer_by_one_heartbeat() {
    let (mut a, mut b) = (bind(), bind());
    let (at_a, _) = connected(&mut a, &mut b).await;
    let begin = Instant::now();
    kill(b);
    assert_eq!(next(&mut [&mut a]).await, (0, down(at_a, DownReason::Reset)));
    let options = Options::default();
    assert!(begin.elapsed() <= options.heartbeat + options.rto.initial);
}

#[tokio::test]
async fn a_dead_peer_does_not_disturb_another() {
    let (mut a, mut b, mut c) = (bind(), bind(), bind());
    let (to_b, _) = connected(&mut a, &mut b).await;
    let (to_c, at_c) = connected(&mut a, &mut c).await;
    kill(b);
    // The error of each first send waits in the socket when the second is made.
    for number in 0..10 {
        let dead = a.connect(&remote(Ipv4Addr::LOCALHOST, 1)).unwrap();
        let _ = a.send(to_b, Ppid::ASAP, &[number; 10]);
        a.send(to_c, Ppid::ASAP, &[number; 10]).unwrap();
        let (mut arrived, mut refused) = (false, false);
        while !(arrived && refused) {
            match next(&mut [&mut a, &mut c]).await {
                (0, event) if event == down(to_b, DownReason::Reset) && number == 0 => {}
                (0, event) if event == down(dead, DownReason::Refused) => refused = true,
                (1, Event::Message { assoc, octets, .. }) => {
                    assert!(assoc == at_c && octets == [number; 10]);
                    arrived = true;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(a.statistics().unsent, 0);
}

// Checklist 50.
#[tokio::test]
async fn an_icmp_error_counts_only_with_the_tag_of_the_association() {
    let (mut a, mut b) = (bind(), bind());
    let (at_a, _) = connected(&mut a, &mut b).await;
    let (at, [own_tag, tag]) = (peer_of(&a, at_a), tags(&a, at_a));
    let ports = [a.local.port, b.local.port];

    let quote = |ports: [u16; 2], tag: u32, chunk: u8, initiate: u32| {
        let mut quote = [0; QUOTE];
        quote[..2].copy_from_slice(&ports[0].to_be_bytes());
        quote[2..4].copy_from_slice(&ports[1].to_be_bytes());
        quote[4..8].copy_from_slice(&tag.to_be_bytes());
        quote[12] = chunk;
        quote[16..].copy_from_slice(&initiate.to_be_bytes());
        quote
    };
    let unproved = [
        quote(ports, tag ^ 1, 3, 0),
        // The network quoted no more than the ports.
        quote(ports, 0, 0, 0),
        quote(ports, 0, 3, own_tag),
        quote(ports, 0, 1, own_tag ^ 1),
        quote([ports[0] ^ 1, ports[1]], tag, 3, 0),
        quote([ports[0], ports[1] ^ 1], tag, 3, 0),
    ];
    for quote in unproved {
        a.on_unreachable(&Unreachable { remote: at, quote });
    }
    let elsewhere = std::net::SocketAddr::new(at.ip(), at.port() ^ 1);
    a.on_unreachable(&Unreachable { remote: elsewhere, quote: quote(ports, tag, 3, 0) });
    settle(&mut a).await;
    assert_eq!((a.statistics().unreachable, a.statistics().unreachable_ignored), (0, 7));

    a.on_unreachable(&Unreachable { remote: at, quote: quote(ports, tag, 3, 0) });
    assert_eq!(next(&mut [&mut a]).await, (0, down(at_a, DownReason::Reset)));
}
