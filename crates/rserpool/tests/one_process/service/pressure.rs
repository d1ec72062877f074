//! Who takes less than the other one sends, and sessions that end meanwhile.

use super::*;

#[tokio::test]
async fn a_service_that_panics_or_aborts_loses_that_session_and_no_other() {
    let registrar = registrar();
    let server = start(config(&registrar, Scheme::UserlandSctp, "round-robin")).await;
    for (word, heard) in [("panic", None), ("abort", Some(b"soon"))] {
        let other = connect(&registrar).await;
        let session = connect(&registrar).await;
        assert_eq!(count(&session).await, 1);
        session.send(word.as_bytes()).await.unwrap();
        let mut event = soon(session.next()).await.unwrap();
        if heard.is_some_and(|heard| event == Event::Received(heard.to_vec())) {
            event = soon(session.next()).await.unwrap();
        }
        let (from, reason) = (server.id(), FailureReason::Lost);
        assert_eq!(event, Event::FailoverNeeded { from, reason });
        assert_eq!(fails_over(&session).await, (from, reason, true));
        assert_eq!(count(&session).await, 2);
        assert_eq!(count(&other).await, 1);
    }
}

#[tokio::test]
async fn a_client_that_sends_more_than_is_taken_is_slowed_down() {
    const MESSAGES: u32 = 1000;
    let registrar = registrar();
    let service = Arc::new(Counter { sleeps: true.into() });
    let config = config(&registrar, Scheme::Tcp, "round-robin");
    let server = Server::start(config, Shared(Arc::clone(&service))).unwrap();
    soon(server.element().registered()).await.unwrap();
    let (interval, deadline) = (Duration::from_millis(20), Duration::from_millis(300));
    let keep_alive = session::KeepAlive::new(interval, deadline);
    let config = Config::new().keep_alive(keep_alive);
    let session = soon(Session::connect(user(&[&registrar]), pool(), config)).await.unwrap();
    let session = Arc::new(session);
    let sender = Arc::clone(&session);
    let sending = tokio::spawn(async move {
        for _ in 0..MESSAGES {
            sender.send(&[0; 60_000]).await.unwrap();
        }
    });
    until(async || server.stats().paused == 1).await;
    // It is told that the server lives, for longer than a silent one may be.
    until(async || session.stats().keep_alives_answered > 10).await;
    assert!(!sending.is_finished());
    service.sleeps.store(false, Ordering::Relaxed);
    for number in 1..=MESSAGES {
        assert_eq!(answer(&session).await, number.to_be_bytes());
    }
    sending.await.unwrap();
    assert_eq!((server.stats().overrun, session.stats().failovers), (0, 0));
}

/// A service that others hold as well.
struct Shared(Arc<Counter>);

impl Service for Shared {
    async fn serve(self: Arc<Self>, session: server::Session) {
        Arc::clone(&self.0).serve(session).await;
    }
}

#[tokio::test]
async fn a_service_that_takes_nothing_any_more_loses_its_session_in_the_end() {
    let registrar = registrar();
    let service = Counter { sleeps: true.into() };
    let mut config = config(&registrar, Scheme::Tcp, "round-robin");
    config.stall_timeout = Duration::from_millis(300);
    let server = Server::start(config, service).unwrap();
    soon(server.element().registered()).await.unwrap();
    let session = connect(&registrar).await;
    let octets = vec![0; 60_000];
    let lost = soon(async {
        loop {
            if let Err(error) = session.send(&octets).await {
                return error;
            }
        }
    })
    .await;
    assert_eq!(lost, SendError::ServerLost);
    assert_eq!(server.stats().overrun, 1);
}

// The socket of SCTP in userland has the messages of all clients.
#[tokio::test]
async fn a_client_that_cannot_be_slowed_down_is_cut_off() {
    let registrar = registrar();
    let service = Counter { sleeps: true.into() };
    let config = config(&registrar, Scheme::UserlandSctp, "round-robin");
    let server = Server::start(config, service).unwrap();
    soon(server.element().registered()).await.unwrap();
    let session = connect(&registrar).await;
    let octets = vec![0; 60_000];
    let lost = soon(async {
        loop {
            if let Err(error) = session.send(&octets).await {
                return error;
            }
        }
    })
    .await;
    assert_eq!(lost, SendError::ServerLost);
    until(async || server.stats().overrun == 1).await;
}

