//! What operators want of the registrar as a whole: to read its configuration again, to turn others
//! away, to leave. The thread that runs it does that, one thing after the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rserpool_web::problem::{Kind, Problem};
use rserpool_web::response;
use rserpool_web::route::{Answer, Call};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::acts::read;
use super::{Site, ms};
use crate::reload::Reloaded;

/// One order.
#[derive(Debug)]
pub(crate) enum Order {
    /// Read the configuration again, as at SIGHUP.
    Reload(oneshot::Sender<Result<Reloaded, String>>),
    /// Hand the elements over and end, as at SIGTERM.
    Leave,
}

/// Orders that wait, at most.
pub(crate) const WAITING_MAX: usize = 4;
/// How long a registrar that is to leave may be asked to wait.
const DELAY_MOST: Duration = Duration::from_secs(600);

/// What comes with the order to leave.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LeaveBody {
    delay_ms: u64,
}

fn order(orders: &mpsc::Sender<Order>, order: Order) -> Result<(), Problem> {
    orders.try_send(order).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => Kind::BUSY.into(),
        mpsc::error::TrySendError::Closed(_) => Kind::NOT_SERVING.into(),
    })
}

/// Reads the configuration again.
pub(super) fn reload(site: Arc<Site>, call: Call) -> Answer {
    Box::pin(async move {
        call.query.finish(&[])?;
        let _: Nothing = read(&call.body)?;
        let (answer, done) = oneshot::channel();
        order(&site.orders, Order::Reload(answer))?;
        let ended = |_| Problem::from(Kind::NOT_SERVING);
        let done = done.await.map_err(ended)?;
        let Reloaded { changed, needs_restart, .. } =
            done.map_err(|error| Problem::new(Kind::NOT_CHANGED, error))?;
        Ok(response::json(&json!({ "changed": changed, "needs_restart": needs_restart })))
    })
}

/// No key at all.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Says that nobody should come any more, and goes on.
pub(super) fn quiesce(site: Arc<Site>, call: Call) -> Answer {
    Box::pin(async move {
        call.query.finish(&[])?;
        let _: Nothing = read(&call.body)?;
        site.is_quiesced.store(true, Ordering::Relaxed);
        Ok(response::json(&json!({ "quiesced": true, "leaves_in_ms": null })))
    })
}

/// Says so, hands the elements over after a while, and ends.
pub(super) fn leave(site: Arc<Site>, call: Call) -> Answer {
    Box::pin(async move {
        call.query.finish(&[])?;
        let LeaveBody { delay_ms } = read(&call.body)?;
        let delay = Duration::from_millis(delay_ms);
        if delay > DELAY_MOST {
            let detail = format!("`delay_ms` is above {}", DELAY_MOST.as_millis());
            return Err(Problem::new(Kind::BAD_QUERY, detail));
        }
        site.is_quiesced.store(true, Ordering::Relaxed);
        let orders = site.orders.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            // Where nobody takes it, it has left.
            let _ = orders.send(Order::Leave).await;
        });
        Ok(response::json(&json!({ "quiesced": true, "leaves_in_ms": ms(delay) })))
    })
}
