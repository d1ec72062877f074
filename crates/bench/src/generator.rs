//! Asks a registrar as quickly as it answers, from a thread of its own.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use rserpool::transport::{
    Address, AssocId, Endpoints, Event, Framing, Options, Ppid, Scheme, Tls,
};
use rserpool::wire::asap::{Asap, KeepAliveAck};
use rserpool::wire::param::{Load, PeId, Policy, PoolHandle};
use rserpool::wire::{Message, Protocol};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

use super::load;
use super::usage::{processor_time, thread_time};

/// Who asks what.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) address: Address,
    /// The keys of who asks, where that is over TLS.
    pub(super) tls: Option<Tls>,
    /// Associations.
    pub(super) clients: u32,
    /// Requests of each that wait for their answers.
    pub(super) outstanding: u32,
    pub(super) work: Work,
    /// The processes whose time counts.
    pub(super) servers: Vec<u32>,
    /// How long it is measured, after a while to get going.
    pub(super) span: Duration,
}

/// What is asked.
#[derive(Clone)]
pub(super) enum Work {
    /// One request, again and again; its answers have this type and so many octets.
    Ask { request: Vec<u8>, answer: u8, octets: usize },
    /// Elements of this pool, so many at each association, renew their registrations in turn, each
    /// time with another load.
    Renew { handle: PoolHandle, elements: u32 },
    /// The same elements register once, and answer when they are asked whether they live.
    Live { handle: PoolHandle, elements: u32 },
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) elapsed: Duration,
    /// How long each answer took, in microseconds.
    pub(super) latencies_us: Vec<f64>,
    /// How long the servers, and this thread, were on a processor.
    pub(super) server_time: Duration,
    pub(super) own_time: Duration,
}

impl Tally {
    /// How many answers there were.
    pub(super) fn answered(&self) -> f64 {
        self.latencies_us.len() as f64
    }

    /// Answers per second.
    pub(super) fn rate(&self) -> f64 {
        self.answered() / self.elapsed.as_secs_f64()
    }
}

pub(super) const SPEAKS: Framing = Framing::Message(Ppid::ASAP);
/// How long it is not measured at first.
pub(super) const WARM_UP: Duration = Duration::from_millis(300);
/// How much longer than planned it may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// Registrations of one association under way at once, before the measurement.
const REGISTERING_MAX: usize = 64;

/// Runs a plan in a thread of its own.
pub(super) async fn run(plan: Plan) -> anyhow::Result<Tally> {
    in_thread(WARM_UP + plan.span + PATIENCE, move || drive(plan)).await
}

/// Runs this in a thread of its own, and no longer than that.
pub(super) async fn in_thread<T, F>(
    limit: Duration,
    work: impl FnOnce() -> F + Send + 'static,
) -> anyhow::Result<T>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>>,
{
    let (result, done) = oneshot::channel();
    let thread = std::thread::Builder::new().name("generator".into());
    thread.spawn(move || {
        // Nobody waits any more where that fails.
        let _ = result.send(run_here(limit, work));
    })?;
    done.await.map_err(|_| anyhow!("the load generator failed"))?
}

/// The answer to one request.
pub(super) async fn ask_once(
    address: &Address,
    tls: Option<&Tls>,
    request: &[u8],
) -> anyhow::Result<Vec<u8>> {
    let mut endpoints = Endpoints::new(options(tls));
    let assoc = endpoints.connect(&address.resolve().await?, SPEAKS)?;
    let answer = async {
        loop {
            match endpoints.next().await {
                Event::Up { .. } => endpoints.send(assoc, Ppid::ASAP, request)?,
                Event::Message { octets, .. } => return Ok(octets),
                Event::Down { reason, .. } => bail!("an association ended: {reason:?}"),
                Event::Addresses { .. }
                | Event::Path { .. }
                | Event::Congested { .. }
                | Event::Drained { .. } => {}
            }
        }
    };
    timeout(PATIENCE, answer).await.unwrap_or_else(|_| bail!("no answer in time"))
}

/// With these keys.
pub(super) fn options(tls: Option<&Tls>) -> Options {
    Options { tls: tls.cloned(), ..Options::default() }
}

/// An element registers with some load.
pub(super) fn registration(handle: &PoolHandle, id: PeId, load: u32) -> Vec<u8> {
    load::registration(handle.clone(), id, Policy::least_used(Load(load))).encode()
}

fn run_here<T, F>(limit: Duration, work: impl FnOnce() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let work = local.run_until(async move { timeout(limit, work()).await });
    runtime.block_on(work).unwrap_or_else(|_| bail!("no answers in time"))
}

