//! `/v1/registrar`

use std::sync::Arc;
use std::time::SystemTime;

use rserpool_web::response;
use rserpool_web::route::{Answer, Call};
use serde_json::{Value, json};

use super::{Site, ms, process, rfc3339};

/// How it is.
pub(super) fn one(site: Arc<Site>, call: Call) -> Answer {
    Box::pin(async move {
        call.query.finish(&[])?;
        let summary = site.summary().await?;
        let (overview, (state, synchronised)) = (&summary.overview, site.state());
        let size = |size: &rserpool::proto::registrar::Size| json!({ "name": size.name, "used": size.len, "limit": size.limit });
        let peers = overview.peers;
        Ok(response::json(&json!({
            "id": site.id.to_string(),
            "version": env!("CARGO_PKG_VERSION"),
            "boot": site.boot,
            "state": state,
            "synchronised": synchronised,
            "started": rfc3339(site.started.1),
            "uptime_ms": ms(site.started.0.elapsed()),
            "asap": site.asap,
            "enrp": site.enrp,
            "profile": site.profile,
            "dialect": site.dialect,
            "pools": overview.pools,
            "elements": overview.elements,
            "own": overview.own,
            "associations": overview.associations,
            "answers": overview.stats.resolutions,
            "subscriptions": overview.subscriptions,
            "peers": {
                "active": peers.active,
                "suspected": peers.suspected,
                "dead": peers.dead,
                "configured": overview.peers_configured,
            },
            "sizes": overview.sizes.iter().map(size).collect::<Vec<Value>>(),
            "queued_octets": summary.queued_octets,
            "driver": {
                "cpu_ms": ms(summary.cpu_time),
                "looks": summary.looks,
                "looks_ms": ms(summary.looks_took),
            },
            "memory_bytes": process::resident(),
            "as_of": rfc3339(SystemTime::now()),
        })))
    })
}
