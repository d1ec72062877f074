//! `/v1/events`: by page, or as they happen.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rserpool_web::Bytes;
use rserpool_web::access::{Identity, Tokens};
use rserpool_web::problem::{Kind, Problem};
use rserpool_web::query::Query;
use rserpool_web::response::{self, Response};
use rserpool_web::route::{Answer, Call};
use rserpool_web::sse;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::event_log::{Entry, Part};
use super::lists::{NDJSON, handle};
use super::{Site, rfc3339};

/// So long nothing is said on a stream without events.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// What is wanted of what happened.
#[derive(Clone, Debug)]
struct Filter {
    pool: Option<String>,
    kind: Option<String>,
}

impl Filter {
    fn admits(&self, entry: &Entry) -> bool {
        self.pool.as_ref().is_none_or(|pool| entry.pool.as_ref() == Some(pool))
            && self.kind.as_ref().is_none_or(|kind| entry.kind == kind)
    }
}

/// What happened.
pub(super) fn list(site: Arc<Site>, mut call: Call) -> Answer {
    Box::pin(async move {
        let pool = call.query.octets("pool")?.map(|octets| handle(&octets)).transpose()?;
        let kind = call.query.text("type")?;
        let filter = Filter { pool: pool.map(|pool| pool.to_string()), kind };
        let accept = call.headers.get("accept").and_then(|value| value.to_str().ok());
        let accepts = |media| accept.is_some_and(|accept| accept.contains(media));
        let (is_sse, is_lines) = (accepts(sse::MEDIA), accepts(NDJSON));
        let after = begin(&site, &mut call, is_sse || is_lines)?;
        call.query.finish(&["after", "since", "pool", "type"])?;
        match (is_sse, is_lines) {
            (true, _) => follow(site, call.who, (filter, after), sse::MEDIA),
            (_, true) => follow(site, call.who, (filter, after), NDJSON),
            _ => Ok(page(&site, &filter, after)),
        }
    })
}

/// Behind which event to begin: a number, a time, where a stream broke off, or now.
fn begin(site: &Site, call: &mut Call, is_stream: bool) -> Result<u64, Problem> {
    let after = call.query.value("after", "the number of an event")?;
    let since = since(&mut call.query)?;
    // Numbers of another run say nothing of this one: all that is there is told.
    let last = call.headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let last = last.map(|last| match last.split_once('-') {
        Some((boot, seq)) if boot == site.boot => seq.parse().unwrap_or(0),
        _ => 0,
    });
    let newest = site.log.counts().0;
    let default = if is_stream { newest } else { 0 };
    let asked = last.or(after).or_else(|| Some(site.log.before(since?))).unwrap_or(default);
    // Behind a number that nothing has yet is what happens from now on.
    Ok(asked.min(newest))
}

/// A time, or how long ago it was.
fn since(query: &mut Query) -> Result<Option<SystemTime>, Problem> {
    let Some(text) = query.text("since")? else { return Ok(None) };
    let ago =
        humantime::parse_duration(&text).ok().and_then(|ago| SystemTime::now().checked_sub(ago));
    match ago.or_else(|| humantime::parse_rfc3339_weak(&text).ok()) {
        Some(time) => Ok(Some(time)),
        None => {
            let text = text.escape_debug();
            let detail =
                format!("`since` is `{text}`, which is neither a span such as 10m nor a time");
            Err(Problem::new(Kind::BAD_QUERY, detail))
        }
    }
}

fn page(site: &Site, filter: &Filter, after: u64) -> Response {
    let Part { missed, entries } = site.log.after(after);
    let next = entries.last().map_or(after, |last| last.seq);
    let shown = entries.iter().filter(|entry| filter.admits(entry));
    let items: Vec<Value> =
        shown.filter_map(|entry| serde_json::from_str(&entry.json).ok()).collect();
    let has_more = next < site.log.counts().0 && !entries.is_empty();
    response::json(&json!({
        "items": items,
        "missed": missed,
        "last": next,
        "next": has_more.then(|| next.to_string()),
        "as_of": rfc3339(SystemTime::now()),
    }))
}

fn follow(
    site: Arc<Site>,
    who: Identity,
    (filter, after): (Filter, u64),
    media: &'static str,
) -> Result<Response, Problem> {
    let (response, parts) = response::parts(media, site.shared.stream()?);
    tokio::spawn(async move {
        let mut stream = Stream { site: &site, who, filter, after, media, parts };
        stream.run().await;
    });
    Ok(response)
}

/// Events on their way to one reader.
struct Stream<'a> {
    site: &'a Site,
    who: Identity,
    filter: Filter,
    /// The number of the last event that was looked at.
    after: u64,
    media: &'static str,
    parts: mpsc::Sender<Bytes>,
}

/// Nobody reads any more.
struct Gone;

impl Stream<'_> {
    /// Tells what there is and what comes, until the reader is gone or the registrar ends.
    async fn run(&mut self) {
        let mut newest = self.site.log.watch();
        let mut tokens = self.site.tokens.clone();
        // Who waits for the head of the answer has it.
        let mut told = self.put(self.quiet()).await;
        loop {
            if told.is_err() || self.tell().await.is_err() {
                return;
            }
            told = tokio::select! {
                () = reaches(&mut newest, self.after + 1) => Ok(()),
                () = tokio::time::sleep(QUIET_MAX) => self.put(self.quiet()).await,
                () = self.parts.closed() => Err(Gone),
                // Who may not look any more is as good as gone.
                () = withdrawn(&mut tokens, &self.who) => Err(Gone),
                () = self.site.shared.stopped() => {
                    // The last that happened is that it leaves.
                    let _ = self.tell().await;
                    return;
                }
            };
        }
    }

    /// Tells all that is there.
    async fn tell(&mut self) -> Result<(), Gone> {
        loop {
            let Part { missed, entries } = self.site.log.after(self.after);
            let Some(last) = entries.last() else { return Ok(()) };
            self.after = last.seq;
            let mut text = Vec::new();
            if missed > 0 {
                let gap = json!({ "type": "gap", "missed": missed }).to_string();
                text.extend(self.item(entries[0].seq - 1, "gap", &gap));
            }
            for entry in entries.iter().filter(|entry| self.filter.admits(entry)) {
                text.extend(self.item(entry.seq, entry.kind, &entry.json));
            }
            self.put(text.into()).await?;
        }
    }

    async fn put(&self, text: Bytes) -> Result<(), Gone> {
        match text.is_empty() {
            true => Ok(()),
            false => self.parts.send(text).await.map_err(|_| Gone),
        }
    }

    fn item(&self, seq: u64, kind: &str, json: &str) -> Bytes {
        match self.media {
            NDJSON => format!("{json}\n").into(),
            _ => sse::event(&format!("{}-{seq}", self.site.boot), kind, json),
        }
    }

    /// What says that the stream lives.
    fn quiet(&self) -> Bytes {
        match self.media {
            NDJSON => Bytes::from_static(b"\n"),
            _ => sse::comment(),
        }
    }
}

/// Waits until there is an event of this number, or nobody makes any.
async fn reaches(newest: &mut watch::Receiver<u64>, seq: u64) {
    let _ = newest.wait_for(|newest| *newest >= seq).await;
}

/// Waits until somebody may not any more.
async fn withdrawn(tokens: &mut watch::Receiver<Tokens>, who: &Identity) {
    if tokens.wait_for(|tokens| !tokens.still_admit(who)).await.is_err() {
        // Nobody will change them.
        std::future::pending::<()>().await;
    }
}
