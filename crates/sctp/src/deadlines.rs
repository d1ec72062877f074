//! What happens when nothing happens: the timers of an association (RFC 9260 §6.3, §8.1 to §8.3).

use std::sync::Arc;
use std::time::Duration;

use crate::association::{Association, State};
use crate::cause::code;
use crate::event::{DownReason, Event, PathChange};
use crate::path::Health;

impl Association {
    /// When [`timeout`](Self::timeout) is to be called.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        let setup = self.setup.as_ref().map(|setup| setup.t1);
        let mut next = [setup, self.t2, self.t5, self.asconf.t4()].into_iter().flatten().min();
        let mut earlier = |at: Option<Duration>| {
            if let Some(at) = at {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        };
        if self.is_up() {
            earlier(self.receive.timer);
            earlier(self.receive.too_old_at());
            for path in self.paths.iter() {
                earlier(path.t3);
                let heartbeat = path.heartbeat.map_or(path.next_heartbeat, |h| h.deadline);
                earlier(Some(heartbeat).filter(|_| self.asks()));
            }
        }
        next.filter(|_| self.state != State::Closed)
    }

    /// Whether paths are asked whether they are there: not any more once SHUTDOWN or SHUTDOWN ACK was
    /// sent (§8.3).
    pub(crate) fn asks(&self) -> bool {
        !matches!(self.state, State::ShutdownSent | State::ShutdownAckSent)
    }

    /// What is due at `now` happens.
    pub(crate) fn timeout(&mut self, now: Duration) {
        let is_due = |at: Option<Duration>| at.is_some_and(|at| at <= now);
        if is_due(self.setup.as_ref().map(|setup| setup.t1)) {
            match self.state {
                State::CookieWait => self.t1_init(now),
                _ => self.t1_cookie(now),
            }
        }
        if !self.is_up() {
            return;
        }
        if is_due(self.receive.too_old_at()) {
            let why = b"a message is not completed";
            return self.abort_with(code::PROTOCOL_VIOLATION, why, DownReason::TooOld);
        }
        if is_due(self.receive.timer) {
            self.receive.due = true;
            self.receive.timer = None;
        }
        if is_due(self.t5) {
            return self.abort_with(code::USER_INITIATED, &[], DownReason::Timeout);
        }
        if is_due(self.t2) {
            self.shutdown_due = true;
            self.missed(self.paths.current, now);
            self.arm_t2(now);
        }
        if is_due(self.asconf.t4()) {
            self.t4_expired(now);
        }
        for id in 0..16 {
            self.path_timeout(id, now);
        }
        self.settle(now);
    }

    fn path_timeout(&mut self, id: u8, now: Duration) {
        let asks = self.asks();
        let Some(path) = self.paths.get_mut(id) else { return };
        if path.t3.is_some_and(|at| at <= now) {
            self.t3_expired(id, now);
        }
        let Some(path) = self.paths.get_mut(id).filter(|_| asks) else { return };
        if path.heartbeat.is_some_and(|heartbeat| heartbeat.deadline <= now) {
            path.heartbeat = None;
            // Where something is on its way here, T3-rtx says what is missing, or has said so just now: one
            // silence does not double the RTO twice. Where it is on its way elsewhere, that counts for the
            // association already; and else the path that would be used (§8.1, once for all paths).
            let is_told = path.t3.is_some() || path.missed_at == Some(now);
            if !is_told {
                let counts = self.send.outstanding.is_empty() && id == self.paths.current;
                self.missed_by(id, counts, now);
            }
            let jitter = self.jitter();
            let Some(path) = self.paths.get_mut(id) else { return };
            path.schedule(now, jitter, &self.config);
        }
        let Some(path) = self.paths.get_mut(id) else { return };
        // What was sent since then asks the same (§8.3): only idle paths are asked.
        let idle_since = path.used + self.config.heartbeat_interval;
        let is_well = path.health(&self.config) == Health::Active && path.confirmed;
        let is_busy = is_well && !path.doubted && idle_since > now && path.was_used;
        if path.heartbeat.is_none() && path.next_heartbeat <= now {
            if is_busy {
                path.next_heartbeat = idle_since;
            } else {
                self.beats |= 1 << (id % 16);
                // Until it leaves.
                path.next_heartbeat = now + self.config.heartbeat_interval;
            }
        }
    }

    /// T3-rtx (§6.3.3): what is on its way on a path is to be sent again, on another one if it can.
    fn t3_expired(&mut self, id: u8, now: Duration) {
        let config = Arc::clone(&self.config);
        let Some(path) = self.paths.get_mut(id) else { return };
        path.t3 = None;
        path.measured = false;
        // §6.1: a peer that says that it takes nothing is there.
        let is_probe = self.send.probing && self.send.last_sack >= path.used;
        let count = self.send.expire(id);
        if is_probe {
            path.congestion.flight = 0;
            path.back_off(&config);
        } else {
            path.congestion.expired();
            self.statistics.timeouts += u64::try_from(count).unwrap_or(u64::MAX);
            if count > 0 {
                self.missed(id, now);
            }
        }
        self.burst = self.burst.max(config.burst_max);
    }

    /// A path has missed an answer.
    pub(crate) fn missed(&mut self, id: u8, now: Duration) {
        self.missed_by(id, true, now);
    }

    /// A path has missed an answer (§8.1, §8.2, RFC 7829); whether the association has, too.
    fn missed_by(&mut self, id: u8, counts: bool, now: Duration) {
        let config = Arc::clone(&self.config);
        // Who has another path that does well is there, whatever this one does.
        let others = self.paths.iter().any(|p| p.id != id && p.confirmed && p.errors == 0);
        let has_confirmed = self.paths.iter().any(|path| path.confirmed);
        let Some(path) = self.paths.get_mut(id) else { return };
        let was = path.health(&config);
        path.errors = path.errors.saturating_add(1);
        path.doubted = false;
        path.missed_at = Some(now);
        path.back_off(&config);
        let (health, confirmed, ip) = (path.health(&config), path.confirmed, path.way.remote.ip());
        // It is asked at once whether it is there.
        if confirmed && health == Health::PotentiallyFailed && path.heartbeat.is_none() {
            path.next_heartbeat = now;
        }
        if (counts && !others && confirmed) || !has_confirmed {
            self.errors = self.errors.saturating_add(1);
        }
        if health != was {
            let change = match health {
                Health::Active => PathChange::Reachable,
                Health::PotentiallyFailed => PathChange::PotentiallyFailed,
                Health::Unreachable => PathChange::Unreachable,
            };
            if confirmed {
                self.events.push_back(Event::Path(ip, change));
            }
        }
        if self.errors > config.association_retransmits_max {
            return self.abort_with(code::USER_INITIATED, &[], DownReason::Timeout);
        }
        self.choose();
    }
}
