//! The machines on somebody else's thread, as the example of `rserpool-proto` drives them.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test")]

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rserpool::blocking::{PoolUser, Registrar};
use rserpool::{Address, PoolHandle, RegistrarConfig, Transport, UserConfig};
use rserpool_proto::element::{Config, Event};

#[path = "../../proto/examples/embedded.rs"]
mod embedded;

/// What takes longer hangs. No result depends on it.
const PATIENCE: Duration = Duration::from_secs(120);

fn registrar(at: SocketAddr) -> Registrar {
    let url: Address = format!("tcp://{at}").parse().unwrap();
    Registrar::start(RegistrarConfig::new(vec![url])).unwrap()
}

#[test]
fn an_element_without_a_runtime_joins_and_comes_back() {
    let first = registrar("127.0.0.1:0".parse().unwrap());
    let at = SocketAddr::new([127, 0, 0, 1].into(), first.urls()[0].port);
    let pool: PoolHandle = "EchoPool".parse().unwrap();
    let config = Config::new(pool.clone(), Transport::tcp(([127, 0, 0, 1], 7).into()));
    let (sender, events) = channel();
    let element = thread::spawn(move || {
        embedded::Driver::new(at, config, 1).run(|event| match sender.send(event.clone()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        })
    });
    let joined = || loop {
        if let Event::Registered { id, .. } = events.recv_timeout(PATIENCE).unwrap() {
            return id;
        }
    };
    let members = |registrar: &Registrar| {
        let user = PoolUser::start(UserConfig::new(registrar.urls().to_vec())).unwrap();
        let answer = user.resolve(&pool, None).unwrap();
        answer.resolution.elements.iter().map(|element| element.id).collect::<Vec<_>>()
    };
    let id = joined();
    assert_eq!(members(&first), [id]);
    // The registrar has asked it whether it lives.
    while !matches!(events.recv_timeout(PATIENCE).unwrap(), Event::HomeChanged { .. }) {}

    first.stop();
    let second = registrar(at);
    assert_eq!(joined(), id);
    assert_eq!(members(&second), [id]);

    // Who hears no more ends it, at the next event.
    drop(events);
    second.stop();
    element.join().unwrap().unwrap();
}
