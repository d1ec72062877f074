//! What an element does when a registrar does not take it, or throws it out (RFC 5352 §3.1).
//!
//! | what a registrar says | a new element | one that was in the pool as it is |
//! |---|---|---|
//! | another element has its identifier | draws another one; a configured one stays out | draws another one; a configured one is tried again and again |
//! | it has no room, takes nobody, does not understand | tries the others; rejected by all, it stays out | tries the others, and all again, with pauses |
//! | the element does not fit | stays out | tries the others, and all again, with pauses |

use std::time::Duration;

use rand::RngExt;
use rserpool_wire::param::Cause;
use rserpool_wire::registry::CauseCode;

use super::{Event, Home, PoolElement, State, Timer, draw_id};
use crate::machine::{Output, Peer, Target};
use crate::time::Time;

/// The longest pause between two attempts to get an identifier that somebody else has, in times of
/// the first one.
const PAUSES_MAX: u32 = 32;

/// True where a DEREGISTRATION_RESPONSE nobody asked for says that the element is out, and not that
/// it stays in.
pub(super) fn is_out(causes: &[Cause]) -> bool {
    causes.is_empty() || is_taken(causes)
}

/// True where another element has the identifier.
pub(super) fn is_taken(causes: &[Cause]) -> bool {
    causes.iter().any(|cause| cause.code == CauseCode::NON_UNIQUE_PE_IDENTIFIER)
}

/// True where the element does not fit into the pool, wherever it registers.
fn is_the_elements(causes: &[Cause]) -> bool {
    causes.iter().any(|cause| {
        matches!(
            cause.code,
            CauseCode::UNRECOGNIZED_PARAMETER
                | CauseCode::INVALID_VALUES
                | CauseCode::INCONSISTENT_POLICY
                | CauseCode::INCONSISTENT_TRANSPORT
                | CauseCode::INCONSISTENT_TRANSPORT_USE
        )
    })
}

impl PoolElement {
    /// A registrar does not take it.
    pub(super) fn refused(&mut self, now: Time, home: Peer, causes: Vec<Cause>) {
        self.stats.rejected += 1;
        if is_taken(&causes) {
            return self.identifier_taken(now, home, causes);
        }
        let Some(by) = self.association(home).map(|it| it.home.clone()) else { return };
        let target = by.target.clone();
        self.refusals.retain(|earlier| earlier.target != target);
        self.refusals.push(by.clone());
        let refusing: Vec<&Target> =
            self.refusals.iter().filter_map(|home| home.target.as_ref()).collect();
        let is_by_all = self.hunt.are_all(&refusing);
        let was_in = self.established.as_ref() == Some(&self.told);
        if !was_in && (is_by_all || is_the_elements(&causes)) {
            let by = std::mem::take(&mut self.refusals);
            return self.rejected(causes, by);
        }
        self.outputs.push_back(Output::Event(Event::Refused { causes, by }));
        self.attempts = 0;
        self.hunt.avoid(target);
        self.associations.retain(|association| association.peer != home);
        self.outputs.push_back(Output::Close(home));
        self.lose_home(now);
    }

    /// Never tried again unchanged. What the registrar may still have of an earlier registration
    /// ends with the association.
    pub(super) fn rejected(&mut self, causes: Vec<Cause>, by: Vec<Home>) {
        self.answered();
        self.close_all();
        self.rest();
        self.outputs.push_back(Output::Event(Event::Rejected { causes, by }));
    }

    /// Another element has the identifier: the cause is fixed before the next attempt, or has time to
    /// pass.
    fn identifier_taken(&mut self, now: Time, home: Peer, causes: Vec<Cause>) {
        let Some(by) = self.association(home).map(|it| it.home.clone()) else { return };
        self.answered();
        self.entered = false;
        self.draws = self.draws.saturating_add(1);
        if self.has_fixed_id() && self.established.is_none() {
            return self.rejected(causes, vec![by]);
        }
        self.outputs.push_back(Output::Event(Event::IdTaken { id: self.id, by }));
        self.state = State::Registering { home };
        self.timers.disarm(Timer::Silence);
        if !self.has_fixed_id() {
            self.id = draw_id(&mut self.rng);
        }
        if !self.has_fixed_id() && self.draws <= self.config.registration_attempts_max {
            self.register(now, home);
        } else {
            self.timers.disarm(Timer::Registration);
            self.timers.disarm(Timer::Reregistration);
            let pause = self.pause_after(self.draws);
            self.timers.arm(Timer::Retry, now + pause);
        }
    }

    /// The registrar says that the element is out, because its registration ran out or because it
    /// is elsewhere.
    pub(super) fn expired(&mut self, now: Time, home: Peer, is_taken: bool) {
        self.stats.expired += 1;
        self.outputs.push_back(Output::Event(Event::Expired));
        self.entered = false;
        let pause = self.config.timing.registration_timeout;
        let stood = self.association(home).and_then(|a| a.liveness.accepted_for(now));
        let before = self.expired.replace(now);
        let is_repeated = before.is_some_and(|before| now - before < pause * 2 * PAUSES_MAX)
            && stood.is_some_and(|stood| stood < pause);
        self.evictions = if is_repeated { self.evictions.saturating_add(1) } else { 0 };
        // A renewal that is under way brings it back.
        let State::Registered { .. } = self.state else { return };
        if is_taken {
            return self.identifier_taken(now, home, Vec::new());
        }
        match self.evictions {
            // Once is no circle: two registrars that heard of each other's claim at the same time
            // have both let go, and others miss the element until it is back.
            0 => self.register(now, home),
            // A registrar that throws out at once what it has just accepted is not asked in a
            // circle.
            1 | 2 => self.timers.arm(Timer::Reregistration, now + pause),
            // Somebody else has the identifier elsewhere, and comes back as well.
            _ => {
                self.draws = if self.has_fixed_id() { self.evictions } else { 0 };
                self.identifier_taken(now, home, Vec::new());
            }
        }
    }

    fn has_fixed_id(&self) -> bool {
        self.config.id.is_some_and(|id| id.0 != 0)
    }

    /// How long it waits after so many attempts to get an identifier: at first until a dead element
    /// is found dead, then twice as long each time; not the same as everybody else.
    fn pause_after(&mut self, attempts: u32) -> Duration {
        let timing = &self.config.timing;
        let first = timing.keep_alive_interval + timing.keep_alive_timeout_cap;
        let times = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(PAUSES_MAX);
        let pause = first * times.min(PAUSES_MAX);
        pause.mul_f64(self.rng.random_range(1.0..=1.25))
    }
}
