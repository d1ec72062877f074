//! What is sent, in which packet, and where to (RFC 9260 §6.1, §6.4, §6.10).

use std::sync::Arc;
use std::time::Duration;

use crate::association::{Association, State};
use crate::build::Build;
use crate::chunk::{self, Sack, kind};
use crate::event::Way;
use crate::packet::Header;
use crate::parameter::{self, kind as parameter_kind};
use crate::path::source;

impl Association {
    /// Writes the next packet, and says where to; `None` where there is none.
    pub(crate) fn transmit(&mut self, packet: &mut Vec<u8>, now: Duration) -> Option<Way> {
        if !self.replies.is_empty() {
            return self.transmit_replies(packet);
        }
        match self.state {
            State::CookieWait => return self.transmit_init(packet),
            State::CookieEchoed => return self.transmit_cookie(packet),
            State::Closed => return None,
            State::Established
            | State::ShutdownPending
            | State::ShutdownSent
            | State::ShutdownReceived
            | State::ShutdownAckSent => {}
        }
        if let Some(way) = self.transmit_asconf(packet, now) {
            return Some(way);
        }
        if self.beats != 0 && self.asks() {
            return self.transmit_heartbeat(packet, now);
        }
        if let Some(way) = self.transmit_data(packet, now) {
            return Some(way);
        }
        self.transmit_shutdown(packet)
    }

    /// Whether there is nothing that could be sent: what must hold after
    /// [`transmit`](Self::transmit) had nothing.
    pub(crate) fn is_quiet(&self) -> bool {
        let path = self.paths.current().filter(|path| path.confirmed && self.is_up());
        let wants = path.is_some_and(|path| self.send.wants(path, self.burst));
        let acknowledges = self.is_up() && self.receive.due && self.receive.way.is_some();
        !wants && !acknowledges && self.replies.is_empty()
    }

    fn build<'a>(&'a self, packet: &'a mut Vec<u8>) -> Build<'a> {
        Build::new(packet, self.header(), self.paths.mtu(&self.config), self.auth.as_deref())
    }

    /// Answers that go to the same place go together.
    fn transmit_replies(&mut self, packet: &mut Vec<u8>) -> Option<Way> {
        let mut replies = std::mem::take(&mut self.replies);
        let way = replies.front()?.way;
        let mut build = self.build(packet);
        while let Some(reply) = replies.front() {
            let fits = reply.value.len() + 4 <= build.room(reply.kind) || build.is_empty();
            let alone = reply.kind == kind::SHUTDOWN_COMPLETE && !build.is_empty();
            if reply.way != way || !fits || alone {
                break;
            }
            let Some(reply) = replies.pop_front() else { break };
            build.chunk(reply.kind, reply.flags, &reply.value);
        }
        build.finish();
        self.replies = replies;
        Some(self.reachable(way))
    }

    /// Where an answer to `way` goes: to where it came from, from an address that is ours.
    fn reachable(&self, way: Way) -> Way {
        let is_own = |local: &std::net::IpAddr| self.own.is_empty() || self.own.contains(local);
        let local = way.local.filter(is_own).or_else(|| source(&self.own, way.remote.ip()));
        Way { local, remote: way.remote }
    }

    fn transmit_init(&mut self, packet: &mut Vec<u8>) -> Option<Way> {
        let way = self.setup.as_mut()?.inits.pop_front()?;
        Header { tag: 0, ..self.header() }.write(packet);
        self.write_init(packet);
        crate::crc::seal(packet);
        let local = way.local.or_else(|| source(&self.own, way.remote.ip()));
        Some(Way { local, remote: way.remote })
    }

    fn transmit_cookie(&mut self, packet: &mut Vec<u8>) -> Option<Way> {
        let mut setup = self.setup.take()?;
        let is_due = std::mem::take(&mut setup.cookie_due);
        let way = self.paths.current().map(|path| path.way).filter(|_| is_due);
        if way.is_some() {
            let mut build = self.build(packet);
            build.chunk(kind::COOKIE_ECHO, 0, &setup.cookie);
            if !setup.unrecognized.is_empty()
                && setup.unrecognized.len() + 4 <= build.room(kind::ERROR)
            {
                build.chunk(kind::ERROR, 0, &setup.unrecognized);
            }
            build.finish();
        }
        self.setup = Some(setup);
        way
    }

