//! What was known of an element when it was removed, for those who ask why.

use std::net::SocketAddr;
use std::time::Duration;

use super::reports::Reports;
use super::{Association, Registrar};
use crate::handlespace::ElementIndex;
use crate::machine::Carrier;
use crate::time::Time;

/// What was known of an element when it was removed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Evidence {
    /// Where its association went; `None` where it had none.
    pub remote: Option<SocketAddr>,
    /// What that ran over.
    pub carrier: Option<Carrier>,
    /// How long before a message came over it last.
    pub heard_ago: Option<Duration>,
    /// How long before the element was asked what it never answered.
    pub asked_ago: Option<Duration>,
    /// How quickly it used to answer.
    pub round_trip: Option<Duration>,
    /// How often the wait for that answer was extended.
    pub extensions: u8,
    /// How many had reported it as unreachable since it answered.
    pub reports: usize,
}

/// An association that has ended, as long as there are elements to take out for it.
#[derive(Debug)]
pub(super) struct Ended {
    remote: Option<SocketAddr>,
    carrier: Carrier,
    last_used: Time,
}

impl Ended {
    pub(super) fn of(association: &Association) -> Self {
        let Association { link, last_used, .. } = association;
        Self { remote: link.remote_addr(), carrier: link.carrier, last_used: *last_used }
    }
}

impl Registrar {
    /// What is known of an element that is about to be removed.
    pub(super) fn evidence(&self, now: Time, index: ElementIndex) -> Box<Evidence> {
        let reports = self.reports.get(index).map_or(0, Reports::count);
        let Some(supervised) = self.supervised.get(index) else {
            return Box::new(Evidence { reports, ..Evidence::default() });
        };
        let peer = supervised.association;
        let live = peer.and_then(|peer| self.associations.get(&peer)).map(Ended::of);
        let ended = peer.and_then(|peer| self.lost.association(peer));
        let association = live.as_ref().or(ended);
        Box::new(Evidence {
            remote: association.and_then(|it| it.remote),
            carrier: association.map(|it| it.carrier),
            heard_ago: association.map(|it| now - it.last_used),
            asked_ago: supervised.asked_at().map(|at| now - at),
            round_trip: supervised.round_trip.smoothed(),
            extensions: supervised.extensions(),
            reports,
        })
    }
}
