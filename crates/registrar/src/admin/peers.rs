//! `/v1/peers`

use std::net::SocketAddr;
use std::sync::Arc;

use rserpool::proto::registrar::{PeerState, PeerView};
use rserpool::proto::time::Time;
use rserpool_web::problem::Problem;
use rserpool_web::route::{Answer, Call};
use serde_json::{Value, json};

use super::elements::carrier_name;
use super::lists::{self, Part, Wanted, bad_cursor, registrar_id};
use super::{Site, in_time, ms};

/// A page of the other registrars.
pub(super) fn list(site: Arc<Site>, mut call: Call) -> Answer {
    Box::pin(async move {
        let wanted = Wanted::of(&mut call.query)?;
        std::mem::take(&mut call.query).finish(&["limit", "after"])?;
        lists::answer(site, &call, wanted, page).await
    })
}

async fn page(site: Arc<Site>, wanted: Wanted) -> Result<Part, Problem> {
    let after = wanted.after.map(|text| registrar_id(&text).ok_or_else(bad_cursor)).transpose()?;
    let (page, now) = in_time(site.view.peers(after, wanted.limit)).await?;
    let items = page.items.iter().map(|peer| json(peer, now)).collect();
    Ok((items, page.next.map(|next| next.to_string())))
}

/// What is thought of a registrar, in a word.
pub(super) fn state_name(state: PeerState) -> &'static str {
    match state {
        PeerState::Active => "active",
        PeerState::Suspected => "suspected",
        // There may be others some day; nobody should turn to them.
        _ => "dead",
    }
}

fn json(peer: &PeerView, now: Time) -> Value {
    let url = |told: &rserpool::wire::param::SctpTransport| {
        let at = told.addresses.first().map(|&ip| SocketAddr::new(ip, told.port))?;
        Some(format!("{}://{at}", carrier_name(peer.carrier)))
    };
    json!({
        "id": peer.id.to_string(),
        "state": state_name(peer.state),
        "enrp": peer.transport.as_ref().and_then(url),
        "carrier": carrier_name(peer.carrier),
        "associations": peer.associations,
        "last_heard_ms": ms(now - peer.last_heard),
        "elements": peer.elements,
        "checksum_here": format!("{:#06x}", peer.checksum_here.0),
        "checksum_told": peer.checksum_told.map(|told| format!("{:#06x}", told.0)),
        "agrees": peer.checksum_told.map(|told| told == peer.checksum_here),
        "downloading": peer.is_downloading,
    })
}
