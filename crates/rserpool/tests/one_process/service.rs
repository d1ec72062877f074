//! Servers with sessions, and the state that outlives them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rserpool::element::{self, PoolElement};
use rserpool::proto::session::Cookies;
use rserpool::proto::session::cookie::Key;
use rserpool::registrar::Registrar;
use rserpool::server::{self, CookieError, Server, Service, Standing};
use rserpool::session::{Config, Event, FailureReason, Session};
use rserpool::transport::{Address, Endpoints, Framing, Options, Ppid, Scheme, SendError};
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

    fn standing(&self, sessions: usize, sessions_max: usize) -> Standing {
        Standing::of_sessions(sessions, sessions_max)
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

async fn answer(session: &mut Session) -> Vec<u8> {
    match soon(session.next()).await.unwrap() {
        Event::Received(octets) => octets,
        other => panic!("{other:?}"),
    }
}

/// Counts one further, and says how far.
async fn count(session: &mut Session) -> u32 {
    session.send(b"count").unwrap();
    u32::from_be_bytes(answer(session).await.try_into().unwrap())
}

async fn fails_over(session: &mut Session) -> (PeId, FailureReason, bool) {
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
            let mut session = connect(&registrar).await;
            assert_eq!([count(&mut session).await, count(&mut session).await], [1, 2]);
            for number in 0..2 {
                let next = servers[1].id();
                drop(servers.remove(0));
                let (to, _, resumed) = fails_over(&mut session).await;
                assert_eq!((to, resumed), (next, true));
                assert_eq!(count(&mut session).await, 3 + number);
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
    let mut session = connect(&registrar).await;
    assert_eq!([count(&mut session).await, count(&mut session).await], [1, 2]);
    drop(first);
    fails_over(&mut session).await;
    assert_eq!(count(&mut session).await, 1);
    let stats = second.stats();
    assert_eq!((stats.resumed, stats.cookies_refused), (0, 1));
    // The key that both know from now on.
    let keys = vec![Key::new(&[9; 32]).unwrap(), Key::new(&[7; 32]).unwrap()];
    second.set_keys(keys).unwrap();
    assert!(matches!(second.set_keys(Vec::new()), Err(rserpool::Error::CookieKeys(_))));
    assert_eq!(count(&mut session).await, 2);
}

#[tokio::test]
async fn who_leaves_in_good_order_hands_its_sessions_over_first() {
    for scheme in SCHEMES {
        let registrar = registrar();
        let first = start(config(&registrar, scheme, "priority:2")).await;
        let second = start(config(&registrar, scheme, "priority:1")).await;
        let mut session = connect(&registrar).await;
        assert_eq!(count(&mut session).await, 1);
        let drained = tokio::spawn(first.drain(Duration::from_secs(60)));
        let moved = (second.id(), FailureReason::Closed, true);
        assert_eq!(fails_over(&mut session).await, moved);
        assert_eq!(count(&mut session).await, 2);
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
        let mut session = connect(&registrar).await;
        let most = Cookies::state_max(&pool());
        let mut state = b"state".to_vec();
        state.resize(most, 0);
        session.send(&state).unwrap();
        assert_eq!(answer(&mut session).await, b"sent");
        assert_eq!([count(&mut session).await, count(&mut session).await], [1, 2]);
        state.push(0);
        session.send(&state).unwrap();
        let refused = CookieError::TooLong { octets: most + 1, octets_max: most };
        assert_eq!(answer(&mut session).await, refused.to_string().into_bytes());
        let mut config = crate::service::config(&registrar, Scheme::UserlandSctp, "priority:1");
        config.cookies = if has_key { sealed() } else { Cookies::plain() };
        let _second = start(config).await;
        drop(first);
        fails_over(&mut session).await;
        assert_eq!(count(&mut session).await, 3);
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
        count(&mut session).await;
        session.stats().cards > 0
    })
    .await;
    registrar.stop().await;
    drop(first);
    let (to, _, resumed) = fails_over(&mut session).await;
    assert_eq!((to, resumed), (second.id(), true));
    assert_eq!(count(&mut session).await, 2);
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
    let mut third = Session::connect(user(&[&registrar]), pool(), hasty).await.unwrap();
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
        let mut one = connect(&registrar).await;
        let second = start(config(&registrar, scheme, "priority:1")).await;
        assert_eq!(count(&mut one).await, 1);
        for _ in 0..3 {
            let mut other = connect(&registrar).await;
            let moved = (second.id(), FailureReason::Closed, false);
            assert_eq!(fails_over(&mut other).await, moved);
            assert_eq!(count(&mut other).await, 1);
        }
        assert_eq!(full.stats().sessions_refused, 3);
        assert_eq!(registrar.stats().await.unwrap().reports, 0);
        assert_eq!(count(&mut one).await, 2);
    }
}

