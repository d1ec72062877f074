//! Sessions over TLS.

use rserpool::registrar::{self, Registrar};
use rserpool::server::{self, Server};
use rserpool::session::{Config, Event, Session};
use rserpool::transport::Tls;
use rserpool::transport::tls::{Name, Role};
use rserpool::user::{self, PoolUser};

use crate::keys::Authority;
use crate::servers::{pool, soon, urls};

fn keys(authority: &Authority, name: &str, role: Role) -> Tls {
    let names = [Name::Dns(format!("{name}.example")), Name::Uri(role.uri())];
    Tls::new(authority.issue(name, &names)).unwrap()
}

/// A server of the pool that says nothing, with this key.
async fn server(registrar: &Registrar, tls: &Tls, policy: &str) -> Server {
    let url = "tls://127.0.0.1:0".parse().unwrap();
    let mut config = server::Config::new(urls(&[registrar]), pool(), url).tls(tls.clone());
    config.policy = policy.parse().unwrap();
    let service = server::service_fn(async |mut session| while session.next().await.is_some() {});
    let server = Server::start(config, service).unwrap();
    soon(server.element().registered()).await.unwrap();
    server
}

// RFC 5355 section 2.9.
#[tokio::test]
async fn an_application_knows_who_has_its_session_before_and_after_a_failover() {
    let authority = Authority::new();
    let config = registrar::Config::new(vec!["tls://127.0.0.1:0".parse().unwrap()]);
    let registrar = Registrar::start(config.tls(authority.node("r"))).unwrap();
    let [first, second] = ["s1", "s2"].map(|name| keys(&authority, name, Role::Server));
    let first_server = server(&registrar, &first, "priority:2").await;
    let _second_server = server(&registrar, &second, "priority:1").await;
    let client = user::Config::new(urls(&[&registrar])).tls(keys(&authority, "c", Role::Client));
    let user = PoolUser::start(client).unwrap();
    let session = soon(Session::connect(user, pool(), Config::new())).await.unwrap();
    let known = session.server_identity().unwrap();
    assert_eq!(*known.key(), first.public_key());
    assert!(known.names().contains(&Name::Dns("s1.example".into())), "{known}");
    drop(first_server);
    loop {
        // What is known is what the last event was of.
        match soon(session.next()).await.unwrap() {
            Event::FailoverNeeded { .. } => {
                assert_eq!(session.server_identity(), Some(known.clone()));
            }
            Event::FailedOver { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(*session.server_identity().unwrap().key(), second.public_key());
}
