//! Attacks with octets that are no messages.

use std::time::Duration;

use tokio::time::sleep;

use super::Sent;
use super::stranger::{Host, Stranger};
use super::target::Aim;

/// Connections with half a message.
const HALVES: usize = 3000;
/// Connections that say nothing: more than most systems let a process have.
const IDLE: usize = 4000;
/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(1);

/// A registration whose parameters make no sense.
pub(super) async fn malformed(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    let octets = |number: u64| {
        let [.., a, b] = number.to_be_bytes();
        vec![1, 0, 0, 16, 0, 9, 0, 8, a, b, 0xff, 0xff, 0x80, 0xff, 0, 2]
    };
    Stranger::flood(Host::Hostile, aim.asap, &[], sent, octets).await
}

pub(super) async fn idle(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    loop {
        let nothing = |_| Vec::new();
        let _crowd = Stranger::crowd(Host::Hostile, aim.asap, IDLE, sent, nothing).await;
        sleep(PAUSE).await;
    }
}

/// A header that promises 65 532 octets, and most of them.
pub(super) async fn half_messages(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    let mut half = vec![1, 0, 0xff, 0xfc];
    half.resize(60_000, 0);
    loop {
        let half = |_| half.clone();
        let _crowd = Stranger::crowd(Host::Hostile, aim.asap, HALVES, sent, half).await;
        sleep(PAUSE).await;
    }
}
