//! What is particular to TCP: framing on the wire, half-open ends, and peers that mean harm.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test")]

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::task::{Poll, ready};
use std::time::Duration;

use rserpool_transport::{
    Address, AssocId, DownReason, Endpoint, Error, Event, Framing, Options, Ppid, Remote, Scheme,
    SendError, TcpEndpoint,
};

const ASAP: Framing = Framing::Message(Ppid::ASAP);

fn server(framing: Framing) -> TcpEndpoint {
    server_with(framing, &Options::default())
}

fn server_with(framing: Framing, options: &Options) -> TcpEndpoint {
    TcpEndpoint::bind(&"tcp://127.0.0.1:0".parse().unwrap(), framing, options).unwrap()
}

/// A peer that is not ours: a plain socket. What it writes waits in the kernel until it is read.
fn stranger(server: &TcpEndpoint) -> TcpStream {
    TcpStream::connect(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), server.local().port)).unwrap()
}

/// A message of `len` octets.
fn message(len: u16) -> Vec<u8> {
    let mut octets = vec![0x5a; usize::from(len)];
    octets[2..4].copy_from_slice(&len.to_be_bytes());
    octets
}

/// The next event, but for congestion.
async fn next(endpoint: &mut TcpEndpoint) -> Event {
    let event = poll_fn(|cx| {
        loop {
            let event = ready!(endpoint.poll_event(cx));
            if !matches!(event, Event::Congested { .. } | Event::Drained { .. }) {
                return Poll::Ready(event);
            }
        }
    });
    tokio::time::timeout(Duration::from_secs(60), event).await.expect("no event comes")
}

async fn up(endpoint: &mut TcpEndpoint) -> AssocId {
    let event = next(endpoint).await;
    let Event::Up { assoc, .. } = event else { panic!("{event:?}") };
    assoc
}

async fn arrived(endpoint: &mut TcpEndpoint) -> Vec<u8> {
    let event = next(endpoint).await;
    let Event::Message { octets, .. } = event else { panic!("{event:?}") };
    octets
}

async fn down(endpoint: &mut TcpEndpoint) -> (AssocId, DownReason) {
    let event = next(endpoint).await;
    let Event::Down { assoc, reason } = event else { panic!("{event:?}") };
    (assoc, reason)
}

/// Writes what is queued; nothing else may be there to report.
async fn write_queued(endpoint: &mut TcpEndpoint) {
    let idle = poll_fn(|cx| Poll::Ready(endpoint.poll_event(cx).is_pending()));
    assert!(idle.await);
}

// Checklist 41.
#[tokio::test]
async fn a_message_may_come_octet_by_octet_and_is_delivered_before_its_padding() {
    let mut server = server(ASAP);
    let mut peer = stranger(&server);
    peer.set_nodelay(true).unwrap();
    let assoc = up(&mut server).await;
    for octet in message(9) {
        write_queued(&mut server).await;
        peer.write_all(&[octet]).unwrap();
    }
    assert_eq!(arrived(&mut server).await, message(9));
    // The padding, in two pieces, belongs to nothing.
    peer.write_all(&[0]).unwrap();
    write_queued(&mut server).await;
    peer.write_all(&[0, 0]).unwrap();
    peer.write_all(&message(4)).unwrap();
    assert_eq!(arrived(&mut server).await, message(4));

    // Padding that never comes is no part of a message.
    peer.write_all(&message(5)).unwrap();
    assert_eq!(arrived(&mut server).await, message(5));
    drop(peer);
    assert_eq!(down(&mut server).await, (assoc, DownReason::Closed));
}

// Checklist 41.
#[tokio::test]
async fn messages_are_padded_on_the_wire() {
    let mut server = server(ASAP);
    let mut peer = stranger(&server);
    let assoc = up(&mut server).await;
    server.send(assoc, Ppid::ASAP, &message(6)).unwrap();
    server.send(assoc, Ppid::ASAP, &message(4)).unwrap();
    server.close(assoc);
    write_queued(&mut server).await;
    let mut octets = Vec::new();
    peer.read_to_end(&mut octets).unwrap();
    assert_eq!(octets, [&message(6)[..], &[0, 0], &message(4)].concat());
}

