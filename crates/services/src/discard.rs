//! Discard: throws away what it gets (RFC 863).

use std::sync::Arc;

use rserpool::Service;
use rserpool::server::{Event, Session};

/// The service.
pub(super) struct Discard;

impl Service for Discard {
    async fn serve(self: Arc<Self>, mut session: Session) {
        while let Some(event) = session.next().await {
            if event == Event::Draining {
                return;
            }
        }
    }
}
