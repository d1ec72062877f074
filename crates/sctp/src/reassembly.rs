//! Puts messages together from their fragments (RFC 9260 §6.9), in whatever order these arrive.
//!
//! A sender numbers the fragments of a message one after the other. So what has arrived of one
//! message is kept as runs of neighbours; each fragment begins a run, or makes one or two longer, at
//! a cost that does not grow with what is there already.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::chunk::{BEGINS, Data, ENDS, UNORDERED};
use crate::config::{FRAGMENT_OVERHEAD, FRAGMENTS_MAX};
use crate::receive::Violation;

/// A message that is whole.
#[derive(Debug)]
pub(crate) struct Whole {
    /// The TSN of its last fragment.
    pub(crate) last: u64,
    pub(crate) stream: u16,
    pub(crate) number: u16,
    pub(crate) ppid: u32,
    pub(crate) unordered: bool,
    pub(crate) octets: Vec<u8>,
}

/// Fragments of one message with no gap between them.
#[derive(Debug)]
struct Run {
    last: u64,
    begins: bool,
    ends: bool,
    stream: u16,
    number: u16,
    ppid: u32,
    unordered: bool,
    parts: VecDeque<Vec<u8>>,
    octets: usize,
    fragments: usize,
    since: Duration,
}

impl Run {
    fn new(tsn: u64, data: &Data<'_>, now: Duration) -> Self {
        Self {
            last: tsn,
            begins: data.flags & BEGINS != 0,
            ends: data.flags & ENDS != 0,
            stream: data.stream,
            number: data.number,
            ppid: data.ppid,
            unordered: data.flags & UNORDERED != 0,
            parts: VecDeque::new(),
            octets: data.payload.len(),
            fragments: 1,
            since: now,
        }
    }

    fn is_of(&self, data: &Data<'_>) -> bool {
        self.stream == data.stream
            && self.unordered == (data.flags & UNORDERED != 0)
            && (self.unordered || self.number == data.number)
    }

    /// Takes over what another run says of the message, which goes on in this one.
    fn extend(&mut self, other: &Self) {
        self.last = other.last;
        self.ends = other.ends;
        self.octets += other.octets;
        self.fragments += other.fragments;
        self.since = self.since.min(other.since);
    }

    fn into_whole(mut self) -> Whole {
        let first = self.parts.pop_front().unwrap_or_default();
        let octets = if self.parts.is_empty() {
            first
        } else {
            let mut octets = Vec::with_capacity(self.octets);
            octets.extend_from_slice(&first);
            self.parts.iter().for_each(|part| octets.extend_from_slice(part));
            octets
        };
        Whole {
            last: self.last,
            stream: self.stream,
            number: self.number,
            ppid: self.ppid,
            unordered: self.unordered,
            octets,
        }
    }
}

/// What is there of messages that are not whole.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    /// By their first TSN.
    runs: BTreeMap<u64, Run>,
    octets: usize,
    fragments: usize,
}

impl Reassembly {
    /// Takes a fragment that was not there before. `arrived` says whether a TSN has arrived.
    pub(crate) fn take(
        &mut self,
        tsn: u64,
        data: &Data<'_>,
        message_max: usize,
        now: Duration,
        arrived: impl Fn(u64) -> bool,
    ) -> Result<Option<Whole>, Violation> {
        let (begins, ends) = (data.flags & BEGINS != 0, data.flags & ENDS != 0);
        let before = self.runs.range(..tsn).next_back().filter(|(_, run)| run.last + 1 == tsn);
        let before = before.map(|(first, run)| (*first, run));
        let after = self.runs.get(&(tsn + 1));
        let joins = before.is_some_and(|(_, run)| !begins && !run.ends && run.is_of(data));
        let goes_on = after.is_some_and(|run| !ends && !run.begins && run.is_of(data));
        let fits_before = match before {
            Some((_, run)) => joins || (begins && run.ends),
            None => begins || !arrived(tsn - 1),
        };
        let fits_after = match after {
            Some(run) => goes_on || (ends && run.begins),
            None => ends || !arrived(tsn + 1),
        };
        if !fits_before || !fits_after {
            return Err(Violation("a fragment does not fit its neighbours"));
        }
        let first = before.filter(|_| joins).map(|(first, _)| first);
        let run = Run::new(tsn, data, now);
        if begins && ends {
            if run.octets > message_max {
                return Err(Violation("a message is too long"));
            }
            return Ok(Some(Whole { octets: data.payload.to_vec(), ..run.into_whole() }));
        }
        self.octets += data.payload.len();
        self.fragments += 1;
        let first = self.insert(tsn, first, goes_on, run, data.payload);
        self.finish(first, message_max)
    }

    /// Puts a fragment into the run that begins at `first`, or one of its own, and joins the run
    /// behind it. Returns where the run begins.
    fn insert(
        &mut self,
        tsn: u64,
        first: Option<u64>,
        goes_on: bool,
        mut own: Run,
        payload: &[u8],
    ) -> u64 {
        let after = if goes_on { self.runs.remove(&(tsn + 1)) } else { None };
        let Some(first) = first else {
            own.parts.push_back(Vec::new());
            if let Some(after) = after {
                own.extend(&after);
                own.parts = after.parts;
                own.parts.push_front(Vec::new());
            }
            if let Some(part) = own.parts.front_mut() {
                part.extend_from_slice(payload);
            }
            self.runs.insert(tsn, own);
            return tsn;
        };
        if let Some(run) = self.runs.get_mut(&first) {
            run.extend(&own);
            // What comes in order grows one piece.
            match run.parts.back_mut() {
                Some(part) => part.extend_from_slice(payload),
                None => run.parts.push_back(payload.to_vec()),
            }
            if let Some(mut after) = after {
                run.extend(&after);
                // The shorter list moves.
                if after.parts.len() < run.parts.len() {
                    run.parts.append(&mut after.parts);
                } else {
                    while let Some(part) = run.parts.pop_back() {
                        after.parts.push_front(part);
                    }
                    run.parts = after.parts;
                }
            }
        }
        first
    }

