//! The thread that answers operators.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use rand::TryRng as _;
use rand::rngs::SysRng;
use rserpool::Registrar;
use rserpool_web::access::Tokens;
use rserpool_web::listen::{Endpoint, Listener};
use rserpool_web::server::{self, Limits, Shared};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use super::event_log::EventLog;
use super::orders::Order;
use super::{AdminConfig, Served, Site};

/// So long the last answers may take when the registrar has ended.
const FAREWELL_MAX: Duration = Duration::from_millis(300);

/// A running thread. Dropping it ends it.
pub(crate) struct Admin {
    endpoints: Vec<Endpoint>,
    stop: watch::Sender<bool>,
    tokens: watch::Sender<Tokens>,
    thread: Option<JoinHandle<()>>,
}

/// What it is told of the registrar beside what it can see.
pub(crate) struct Setup<'a> {
    pub(crate) config: &'a AdminConfig,
    pub(crate) profile: &'static str,
    pub(crate) dialect: &'static str,
    pub(crate) has_peers: bool,
    pub(crate) orders: mpsc::Sender<Order>,
}

impl Admin {
    /// Starts it; `None` where there is nowhere to listen.
    ///
    /// # Errors
    ///
    /// Where it cannot listen at what was asked for.
    pub(crate) async fn start(
        registrar: &Registrar,
        setup: Setup<'_>,
    ) -> anyhow::Result<Option<Self>> {
        let endpoints = setup.config.endpoints(registrar.id());
        if endpoints.is_empty() {
            info!(
                "no place for an admin socket: neither RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR is set"
            );
            return Ok(None);
        }
        let (stop, stopped) = watch::channel(false);
        let tokens = setup.config.load_tokens().context("admin.tokens")?;
        let (tokens, known) = watch::channel(tokens);
        let served = served(registrar, &setup, (stopped, known))?;
        let events = registrar.events();
        let (told, started) = oneshot::channel();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(run(served, endpoints, events, told)),
                Err(error) => _ = told.send(Err(error.into())),
            }
        };
        let thread = std::thread::Builder::new().name("admin".into()).spawn(run);
        let thread = thread.context("cannot start the admin thread")?;
        let endpoints = started.await.context("the admin thread ended")??;
        Ok(Some(Self { endpoints, stop, tokens, thread: Some(thread) }))
    }

    /// These tokens are known from now on; streams of who has none of them any more end. Whether
    /// anything has changed.
    pub(crate) fn replace_tokens(&self, tokens: Tokens) -> bool {
        self.tokens.send_if_modified(|known| {
            let differs = *known != tokens;
            *known = tokens;
            differs
        })
    }

    /// Where it listens.
    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // It bounds its own end; what went wrong in it has been said.
            let _ = thread.join();
        }
    }
}

fn served(
    registrar: &Registrar,
    setup: &Setup<'_>,
    (stopped, tokens): (watch::Receiver<bool>, watch::Receiver<Tokens>),
) -> anyhow::Result<Arc<Served>> {
    let config = setup.config;
    let (connections_max, streams_max) = (config.connections_max, config.streams_max);
    let limits = Limits { connections_max, streams_max, ..Limits::default() };
    let boot = SysRng.try_next_u64().context("no random number")?;
    let site = Site {
        id: registrar.id(),
        boot: format!("{boot:016x}"),
        asap: registrar.urls().iter().map(ToString::to_string).collect(),
        enrp: registrar.enrp_urls().iter().map(ToString::to_string).collect(),
        profile: setup.profile,
        dialect: setup.dialect,
        has_peers: setup.has_peers,
        started: (Instant::now(), SystemTime::now()),
        view: registrar.view(),
        acts: registrar.acts(),
        orders: setup.orders.clone(),
        is_quiesced: AtomicBool::new(false),
        refused_acts: super::audit::RefusedActs::default(),
        state: registrar.watch(),
        log: EventLog::new(config.events_max),
        shared: Shared::new(limits, config.hosts.clone(), stopped),
        tokens,
        requests: Mutex::new(BTreeMap::new()),
        largest: tokio::sync::Mutex::new(super::metrics::Largest::new(config.metrics_pools_max)),
    };
    Ok(Arc::new(Served { site: Arc::new(site) }))
}

/// The life of the thread.
async fn run(
    served: Arc<Served>,
    endpoints: Vec<(Endpoint, bool)>,
    events: tokio::sync::broadcast::Receiver<rserpool::proto::registrar::Event>,
    told: oneshot::Sender<anyhow::Result<Vec<Endpoint>>>,
) {
    let mut listeners = Vec::new();
    for (endpoint, may_fail) in endpoints {
        match bind(&endpoint, may_fail).await {
            Ok(listener) => listeners.push(listener),
            Err(error) if may_fail => warn!(%endpoint, %error, "no admin socket"),
            Err(error) => {
                let _ = told.send(Err(
                    anyhow::Error::new(error).context(format!("cannot listen at {endpoint}"))
                ));
                return;
            }
        }
    }
    let _ = told.send(Ok(listeners.iter().map(|it| it.endpoint().clone()).collect()));
    let site = Arc::clone(&served.site);
    let listening: Vec<_> = listeners
        .into_iter()
        .map(|it| tokio::spawn(server::serve(it, Arc::clone(&served), Arc::clone(&site.shared))))
        .collect();
    let log = Arc::clone(&site);
    let pump = tokio::spawn(async move { pump(&log, events).await });
    site.shared.stopped().await;
    // The last events are there by now: the registrar has ended.
    let _ = tokio::time::timeout(FAREWELL_MAX, pump).await;
    for listening in listening {
        let _ = listening.await;
    }
    let _ = tokio::time::timeout(FAREWELL_MAX, site.shared.no_streams()).await;
}

/// Makes the directory of a socket that nobody gave a path.
async fn bind(endpoint: &Endpoint, is_own_place: bool) -> std::io::Result<Listener> {
    if let (Endpoint::Unix(path), true) = (endpoint, is_own_place)
        && let Some(directory) = path.parent().filter(|it| !it.exists())
    {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().mode(0o700).create(directory)?;
    }
    Listener::bind(endpoint).await
}

/// Takes each event as it comes.
async fn pump(
    site: &Site,
    mut events: tokio::sync::broadcast::Receiver<rserpool::proto::registrar::Event>,
) {
    loop {
        match events.recv().await {
            Ok(event) => site.log.push(&event),
            Err(RecvError::Lagged(missed)) => site.log.note_missed(missed),
            Err(RecvError::Closed) => return,
        }
    }
}
