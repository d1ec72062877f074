//! One association: a `dcsctp` socket, where its packets go, and how far it is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use dcsctp::api::{DcSctpSocket, Message, PpId, SendOptions, SocketState, SocketTime, StreamId};

use super::encapsulation::Route;
use super::packet::{STREAMS, chunk, word};
use crate::endpoint::{Options, Ppid};
use crate::sys::SctpSocket;

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
    pub(super) socket: SctpSocket,
    /// Where its packets go.
    pub(super) route: Route,
    /// The peer's SCTP port.
    pub(super) remote_port: u16,
    /// True where this side dialed.
    pub(super) dialed: bool,
    /// How far it is.
    pub(super) phase: Phase,
    /// The own verification tag that it is indexed by; 0 where there is none yet.
    pub(super) tag: u32,
    /// The peer's verification tag, learned from what the machine sends.
    pub(super) peer_tag: Option<u32>,
    /// The entry in the timers that counts.
    pub(super) armed: Option<Duration>,
    outbox: Vec<Message>,
    outbox_octets: usize,
}

impl Association {
    pub(super) fn new(socket: SctpSocket, route: Route, remote_port: u16, phase: Phase) -> Self {
        Self {
            socket,
            route,
            remote_port,
            dialed: matches!(phase, Phase::Dialing { .. }),
            phase,
            tag: 0,
            peer_tag: None,
            armed: None,
            outbox: Vec::new(),
            outbox_octets: 0,
        }
    }

    /// Hands a packet to the machine. False where the machine broke.
    pub(super) fn handle(&mut self, octets: &[u8], now: Duration) -> bool {
        let socket = &mut self.socket;
        guarded(|| {
            // Where this task was late, what arrived meanwhile counts before the timers do.
            let late = socket.poll_timeout() <= at(now);
            if !late {
                socket.advance_time(at(now));
            }
            socket.handle_input(octets);
            if late {
                socket.advance_time(at(now));
            }
        })
    }

    /// Lets the machine's timers expire. False where the machine broke.
    pub(super) fn advance(&mut self, now: Duration) -> bool {
        let socket = &mut self.socket;
        guarded(|| socket.advance_time(at(now)))
    }

    /// Queues a message.
    pub(super) fn push(&mut self, ppid: Ppid, octets: &[u8]) {
        self.outbox_octets += octets.len();
        self.outbox.push(Message::new(STREAM, PpId(ppid.0), octets.to_vec()));
    }

    /// Gives the queued messages to the machine, which fills packets with them. False where the
    /// machine broke.
    pub(super) fn flush(&mut self, now: Duration) -> bool {
        if self.outbox.is_empty() {
            return true;
        }
        self.outbox_octets = 0;
        let messages = std::mem::take(&mut self.outbox);
        let socket = &mut self.socket;
        guarded(|| {
            socket.advance_time(at(now));
            // It refuses only what is checked before, and everything once the peer shuts down.
            let _ = socket.send_many(messages, &SendOptions::default());
        })
    }

    /// Forgets what is queued: it was for an association that the peer has forgotten.
    pub(super) fn clear(&mut self) {
        self.outbox.clear();
        self.outbox_octets = 0;
    }

    /// Octets that wait, either to be given to the machine or in it for the first transmission.
    pub(super) fn waiting(&self) -> usize {
        self.outbox_octets + self.socket.buffered_amount(STREAM)
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
        let machine = self.socket.poll_timeout() - SocketTime::zero();
        match self.phase {
            Phase::Dialing { deadline } => machine.min(deadline),
            Phase::Accepting | Phase::Up | Phase::Draining | Phase::Closing => machine,
        }
    }

    /// True where the machine shuts down, on either side's wish.
    pub(super) fn shuts_down(&self) -> bool {
        self.socket.state() == SocketState::ShuttingDown
    }
}

/// The machine's clock: the endpoint's.
pub(super) fn at(now: Duration) -> SocketTime {
    SocketTime::zero() + now
}

/// Runs the machine; false where it panicked. It is other people's code that reads what strangers
/// send: if it has a hole left, that costs one association and not the process.
pub(super) fn guarded(run: impl FnOnce()) -> bool {
    // The machine is dropped after a panic, so nobody sees a half-changed one.
    catch_unwind(AssertUnwindSafe(run)).is_ok()
}

/// A machine for one association.
pub(super) fn machine(options: &Options, ports: [u16; 2], mtu: usize) -> SctpSocket {
    // The machine takes a timer of zero for none, and bounds in the wrong order badly.
    let tick = Duration::from_millis(1);
    let rto_initial = options.rto.initial.max(tick);
    let rto_min = options.rto.min.max(tick);
    let rto_max = options.rto.max.max(rto_min);
    let retransmissions = options.association_retransmits_max.min(options.path_retransmits_max);
    SctpSocket::new(&dcsctp::api::Options {
        local_port: ports[0],
        remote_port: ports[1],
        announced_maximum_incoming_streams: STREAMS,
        announced_maximum_outgoing_streams: STREAMS,
        mtu,
        max_message_size: options.message_max,
        // The machine drops DATA at nine tenths of it: twice a message lets one wait for its last
        // fragment while the next begins.
        max_receiver_window_buffer_size: (2 * options.message_max).max(128 << 10),
        // Checked by the endpoint, message by message.
        max_send_buffer_size: u32::MAX as usize,
        per_stream_send_queue_limit: u32::MAX as usize,
        rto_initial,
        rto_min,
        rto_max,
        t1_init_timeout: rto_initial,
        t1_cookie_timeout: rto_initial,
        t2_shutdown_timeout: rto_initial,
        max_timer_backoff_duration: Some(rto_max),
        heartbeat_interval: options.heartbeat,
        // With it, every message of a slow conversation costs a packet more.
        immediate_sack_under_cwnd_mtus: 0,
        // RFC 9260 §8.1: not more than the sum over the paths, and there is one.
        max_retransmissions: Some(retransmissions),
        // The dial has a deadline instead.
        max_init_retransmits: None,
        enable_partial_reliability: false,
        // Every packet was checked before it gets here.
        disable_checksum_verification: true,
        ..dcsctp::api::Options::default()
    })
}
