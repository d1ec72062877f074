//! What operators see of a registrar while it runs: HTTP, on a thread of its own.
//!
//! | file | what it holds |
//! |---|---|
//! | `config` | where it listens, and who may |
//! | `thread` | the thread and its end |
//! | `routes` | the list of all that can be asked for |
//! | `registrar`, `pools`, `elements`, `peers`, `associations`, `events`, `removals`, `health`, `metrics` | the answers |
//! | `acts`, `audit` | what changes something, and who did |
//! | `orders` | what the registrar is to do as a whole |
//! | `lists` | lists by page, and whole |
//! | `event_log` | what happened, as long as there is room |
//! | `ui` | the dashboard, which asks as everyone does |
//! | `sentence` | events as JSON and in words |
//!
//! It reads: short looks at the running registrar ([`rserpool::registrar::View`]), and a copy of each
//! event. Acts are commands ([`rserpool::registrar::Acts`]). The protocol waits for nobody here.

mod acts;
mod associations;
mod audit;
mod config;
mod elements;
mod event_log;
mod events;
mod health;
mod lists;
mod metrics;
pub(crate) mod orders;
mod peers;
mod pools;
mod process;
mod registrar;
mod removals;
mod routes;
mod sentence;
#[cfg(test)]
mod tests;
mod thread;
mod ui;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rserpool::registrar::{Acts, State, Summary, View};
use rserpool::wire::param::RegistrarId;
use rserpool_web::access::Tokens;
use rserpool_web::problem::{Kind, Problem};
use rserpool_web::response::Response;
use rserpool_web::route::{self, Request};
use rserpool_web::server::{Handler, Shared};
use tokio::sync::{mpsc, watch};

pub use config::{AdminConfig, DEFAULT_URL};
pub(crate) use thread::{Admin, Setup};

use event_log::EventLog;

/// So long a registrar may take to let itself be looked at.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// What answers are made of.
pub(crate) struct Site {
    pub(crate) id: RegistrarId,
    /// Drawn at the start: numbers of events are of this run.
    pub(crate) boot: String,
    pub(crate) asap: Vec<String>,
    pub(crate) enrp: Vec<String>,
    pub(crate) profile: &'static str,
    pub(crate) dialect: &'static str,
    pub(crate) has_peers: bool,
    pub(crate) started: (Instant, SystemTime),
    pub(crate) view: View,
    pub(crate) acts: Acts,
    pub(crate) orders: mpsc::Sender<orders::Order>,
    /// An operator wants nobody to come here any more.
    pub(crate) is_quiesced: AtomicBool,
    pub(crate) refused_acts: audit::RefusedActs,
    pub(crate) state: watch::Receiver<State>,
    pub(crate) log: EventLog,
    pub(crate) shared: Arc<Shared>,
    /// Who may, as the file said when it was read last.
    pub(crate) tokens: watch::Receiver<Tokens>,
    /// How many requests there were, by route and status.
    pub(crate) requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    /// The pools that have metrics of their own.
    pub(crate) largest: tokio::sync::Mutex<metrics::Largest>,
}

/// A site and whom it answers.
pub(crate) struct Served {
    pub(crate) site: Arc<Site>,
}

impl Handler for Served {
    async fn answer(&self, request: Request, _: Arc<Shared>) -> Response {
        let site = Arc::clone(&self.site);
        let routes = match ui::has(&request.path) {
            true => &ui::ROUTES[..],
            false => routes::ROUTES,
        };
        let tokens = self.site.tokens.borrow().clone();
        let act = audit::Act::of(routes, &tokens, &request);
        let (route, response) = route::answer(routes, site, &tokens, request).await;
        if let Some(act) = act {
            act.tell(&self.site, response.status());
        }
        self.site.count(route.unwrap_or("none"), response.status().as_u16());
        response
    }

    fn refused(&self, problem: &Problem) {
        self.site.count("none", problem.kind.status);
    }
}

impl Site {
    fn count(&self, route: &'static str, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route, status)).or_default() += 1;
    }

    /// How the registrar is.
    async fn summary(&self) -> Result<Summary, Problem> {
        in_time(self.view.summary()).await
    }

    /// What it does, in a word, and whether it has another registrar's handlespace.
    fn state(&self) -> (&'static str, bool) {
        match *self.state.borrow() {
            State::Serving { synchronised } => ("serving", synchronised),
            State::Departed => ("departed", false),
            // There may be others some day; until then it serves nobody.
            _ => ("starting", false),
        }
    }
}

/// What a look comes to, in time.
async fn in_time<T>(
    look: impl Future<Output = Result<T, rserpool::Stopped>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(LOOK_TIMEOUT, look).await {
        Ok(Ok(seen)) => Ok(seen),
        Ok(Err(error)) => Err(Problem::new(Kind::NOT_SERVING, error.to_string())),
        Err(_) => {
            let detail = format!("the registrar did not answer within {LOOK_TIMEOUT:?}");
            Err(Problem::new(Kind::BUSY, detail))
        }
    }
}

/// A time for people and programs: RFC 3339, UTC, with milliseconds.
fn rfc3339(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

/// A span in milliseconds, as exact as microseconds are.
fn ms(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}
