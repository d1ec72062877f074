//! What of DATA has arrived and is no whole message yet: how much of that one association may keep.
//!
//! The machine puts messages together, but it takes what a stranger sends up to a hundred thousand
//! TSNs ahead, at a cost that grows with the square where they come in descending order, and keeps
//! it for as long as the association lives. So every DATA chunk is looked at here first.
//!
//! A sender numbers the fragments of a message one after the other (RFC 9260 §6.9) and the messages
//! of a stream too (§6.6). So of what has arrived without a gap all is delivered but one message, the
//! one that goes on; that has a bound, and so has what may be ahead of a gap.

use std::collections::BTreeMap;
use std::time::Duration;

use super::packet::{STREAMS, half, word};

/// How far ahead of the first missing TSN DATA is taken: more than the receive window lets anybody
/// send in messages of 40 octets.
pub(super) const AHEAD_MAX: u32 = 4096;

/// Fragments of one message: the longest message of 1 MiB in pieces of 256 octets.
pub(super) const FRAGMENTS_MAX: usize = 4096;

/// How long a gap stays open, and how long a message may take from its first fragment to its last.
/// Senders repeat what is missing several times within that, or have given up.
pub(super) const AGE_MAX: Duration = Duration::from_secs(60);

/// Octets that the machine needs for one fragment besides its own, about.
const OVERHEAD: usize = 200;

/// Flags of a DATA chunk (RFC 9260 §3.3.1).
const ENDS: u8 = 1;
const BEGINS: u8 = 2;
const UNORDERED: u8 = 4;

/// What becomes of a DATA chunk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// The machine gets it; duplicates too, which it reports to the peer.
    Taken,
    /// It is dropped as if it had been lost: too far ahead.
    Far,
    /// It is dropped as if it had been lost: there is no room.
    NoRoom,
    /// No sender that keeps the rules sends this, or the message is too long.
    Violation,
}

/// What is kept for one association.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// All TSNs up to this one have arrived; extended to 64 bits, so that it never wraps.
    cumulative: u64,
    /// The next message of each stream.
    next: [u16; STREAMS as usize],
    /// The message that goes on at the next TSN.
    open: Option<Open>,
    /// What arrived behind a gap, by TSN.
    ahead: BTreeMap<u64, Fragment>,
    ahead_octets: usize,
    /// When the first gap opened, or last closed a little.
    gap_since: Duration,
}

#[derive(Debug)]
struct Open {
    fragment: Fragment,
    fragments: usize,
    octets: usize,
    since: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Fragment {
    flags: u8,
    stream: u16,
    number: u16,
    octets: u16,
}

impl Arrivals {
    /// Nothing has arrived yet; the peer begins with this TSN.
    pub(super) fn new(initial: u32) -> Self {
        Self {
            // Far enough from 0 to look back.
            cumulative: (1 << 32) + u64::from(initial) - 1,
            next: [0; STREAMS as usize],
            open: None,
            ahead: BTreeMap::new(),
            ahead_octets: 0,
            gap_since: Duration::ZERO,
        }
    }

    /// Takes note of a DATA chunk. `room` is how much [`cost`](Self::cost) may grow, `message_max`
    /// the longest message.
    pub(super) fn take(
        &mut self,
        chunk: &[u8],
        message_max: usize,
        room: impl FnOnce() -> usize,
        now: Duration,
    ) -> Verdict {
        let distance = word(chunk, 4).wrapping_sub(low(self.cumulative));
        if distance == 0 || distance > u32::MAX / 2 {
            return Verdict::Taken;
        }
        if distance > AHEAD_MAX {
            return Verdict::Far;
        }
        let tsn = self.cumulative + u64::from(distance);
        let fragment = Fragment {
            flags: chunk[1],
            stream: half(chunk, 8),
            number: half(chunk, 10),
            // The chunk's length, without its header of 16.
            octets: half(chunk, 2).saturating_sub(16),
        };
        let cost = OVERHEAD + usize::from(fragment.octets);
        if distance > 1 {
            if self.ahead.contains_key(&tsn) {
                return Verdict::Taken;
            }
            if room() < cost {
                return Verdict::NoRoom;
            }
            if self.ahead.is_empty() {
                self.gap_since = now;
            }
            self.ahead.insert(tsn, fragment);
            self.ahead_octets += usize::from(fragment.octets);
            return Verdict::Taken;
        }
        if fragment.flags & ENDS == 0 && room() < cost {
            return Verdict::NoRoom;
        }
        if self.advance(fragment, message_max, now) { Verdict::Taken } else { Verdict::Violation }
    }

    /// The next TSN is there, and perhaps those behind it were already. False where a rule is broken.
    fn advance(&mut self, fragment: Fragment, message_max: usize, now: Duration) -> bool {
        self.cumulative += 1;
        if !self.follow(fragment, message_max, now) {
            return false;
        }
        self.gap_since = now;
        while let Some(first) = self.ahead.first_entry() {
            if *first.key() != self.cumulative + 1 {
                break;
            }
            let fragment = first.remove();
            self.cumulative += 1;
            self.ahead_octets -= usize::from(fragment.octets);
            if !self.follow(fragment, message_max, now) {
                return false;
            }
        }
        true
    }

    /// One fragment follows on another. False where it cannot.
    fn follow(&mut self, fragment: Fragment, message_max: usize, now: Duration) -> bool {
        let (begins, ends) = (fragment.flags & BEGINS != 0, fragment.flags & ENDS != 0);
        let ordered = fragment.flags & UNORDERED == 0;
        let Some(next) = self.next.get_mut(usize::from(fragment.stream)) else { return false };
        let octets = usize::from(fragment.octets);
        let fits = match &mut self.open {
            None => begins && (!ordered || fragment.number == *next) && octets <= message_max,
            Some(open) => {
                open.fragments += 1;
                open.octets += octets;
                !begins
                    && open.fragment.stream == fragment.stream
                    && open.fragment.number == fragment.number
                    && (open.fragment.flags ^ fragment.flags) & UNORDERED == 0
                    && open.octets <= message_max
                    && (open.fragments <= FRAGMENTS_MAX || ends)
            }
        };
        if ends {
            self.open = None;
            if ordered {
                *next = next.wrapping_add(1);
            }
        } else if self.open.is_none() {
            self.open = Some(Open { fragment, fragments: 1, octets, since: now });
        }
        fits
    }

    /// Octets that the machine needs for what it keeps, about.
    pub(super) fn cost(&self) -> usize {
        let (fragments, octets) = self.open.as_ref().map_or((0, 0), |o| (o.fragments, o.octets));
        octets + self.ahead_octets + (fragments + self.ahead.len()) * OVERHEAD
    }

    /// True where the bounds are kept, and the sums are right.
    pub(super) fn is_bounded(&self) -> bool {
        let octets: usize = self.ahead.values().map(|fragment| usize::from(fragment.octets)).sum();
        let last = self.ahead.last_key_value().map_or(self.cumulative, |(tsn, _)| *tsn);
        octets == self.ahead_octets
            && last - self.cumulative <= u64::from(AHEAD_MAX)
            && self.open.as_ref().is_none_or(|open| open.fragments <= FRAGMENTS_MAX)
    }

    /// When what is kept gets too old; `None` where nothing is kept.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let gap = (!self.ahead.is_empty()).then_some(self.gap_since);
        let open = self.open.as_ref().map(|open| open.since);
        let oldest = gap.into_iter().chain(open).min()?;
        Some(oldest + AGE_MAX)
    }
}

fn low(tsn: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the number on the wire")]
    let low = tsn as u32;
    low
}