async fn drive(plan: Plan) -> anyhow::Result<Tally> {
    let plan = Rc::new(plan);
    let window = Rc::new(RefCell::new(Window::Waiting(0)));
    let mut tasks = JoinSet::new();
    // Between two SCTP ports there is one association: each client has its own.
    let groups: Vec<Vec<u32>> = match plan.address.scheme {
        Scheme::Tcp | Scheme::Tls => vec![(0..plan.clients).collect()],
        _ => (0..plan.clients).map(|client| vec![client]).collect(),
    };
    for clients in groups {
        let mut group = Group::open(&plan, &window, clients).await?;
        tasks.spawn_local(async move { group.run().await });
    }
    // None ends well before all is measured.
    let ended = tasks.join_next().await.context("nobody asks")?;
    ended??;
    match window.replace(Window::Waiting(0)) {
        Window::Over(tally) => Ok(tally),
        _ => bail!("nothing was measured"),
    }
}

/// What is measured, and when.
enum Window {
    /// So many clients are ready.
    Waiting(u32),
    /// All are, since then.
    WarmUp(Instant),
    Open(Measurement),
    Over(Tally),
}

struct Measurement {
    begun: Instant,
    server_time: Duration,
    own_time: Duration,
    latencies_us: Vec<f64>,
}

impl Window {
    /// One more client is ready; it begins once all are.
    fn ready(&mut self, plan: &Plan) {
        if let Self::Waiting(ready) = self {
            *ready += 1;
            if *ready == plan.clients {
                *self = Self::WarmUp(Instant::now());
            }
        }
    }

    /// Counts an answer to what was asked then. True where all is measured.
    fn count(&mut self, plan: &Plan, asked: Instant) -> anyhow::Result<bool> {
        let now = Instant::now();
        match self {
            Self::WarmUp(since) if now - *since >= WARM_UP => {
                *self = Self::Open(Measurement::begin(plan, now)?);
            }
            Self::Open(measurement) => {
                measurement.latencies_us.push((now - asked).as_secs_f64() * 1e6);
                if now - measurement.begun >= plan.span {
                    *self = Self::Over(measurement.end(plan, now)?);
                }
            }
            Self::Waiting(_) | Self::WarmUp(_) | Self::Over(_) => {}
        }
        Ok(matches!(self, Self::Over(_)))
    }
}

impl Measurement {
    fn begin(plan: &Plan, now: Instant) -> anyhow::Result<Self> {
        let (server_time, own_time) = times(plan)?;
        Ok(Self { begun: now, server_time, own_time, latencies_us: Vec::new() })
    }

    fn end(&mut self, plan: &Plan, now: Instant) -> anyhow::Result<Tally> {
        let (server_time, own_time) = times(plan)?;
        Ok(Tally {
            elapsed: now - self.begun,
            latencies_us: std::mem::take(&mut self.latencies_us),
            server_time: server_time.saturating_sub(self.server_time),
            own_time: own_time.saturating_sub(self.own_time),
        })
    }
}

/// How long the servers, and this thread, have been on a processor.
pub(super) fn times(plan: &Plan) -> anyhow::Result<(Duration, Duration)> {
    let mut servers = Duration::ZERO;
    for &server in &plan.servers {
        servers += processor_time(server)?;
    }
    Ok((servers, thread_time()))
}

/// Clients that share endpoints.
struct Group {
    plan: Rc<Plan>,
    window: Rc<RefCell<Window>>,
    endpoints: Endpoints,
    clients: HashMap<AssocId, Client>,
}

struct Client {
    /// Identifiers of its elements are above this.
    first: u32,
    /// Elements that have registered, of those that have to before it is ready.
    registered: u32,
    is_ready: bool,
    /// When each request was sent that waits for its answer.
    asked: VecDeque<Instant>,
    sent: u32,
}

impl Group {
    async fn open(
        plan: &Rc<Plan>,
        window: &Rc<RefCell<Window>>,
        numbers: Vec<u32>,
    ) -> anyhow::Result<Self> {
        let remote = plan.address.resolve().await?;
        let mut endpoints = Endpoints::new(options(plan.tls.as_ref()));
        let mut clients = HashMap::new();
        for number in numbers {
            let elements = match plan.work {
                Work::Ask { .. } => 0,
                Work::Renew { elements, .. } | Work::Live { elements, .. } => elements,
            };
            let client = Client {
                first: number * elements,
                registered: 0,
                is_ready: false,
                asked: VecDeque::new(),
                sent: 0,
            };
            clients.insert(endpoints.connect(&remote, SPEAKS)?, client);
        }
        Ok(Self { plan: Rc::clone(plan), window: Rc::clone(window), endpoints, clients })
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        loop {
            match self.endpoints.next().await {
                Event::Up { assoc, .. } => self.on_up(assoc)?,
                Event::Down { reason, .. } => bail!("an association ended: {reason:?}"),
                Event::Message { assoc, octets, .. } => {
                    if self.on_message(assoc, &octets)? {
                        return Ok(());
                    }
                }
                Event::Addresses { .. }
                | Event::Path { .. }
                | Event::Congested { .. }
                | Event::Drained { .. } => {}
            }
            tokio::task::consume_budget().await;
        }
    }

