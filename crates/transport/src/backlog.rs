//! What waits for the peers of an endpoint: when one is congested, and how much waits in all.
//!
//! Every back end keeps one [`Backlog`] for each association and one [`Backlogs`] for the endpoint,
//! so that the rules are the same over all transports.

use std::collections::VecDeque;

use crate::endpoint::{AssocId, Event, Options, Ppid};

/// With more octets than this to be sent, an association is congested: its user is told, and where
/// the peer is the one who asks, its further requests are not handed in.
const WRITE_HIGH_WATER: usize = 256 << 10;
/// A congested association is drained when no more than this share of the high-water mark waits.
const WRITE_LOW_SHARE: usize = 4;
/// What a message that waits costs beside its octets.
const MESSAGE_COST: usize = 64;

/// What waits for one peer.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Octets that wait to be sent.
    waiting: usize,
    /// Octets that arrived and wait: for the rest of a message, or for the peer to take its answers.
    kept: usize,
    congested: bool,
    /// Messages that arrived while reading was paused, or since.
    held: VecDeque<(Ppid, Vec<u8>)>,
}

/// What waits for all peers of an endpoint.
#[derive(Debug)]
pub(crate) struct Backlogs {
    high: usize,
    low: usize,
    held_max: usize,
    total: usize,
    /// How many associations are congested.
    congested: usize,
    /// Associations whose held messages can be handed in.
    resumed: VecDeque<AssocId>,
}

impl Backlog {
    /// Whether more waits than the peer takes.
    pub(crate) fn is_congested(&self) -> bool {
        self.congested
    }
}

impl Backlogs {
    /// Nothing waits.
    pub(crate) fn new(options: &Options) -> Self {
        // Short queues become congested before they are full.
        let high = WRITE_HIGH_WATER.min(options.send_queue_max / 2);
        Self {
            high,
            low: high / WRITE_LOW_SHARE,
            held_max: options.send_queue_max,
            total: 0,
            congested: 0,
            resumed: VecDeque::new(),
        }
    }

    /// With more octets than this to be sent, an association is congested.
    pub(crate) fn high_water(&self) -> usize {
        self.high
    }

    /// A congested association is drained when no more than this waits.
    pub(crate) fn low_water(&self) -> usize {
        self.low
    }

    /// Octets that wait in all.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Notes that `octets` more wait to be sent.
    pub(crate) fn push(&mut self, backlog: &mut Backlog, octets: usize) {
        backlog.waiting += octets;
        self.total += octets;
    }

    /// Notes how many octets wait after as much as the peer takes was written: the event that makes.
    pub(crate) fn note(
        &mut self,
        assoc: AssocId,
        backlog: &mut Backlog,
        waiting: usize,
    ) -> Option<Event> {
        self.total = self.total - backlog.waiting + waiting;
        backlog.waiting = waiting;
        if backlog.congested && waiting <= self.low {
            backlog.congested = false;
            self.congested -= 1;
            if !backlog.held.is_empty() {
                self.resumed.push_back(assoc);
            }
            Some(Event::Drained { assoc })
        } else if !backlog.congested && waiting > self.high {
            backlog.congested = true;
            self.congested += 1;
            Some(Event::Congested { assoc })
        } else {
            None
        }
    }

    /// Whether messages have to be looked at before they are handed in: some may have to
    /// [`wait`](Self::hold).
    pub(crate) fn may_hold(&self) -> bool {
        self.congested > 0 || !self.resumed.is_empty()
    }

    /// Hands in a message, or holds it back: where the peer has to take its answers first, as
    /// `pauses` says, and where older ones are held. `Err` where so much is held that the peer has to
    /// go: an association of a one-to-many socket has no window that could be closed.
    pub(crate) fn hold(
        &mut self,
        backlog: &mut Backlog,
        pauses: bool,
        event: Event,
    ) -> Result<Option<Event>, TooMuch> {
        if !pauses && backlog.held.is_empty() {
            return Ok(Some(event));
        }
        let Event::Message { ppid, octets, .. } = event else { return Ok(Some(event)) };
        let kept = backlog.kept + octets.len() + MESSAGE_COST;
        if kept > self.held_max {
            return Err(TooMuch);
        }
        self.note_kept(backlog, kept);
        backlog.held.push_back((ppid, octets));
        Ok(None)
    }

    /// The association that waited longest of those whose held messages can be handed in; to be
    /// asked for them by [`resume`](Self::resume).
    pub(crate) fn resumed(&mut self) -> Option<AssocId> {
        self.resumed.pop_front()
    }

    /// The next message that was held, unless the peer has to take its answers first again.
    pub(crate) fn resume(
        &mut self,
        assoc: AssocId,
        backlog: &mut Backlog,
        pauses: bool,
    ) -> Option<Event> {
        if pauses {
            return None;
        }
        let (ppid, octets) = backlog.held.pop_front()?;
        self.note_kept(backlog, backlog.kept - octets.len() - MESSAGE_COST);
        if !backlog.held.is_empty() {
            self.resumed.push_front(assoc);
        }
        Some(Event::Message { assoc, ppid, octets })
    }

