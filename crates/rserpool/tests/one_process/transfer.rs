//! The example of requests that must not be done twice, with servers that die at each of its steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rserpool::registrar::Registrar;
use rserpool::server::{self, Event};
use rserpool::session::{Config, Session};
use rserpool::transport::Scheme;
use rserpool::{Server, Service};

use crate::servers::{pool, registrar, soon, until, urls, user};

#[expect(dead_code, reason = "its servers and clients are processes elsewhere")]
#[path = "../../examples/transfer.rs"]
mod example;

use example::{Account, Bank, pay};

#[test]
fn a_payment_counts_once_however_often_it_comes() {
    let mut account = Account::default();
    for (number, amount, balance) in [
        (1, 10, Some(10)),
        (1, 10, Some(10)),
        (2, 5, Some(15)),
        (2, 5, Some(15)),
        // It was answered; nobody asks for it any more.
        (1, 10, None),
        (4, 1, None),
        (3, u64::MAX, None),
        (3, 1, Some(16)),
    ] {
        assert_eq!(account.pay(number, amount), balance, "{number} {amount}");
    }
}

/// Where a server stands still for ever, and what it has seen by then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// It was asked, and has counted nothing.
    Asked,
    /// Its state is on the way to the client, and no answer.
    HandedOver,
}

/// A bank that stands still in the payment of this number.
struct Standing {
    step: Step,
    number: u64,
    /// It stands still in so many sessions.
    stands: AtomicU64,
}

/// What the tests hold as well.
struct Shared(Arc<Standing>);

impl Service for Shared {
    async fn serve(self: Arc<Self>, mut session: server::Session) {
        let Standing { step, number, stands } = &*self.0;
        let mut account = Account::default();
        while let Some(event) = session.next().await {
            let Event::Message { ppid, octets } = event else { continue };
            let request = String::from_utf8(octets).unwrap();
            let (asked, amount) = request.split_once(' ').unwrap();
            let (asked, amount) = (asked.parse().unwrap(), amount.parse().unwrap());
            let is_last = asked == *number;
            if !(is_last && *step == Step::Asked) {
                let balance = account.pay(asked, amount).unwrap();
                let state = format!("{} {}", account.number, account.balance);
                session.send_cookie(state.as_bytes()).await.unwrap();
                if !is_last {
                    session.send(ppid, format!("{asked} {balance}").as_bytes()).await.unwrap();
                    continue;
                }
            }
            stands.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
    }
}

async fn start(registrar: &Registrar, policy: &str, service: impl Service) -> Server {
    let url = "tcp://127.0.0.1:0".parse::<rserpool::Address>().unwrap();
    let config = server::Config::new(urls(&[registrar]), pool(), url.with_scheme(Scheme::Tcp))
        .policy(policy.parse().unwrap());
    let server = Server::start(config, service).unwrap();
    soon(server.element().registered()).await.unwrap();
    server
}

#[tokio::test]
async fn whenever_its_server_dies_a_payment_counts_once() {
    for step in [Step::Asked, Step::HandedOver] {
        let registrar = registrar();
        let standing = Arc::new(Standing { step, number: 3, stands: AtomicU64::new(0) });
        let first = start(&registrar, "priority:2", Shared(Arc::clone(&standing))).await;
        let second = start(&registrar, "priority:1", Bank).await;
        let connected = Session::connect(user(&[&registrar]), pool(), Config::new());
        let session = soon(connected).await.unwrap();
        assert_eq!(soon(pay(&session, 1, 10)).await.unwrap(), 10);
        assert_eq!(soon(pay(&session, 2, 10)).await.unwrap(), 20);
        let dies = async {
            until(async || standing.stands.load(Ordering::Relaxed) == 1).await;
            let states = if step == Step::Asked { 2 } else { 3 };
            until(async || session.stats().cookies == states).await;
            drop(first);
        };
        let (balance, ()) = tokio::join!(soon(pay(&session, 3, 10)), dies);
        assert_eq!(balance.unwrap(), 30, "{step:?}");
        assert_eq!(soon(pay(&session, 4, 10)).await.unwrap(), 40);
        assert_eq!(session.server().unwrap().id, second.id());
        assert_eq!((session.stats().failovers, second.stats().resumed), (1, 1));
    }
}
