//! Users that are told when a pool changes (RFC 5352 §2.2.5, the S flag).
//!
//! Subscribers of a pool that changed are told one after the other, one answer at a time, and so
//! much after each input that others have their answers in between; that is a round. The next round
//! of the pool comes no sooner than [`Config::push_interval`](super::Config::push_interval) after
//! the last, with how the pool is then. To a subscriber that does not take what it was sent nothing
//! more is sent: it is told of the newest state once it does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use rserpool_wire::param::PoolHandle;

use super::quota::Quota;
use super::{Deadline, Registrar};
use crate::handlespace::Outcome;
use crate::machine::Peer;
use crate::time::Time;

/// Who is told of which pool. A subscription lives as long as its association or its pool.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    pools: BTreeMap<PoolHandle, Pool>,
    by_peer: BTreeMap<Peer, Subscriber>,
    /// How many subscriptions there are.
    len: usize,
    /// Pools that changed, and when their next rounds may begin.
    changed: BTreeSet<(Time, PoolHandle)>,
    /// Rounds under way: each tells one subscriber, then the next has its turn.
    rounds: VecDeque<Round>,
    /// Subscribers that took what they had been sent, and are owed something.
    drained: VecDeque<Peer>,
    /// Octets that may still be pushed before the next input.
    allowance: usize,
    /// When the next rounds are looked at.
    armed: Option<Time>,
}

/// The subscribers of one pool.
#[derive(Debug, Default)]
struct Pool {
    /// For each the number of elements that it asked for.
    subscribers: BTreeMap<Peer, Option<u32>>,
    /// When the next round may begin.
    next_round: Time,
    /// It changed since its last round began.
    is_changed: bool,
    /// Its round is under way.
    in_round: bool,
}

/// The pools that one association subscribes to.
#[derive(Debug, Default)]
struct Subscriber {
    handles: BTreeSet<PoolHandle>,
    /// Pools that it was not told of because it took nothing.
    owed: BTreeSet<PoolHandle>,
}

#[derive(Debug)]
struct Round {
    handle: PoolHandle,
    /// The last subscriber that was told.
    cursor: Option<Peer>,
}

/// So much is pushed after each input: the largest answer, or very many small ones.
const PUSHED_AT_ONCE: usize = 65_536;
/// What one counts at least, however short it is.
const PUSHED_LEAST: usize = 256;
/// What it counts to find that a subscriber takes nothing.
const POSTPONED: usize = 64;

impl Subscriptions {
    /// How many subscriptions there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many of them one association has.
    pub(super) fn count_of(&self, peer: Peer) -> usize {
        self.by_peer.get(&peer).map_or(0, |subscriber| subscriber.handles.len())
    }

    /// The pools that one association subscribes to.
    pub(super) fn of(&self, peer: Peer) -> impl Iterator<Item = &PoolHandle> {
        self.by_peer.get(&peer).into_iter().flat_map(|subscriber| &subscriber.handles)
    }

    fn contains(&self, peer: Peer, handle: &PoolHandle) -> bool {
        self.by_peer.get(&peer).is_some_and(|subscriber| subscriber.handles.contains(handle))
    }

    /// Something happened to an element of this pool.
    pub(super) fn mark(&mut self, handle: &PoolHandle, outcome: Outcome) {
        if outcome == Outcome::Unchanged || self.pools.is_empty() {
            return;
        }
        let Some(pool) = self.pools.get_mut(handle) else { return };
        if !std::mem::replace(&mut pool.is_changed, true) && !pool.in_round {
            self.changed.insert((pool.next_round, handle.clone()));
        }
    }

    /// Enters a subscription; true where it is a new one.
    pub(super) fn enter(&mut self, peer: Peer, handle: PoolHandle, items: Option<u32>) -> bool {
        self.pools.entry(handle.clone()).or_default().subscribers.insert(peer, items);
        let is_new = self.by_peer.entry(peer).or_default().handles.insert(handle);
        self.len += usize::from(is_new);
        is_new
    }

    /// An association ended; how many subscriptions it had.
    pub(super) fn forget(&mut self, peer: Peer) -> usize {
        let Some(subscriber) = self.by_peer.remove(&peer) else { return 0 };
        for handle in &subscriber.handles {
            self.leave_pool(handle, peer);
        }
        self.len -= subscriber.handles.len();
        subscriber.handles.len()
    }

    /// A subscription ended; false where there was none.
    fn cancel(&mut self, handle: &PoolHandle, peer: Peer) -> bool {
        let Some(subscriber) = self.by_peer.get_mut(&peer) else { return false };
        subscriber.owed.remove(handle);
        if !subscriber.handles.remove(handle) {
            return false;
        }
        if subscriber.handles.is_empty() {
            self.by_peer.remove(&peer);
        }
        self.len -= 1;
        self.leave_pool(handle, peer);
        true
    }

    fn leave_pool(&mut self, handle: &PoolHandle, peer: Peer) {
        let Some(pool) = self.pools.get_mut(handle) else { return };
        pool.subscribers.remove(&peer);
        if pool.subscribers.is_empty() {
            self.changed.remove(&(pool.next_round, handle.clone()));
            self.pools.remove(handle);
        }
    }

    /// Begins the rounds that may begin.
    fn begin_rounds(&mut self, now: Time, interval: Duration) {
        while let Some((at, _)) = self.changed.first()
            && *at <= now
            && let Some((_, handle)) = self.changed.pop_first()
        {
            let Some(pool) = self.pools.get_mut(&handle) else { continue };
            pool.is_changed = false;
            pool.in_round = true;
            pool.next_round = now + interval;
            self.rounds.push_back(Round { handle, cursor: None });
        }
    }

