//! A session outlives its servers: a registrar, echo servers and a client over TCP in one process.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test")]

use std::collections::{BTreeMap, VecDeque};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rserpool::element::{self, PoolElement};
use rserpool::registrar::{self, Registrar};
use rserpool::session::{self, Event, FailureReason, SendError, Session};
use rserpool::transport::{Address, Endpoints, Event as TransportEvent, Framing, Options, Ppid};
use rserpool::user::{self, PoolUser};
use rserpool::wire::param::{PeId, PoolHandle, Transport, TransportUse};
use tokio::task::JoinHandle;

const KILLS: usize = 10;
const REQUESTS: u64 = 3_000;
/// So many requests wait for their answers at once.
const WINDOW: usize = 32;

fn pool() -> PoolHandle {
    PoolHandle::new("EchoPool".as_bytes()).unwrap()
}

fn anywhere() -> Address {
    "tcp://127.0.0.1:0".parse().unwrap()
}

/// Echo servers, each with its element in a task that takes both along when it is killed.
struct Servers {
    registrar: Address,
    tasks: BTreeMap<PeId, JoinHandle<()>>,
}

impl Servers {
    async fn start_one(&mut self) {
        let mut endpoints = Endpoints::new(Options::default());
        let local = endpoints.listen(&anywhere(), Framing::Stream).unwrap();
        let transport = Transport::Tcp {
            port: local.port,
            transport_use: TransportUse::DataOnly,
            address: local.addresses[0],
        };
        let config = element::Config::new(vec![self.registrar.clone()], pool(), transport);
        let element = PoolElement::start(config).unwrap();
        element.registered().await.unwrap();
        let id = element.id();
        let echo = async move {
            let _element = element;
            loop {
                if let TransportEvent::Message { assoc, octets, .. } = endpoints.next().await {
                    endpoints.send(assoc, Ppid::default(), &octets).unwrap();
                }
            }
        };
        self.tasks.insert(id, tokio::spawn(echo));
    }

    async fn kill(&mut self, id: PeId) {
        let task = self.tasks.remove(&id).unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
}

/// Asks numbered questions, and asks those without an answer again after a failover.
struct Client {
    session: Session,
    asked: u64,
    unanswered: VecDeque<u64>,
    answered: u64,
    failovers: usize,
    /// The beginning of an answer.
    begun: Vec<u8>,
}

impl Client {
    async fn ask(&mut self) {
        while self.unanswered.len() < WINDOW && self.asked < REQUESTS {
            self.unanswered.push_back(self.asked);
            self.send(self.asked).await;
            self.asked += 1;
        }
    }

    async fn send(&self, number: u64) {
        match self.session.send(format!("{number}\n").as_bytes()).await {
            // The failover says when to send it again.
            Ok(()) | Err(SendError::ServerLost) => {}
            Err(error) => panic!("{error}"),
        }
    }

    async fn on_event(&mut self, event: Event) {
        match event {
            Event::Received(octets) => self.begun.extend(octets),
            Event::FailoverNeeded { from, reason } => {
                assert_eq!(Some(from), self.session.server().map(|server| server.id));
                assert!(matches!(reason, FailureReason::Closed | FailureReason::Lost));
            }
            Event::FailedOver { from, to, .. } => {
                assert_ne!(from, to);
                self.failovers += 1;
                self.begun.clear();
                for &number in &self.unanswered {
                    self.send(number).await;
                }
            }
            _ => {}
        }
        while let Some(end) = self.begun.iter().position(|&octet| octet == b'\n') {
            let line = self.begun.drain(..=end).collect();
            let line = String::from_utf8(line).unwrap();
            let expected = self.unanswered.pop_front().unwrap();
            assert_eq!(line.trim_end().parse(), Ok(expected), "answers come in order");
            self.answered += 1;
        }
    }
}

#[tokio::test]
async fn ten_random_kills_lose_nothing() {
    let config = registrar::Config::new(vec![anywhere()]);
    let registrar = Registrar::start(config).unwrap();
    let url = registrar.urls()[0].clone();
    let mut servers = Servers { registrar: url.clone(), tasks: BTreeMap::new() };
    for _ in 0..3 {
        servers.start_one().await;
    }
    let user = PoolUser::start(user::Config::new(vec![url])).unwrap();
    let session = Session::connect(user, pool(), session::Config::default()).await.unwrap();
    let mut client = Client {
        session,
        asked: 0,
        unanswered: VecDeque::new(),
        answered: 0,
        failovers: 0,
        begun: Vec::new(),
    };

    // Whoever serves the session is killed somewhere in each tenth of the way.
    let mut rng = StdRng::seed_from_u64(10);
    let part = REQUESTS / KILLS as u64;
    let mut kills: VecDeque<u64> =
        (0..KILLS as u64).map(|kill| kill * part + rng.random_range(0..part)).collect();
    while client.answered < REQUESTS || !kills.is_empty() {
        client.ask().await;
        let event = client.session.next().await.unwrap();
        client.on_event(event).await;
        let server = client.session.server().unwrap().id;
        // What a dead server has sent may still arrive.
        let is_alive = servers.tasks.contains_key(&server);
        if is_alive && kills.front().is_some_and(|&at| client.answered > at) {
            kills.pop_front();
            servers.kill(server).await;
            servers.start_one().await;
        }
    }
    assert_eq!(client.answered, REQUESTS);
    // The last kill may come after the last answer.
    assert!(client.failovers >= KILLS - 1, "{} failovers", client.failovers);
}
