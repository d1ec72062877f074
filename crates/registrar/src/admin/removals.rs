//! `/v1/removals`, and why an element is as it is.

use std::sync::Arc;
use std::time::SystemTime;

use rserpool::proto::registrar::{ElementRow, SupervisionView};
use rserpool_web::problem::{Kind, Problem};
use rserpool_web::response;
use rserpool_web::route::{Answer, Call};
use serde_json::{Value, json};

use super::event_log::Entry;
use super::lists::{element_id, handle};
use super::{Site, in_time, rfc3339, sentence};

/// The last removals, the newest first, each with what was known then.
pub(super) fn list(site: Arc<Site>, mut call: Call) -> Answer {
    Box::pin(async move {
        let pool = call.query.octets("pool")?.map(|octets| handle(&octets)).transpose()?;
        let (pool, reason) = (pool.map(|pool| pool.to_string()), call.query.text("reason")?);
        let limit = call.query.value("limit", "a number")?.unwrap_or(usize::MAX);
        call.query.finish(&["pool", "reason", "limit"])?;
        let removals = site.log.removals();
        let items = removals.iter().filter(|entry| pool.is_none() || entry.pool == pool);
        let items = items.filter_map(parsed);
        let items =
            items.filter(|it| reason.as_ref().is_none_or(|wanted| it["reason"] == **wanted));
        let items: Vec<Value> = items.take(limit).collect();
        Ok(response::json(&json!({ "items": items, "as_of": rfc3339(SystemTime::now()) })))
    })
}

fn parsed(entry: &Arc<Entry>) -> Option<Value> {
    serde_json::from_str(&entry.json).ok()
}

/// Why an element is in its pool, or is not any more.
pub(super) fn explain(site: Arc<Site>, call: Call) -> Answer {
    Box::pin(async move {
        call.query.finish(&[])?;
        let handle = handle(&call.parameters[0])?;
        let named = String::from_utf8_lossy(&call.parameters[1]).into_owned();
        let unknown = || {
            let detail = format!("nothing is known of `{}` in `{handle}`", named.escape_debug());
            Problem::new(Kind::UNKNOWN_ELEMENT, detail)
        };
        let id = element_id(&named).ok_or_else(unknown)?;
        let row = in_time(site.view.element(handle.clone(), id)).await?;
        let shown = sentence::shown_handle(&handle);
        let history = site.log.history(&shown, &id.to_string());
        let text = match (&row, history.iter().rev().find(|entry| entry.kind == "left")) {
            (Some(row), _) => present(row),
            (None, Some(last)) => {
                let last = parsed(last).unwrap_or_default();
                let (at, text) = (&last["at"], &last["text"]);
                format!(
                    "{}, at {}",
                    text.as_str().unwrap_or_default(),
                    at.as_str().unwrap_or_default()
                )
            }
            (None, None) if history.is_empty() => return Err(unknown()),
            (None, None) => format!("{id} is not in {shown}; why is not known any more"),
        };
        let history: Vec<Value> = history.iter().filter_map(parsed).collect();
        Ok(response::json(&json!({
            "pool": shown,
            "id": id.to_string(),
            "listed": row.as_ref().is_some_and(|row| row.is_listed),
            "text": text,
            "history": history,
        })))
    })
}

/// How an element that is there is.
fn present(row: &ElementRow) -> String {
    let (id, pool) = (row.element.id, sentence::shown_handle(&row.handle));
    if !row.is_listed {
        return format!("{id} is in {pool}, and an operator holds it: no user is told of it here");
    }
    let Some(supervision) = &row.supervision else {
        let home = row.element.home.map_or_else(|| "nobody known".into(), |home| home.to_string());
        return format!("{id} is in {pool}; its home is {home}, ask there how it is");
    };
    let SupervisionView { round_trip, asked_ago, next_in, reports, .. } = supervision;
    let span = |span: &Option<_>| span.map(sentence::spoken_span).unwrap_or_default();
    let mut text = format!("{id} is in {pool}, and this registrar is its home");
    if asked_ago.is_some() {
        text += &format!("; it was asked {} ago and has not answered yet", span(asked_ago));
    } else {
        if round_trip.is_some() {
            text += &format!("; it answers in {}", span(round_trip));
        }
        if next_in.is_some() {
            text += &format!("; it is asked next in {}", span(next_in));
        }
    }
    match reports {
        0 => {}
        1 => text += "; 1 user has reported it",
        more => text += &format!("; {more} users have reported it"),
    }
    text
}
