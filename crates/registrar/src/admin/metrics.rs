//! `/metrics`: every name stands here or beside its counter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rserpool::proto::registrar::{PAGE_MAX, PoolQuery, PoolRow};
use rserpool::registrar::Summary;
use rserpool::wire::counters::Counter;
use rserpool_web::StatusCode;
use rserpool_web::exposition::{self, Kind, Metric};
use rserpool_web::problem::Problem;
use rserpool_web::response;
use rserpool_web::route::{Answer, Call};

use super::peers::state_name;
use super::{Site, in_time, process};

/// The largest pools are looked for so often.
const LARGEST_AGE: Duration = Duration::from_secs(15);
/// Registrars with metrics of their own.
const PEERS_MAX: usize = 256;

/// The pools with most elements, as they were not long ago.
#[derive(Debug, Default)]
pub(crate) struct Largest {
    max: usize,
    found: Option<Instant>,
    rows: Vec<PoolRow>,
    others: usize,
}

/// All metrics, in the form that is asked for.
pub(super) fn all(site: Arc<Site>, mut call: Call) -> Answer {
    Box::pin(async move {
        let with_pools = call.query.text("pools")?.is_none_or(|pools| pools != "none");
        call.query.finish(&["pools"])?;
        let accept = call.headers.get("accept").and_then(|value| value.to_str().ok());
        let is_open = accept.is_some_and(|accept| accept.contains("application/openmetrics-text"));
        let metrics = collect(&site, with_pools).await?;
        let (media, text) = match is_open {
            true => (exposition::OPEN_METRICS, exposition::open_metrics(&metrics)),
            false => (exposition::TEXT, exposition::text(&metrics)),
        };
        Ok(response::whole(StatusCode::OK, media, text))
    })
}

async fn collect(site: &Site, with_pools: bool) -> Result<Vec<Metric>, Problem> {
    let summary = site.summary().await?;
    let mut metrics = registrar(site, &summary);
    let overview = &summary.overview;
    let own = overview.stats.counters().chain(overview.limits_reached.counters());
    metrics.extend(counted("rserpool_", own));
    metrics.extend(counted("rserpool_transport_", summary.transport.counters()));
    metrics.extend(peers(site).await?);
    if with_pools {
        metrics.extend(pools(site).await?);
    }
    metrics.extend(operators(site, &summary));
    metrics.extend(of_process(site));
    Ok(metrics)
}

/// Counters as metrics: those of one name together.
fn counted(prefix: &str, counters: impl Iterator<Item = Counter>) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = Vec::new();
    for counter in counters {
        let name = format!("{prefix}{}", counter.metric);
        let place = metrics.iter().position(|metric| metric.name == name);
        let place = place.unwrap_or_else(|| {
            metrics.push(Metric::new(name, Kind::Counter, counter.metric_help));
            metrics.len() - 1
        });
        let labels = counter.label.map(|(label, value)| (label, value.to_owned()));
        #[expect(clippy::cast_precision_loss, reason = "Prometheus has nothing but f64")]
        let value = counter.value as f64;
        let labels = labels.into_iter().collect();
        metrics[place].samples.push(exposition::Sample { labels, value });
    }
    metrics
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has nothing but f64")]
fn number(value: usize) -> f64 {
    value as f64
}

fn gauge(name: &str, help: &str, value: f64) -> Metric {
    Metric::single(format!("rserpool_{name}"), Kind::Gauge, help, value)
}

