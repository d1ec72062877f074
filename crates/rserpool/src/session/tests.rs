//! Sessions in a world whose registrar and servers are a while away, in paused time.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use rserpool_transport::endpoint::Endpoint;
use rserpool_transport::{
    Address, AssocId, DownReason, Error as TransportError, Event as TransportEvent, Framing, Local,
    MemoryNetwork, Options, Ppid, Remote, SendError as TransportSendError,
};
use rserpool_wire::asap::HandleResolutionResponse;
use rserpool_wire::param::{Policy, RegistrationLife, SctpTransport, Transport, TransportUse};
use rserpool_wire::{Asap, Message, Protocol};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, interval, sleep};

use rserpool_proto::session::client::SETTLED;

use super::*;
use crate::associations::speaks;
use crate::user;

const REGISTRAR: u16 = 3863;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn handle() -> PoolHandle {
    PoolHandle::new("Pool".as_bytes()).unwrap()
}

fn url(port: u16) -> Address {
    format!("sctp://10.0.0.1:{port}").parse().unwrap()
}

/// The element `number`, which serves at the port of that number.
fn element(number: u16) -> PoolElement {
    let addresses = [[10, 0, 0, 1].into()].into();
    let transport_use = TransportUse::DataOnly;
    element_at(number, Transport::Sctp(SctpTransport { port: number, transport_use, addresses }))
}

fn element_at(number: u16, user_transport: Transport) -> PoolElement {
    PoolElement {
        id: PeId(number.into()),
        home: None,
        life: RegistrationLife::FOREVER,
        user_transport,
        policy: Policy::round_robin(),
        asap_transport: None,
    }
}

/// An endpoint that hears of everything later than it happens, and of refusals as it is told.
struct Far {
    refusal: DownReason,
    near: Box<dyn Endpoint>,
    delay: Duration,
    events: VecDeque<(Instant, TransportEvent)>,
    timer: Pin<Box<Sleep>>,
}

impl Far {
    fn new(near: impl Endpoint + 'static, delay: Duration) -> Self {
        let timer = Box::pin(sleep(Duration::ZERO));
        let refusal = DownReason::Refused;
        Self { refusal, near: Box::new(near), delay, events: VecDeque::new(), timer }
    }
}

impl Endpoint for Far {
    fn connect(&mut self, remote: &Remote) -> Result<AssocId, TransportError> {
        self.near.connect(remote)
    }

    fn send(
        &mut self,
        assoc: AssocId,
        ppid: Ppid,
        octets: &[u8],
    ) -> Result<(), TransportSendError> {
        self.near.send(assoc, ppid, octets)
    }

    fn close(&mut self, assoc: AssocId) {
        self.near.close(assoc);
    }