    /// The next subscriber to tell now, what of, and of how many elements.
    fn next(&mut self, now: Time, interval: Duration) -> Option<(Peer, PoolHandle, Option<u32>)> {
        loop {
            self.begin_rounds(now, interval);
            let next = self.next_of_rounds();
            // Where a round ended, the next one of its pool may begin.
            if next.is_some() || self.changed.first().is_none_or(|(at, _)| *at > now) {
                return next;
            }
        }
    }

    fn next_of_rounds(&mut self) -> Option<(Peer, PoolHandle, Option<u32>)> {
        while let Some(&peer) = self.drained.front() {
            let owed = self.by_peer.get_mut(&peer).and_then(|it| it.owed.pop_first());
            let Some(handle) = owed else {
                self.drained.pop_front();
                continue;
            };
            let pool = self.pools.get(&handle);
            if let Some(&items) = pool.and_then(|pool| pool.subscribers.get(&peer)) {
                return Some((peer, handle, items));
            }
        }
        while let Some(round) = self.rounds.pop_front() {
            let Some(pool) = self.pools.get_mut(&round.handle) else { continue };
            let after = round.cursor.map_or(Bound::Unbounded, Bound::Excluded);
            let next = pool.subscribers.range((after, Bound::Unbounded)).next();
            let Some((&peer, &items)) = next else {
                pool.in_round = false;
                if pool.is_changed {
                    self.changed.insert((pool.next_round, round.handle));
                }
                continue;
            };
            let handle = round.handle.clone();
            self.rounds.push_back(Round { cursor: Some(peer), ..round });
            return Some((peer, handle, items));
        }
        None
    }

    /// When there is somebody to tell; `None` for nobody.
    fn next_at(&self, now: Time) -> Option<Time> {
        if !self.rounds.is_empty() || !self.drained.is_empty() {
            // At once, but not before what has arrived is handed in.
            return Some(now + Duration::from_nanos(1));
        }
        self.changed.first().map(|(at, _)| *at)
    }

    /// It takes nothing: it is told once it does again.
    fn postpone(&mut self, peer: Peer, handle: PoolHandle) {
        if let Some(subscriber) = self.by_peer.get_mut(&peer) {
            subscriber.owed.insert(handle);
        }
        if self.drained.front() == Some(&peer) {
            self.drained.pop_front();
        }
        self.allowance = self.allowance.saturating_sub(POSTPONED);
    }

    fn spend(&mut self, octets: usize) {
        self.allowance = self.allowance.saturating_sub(octets.max(PUSHED_LEAST));
    }

    /// There was an input: as much as after each may be pushed.
    pub(super) fn allow(&mut self) {
        self.allowance = PUSHED_AT_ONCE;
    }
}

impl Registrar {
    /// False where there are as many subscriptions as may be, and this would be another one.
    pub(super) fn may_subscribe(&mut self, peer: Peer, handle: &PoolHandle) -> bool {
        let Some(association) = self.associations.get(&peer) else { return false };
        if self.subscriptions.contains(peer, handle) {
            return true;
        }
        let (quotas, source) = (&self.config.quotas, association.source);
        let reached = if self.subscriptions.count_of(peer) >= self.config.subscriptions_max {
            Quota::SubscriptionsPerAssociation
        } else if self.usage.of(source).subscriptions >= quotas.subscriptions_per_source {
            Quota::SubscriptionsPerSource
        } else if self.subscriptions.len() >= quotas.subscriptions as usize {
            Quota::Subscriptions
        } else {
            return true;
        };
        self.stats.subscriptions_refused += 1;
        self.quota_reached(self.clock, reached, source);
        false
    }

    /// A subscription ended, but not its association.
    fn unsubscribe(&mut self, peer: Peer, handle: &PoolHandle) {
        if self.subscriptions.cancel(handle, peer) {
            let source = self.associations.get(&peer).and_then(|it| it.source);
            self.usage.change(source, |used| used.subscriptions -= 1);
        }
    }

    /// Tells one subscriber of a pool that changed; nothing where there is none to tell, or enough
    /// was told since the last input.
    pub(super) fn push_update(&mut self) {
        let now = self.clock;
        if self.subscriptions.next_at(now).is_none() {
            return;
        }
        let interval = self.config.push_interval;
        while self.subscriptions.allowance > 0
            && let Some((peer, handle, items)) = self.subscriptions.next(now, interval)
        {
            let Some(association) = self.associations.get(&peer) else { continue };
            if association.is_congested {
                self.stats.updates_postponed += 1;
                self.subscriptions.postpone(peer, handle);
                continue;
            }
            let octets = self.answer_resolution(peer, handle.clone(), items, true);
            // A pool that is gone, or has nobody to offer, takes its subscriptions along.
            if octets.is_none() {
                self.unsubscribe(peer, &handle);
            }
            self.subscriptions.spend(octets.unwrap_or_default());
            self.stats.updates_pushed += 1;
            break;
        }
        let next = self.subscriptions.next_at(now);
        if let Some(at) = next.filter(|_| next != self.subscriptions.armed) {
            self.deadlines.arm(Deadline::Push, at);
            self.subscriptions.armed = next;
        }
    }

    /// It is time to look at what is to be told.
    pub(super) fn on_push_timeout(&mut self) {
        self.subscriptions.armed = None;
    }

    /// A subscriber has taken what it was sent.
    pub(super) fn settle_debts(&mut self, peer: Peer) {
        if self.subscriptions.by_peer.get(&peer).is_some_and(|it| !it.owed.is_empty()) {
            self.subscriptions.drained.push_back(peer);
        }
    }
}
