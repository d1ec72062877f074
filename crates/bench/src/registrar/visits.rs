//! Associations that begin and end again, and those that only stay.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rserpool::transport::tls::{Expected, Role};
use rserpool::transport::{AssocId, Endpoints, Event, Ppid, Remote};
use tokio::time::timeout;

use crate::generator::{PATIENCE, Plan, SPEAKS, Tally, WARM_UP, Work, in_thread, options, times};

/// What came of those that came and went.
pub(super) struct Visits {
    /// Of associations, from their beginning to their end.
    pub(super) tally: Tally,
    /// How many of them went on with the TLS session of an earlier one.
    pub(super) resumed_part: f64,
}

/// Associations begin, so many at once, and end as soon as they are there, or have had an answer.
pub(super) async fn come_and_go(plan: Plan, asks: bool) -> anyhow::Result<Visits> {
    let limit = WARM_UP + plan.span + PATIENCE;
    in_thread(limit, move || async move { Visitors::open(&plan, asks).await?.go_on().await }).await
}

/// So many associations have each had an answer, and stay as long as this is there.
pub(super) async fn stay(plan: &Plan) -> anyhow::Result<Stayers> {
    let mut visitors = Visitors::open(plan, true).await?;
    let all = async {
        while visitors.done < plan.clients as usize {
            let (assoc, _) = visitors.next().await?;
            visitors.begun.remove(&assoc);
            visitors.done += 1;
            let begun = visitors.done + visitors.begun.len();
            if begun < plan.clients as usize {
                visitors.dial()?;
            }
        }
        Ok(())
    };
    timeout(PATIENCE, all).await.unwrap_or_else(|_| bail!("they do not all come"))?;
    Ok(Stayers(visitors.endpoints))
}

/// Associations that stay.
pub(super) struct Stayers(#[expect(dead_code, reason = "they end with it")] Endpoints);

/// So many begin at once: of one server that many tickets are kept.
pub(super) const AT_ONCE: u32 = 8;

struct Visitors<'a> {
    plan: &'a Plan,
    asks: bool,
    endpoints: Endpoints,
    remote: Remote,
    /// Since when those are there that have not what they want.
    begun: HashMap<AssocId, Instant>,
    done: usize,
}

impl<'a> Visitors<'a> {
    async fn open(plan: &'a Plan, asks: bool) -> anyhow::Result<Self> {
        let endpoints = Endpoints::new(options(plan.tls.as_ref()));
        let mut remote = plan.address.resolve().await?;
        remote.expected = Expected { role: Some(Role::Registrar), ..Expected::default() };
        let mut all = Self { plan, asks, endpoints, remote, begun: HashMap::new(), done: 0 };
        (0..AT_ONCE.min(plan.clients)).try_for_each(|_| all.dial())?;
        Ok(all)
    }

    fn dial(&mut self) -> anyhow::Result<()> {
        let assoc = self.endpoints.connect(&self.remote, SPEAKS)?;
        self.begun.insert(assoc, Instant::now());
        Ok(())
    }

    /// The next one that has what it wants, and since when it was there.
    async fn next(&mut self) -> anyhow::Result<(AssocId, Instant)> {
        let Work::Ask { request, octets: wanted, .. } = &self.plan.work else {
            bail!("nothing to ask")
        };
        loop {
            let (assoc, has_all) = match self.endpoints.next().await {
                Event::Up { assoc, .. } if self.asks => {
                    self.endpoints.send(assoc, Ppid::ASAP, request)?;
                    continue;
                }
                Event::Up { assoc, .. } => (assoc, true),
                Event::Message { assoc, octets, .. } => (assoc, octets.len() == *wanted),
                Event::Down { assoc, reason } => {
                    ensure!(!self.begun.contains_key(&assoc), "an association ended: {reason:?}");
                    continue;
                }
                _ => continue,
            };
            ensure!(has_all, "another answer");
            return Ok((assoc, *self.begun.get(&assoc).context("a stranger")?));
        }
    }

    async fn go_on(&mut self) -> anyhow::Result<Visits> {
        self.go_on_for(WARM_UP).await?;
        let (before, (server_time, own_time)) = (self.endpoints.counters(), times(self.plan)?);
        let began = Instant::now();
        let latencies_us = self.go_on_for(self.plan.span).await?;
        let elapsed = began.elapsed();
        let (after, (server_after, own_after)) = (self.endpoints.counters(), times(self.plan)?);
        let resumed = after.handshakes_resumed - before.handshakes_resumed;
        let full = after.handshakes_full - before.handshakes_full;
        let tally = Tally {
            elapsed,
            latencies_us,
            server_time: server_after.saturating_sub(server_time),
            own_time: own_after.saturating_sub(own_time),
        };
        Ok(Visits { tally, resumed_part: resumed as f64 / (resumed + full).max(1) as f64 })
    }

    /// How long each took, in microseconds.
    async fn go_on_for(&mut self, span: Duration) -> anyhow::Result<Vec<f64>> {
        let (begun, mut latencies_us) = (Instant::now(), Vec::new());
        while begun.elapsed() < span {
            let (assoc, since) = self.next().await?;
            latencies_us.push(since.elapsed().as_secs_f64() * 1e6);
            self.begun.remove(&assoc);
            // A graceful end would keep its port for a minute, and take the ticket along.
            self.endpoints.abort(assoc);
            self.dial()?;
        }
        Ok(latencies_us)
    }
}