    /// Takes the run that begins at `first` out where it is a whole message.
    fn finish(&mut self, first: u64, message_max: usize) -> Result<Option<Whole>, Violation> {
        let Some(run) = self.runs.get(&first) else { return Ok(None) };
        let is_whole = run.begins && run.ends;
        if run.octets > message_max || (run.fragments > FRAGMENTS_MAX && !is_whole) {
            return Err(Violation("a message is too long"));
        }
        if !is_whole {
            return Ok(None);
        }
        let Some(run) = self.runs.remove(&first) else { return Ok(None) };
        self.octets -= run.octets;
        self.fragments -= run.fragments;
        Ok(Some(run.into_whole()))
    }

    /// What the fragments count for, in octets.
    pub(crate) fn cost(&self) -> usize {
        self.octets + FRAGMENT_OVERHEAD * self.fragments
    }

    /// Since when the message is incomplete that goes on behind `cumulative`.
    pub(crate) fn open_since(&self, cumulative: u64) -> Option<Duration> {
        let (first, run) = self.runs.first_key_value()?;
        (*first <= cumulative).then_some(run.since)
    }

    /// Whether the sums are right.
    pub(crate) fn is_right(&self) -> bool {
        let sum = |of: fn(&Run) -> usize| self.runs.values().map(of).sum::<usize>();
        let parts = sum(|run| run.parts.iter().map(Vec::len).sum());
        sum(|run| run.octets) == self.octets
            && parts == self.octets
            && sum(|run| run.fragments) == self.fragments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds fragments of one message of `count` in this order; how many messages came out, and
    /// whether it is right.
    fn feed(order: &[u64], count: u64) -> Option<Vec<u8>> {
        let mut reassembly = Reassembly::default();
        let mut arrived = vec![99];
        let mut out = None;
        for tsn in order {
            let flags = if *tsn == 100 { BEGINS } else { 0 } | u8::from(*tsn == 99 + count);
            let payload = [u8::try_from(tsn - 99).unwrap()];
            let data = Data { flags, tsn: 0, stream: 1, number: 2, ppid: 3, payload: &payload };
            let whole =
                reassembly.take(*tsn, &data, 1000, Duration::ZERO, |t| arrived.contains(&t));
            arrived.push(*tsn);
            let whole = whole.unwrap();
            out = out.or(whole);
            assert!(reassembly.is_right());
        }
        assert_eq!(
            reassembly.cost(),
            if out.is_some() { 0 } else { 64 * order.len() + order.len() }
        );
        out.map(|whole| whole.octets)
    }

    #[test]
    fn every_order_of_fragments_makes_the_same_message() {
        let expected: Vec<u8> = (1..=5).collect();
        for n in 0..120_u64 {
            // The nth permutation.
            let (mut left, mut order, mut n) = ((100..105).collect::<Vec<u64>>(), Vec::new(), n);
            for size in (1..=5).rev() {
                order.push(left.remove(usize::try_from(n % size).unwrap()));
                n /= size;
            }
            assert_eq!(feed(&order[..4], 5), None, "{order:?}");
            assert_eq!(feed(&order, 5), Some(expected.clone()), "{order:?}");
        }
    }

    #[test]
    fn what_does_not_fit_its_neighbours_breaks_a_rule() {
        let fits = |there: (u64, u8, u16), comes: (u64, u8, u16)| {
            let mut reassembly = Reassembly::default();
            let data = |flags, number| Data {
                flags,
                tsn: 0,
                stream: 0,
                number,
                ppid: 0,
                payload: b"x".as_slice(),
            };
            let known = |tsn: u64| tsn == there.0 || tsn <= 9;
            let first = data(there.1, there.2);
            reassembly.take(there.0, &first, 9, Duration::ZERO, |t| t <= 9).unwrap();
            reassembly.take(comes.0, &data(comes.1, comes.2), 9, Duration::ZERO, known).is_ok()
        };
        assert!(fits((10, BEGINS, 0), (11, ENDS, 0)));
        assert!(fits((10, BEGINS | ENDS, 0), (11, BEGINS, 1)));
        assert!(!fits((10, BEGINS, 0), (11, BEGINS, 1)), "the first one is not whole");
        assert!(!fits((10, BEGINS, 0), (11, ENDS, 1)), "of another message");
        assert!(!fits((10, BEGINS, 0), (11, ENDS | UNORDERED, 0)));
        assert!(!fits((10, BEGINS | ENDS, 0), (11, 0, 0)), "nothing begins");
        assert!(!fits((12, 0, 0), (11, ENDS, 0)), "nothing goes on");
        assert!(!fits((12, BEGINS, 0), (11, 0, 0)), "nothing ends");
        assert!(fits((12, BEGINS, 1), (11, ENDS, 0)));
        assert!(!fits((12, BEGINS, 1), (10, ENDS, 0)), "after a whole one something begins");
    }
}