#[tokio::test]
async fn how_much_may_wait_is_what_the_server_says() {
    let registrar = registrar();
    for (scheme, octets) in [(Scheme::Tcp, 2_000), (Scheme::UserlandSctp, 2_000)] {
        let service = Counter { sleeps: true.into() };
        let config =
            config(&registrar, scheme, "round-robin").unread_max(1_000).unread_limit(5_000);
        let server = Server::start(config, service).unwrap();
        soon(server.element().registered()).await.unwrap();
        let session = connect(&registrar).await;
        session.send(&vec![0; octets]).await.unwrap();
        if scheme == Scheme::Tcp {
            until(async || server.stats().paused == 1).await;
            assert_eq!(server.stats().overrun, 0);
            drop(server);
            continue;
        }
        for _ in 0..3 {
            let _ = session.send(&vec![0; octets]).await;
        }
        until(async || server.stats().overrun == 1).await;
        assert_eq!(server.stats().paused, 0);
        drop(server);
    }
}

/// What a number is when it does not grow any more, though all tasks had their turns.
async fn settled(number: impl Fn() -> usize) -> usize {
    let (mut before, mut turns) = (number(), 0);
    while before == 0 || turns < 20_000 {
        tokio::task::yield_now().await;
        turns = if number() == before { turns + 1 } else { 0 };
        before = number();
    }
    before
}

/// Takes what a client says first, and then says as much as it can.
struct Flood {
    sent: AtomicUsize,
}