    fn transmit_asconf(&mut self, packet: &mut Vec<u8>, now: Duration) -> Option<Way> {
        if let Some(way) = self.asconf.ack_due.take() {
            let ack = std::mem::take(&mut self.asconf.last_ack);
            let mut build = self.build(packet);
            build.chunk(kind::ASCONF_ACK, 0, &ack);
            build.finish();
            self.asconf.last_ack = ack;
            return Some(self.reachable(way));
        }
        let (way, value) = self.next_asconf(now)?;
        let mut build = self.build(packet);
        build.chunk(kind::ASCONF, 0, &value);
        build.finish();
        Some(way)
    }

    fn transmit_heartbeat(&mut self, packet: &mut Vec<u8>, now: Duration) -> Option<Way> {
        while self.beats != 0 {
            let slot = self.beats.trailing_zeros();
            self.beats &= self.beats - 1;
            let id = u8::try_from(slot).unwrap_or(u8::MAX);
            let nonce = self.random.number();
            let Some(path) = self.paths.get_mut(id) else { continue };
            path.beat(nonce, now);
            let way = path.way;
            let mut build = self.build(packet);
            chunk::write(build.place(kind::HEARTBEAT), kind::HEARTBEAT, 0, |octets| {
                parameter::write(octets, parameter_kind::HEARTBEAT_INFO, |octets| {
                    octets.extend_from_slice(&nonce.to_be_bytes());
                });
            });
            build.finish();
            return Some(way);
        }
        None
    }

    /// DATA, with a SACK in front where it goes to where the SACK goes; or the SACK alone.
    fn transmit_data(&mut self, packet: &mut Vec<u8>, now: Duration) -> Option<Way> {
        let current = self.paths.current;
        let may = self
            .paths
            .get(current)
            .is_some_and(|path| path.confirmed && self.send.wants(path, self.burst));
        let sack_way = self.receive.way.filter(|_| self.receive.due);
        if !may && sack_way.is_none() {
            return None;
        }
        let config = Arc::clone(&self.config);
        let (header, mtu) = (self.header(), self.paths.mtu(&config));
        let mut build = Build::new(packet, header, mtu, self.auth.as_deref());
        let path = self.paths.get_mut(current).filter(|_| may);
        let mut way = None;
        // What is due soon goes with DATA, too: that saves a packet.
        let with_data = path.as_ref().is_some_and(|path| {
            self.receive.way.is_some_and(|way| way.remote.ip() == path.way.remote.ip())
        });
        let is_due = self.receive.due || (with_data && self.receive.timer.is_some());
        if is_due && (with_data || path.is_none()) {
            let room = build.room(kind::SACK).min(mtu / 2).max(Sack::LENGTH);
            self.receive.sack(build.place(kind::SACK), room, &config);
            // Where no DATA fits behind it, it goes alone.
            way = self.receive.way;
        }
        if let Some(path) = path {
            // The last of what there is asks for an answer at once where the path is in doubt.
            let is_last = path.errors > 0 || self.state == State::ShutdownPending;
            let count = self.send.fill(&mut build, path, is_last, now);
            if count > 0 {
                self.burst = self.burst.saturating_sub(1);
                way = Some(path.way);
            }
        }
        let is_empty = build.is_empty();
        build.finish();
        if is_empty {
            return None;
        }
        way.map(|way| self.reachable(way))
    }

    fn transmit_shutdown(&mut self, packet: &mut Vec<u8>) -> Option<Way> {
        if !std::mem::take(&mut self.shutdown_due) {
            return None;
        }
        let way = self.paths.current()?.way;
        let cumulative = self.receive.cumulative_tsn();
        let mut build = self.build(packet);
        match self.state {
            State::ShutdownSent => build.chunk(kind::SHUTDOWN, 0, &cumulative.to_be_bytes()),
            State::ShutdownAckSent => build.chunk(kind::SHUTDOWN_ACK, 0, &[]),
            State::CookieWait
            | State::CookieEchoed
            | State::Established
            | State::ShutdownPending
            | State::ShutdownReceived
            | State::Closed => return None,
        }
        build.finish();
        Some(way)
    }
}