/// What it is and how much there is of everything.
fn registrar(site: &Site, summary: &Summary) -> Vec<Metric> {
    let overview = &summary.overview;
    let (now, synchronised) = site.state();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let mut state = Metric::new("rserpool_state", Kind::Gauge, "1 for what the registrar does.");
    for name in ["starting", "serving", "departed"] {
        state = state.with([("state", name.into())], f64::from(u8::from(name == now)));
    }
    let elements = Metric::new("rserpool_elements", Kind::Gauge, "Elements, by who is their home.")
        .with([("home", "own".into())], number(overview.own))
        .with([("home", "other".into())], number(overview.elements - overview.own));
    let held = overview.peers;
    let peers = Metric::new("rserpool_peers", Kind::Gauge, "Other registrars, by state.")
        .with([("state", "active".into())], number(held.active))
        .with([("state", "suspected".into())], number(held.suspected))
        .with([("state", "dead".into())], number(held.dead));
    let mut used = Metric::new("rserpool_used", Kind::Gauge, "Entries of each queue and table.");
    let mut limit = Metric::new("rserpool_limit", Kind::Gauge, "The limit of each of them.");
    for size in &overview.sizes {
        used = used.with([("what", size.name.into())], number(size.len));
        limit = limit.with([("what", size.name.into())], number(size.limit));
    }
    vec![
        Metric::new("rserpool_build_info", Kind::Gauge, "1, with the version as a label.")
            .with([("version", version)], 1.0),
        state,
        gauge(
            "synchronised",
            "1 where it began with the handlespace of another registrar.",
            f64::from(u8::from(synchronised)),
        ),
        gauge("pools", "Pools.", number(overview.pools)),
        elements,
        gauge("associations", "Associations, with anyone.", number(overview.associations)),
        gauge("subscriptions", "Pools, by how many subscribe.", number(overview.subscriptions)),
        peers,
        gauge("peers_configured", "Registrars to dial.", number(overview.peers_configured)),
        used,
        limit,
        gauge(
            "queued_octets",
            "Octets that wait in the queues of its endpoints.",
            number(summary.queued_octets),
        ),
        Metric::single(
            "rserpool_driver_cpu_seconds_total",
            Kind::Counter,
            "What the thread of the protocol has taken of a processor.",
            summary.cpu_time.as_secs_f64(),
        ),
    ]
}

/// What is known of each other registrar.
async fn peers(site: &Site) -> Result<Vec<Metric>, Problem> {
    let (page, now) = in_time(site.view.peers(None, PEERS_MAX)).await?;
    let of = |name: &str, help| Metric::new(format!("rserpool_peer_{name}"), Kind::Gauge, help);
    let mut heard = of("last_heard_seconds", "How long ago a registrar was heard.");
    let mut elements = of("elements", "Elements that have a registrar as their home.");
    let mut agrees = of("agrees", "1 where a registrar's checksum is the one computed here.");
    let mut links = of("associations", "Associations with a registrar.");
    let mut state = of("state", "1 for what is thought of a registrar.");
    for peer in &page.items {
        let label = || [("peer", peer.id.to_string())];
        heard = heard.with(label(), (now - peer.last_heard).as_secs_f64());
        elements = elements.with(label(), number(peer.elements));
        links = links.with(label(), number(peer.associations));
        let named = [("peer", peer.id.to_string()), ("state", state_name(peer.state).into())];
        state = state.with(named, 1.0);
        if let Some(told) = peer.checksum_told {
            agrees = agrees.with(label(), f64::from(u8::from(told == peer.checksum_here)));
        }
    }
    Ok(vec![state, heard, elements, agrees, links])
}

impl Largest {
    /// At most so many.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, ..Self::default() }
    }

    /// Looks through all pools, a page at a time; not more often than it is worth.
    async fn refresh(&mut self, site: &Site) -> Result<(), Problem> {
        if self.found.is_some_and(|found| found.elapsed() < LARGEST_AGE) {
            return Ok(());
        }
        let mut largest: BTreeMap<(usize, usize), PoolRow> = BTreeMap::new();
        let mut query = PoolQuery { limit: PAGE_MAX, ..PoolQuery::default() };
        let mut count = 0;
        loop {
            let page = in_time(site.view.pools(query.clone())).await?;
            for row in page.items {
                count += 1;
                largest.insert((row.elements, count), row);
                if largest.len() > self.max {
                    largest.pop_first();
                }
            }
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        // Whoever was among them stays for one more time, so that its end is seen.
        let gone: BTreeSet<_> = largest.values().map(|row| row.handle.clone()).collect();
        let mut rows: Vec<PoolRow> = largest.into_values().rev().collect();
        self.others = count - rows.len();
        let ended = self.rows.drain(..).filter(|row| row.elements > 0);
        rows.extend(ended.filter(|row| !gone.contains(&row.handle)).map(|mut row| {
            (row.elements, row.own) = (0, 0);
            row
        }));
        rows.truncate(2 * self.max);
        (self.rows, self.found) = (rows, Some(Instant::now()));
        Ok(())
    }
}