impl Service for Flood {
    async fn serve(self: Arc<Self>, mut session: server::Session) {
        let _ = session.next().await;
        while session.send(Ppid(9), &[0; 60_000]).await.is_ok() {
            self.sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct SharedFlood(Arc<Flood>);

impl Service for SharedFlood {
    async fn serve(self: Arc<Self>, session: server::Session) {
        Arc::clone(&self.0).serve(session).await;
    }
}

#[tokio::test]
async fn who_takes_nothing_of_its_server_slows_it_down() {
    let registrar = registrar();
    let flood = Arc::new(Flood { sent: AtomicUsize::new(0) });
    let config = config(&registrar, Scheme::Tcp, "round-robin");
    let server = Server::start(config, SharedFlood(Arc::clone(&flood))).unwrap();
    soon(server.element().registered()).await.unwrap();
    let session = connect(&registrar).await;
    session.send(b"begin").await.unwrap();
    let sent = settled(|| flood.sent.load(Ordering::Relaxed)).await;
    assert!(sent * 60_000 < 32 << 20, "{sent} messages");
    // It goes on where it was, with the same server, when it is listened to again.
    for _ in 0..sent + 100 {
        assert_eq!(answer(&session).await.len(), 60_000);
    }
    assert_eq!(session.stats().failovers, 0);
}

#[tokio::test]
async fn a_message_without_octets_is_refused_and_nothing_else_happens() {
    struct Mute;
    impl Service for Mute {
        async fn serve(self: Arc<Self>, mut session: server::Session) {
            while let Some(event) = session.next().await {
                let server::Event::Message { ppid, .. } = event else { continue };
                let nothing = session.send(ppid, &[]).await;
                assert_eq!(nothing, Err(server::SendError::Empty));
                let long = session.send(ppid, &[0; 65_537]).await;
                assert!(matches!(long, Err(server::SendError::TooLong { octets_max: 65_536, .. })));
                session.send(ppid, b"well").await.unwrap();
            }
        }
    }
    for scheme in SCHEMES {
        let registrar = registrar();
        let server = Server::start(config(&registrar, scheme, "round-robin"), Mute).unwrap();
        soon(server.element().registered()).await.unwrap();
        let session = connect(&registrar).await;
        for _ in 0..2 {
            assert_eq!(session.send(&[]).await, Err(SendError::Empty));
            let long = session.send(&[0; 65_537]).await;
            let (octets, octets_max) = (65_537, 65_536);
            assert_eq!(long, Err(SendError::TooLong { octets, octets_max }));
            session.send(b"say").await.unwrap();
            assert_eq!(answer(&session).await, b"well");
        }
        assert_eq!(session.stats().failovers, 0);
    }
}

#[tokio::test]
async fn a_session_lives_while_nobody_looks() {
    for scheme in SCHEMES {
        let registrar = registrar();
        let first = start(config(&registrar, scheme, "priority:2")).await;
        let second = start(config(&registrar, scheme, "priority:1")).await;
        let session = connect(&registrar).await;
        // It leaves without a call of next.
        session.send(b"count").await.unwrap();
        until(async || session.has_cookie()).await;
        // Keep-alives, too.
        until(async || session.stats().keep_alives >= 2).await;
        drop(first);
        until(async || second.stats().resumed == 1).await;
        assert_eq!(session.send(b"lost").await, Err(SendError::ServerLost));
        assert_eq!(answer(&session).await, 1_u32.to_be_bytes());
        let (to, _, resumed) = fails_over(&session).await;
        assert_eq!((to, resumed), (second.id(), true));
        assert_eq!(count(&session).await, 2);
    }
}

#[tokio::test]
async fn what_was_sent_is_delivered_before_a_close_and_a_close_has_an_end() {
    let registrar = registrar();
    let server = start(config(&registrar, Scheme::Tcp, "round-robin")).await;
    let session = connect(&registrar).await;
    session.send(b"count").await.unwrap();
    assert!(soon(session.close()).await);
    until(async || server.stats().sessions == 0).await;

    // A server that takes nothing.
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut member = element::Config::new(
        urls(&[&registrar]),
        PoolHandle::new("deaf".as_bytes()).unwrap(),
        transport(deaf.local_addr().unwrap().port()),
    );
    member.policy = "round-robin".parse().unwrap();
    let member = PoolElement::start(member).unwrap();
    soon(member.registered()).await.unwrap();
    let handle = PoolHandle::new("deaf".as_bytes()).unwrap();
    let config = Config::new().close_timeout(Duration::from_millis(100));
    let session = soon(Session::connect(user(&[&registrar]), handle, config)).await.unwrap();
    session.send(b"hello").await.unwrap();
    assert!(!soon(session.close()).await);
}

#[tokio::test]
async fn clients_that_take_nothing_keep_no_place_once_their_service_is_done() {
    /// Says more than any connection holds, and is done.
    struct Talker;
    impl Service for Talker {
        async fn serve(self: Arc<Self>, mut session: server::Session) {
            let _ = session.next().await;
            for _ in 0..4 {
                let _ = session.send(Ppid(9), &[0; 60_000]).await;
            }
        }
    }
    let registrar = registrar();
    let mut config = config(&registrar, Scheme::Tcp, "round-robin");
    config.sessions_max = 4;
    config.close_timeout = Duration::from_millis(300);
    let server = Server::start(config, Talker).unwrap();
    soon(server.element().registered()).await.unwrap();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], server.url().port));
    let mut deaf = Vec::new();
    for _ in 0..4 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // Little room, so that what is sent waits at the server.
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        stream.write_all(&record(Ppid(9), b"talk")).await.unwrap();
        deaf.push(stream);
    }
    until(async || server.stats().sessions_begun == 4).await;
    until(async || server.stats().sessions == 0).await;
    let session = connect(&registrar).await;
    session.send(b"talk").await.unwrap();
    assert_eq!(answer(&session).await.len(), 60_000);
}

// Checklist 39.
#[tokio::test]
async fn what_is_short_and_never_taken_is_not_kept_for_ever_either() {
    let registrar = registrar();
    let service = Counter { sleeps: true.into() };
    let mut config = config(&registrar, Scheme::Tcp, "round-robin");
    config.stall_timeout = Duration::from_millis(300);
    let server = Server::start(config, service).unwrap();
    soon(server.element().registered()).await.unwrap();
    let elements = registrar.pools().await.unwrap().remove(0).elements;
    let card = BusinessCard { handle: pool(), elements };
    let card = Message::from(Asap::BusinessCard(card)).encode();
    for (number, (ppid, octets)) in (1..).zip([(Ppid(9), vec![0]), (Ppid::ASAP, card)]) {
        let mut rude = Rude::dial(server.url()).await;
        // Of a few octets each.
        for _ in 0..500 {
            for _ in 0..100 {
                let _ = rude.endpoints.send(rude.assoc, ppid, &octets);
            }
            rude.goes_on().await;
        }
        until(async || {
            rude.goes_on().await;
            server.stats().overrun == number
        })
        .await;
    }
}
