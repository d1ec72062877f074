//! Daytime: tells the time and hangs up (RFC 867).

use std::sync::Arc;
use std::time::SystemTime;

use rserpool::Service;
use rserpool::server::Session;
use rserpool::transport::Ppid;

/// The service.
pub(super) struct Daytime;

impl Service for Daytime {
    async fn serve(self: Arc<Self>, session: Session) {
        let now = humantime::format_rfc3339_seconds(SystemTime::now());
        // Who has gone does not want to know.
        let _ = session.send(Ppid::default(), format!("{now}\r\n").as_bytes()).await;
    }
}
