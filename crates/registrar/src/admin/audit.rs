//! Who changed something, or wanted to: an event and a line of the log for each act.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rserpool_web::access::{self, Tokens};
use rserpool_web::route::{self, Request, Route};
use rserpool_web::{Method, StatusCode};
use serde_json::json;
use tracing::warn;

use super::lists::{element_id, handle};
use super::{Site, sentence};

/// Acts that are refused are told so often in [`WITHIN`]; all of them are counted, as every request
/// is. Whoever may not act must not push everything else out of what is remembered.
const REFUSED_MAX: u32 = 60;
const WITHIN: Duration = Duration::from_secs(60);

/// How many refused acts were told since when.
#[derive(Debug, Default)]
pub(crate) struct RefusedActs(Mutex<Option<(Instant, u32)>>);

impl RefusedActs {
    fn may_be_told(&self, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = told.filter(|(since, _)| now - *since < WITHIN).unwrap_or((now, 0));
        *told = Some((since, count.saturating_add(1)));
        count < REFUSED_MAX
    }
}

/// An act, before it is done.
#[derive(Debug)]
pub(crate) struct Act {
    actor: String,
    /// Such as `POST /v1/pools/{pool}/elements/{id}/hold`.
    what: String,
    pool: Option<String>,
    id: Option<String>,
}

impl Act {
    /// What a request wants to change; `None` where it only looks.
    pub(crate) fn of(
        routes: &'static [Route<Site>],
        tokens: &Tokens,
        request: &Request,
    ) -> Option<Self> {
        if request.method == Method::GET {
            return None;
        }
        let found = route::find(routes, request).ok()?;
        let who = access::identify(tokens, request.origin, &request.headers);
        let actor = who.map_or_else(|_| "unknown token".to_owned(), |who| who.name);
        let what = format!("{} {}", request.method, found.route.path);
        let pool = found.parameters.first().and_then(|octets| handle(octets).ok());
        let id = found.parameters.get(1).and_then(|it| element_id(&String::from_utf8_lossy(it)));
        let pool = pool.map(|pool| sentence::shown_handle(&pool));
        Some(Self { actor, what, pool, id: id.map(|id| id.to_string()) })
    }

    /// It was done, or was not.
    pub(crate) fn tell(self, site: &Site, status: StatusCode) {
        let Self { actor, what, pool, id } = self;
        let is_done = status.is_success();
        if !is_done && !site.refused_acts.may_be_told(Instant::now()) {
            return;
        }
        let outcome = if is_done { "done" } else { "refused" };
        let status = status.as_u16();
        let target = [id.as_deref(), pool.as_deref()].into_iter().flatten();
        let target = target.collect::<Vec<_>>().join(" of ");
        warn!(target: "rserpool::audit", actor, act = what, target, outcome, status, "act");
        let text = format!("{actor}: {what} ({target}): {outcome}");
        let json = json!({
            "actor": actor, "act": what, "pool": pool, "id": id, "outcome": outcome,
            "status": status, "text": text,
        });
        site.log.push_as("admin", json);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_acts_are_told_so_often_only() {
        let (acts, start) = (RefusedActs::default(), Instant::now());
        let told = (0..100).filter(|_| acts.may_be_told(start)).count();
        assert_eq!(told, REFUSED_MAX as usize);
        assert!(!acts.may_be_told(start + WITHIN / 2));
        assert!(acts.may_be_told(start + WITHIN));
    }
}
