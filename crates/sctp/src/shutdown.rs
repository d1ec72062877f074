//! The end of an association (RFC 9260 §9).

use std::time::Duration;

use crate::association::{Association, State};
use crate::cause::{cause, code};
use crate::chunk::{Chunk, REFLECTED, Sack, kind};
use crate::event::{DownReason, Event, Way};
use crate::parameter::Parameters;
use crate::read::u32_at;

impl Association {
    /// The user wants it shut down.
    pub(crate) fn shut_down(&mut self, now: Duration) {
        match self.state {
            State::Established => self.state = State::ShutdownPending,
            // Nothing was promised yet.
            State::CookieWait | State::CookieEchoed => {
                self.abort_with(code::USER_INITIATED, &[], DownReason::UserAborted);
            }
            State::ShutdownPending
            | State::ShutdownSent
            | State::ShutdownReceived
            | State::ShutdownAckSent
            | State::Closed => {}
        }
        self.shutdown_goes_on(now);
    }

    /// Goes on once all that was sent is acknowledged.
    pub(crate) fn shutdown_goes_on(&mut self, now: Duration) {
        if !self.send.is_done() {
            return;
        }
        match self.state {
            State::ShutdownPending => {
                self.state = State::ShutdownSent;
                // T5 ends it where the peer goes on for ever without an answer.
                self.t5 = Some(now + 5 * self.config.rto_max);
            }
            State::ShutdownReceived => self.state = State::ShutdownAckSent,
            State::CookieWait
            | State::CookieEchoed
            | State::Established
            | State::ShutdownSent
            | State::ShutdownAckSent
            | State::Closed => return,
        }
        self.shutdown_due = true;
        self.arm_t2(now);
    }

    /// Arms T2-shutdown.
    pub(crate) fn arm_t2(&mut self, now: Duration) {
        let rto = self.paths.current().map_or(self.config.rto_initial, |path| path.rto);
        self.t2 = Some(now + rto);
    }

    /// The peer shuts down, and says what has arrived.
    pub(crate) fn peer_shutdown(&mut self, chunk: &Chunk<'_>, now: Duration) {
        let Some(cumulative) = u32_at(chunk.value, 0) else {
            return self.statistics.malformed += 1;
        };
        if !self.is_up() {
            return;
        }
        let mut value = [0; 12];
        value[..4].copy_from_slice(&cumulative.to_be_bytes());
        let window = u32::try_from(self.send.window).unwrap_or(u32::MAX);
        value[4..8].copy_from_slice(&window.to_be_bytes());
        let as_sack = Chunk { kind: kind::SACK, flags: 0, value: &value, whole: &[], offset: 0 };
        // It says nothing about gaps: what had arrived ahead has not gone.
        if let Some(sack) = Sack::read(&as_sack) {
            self.acknowledge(&sack, false, now);
        }
        match self.state {
            State::Established | State::ShutdownPending => {
                self.state = State::ShutdownReceived;
                self.events.push_back(Event::PeerShutdown);
                self.shutdown_goes_on(now);
            }
            // Both shut down at once.
            State::ShutdownSent => {
                self.state = State::ShutdownAckSent;
                self.shutdown_due = true;
                self.arm_t2(now);
            }
            State::ShutdownAckSent => self.shutdown_due = true,
            State::ShutdownReceived | State::CookieWait | State::CookieEchoed | State::Closed => {}
        }
    }

    /// The peer has agreed.
    pub(crate) fn shutdown_ack(&mut self, way: Way) {
        match self.state {
            State::ShutdownSent | State::ShutdownAckSent => {
                self.reply(way, kind::SHUTDOWN_COMPLETE, 0, Vec::new());
                self.close(DownReason::Closed);
            }
            State::CookieWait
            | State::CookieEchoed
            | State::Established
            | State::ShutdownPending
            | State::ShutdownReceived
            | State::Closed => self.statistics.ignored += 1,
        }
    }

    /// It is over on both sides.
    pub(crate) fn shutdown_complete(&mut self, _: &Chunk<'_>) {
        if self.state == State::ShutdownAckSent {
            self.close(DownReason::Closed);
        } else {
            self.statistics.ignored += 1;
        }
    }

    /// The peer has ended it, or refuses to begin it.
    pub(crate) fn aborted(&mut self, way: Way, chunk: &Chunk<'_>, now: Duration) {
        if self.state == State::CookieWait {
            return self.refused(way.remote.ip(), now);
        }
        let cause = Parameters::new(chunk.value).next().map(|cause| cause.kind);
        let reason = match self.state {
            State::CookieEchoed if self.dialed => DownReason::Refused,
            _ => DownReason::Aborted(cause),
        };
        self.close(reason);
    }

    /// Ends it at once; the peer is told, where there is one, with this cause.
    pub(crate) fn abort_with(&mut self, code: u16, information: &[u8], reason: DownReason) {
        if self.state == State::Closed {
            return;
        }
        let way = self.paths.current().or_else(|| self.paths.iter().next()).map(|path| path.way);
        self.replies.clear();
        if let Some(way) = way
            && self.peer_tag != 0
        {
            let mut value = Vec::new();
            cause(&mut value, code, information);
            self.reply(way, kind::ABORT, 0, value);
        }
        self.close(reason);
    }

    /// Whether a tag that is reflected is the one that it sends with.
    pub(crate) fn accepts_tag(&self, tag: u32, flags: u8) -> bool {
        if flags & REFLECTED == 0 { tag == self.own_tag } else { tag == self.peer_tag && tag != 0 }
    }
}