/// What is known of the largest pools.
async fn pools(site: &Site) -> Result<Vec<Metric>, Problem> {
    let mut largest = site.largest.lock().await;
    largest.refresh(site).await?;
    let of = |name: &str, help| Metric::new(format!("rserpool_pool_{name}"), Kind::Gauge, help);
    let mut elements = of("elements", "Elements of a pool; of those with most elements.");
    let mut own = of("own", "Those of them that this registrar is the home of.");
    for row in &largest.rows {
        let label = || [("pool", row.handle.to_string())];
        elements = elements.with(label(), number(row.elements));
        own = own.with(label(), number(row.own));
    }
    let others = gauge(
        "pools_without_series",
        "Pools without metrics of their own.",
        number(largest.others),
    );
    Ok(vec![elements, own, others])
}

/// What operators do, and what it costs.
#[expect(clippy::cast_precision_loss, reason = "Prometheus has nothing but f64")]
fn operators(site: &Site, summary: &Summary) -> Vec<Metric> {
    let counter = |name: &str, help, value: u64| {
        Metric::single(format!("rserpool_{name}"), Kind::Counter, help, value as f64)
    };
    let mut requests =
        Metric::new("rserpool_http_requests_total", Kind::Counter, "Requests, by their answers.");
    let counts = site.requests.lock().unwrap_or_else(PoisonError::into_inner);
    for ((route, code), count) in counts.iter() {
        let labels = [("route", (*route).to_owned()), ("code", code.to_string())];
        requests = requests.with(labels, *count as f64);
    }
    drop(counts);
    let refused = site.shared.refusals();
    let refusals =
        Metric::new("rserpool_http_refused_total", Kind::Counter, "What was refused over HTTP.")
            .with([("what", "connection".into())], refused.connections as f64)
            .with([("what", "stream".into())], refused.streams as f64)
            .with([("what", "broken".into())], refused.broken as f64);
    let (events, missed) = site.log.counts();
    vec![
        requests,
        refusals,
        gauge("http_streams", "Answers that go on.", number(site.shared.streams())),
        counter("looks_total", "Looks at the running registrar.", summary.looks),
        Metric::single(
            "rserpool_look_seconds_total",
            Kind::Counter,
            "What all looks took of the thread of the protocol.",
            summary.looks_took.as_secs_f64(),
        ),
        counter("events_total", "Events.", events),
        counter("events_missed_total", "Events that came too fast to be shown.", missed),
    ]
}

/// What everyone's process has.
#[expect(clippy::cast_precision_loss, reason = "Prometheus has nothing but f64")]
fn of_process(site: &Site) -> Vec<Metric> {
    let gauge = |name: &str, help, value| {
        Metric::single(format!("process_{name}"), Kind::Gauge, help, value)
    };
    let mut metrics = Vec::new();
    if let Some((seconds, threads)) = process::processor() {
        let help = "What the process has taken of processors.";
        let cpu = Metric::single("process_cpu_seconds_total", Kind::Counter, help, seconds);
        metrics.extend([cpu, gauge("threads", "Threads of the process.", threads as f64)]);
    }
    if let Some(octets) = process::resident() {
        metrics.push(gauge("resident_memory_bytes", "Memory in use.", octets as f64));
    }
    if let Some((open, max)) = process::descriptors() {
        metrics.push(gauge("open_fds", "Open descriptors.", open as f64));
        let most = max.map(|max| gauge("max_fds", "The most that there may be.", max as f64));
        metrics.extend(most);
    }
    let started = site.started.1.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let help = "When it started, since the epoch.";
    metrics.push(gauge("start_time_seconds", help, started.as_secs_f64()));
    metrics
}
