//! What every test needs: registrars, and servers in pools.

use std::time::Duration;

use rserpool::element::{self, PoolElement};
use rserpool::registrar::{self, Registrar};
use rserpool::transport::Address;
use rserpool::user::{self, PoolUser};
use rserpool::wire::param::{Policy, PoolHandle, Transport, TransportUse};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// What takes longer hangs. No result depends on it.
const PATIENCE: Duration = Duration::from_secs(120);

/// The outcome of something that comes to an end.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap()
}

/// Tries until it holds.
pub(crate) async fn until(mut holds: impl AsyncFnMut() -> bool) {
    soon(async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(crate) fn pool() -> PoolHandle {
    PoolHandle::new("pool".as_bytes()).unwrap()
}

/// A registrar over TCP and SCTP that does not take a busy machine for dead elements.
pub(crate) fn registrar() -> Registrar {
    registrar_at(&["tcp://127.0.0.1:0", "sctp://127.0.0.1:0"])
}

pub(crate) fn registrar_at(urls: &[&str]) -> Registrar {
    let asap = urls.iter().map(|url| url.parse().unwrap()).collect();
    let mut config = registrar::Config::new(asap);
    config.protocol.timing.keep_alive_timeout_floor = PATIENCE;
    config.protocol.timing.keep_alive_timeout_cap = PATIENCE;
    Registrar::start(config).unwrap()
}

/// One URL of each of these registrars.
pub(crate) fn urls(registrars: &[&Registrar]) -> Vec<Address> {
    registrars.iter().map(|registrar| registrar.urls()[0].clone()).collect()
}

pub(crate) fn user(registrars: &[&Registrar]) -> PoolUser {
    PoolUser::start(user::Config::new(urls(registrars))).unwrap()
}

/// A transport that nobody serves.
pub(crate) fn transport(port: u16) -> Transport {
    let address = "127.0.0.1".parse().unwrap();
    Transport::Tcp { port, transport_use: TransportUse::DataOnly, address }
}

/// A member of the pool with this policy that serves nothing.
pub(crate) fn member(registrars: &[&Registrar], port: u16, policy: &str) -> PoolElement {
    let mut config = element::Config::new(urls(registrars), pool(), transport(port));
    config.policy = policy.parse::<Policy>().unwrap();
    PoolElement::start(config).unwrap()
}

/// The ports of the pool's elements as a registrar tells them, sorted; none for an unknown pool.
pub(crate) async fn listed(user: &PoolUser) -> Vec<u16> {
    let Ok(answer) = user.resolve(&pool(), None).await else {
        return Vec::new();
    };
    let ports = answer.in_order().filter_map(|element| element.user_transport.port());
    let mut ports: Vec<u16> = ports.collect();
    ports.sort_unstable();
    ports
}

/// A server that sends back what it gets, in the pool.
pub(crate) struct Echo {
    pub(crate) element: PoolElement,
    task: JoinHandle<()>,
}

impl Echo {
    pub(crate) async fn start(registrars: &[&Registrar], policy: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let element = member(registrars, listener.local_addr().unwrap().port(), policy);
        soon(element.registered()).await.unwrap();
        let task = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                sessions.spawn(async move {
                    let mut octets = [0; 1024];
                    while let Ok(count @ 1..) = client.read(&mut octets).await {
                        if client.write_all(&octets[..count]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { element, task }
    }

    /// As a crash does: the listener and all sessions are gone, and the association.
    pub(crate) async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}
