//! Suggesting elements to the registrars that are best for them
//! (draft-dreibholz-rserpool-enrp-takeover): after failures, those that came back share the work
//! again.
//!
//! In each [`Config::suggestion_pause`](super::Config::suggestion_pause) a registrar looks through
//! its own elements once, some at a time. One for which another registrar is better is told to that
//! one by an update with the T flag; whoever follows it asks the element, which moves or does not.
//!
//! This does not flap. An element only ever moves to a registrar with a greater [`aptitude`] for it,
//! so it goes to nobody twice while identifiers stay. A registrar gets nothing before it has lived
//! for the whole pause. An element that did not move, or has come back, is left alone for twice as
//! long each time. And the rate of all suggestions is bounded.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use rserpool_wire::enrp::{Body, Update, UpdateAction};
use rserpool_wire::param::{PeId, PoolHandle, RegistrarId};

use super::peers::Status;
use super::reach::as_told;
use super::token_bucket::TokenBucket;
use super::{Deadline, Registrar};
use crate::handlespace::ElementIndex;
use crate::machine::{Carrier, Peer};
use crate::time::Time;

/// How good a registrar is as the home of an element; the best has the greatest value. Every
/// registrar gets its part, and all agree on who is best without a word.
pub fn aptitude(registrar: RegistrarId, element: PeId) -> u32 {
    registrar.get() ^ element.0
}

/// What a registrar remembers of its suggestions.
#[derive(Debug)]
pub(super) struct Suggesting {
    /// The last element looked at in this round.
    cursor: Option<ElementIndex>,
    pace: TokenBucket,
    /// Elements that were suggested of late, wherever they are now.
    tried: BTreeMap<(PoolHandle, PeId), Tried>,
}

#[derive(Clone, Copy, Debug)]
struct Tried {
    at: Time,
    /// So long it is left alone.
    pause: Duration,
}

/// Elements looked at together.
const LOOKED_AT_MAX: usize = 1_000;
/// The longest pause of an element, in shortest ones.
const PAUSES_MAX: u32 = 64;
/// Suggestions remembered at once; beyond them none are made.
const TRIED_MAX: usize = 100_000;
const TICK_MIN: Duration = Duration::from_millis(1);

impl Suggesting {
    pub(super) fn new(rate_max: NonZeroU32) -> Self {
        Self { cursor: None, pace: TokenBucket::new(rate_max), tried: BTreeMap::new() }
    }

    /// At most `rate_max` a second from now on.
    pub(super) fn set_rate(&mut self, rate_max: NonZeroU32) {
        self.pace.set_rate(rate_max);
    }

    /// How long an element is to be left alone once it is suggested now; `None` where it may not be.
    fn next_pause(
        &self,
        now: Time,
        element: &(PoolHandle, PeId),
        shortest: Duration,
    ) -> Option<Duration> {
        match self.tried.get(element) {
            Some(tried) if now < tried.at + tried.pause => None,
            Some(tried) => Some((tried.pause * 2).min(shortest * PAUSES_MAX)),
            None => (self.tried.len() < TRIED_MAX).then_some(shortest),
        }
    }

    fn forget_old(&mut self, now: Time) {
        self.tried.retain(|_, tried| now < tried.at + tried.pause * 3);
    }
}

impl Registrar {
    /// This registrar serves from now on.
    pub(super) fn arm_suggestions(&mut self, now: Time) {
        if self.config.takeover_suggestion {
            self.deadlines.arm(Deadline::Suggestion, now + self.suggestion_pause());
        }
    }

    fn suggestion_pause(&self) -> Duration {
        self.config.suggestion_pause.max(TICK_MIN)
    }

    /// It is time to look at the next elements.
    pub(super) fn make_suggestions(&mut self, now: Time) {
        if !self.is_serving() {
            return;
        }
        let candidates = self.candidates(now);
        let next = match candidates.is_empty() {
            true => now + self.suggestion_pause(),
            false => self.look_through(now, &candidates),
        };
        self.deadlines.arm(Deadline::Suggestion, next);
    }

