//! The two ends of an association.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rserpool_proto::machine::{Carrier, Peer};
use rserpool_proto::time::Time;

use super::Payload;
use crate::program::NodeId;

/// The name of an association in the network.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct AssocId(pub(super) u64);

/// One of the two ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Dialer,
    Acceptor,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Dialer, Self::Acceptor];

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }
}

/// Why an association ended.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// The peer closed it; what was sent before arrived.
    Closed,
    /// The peer aborted it, or its host knows nothing of it.
    Reset,
    /// Nobody listens there.
    Refused,
    /// The peer does not answer.
    Timeout,
    /// The peer has begun anew.
    Restarted,
    /// The peer takes less than is sent, or there is an association with it already.
    Local,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Restarted => "restarted",
            Self::Local => "local",
        })
    }
}

/// What goes over an association, in order.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    Message(Payload, Arc<[u8]>),
    /// Nothing follows.
    End,
}

impl Parcel {
    pub(super) fn octets(&self) -> usize {
        match self {
            Self::Message(_, octets) => octets.len(),
            Self::End => 0,
        }
    }
}

/// A parcel that was sent and not acknowledged.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) parcel: Parcel,
    /// When it was sent last.
    pub(super) sent: Time,
    /// How often it was sent.
    pub(super) attempts: u32,
    /// It was lost then.
    pub(super) is_lost: bool,
    /// How often it was reported missing since.
    pub(super) reports: u32,
}

impl UnderWay {
    pub(super) fn new(parcel: Parcel) -> Self {
        Self { parcel, sent: Time::ZERO, attempts: 0, is_lost: false, reports: 0 }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// The acceptor has not heard of it yet.
    Unborn,
    Dialing {
        since: Time,
        attempts: u32,
    },
    Up,
    Gone,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) host: NodeId,
    pub(super) port: u16,
    pub(super) state: State,
    /// What its process calls it; `None` where the process has left it.
    pub(super) peer: Option<Peer>,
    /// Sent and not acknowledged, by number.
    pub(super) under_way: BTreeMap<u64, UnderWay>,
    /// How many octets these are.
    pub(super) octets_under_way: usize,
    /// Its process was told that the peer takes less than is sent.
    pub(super) is_congested: bool,
    pub(super) sent: u64,
    /// The number that is to come next.
    pub(super) expected: u64,
    /// Came before its turn.
    pub(super) early: BTreeMap<u64, Parcel>,
    /// Octets that wait for the process.
    pub(super) unread: usize,
    /// Timeouts in a row.
    pub(super) errors: u32,
    /// A heartbeat is planned.
    pub(super) is_asking: bool,
}

impl End {
    pub(super) fn new(host: NodeId, port: u16, state: State) -> Self {
        Self {
            host,
            port,
            state,
            peer: None,
            under_way: BTreeMap::new(),
            octets_under_way: 0,
            is_congested: false,
            sent: 0,
            expected: 1,
            early: BTreeMap::new(),
            unread: 0,
            errors: 0,
            is_asking: false,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    pub(super) fn is_alive(&self) -> bool {
        matches!(self.state, State::Dialing { .. } | State::Up)
    }
}

#[derive(Debug)]
pub(super) struct Association {
    pub(super) purpose: Payload,
    pub(super) carrier: Carrier,
    pub(super) ends: [End; 2],
}

impl Association {
    pub(super) fn end(&self, side: Side) -> &End {
        &self.ends[side as usize]
    }

    pub(super) fn end_mut(&mut self, side: Side) -> &mut End {
        &mut self.ends[side as usize]
    }

    /// Host and port of this side, and of the other.
    pub(super) fn ports(&self, side: Side) -> [(NodeId, u16); 2] {
        [side, side.other()].map(|side| (self.end(side).host, self.end(side).port))
    }

    /// True where the kernel ends it in good order when the process of this side is gone: TCP does
    /// so, unless there is something that nobody will read.
    pub(super) fn ends_in_order(&self, side: Side) -> bool {
        let end = self.end(side);
        self.carrier == Carrier::Tcp && end.is_up() && end.unread == 0
    }

    pub(super) fn hosts(&self, from: Side) -> (NodeId, NodeId) {
        (self.end(from).host, self.end(from.other()).host)
    }
}
