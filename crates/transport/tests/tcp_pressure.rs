//! TCP peers that take nothing, or never finish what they say: what waits for them is bounded, and
//! others are served.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test")]

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::task::Poll;
use std::time::Duration;

use rserpool_transport::{
    AssocId, DownReason, Endpoint, Event, Framing, Options, Ppid, TcpEndpoint,
};

const ASAP: Framing = Framing::Message(Ppid::ASAP);

fn server(options: &Options) -> TcpEndpoint {
    TcpEndpoint::bind(&"tcp://127.0.0.1:0".parse().unwrap(), ASAP, options).unwrap()
}

/// A peer that is not ours: a plain socket.
fn stranger(server: &TcpEndpoint) -> TcpStream {
    TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], server.local().port))).unwrap()
}

fn message(len: u16) -> Vec<u8> {
    let mut octets = vec![0x5a; usize::from(len)];
    octets[2..4].copy_from_slice(&len.to_be_bytes());
    octets
}

async fn next(endpoint: &mut TcpEndpoint) -> Event {
    let event = poll_fn(|cx| endpoint.poll_event(cx));
    tokio::time::timeout(Duration::from_secs(60), event).await.expect("no event comes")
}

async fn up(endpoint: &mut TcpEndpoint) -> AssocId {
    loop {
        if let Event::Up { assoc, .. } = next(endpoint).await {
            return assoc;
        }
    }
}

/// The next event that is there now.
async fn now(endpoint: &mut TcpEndpoint) -> Option<Event> {
    poll_fn(|cx| match endpoint.poll_event(cx) {
        Poll::Ready(event) => Poll::Ready(Some(event)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// A peer asks, reads no answers, and has more to ask: reading is paused.
async fn paused(server: &mut TcpEndpoint) -> (AssocId, TcpStream) {
    let mut peer = stranger(server);
    let assoc = up(server).await;
    peer.set_nonblocking(true).unwrap();
    while peer.write(&message(8).repeat(1000)).is_ok() {}
    let mut quiet = 0;
    while quiet < 100 {
        quiet = match now(server).await {
            Some(Event::Message { .. }) => {
                server.send(assoc, Ppid::ASAP, &message(60_000)).unwrap();
                0
            }
            Some(event) => {
                assert_eq!(event, Event::Congested { assoc });
                0
            }
            None => quiet + usize::from(server.queued_octets() > 60_000),
        };
        tokio::task::yield_now().await;
    }
    (assoc, peer)
}

#[tokio::test]
async fn a_close_ends_though_the_peer_asks_on_and_reads_nothing() {
    let close_timeout = Duration::from_millis(100);
    let mut server = server(&Options { close_timeout, ..Options::default() });
    let (assoc, _peer) = paused(&mut server).await;
    server.close(assoc);
    loop {
        match next(&mut server).await {
            // What had arrived before.
            Event::Message { .. } => {}
            event => {
                assert_eq!(event, Event::Down { assoc, reason: DownReason::Timeout });
                break;
            }
        }
    }
    assert_eq!(server.queued_octets(), 0);
}

#[tokio::test]
async fn half_a_message_is_not_kept_for_ever() {
    let message_timeout = Duration::from_millis(100);
    let mut server = server(&Options { message_timeout, ..Options::default() });
    let mut idle = stranger(&server);
    let idle_assoc = up(&mut server).await;
    let mut slow = stranger(&server);
    let assoc = up(&mut server).await;
    slow.write_all(&message(8)).unwrap();
    slow.write_all(&message(1000)[..500]).unwrap();
    assert!(matches!(next(&mut server).await, Event::Message { .. }));
    let down = Event::Down { assoc, reason: DownReason::Stalled };
    assert_eq!(next(&mut server).await, down);
    assert_eq!((server.counters().stalled, server.queued_octets()), (1, 0));
    // Who has said nothing has not begun a message.
    idle.write_all(&message(8)).unwrap();
    let event = next(&mut server).await;
    assert!(matches!(event, Event::Message { assoc, .. } if assoc == idle_assoc));
}

/// Octets that wait never exceed the budget by more than one message, while `honest` is served.
async fn serve(server: &mut TcpEndpoint, honest: AssocId, answers: &mut u32) {
    while let Some(event) = now(server).await {
        if let Event::Message { assoc, .. } = event {
            let len = if assoc == honest { 8 } else { 60_000 };
            *answers += u32::from(assoc == honest);
            let _ = server.send(assoc, Ppid::ASAP, &message(len));
        }
        assert!(server.queued_octets() <= BUDGET + (1 << 16), "{}", server.queued_octets());
    }
}

const BUDGET: usize = 16 << 20;

#[tokio::test]
async fn thousands_of_half_messages_take_no_more_than_the_budget() {
    const PEERS: usize = 3000;
    let mut server = server(&Options { queue_budget: BUDGET, ..Options::default() });
    let mut good = stranger(&server);
    let honest = up(&mut server).await;
    let mut answers = 0;
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        let mut peer = stranger(&server);
        // As much as a message can be, without its end. What was ended may refuse more.
        let _ = peer.write_all(&message(u16::MAX)[..65_000]);
        peers.push(peer);
        serve(&mut server, honest, &mut answers).await;
        tokio::task::yield_now().await;
    }
    while server.counters().over_budget == 0 {
        serve(&mut server, honest, &mut answers).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(answers, 0);
    good.write_all(&message(8)).unwrap();
    while answers == 0 {
        serve(&mut server, honest, &mut answers).await;
        tokio::task::yield_now().await;
    }
    good.read_exact(&mut [0; 8]).unwrap();
}

#[tokio::test]
async fn more_than_a_thousand_that_never_read_take_no_more_than_the_budget() {
    const PEERS: usize = 1200;
    let mut server = server(&Options { queue_budget: BUDGET, ..Options::default() });
    let mut good = stranger(&server);
    let honest = up(&mut server).await;
    let mut answers = 0;
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        let mut peer = stranger(&server);
        let _ = peer.write_all(&message(8).repeat(100));
        peers.push(peer);
        serve(&mut server, honest, &mut answers).await;
        tokio::task::yield_now().await;
    }
    while server.counters().over_budget == 0 {
        serve(&mut server, honest, &mut answers).await;
        tokio::task::yield_now().await;
    }
    good.write_all(&message(8)).unwrap();
    while answers == 0 {
        serve(&mut server, honest, &mut answers).await;
        tokio::task::yield_now().await;
    }
    good.read_exact(&mut [0; 8]).unwrap();
}

#[tokio::test]
async fn a_source_that_takes_all_its_places_leaves_some_for_others() {
    let mut server = server(&Options { associations_max: 4, ..Options::default() });
    let crowd: Vec<TcpStream> = (0..4).map(|_| stranger(&server)).collect();
    for _ in 0..3 {
        up(&mut server).await;
    }
    while server.counters().over_source_limit == 0 {
        assert_eq!(now(&mut server).await, None);
        tokio::task::yield_now().await;
    }
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    other.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    other.connect(&SocketAddr::from(([127, 0, 0, 1], server.local().port)).into()).unwrap();
    let Event::Up { info, .. } = next(&mut server).await else { panic!("nobody came") };
    assert_eq!(info.remote, [std::net::IpAddr::from([127, 0, 0, 2])]);
    drop(crowd);
}
