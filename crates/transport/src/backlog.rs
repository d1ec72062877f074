//! What waits for the peers of an endpoint: when one is congested, when one has taken nothing for too
//! long, and how much waits in all.
//!
//! Every back end keeps one [`Backlog`] for each association and one [`Backlogs`] for the endpoint,
//! so that the rules are the same over all transports.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::endpoint::{AssocId, Event, Options, Ppid};

/// With more octets than this to be sent, an association is congested: its user is told, and where
/// the peer is the one who asks, its further requests are not handed in.
const WRITE_HIGH_WATER: usize = 256 << 10;
/// A congested association is drained when no more than this share of the high-water mark waits.
const WRITE_LOW_SHARE: usize = 4;
/// What a message that waits costs beside its octets.
const MESSAGE_COST: usize = 64;
/// Whose time is over gets this much more: a task that was late looks at its sockets before it ends
/// anything.
const GRACE: Duration = Duration::from_millis(100);
/// Whose queue has not moved for so long ends before others when too much waits.
const STUCK: Duration = Duration::from_secs(1);
/// What may wait after some were ended, in quarters of the budget.
const RELIEF_QUARTERS: usize = 3;
/// As good as never, and still a time that a clock can tell: 30 years.
const NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);

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
    /// When the peer last took something, or something began to wait for it.
    since: Option<Instant>,
    /// When the message began that has not arrived in full.
    message_since: Option<Instant>,
    closing: bool,
    /// The entry among the deadlines that counts.
    armed: Option<Instant>,
    /// Its time was over when it was last looked at.
    last_call: bool,
}

/// What took too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Overdue {
    /// The peer took nothing, or did not finish a message.
    Stalled,
    /// The peer took nothing of what was queued before the close, or did not close too.
    Close,
}