    /// Notes how many octets that arrived are kept.
    pub(crate) fn note_kept(&mut self, backlog: &mut Backlog, kept: usize) {
        self.total = self.total - backlog.kept + kept;
        backlog.kept = kept;
    }

    /// Nothing waits any more: the association is over, or begins anew.
    pub(crate) fn forget(&mut self, backlog: &mut Backlog) {
        self.total -= backlog.waiting + backlog.kept;
        self.congested -= usize::from(backlog.congested);
        *backlog = Backlog::default();
    }

    /// Puts all that was held before what else is to be handed in: the peer closed, and reads no
    /// more answers.
    pub(crate) fn release(
        &mut self,
        assoc: AssocId,
        backlog: &mut Backlog,
        events: &mut VecDeque<Event>,
    ) {
        self.note_kept(backlog, 0);
        while let Some((ppid, octets)) = backlog.held.pop_back() {
            events.push_front(Event::Message { assoc, ppid, octets });
        }
    }

    /// Drops what was held: its user has closed, and can answer no more.
    pub(crate) fn drop_held(&mut self, backlog: &mut Backlog) {
        self.note_kept(backlog, 0);
        backlog.held.clear();
    }
}

/// More of a peer's messages wait for it to take its answers than may.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct TooMuch;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn congestion_begins_above_the_high_water_mark_and_ends_at_the_low_one() {
        let assoc = AssocId(1);
        let mut backlogs = Backlogs::new(&Options::default());
        let mut backlog = Backlog::default();
        let mut note = |waiting| backlogs.note(assoc, &mut backlog, waiting);
        let (high, low) = (256 << 10, 64 << 10);
        assert_eq!(note(high), None);
        assert_eq!(note(high + 1), Some(Event::Congested { assoc }));
        assert_eq!(note(4 * high), None);
        assert_eq!(note(low + 1), None);
        assert_eq!(note(high + 1), None);
        assert_eq!(note(low), Some(Event::Drained { assoc }));
        assert_eq!(note(0), None);
    }

    #[test]
    fn messages_that_are_held_come_in_order_before_later_ones() {
        let assoc = AssocId(1);
        let options = Options { send_queue_max: 1000, ..Options::default() };
        let mut backlogs = Backlogs::new(&options);
        let mut backlog = Backlog::default();
        let event =
            |n: u8| Event::Message { assoc, ppid: Ppid(u32::from(n)), octets: vec![n; 100] };
        let arrive = |backlogs: &mut Backlogs, backlog: &mut Backlog, pauses, n| {
            backlogs.hold(backlog, pauses, event(n))
        };
        assert_eq!(arrive(&mut backlogs, &mut backlog, false, 0), Ok(Some(event(0))));
        assert!(backlogs.note(assoc, &mut backlog, 501).is_some());
        for n in 1..=5 {
            assert_eq!(arrive(&mut backlogs, &mut backlog, true, n), Ok(None));
        }
        assert_eq!(backlogs.total(), 501 + 5 * 164);
        assert_eq!(backlogs.resumed(), None);
        assert!(backlogs.note(assoc, &mut backlog, 0).is_some());
        assert_eq!(backlogs.resumed(), Some(assoc));
        assert_eq!(backlogs.resume(assoc, &mut backlog, false), Some(event(1)));
        assert_eq!(arrive(&mut backlogs, &mut backlog, false, 6), Ok(None));
        assert_eq!(arrive(&mut backlogs, &mut backlog, false, 7), Ok(None));
        assert_eq!(arrive(&mut backlogs, &mut backlog, false, 8), Err(TooMuch));
        for n in 2..=7 {
            assert_eq!(backlogs.resumed(), Some(assoc));
            assert_eq!(backlogs.resume(assoc, &mut backlog, true), None);
            assert_eq!(backlogs.resume(assoc, &mut backlog, false), Some(event(n)));
        }
        assert_eq!((backlogs.resumed(), backlogs.total()), (None, 0));
        assert_eq!(arrive(&mut backlogs, &mut backlog, false, 9), Ok(Some(event(9))));
    }

    #[test]
    fn the_sum_is_that_of_all_associations() {
        let mut backlogs = Backlogs::new(&Options::default());
        let (mut one, mut two) = (Backlog::default(), Backlog::default());
        backlogs.push(&mut one, 100);
        backlogs.push(&mut two, 10);
        backlogs.note_kept(&mut two, 5);
        assert_eq!(backlogs.total(), 115);
        backlogs.note(AssocId(1), &mut one, 40);
        backlogs.note_kept(&mut two, 1);
        assert_eq!(backlogs.total(), 51);
        backlogs.forget(&mut one);
        assert_eq!(backlogs.total(), 11);
    }

    #[test]
    fn a_short_queue_is_congested_before_it_is_full() {
        let backlogs = Backlogs::new(&Options { send_queue_max: 1000, ..Options::default() });
        assert_eq!((backlogs.high_water(), backlogs.low_water()), (500, 125));
    }
}
