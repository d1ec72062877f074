//! What an endpoint may be told, and what it counts.

use std::net::IpAddr;
use std::ops::Add;

use rserpool_wire::counters;

use crate::tls::Tls;

/// Limits and timers of an endpoint. Times that only SCTP has are ignored by the others.
#[derive(Clone, Debug)]
pub struct Options {
    /// Longest message in octets, sent or received; 1 … 1 MiB. Default: 65 536. Plain byte streams
    /// have no messages.
    pub message_max: usize,
    /// Octets that may wait for one slow peer before [`SendError::Full`](super::SendError::Full). Default: 4 MiB.
    pub send_queue_max: usize,
    /// Octets that may wait in all queues of an endpoint together, to be sent or for the rest of a
    /// message. Beyond it the greatest queues end, those first whose peers take nothing.
    /// Default: 64 MiB.
    pub queue_budget: usize,
    /// Associations at once; on TCP no more than the process has descriptors for. Default: 100 000.
    pub associations_max: usize,
    /// Incoming associations at once of one IPv4 address, or /64 network of IPv6 addresses; three
    /// quarters of those that there may be in any case. Default: `None`, no other limit.
    pub associations_per_source_max: Option<usize>,
    /// SCTP retransmission timer: initial, least and greatest value (RFC 9260 §16).
    pub rto: Rto,
    /// SCTP heartbeat interval on an idle path.
    pub heartbeat: std::time::Duration,
    /// SCTP path.max.retrans.
    pub path_retransmits_max: u32,
    /// SCTP association.max.retrans.
    pub association_retransmits_max: u32,
    /// How long a dial of `sctp://` may take the first way before the second is tried beside it,
    /// and of TCP and SCTP in userland one address of the peer before the next: more than a round
    /// trip, or every dial goes all ways. Default: 100 ms.
    pub head_start: std::time::Duration,
    /// How long a dial may take in all before `Down(Timeout)`.
    pub connect_timeout: std::time::Duration,
    /// Own addresses that dials over TCP and SCTP in userland have to leave from, for peers that go
    /// by the address that an association comes from; unspecified ones do not count. SCTP of the
    /// kernel tells its peers all addresses, that in userland these, where there are several. Default: none, where the endpoint listens or what the
    /// system chooses.
    pub dial_from: Vec<IpAddr>,
    /// How long a peer may take nothing of what waits for it before `Down(Stalled)`. Default: 30 s.
    pub stall_timeout: std::time::Duration,
    /// How long a peer may leave a message unfinished on a byte stream before `Down(Stalled)`.
    /// Default: 30 s.
    pub message_timeout: std::time::Duration,
    /// How long the end of an association that was closed may take without progress: until the peer
    /// takes more of what is queued, or closes too. Then it is `Down`. Default: 5 s.
    pub close_timeout: std::time::Duration,
    /// The keys of this node, without which there is no TLS. Default: none.
    pub tls: Option<Tls>,
    /// How long the TLS handshake of a peer that came may take. That of a dial ends with its
    /// [`connect_timeout`](Self::connect_timeout), too. Default: 5 s.
    pub handshake_timeout: std::time::Duration,
    /// Peers at once that came and have not finished their TLS handshakes; three quarters of them
    /// from one source at most. More are dropped. Default: 1024.
    pub handshakes_max: usize,
}

/// SCTP's retransmission timer bounds (RFC 9260 §6.3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rto {
    /// RTO.Initial.
    pub initial: std::time::Duration,
    /// RTO.Min.
    pub min: std::time::Duration,
    /// RTO.Max.
    pub max: std::time::Duration,
}

impl Default for Options {
    /// The `fast` profile: a silent path is given up within a second or so on a LAN.
    fn default() -> Self {
        use std::time::Duration;
        Self {
            message_max: 65_536,
            send_queue_max: 4 << 20,
            queue_budget: 64 << 20,
            associations_max: 100_000,
            associations_per_source_max: None,
            rto: Rto {
                initial: Duration::from_millis(250),
                min: Duration::from_millis(100),
                max: Duration::from_millis(1000),
            },
            heartbeat: Duration::from_secs(1),
            path_retransmits_max: 2,
            association_retransmits_max: 4,
            head_start: Duration::from_millis(100),
            connect_timeout: Duration::from_secs(3),
            dial_from: Vec::new(),
            stall_timeout: Duration::from_secs(30),
            message_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            tls: None,
            handshake_timeout: Duration::from_secs(5),
            handshakes_max: 1024,
        }
    }
}

counters! {
    /// How often an endpoint refused something; counts only grow.
    pub struct Counters {
        /// Incoming associations dropped because there were too many.
        over_limit => "associations_refused_total" [reason = "limit"],
        /// Incoming associations that the system could not hand over, for want of descriptors
        /// mostly.
        accept_failed => "associations_refused_total" [reason = "accept_failed"],
        /// Associations that ended because their octets were no messages, and packets that nothing
        /// could read.
        malformed => "malformed_total",
        /// Messages not taken because the send queue of their association was full.
        full => "messages_refused_total",
        /// SCTP in userland: INITs dropped because more came than are answered in a second.
        refused_inits => "refused_inits_total",
        /// SCTP in userland: DATA dropped because it was too far ahead of what is missing, or
        /// because unfinished messages took too much.
        refused_data => "refused_data_total",
        /// Associations that ended because their peer took nothing of what waited for it, or left a
        /// message unfinished, for too long.
        stalled => "stalled_total",
        /// Associations that ended because more waited in all than the queue budget, or more than a
        /// send queue holds of one peer's messages for it to take its answers.
        over_budget => "over_budget_total",
        /// Incoming associations dropped because their source had too many.
        over_source_limit => "associations_refused_total" [reason = "source_limit"],
        /// Incoming associations dropped because too many TLS handshakes were not finished.
        over_handshakes => "associations_refused_total" [reason = "handshakes"],
        /// TLS handshakes that were finished and began a session.
        handshakes_full => "tls_handshakes_total" [outcome = "full"],
        /// TLS handshakes that were finished and went on from an earlier session.
        handshakes_resumed => "tls_handshakes_total" [outcome = "resumed"],
        /// TLS handshakes that failed: a peer that is not trusted, does not trust, or speaks no TLS.
        handshakes_failed => "tls_handshakes_total" [outcome = "failed"],
        /// TLS handshakes that were not finished in time.
        handshakes_late => "tls_handshakes_total" [outcome = "late"],
    }
    families {
        "associations_refused_total": "Incoming associations that were refused, by reason.",
        "tls_handshakes_total": "TLS handshakes, by what came of them.",
    }
    with {}
}

impl Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            over_limit: self.over_limit + other.over_limit,
            accept_failed: self.accept_failed + other.accept_failed,
            malformed: self.malformed + other.malformed,
            full: self.full + other.full,
            refused_inits: self.refused_inits + other.refused_inits,
            refused_data: self.refused_data + other.refused_data,
            stalled: self.stalled + other.stalled,
            over_budget: self.over_budget + other.over_budget,
            over_source_limit: self.over_source_limit + other.over_source_limit,
            handshakes_full: self.handshakes_full + other.handshakes_full,
            handshakes_resumed: self.handshakes_resumed + other.handshakes_resumed,
            handshakes_failed: self.handshakes_failed + other.handshakes_failed,
            handshakes_late: self.handshakes_late + other.handshakes_late,
            over_handshakes: self.over_handshakes + other.over_handshakes,
        }
    }
}
