//! Echo: sends back what it gets (RFC 862).

use std::sync::Arc;

use rserpool::Service;
use rserpool::server::{Event, Session};

/// The service.
pub(super) struct Echo;

impl Service for Echo {
    async fn serve(self: Arc<Self>, mut session: Session) {
        loop {
            let sent = match session.next().await {
                Some(Event::Message { ppid, octets }) => session.send(ppid, &octets).await,
                // There is no state to hand over: the next server does as well.
                None | Some(Event::Draining) => return,
                Some(_) => Ok(()),
            };
            if sent.is_err() {
                return;
            }
        }
    }
}
