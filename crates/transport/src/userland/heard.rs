//! Up to when an endpoint has heard its peers: no timer expires before.

use std::time::Duration;

/// Datagrams that a socket can hold at most, with room to spare: who has read as many since some
/// moment has read everything that had arrived then, even if there is always more.
const HELD_MAX: usize = 16_384;

/// Up to when everything that arrived at a socket has been read. A peer is silent only as far as
/// that goes: what it sent may still wait here, because this task was busy.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    until: Duration,
    /// When the count began.
    since: Duration,
    read: usize,
}

impl Heard {
    /// One datagram was read at `now`.
    pub(super) fn one(&mut self, now: impl FnOnce() -> Duration) {
        self.read += 1;
        if self.read == HELD_MAX {
            *self = Self { until: self.since, since: now(), read: 0 };
        }
    }

    /// There was nothing more at `now`.
    pub(super) fn all(&mut self, now: Duration) {
        *self = Self { until: now, since: now, read: 0 };
    }

    /// What had arrived by then has been read.
    pub(super) fn until(&self) -> Duration {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_is_never_empty_is_heard_all_the_same() {
        let second = Duration::from_secs(1);
        let mut heard = Heard::default();
        heard.all(second);
        for _ in 1..HELD_MAX {
            heard.one(|| 2 * second);
        }
        assert_eq!(heard.until(), second);
        // What had arrived at 1 s is read now; what had arrived at 2 s after as many again.
        heard.one(|| 2 * second);
        assert_eq!(heard.until(), second);
        for _ in 0..HELD_MAX {
            heard.one(|| 3 * second);
        }
        assert_eq!(heard.until(), 2 * second);
        heard.all(5 * second);
        assert_eq!(heard.until(), 5 * second);
    }
}
