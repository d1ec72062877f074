//! Messages: odd ones, long ones, and those of associations that end.

use std::net::SocketAddr;
use std::time::Duration;

use rserpool_transport::{DownReason, Endpoint, Event, KernelEndpoint, Options, Ppid, SendError};

use crate::lab::{
    associate, bind, bind_with, down, idle, message, next, next_of, numbered, remote, skips, up,
};

// Checklist 38.
#[tokio::test]
async fn odd_ppids_are_kept() {
    if skips() {
        return;
    }
    let (mut server, mut client) = (bind("127.0.0.1"), bind("127.0.0.1"));
    let (there, here) = associate(&mut client, &mut server).await;
    for ppid in [0, 11, 0x0b00_0000, 0xfedc_ba98, u32::MAX].map(Ppid) {
        client.send(there, ppid, b"ping").unwrap();
        assert_eq!(next(&mut server).await, message(here, ppid, b"ping"));
    }
}

#[tokio::test]
async fn long_messages_come_whole_or_not_at_all() {
    if skips() {
        return;
    }
    let long = Options { message_max: 1 << 20, ..Options::default() };
    let (mut server, mut client) = (bind("127.0.0.1"), bind_with("127.0.0.1", &long));
    let (there, here) = associate(&mut client, &mut server).await;
    assert_eq!(server.send(here, Ppid::ASAP, &vec![0; 65_537]), Err(SendError::TooLong));
    // The client may send what the server does not take; the next message arrives.
    for len in [65_536, 65_537, 100_000, 300_000, 65_536] {
        client.send(there, Ppid::ASAP, &numbered(len)).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(
            next_of(&mut [&mut server, &mut client]).await,
            (0, message(here, Ppid::ASAP, &numbered(65_536)))
        );
    }
    assert_eq!(server.counters().malformed, 3);

    let mut server = bind_with("127.0.0.1", &long);
    let (there, here) = associate(&mut client, &mut server).await;
    for len in [400_000, 300_000, 16 << 10, (16 << 10) + 1, 1] {
        client.send(there, Ppid::ENRP, &numbered(len)).unwrap();
        let arrived = next_of(&mut [&mut server, &mut client]).await;
        assert_eq!(arrived, (0, message(here, Ppid::ENRP, &numbered(len))));
    }
}

#[tokio::test]
async fn pieces_of_two_long_messages_do_not_mix() {
    const ROUNDS: usize = 20;
    if skips() {
        return;
    }
    let long = Options { message_max: 1 << 20, ..Options::default() };
    let [mut server, mut one, mut two] = [(); 3].map(|()| bind_with("127.0.0.1", &long));
    let (there_one, here_one) = associate(&mut one, &mut server).await;
    let (there_two, here_two) = associate(&mut two, &mut server).await;
    for round in 0..ROUNDS {
        one.send(there_one, Ppid(1), &vec![1; 200_000 + round]).unwrap();
        two.send(there_two, Ppid(2), &vec![2; 200_000 + round]).unwrap();
    }
    let mut arrived = [0; 2];
    while arrived != [ROUNDS; 2] {
        let event = next_of(&mut [&mut server, &mut one, &mut two]).await;
        let (0, Event::Message { assoc, ppid, octets }) = event else { panic!("{event:?}") };
        let (who, fill) = if assoc == here_one { (0, 1) } else { (1, 2) };
        assert!(assoc == here_one || assoc == here_two);
        assert_eq!(ppid, Ppid(fill.into()));
        assert_eq!(octets.len(), 200_000 + arrived[who]);
        assert!(octets.iter().all(|octet| *octet == fill));
        arrived[who] += 1;
    }
}

#[tokio::test]
async fn a_slow_peer_does_not_hold_up_another() {
    if skips() {
        return;
    }
    let small = Options { send_queue_max: 1 << 20, ..Options::default() };
    let mut server = bind_with("127.0.0.1", &small);
    let (mut slow, mut quick) = (bind("127.0.0.1"), bind("127.0.0.1"));
    let (there_slow, here_slow) = associate(&mut slow, &mut server).await;
    let (there_quick, here_quick) = associate(&mut quick, &mut server).await;
    // The slow one reads nothing.
    let mut sent = 0;
    let mut full = 0;
    while full < 100 {
        match server.send(here_slow, Ppid::ASAP, &numbered(10_000)) {
            Ok(()) => (sent, full) = (sent + 1, 0),
            Err(error) => {
                assert_eq!(error, SendError::Full);
                full += 1;
                assert_eq!(idle(&mut server).await, None);
            }
        }
    }
    for _ in 0..100 {
        server.send(here_quick, Ppid::ASAP, &numbered(10_000)).unwrap();
        let (at, event) = next_of(&mut [&mut quick, &mut server]).await;
        assert_eq!((at, event), (0, message(there_quick, Ppid::ASAP, &numbered(10_000))));
    }
    for _ in 0..sent {
        let (at, event) = next_of(&mut [&mut slow, &mut server]).await;
        assert_eq!((at, event), (0, message(there_slow, Ppid::ASAP, &numbered(10_000))));
    }
}

#[tokio::test]
async fn what_a_short_association_said_is_heard_after_its_end() {
    if skips() {
        return;
    }
    let (mut server, mut client) = (bind("127.0.0.1"), bind("127.0.0.1"));
    let there = client.connect(&remote(&server)).unwrap();
    assert_eq!(up(&mut client).await.0, there);
    client.send(there, Ppid::ASAP, b"in short").unwrap();
    client.close(there);
    assert_eq!(next(&mut client).await, down(there, DownReason::Closed));

    let (here, info) = up(&mut server).await;
    assert_eq!((&info.remote, info.remote_port), (&client.local().addresses, client.local().port));
    assert_eq!(next(&mut server).await, message(here, Ppid::ASAP, b"in short"));
    assert_eq!(next(&mut server).await, down(here, DownReason::Closed));
}

/// A peer with little room, which never reads: the kernel answers for it.
fn never_reads(server: &KernelEndpoint) -> socket2::Socket {
    let kind = (socket2::Type::STREAM, Some(socket2::Protocol::SCTP));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, kind.0, kind.1).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], server.local().port)).into()).unwrap();
    socket
}

// The kernel shares one send buffer among all associations of a socket.
#[tokio::test]
async fn peers_that_never_read_do_not_fill_the_buffer_of_all() {
    const PEERS: usize = 100;
    if skips() {
        return;
    }
    let patient = Options { stall_timeout: Duration::from_secs(3600), ..Options::default() };
    let (mut server, mut honest) = (bind_with("127.0.0.1", &patient), bind("127.0.0.1"));
    let (there, here) = associate(&mut honest, &mut server).await;
    let mut silent = Vec::new();
    for _ in 0..PEERS {
        silent.push(never_reads(&server));
        let (assoc, _) = up(&mut server).await;
        for _ in 0..40 {
            let _ = server.send(assoc, Ppid::ASAP, &numbered(10_000));
        }
        while let Some(event) = idle(&mut server).await {
            assert_eq!(event, down(event.assoc(), DownReason::Stalled));
        }
    }
    for _ in 0..20 {
        server.send(here, Ppid::ASAP, &numbered(10_000)).unwrap();
        loop {
            match next_of(&mut [&mut honest, &mut server]).await {
                (0, event) => {
                    assert_eq!(event, message(there, Ppid::ASAP, &numbered(10_000)));
                    break;
                }
                (_, event) => assert_eq!(event, down(event.assoc(), DownReason::Stalled)),
            }
        }
    }
}
