//! Reports of elements that do not answer (RFC 5352 §3.5).

use std::collections::VecDeque;
use std::time::Duration;

use rserpool_wire::Asap;
use rserpool_wire::asap::Unreachable;
use rserpool_wire::param::{PeId, PoolHandle};

use super::{PoolUser, State};
use crate::machine::{Output, Peer};
use crate::time::Time;

/// What was reported lately, and what waits for a registrar to report to.
///
/// A registrar asks a reported element at once whether it lives, so a second report of the same
/// element within a keep-alive interval brings nothing; and nobody needs more than
/// [`Self::RECENT_MAX`] reports in that time (RFC 5355 §2.13).
#[derive(Debug)]
pub(super) struct Reports {
    interval: Duration,
    /// Oldest first.
    recent: VecDeque<(Time, Unreachable)>,
    pending: VecDeque<Unreachable>,
}

impl Reports {
    /// Reports within one keep-alive interval, and reports that wait.
    const RECENT_MAX: usize = 64;

    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, recent: VecDeque::new(), pending: VecDeque::new() }
    }

    pub(super) fn are_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }

    /// True where this report is to be made.
    fn admit(&mut self, now: Time, report: &Unreachable) -> bool {
        while self.recent.front().is_some_and(|(when, _)| now - *when >= self.interval) {
            self.recent.pop_front();
        }
        let is_new = self.recent.len() < Self::RECENT_MAX
            && self.pending.len() < Self::RECENT_MAX
            && !self.recent.iter().any(|(_, known)| known == report)
            && !self.pending.contains(report);
        if is_new {
            self.recent.push_back((now, report.clone()));
        }
        is_new
    }
}

impl PoolUser {
    pub(super) fn report_unreachable(&mut self, now: Time, handle: PoolHandle, id: PeId) {
        self.cache.forget_element(&handle, id);
        let report = Unreachable { handle, id };
        if !self.reports.admit(now, &report) {
            self.stats.reports_suppressed += 1;
            return;
        }
        match self.state {
            State::Homed { home } => self.send_report(home, report),
            State::Idle | State::Hunting | State::Doubting { .. } => {
                self.reports.pending.push_back(report);
                self.want_home(now);
            }
        }
    }

    pub(super) fn send_pending_reports(&mut self, home: Peer) {
        while let Some(report) = self.reports.pending.pop_front() {
            self.send_report(home, report);
        }
    }

    fn send_report(&mut self, home: Peer, report: Unreachable) {
        self.stats.reports += 1;
        self.outputs.push_back(Output::Send(home, Asap::Unreachable(report).into()));
    }
}
