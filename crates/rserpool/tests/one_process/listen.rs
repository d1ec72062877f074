//! Servers on hosts with several addresses.

use std::net::IpAddr;
use std::sync::Arc;

use rserpool::server::{self, Server, Service};
use rserpool::transport::Scheme;

use crate::servers::{pool, registrar, soon, user};

struct Nothing;

impl Service for Nothing {
    async fn serve(self: Arc<Self>, _session: server::Session) {}
}

#[tokio::test]
async fn an_element_comes_from_the_address_that_it_listens_at() {
    for to in ["tcp", "sctp", "sctp+udp"] {
        for url in ["tcp://127.0.0.5:0", "sctp+udp://127.0.0.5:0"] {
            let registrar = registrar();
            let urls = registrar.urls().iter();
            let mut urls = urls.filter(|url| (url.scheme == Scheme::Tcp) == (to == "tcp"));
            let mut there = urls.next().unwrap().clone();
            if to == "sctp+udp" {
                there = there.with_scheme(Scheme::UserlandSctp);
            }
            // Loopback's first choice is 127.0.0.1, and a registrar takes no other address than the
            // one that the registration comes from.
            let config = server::Config::new(vec![there], pool(), url.parse().unwrap());
            let server = Server::start(config, Nothing).unwrap();
            soon(server.element().registered()).await.unwrap();
            let answer = soon(user(&[&registrar]).resolve(&pool(), None)).await.unwrap();
            let element = answer.in_order().next().unwrap();
            assert_eq!(
                element.user_transport.addresses(),
                [IpAddr::from([127, 0, 0, 5])],
                "{to} {url}"
            );
        }
    }
}
