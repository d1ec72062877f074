//! `/v1/associations`

use std::net::SocketAddr;
use std::sync::Arc;

use rserpool::proto::machine::Peer;
use rserpool::proto::registrar::AssociationRow;
use rserpool::wire::Protocol;
use rserpool_web::problem::Problem;
use rserpool_web::route::{Answer, Call};
use serde_json::{Value, json};

use super::elements::carrier_name;
use super::lists::{self, Part, Wanted, bad_cursor};
use super::{Site, in_time, ms};

/// A page of associations.
pub(super) fn list(site: Arc<Site>, mut call: Call) -> Answer {
    Box::pin(async move {
        let wanted = Wanted::of(&mut call.query)?;
        std::mem::take(&mut call.query).finish(&["limit", "after"])?;
        lists::answer(site, &call, wanted, page).await
    })
}

async fn page(site: Arc<Site>, wanted: Wanted) -> Result<Part, Problem> {
    let after = wanted.after.map(|text| cursor(&text).ok_or_else(bad_cursor)).transpose()?;
    let page = in_time(site.view.associations(after, wanted.limit)).await?;
    let items = page.items.iter().map(json).collect();
    Ok((items, page.next.map(|next| next.to_string())))
}

/// The name of an association as it is written.
fn cursor(text: &str) -> Option<Peer> {
    let (kind, number) = text.split_once('-')?;
    let number = number.parse().ok().filter(|number: &u64| number >> 63 == 0)?;
    match kind {
        "dialed" => Some(Peer::dialed(number)),
        "accepted" => Some(Peer::accepted(number)),
        _ => None,
    }
}

fn json(row: &AssociationRow) -> Value {
    let remote = row.remote.iter().map(|&ip| SocketAddr::new(ip, row.remote_port).to_string());
    json!({
        "name": row.peer.to_string(),
        "protocol": match row.protocol {
            Protocol::Asap => "asap",
            Protocol::Enrp => "enrp",
        },
        "carrier": carrier_name(row.carrier),
        "remote": remote.collect::<Vec<_>>(),
        "dialed": row.peer.is_dialed(),
        "registrar": row.registrar.map(|id| id.to_string()),
        "elements": row.elements,
        "congested": row.is_congested,
        "idle_ms": ms(row.idle),
    })
}
