//! `/v1/pools`

use std::sync::Arc;

use rserpool::proto::registrar::{PoolQuery, PoolRow};
use rserpool::wire::param::{PoolHandle, TransportUse};
use rserpool::wire::registry::ParamType;
use rserpool_web::problem::Problem;
use rserpool_web::response;
use rserpool_web::route::{Answer, Call};
use serde_json::{Value, json};

use super::lists::{self, Part, Wanted, bad_cursor, handle, unknown_pool};
use super::{Site, in_time};

/// A page of pools.
pub(super) fn list(site: Arc<Site>, mut call: Call) -> Answer {
    Box::pin(async move {
        let wanted = Wanted::of(&mut call.query)?;
        let prefix = match call.query.octets("prefix")? {
            Some(octets) if !octets.is_empty() => handle(&octets)?.as_bytes().to_vec(),
            _ => Vec::new(),
        };
        std::mem::take(&mut call.query).finish(&["limit", "after", "prefix"])?;
        let fetch = move |site: Arc<Site>, wanted| page(site, prefix.clone(), wanted);
        lists::answer(site, &call, wanted, fetch).await
    })
}

async fn page(site: Arc<Site>, prefix: Vec<u8>, wanted: Wanted) -> Result<Part, Problem> {
    let after = wanted.after.map(|cursor| PoolHandle::from_text(&cursor).ok_or_else(bad_cursor));
    let query = PoolQuery { after: after.transpose()?, prefix, limit: wanted.limit };
    let page = in_time(site.view.pools(query)).await?;
    Ok((page.items.iter().map(json).collect(), page.next.map(|next| next.to_string())))
}

/// One pool.
pub(super) fn one(site: Arc<Site>, call: Call) -> Answer {
    Box::pin(async move {
        call.query.finish(&[])?;
        let handle = handle(&call.parameters[0])?;
        let pool = in_time(site.view.pool(handle.clone())).await?;
        Ok(response::json(&json(&pool.ok_or_else(|| unknown_pool(&handle))?)))
    })
}

fn json(pool: &PoolRow) -> Value {
    json!({
        "pool": pool.handle.to_string(),
        "policy": pool.policy.to_string(),
        "transport": transport(pool.transport),
        "control_channel": pool.transport_use == TransportUse::DataPlusControl,
        "elements": pool.elements,
        "listed": pool.listed,
        "held": pool.elements - pool.listed,
        "own": pool.own,
    })
}

/// The kind of transport, as in URLs.
fn transport(kind: ParamType) -> String {
    match kind {
        ParamType::SCTP_TRANSPORT => "sctp".into(),
        ParamType::TCP_TRANSPORT => "tcp".into(),
        ParamType::UDP_TRANSPORT => "udp".into(),
        ParamType::UDP_LITE_TRANSPORT => "udp-lite".into(),
        ParamType::DCCP_TRANSPORT => "dccp".into(),
        ParamType::OPAQUE_TRANSPORT => "opaque".into(),
        other => other.to_string(),
    }
}
