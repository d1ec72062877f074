//! Lists: a page at a time, or the whole, a line for each entry.

use std::sync::Arc;
use std::time::SystemTime;

use rserpool::wire::param::{PeId, PoolHandle, RegistrarId};
use rserpool_web::problem::{Kind, Problem};
use rserpool_web::query::Query;
use rserpool_web::response::{self, Response};
use rserpool_web::route::Call;
use serde_json::{Value, json};

use super::{Site, rfc3339};

/// Lines, each of which is JSON.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// Entries of a page, where nobody says how many.
const LIMIT: usize = 200;
/// Entries of a page, at most.
const LIMIT_MAX: usize = 512;

/// What of a list is wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) limit: usize,
    /// The cursor, as it was told.
    pub(super) after: Option<String>,
}

/// Part of a list: its entries, and the cursor for the rest.
pub(super) type Part = (Vec<Value>, Option<String>);

impl Wanted {
    pub(super) fn of(query: &mut Query) -> Result<Self, Problem> {
        let what = "a number from 1 to 512";
        let limit = query.value("limit", what)?.unwrap_or(LIMIT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::new(Kind::BAD_QUERY, format!("`limit` is {limit}, not {what}")));
        }
        Ok(Self { limit, after: query.text("after")? })
    }
}

/// A cursor makes no sense.
pub(super) fn bad_cursor() -> Problem {
    Problem::new(Kind::BAD_QUERY, "`after` is no cursor: take it from `next` as it is")
}

/// Answers with a page; or with all pages, a line for each entry, where lines are accepted.
/// `fetch` gets one page.
pub(super) async fn answer<F, P>(
    site: Arc<Site>,
    call: &Call,
    wanted: Wanted,
    fetch: F,
) -> Result<Response, Problem>
where
    F: Fn(Arc<Site>, Wanted) -> P + Send + 'static,
    P: Future<Output = Result<Part, Problem>> + Send,
{
    let accept = call.headers.get("accept").and_then(|value| value.to_str().ok());
    if !accept.is_some_and(|accept| accept.contains(NDJSON)) {
        let as_of = rfc3339(SystemTime::now());
        let (items, next) = fetch(site, wanted).await?;
        return Ok(response::json(&json!({ "items": items, "next": next, "as_of": as_of })));
    }
    let permit = site.shared.stream()?;
    let first = fetch(Arc::clone(&site), Wanted { limit: LIMIT_MAX, ..wanted }).await?;
    let (response, lines) = response::parts(NDJSON, permit);
    tokio::spawn(async move {
        let mut part = first;
        loop {
            let (items, next) = part;
            let text: String = items.iter().map(|item| format!("{item}\n")).collect();
            // Who stops reading gets no more.
            if !text.is_empty() && lines.send(text.into()).await.is_err() {
                return;
            }
            let Some(next) = next else { return };
            let wanted = Wanted { limit: LIMIT_MAX, after: Some(next) };
            match fetch(Arc::clone(&site), wanted).await {
                Ok(next) => part = next,
                // A list that breaks off must not look whole.
                Err(problem) => {
                    let line = json!({ "error": problem.detail });
                    let _ = lines.send(format!("{line}\n").into()).await;
                    return;
                }
            }
        }
    });
    Ok(response)
}

/// A pool that was named in a path or a parameter, in the form that `pool` has in answers.
///
/// # Errors
///
/// Where no pool can be called that.
pub(super) fn handle(octets: &[u8]) -> Result<PoolHandle, Problem> {
    let handle = match str::from_utf8(octets) {
        Ok(text) => PoolHandle::from_text(text),
        Err(_) => PoolHandle::new(octets),
    };
    handle.ok_or_else(|| Problem::new(Kind::BAD_QUERY, "no pool can have this name"))
}

/// An element that was named: `0x1234abcd`, or decimal.
pub(super) fn element_id(text: &str) -> Option<PeId> {
    text.parse().ok()
}

/// A registrar that was named in the same way.
pub(super) fn registrar_id(text: &str) -> Option<RegistrarId> {
    text.parse().ok()
}

/// There is no such pool.
pub(super) fn unknown_pool(handle: &PoolHandle) -> Problem {
    Problem::new(Kind::UNKNOWN_POOL, format!("there is no pool `{handle}`"))
}
