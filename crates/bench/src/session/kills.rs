//! One session, and one server killed after the other.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rserpool::transport::Scheme;
use tokio::time::timeout;

use super::client::{Client, QUICK};
use super::servers::Servers;
use crate::process::Cause;
use crate::report::{Round, ms};

const SERVERS: usize = 3;
/// Between two kills, at most, in microseconds.
const CALM_MAX_US: u64 = 30_000;

pub(super) async fn round(scheme: Scheme, kills: u32) -> anyhow::Result<Round> {
    // The times of the kills are as random as what happens between them.
    let mut rng = StdRng::seed_from_u64(kills.into());
    let mut servers = Servers::open(scheme).await?;
    for _ in 0..SERVERS {
        servers.add("round-robin").await?;
    }
    let mut client = Client::connect(&servers.user()?, QUICK).await?;
    let mut slowest = 0;
    for _ in 0..kills {
        let calm = Duration::from_micros(rng.random_range(0..CALM_MAX_US));
        let chat = async {
            loop {
                client.answer().await?;
                client.ask().await?;
            }
        };
        if let Ok(failed) = timeout(calm, chat).await {
            return failed;
        }
        let victim = client.server()?;
        let signalled = servers.strike(victim, Cause::Killed)?;
        loop {
            let answer = client.answer().await?;
            client.ask().await?;
            if answer.server != victim {
                slowest = slowest.max(answer.at_us.saturating_sub(signalled));
                break;
            }
        }
        servers.remove(victim)?;
        servers.add("round-robin").await?;
    }
    client.answer().await?;
    let counts = client.close().await?;
    let count = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    Ok(Round(vec![
        ("kills", f64::from(kills)),
        ("questions", count(counts.sent)),
        ("answer_ms", ms(slowest)),
        ("lost", count(counts.lost)),
        ("repeated", count(counts.repeats)),
        ("gaps", count(counts.gaps)),
        ("restarts", count(counts.restarts)),
    ]))
}
