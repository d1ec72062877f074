//! `/v1/elements`, and those of one pool.

use std::sync::Arc;

use rserpool::proto::machine::Carrier;
use rserpool::proto::registrar::{ElementQuery, ElementRow, SupervisionView};
use rserpool::wire::param::{PeId, PoolHandle, RegistrarId};
use rserpool_web::problem::{Kind, Problem};
use rserpool_web::response;
use rserpool_web::route::{Answer, Call};
use serde_json::{Value, json};

use super::lists::{
    self, Part, Wanted, bad_cursor, element_id, handle, registrar_id, unknown_pool,
};
use super::{Site, in_time, ms};
use crate::json as shape;

/// A page of all elements.
pub(super) fn list(site: Arc<Site>, mut call: Call) -> Answer {
    Box::pin(async move {
        let pool = call.query.octets("pool")?.map(|octets| handle(&octets)).transpose()?;
        answer(site, call, pool, &["limit", "after", "home", "own", "pool"]).await
    })
}

/// A page of those of a pool.
pub(super) fn of_pool(site: Arc<Site>, call: Call) -> Answer {
    Box::pin(async move {
        let handle = handle(&call.parameters[0])?;
        answer(site, call, Some(handle), &["limit", "after", "home", "own"]).await
    })
}

async fn answer(
    site: Arc<Site>,
    mut call: Call,
    pool: Option<PoolHandle>,
    known: &[&str],
) -> Result<response::Response, Problem> {
    let wanted = Wanted::of(&mut call.query)?;
    let home = home(&site, &mut call)?;
    std::mem::take(&mut call.query).finish(known)?;
    if let Some(handle) = &pool
        && in_time(site.view.pool(handle.clone())).await?.is_none()
    {
        return Err(unknown_pool(handle));
    }
    let fetch = move |site: Arc<Site>, wanted| page(site, pool.clone(), home, wanted);
    lists::answer(site, &call, wanted, fetch).await
}

/// The home whose elements are wanted.
fn home(site: &Site, call: &mut Call) -> Result<Option<RegistrarId>, Problem> {
    let wrong = |text: &str| {
        let detail = format!("`home` is `{}`, which is no registrar", text.escape_debug());
        Problem::new(Kind::BAD_QUERY, detail)
    };
    let home = call.query.text("home")?;
    let home = home.map(|text| registrar_id(&text).ok_or_else(|| wrong(&text))).transpose()?;
    match call.query.value("own", "true or false")? {
        Some(true) => Ok(Some(site.id)),
        _ => Ok(home),
    }
}

async fn page(
    site: Arc<Site>,
    pool: Option<PoolHandle>,
    home: Option<RegistrarId>,
    wanted: Wanted,
) -> Result<Part, Problem> {
    let after = wanted.after.map(|text| cursor(&text).ok_or_else(bad_cursor)).transpose()?;
    let query = ElementQuery { pool, after, home, limit: wanted.limit };
    let page = in_time(site.view.elements(query)).await?;
    let next = page.next.map(|(handle, id)| format!("{id} {handle}"));
    Ok((page.items.iter().map(json).collect(), next))
}

fn cursor(text: &str) -> Option<(PoolHandle, PeId)> {
    let (id, handle) = text.split_once(' ')?;
    Some((PoolHandle::from_text(handle)?, element_id(id)?))
}

/// One element.
pub(super) fn one(site: Arc<Site>, call: Call) -> Answer {
    Box::pin(async move {
        call.query.finish(&[])?;
        let handle = handle(&call.parameters[0])?;
        let text = String::from_utf8_lossy(&call.parameters[1]).into_owned();
        let unknown = || {
            let detail = format!("there is no element `{}` in it", text.escape_debug());
            Problem::new(Kind::UNKNOWN_ELEMENT, detail)
        };
        let id = element_id(&text);
        if in_time(site.view.pool(handle.clone())).await?.is_none() {
            return Err(unknown_pool(&handle));
        }
        let id = id.ok_or_else(unknown)?;
        let element = in_time(site.view.element(handle, id)).await?;
        Ok(response::json(&json(&element.ok_or_else(unknown)?)))
    })
}

fn json(row: &ElementRow) -> Value {
    let mut json = shape::element(&row.element);
    json["pool"] = row.handle.to_string().into();
    json["listed"] = row.is_listed.into();
    json["own"] = row.supervision.is_some().into();
    json["supervision"] = row.supervision.as_ref().map(supervision).into();
    json
}

fn supervision(seen: &SupervisionView) -> Value {
    json!({
        "remote": seen.remote.map(|(address, _)| address.to_string()),
        "carrier": seen.remote.map(|(_, carrier)| carrier_name(carrier)),
        "rtt_ms": seen.round_trip.map(ms),
        "asked_ms_ago": seen.asked_ago.map(ms),
        "next_in_ms": seen.next_in.map(ms),
        "expires_in_ms": seen.expires_in.map(ms),
        "extensions": seen.extensions,
        "reports": seen.reports,
    })
}

/// What an association runs over.
pub(super) fn carrier_name(carrier: Carrier) -> &'static str {
    match carrier {
        Carrier::Sctp => "sctp",
        Carrier::Tcp => "tcp",
    }
}
