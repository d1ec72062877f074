//! The targets for Prometheus over HTTP.

use std::sync::{Arc, LazyLock};

use anyhow::Context as _;
use rserpool::user::Resolution;
use rserpool::wire::param::PoolHandle;
use rserpool_gateway::feeds::FileFormat;
use rserpool_web::access::Tokens;
use rserpool_web::listen::{Endpoint, Listener};
use rserpool_web::problem::Problem;
use rserpool_web::response::{self, Response};
use rserpool_web::route::{self, Answer, Call, Request, Route};
use rserpool_web::server::{self, Handler, Limits, Shared};
use rserpool_web::{Method, StatusCode};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::exit::Failure;

/// What answers are made of.
#[derive(Debug)]
struct State {
    pool: PoolHandle,
    now: watch::Receiver<Option<Arc<Resolution>>>,
}

/// Answers as long as it is there.
#[derive(Debug)]
pub(super) struct Targets {
    now: watch::Sender<Option<Arc<Resolution>>>,
    _stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Drop for Targets {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Targets {
    /// Listens, for the targets of a pool.
    ///
    /// # Errors
    ///
    /// It cannot listen there.
    pub(super) async fn start(endpoint: &Endpoint, pool: &PoolHandle) -> anyhow::Result<Self> {
        let listener = Listener::bind(endpoint)
            .await
            .with_context(|| format!("cannot listen at {endpoint}"))
            .context(Failure::Configuration)?;
        tracing::info!(at = %listener.endpoint(), "targets for Prometheus");
        let (now, told) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let shared = Shared::new(Limits::default(), Vec::new(), stopped);
        let site = Arc::new(Site(Arc::new(State { pool: pool.clone(), now: told })));
        let serving = tokio::spawn(server::serve(listener, site, shared));
        Ok(Self { now, _stop: stop, serving })
    }

    /// The pool is like this now.
    pub(super) fn follow(&self, now: Option<Arc<Resolution>>) {
        self.now.send_replace(now);
    }
}

struct Site(Arc<State>);

static ROUTES: LazyLock<[Route<State>; 1]> = LazyLock::new(|| {
    [Route {
        method: Method::GET,
        path: "/v1/sd/prometheus",
        role: None,
        about: "the servers of the pool, as Prometheus asks for them",
        answer: targets,
    }]
});

impl Handler for Site {
    async fn answer(&self, request: Request, _: Arc<Shared>) -> Response {
        route::answer(&*ROUTES, Arc::clone(&self.0), &Tokens::default(), request).await.1
    }

    fn refused(&self, problem: &Problem) {
        tracing::debug!(?problem, "a request was refused");
    }
}

/// Of another pool there are no targets: Prometheus goes on with what it has where it is told anything
/// but a list.
fn targets(state: Arc<State>, call: Call) -> Answer {
    Box::pin(async move {
        let mut query = call.query;
        let pool = query.octets("pool")?;
        let port = query.value("port", "the number of a port")?;
        query.finish(&["pool", "port"])?;
        let now = state.now.borrow().clone();
        let is_this = pool.is_none_or(|pool| pool == state.pool.as_bytes());
        let elements = now.as_ref().filter(|_| is_this).map(|now| &*now.elements);
        let format = FileFormat::PrometheusSd;
        let text = format.text(&state.pool, elements.unwrap_or_default(), port);
        Ok(response::whole(StatusCode::OK, "application/json", text.unwrap_or_default()))
    })
}
