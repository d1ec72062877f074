//! `/healthz` and `/readyz`

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rserpool_web::StatusCode;
use rserpool_web::response;
use rserpool_web::route::{Answer, Call};
use serde_json::json;

use super::{Site, ms};

/// Whether it still does anything. Where it does not, it has to be started anew.
pub(super) fn healthz(site: Arc<Site>, call: Call) -> Answer {
    Box::pin(async move {
        call.query.finish(&[])?;
        let asked = Instant::now();
        site.summary().await?;
        let took = ms(asked.elapsed());
        Ok(response::json(&json!({ "status": "alive", "driver_ms": took })))
    })
}

/// Whether elements and users should come to it.
pub(super) fn readyz(site: Arc<Site>, call: Call) -> Answer {
    Box::pin(async move {
        call.query.finish(&[])?;
        let summary = site.summary().await?;
        let (mut ready, mut reasons) = (true, Vec::new());
        let state = match summary.overview.state {
            rserpool::proto::registrar::State::Leaving => "leaving",
            _ => site.state().0,
        };
        if state != "serving" {
            (ready, reasons) = (false, vec![state]);
        } else if site.is_quiesced.load(Ordering::Relaxed) {
            (ready, reasons) = (false, vec!["quiesced"]);
        } else if site.has_peers && summary.overview.peers.active == 0 {
            reasons.push("alone");
        }
        let mut answer = response::json(&json!({ "ready": ready, "reasons": reasons }));
        if !ready {
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        Ok(answer)
    })
}
