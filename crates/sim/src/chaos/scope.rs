//! What is unusual about the scope of a world. Drawn apart from all else, so that a world without
//! anything unusual stays what it is.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rserpool_proto::dialect::Dialect;
use rserpool_proto::registrar;
use rserpool_wire::param::RegistrarId;

use crate::hostile::Kind;

/// What is unusual about a scope.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// Who speaks as rsplib does.
    pub(super) rsplib: Speakers,
    /// Registrars know of each other from announces only.
    pub(super) is_announced_only: bool,
    /// Two registrars have this identifier.
    pub(super) duplicate_ids: Option<RegistrarId>,
    /// Registrars suggest takeovers, with this pause.
    suggestion_pause: Option<Duration>,
    /// Very many elements share few associations: so many each.
    pub(super) crowds: Vec<u32>,
    /// Who means no good.
    pub(super) hostile: Vec<Kind>,
}

/// Who speaks as rsplib does. Where anyone does, elements do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Speakers {
    #[default]
    Nobody,
    /// Every other registrar: the rest was set up without care.
    Some,
    All,
}

/// Hostile nodes that honest ones have to put up with.
const PLAYED: &[Kind] = &Kind::ALL;

/// Shares of the worlds.
const RSPLIB: f64 = 0.15;
const ANNOUNCED_ONLY: f64 = 0.1;
const TWINS: f64 = 0.05;
const SUGGESTION: f64 = 0.25;
const CROWDED: f64 = 0.06;
const HOSTILE: f64 = 0.1;

/// Makes what is drawn here another thing than the rest of a world.
const APART: u64 = 0x5343_4f50_4520_2121;

impl Scope {
    /// The scope of the world of a seed, in which faults are noticed within about `pace`.
    pub(super) fn draw(seed: u64, pace: Duration) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ APART);
        let rsplib = match (rng.random_bool(RSPLIB), rng.random_bool(0.5)) {
            (true, true) => Speakers::Some,
            (true, false) => Speakers::All,
            (false, _) => Speakers::Nobody,
        };
        let duplicate_ids = RegistrarId::new(rng.random()).filter(|_| rng.random_bool(TWINS));
        let pause = pace.mul_f64(rng.random_range(0.02..=0.2));
        let is_announced_only = rng.random_bool(ANNOUNCED_ONLY);
        let suggestion_pause = rng.random_bool(SUGGESTION).then_some(pause);
        let crowds = if rng.random_bool(CROWDED) { rng.random_range(1..=3) } else { 0 };
        let crowds = (0..crowds).map(|_| rng.random_range(10..=100)).collect();
        let is_hostile = rng.random_bool(HOSTILE);
        let count = rng.random_range(1..=3);
        let hostile = (0..count).filter_map(|_| PLAYED.choose(&mut rng).copied());

        let hostile: Vec<Kind> = hostile.filter(|_| is_hostile).collect();
        // Whose identifiers are given cannot draw another one.
        let duplicate_ids = duplicate_ids.filter(|_| hostile.is_empty());
        Self { rsplib, is_announced_only, duplicate_ids, suggestion_pause, crowds, hostile }
    }

    /// How elements speak.
    pub(super) fn dialect(&self) -> Dialect {
        match self.rsplib {
            Speakers::Nobody => Dialect::Rfc,
            Speakers::Some | Speakers::All => Dialect::Rsplib,
        }
    }

    /// Makes a registrar one of this scope; they are numbered from 0.
    pub(super) fn apply(&self, number: usize, config: &mut registrar::Config) {
        config.dialect = match self.rsplib {
            Speakers::Some if number.is_multiple_of(2) => Dialect::Rfc,
            _ => self.dialect(),
        };
        if self.duplicate_ids.is_some() && number < 2 {
            config.id = self.duplicate_ids;
        }
        if let Some(pause) = self.suggestion_pause {
            config.takeover_suggestion = true;
            config.suggestion_pause = pause;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_scopes_are_unusual_in_each_way_and_most_in_none() {
        let scopes: Vec<Scope> =
            (0..2000).map(|seed| Scope::draw(seed, Duration::from_secs(1))).collect();
        let count = |is: fn(&&Scope) -> bool| scopes.iter().filter(is).count();
        assert!((100..200).contains(&count(|scope| scope.rsplib == Speakers::Some)));
        assert!((100..200).contains(&count(|scope| scope.rsplib == Speakers::All)));
        assert!((150..250).contains(&count(|scope| scope.is_announced_only)));
        assert!((60..140).contains(&count(|scope| scope.duplicate_ids.is_some())));
        assert!((420..580).contains(&count(|scope| scope.suggestion_pause.is_some())));
        assert!((150..250).contains(&count(|scope| !scope.hostile.is_empty())));
        assert!((80..160).contains(&count(|scope| !scope.crowds.is_empty())));
        let usual = count(|scope| {
            let knows = scope.rsplib == Speakers::Nobody && !scope.is_announced_only;
            knows && scope.duplicate_ids.is_none() && scope.suggestion_pause.is_none()
        });
        assert!((900..1300).contains(&usual), "{usual}");
    }

    #[test]
    fn twins_have_one_identifier_and_others_do_not() {
        let duplicate_ids = RegistrarId::new(7);
        let scope = Scope { duplicate_ids, ..Scope::default() };
        let ids: Vec<_> = (0..4)
            .map(|number| {
                let mut config = registrar::Config::default();
                scope.apply(number, &mut config);
                config.id
            })
            .collect();
        assert_eq!(ids, [duplicate_ids, duplicate_ids, None, None]);
    }
}
