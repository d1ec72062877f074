//! Reports of users that an element is unreachable (RFC 5352 §3.5).

use rserpool_wire::asap::Unreachable;

use super::Registrar;
use crate::handlespace::ElementIndex;
use crate::machine::{Peer, Source};
use crate::time::Time;

/// Who reported an element since it answered or registered last, and when: at most one more than
/// it takes.
#[derive(Debug, Default)]
pub(super) struct Reports(Vec<(Option<Source>, Time)>);

impl Reports {
    /// How many reporters there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

impl Registrar {
    /// RFC 5352 §3.5: a report is answered by a keep-alive at once; too many without an answer
    /// remove the element sooner.
    pub(super) fn on_report(&mut self, now: Time, peer: Peer, message: Unreachable) {
        self.stats.reports += 1;
        let Unreachable { handle, id } = message;
        let counted = self
            .handlespace
            .find(&handle, id)
            .is_some_and(|index| self.report_unreachable(now, peer, index));
        if !counted {
            self.stats.reports_ignored += 1;
        }
    }

    /// Counts a report and asks the element at once; false where the report does not count.
    fn report_unreachable(&mut self, now: Time, reporter: Peer, index: ElementIndex) -> bool {
        if !self.supervised.contains(index) {
            return false;
        }
        let max = self.config.bad_reports_max as usize;
        let again_after = self.config.timing.request_timeout;
        let source = self.associations.get(&reporter).and_then(|it| it.link.source());
        // RFC 5355 §2.13: one host cannot report an element away by shouting, nor by many
        // associations.
        let Reports(reports) = self.reports.get_or_default(index);
        let is_full = reports.len() > max;
        match reports.iter_mut().find(|(by, _)| *by == source) {
            Some((_, at)) if now - *at < again_after => return false,
            Some((_, at)) => *at = now,
            None if is_full => return false,
            None => reports.push((source, now)),
        }
        self.ask_at_once(now, index, false);
        if self.is_reported_away(index) {
            self.wait_less(now, index);
        }
        true
    }

    /// True where more users reported an element than it takes, and it has not answered since.
    pub(super) fn is_reported_away(&self, index: ElementIndex) -> bool {
        let max = self.config.bad_reports_max as usize;
        self.reports.get(index).is_some_and(|reports| reports.count() > max)
    }
}
