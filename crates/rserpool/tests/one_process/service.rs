//! Servers with sessions, and the state that outlives them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rserpool::element::{self, PoolElement};
use rserpool::proto::session::Cookies;
use rserpool::proto::session::cookie::Key;
use rserpool::registrar::Registrar;
use rserpool::server::{self, CookieError, LoadReport, Server, Service};
use rserpool::session::{self, Config, Event, FailureReason, SendError, Session};
use rserpool::transport::{Address, Endpoints, Framing, Options, Ppid, Scheme};
use rserpool::wire::asap::{BusinessCard, KeepAlive, KeepAliveAck};
use rserpool::wire::param::{Cookie, Load, PeId, Policy, PoolHandle, Transport, TransportUse};
use rserpool::wire::{Asap, Message, Protocol};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::servers::{pool, registrar, soon, transport, until, urls, user};

/// Counts the messages of a session; the count is its state.
#[derive(Default)]
struct Counter {
    /// It takes no messages.
    sleeps: AtomicBool,
}

impl Service for Counter {
    async fn serve(self: Arc<Self>, mut session: server::Session) {
        let mut count: u32 = 0;
        while self.sleeps.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        while let Some(event) = session.next().await {
            match event {
                server::Event::Resumed(state) => {
                    count = u32::from_be_bytes(state.try_into().unwrap());
                }
                server::Event::Message { octets, .. } if octets == b"panic" => panic!("as asked"),
                server::Event::Message { ppid, octets } if octets == b"abort" => {
                    let _ = session.send(ppid, b"soon").await;
                    return session.abort();
                }
                server::Event::Message { ppid, octets } if octets.starts_with(b"state") => {
                    let said = match session.send_cookie(&octets).await {
                        Ok(()) => "sent".into(),
                        Err(error) => error.to_string(),
                    };
                    let _ = session.send(ppid, said.as_bytes()).await;
                }
                server::Event::Message { ppid, .. } => {
                    count += 1;
                    let sent = async {
                        session.send_cookie(&count.to_be_bytes()).await?;
                        Ok::<_, CookieError>(session.send(ppid, &count.to_be_bytes()).await?)
                    };
                    if sent.await.is_err() {
                        return;
                    }
                }
                server::Event::Draining => return,
                _ => {}
            }
        }
    }

    fn load_report(&self, sessions: usize, sessions_max: usize) -> LoadReport {
        LoadReport::of_sessions(sessions, sessions_max)
    }
}

const SCHEMES: [Scheme; 2] = [Scheme::Tcp, Scheme::UserlandSctp];

fn config(registrar: &Registrar, scheme: Scheme, policy: &str) -> server::Config {
    let url = "tcp://127.0.0.1:0".parse::<Address>().unwrap().with_scheme(scheme);
    let mut config = server::Config::new(urls(&[registrar]), pool(), url);
    config.element.element.policy = policy.parse().unwrap();
    config
}

async fn start(config: server::Config) -> Server {
    let server = Server::start(config, Counter::default()).unwrap();
    soon(server.element().registered()).await.unwrap();
    server
}

async fn connect(registrar: &Registrar) -> Session {
    soon(Session::connect(user(&[registrar]), pool(), Config::default())).await.unwrap()
}

async fn answer(session: &Session) -> Vec<u8> {
    match soon(session.next()).await.unwrap() {
        Event::Received(octets) => octets,
        other => panic!("{other:?}"),
    }
}

/// Counts one further, and says how far.
async fn count(session: &Session) -> u32 {
    session.send(b"count").await.unwrap();
    u32::from_be_bytes(answer(session).await.try_into().unwrap())
}

