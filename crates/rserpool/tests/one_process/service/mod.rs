//! Servers with sessions, and the state that outlives them.

mod control;
mod datagrams;
mod places;
mod pressure;
mod state;

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
pub(crate) struct Counter {
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

pub(crate) const SCHEMES: [Scheme; 2] = [Scheme::Tcp, Scheme::UserlandSctp];

pub(crate) fn config(registrar: &Registrar, scheme: Scheme, policy: &str) -> server::Config {
    let url = "tcp://127.0.0.1:0".parse::<Address>().unwrap().with_scheme(scheme);
    let mut config = server::Config::new(urls(&[registrar]), pool(), url);
    config.policy = policy.parse().unwrap();
    config
}

pub(crate) async fn start(config: server::Config) -> Server {
    let server = Server::start(config, Counter::default()).unwrap();
    soon(server.element().registered()).await.unwrap();
    server
}

pub(crate) async fn connect(registrar: &Registrar) -> Session {
    soon(Session::connect(user(&[registrar]), pool(), Config::default())).await.unwrap()
}

pub(crate) async fn answer(session: &Session) -> Vec<u8> {
    match soon(session.next()).await.unwrap() {
        Event::Received(octets) => octets,
        other => panic!("{other:?}"),
    }
}

/// Counts one further, and says how far.
pub(crate) async fn count(session: &Session) -> u32 {
    session.send(b"count").await.unwrap();
    u32::from_be_bytes(answer(session).await.try_into().unwrap())
}

pub(crate) async fn fails_over(session: &Session) -> (PeId, FailureReason, bool) {
    loop {
        match soon(session.next()).await.unwrap() {
            Event::FailedOver { to, reason, resumed, .. } => return (to, reason, resumed),
            Event::FailoverNeeded { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn sealed() -> Cookies {
    Cookies::sealed(vec![Key::new(&[7; 32]).unwrap()], [1; 32])
}

/// A client that says what it likes.
pub(crate) struct Rude {
    endpoints: Endpoints,
    assoc: rserpool::transport::AssocId,
}

impl Rude {
    pub(crate) async fn dial(url: &Address) -> Self {
        let mut endpoints = Endpoints::new(Options::default());
        let assoc = endpoints.connect(&url.resolve().await.unwrap(), Framing::Record).unwrap();
        let up = soon(endpoints.next()).await;
        assert!(matches!(up, rserpool::transport::Event::Up { .. }), "{up:?}");
        Self { endpoints, assoc }
    }

    pub(crate) fn control(&mut self, asap: Asap) {
        self.endpoints.send(self.assoc, Ppid::ASAP, &Message::from(asap).encode()).unwrap();
    }

    pub(crate) fn say(&mut self, ppid: Ppid, octets: &[u8]) {
        self.endpoints.send(self.assoc, ppid, octets).unwrap();
    }

    /// Lets what is queued be sent.
    pub(crate) async fn goes_on(&mut self) {
        tokio::select! {
            biased;
            _ = self.endpoints.next() => {}
            () = tokio::task::yield_now() => {}
        }
    }

    pub(crate) async fn hears(&mut self) -> (Ppid, Vec<u8>) {
        match soon(self.endpoints.next()).await {
            rserpool::transport::Event::Message { ppid, octets, .. } => (ppid, octets),
            other => panic!("{other:?}"),
        }
    }
}

/// A record of framed TCP.
pub(crate) fn record(ppid: Ppid, octets: &[u8]) -> Vec<u8> {
    let length = u32::try_from(octets.len()).unwrap();
    [&ppid.0.to_be_bytes()[..], &length.to_be_bytes(), octets].concat()
}
