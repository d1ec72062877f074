//! What a program waits for, said to who sits before it.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::warn;

/// How long it waits without a word, a little more than a second: what takes a second by itself
/// needs none.
const SILENCE_MAX: Duration = Duration::from_millis(1100);

/// Waits for `done`. Once that takes a while it is said what is waited for, and again whenever that
/// is something else.
pub(crate) async fn aloud<T>(done: impl Future<Output = T>, what: impl Fn() -> String) -> T {
    let mut done = pin!(done);
    let mut ticks = interval_at(Instant::now() + SILENCE_MAX, SILENCE_MAX);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = String::new();
    loop {
        tokio::select! {
            biased;
            result = &mut done => return result,
            _ = ticks.tick() => {
                let now = what();
                if now != said {
                    warn!("waiting for {now}");
                    said = now;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_long_asks_what_for_and_who_does_not_does_not() {
        let asked = Cell::new(0);
        let what = || {
            asked.set(asked.get() + 1);
            String::from("a registrar")
        };
        aloud(sleep(Duration::from_secs(1)), what).await;
        assert_eq!(asked.get(), 0);
        aloud(sleep(Duration::from_secs(10)), what).await;
        assert_eq!(asked.get(), 9);
    }
}
