//! One session loses its server.

use anyhow::ensure;
use rserpool::transport::Scheme;

use super::client::{Client, QUICK};
use super::servers::Servers;
use crate::clock::now_us;
use crate::process::Cause;
use crate::report::{Round, ms};

const SERVERS: usize = 3;
/// Answers before the server fails.
const CALM: usize = 500;

pub(super) async fn round(scheme: Scheme, cause: Cause) -> anyhow::Result<Round> {
    let mut servers = Servers::open(scheme).await?;
    for _ in 0..SERVERS {
        servers.add("round-robin").await?;
    }
    let mut client = Client::connect(&servers.user()?, QUICK).await?;
    let (mut before, mut calm) = (now_us(), 0);
    for _ in 0..CALM {
        let answer = client.answer().await?;
        calm = calm.max(answer.at_us - before);
        before = answer.at_us;
        client.ask().await?;
    }
    let victim = client.server()?;
    let signalled = servers.strike(victim, cause)?;
    let answer = loop {
        let answer = client.answer().await?;
        if answer.server != victim {
            break answer;
        }
        // It was on the way already.
        client.ask().await?;
    };
    ensure!(answer.at_us >= signalled, "the clock went backwards");
    client.close().await?;
    let answer_ms = ms(answer.at_us - signalled);
    Ok(Round(vec![("answer_ms", answer_ms), ("calm_answer_ms", ms(calm))]))
}
