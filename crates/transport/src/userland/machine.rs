//! The protocol machine of one association: a socket of `dcsctp`, and the only way to it.
//!
//! It is other people's code that reads what strangers send. Whatever call it panics in, that costs
//! one association and not the process: no call gets to it but through here.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use dcsctp::api::{
    DcSctpSocket, Message, SendOptions, SocketEvent, SocketState, SocketTime, StreamId,
};

use super::packet::{STREAMS, seal};
use crate::endpoint::Options;
use crate::sys::SctpSocket;

/// A protocol machine. Once it has panicked it does nothing any more and answers as a closed one.
pub(super) struct Machine {
    socket: SctpSocket,
    broken: Cell<bool>,
    /// For tests: the call to panic in, counted from 0.
    #[cfg(test)]
    pub(super) fuse: Cell<Option<usize>>,
}

impl Machine {
    /// A closed machine between these SCTP ports, own and peer's, that sends packets of at most
    /// `mtu` octets.
    pub(super) fn new(options: &Options, ports: [u16; 2], mtu: usize) -> Self {
        Self {
            socket: SctpSocket::new(&settings(options, ports, mtu)),
            broken: Cell::new(false),
            #[cfg(test)]
            fuse: Cell::new(None),
        }
    }

    /// True where it has panicked.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Sends the INIT.
    pub(super) fn connect(&mut self) {
        self.call((), |socket| socket.connect());
    }

    /// Takes a packet in.
    pub(super) fn handle(&mut self, octets: &[u8], now: Duration) {
        self.call((), |socket| {
            reach(socket, now);
            socket.handle_input(octets);
        });
    }

    /// Takes an INIT in without looking at the time: a closed machine has no timers.
    pub(super) fn answer(&mut self, octets: &[u8]) {
        self.call((), |socket| socket.handle_input(octets));
    }

    /// Lets time pass; what is due expires.
    pub(super) fn advance(&mut self, now: Duration) {
        self.call((), |socket| socket.advance_time(at(now)));
    }

    /// Queues messages, and fills packets with them.
    pub(super) fn send(&mut self, messages: Vec<Message>, now: Duration) {
        self.call((), |socket| {
            reach(socket, now);
            // It refuses only what is checked before, and everything once the peer shuts down.
            let _ = socket.send_many(messages, &SendOptions::default());
        });
    }

    /// Begins the SHUTDOWN.
    pub(super) fn shutdown(&mut self) {
        self.call((), |socket| socket.shutdown());
    }

    /// Ends at once; the peer gets an ABORT where it knows of the association.
    pub(super) fn close(&mut self) {
        self.call((), |socket| socket.close());
    }

    /// What it wants done, or has to say.
    pub(super) fn poll_event(&mut self) -> Option<SocketEvent> {
        let mut event = self.call(None, |socket| socket.poll_event());
        // dcsctp 0.1.16 turns the octets of its checksum round once more where they are in network
        // order already.
        if cfg!(target_endian = "big")
            && let Some(SocketEvent::SendPacket(octets)) = &mut event
        {
            seal(octets);
        }
        event
    }

    /// The next message that is whole.
    pub(super) fn next_message(&mut self) -> Option<Message> {
        self.call(None, |socket| socket.get_next_message())
    }

    /// The own verification tag; 0 where there is none.
    pub(super) fn tag(&self) -> u32 {
        self.look(0, |socket| socket.verification_tag())
    }

    /// When it wants to be woken.
    pub(super) fn deadline(&self) -> Duration {
        self.look(Duration::MAX, |socket| socket.poll_timeout() - SocketTime::zero())
    }

    /// Octets of a stream that wait for their first transmission.
    pub(super) fn buffered(&self, stream: StreamId) -> usize {
        self.look(0, |socket| socket.buffered_amount(stream))
    }

    /// True where it shuts down, on either side's wish.
    pub(super) fn shuts_down(&self) -> bool {
        self.look(false, |socket| socket.state() == SocketState::ShuttingDown)
    }

    fn call<T>(&mut self, otherwise: T, call: impl FnOnce(&mut SctpSocket) -> T) -> T {
        if self.broken.get() {
            return otherwise;
        }
        // After a panic nobody looks at it any more, so nobody sees a half-changed one.
        let called = catch_unwind(AssertUnwindSafe(|| {
            self.burn();
            call(&mut self.socket)
        }));
        called.unwrap_or_else(|_| {
            self.broken.set(true);
            otherwise
        })
    }

    fn look<T>(&self, otherwise: T, look: impl FnOnce(&SctpSocket) -> T) -> T {
        if self.broken.get() {
            return otherwise;
        }
        let seen = catch_unwind(AssertUnwindSafe(|| {
            self.burn();
            look(&self.socket)
        }));
        seen.unwrap_or_else(|_| {
            self.broken.set(true);
            otherwise
        })
    }

    /// Panics where a test wants it to.
    #[cfg(test)]
    fn burn(&self) {
        if let Some(left) = self.fuse.get() {
            self.fuse.set(left.checked_sub(1));
            assert!(left > 0, "the fuse of a test has burnt");
        }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests have a fuse here")]
    fn burn(&self) {}
}

/// Moves the machine's clock as far towards `now` as no timer expires: what comes next may be what
/// the timer waits for. Timers expire in [`Machine::advance`] only.
fn reach(socket: &mut SctpSocket, now: Duration) {
    let due = socket.poll_timeout() - SocketTime::zero();
    let until = now.min(due.saturating_sub(Duration::from_nanos(1)));
    // A time that is past is ignored.
    socket.advance_time(at(until));
}

/// The machine's clock: the endpoint's.
fn at(now: Duration) -> SocketTime {
    SocketTime::zero() + now
}

fn settings(options: &Options, ports: [u16; 2], mtu: usize) -> dcsctp::api::Options {
    // The machine takes a timer of zero for none, and bounds in the wrong order badly.
    let tick = Duration::from_millis(1);
    let rto_initial = options.rto.initial.max(tick);
    let rto_min = options.rto.min.max(tick);
    let rto_max = options.rto.max.max(rto_min);
    let retransmissions = options.association_retransmits_max.min(options.path_retransmits_max);
    dcsctp::api::Options {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::userland::packet::Packet;

    #[test]
    fn packets_leave_with_a_checksum_that_others_take() {
        let mut machine = Machine::new(&Options::default(), [7, 8], 1472);
        machine.connect();
        let Some(SocketEvent::SendPacket(octets)) = machine.poll_event() else { panic!() };
        assert!(Packet::parse(&octets, 1472).is_ok());
    }
}