/// What waits for all peers of an endpoint.
#[derive(Debug)]
pub(crate) struct Backlogs {
    high: usize,
    low: usize,
    held_max: usize,
    budget: usize,
    stall_timeout: Duration,
    message_timeout: Duration,
    close_timeout: Duration,
    total: usize,
    /// How many associations are congested.
    congested: usize,
    /// Associations whose held messages can be handed in.
    resumed: VecDeque<AssocId>,
    /// When whose time is over; later ones of the same association are made when these come.
    deadlines: BinaryHeap<Reverse<(Instant, AssocId)>>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Backlog {
    /// Whether more waits than the peer takes.
    pub(crate) fn is_congested(&self) -> bool {
        self.congested
    }

    /// Whether nothing has moved here for some time.
    fn is_stuck(&self, now: Instant) -> bool {
        let since = self.since.into_iter().chain(self.message_since).min();
        since.is_some_and(|since| now.duration_since(since) >= STUCK)
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
            budget: options.queue_budget,
            stall_timeout: options.stall_timeout.min(NEVER),
            message_timeout: options.message_timeout.min(NEVER),
            close_timeout: options.close_timeout.min(NEVER),
            total: 0,
            congested: 0,
            resumed: VecDeque::new(),
            deadlines: BinaryHeap::new(),
            sleep: None,
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
        let moved = waiting < backlog.waiting;
        backlog.waiting = waiting;
        if waiting == 0 && !backlog.closing {
            backlog.since = None;
        } else if moved || (waiting > 0 && backlog.since.is_none()) {
            self.moved(assoc, backlog);
        }
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

    /// Notes that the peer took something.
    pub(crate) fn moved(&mut self, assoc: AssocId, backlog: &mut Backlog) {
        backlog.since = Some(Instant::now());
        backlog.last_call = false;
        self.arm(assoc, backlog);
    }

    /// Notes that the association is being closed: now everything has to go on.
    pub(crate) fn close(&mut self, assoc: AssocId, backlog: &mut Backlog) {
        if !backlog.closing {
            backlog.closing = true;
            self.moved(assoc, backlog);
        }
    }

    /// Notes whether a message has arrived in part, and whether others were whole before it.
    pub(crate) fn note_unfinished(
        &mut self,
        assoc: AssocId,
        backlog: &mut Backlog,
        is_unfinished: bool,
        is_new: bool,
    ) {
        if !is_unfinished {
            backlog.message_since = None;
        } else if is_new || backlog.message_since.is_none() {
            backlog.message_since = Some(Instant::now());
            backlog.last_call = false;
            self.arm(assoc, backlog);
        }
    }

    /// When the time of an association is over, and what takes too long then.
    fn deadline(&self, backlog: &Backlog) -> Option<(Instant, Overdue)> {
        let moves = backlog.since.map(|since| match backlog.closing {
            true => (since + self.close_timeout, Overdue::Close),
            false => (since + self.stall_timeout, Overdue::Stalled),
        });
        let message = backlog.message_since.filter(|_| !backlog.closing);
        let message = message.map(|since| (since + self.message_timeout, Overdue::Stalled));
        moves.into_iter().chain(message).min_by_key(|(at, _)| *at)
    }

    fn arm(&mut self, assoc: AssocId, backlog: &mut Backlog) {
        if let Some((at, _)) = self.deadline(backlog)
            && backlog.armed.is_none_or(|armed| at < armed)
        {
            backlog.armed = Some(at);
            self.deadlines.push(Reverse((at, assoc)));
        }
    }

    /// An association whose time may be over; to be asked for by [`overdue`](Self::overdue). Else the
    /// task is woken when there is one.
    pub(crate) fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Option<(Instant, AssocId)> {
        let &Reverse((at, assoc)) = self.deadlines.peek()?;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        if sleep.as_mut().poll(cx).is_pending() {
            return None;
        }
        self.deadlines.pop();
        Some((at, assoc))
    }

    /// What took too long at an association; `None` where it has more time.
    pub(crate) fn overdue(
        &mut self,
        (at, assoc): (Instant, AssocId),
        backlog: &mut Backlog,
    ) -> Option<Overdue> {
        if backlog.armed != Some(at) {
            return None;
        }
        backlog.armed = None;
        let (deadline, overdue) = self.deadline(backlog)?;
        let now = Instant::now();
        if deadline > now {
            self.arm(assoc, backlog);
            return None;
        }
        if !backlog.last_call {
            backlog.last_call = true;
            let at = now + GRACE;
            backlog.armed = Some(at);
            self.deadlines.push(Reverse((at, assoc)));
            return None;
        }
        Some(overdue)
    }

    /// Whether more waits than may.
    pub(crate) fn is_over_budget(&self) -> bool {
        self.total > self.budget
    }

    /// The associations that have to end when more waits than may: the greatest queues, those first
    /// that have not moved for a while.
    pub(crate) fn excess<'a>(
        &self,
        all: impl Iterator<Item = (AssocId, &'a Backlog)>,
    ) -> Vec<AssocId> {
        let now = Instant::now();
        let size = |backlog: &Backlog| backlog.waiting + backlog.kept;
        let mut queues: Vec<(bool, usize, AssocId)> = all
            .map(|(assoc, backlog)| (backlog.is_stuck(now), size(backlog), assoc))
            .filter(|(_, octets, _)| *octets > 0)
            .collect();
        queues.sort_unstable_by(|one, other| other.cmp(one));
        let enough = self.budget / 4 * RELIEF_QUARTERS;
        let mut left = self.total;
        let mut excess = Vec::new();
        for (_, octets, assoc) in queues {
            if left <= enough {
                break;
            }
            left -= octets;
            excess.push(assoc);
        }
        excess
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

    /// What is overdue after a while, by the clock of the test.
    async fn overdue_after(
        backlogs: &mut Backlogs,
        backlog: &mut Backlog,
        after: Duration,
    ) -> Option<Overdue> {
        let found = std::future::poll_fn(|cx| {
            while let Some(due) = backlogs.poll_deadlines(cx) {
                if let Some(overdue) = backlogs.overdue(due, backlog) {
                    return std::task::Poll::Ready(overdue);
                }
            }
            std::task::Poll::Pending
        });
        tokio::time::timeout(after, found).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_something_has_time_and_who_takes_nothing_has_not() {
        let assoc = AssocId(1);
        let mut backlogs = Backlogs::new(&Options::default());
        let mut backlog = Backlog::default();
        let (stall, part) = (Duration::from_secs(30), Duration::from_secs(20));
        for waiting in [5, 4, 3, 2, 1] {
            backlogs.note(assoc, &mut backlog, waiting);
            assert_eq!(overdue_after(&mut backlogs, &mut backlog, part).await, None);
        }
        backlogs.push(&mut backlog, 100);
        backlogs.note(assoc, &mut backlog, 101);
        assert_eq!(overdue_after(&mut backlogs, &mut backlog, part / 4).await, None);
        let start = Instant::now();
        let overdue = overdue_after(&mut backlogs, &mut backlog, stall).await;
        assert_eq!(overdue, Some(Overdue::Stalled));
        assert!(start.elapsed() <= Duration::from_millis(5200), "{:?}", start.elapsed());

        // Nothing waits: nothing is taken.
        backlogs.note(assoc, &mut backlog, 0);
        assert_eq!(overdue_after(&mut backlogs, &mut backlog, 10 * stall).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_has_to_go_on_though_nothing_waits() {
        let assoc = AssocId(1);
        let mut backlogs = Backlogs::new(&Options::default());
        let mut backlog = Backlog::default();
        backlogs.note(assoc, &mut backlog, 10);
        backlogs.close(assoc, &mut backlog);
        let part = Duration::from_secs(4);
        for waiting in (0..10).rev() {
            assert_eq!(overdue_after(&mut backlogs, &mut backlog, part).await, None);
            backlogs.note(assoc, &mut backlog, waiting);
        }
        let overdue = overdue_after(&mut backlogs, &mut backlog, 2 * part).await;
        assert_eq!(overdue, Some(Overdue::Close));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_message_counts_from_its_beginning() {
        let assoc = AssocId(1);
        let mut backlogs = Backlogs::new(&Options::default());
        let mut backlog = Backlog::default();
        let part = Duration::from_secs(20);
        // Each is whole before the next begins.
        for _ in 0..5 {
            backlogs.note_unfinished(assoc, &mut backlog, true, true);
            assert_eq!(overdue_after(&mut backlogs, &mut backlog, part).await, None);
        }
        // More octets of the same one help nothing.
        backlogs.note_unfinished(assoc, &mut backlog, true, false);
        let overdue = overdue_after(&mut backlogs, &mut backlog, part).await;
        assert_eq!(overdue, Some(Overdue::Stalled));
        backlogs.note_unfinished(assoc, &mut backlog, false, false);
        assert_eq!(overdue_after(&mut backlogs, &mut backlog, 10 * part).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_greatest_queue_ends_first_of_those_that_do_not_move() {
        let options = Options { queue_budget: 1000, ..Options::default() };
        let mut backlogs = Backlogs::new(&options);
        let mut all: Vec<Backlog> = Vec::new();
        for octets in [300, 400, 100] {
            let mut backlog = Backlog::default();
            backlogs.note(AssocId(all.len() as u64), &mut backlog, octets);
            all.push(backlog);
        }
        tokio::time::advance(STUCK).await;
        let mut moves = Backlog::default();
        backlogs.note(AssocId(3), &mut moves, 500);
        all.push(moves);
        assert!(backlogs.is_over_budget());
        let named = || (0..).map(AssocId).zip(&all);
        assert_eq!(backlogs.excess(named()), [AssocId(1), AssocId(0)]);
        backlogs.forget(&mut all[1]);
        assert!(!backlogs.is_over_budget());
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
