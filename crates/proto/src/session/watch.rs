//! Whether the server of a session still lives: keep-alives within the session.

use std::time::Duration;

use crate::time::Time;

/// How a user notices that the server of its session is silent.
///
/// It asks with ENDPOINT_KEEP_ALIVE on the control channel, as a registrar does, but with server
/// identifier 0. That is our extension; a server that has never answered one is left alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeepAlive {
    /// The server is asked when it was not heard of for so long, and once at the beginning in any
    /// case. Default: 500 ms.
    pub interval: Duration,
    /// It has failed when it was not heard of for so long. At least two intervals count, so that
    /// it was asked and had time to answer. Default: 1.5 s.
    pub deadline: Duration,
}

impl KeepAlive {
    /// Asks after silence of `interval`, and waits for `deadline`.
    pub const fn new(interval: Duration, deadline: Duration) -> Self {
        Self { interval, deadline }
    }
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { interval: Duration::from_millis(500), deadline: Duration::from_millis(1500) }
    }
}

/// A server that does not answer is asked ever less often: after one interval, two, four and so on,
/// as often as this.
const DOUBLINGS_MAX: u32 = 6;

/// The state of the supervision of one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    interval: Duration,
    deadline: Duration,
    heard: Time,
    asked: Time,
    /// Questions since the server was last heard of.
    open: u32,
    /// Questions while it was not known whether it knows these keep-alives.
    tries: u32,
    /// It knows them.
    answers: bool,
}

/// What is to be done at a point in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Nothing,
    /// Ask it.
    Ask,
    /// It has failed.
    Silent,
}

impl Watch {
    /// The supervision of a server that was just connected to. One that is not known to answer is
    /// asked at once, so that it is known before it can fail; whoever calls this does that.
    pub(super) fn new(keep_alive: KeepAlive, now: Time, answers: bool) -> Self {
        let interval = keep_alive.interval.max(Duration::from_millis(1));
        let deadline = keep_alive.deadline.max(interval * 2);
        let asked = u32::from(!answers);
        Self { interval, deadline, heard: now, asked: now, open: asked, tries: asked, answers }
    }

    /// The server sent something.
    pub(super) fn heard(&mut self, now: Time) {
        self.heard = now;
        self.open = 0;
    }

    /// The server answered a keep-alive.
    pub(super) fn answered(&mut self, now: Time) {
        self.heard(now);
        self.answers = true;
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        if !self.answers {
            // One that talks all the time is asked, too: only who has answered is missed later.
            let doublings = self.tries.saturating_sub(1).min(DOUBLINGS_MAX);
            return Some(self.asked + self.interval * (1 << doublings));
        }
        let ask = self.heard.max(self.asked) + self.interval;
        Some(ask.min(self.heard + self.deadline))
    }

    pub(super) fn timeout(&mut self, now: Time) -> Verdict {
        let Some(due) = self.next_timeout().filter(|&due| due <= now) else {
            return Verdict::Nothing;
        };
        if now - due > self.interval {
            // It was this process that was held up: what the server sent may wait to be read.
            self.heard = self.heard + (now - due);
        }
        if self.answers && self.open > 0 && now - self.heard >= self.deadline {
            return Verdict::Silent;
        }
        self.asked = now;
        self.open += 1;
        self.tries = self.tries.saturating_add(u32::from(!self.answers));
        Verdict::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP_ALIVE: KeepAlive =
        KeepAlive { interval: Duration::from_millis(50), deadline: Duration::from_millis(150) };

    fn at(millis: u64) -> Time {
        Time::from_origin(Duration::from_millis(millis))
    }

    #[test]
    fn a_silent_server_has_failed_when_the_deadline_is_over() {
        let mut watch = Watch::new(KEEP_ALIVE, at(0), false);
        assert_eq!(watch.next_timeout(), Some(at(50)));
        assert_eq!(watch.timeout(at(49)), Verdict::Nothing);
        assert_eq!(watch.timeout(at(50)), Verdict::Ask);
        watch.answered(at(51));
        assert_eq!(watch.next_timeout(), Some(at(101)));
        assert_eq!(watch.timeout(at(101)), Verdict::Ask);
        assert_eq!(watch.timeout(at(151)), Verdict::Ask);
        assert_eq!(watch.next_timeout(), Some(at(201)));
        assert_eq!(watch.timeout(at(201)), Verdict::Silent);
    }

    #[test]
    fn a_server_that_is_known_to_answer_and_never_says_anything_has_failed() {
        let mut watch = Watch::new(KEEP_ALIVE, at(0), true);
        assert_eq!(watch.timeout(at(50)), Verdict::Ask);
        assert_eq!(watch.timeout(at(100)), Verdict::Ask);
        assert_eq!(watch.timeout(at(150)), Verdict::Silent);
    }

    #[test]
    fn a_server_that_talks_is_not_asked_once_it_has_answered() {
        let mut watch = Watch::new(KEEP_ALIVE, at(0), false);
        watch.answered(at(0));
        for millis in (0..1_000).step_by(49) {
            assert_eq!(watch.timeout(at(millis)), Verdict::Nothing);
            watch.heard(at(millis));
        }
    }

    #[test]
    fn a_server_that_talks_and_falls_silent_has_failed_too() {
        let mut watch = Watch::new(KEEP_ALIVE, at(0), false);
        for millis in (0..50).step_by(10) {
            watch.heard(at(millis));
        }
        // Whether it knows keep-alives has to be found out while it lives.
        assert_eq!(watch.timeout(at(50)), Verdict::Ask);
        watch.answered(at(51));
        for millis in (60..=500).step_by(10) {
            assert_eq!(watch.timeout(at(millis)), Verdict::Nothing);
            watch.heard(at(millis));
        }
        assert_eq!(watch.timeout(at(550)), Verdict::Ask);
        assert_eq!(watch.timeout(at(600)), Verdict::Ask);
        assert_eq!(watch.timeout(at(650)), Verdict::Silent);
    }

    #[test]
    fn a_server_that_knows_no_keep_alives_is_asked_ever_less_often_and_left_alone() {
        for talks in [false, true] {
            let mut watch = Watch::new(KEEP_ALIVE, at(0), false);
            let mut asked = Vec::new();
            for millis in 0..10_000 {
                match watch.timeout(at(millis)) {
                    Verdict::Nothing => {}
                    Verdict::Ask => asked.push(millis),
                    Verdict::Silent => panic!("at {millis}"),
                }
                if talks {
                    watch.heard(at(millis));
                }
            }
            assert_eq!(asked, [50, 150, 350, 750, 1_550, 3_150, 6_350, 9_550]);
        }
    }

    #[test]
    fn who_was_held_up_itself_blames_nobody() {
        let mut watch = Watch::new(KEEP_ALIVE, at(0), false);
        assert_eq!(watch.timeout(at(50)), Verdict::Ask);
        watch.answered(at(51));
        assert_eq!(watch.timeout(at(101)), Verdict::Ask);
        // Frozen for five seconds.
        assert_eq!(watch.timeout(at(5_151)), Verdict::Ask);
        assert_eq!(watch.timeout(at(5_201)), Verdict::Silent);
    }

    #[test]
    fn the_shortest_deadline_leaves_time_for_an_answer() {
        let hasty = KeepAlive { interval: Duration::ZERO, deadline: Duration::ZERO };
        let mut watch = Watch::new(hasty, at(0), false);
        assert_eq!(watch.timeout(at(1)), Verdict::Ask);
        watch.answered(at(1));
        assert_eq!(watch.timeout(at(2)), Verdict::Ask);
        assert_eq!(watch.timeout(at(3)), Verdict::Silent);
    }
}