    fn abort(&mut self, assoc: AssocId) {
        self.events.retain(|(_, event)| event.assoc() != assoc);
        self.near.abort(assoc);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<TransportEvent> {
        while let Poll::Ready(mut event) = self.near.poll_event(cx) {
            if let TransportEvent::Down { reason: reason @ DownReason::Refused, .. } = &mut event {
                *reason = self.refusal;
            }
            self.events.push_back((Instant::now() + self.delay, event));
        }
        let Some((due, _)) = self.events.front() else {
            return Poll::Pending;
        };
        self.timer.as_mut().reset(*due);
        match self.timer.as_mut().poll(cx) {
            Poll::Ready(()) => {
                self.events.pop_front().map_or(Poll::Pending, |(_, event)| Poll::Ready(event))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn local(&self) -> Local {
        self.near.local()
    }
}

/// What the registrar was asked.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<Asap>>>);

impl Asked {
    fn resolutions(&self) -> usize {
        let asked = self.0.lock().unwrap();
        asked.iter().filter(|asap| matches!(asap, Asap::HandleResolution(_))).count()
    }

    fn reported(&self) -> Vec<PeId> {
        let asked = self.0.lock().unwrap();
        let report = |asap: &Asap| match asap {
            Asap::Unreachable(report) => Some(report.id),
            _ => None,
        };
        asked.iter().filter_map(report).collect()
    }
}

struct World {
    network: MemoryNetwork,
    delay: Duration,
    asked: Asked,
    registrar: JoinHandle<()>,
}

impl World {
    /// A registrar that answers its `n`th resolution with the elements that `answer` says.
    fn new(
        delay: Duration,
        mut answer: impl FnMut(u16) -> Vec<PoolElement> + Send + 'static,
    ) -> Self {
        let (network, asked) = (MemoryNetwork::new(), Asked::default());
        let mut registrar = network.bind(&url(REGISTRAR), &Options::default()).unwrap();
        let heard = asked.clone();
        let mut count = 0;
        let registrar = tokio::spawn(async move {
            loop {
                let event = poll_fn(|cx| registrar.poll_event(cx)).await;
                let TransportEvent::Message { assoc, octets, .. } = event else { continue };
                let decoded = Message::decode(Protocol::Asap, &octets).unwrap();
                let Message::Asap(asap) = decoded.message else { continue };
                if let Asap::HandleResolution(_) = asap {
                    count += 1;
                    let response = HandleResolutionResponse {
                        updates_accepted: false,
                        handle: handle(),
                        policy: None,
                        elements: answer(count),
                        causes: Vec::new(),
                    };
                    let message = Message::from(Asap::HandleResolutionResponse(response));
                    registrar.send(assoc, Ppid::ASAP, &message.encode()).unwrap();
                }
                heard.0.lock().unwrap().push(asap);
            }
        });
        Self { network, delay, asked, registrar }
    }

    /// A pool of these elements, none of which may be there.
    fn with(delay: Duration, elements: Vec<PoolElement>) -> Self {
        Self::new(delay, move |_| elements.clone())
    }

    /// A server at the port of this number, which ends each session after a while; the task ends it.
    fn serve(&self, number: u16, patience: Duration) -> JoinHandle<()> {
        let mut endpoint = self.network.bind(&url(number), &Options::default()).unwrap();
        tokio::spawn(async move {
            loop {
                let event = poll_fn(|cx| endpoint.poll_event(cx)).await;
                if let TransportEvent::Up { assoc, .. } = event {
                    sleep(patience).await;
                    endpoint.close(assoc);
                }
            }
        })
    }

    fn pool(&self, config: Config) -> Pool {
        let options = Options::default();
        let far = || Far::new(self.network.dialer(&options), self.delay);
        let mut registrars = Endpoints::new(options.clone());
        registrars.add(Box::new(far()), speaks(Protocol::Asap));
        let user = user::Config::new(vec![url(REGISTRAR)]).seed(1);
        let user = PoolUser::start_over(registrars, user).unwrap();
        let mut endpoints = Endpoints::new(options.clone());
        endpoints.add(Box::new(far()), Framing::Stream);
        Pool { user, handle: handle(), config, endpoints }
    }

    async fn connect(&self) -> Session {
        Session::connect_over(self.pool(Config::default())).await.unwrap()
    }
}

const FOREVER: Duration = Duration::from_secs(86_400);

fn id(session: &Session) -> u32 {
    session.server().unwrap().id.0
}

/// The next event, waited for by somebody who does something else every 5 ms.
async fn next_between_ticks(session: &Session) -> Event {
    let mut ticks = interval(ms(5));
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            event = session.next() => return event.unwrap(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_cancels_and_calls_again_loses_no_time() {
    let world = World::with(ms(20), vec![element(1), element(2), element(3)]);
    let first = world.serve(1, FOREVER);
    let _third = world.serve(3, FOREVER);
    let session = world.connect().await;
    assert_eq!(id(&session), 1);
    sleep(SETTLED).await;
    let asked = world.asked.resolutions();

    first.abort();
    let start = Instant::now();
    let (from, reason) = (PeId(1), FailureReason::Lost);
    assert_eq!(next_between_ticks(&session).await, Event::FailoverNeeded { from, reason });
    let failed_over = Event::FailedOver { from, to: PeId(3), reason, resumed: false };
    assert_eq!(next_between_ticks(&session).await, failed_over);
    // The loss, the answer of the registrar, the refusal of the second server, and the third.
    assert_eq!(start.elapsed(), ms(4 * 20));
    assert_eq!(world.asked.resolutions() - asked, 1);
}

#[tokio::test(start_paused = true)]
async fn a_closed_session_moves_on_at_once_and_nobody_is_reported() {
    let world = World::with(ms(1), vec![element(1), element(2)]);
    let _first = world.serve(1, Duration::from_secs(5));
    let _second = world.serve(2, FOREVER);
    let session = world.connect().await;
    let (from, reason) = (PeId(1), FailureReason::Closed);
    assert_eq!(session.next().await.unwrap(), Event::FailoverNeeded { from, reason });
    let start = Instant::now();
    let failed_over = Event::FailedOver { from, to: PeId(2), reason, resumed: false };
    assert_eq!(session.next().await.unwrap(), failed_over);
    assert_eq!(start.elapsed(), ms(2));
    sleep(ms(100)).await;
    assert_eq!(world.asked.reported(), []);
}

#[tokio::test(start_paused = true)]
async fn servers_that_hang_up_at_once_are_called_ever_less_often() {
    for servers in 1..=2_u16 {
        let world = World::with(ms(1), (1..=servers).map(element).collect());
        let _servers: Vec<_> =
            (1..=servers).map(|number| world.serve(number, Duration::ZERO)).collect();
        let session = world.connect().await;
        let mut sessions = 1;
        let _ = timeout(Duration::from_secs(6), async {
            loop {
                if let Event::FailedOver { .. } = session.next().await.unwrap() {
                    sessions += 1;
                }
            }
        })
        .await;
        // 20 ms, 40 ms and so on up to a second, with each of them once in between.
        assert_eq!(sessions, 11 * servers, "{servers} servers");
        assert_eq!(world.asked.reported(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_accept_is_reported_and_the_next_one_taken() {
    let world = World::with(ms(1), vec![element(1), element(2)]);
    let _second = world.serve(2, FOREVER);
    let session = world.connect().await;
    assert_eq!(id(&session), 2);
    sleep(ms(100)).await;
    assert_eq!(world.asked.reported(), [PeId(1)]);
}

#[tokio::test(start_paused = true)]
async fn what_this_host_cannot_dial_is_passed_over_and_not_reported() {
    let lite = Transport::UdpLite { port: 7, address: [10, 0, 0, 1].into() };
    let world = World::with(ms(1), vec![element_at(1, lite), element(2)]);
    let server = world.serve(2, FOREVER);
    let session = world.connect().await;
    assert_eq!(id(&session), 2);
    sleep(ms(100)).await;
    assert_eq!(world.asked.reported(), []);
    // It would notice the end of its server.
    drop(session);

    // No room for another association.
    let mut pool = world.pool(Config::default());
    let options = Options { associations_max: 0, ..Options::default() };
    pool.endpoints = Endpoints::new(options.clone());
    pool.endpoints.add(Box::new(world.network.dialer(&options)), Framing::Stream);
    let refused = Session::connect_over(pool).await.err().unwrap();
    assert_eq!(refused.code(), "too-many-associations", "{refused}");
    assert_eq!(world.asked.reported(), []);

    // No descriptor, or no route.
    let mut pool = world.pool(Config { failover_timeout: ms(100), ..Config::default() });
    let mut far = Far::new(world.network.dialer(&Options::default()), ms(1));
    far.refusal = DownReason::System;
    pool.endpoints = Endpoints::new(Options::default());
    pool.endpoints.add(Box::new(far), Framing::Stream);
    server.abort();
    let refused = Session::connect_over(pool).await.err().unwrap();
    assert_eq!(refused, SessionError::NoElement);
    assert_eq!(world.asked.reported(), []);
}

#[tokio::test(start_paused = true)]
async fn the_time_is_over_when_it_is_over() {
    // Somebody new in each answer, and nobody accepts.
    let world = World::new(ms(10), |number| vec![element(number)]);
    let config = Config { failover_timeout: ms(500), ..Config::default() };
    let start = Instant::now();
    let refused = Session::connect_over(world.pool(config)).await.err().unwrap();
    assert_eq!(refused, SessionError::NoElement);
    assert_eq!(start.elapsed(), ms(500));

    // No answer in time.
    let world = World::with(ms(1_000), Vec::new());
    let config = Config { failover_timeout: ms(500), ..Config::default() };
    let start = Instant::now();
    let refused = Session::connect_over(world.pool(config)).await.err().unwrap();
    assert!(refused.is_no_registrar(), "{refused}");
    assert_eq!(start.elapsed(), ms(500));
}

#[tokio::test(start_paused = true)]
async fn there_may_be_as_much_time_as_there_is() {
    let world = World::with(ms(1), vec![element(1)]);
    let _first = world.serve(1, FOREVER);
    let (connect_timeout, failover_timeout) = (Duration::MAX, Duration::MAX);
    let config = Config { connect_timeout, failover_timeout, ..Config::default() };
    let session = Session::connect_over(world.pool(config)).await.unwrap();
    session.force_failover();
    let (id, reason) = (PeId(1), FailureReason::Reported);
    let event = session.next().await.unwrap();
    assert_eq!(event, Event::FailedOver { from: id, to: id, reason, resumed: false });
}

#[tokio::test(start_paused = true)]
async fn without_a_registrar_the_candidates_of_earlier_are_tried() {
    let world = World::with(ms(1), vec![element(1), element(2)]);
    let first = world.serve(1, FOREVER);
    let _second = world.serve(2, FOREVER);
    let session = world.connect().await;
    sleep(SETTLED).await;

    world.registrar.abort();
    first.abort();
    let start = Instant::now();
    let (from, reason) = (PeId(1), FailureReason::Lost);
    assert_eq!(session.next().await.unwrap(), Event::FailoverNeeded { from, reason });
    let failed_over = Event::FailedOver { from, to: PeId(2), reason, resumed: false };
    assert_eq!(session.next().await.unwrap(), failed_over);
    assert_eq!(start.elapsed(), ms(1 + 250 + 1));
}
