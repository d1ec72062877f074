//! What a session that has lost its server waits for, in the log: once that takes a while, and
//! whenever it is something else.

use std::time::Duration;

use rserpool_wire::param::PeId;
use tokio::time::Instant;
use tracing::warn;

use crate::{Attempt, PoolUser, log};

use super::Pool;

/// How long a session without a server is silent. What takes a second by itself needs no word.
const SILENCE_MAX: Duration = Duration::from_millis(1100);

/// What was said of a search.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// When to look again; `None` while a server has the session.
    due: Option<Instant>,
    said: Option<String>,
}

impl Waiting {
    /// The server is lost.
    pub(super) fn begin(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + SILENCE_MAX);
    }

    /// When to [look](Self::look).
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Says what is waited for, if that is news.
    pub(super) fn look(&mut self, pool: &Pool) {
        self.due = Some(Instant::now() + SILENCE_MAX);
        let what = waits_for(&pool.user, &log::pool(&pool.handle));
        if self.said.as_ref() != Some(&what) {
            warn!("waiting for {what}");
            self.said = Some(what);
        }
    }

    /// A server has the session, or nobody ever will.
    pub(super) fn end(&mut self, server: Option<PeId>) {
        self.due = None;
        if self.said.take().is_some()
            && let Some(server) = server
        {
            warn!(%server, "the session goes on");
        }
    }
}

fn waits_for(user: &PoolUser, pool: &str) -> String {
    let attempts = user.attempts();
    if attempts.is_empty() || attempts.iter().any(|(_, attempt)| *attempt == Attempt::Up) {
        return format!("a server of {pool} that accepts");
    }
    let tried = attempts.iter().map(|(url, attempt)| format!("{url} ({attempt})"));
    format!("a registrar: {}", tried.collect::<Vec<_>>().join(", "))
}