    fn on_up(&mut self, assoc: AssocId) -> anyhow::Result<()> {
        match &self.plan.work {
            Work::Ask { .. } => self.ready(assoc),
            Work::Renew { elements, .. } | Work::Live { elements, .. } => {
                let at_once = REGISTERING_MAX.min(*elements as usize);
                (0..at_once).try_for_each(|_| self.register(assoc))
            }
        }
    }

    /// A client can begin; it does once all can.
    fn ready(&mut self, assoc: AssocId) -> anyhow::Result<()> {
        self.window.borrow_mut().ready(&self.plan);
        let client = self.clients.get_mut(&assoc).context("a stranger")?;
        client.is_ready = true;
        if matches!(self.plan.work, Work::Live { .. }) {
            return Ok(());
        }
        (0..self.plan.outstanding).try_for_each(|_| self.ask(assoc))
    }

    /// True where all is measured.
    fn on_message(&mut self, assoc: AssocId, octets: &[u8]) -> anyhow::Result<bool> {
        if let Work::Ask { answer, octets: wanted, .. } = &self.plan.work {
            ensure!(octets.first() == Some(answer), "an answer of another type");
            ensure!(octets.len() == *wanted, "an answer of {} octets, not {wanted}", octets.len());
            return self.answered(assoc);
        }
        match Message::decode(Protocol::Asap, octets)?.message {
            Message::Asap(Asap::RegistrationResponse(answer)) => {
                ensure!(!answer.rejected, "a registration was rejected: {answer:?}");
                self.registered(assoc)
            }
            Message::Asap(Asap::KeepAlive(asked)) => {
                let id = asked.id.context("a question to nobody")?;
                let answer = KeepAliveAck { handle: asked.handle, id };
                self.send(assoc, &Message::from(Asap::KeepAliveAck(answer)).encode())?;
                match self.plan.work {
                    Work::Live { .. } => self.window.borrow_mut().count(&self.plan, Instant::now()),
                    _ => Ok(false),
                }
            }
            other => bail!("a living element was taken out, or else: {other:?}"),
        }
    }

    fn registered(&mut self, assoc: AssocId) -> anyhow::Result<bool> {
        let (Work::Renew { elements, .. } | Work::Live { elements, .. }) = self.plan.work else {
            bail!("nobody registers")
        };
        let client = self.clients.get_mut(&assoc).context("a stranger")?;
        if client.is_ready {
            return self.answered(assoc);
        }
        client.registered += 1;
        if client.registered == elements {
            client.asked.clear();
            self.ready(assoc)?;
        } else if client.sent < elements {
            self.register(assoc)?;
        }
        Ok(false)
    }

    fn answered(&mut self, assoc: AssocId) -> anyhow::Result<bool> {
        let client = self.clients.get_mut(&assoc).context("a stranger")?;
        let asked = client.asked.pop_front().context("nobody asked")?;
        self.ask(assoc)?;
        self.window.borrow_mut().count(&self.plan, asked)
    }

    fn ask(&mut self, assoc: AssocId) -> anyhow::Result<()> {
        let plan = Rc::clone(&self.plan);
        match &plan.work {
            Work::Ask { request, .. } => {
                let client = self.clients.get_mut(&assoc).context("a stranger")?;
                client.asked.push_back(Instant::now());
                self.send(assoc, request)
            }
            Work::Renew { .. } | Work::Live { .. } => self.register(assoc),
        }
    }

    fn register(&mut self, assoc: AssocId) -> anyhow::Result<()> {
        let (Work::Renew { handle, elements } | Work::Live { handle, elements }) = &self.plan.work
        else {
            bail!("nobody registers")
        };
        let client = self.clients.get_mut(&assoc).context("a stranger")?;
        let id = PeId(1 + client.first + client.sent % elements);
        let octets = registration(handle, id, client.sent);
        client.sent += 1;
        client.asked.push_back(Instant::now());
        self.send(assoc, &octets)
    }

    fn send(&mut self, assoc: AssocId, octets: &[u8]) -> anyhow::Result<()> {
        Ok(self.endpoints.send(assoc, Ppid::ASAP, octets)?)
    }
}
