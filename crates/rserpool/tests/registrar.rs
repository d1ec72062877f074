//! A registrar as its users see it.

use std::time::Duration;

use rserpool::registrar::{Config, Registrar, State};
use tokio::time::timeout;

/// No result depends on it: what hangs is stopped.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_registrar_without_peers_serves_at_once() {
    let asap = vec!["tcp://127.0.0.1:0".parse().unwrap()];
    let registrar = Registrar::start(Config::new(asap)).unwrap();
    assert_eq!(*registrar.watch().borrow(), State::Serving { synchronised: false });
    timeout(LIMIT, registrar.serving()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_registrar_whose_peers_are_silent_serves_after_all() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let asap = vec!["tcp://127.0.0.1:0".parse().unwrap()];
    let peers = vec![format!("tcp://{}", silent.local_addr().unwrap()).parse().unwrap()];
    let registrar = Registrar::start(Config::new(asap).peers(peers)).unwrap();
    assert_eq!(*registrar.watch().borrow(), State::Starting);
    timeout(LIMIT, registrar.serving()).await.unwrap().unwrap();
    assert_eq!(*registrar.watch().borrow(), State::Serving { synchronised: false });
}
