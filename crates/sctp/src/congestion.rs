//! Congestion control of one path (RFC 9260 §7.2).

/// Octets of a SACK's worth that the window grows by at most while it starts slowly, in packets. RFC
/// 9260 §7.2.1 suggests 1 and allows more; one SACK answers a whole batch of packets here.
const GROWTH_MAX: usize = 8;

/// A congestion window, and what is on its way within it. Octets of user data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Congestion {
    /// How much may be on its way.
    pub(crate) window: usize,
    /// Above it, the window grows slowly.
    threshold: usize,
    /// What was acknowledged towards the next step of slow growth.
    partial: usize,
    /// What is on its way.
    pub(crate) flight: usize,
    /// The highest TSN that was on its way when a loss was noticed: until it is acknowledged, other
    /// losses belong to the same event (§7.2.4).
    recovery: Option<u32>,
    /// The first packet after a loss was noticed leaves whatever the window says.
    pub(crate) exempt: bool,
    mtu: usize,
}

impl Congestion {
    /// A path on which nothing was sent (§7.2.1).
    pub(crate) fn new(mtu: usize) -> Self {
        let window = (4 * mtu).min((2 * mtu).max(4404));
        Self {
            window,
            threshold: usize::MAX,
            partial: 0,
            flight: 0,
            recovery: None,
            exempt: false,
            mtu,
        }
    }

    /// Whether another chunk may leave.
    pub(crate) fn has_room(&self) -> bool {
        self.flight < self.window
    }

    /// A SACK acknowledged `octets` that were on their way here, out of `before`; whether it advanced
    /// the cumulative TSN, to `cumulative`.
    pub(crate) fn acknowledged(
        &mut self,
        octets: usize,
        before: usize,
        cumulative: u32,
        advanced: bool,
    ) {
        if self.recovery.is_some_and(|exit| crate::serial::reaches(cumulative, exit)) {
            self.recovery = None;
        }
        // §7.2.1: only a window that was full has shown that it is too small.
        let was_full = before + self.mtu > self.window;
        if !advanced || self.recovery.is_some() {
            return;
        }
        if self.window <= self.threshold {
            if was_full {
                self.window += octets.min(GROWTH_MAX * self.mtu);
            }
            return;
        }
        self.partial += octets;
        if self.partial >= self.window {
            if was_full {
                self.partial -= self.window;
                self.window += self.mtu;
            } else {
                self.partial = self.window;
            }
        }
        if self.flight == 0 {
            self.partial = 0;
        }
    }

    /// Losses were noticed by SACKs; `highest` is the last TSN that was sent.
    pub(crate) fn lost(&mut self, highest: u32) {
        if self.recovery.is_some() {
            return;
        }
        self.threshold = (self.window / 2).max(4 * self.mtu);
        self.window = self.threshold;
        self.partial = 0;
        self.recovery = Some(highest);
        self.exempt = true;
    }

    /// Nothing came back in time (§7.2.3): all that was on its way counts as lost.
    pub(crate) fn expired(&mut self) {
        self.threshold = (self.window / 2).max(4 * self.mtu);
        self.window = self.mtu;
        self.partial = 0;
        self.flight = 0;
        self.recovery = None;
    }

    /// Nothing was sent for a retransmission timeout (§7.2.1).
    pub(crate) fn idle(&mut self) {
        self.window = self.window.min((self.window / 2).max(4 * self.mtu));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: usize = 1472;

    #[test]
    fn the_window_doubles_then_grows_by_a_packet_a_round() {
        let mut congestion = Congestion::new(MTU);
        assert_eq!(congestion.window, 4404);
        congestion.acknowledged(4404, 4404, 3, true);
        assert_eq!(congestion.window, 8808);
        // One that was not used does not grow, and one that does not advance neither.
        congestion.acknowledged(1000, 1000, 4, true);
        congestion.acknowledged(8808, 8808, 4, false);
        assert_eq!(congestion.window, 8808);
        congestion.lost(20);
        assert_eq!(congestion.window, 4 * MTU);
        congestion.acknowledged(4 * MTU, 4 * MTU, 10, true);
        congestion.lost(30);
        assert_eq!(congestion.window, 4 * MTU, "one loss a round");
        congestion.acknowledged(MTU, 4 * MTU, 20, true);
        let window = congestion.window;
        congestion.flight = window;
        for _ in 0..8 {
            congestion.acknowledged(window / 8 + 1, window, 21, true);
        }
        assert!(congestion.window > window && congestion.window <= window + 3 * MTU);
    }

    #[test]
    fn a_timeout_begins_with_one_packet() {
        let mut congestion = Congestion::new(MTU);
        congestion.window = 100_000;
        congestion.flight = 90_000;
        congestion.expired();
        assert_eq!((congestion.window, congestion.threshold), (MTU, 50_000));
        assert!(congestion.has_room());
        congestion.window = 100_000;
        congestion.idle();
        assert_eq!(congestion.window, 50_000);
    }
}