#[tokio::test]
async fn requests_that_came_together_are_answered_together() {
    let mut server = server(ASAP);
    let mut peer = stranger(&server);
    let assoc = up(&mut server).await;
    peer.write_all(&message(8).repeat(10)).unwrap();
    for _ in 0..10 {
        assert_eq!(arrived(&mut server).await, message(8));
        server.send(assoc, Ppid::ASAP, &message(12)).unwrap();
    }
    write_queued(&mut server).await;
    let mut octets = [0; 1000];
    assert_eq!(peer.read(&mut octets).unwrap(), 120, "one segment");
}

#[tokio::test]
async fn broken_framing_ends_that_connection_only() {
    let mut server = server_with(ASAP, &Options { message_max: 1000, ..Options::default() });
    let mut good = stranger(&server);
    up(&mut server).await;
    let garbage: [&[u8]; 5] = [
        &[0, 0, 0, 0],
        &[1, 0, 0, 3, 0],
        &[0xff; 16],
        &[1, 0, 0x03, 0xe9],
        b"GET / HTTP/1.1\r\nHost: registrar\r\n\r\n",
    ];
    for (count, octets) in garbage.into_iter().enumerate() {
        let mut bad = stranger(&server);
        let assoc = up(&mut server).await;
        // What came before the garbage is good.
        bad.write_all(&message(8)).unwrap();
        bad.write_all(octets).unwrap();
        assert_eq!(arrived(&mut server).await, message(8));
        assert_eq!(down(&mut server).await, (assoc, DownReason::Framing), "{octets:?}");
        assert_eq!(server.counters().malformed, count as u64 + 1);
        // The peer is told: by an end or by a reset.
        assert!(matches!(bad.read(&mut [0; 8]), Ok(0) | Err(_)));

        good.write_all(&message(1000)).unwrap();
        assert_eq!(arrived(&mut server).await, message(1000));
    }
}

