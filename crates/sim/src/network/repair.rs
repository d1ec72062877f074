//! How what was lost is sent again: after a timeout, or once it is reported missing.
//!
//! TCP waits 200 ms and a round trip, SCTP as long as the profile says; both twice as long after
//! each timeout in vain. Sooner comes what follows: TCP sends again what was sent before something
//! that has arrived (RFC 8985), SCTP what was reported missing three times, once (RFC 9260 §7.2.4).

use std::time::Duration;

use rserpool_proto::machine::Carrier;
use rserpool_proto::time::Time;

use super::association::Reason;
use super::{AssocId, Network, NetworkEvent, Side};

/// The least timeout of TCP, as kernels have it.
const TCP_RTO_MIN: Duration = Duration::from_millis(200);

/// SCTP sends again what was reported missing so often.
const REPORTS: u32 = 3;

impl Network {
    pub(super) fn transmit(&mut self, now: Time, id: AssocId, side: Side, number: u64) {
        let Some(association) = self.associations.get_mut(&id) else { return };
        let (from, to) = association.hosts(side);
        let Some(under_way) = association.end_mut(side).under_way.get_mut(&number) else { return };
        under_way.attempts += 1;
        under_way.sent = now;
        under_way.is_lost = false;
        under_way.reports = 0;
        let (parcel, attempt) = (under_way.parcel.clone(), under_way.attempts);
        if !self.hosts[from.0].responds() {
            // Its own transport stands still.
            let again = self.settings.rto_max;
            return self.plan(now + again, NetworkEvent::Repeat(id, side, number, attempt));
        }
        let arrives = NetworkEvent::Arrives(id, side.other(), number, parcel);
        if !self.send_packet(now, from, to, arrives) {
            self.plan_repetition(now, id, side, number);
        }
    }

    /// Nothing was acknowledged: the same again later, where it is not given up.
    pub(super) fn repeat(&mut self, now: Time, id: AssocId, side: Side, number: u64, attempt: u32) {
        let Some(association) = self.associations.get_mut(&id) else { return };
        let end = association.end_mut(side);
        let is_due = end.under_way.get(&number).is_some_and(|it| it.attempts == attempt);
        if !end.is_up() || !is_due {
            return;
        }
        let is_oldest = end.under_way.first_key_value().is_some_and(|(first, _)| *first == number);
        if is_oldest && end.errors > self.settings.retransmits_max {
            return self.give_up(now, id, side, Reason::Timeout);
        }
        self.transmit(now, id, side, number);
    }

    pub(super) fn plan_repetition(&mut self, now: Time, id: AssocId, side: Side, number: u64) {
        let Some(association) = self.associations.get_mut(&id) else { return };
        let end = association.end_mut(side);
        let is_oldest = end.under_way.first_key_value().is_some_and(|(first, _)| *first == number);
        if is_oldest {
            end.errors += 1;
        }
        let errors = end.errors;
        if let Some(under_way) = end.under_way.get_mut(&number) {
            under_way.is_lost = true;
        }
        self.repeat_later(now, id, side, number, errors);
    }

    /// The same again after the timeout that follows so many errors.
    pub(super) fn repeat_later(
        &mut self,
        now: Time,
        id: AssocId,
        side: Side,
        number: u64,
        errors: u32,
    ) {
        let Some(association) = self.associations.get(&id) else { return };
        let Some(under_way) = association.end(side).under_way.get(&number) else { return };
        let attempt = under_way.attempts;
        let pause = self.timeout(association.carrier, errors);
        self.plan(now + pause, NetworkEvent::Repeat(id, side, number, attempt));
    }

    /// A side hears that something arrived before its turn.
    pub(super) fn report_missing(
        &mut self,
        now: Time,
        id: AssocId,
        side: Side,
        arrived: u64,
        sent: Time,
    ) {
        let Some(association) = self.associations.get_mut(&id) else { return };
        let (from, _) = association.hosts(side);
        if !association.end(side).is_up() || !self.hosts[from.0].responds() {
            return;
        }
        let carrier = association.carrier;
        let mut again = Vec::new();
        for (&number, it) in association.end_mut(side).under_way.range_mut(..arrived) {
            it.reports += u32::from(it.sent < sent);
            let is_found = match carrier {
                Carrier::Tcp => it.reports > 0,
                Carrier::Sctp => it.reports == REPORTS && it.attempts == 1,
            };
            again.extend((it.is_lost && is_found).then_some(number));
        }
        for number in again {
            self.transmit(now, id, side, number);
        }
    }

    /// How long a heartbeat is waited for after so many in vain.
    pub(super) fn backoff(&self, errors: u32) -> Duration {
        self.timeout(Carrier::Sctp, errors)
    }

    fn timeout(&self, carrier: Carrier, errors: u32) -> Duration {
        let round_trip = self.links.weather.round_trip_max();
        let first = match carrier {
            Carrier::Tcp => TCP_RTO_MIN + round_trip,
            Carrier::Sctp => self.settings.rto_min.max(round_trip),
        };
        let doubled = first.saturating_mul(1 << errors.saturating_sub(1).min(16));
        doubled.min(self.settings.rto_max.max(first))
    }
}
