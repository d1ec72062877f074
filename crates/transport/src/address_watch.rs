//! Whether this host has other addresses than before: nothing tells an endpoint at all of them.

use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

/// What was seen, and when it is looked again.
#[derive(Debug)]
pub(crate) struct AddressWatch {
    ticks: Interval,
    here: Vec<IpAddr>,
    /// They were the same as before when they were last looked at.
    settled: bool,
}

impl AddressWatch {
    /// Nothing was seen yet.
    pub(crate) fn new() -> Self {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, here: Vec::new(), settled: false }
    }

    /// Whether it is time to look.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.ticks.poll_tick(cx).map(drop)
    }

    /// Takes what is seen now: true where it is news, and once more after that, for the kernel
    /// takes a moment to tell peers.
    pub(crate) fn is_news(&mut self, here: Vec<IpAddr>) -> bool {
        let is_same = self.here == here;
        self.here = here;
        let was_settled = std::mem::replace(&mut self.settled, is_same);
        !(is_same && was_settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn other_addresses_are_news_twice() {
        let mut address_watch = AddressWatch::new();
        let at = |last: u8| vec![IpAddr::from([10, 0, 0, last])];
        let mut seen = |last| address_watch.is_news(at(last));
        let news = [1, 1, 1, 2, 2, 2, 2, 1].map(&mut seen);
        assert_eq!(news, [true, true, false, true, true, false, false, true]);
    }
}
