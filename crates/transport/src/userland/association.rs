//! What is known of one association besides what the protocol knows.

use std::net::IpAddr;
use std::time::Duration;

use super::limits::Network;
use crate::backlog::Backlog;
use crate::source_limit::Source;

/// How far an association is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// INIT sent; given up at the deadline.
    Dialing { deadline: Duration },
    /// Messages pass.
    Up,
    /// Closed by either side: the user may not send any more, and what is queued is delivered.
    Closing,
}

/// One association.
#[derive(Debug)]
pub(super) struct Association {
    /// How far it is.
    pub(super) phase: Phase,
    /// True where this side dialed.
    pub(super) dialed: bool,
    /// Where its peer was when it came up; counts for what fragments may take.
    pub(super) network: Option<Network>,
    /// Octets that count for it in what fragments may take.
    pub(super) charged: usize,
    /// Whether that was bounded when the last packet came.
    pub(super) restricted: bool,
    /// Who came, where it was not dialed.
    pub(super) from: Option<Source>,
    /// What the endpoint knows of what waits.
    pub(super) backlog: Backlog,
    /// The peer's addresses.
    pub(super) remote: Vec<IpAddr>,
    /// The own addresses, as far as they are known.
    pub(super) local: Vec<IpAddr>,
    /// Addresses of the peer that were reported as not reached.
    pub(super) unreachable: Vec<IpAddr>,
}

impl Association {
    pub(super) fn new(phase: Phase) -> Self {
        Self {
            phase,
            dialed: matches!(phase, Phase::Dialing { .. }),
            network: None,
            charged: 0,
            restricted: false,
            from: None,
            backlog: Backlog::default(),
            remote: Vec::new(),
            local: Vec::new(),
            unreachable: Vec::new(),
        }
    }

    /// Whether what the peer sends has to wait until it has taken its answers. Only who was dialed
    /// waits: if both did, two that send each other much would wait for each other.
    pub(super) fn pauses_reading(&self) -> bool {
        !self.dialed && self.phase == Phase::Up && self.backlog.is_congested()
    }
}