#[tokio::test]
async fn garbage_never_harms_the_others() {
    let mut server = server(ASAP);
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..300 {
        let mut bad = stranger(&server);
        let mut octets = Vec::new();
        for _ in 0..40 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            octets.extend_from_slice(&seed.to_be_bytes()[..5]);
        }
        bad.write_all(&octets).unwrap();
        bad.shutdown(Shutdown::Write).unwrap();
        let assoc = up(&mut server).await;
        loop {
            match next(&mut server).await {
                Event::Message { octets, .. } => assert!(octets.len() >= 4),
                Event::Down { assoc: over, reason } => {
                    assert_eq!(over, assoc);
                    assert!(matches!(reason, DownReason::Framing | DownReason::Reset));
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let mut good = stranger(&server);
    up(&mut server).await;
    good.write_all(&message(4)).unwrap();
    assert_eq!(arrived(&mut server).await, message(4));
}

#[tokio::test]
async fn partial_headers_forever_hold_nobody_up() {
    const SLOW: usize = 300;
    let mut server = server(ASAP);
    let mut slow = Vec::new();
    for count in 0..SLOW {
        let mut peer = stranger(&server);
        peer.write_all(&message(u16::MAX)[..1 + count % 100]).unwrap();
        up(&mut server).await;
        slow.push(peer);
    }
    let mut good = stranger(&server);
    let assoc = up(&mut server).await;
    for _ in 0..100 {
        good.write_all(&message(8)).unwrap();
        assert_eq!(arrived(&mut server).await, message(8));
        server.send(assoc, Ppid::ASAP, &message(8)).unwrap();
        write_queued(&mut server).await;
        good.read_exact(&mut [0; 8]).unwrap();
    }
    // They end inside a message.
    drop(slow);
    for _ in 0..SLOW {
        assert_eq!(down(&mut server).await.1, DownReason::Reset);
    }
}

#[tokio::test]
async fn a_storm_of_connections_passes() {
    const ROUNDS: usize = 20;
    const AT_ONCE: usize = 100;
    let mut server = server(ASAP);
    for round in 0..ROUNDS {
        let storm: Vec<TcpStream> = (0..AT_ONCE).map(|_| stranger(&server)).collect();
        for (at, peer) in storm.iter().enumerate() {
            if at % 2 == round % 2 {
                // A reset, also before it was accepted.
                socket2::SockRef::from(peer).set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
        drop(storm);
        let mut last = stranger(&server);
        last.write_all(&message(8)).unwrap();
        loop {
            match next(&mut server).await {
                Event::Message { assoc, .. } => {
                    server.abort(assoc);
                    break;
                }
                Event::Up { .. } | Event::Down { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_peer_that_closes_its_half_still_gets_its_answers() {
    let mut server = server(ASAP);
    let mut peer = stranger(&server);
    let assoc = up(&mut server).await;
    peer.write_all(&message(8).repeat(3)).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    for _ in 0..3 {
        arrived(&mut server).await;
        server.send(assoc, Ppid::ASAP, &message(4000)).unwrap();
    }
    assert_eq!(down(&mut server).await, (assoc, DownReason::Closed));
    let mut answers = Vec::new();
    peer.read_to_end(&mut answers).unwrap();
    assert_eq!(answers.len(), 3 * 4000);
}

#[tokio::test]
async fn a_report_before_a_hasty_close_is_not_lost() {
    // The answer to the first message provokes a reset; the others had arrived already.
    let mut server = server(ASAP);
    let mut peer = stranger(&server);
    let assoc = up(&mut server).await;
    peer.write_all(&message(8).repeat(3)).unwrap();
    drop(peer);
    for _ in 0..3 {
        assert_eq!(arrived(&mut server).await, message(8));
        server.send(assoc, Ppid::ASAP, &message(8)).unwrap();
    }
    assert_eq!(down(&mut server).await.0, assoc);
}

#[tokio::test]
async fn a_peer_that_never_closes_its_half_is_left() {
    let hasty = Options { close_timeout: Duration::from_millis(50), ..Options::default() };
    let mut server = server_with(ASAP, &hasty);
    let peer = stranger(&server);
    let assoc = up(&mut server).await;
    server.close(assoc);
    assert_eq!(down(&mut server).await, (assoc, DownReason::Closed));

    // Nor does it help to read nothing.
    let _silent = stranger(&server);
    let assoc = up(&mut server).await;
    while server.send(assoc, Ppid::ASAP, &message(60_000)).is_ok() {}
    server.close(assoc);
    assert_eq!(down(&mut server).await, (assoc, DownReason::Timeout));
    drop(peer);
}

#[tokio::test]
async fn records_carry_ppids_and_may_be_empty() {
    let mut server = server(Framing::Record);
    let mut client = TcpEndpoint::dialer(Framing::Record, &Options::default());
    let local = server.local();
    assert_eq!(client.local().addresses, [] as [IpAddr; 0]);
    let near = client.connect(&remote(local.addresses, local.port)).unwrap();
    assert_eq!(up(&mut client).await, near);
    let far = up(&mut server).await;
    for (ppid, octets) in [(7, &[1, 2, 3][..]), (11, &[]), (u32::MAX, &[0; 65_536])] {
        client.send(near, Ppid(ppid), octets).unwrap();
        write_queued(&mut client).await;
        let expected = Event::Message { assoc: far, ppid: Ppid(ppid), octets: octets.to_vec() };
        tokio::select! {
            event = next(&mut server) => assert!(event == expected),
            event = next(&mut client) => panic!("{event:?}"),
        }
    }
    let sent = client.send(near, Ppid(7), &[0; 65_537]);
    assert_eq!(sent, Err(SendError::TooLong));

    let mut bad = stranger(&server);
    let assoc = up(&mut server).await;
    bad.write_all(&[0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff]).unwrap();
    assert_eq!(down(&mut server).await, (assoc, DownReason::Framing));
}

#[tokio::test]
async fn a_stream_is_octets_as_they_come() {
    let mut server = server(Framing::Stream);
    let mut peer = stranger(&server);
    let assoc = up(&mut server).await;
    let sent: Vec<u8> = (0..100_000_u32).map(|number| number.to_be_bytes()[3]).collect();
    peer.write_all(&sent).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    while received.len() < sent.len() {
        received.extend(arrived(&mut server).await);
    }
    assert!(received == sent);
    server.send(assoc, Ppid(0), b"thank you").unwrap();
    assert_eq!(down(&mut server).await, (assoc, DownReason::Closed));
    let mut answer = String::new();
    peer.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "thank you");
}

#[tokio::test]
async fn a_busy_connection_leaves_others_their_turn() {
    let mut server = server(Framing::Stream);
    let mut busy = stranger(&server);
    let busy_assoc = up(&mut server).await;
    busy.set_nonblocking(true).unwrap();
    let mut waiting = 0;
    while let Ok(len) = busy.write(&[0; 10_000]) {
        waiting += len;
    }
    assert!(waiting > 200_000, "the system takes too little for this test: {waiting}");
    let mut quiet = stranger(&server);
    quiet.write_all(&[1]).unwrap();
    // Much waits, but the newcomer is served before it is read.
    let mut pieces = 0;
    loop {
        match next(&mut server).await {
            Event::Message { assoc, .. } if assoc == busy_assoc => pieces += 1,
            Event::Message { octets, .. } => {
                assert_eq!(octets, [1]);
                break;
            }
            Event::Up { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(pieces < 10, "{pieces}");
}

#[tokio::test]
async fn a_dial_goes_on_to_the_next_address() {
    let mut server = server(ASAP);
    let local = server.local();
    let mut client = TcpEndpoint::dialer(ASAP, &Options::default());
    let addresses = vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
    let near = client.connect(&remote(addresses, local.port)).unwrap();
    let event = next(&mut client).await;
    let Event::Up { assoc, info } = event else { panic!("{event:?}") };
    assert_eq!((assoc, info.remote), (near, local.addresses));
    up(&mut server).await;
}

#[tokio::test]
async fn listens_on_ipv6_and_names_ipv4_peers_as_such() {
    let url: Address = "tcp://[::]:0".parse().unwrap();
    let mut server = match TcpEndpoint::bind(&url, ASAP, &Options::default()) {
        Ok(server) => server,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED tcp over IPv6: {error}");
            return;
        }
    };
    let peer = stranger(&server);
    let event = next(&mut server).await;
    let Event::Up { info, .. } = event else { panic!("{event:?}") };
    assert_eq!(info.remote, [IpAddr::from(Ipv4Addr::LOCALHOST)]);
    assert_eq!(info.remote_port, peer.local_addr().unwrap().port());
}

#[tokio::test]
async fn says_what_it_cannot_do() {
    let sctp: Address = "sctp://127.0.0.1:0".parse().unwrap();
    let bound = TcpEndpoint::bind(&sctp, ASAP, &Options::default());
    assert!(matches!(bound, Err(Error::Unsupported { .. })));
    let nowhere: Address = "tcp://192.0.2.1:1".parse().unwrap();
    let error = TcpEndpoint::bind(&nowhere, ASAP, &Options::default()).err().unwrap();
    let expected = "cannot listen on tcp://192.0.2.1:1: this host does not have that address";
    assert_eq!(error.to_string(), expected);
}

fn remote(addresses: Vec<IpAddr>, port: u16) -> Remote {
    Remote {
        scheme: Scheme::Tcp,
        addresses,
        port,
        encapsulation: None,
        zone: 0,
        expected: Default::default(),
    }
}

#[tokio::test]
async fn a_peer_that_asks_faster_than_it_reads_gets_every_answer() {
    let mut server = server(ASAP);
    let mut peer = stranger(&server);
    let client = std::thread::spawn(move || {
        let requests: Vec<u8> = (0..400).flat_map(|_| message(8)).collect();
        peer.write_all(&requests).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let mut answers = Vec::new();
        peer.read_to_end(&mut answers).unwrap();
        answers.len()
    });
    let assoc = up(&mut server).await;
    loop {
        match next(&mut server).await {
            // 24 MB of answers, where 4 MiB may wait.
            Event::Message { .. } => {
                server.send(assoc, Ppid::ASAP, &message(60_000)).unwrap();
            }
            Event::Down { reason, .. } => {
                assert_eq!(reason, DownReason::Closed);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(client.join().unwrap(), 400 * 60_000);
}
