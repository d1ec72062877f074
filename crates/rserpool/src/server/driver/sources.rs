//! How many sessions each source has, and which of them may be given up for others: those of which
//! nothing was heard yet.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use rserpool_transport::AssocId;
use tokio::time::Instant;

/// A session that has just begun is not given up for others: it had no time to say anything.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// The sessions by where their clients are.
#[derive(Debug)]
pub(super) struct Sources {
    sessions_max: usize,
    per_source_max: usize,
    sessions: usize,
    sources: BTreeMap<IpAddr, Source>,
}

#[derive(Debug, Default)]
struct Source {
    sessions: usize,
    /// Sessions of which nothing was heard and when they began, oldest first: names only grow.
    silent: BTreeMap<AssocId, Instant>,
}

impl Source {
    /// The oldest session of which nothing was heard, if it had time enough.
    fn given_up(&self, now: Instant) -> Option<AssocId> {
        let (assoc, since) = self.silent.first_key_value()?;
        (now.saturating_duration_since(*since) >= GRACE).then_some(*assoc)
    }
}

/// Whether a session may begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Admission {
    Admitted,
    /// After this one was ended.
    InPlaceOf(AssocId),
    Refused,
}

impl Sources {
    /// No sessions. `per_source_max` by default leaves an eighth for others.
    pub(super) fn new(sessions_max: usize, per_source_max: Option<usize>) -> Self {
        let per_source_max = per_source_max.unwrap_or(sessions_max - sessions_max / 8);
        Self { sessions_max, per_source_max, sessions: 0, sources: BTreeMap::new() }
    }

    /// Whether one more session of this source may begin; nothing has changed yet.
    pub(super) fn admit(&self, now: Instant, source: IpAddr) -> Admission {
        let own = self.sources.get(&source);
        let victim = if own.map_or(0, |own| own.sessions) >= self.per_source_max {
            own.and_then(|own| own.given_up(now))
        } else if self.sessions >= self.sessions_max {
            // Who has the most of them gives one up.
            let silent = self.sources.values().filter_map(|source| {
                source.given_up(now).map(|assoc| (source.silent.len(), assoc))
            });
            silent.max_by_key(|(count, _)| *count).map(|(_, assoc)| assoc)
        } else {
            return Admission::Admitted;
        };
        victim.map_or(Admission::Refused, Admission::InPlaceOf)
    }

    /// A session begins.
    pub(super) fn add(&mut self, now: Instant, source: IpAddr, assoc: AssocId) {
        let own = self.sources.entry(source).or_default();
        own.sessions += 1;
        own.silent.insert(assoc, now);
        self.sessions += 1;
    }

    /// Something was heard of a session.
    pub(super) fn heard(&mut self, source: IpAddr, assoc: AssocId) {
        if let Some(own) = self.sources.get_mut(&source) {
            own.silent.remove(&assoc);
        }
    }

    /// A session that was added has ended.
    pub(super) fn remove(&mut self, source: IpAddr, assoc: AssocId) {
        let Some(own) = self.sources.get_mut(&source) else { return };
        own.silent.remove(&assoc);
        own.sessions -= 1;
        self.sessions -= 1;
        if own.sessions == 0 {
            self.sources.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(octet: u8) -> IpAddr {
        [10, 0, 0, octet].into()
    }

    #[test]
    fn a_silent_session_makes_room_for_one_that_comes() {
        let now = Instant::now();
        let mut sources = Sources::new(4, Some(4));
        for number in 1..=4 {
            assert_eq!(sources.admit(now, source(1)), Admission::Admitted);
            sources.add(now, source(1), AssocId(number));
        }
        sources.heard(source(1), AssocId(1));
        for newcomer in [1, 2] {
            // They had no time to say anything yet.
            assert_eq!(sources.admit(now, source(newcomer)), Admission::Refused);
            assert_eq!(
                sources.admit(now + GRACE, source(newcomer)),
                Admission::InPlaceOf(AssocId(2))
            );
        }
        sources.remove(source(1), AssocId(2));
        assert_eq!(sources.admit(now, source(2)), Admission::Admitted);
    }

    #[test]
    fn one_that_was_heard_of_is_never_given_up() {
        let now = Instant::now();
        let mut sources = Sources::new(2, None);
        for number in 1..=2 {
            sources.add(now, source(1), AssocId(number));
            sources.heard(source(1), AssocId(number));
        }
        assert_eq!(sources.admit(now + GRACE, source(2)), Admission::Refused);
    }

    #[test]
    fn no_source_takes_what_is_left_for_others() {
        let now = Instant::now();
        let mut sources = Sources::new(16, None);
        let mut number = 0;
        while sources.admit(now, source(1)) == Admission::Admitted {
            number += 1;
            sources.add(now, source(1), AssocId(number));
            sources.heard(source(1), AssocId(number));
        }
        assert_eq!((number, sources.admit(now, source(1))), (14, Admission::Refused));
        assert_eq!(sources.admit(now, source(2)), Admission::Admitted);
    }

    #[test]
    fn the_source_with_the_most_silent_sessions_gives_one_up() {
        let now = Instant::now();
        let mut sources = Sources::new(4, None);
        for (number, octet) in (1..).zip([1, 2, 2, 3]) {
            sources.add(now, source(octet), AssocId(number));
        }
        assert_eq!(sources.admit(now + GRACE, source(4)), Admission::InPlaceOf(AssocId(2)));
        for (number, octet) in (1..).zip([1, 2, 2, 3]) {
            sources.remove(source(octet), AssocId(number));
        }
        assert!(sources.sources.is_empty() && sources.sessions == 0);
    }
}