#[tokio::test]
async fn a_service_that_panics_or_aborts_loses_that_session_and_no_other() {
    let registrar = registrar();
    let server = start(config(&registrar, Scheme::UserlandSctp, "round-robin")).await;
    for (word, heard) in [("panic", None), ("abort", Some(b"soon"))] {
        let mut other = connect(&registrar).await;
        let mut session = connect(&registrar).await;
        assert_eq!(count(&mut session).await, 1);
        session.send(word.as_bytes()).unwrap();
        let mut event = soon(session.next()).await.unwrap();
        if heard.is_some_and(|heard| event == Event::Received(heard.to_vec())) {
            event = soon(session.next()).await.unwrap();
        }
        let (from, reason) = (server.id(), FailureReason::Lost);
        assert_eq!(event, Event::FailoverNeeded { from, reason });
        assert_eq!(fails_over(&mut session).await, (from, reason, true));
        assert_eq!(count(&mut session).await, 2);
        assert_eq!(count(&mut other).await, 1);
    }
}

#[tokio::test]
async fn a_client_that_sends_more_than_is_taken_is_cut_off() {
    let registrar = registrar();
    let service = Counter { sleeps: true.into() };
    let config = config(&registrar, Scheme::Tcp, "round-robin");
    let server = Server::start(config, service).unwrap();
    soon(server.element().registered()).await.unwrap();
    let mut session = connect(&registrar).await;
    let octets = vec![0; 60_000];
    let reason = soon(async {
        loop {
            match session.send(&octets) {
                Ok(()) | Err(SendError::Full) => {}
                Err(error) => panic!("{error}"),
            }
            tokio::select! {
                biased;
                event = session.next() => match event.unwrap() {
                    Event::FailoverNeeded { reason, .. } => return reason,
                    other => panic!("{other:?}"),
                },
                () = tokio::task::yield_now() => {}
            }
        }
    })
    .await;
    assert_eq!(reason, FailureReason::Lost);
    assert_eq!(server.stats().overrun, 1);
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
    let server = Server::start(config(&registrar, Scheme::Tcp, "round-robin"), service).unwrap();
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

    let mut session = connect(&registrar).await;
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
    assert_eq!(answer(&mut session).await, b"data");
    let stats = session.stats();
    assert_eq!((stats.malformed, stats.cookies, stats.cards, stats.unexpected), (1, 2, 0, 3));
    // What is longer than any message ends the association; the session goes on.
    let _ = server.write_all(&record(Ppid::ASAP, &[0; 1 << 17])).await;
    let (to, reason, resumed) = fails_over(&mut session).await;
    assert_eq!((to, reason, resumed), (honest.id(), FailureReason::Lost, true));
    assert_eq!(count(&mut session).await, 8);
}

#[tokio::test]
async fn datagrams_have_sessions_without_state() {
    let registrar = registrar();
    let mut config = config(&registrar, Scheme::Udp, "priority:2");
    config.transport_use = TransportUse::DataOnly;
    let first = start(config).await;
    let mut session = connect(&registrar).await;
    assert_eq!([count(&mut session).await, count(&mut session).await], [1, 2]);
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
            session.send(b"count").unwrap();
            tokio::select! {
                biased;
                moved = fails_over(&mut session) => return moved,
                () = tokio::task::yield_now() => {}
            }
        }
    });
    let (to, _, resumed) = moved.await;
    assert_eq!((to, resumed), (second.id(), false));
    count(&mut session).await;
}
