//! One association: its protocol machine, where its packets go, and how far it is.

use std::time::Duration;

use dcsctp::api::{Message, PpId, StreamId};

use super::arrivals::Arrivals;
use super::dial::Dial;
use super::encapsulation::Route;
use super::machine::Machine;
use super::packet::{chunk, word};
use crate::backlog::Backlog;
use crate::endpoint::Ppid;
use crate::source_limit::Source;

/// The stream of every message that we send.
const STREAM: StreamId = StreamId(0);

/// How far an association is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// INIT sent; given up at the deadline.
    Dialing { deadline: Duration },
    /// A cookie came back: up in the same breath, or forgotten.
    Accepting,
    /// Messages pass.
    Up,
    /// Closed by the user, who may not send any more; SHUTDOWN waits for what is queued.
    Draining,
    /// SHUTDOWN is on its way, ours or the peer's.
    Closing,
}

/// One association.
pub(super) struct Association {
    /// The protocol machine.
    pub(super) machine: Machine,
    /// Where its packets go.
    pub(super) route: Route,
    /// The peer's SCTP port.
    pub(super) remote_port: u16,
    /// True where this side dialed.
    pub(super) dialed: bool,
    /// How far it is.
    pub(super) phase: Phase,
    /// The addresses that are tried, until one has answered.
    pub(super) dial: Option<Box<Dial>>,
    /// The own verification tag that it is indexed by; 0 where there is none yet.
    pub(super) tag: u32,
    /// The peer's verification tag, learned from what the machine sends.
    pub(super) peer_tag: Option<u32>,
    /// The entry in the timers that counts.
    pub(super) armed: Option<Duration>,
    /// What has arrived and is not whole; `None` until the peer's first TSN is known.
    pub(super) arrivals: Option<Arrivals>,
    /// The same for what the peer's cookie makes of it, where that brings it up.
    pub(super) coming: Option<Arrivals>,
    /// Octets that count for it in what fragments may take.
    pub(super) charged: usize,
    /// What the peer said last that it takes, in octets.
    pub(super) window: u32,
    /// Who came, where it was not dialed.
    pub(super) from: Option<Source>,
    /// What the endpoint knows of what waits.
    pub(super) backlog: Backlog,
    outbox: Vec<Message>,
    outbox_octets: usize,
}

impl Association {
    pub(super) fn new(machine: Machine, route: Route, remote_port: u16, phase: Phase) -> Self {
        Self {
            machine,
            route,
            remote_port,
            dialed: matches!(phase, Phase::Dialing { .. }),
            phase,
            dial: None,
            tag: 0,
            peer_tag: None,
            armed: None,
            arrivals: None,
            coming: None,
            charged: 0,
            window: 0,
            from: None,
            backlog: Backlog::default(),
            outbox: Vec::new(),
            outbox_octets: 0,
        }
    }

    /// Queues a message.
    pub(super) fn push(&mut self, ppid: Ppid, octets: &[u8]) {
        self.outbox_octets += octets.len();
        self.outbox.push(Message::new(STREAM, PpId(ppid.0), octets.to_vec()));
    }

    /// Gives the queued messages to the machine, which fills packets with them.
    pub(super) fn flush(&mut self, now: Duration) {
        if !self.outbox.is_empty() {
            self.outbox_octets = 0;
            self.machine.send(std::mem::take(&mut self.outbox), now);
        }
    }

    /// Forgets what is queued: it was for an association that the peer has forgotten.
    pub(super) fn clear(&mut self) {
        self.outbox.clear();
        self.outbox_octets = 0;
    }

    /// Whether what the peer sends has to wait until it has taken its answers. Only who was dialed
    /// waits: if both did, two that send each other much would wait for each other.
    pub(super) fn pauses_reading(&self) -> bool {
        !self.dialed && self.phase == Phase::Up && self.backlog.is_congested()
    }

    /// Octets that wait, either to be given to the machine or in it for the first transmission.
    pub(super) fn waiting(&self) -> usize {
        self.outbox_octets + self.machine.buffered(STREAM)
    }

    /// Octets that wait to be given to the machine.
    pub(super) fn outbox_octets(&self) -> usize {
        self.outbox_octets
    }

    /// Notes from a packet of the machine what tag the peer has.
    pub(super) fn note_sent(&mut self, octets: &[u8]) {
        match octets.get(super::packet::HEADER) {
            // These carry other tags: none, that of a new association, and a reflected one.
            None | Some(&(chunk::INIT | chunk::INIT_ACK | chunk::SHUTDOWN_COMPLETE)) => {}
            Some(_) => self.peer_tag = Some(word(octets, 4)),
        }
    }

    /// When it wants to be woken.
    pub(super) fn deadline(&self) -> Duration {
        let machine = self.machine.deadline();
        let own = match self.phase {
            Phase::Dialing { deadline } => {
                let turn = self.dial.as_ref().and_then(|dial| dial.deadline());
                Some(turn.map_or(deadline, |turn| turn.min(deadline)))
            }
            Phase::Accepting | Phase::Up | Phase::Draining | Phase::Closing => {
                self.arrivals.as_ref().and_then(Arrivals::deadline)
            }
        };
        own.map_or(machine, |own| machine.min(own))
    }
}