async fn fails_over(session: &Session) -> (PeId, FailureReason, bool) {
    loop {
        match soon(session.next()).await.unwrap() {
            Event::FailedOver { to, reason, resumed, .. } => return (to, reason, resumed),
            Event::FailoverNeeded { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

fn sealed() -> Cookies {
    Cookies::sealed(vec![Key::new(&[7; 32]).unwrap()], [1; 32])
}

#[tokio::test]
async fn a_session_goes_on_where_its_server_left_it() {
    for scheme in SCHEMES {
        for has_key in [false, true] {
            let registrar = registrar();
            let mut servers = Vec::new();
            for priority in [3, 2, 1] {
                let mut config = config(&registrar, scheme, &format!("priority:{priority}"));
                if has_key {
                    config.cookies = sealed();
                }
                servers.push(start(config).await);
            }
            let session = connect(&registrar).await;
            assert_eq!([count(&session).await, count(&session).await], [1, 2]);
            for number in 0..2 {
                let next = servers[1].id();
                drop(servers.remove(0));
                let (to, _, resumed) = fails_over(&session).await;
                assert_eq!((to, resumed), (next, true));
                assert_eq!(count(&session).await, 3 + number);
                assert_eq!(servers[0].stats().resumed, 1);
            }
        }
    }
}

#[tokio::test]
async fn a_server_with_another_key_begins_the_session_anew() {
    let registrar = registrar();
    let mut first = config(&registrar, Scheme::Tcp, "priority:2");
    first.cookies = Cookies::sealed(vec![Key::new(&[8; 32]).unwrap()], [1; 32]);
    let mut second = config(&registrar, Scheme::Tcp, "priority:1");
    second.cookies = sealed();
    let (first, second) = (start(first).await, start(second).await);
    let session = connect(&registrar).await;
    assert_eq!([count(&session).await, count(&session).await], [1, 2]);
    drop(first);
    fails_over(&session).await;
    assert_eq!(count(&session).await, 1);
    let stats = second.stats();
    assert_eq!((stats.resumed, stats.cookies_refused), (0, 1));
    // Its client knows.
    assert_eq!(session.stats().cookies_refused, 1);
    // The key that both know from now on.
    let keys = vec![Key::new(&[9; 32]).unwrap(), Key::new(&[7; 32]).unwrap()];
    second.set_keys(keys).unwrap();
    assert!(matches!(second.set_keys(Vec::new()), Err(rserpool::Error::CookieKeys(_))));
    assert_eq!(count(&session).await, 2);
}

#[tokio::test]
async fn who_leaves_in_good_order_hands_its_sessions_over_first() {
    for scheme in SCHEMES {
        let registrar = registrar();
        let first = start(config(&registrar, scheme, "priority:2")).await;
        let second = start(config(&registrar, scheme, "priority:1")).await;
        let session = connect(&registrar).await;
        assert_eq!(count(&session).await, 1);
        let drained = tokio::spawn(first.drain(Duration::from_secs(60)));
        let moved = (second.id(), FailureReason::Closed, true);
        assert_eq!(fails_over(&session).await, moved);
        assert_eq!(count(&session).await, 2);
        soon(drained).await.unwrap().unwrap();
        let pools = registrar.pools().await.unwrap();
        assert_eq!(pools[0].elements.len(), 1);
        assert_eq!(registrar.stats().await.unwrap().reports, 0);
    }
}

#[tokio::test]
async fn a_state_that_does_not_fit_is_refused_and_the_one_before_stays() {
    for has_key in [false, true] {
        let registrar = registrar();
        let mut config = config(&registrar, Scheme::UserlandSctp, "priority:2");
        if has_key {
            config.cookies = sealed().encrypted();
        }
        let first = start(config).await;
        let session = connect(&registrar).await;
        let most = Cookies::state_max(&pool());
        let mut state = b"state".to_vec();
        state.resize(most, 0);
        session.send(&state).await.unwrap();
        assert_eq!(answer(&session).await, b"sent");
        assert_eq!([count(&session).await, count(&session).await], [1, 2]);
        state.push(0);
        session.send(&state).await.unwrap();
        let refused = CookieError::TooLong { octets: most + 1, octets_max: most };
        assert_eq!(answer(&session).await, refused.to_string().into_bytes());
        let mut config = crate::service::config(&registrar, Scheme::UserlandSctp, "priority:1");
        config.cookies = if has_key { sealed() } else { Cookies::plain() };
        let _second = start(config).await;
        drop(first);
        fails_over(&session).await;
        assert_eq!(count(&session).await, 3);
    }
}

// Checklist 130.
#[tokio::test]
async fn a_business_card_spares_the_registrar() {
    let registrar = registrar();
    let second = start(config(&registrar, Scheme::Tcp, "priority:1")).await;
    let mut first = config(&registrar, Scheme::Tcp, "priority:2");
    first.card_items = 2;
    let first = start(first).await;
    // Its second look at the pool may be a while away; whoever comes after the first has the card.
    let mut session = connect(&registrar).await;
    until(async || {
        session = connect(&registrar).await;
        count(&session).await;
        session.stats().cards > 0
    })
    .await;
    registrar.stop().await;
    drop(first);
    let (to, _, resumed) = fails_over(&session).await;
    assert_eq!((to, resumed), (second.id(), true));
    assert_eq!(count(&session).await, 2);
}

#[tokio::test]
async fn there_are_only_so_many_sessions_and_the_load_tells_how_many() {
    let registrar = registrar();
    let mut config = config(&registrar, Scheme::Tcp, "least-used");
    config.sessions_max = 2;
    let server = start(config).await;
    let load = async |expected: f64| {
        until(async || {
            let pools = registrar.pools().await.unwrap();
            let policy = &pools[0].elements[0].policy;
            *policy == Policy::least_used(Load::from_fraction(expected))
        })
        .await;
    };
    let one = connect(&registrar).await;
    load(0.5).await;
    let two = connect(&registrar).await;
    load(1.0).await;
    let hasty = Config { failover_timeout: Duration::from_millis(200), ..Config::default() };
    let third = Session::connect(user(&[&registrar]), pool(), hasty).await.unwrap();
    // Who is refused is let in first.
    let refused = third.next().await.unwrap();
    let (from, reason) = (server.id(), FailureReason::Closed);
    assert_eq!(refused, Event::FailoverNeeded { from, reason });
    assert!(server.stats().sessions_refused > 0);
    drop((one, two));
    load(0.0).await;
}

#[tokio::test]
async fn a_server_that_is_full_is_not_reported() {
    for scheme in SCHEMES {
        let registrar = registrar();
        let mut full = config(&registrar, scheme, "priority:2");
        full.sessions_max = 1;
        let full = start(full).await;
        let one = connect(&registrar).await;
        let second = start(config(&registrar, scheme, "priority:1")).await;
        assert_eq!(count(&one).await, 1);
        for _ in 0..3 {
            let other = connect(&registrar).await;
            let moved = (second.id(), FailureReason::Closed, false);
            assert_eq!(fails_over(&other).await, moved);
            assert_eq!(count(&other).await, 1);
        }
        assert_eq!(full.stats().sessions_refused, 3);
        assert_eq!(registrar.stats().await.unwrap().reports, 0);
        assert_eq!(count(&one).await, 2);
    }
}

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
    let keep_alive = Some(session::KeepAlive { interval, deadline });
    let config = Config { keep_alive, ..Config::default() };
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
    member.element.policy = "round-robin".parse().unwrap();
    let member = PoolElement::start(member).unwrap();
    soon(member.registered()).await.unwrap();
    let handle = PoolHandle::new("deaf".as_bytes()).unwrap();
    let config = Config { close_timeout: Duration::from_millis(100), ..Config::default() };
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

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let registrar = registrar();
    let mut limited = config(&registrar, Scheme::Tcp, "round-robin");
    limited.sessions_max = 8;
    let server = start(limited).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(Rude::dial(server.url()).await);
    }
    // It may be sent away in the first second, and comes back.
    let session = connect(&registrar).await;
    let said = loop {
        let _ = session.send(b"count").await;
        match soon(session.next()).await.unwrap() {
            Event::Received(octets) => break octets,
            Event::FailoverNeeded { .. } | Event::FailedOver { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(said, 1_u32.to_be_bytes());
    // Who speaks keeps its place, whoever comes.
    for _ in 0..20 {
        silent.push(Rude::dial(server.url()).await);
    }
    assert_eq!(count(&session).await, 2);
    let stats = server.stats();
    assert!(stats.sessions <= 8 && stats.silent >= 1 && stats.sessions_refused >= 12, "{stats:?}");
}

#[tokio::test]
async fn who_says_nothing_in_time_is_let_go() {
    let registrar = registrar();
    let mut config = config(&registrar, Scheme::Tcp, "round-robin");
    config.first_message_timeout = Some(Duration::from_millis(700));
    let server = start(config).await;
    let mut silent = Rude::dial(server.url()).await;
    // It says that it is there.
    let session = connect(&registrar).await;
    let event = soon(silent.endpoints.next()).await;
    let closed = rserpool::transport::DownReason::Closed;
    assert!(
        matches!(event, rserpool::transport::Event::Down { reason, .. } if reason == closed),
        "{event:?}"
    );
    assert_eq!(count(&session).await, 1);
    assert_eq!((server.stats().silent, session.stats().failovers), (1, 0));
}

/// A client that says what it likes.
struct Rude {
    endpoints: Endpoints,
    assoc: rserpool::transport::AssocId,
}

impl Rude {
    async fn dial(url: &Address) -> Self {
        let mut endpoints = Endpoints::new(Options::default());
        let assoc = endpoints.connect(&url.resolve().await.unwrap(), Framing::Record).unwrap();
        let up = soon(endpoints.next()).await;
        assert!(matches!(up, rserpool::transport::Event::Up { .. }), "{up:?}");
        Self { endpoints, assoc }
    }

    fn control(&mut self, asap: Asap) {
        self.endpoints.send(self.assoc, Ppid::ASAP, &Message::from(asap).encode()).unwrap();
    }

    fn say(&mut self, ppid: Ppid, octets: &[u8]) {
        self.endpoints.send(self.assoc, ppid, octets).unwrap();
    }

    /// Lets what is queued be sent.
    async fn goes_on(&mut self) {
        tokio::select! {
            biased;
            _ = self.endpoints.next() => {}
            () = tokio::task::yield_now() => {}
        }
    }

    async fn hears(&mut self) -> (Ppid, Vec<u8>) {
        match soon(self.endpoints.next()).await {
            rserpool::transport::Event::Message { ppid, octets, .. } => (ppid, octets),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn servers_that_were_made_with_the_same_seed_use_different_nonces() {
    let registrar = registrar();
    let mut cookies = Vec::new();
    for _ in 0..2 {
        let mut config = config(&registrar, Scheme::Tcp, "round-robin");
        config.cookies = sealed().encrypted();
        let server = start(config).await;
        let mut rude = Rude::dial(server.url()).await;
        rude.say(Ppid(9), b"count");
        let (ppid, octets) = rude.hears().await;
        assert_eq!(ppid, Ppid::ASAP);
        cookies.push(octets);
    }
    let nonce = |cookie: &[u8]| cookie[4 + 24..4 + 48].to_vec();
    assert_ne!(nonce(&cookies[0]), nonce(&cookies[1]));
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

#[tokio::test]
async fn a_control_channel_takes_anything_and_believes_little() {
    let registrar = registrar();
    let mut config = config(&registrar, Scheme::Tcp, "round-robin");
    config.cookies = sealed();
    let server = start(config).await;
    let forged = Asap::CookieEcho(Cookie::new([0, 0, 1, 0]).unwrap());
    let mut rude = Rude::dial(server.url()).await;
    rude.say(Ppid::ASAP, b"\xff\xff\xff\xff");
    rude.say(Ppid::ASAP, b"\x0c");
    rude.control(Asap::KeepAliveAck(KeepAliveAck { handle: pool(), id: PeId(1) }));
    rude.control(forged.clone());
    rude.control(forged.clone());
    let question =
        KeepAlive { claim_home: false, sender: None, handle: pool(), id: Some(server.id()) };
    rude.control(Asap::KeepAlive(question));
    let ack = Asap::KeepAliveAck(KeepAliveAck { handle: pool(), id: server.id() });
    assert_eq!(rude.hears().await, (Ppid::ASAP, Message::from(ack).encode()));
    // The session begins at the beginning.
    rude.say(Ppid(9), b"count");
    let (ppid, octets) = rude.hears().await;
    let Message::Asap(Asap::Cookie(cookie)) =
        Message::decode(Protocol::Asap, &octets).unwrap().message
    else {
        panic!()
    };
    assert_eq!(ppid, Ppid::ASAP);
    assert_eq!(rude.hears().await, (Ppid(9), vec![0, 0, 0, 1]));
    rude.control(Asap::CookieEcho(cookie.clone()));
    rude.say(Ppid(9), b"count");
    rude.hears().await;
    assert_eq!(rude.hears().await, (Ppid(9), vec![0, 0, 0, 2]));
    let stats = server.stats();
    assert_eq!((stats.malformed, stats.cookies_refused, stats.cookies_late), (3, 1, 2));
    // A long cookie in a new session.
    let mut rude = Rude::dial(server.url()).await;
    rude.control(Asap::CookieEcho(Cookie::new(vec![b'R'; Cookie::MAX_LEN]).unwrap()));
    rude.control(Asap::CookieEcho(cookie));
    rude.say(Ppid(9), b"count");
    rude.hears().await;
    assert_eq!(rude.hears().await, (Ppid(9), vec![0, 0, 0, 1]));
}

/// A record of framed TCP.
fn record(ppid: Ppid, octets: &[u8]) -> Vec<u8> {
    let length = u32::try_from(octets.len()).unwrap();
    [&ppid.0.to_be_bytes()[..], &length.to_be_bytes(), octets].concat()
}

#[tokio::test]
async fn a_client_takes_anything_on_its_control_channel_and_believes_little() {
    let registrar = registrar();
    // A server that says what it likes.
    let rude = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let Transport::Tcp { port, address, .. } = transport(rude.local_addr().unwrap().port()) else {
        panic!()
    };
    let transport_use = TransportUse::DataPlusControl;
    let at = Transport::Tcp { port, transport_use, address };
    let mut member = element::Config::new(urls(&[&registrar]), pool(), at);
    member.element.policy = "priority:2".parse().unwrap();
    let member = PoolElement::start(member).unwrap();
    soon(member.registered()).await.unwrap();
    let honest = start(config(&registrar, Scheme::Tcp, "priority:1")).await;

    let session = connect(&registrar).await;
    let (mut server, _) = soon(rude.accept()).await.unwrap();
    let cookie = Cookie::new([0, 0, 0, 7]).unwrap();
    let elsewhere = PoolHandle::new("elsewhere".as_bytes()).unwrap();
    let elements = registrar.pools().await.unwrap().remove(0).elements;
    let said = [
        Asap::Cookie(Cookie::new(vec![b'x'; Cookie::MAX_LEN]).unwrap()),
        Asap::Cookie(cookie.clone()),
        Asap::CookieEcho(cookie),
        Asap::KeepAliveAck(KeepAliveAck { handle: elsewhere.clone(), id: PeId(9) }),
        Asap::BusinessCard(BusinessCard { handle: elsewhere, elements }),
    ];
    let mut octets = record(Ppid::ASAP, b"\xff\xff\xff\xff");
    for asap in said {
        octets.extend(record(Ppid::ASAP, &Message::from(asap).encode()));
    }
    octets.extend(record(Ppid(9), b"data"));
    server.write_all(&octets).await.unwrap();
    assert_eq!(answer(&session).await, b"data");
    let stats = session.stats();
    assert_eq!((stats.malformed, stats.cookies, stats.cards, stats.unexpected), (1, 2, 0, 3));
    // What is longer than any message ends the association; the session goes on.
    let _ = server.write_all(&record(Ppid::ASAP, &[0; 1 << 17])).await;
    let (to, reason, resumed) = fails_over(&session).await;
    assert_eq!((to, reason, resumed), (honest.id(), FailureReason::Lost, true));
    assert_eq!(count(&session).await, 8);
}

#[tokio::test]
async fn datagrams_have_sessions_without_state() {
    let registrar = registrar();
    let mut config = config(&registrar, Scheme::Udp, "priority:2");
    config.transport_use = TransportUse::DataOnly;
    let first = start(config).await;
    let session = connect(&registrar).await;
    assert_eq!([count(&session).await, count(&session).await], [1, 2]);
    assert!(!session.has_cookie());
    let second = {
        let mut config = crate::service::config(&registrar, Scheme::Udp, "priority:1");
        config.transport_use = TransportUse::DataOnly;
        start(config).await
    };
    drop(first);
    // Only what is sent tells that nobody is there.
    let moved = soon(async {
        loop {
            let _ = session.send(b"count").await;
            tokio::select! {
                biased;
                moved = fails_over(&session) => return moved,
                () = tokio::task::yield_now() => {}
            }
        }
    });
    let (to, _, resumed) = moved.await;
    assert_eq!((to, resumed), (second.id(), false));
    count(&session).await;
}

#[tokio::test]
async fn a_server_does_not_answer_another_one() {
    /// Sends back what it gets.
    struct Mirror;
    impl Service for Mirror {
        async fn serve(self: Arc<Self>, mut session: server::Session) {
            while let Some(event) = session.next().await {
                let server::Event::Message { ppid, octets } = event else { continue };
                let _ = session.send(ppid, &octets).await;
            }
        }
    }
    let registrar = registrar();
    // Another element of the pool, which would answer as well.
    let other = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (port, address) = (other.local_addr().unwrap().port(), [127, 0, 0, 1].into());
    let at = Transport::Udp { port, address };
    let member = PoolElement::start(element::Config::new(urls(&[&registrar]), pool(), at)).unwrap();
    soon(member.registered()).await.unwrap();
    let mut config = config(&registrar, Scheme::Udp, "round-robin");
    config.transport_use = TransportUse::DataOnly;
    let server = Server::start(config, Mirror).unwrap();
    soon(server.element().registered()).await.unwrap();
    let to = ("127.0.0.1", server.url().port);
    let user = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // Until it has had a look at its pool.
    until(async || {
        other.send_to(b"loop", to).await.unwrap();
        server.stats().datagrams_refused > 0
    })
    .await;
    user.send_to(b"question", to).await.unwrap();
    let mut octets = [0; 100];
    let (length, _) = soon(user.recv_from(&mut octets)).await.unwrap();
    assert_eq!(&octets[..length], b"question");
}
