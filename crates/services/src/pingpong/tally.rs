//! What a client of ping-pong finds out: whether anything was lost or done twice.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// The questions of a session and their answers, over all servers.
///
/// A server's reply numbers go up by one. After a failover some may be missing: those of answers
/// that died with the server, never more than there were questions without an answer.
#[derive(Debug, Default)]
pub struct Tally {
    next: u64,
    /// When each question without an answer was asked first.
    pending: BTreeMap<u64, Instant>,
    last_reply: Option<u64>,
    /// The server of the moment got the state, and has not answered yet.
    is_resuming: bool,
    /// Numbers that may be missing after failovers.
    excused: u64,
    latencies: Vec<Duration>,
    /// Counts for the summary.
    pub counts: Counts,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Counts {
    /// Questions asked.
    pub sent: u64,
    /// Questions answered.
    pub answered: u64,
    /// Questions asked again after a failover.
    pub resent: u64,
    /// Questions without an answer at the end.
    pub lost: u64,
    /// Second answers to one question.
    pub duplicates: u64,
    /// Reply numbers that were there before: the next server did not know the state.
    pub repeats: u64,
    /// Missing reply numbers that no failover excuses.
    pub gaps: u64,
    /// Failovers.
    pub failovers: u64,
    /// Of these, without a state for the next server.
    pub restarts: u64,
}

/// What an answer was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The answer to an open question, after so long.
    Answered(Duration),
    /// To a question that has its answer, or was never asked.
    Dropped,
}

impl Tally {
    /// The next question's number.
    pub fn ask(&mut self, now: Instant) -> u64 {
        self.next += 1;
        self.counts.sent += 1;
        self.pending.insert(self.next, now);
        self.next
    }

    /// Takes an answer.
    pub fn answer(&mut self, now: Instant, message: u64, reply: u64) -> Verdict {
        self.is_resuming = false;
        match self.last_reply {
            Some(last) if reply <= last => self.counts.repeats += 1,
            Some(last) => {
                let missing = reply - last - 1;
                self.counts.gaps += missing.saturating_sub(self.excused);
                self.excused = self.excused.saturating_sub(missing);
                self.last_reply = Some(reply);
            }
            None => self.last_reply = Some(reply),
        }
        let Some(asked) = self.pending.remove(&message) else {
            self.counts.duplicates += 1;
            return Verdict::Dropped;
        };
        let latency = now - asked;
        self.counts.answered += 1;
        self.latencies.push(latency);
        Verdict::Answered(latency)
    }

    /// Another server has the session: the questions to ask again.
    pub fn force_failover(&mut self, resumed: bool) -> impl Iterator<Item = u64> {
        self.counts.failovers += 1;
        self.is_resuming = resumed && self.last_reply.is_some();
        if resumed {
            self.excused += self.pending.len() as u64;
        } else {
            // Its count begins anew; that is what the restart is counted for.
            self.counts.restarts += u64::from(self.last_reply.is_some());
            self.last_reply = None;
        }
        self.counts.resent += self.pending.len() as u64;
        self.pending.keys().copied()
    }

    /// The server that got the state did not take it: before its first answer is taken. False where
    /// none was to be taken.
    pub fn begin_anew(&mut self) -> bool {
        let is_resuming = std::mem::take(&mut self.is_resuming);
        if is_resuming {
            self.counts.restarts += 1;
            // It numbers its replies from the start again.
            self.counts.repeats += 1;
            self.last_reply = None;
            self.excused = 0;
        }
        is_resuming
    }

    /// When the oldest question without an answer was asked.
    pub fn oldest(&self) -> Option<Instant> {
        self.pending.values().min().copied()
    }

    /// True where every question has its answer.
    pub fn is_quiet(&self) -> bool {
        self.pending.is_empty()
    }

    /// Ends it: what has no answer by now is lost.
    pub fn close(&mut self) {
        self.counts.lost = self.pending.len() as u64;
    }

    /// The answers' median, 99th percentile and maximum; `None` without any.
    pub fn latencies(&mut self) -> Option<[Duration; 3]> {
        self.latencies.sort_unstable();
        let last = self.latencies.len().checked_sub(1)?;
        Some([last / 2, last * 99 / 100, last].map(|rank| self.latencies[rank]))
    }
}

impl Counts {
    /// True where nothing was lost or done twice.
    pub fn is_clean(&self) -> bool {
        [self.lost, self.duplicates, self.repeats, self.gaps, self.restarts] == [0; 5]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(count: u64) -> (Tally, Instant) {
        let now = Instant::now();
        let mut tally = Tally::default();
        for number in 1..=count {
            assert_eq!(tally.ask(now), number);
        }
        (tally, now)
    }

    #[test]
    fn a_session_without_failures_is_clean() {
        let (mut tally, start) = asked(3);
        for number in 1..=3 {
            let now = start + Duration::from_millis(number);
            let latency = Duration::from_millis(number);
            assert_eq!(tally.answer(now, number, number), Verdict::Answered(latency));
        }
        assert!(tally.is_quiet());
        tally.close();
        assert!(tally.counts.is_clean());
        assert_eq!(tally.latencies(), Some([2, 2, 3].map(Duration::from_millis)));
    }

    #[test]
    fn answers_that_died_with_their_server_excuse_missing_numbers() {
        let (mut tally, now) = asked(4);
        tally.answer(now, 1, 1);
        assert_eq!(tally.force_failover(true).collect::<Vec<_>>(), [2, 3, 4]);
        tally.answer(now, 2, 4);
        assert_eq!((tally.counts.gaps, tally.counts.resent), (0, 3));
        // One of the three was left to be missing.
        tally.answer(now, 3, 8);
        assert_eq!(tally.counts.gaps, 2);
    }

    #[test]
    fn a_server_that_does_not_know_the_state_repeats_numbers() {
        let (mut tally, now) = asked(3);
        tally.answer(now, 1, 1);
        tally.answer(now, 2, 2);
        tally.force_failover(true).for_each(drop);
        tally.answer(now, 3, 2);
        assert_eq!(tally.counts.repeats, 1);
        assert!(!tally.counts.is_clean());
    }

    #[test]
    fn a_session_that_begins_anew_is_said_to() {
        let (mut tally, now) = asked(2);
        tally.answer(now, 1, 7);
        tally.force_failover(false).for_each(drop);
        tally.answer(now, 2, 1);
        let Counts { restarts, repeats, gaps, .. } = tally.counts;
        assert_eq!((restarts, repeats, gaps), (1, 0, 0));
    }

    #[test]
    fn a_server_that_refuses_the_state_begins_anew_and_that_is_counted() {
        let (mut tally, now) = asked(3);
        tally.answer(now, 1, 7);
        assert!(!tally.begin_anew());
        tally.force_failover(true).for_each(drop);
        assert!(tally.begin_anew());
        tally.answer(now, 2, 1);
        assert!(!tally.begin_anew());
        tally.answer(now, 3, 2);
        let Counts { restarts, repeats, gaps, failovers, .. } = tally.counts;
        assert_eq!((restarts, repeats, gaps, failovers), (1, 1, 0, 1));
        assert!(!tally.counts.is_clean());
    }

    #[test]
    fn second_answers_and_missing_ones_are_counted() {
        let (mut tally, now) = asked(2);
        tally.answer(now, 1, 1);
        assert_eq!(tally.answer(now, 1, 2), Verdict::Dropped);
        tally.close();
        assert_eq!((tally.counts.duplicates, tally.counts.lost), (1, 1));
    }
}
