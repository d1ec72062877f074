//! The library as a program without async uses it.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test")]

use std::thread::{self, JoinHandle};
use std::time::Duration;

use rserpool::blocking::{PoolElement, PoolUser, Registrar, Runtime, Session};
use rserpool::element::State;
use rserpool::server::{self, service_fn};
use rserpool::session::{Event, SendError};
use rserpool::{
    Address, ElementConfig, PoolHandle, RegisterError, RegistrarConfig, ResolveError, Server,
    ServerConfig, SessionConfig, SessionError, Stopped, Transport, UserConfig,
};
use tokio::sync::oneshot;

/// What takes longer hangs. No result depends on it.
const PATIENCE: Duration = Duration::from_secs(120);

fn pool() -> PoolHandle {
    "pool".parse().unwrap()
}

fn anywhere() -> Address {
    "tcp://127.0.0.1:0".parse().unwrap()
}

fn registrar() -> Registrar {
    let mut config = RegistrarConfig::new(vec![anywhere()]);
    // A busy machine is not taken for dead elements.
    config.protocol.timing.keep_alive_timeout_floor = PATIENCE;
    config.protocol.timing.keep_alive_timeout_cap = PATIENCE;
    Registrar::start(config).unwrap()
}

fn user(registrar: &Registrar) -> PoolUser {
    PoolUser::start(UserConfig::new(registrar.urls().to_vec())).unwrap()
}

fn member(registrar: &Registrar, port: u16) -> ElementConfig {
    let at = Transport::tcp(([127, 0, 0, 1], port).into());
    ElementConfig::new(registrar.urls().to_vec(), pool(), at)
}

/// A server that numbers its answers, each session's from what the last server said.
struct Serving {
    id: rserpool::PeId,
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Serving {
    fn start(registrar: &Registrar, policy: &str) -> Self {
        let config = ServerConfig::new(registrar.urls().to_vec(), pool(), anywhere())
            .policy(policy.parse().unwrap());
        let (end, ended) = oneshot::channel();
        let (ready, started) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let server = Server::start(config, service_fn(serve)).unwrap();
                server.element().registered().await.unwrap();
                ready.send(server.id()).unwrap();
                let _ = ended.await;
            });
        });
        Self { id: started.recv().unwrap(), end, thread }
    }

    /// Ends it without a word.
    fn crash(self) {
        drop(self.end);
        self.thread.join().unwrap();
    }
}

async fn serve(mut session: server::Session) {
    let mut count = 0_u8;
    while let Some(event) = session.next().await {
        match event {
            server::Event::Resumed(state) => count = state[0],
            server::Event::Message { ppid, .. } => {
                count += 1;
                let Ok(()) = session.send_cookie(&[count]).await else { return };
                let Ok(()) = session.send(ppid, &[count]).await else { return };
            }
            _ => {}
        }
    }
}

fn answer(session: &Session) -> Vec<u8> {
    match session.next_within(PATIENCE).unwrap().unwrap() {
        Event::Received(octets) => octets,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_fails_over_and_goes_on_where_it_was() {
    let registrar = registrar();
    let first = Serving::start(&registrar, "priority:2");
    let second = Serving::start(&registrar, "priority:1");
    let session = Session::connect(&user(&registrar), pool(), SessionConfig::new()).unwrap();
    assert_eq!(session.server().unwrap().id, first.id);
    assert_eq!(session.next_within(Duration::ZERO), Ok(None));
    session.send(b"count").unwrap();
    assert_eq!(answer(&session), [1]);
    first.crash();
    let to = loop {
        match session.next().unwrap() {
            Event::FailedOver { to, resumed: true, .. } => break to,
            Event::FailoverNeeded { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(to, second.id);
    session.send(b"count").unwrap();
    assert_eq!(answer(&session), [2]);
    assert!(session.has_cookie());
    assert_eq!(session.stats().failovers, 1);
    assert!(session.close());
}

#[test]
fn one_thread_sends_while_another_one_waits() {
    let registrar = registrar();
    let _server = Serving::start(&registrar, "round-robin");
    let session = Session::connect(&user(&registrar), pool(), SessionConfig::new()).unwrap();
    thread::scope(|scope| {
        let heard = scope.spawn(|| (0..100).map(|_| answer(&session)[0]).collect::<Vec<_>>());
        for _ in 0..100 {
            session.send(b"count").unwrap();
        }
        assert_eq!(heard.join().unwrap(), (1..=100).collect::<Vec<_>>());
    });
}

#[test]
fn an_element_joins_and_leaves_and_several_share_a_thread() {
    let registrar = registrar();
    let runtime = Runtime::start().unwrap();
    let start = |port| PoolElement::start_in(&runtime, member(&registrar, port)).unwrap();
    let elements = [start(1), start(2)];
    for element in &elements {
        let home = element.registered_within(PATIENCE).unwrap().unwrap();
        assert_eq!(element.registered().unwrap(), home);
        assert!(element.stats().unwrap().accepted > 0);
    }
    let user = PoolUser::start_in(&runtime, UserConfig::new(registrar.urls().to_vec())).unwrap();
    drop(runtime);
    assert_eq!(user.resolve(&pool(), None).unwrap().socket_addrs().count(), 2);
    let [one, two] = elements;
    one.deregister().unwrap();
    assert_eq!(one.state(), State::Deregistered);
    assert_eq!(one.registered(), Err(RegisterError::Stopped));
    assert_eq!(user.resolve(&pool(), None).unwrap().socket_addrs().count(), 1);
    two.drain(PATIENCE).unwrap();
    assert_eq!(user.resolve(&pool(), None), Err(ResolveError::UnknownPool));
    assert_eq!(registrar.stats().unwrap().deregistrations, 2);
}

#[test]
fn what_does_not_come_is_waited_for_no_longer_than_was_said() {
    // Nobody answers there.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url: Address = format!("tcp://{}", silent.local_addr().unwrap()).parse().unwrap();
    let at = Transport::tcp(([127, 0, 0, 1], 7).into());
    let element = PoolElement::start(ElementConfig::new(vec![url], pool(), at)).unwrap();
    assert_eq!(element.registered_within(Duration::from_millis(20)), Ok(None));
}

#[test]
fn whoever_asks_what_was_stopped_is_told() {
    let registrar = registrar();
    let user = user(&registrar);
    let clone = user.clone();
    assert_eq!(user.stats().unwrap().requests, 0);
    user.stop();
    assert_eq!(clone.resolve(&pool(), None), Err(ResolveError::Stopped));
    assert_eq!(clone.stats(), Err(Stopped));
    let session = Session::connect(&clone, pool(), SessionConfig::new());
    assert_eq!(session.err(), Some(SessionError::Stopped));
    registrar.stop();
}

#[test]
fn a_message_that_cannot_be_sent_is_refused_and_the_session_goes_on() {
    let registrar = registrar();
    let _server = Serving::start(&registrar, "round-robin");
    let session = Session::connect(&user(&registrar), pool(), SessionConfig::new()).unwrap();
    assert_eq!(session.send(b""), Err(SendError::Empty));
    session.send(b"count").unwrap();
    assert_eq!(answer(&session), [1]);
}

#[tokio::test]
async fn in_an_async_task_it_blocks_and_does_not_panic() {
    let registrar = registrar();
    let element = PoolElement::start(member(&registrar, 7)).unwrap();
    element.registered().unwrap();
    assert_eq!(user(&registrar).resolve(&pool(), None).unwrap().socket_addrs().count(), 1);
    element.stop();
    registrar.drain(PATIENCE);
}