    /// The registrars that have been there for long enough, and how to reach them. Anybody can say
    /// that he is a registrar: where the operator has named some, none but these, and whom they told
    /// of, get elements.
    fn candidates(&self, now: Time) -> Vec<(RegistrarId, Peer)> {
        let pause = self.suggestion_pause();
        let steady = self.peers.iter().filter(|(id, peer)| {
            peer.met
                && peer.status == Status::Active
                && now >= peer.alive_since + pause
                && self.is_believed(**id)
        });
        let reached = steady.filter_map(|(&id, peer)| Some((id, *peer.links.first()?)));
        // Who takes less than it is sent gets nothing to do.
        reached.filter(|(_, link)| !self.is_congested(*link)).collect()
    }

    /// Looks at the next elements; when to go on.
    fn look_through(&mut self, now: Time, candidates: &[(RegistrarId, Peer)]) -> Time {
        let own = self.supervised.after(self.suggesting.cursor).map(|(index, _)| index);
        let own: Vec<ElementIndex> = own.take(LOOKED_AT_MAX).collect();
        let is_end = own.len() < LOOKED_AT_MAX;
        for index in own {
            if let Err(at) = self.suggest_where_better(now, index, candidates) {
                return at;
            }
            self.suggesting.cursor = Some(index);
        }
        if is_end {
            self.suggesting.cursor = None;
            self.suggesting.forget_old(now);
        }
        let ticks = self.supervised.len().div_ceil(LOOKED_AT_MAX).max(1);
        let tick = self.suggestion_pause() / u32::try_from(ticks).unwrap_or(u32::MAX);
        now + tick.max(TICK_MIN)
    }

    /// Suggests an element to the one that is best for it, where that is another one.
    ///
    /// # Errors
    ///
    /// When the pace allows it.
    fn suggest_where_better(
        &mut self,
        now: Time,
        index: ElementIndex,
        candidates: &[(RegistrarId, Peer)],
    ) -> Result<(), Time> {
        let Some(view) = self.handlespace.element(index) else { return Ok(()) };
        let id = view.element.id;
        let best = candidates.iter().max_by_key(|(registrar, _)| aptitude(*registrar, id));
        let better = best.filter(|(best, _)| aptitude(*best, id) > aptitude(self.id, id));
        let Some(&(_, link)) = better.filter(|_| self.can_be_asked_by_others(index)) else {
            return Ok(());
        };
        let element = (view.handle.clone(), id);
        let shortest = self.suggestion_pause();
        let Some(pause) = self.suggesting.next_pause(now, &element, shortest) else {
            return Ok(());
        };
        self.suggesting.pace.take(now)?;
        self.suggesting.tried.insert(element, Tried { at: now, pause });
        self.suggest(index, link);
        Ok(())
    }

    /// Who registered over TCP cannot be dialed, and who is being asked itself is left alone.
    fn can_be_asked_by_others(&self, index: ElementIndex) -> bool {
        let association = self.supervised.get(index).and_then(|s| s.association);
        let association = association.and_then(|peer| self.associations.get(&peer));
        association.is_some_and(|association| association.link.carrier == Carrier::Sctp)
            && !self.adopting.contains(index)
    }

    /// Tells an element to the registrar at the other end of a link, with the T flag. False where
    /// there is no such element, or it is none for that one.
    pub(super) fn suggest(&mut self, index: ElementIndex, link: Peer) -> bool {
        let Some(view) = self.handlespace.element(index) else { return false };
        if !self.may_be_told(index, link) {
            return false;
        }
        let (handle, element) = (view.handle.clone(), as_told(view.element, self.reach_of(link)));
        let action = UpdateAction::AddElement;
        let update = Update { takeover_suggested: true, action, handle, element };
        self.stats.suggestions_sent += 1;
        self.send_enrp(link, Body::Update(update));
        true
    }

    /// True where an element may be about to leave its association here for another registrar: some
    /// elements end the old one before the new home has said anything.
    pub(super) fn is_on_its_way(&self, now: Time, index: ElementIndex) -> bool {
        let Some(view) = self.handlespace.element(index) else { return false };
        if self.suggesting.tried.is_empty() || !self.is_serving() {
            return false;
        }
        let tried = self.suggesting.tried.get(&(view.handle.clone(), view.element.id));
        tried.is_some_and(|tried| now < tried.at + self.config.adoption_grace)
    }
}
