//! Very many sessions lose their server at once.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rserpool::session::KeepAlive;
use rserpool::transport::Scheme;
use tokio::sync::{Barrier, Semaphore, watch};
use tokio::task::JoinSet;

use super::client::Client;
use super::servers::Servers;
use crate::process::Cause;
use crate::report::{Round, ms};

/// Sessions that are connected at once.
const CONNECTING: usize = 128;

pub(super) async fn round(scheme: Scheme, sessions: u32) -> anyhow::Result<Round> {
    let mut servers = Servers::open(scheme).await?;
    let first = servers.add("priority:2").await?;
    servers.add("priority:1").await?;
    let user = servers.user()?;
    let (doors, connected) = (Arc::new(Semaphore::new(CONNECTING)), sessions as usize + 1);
    let connected = Arc::new(Barrier::new(connected));
    let (strike, struck) = watch::channel(false);
    let mut tasks: JoinSet<anyhow::Result<u64>> = JoinSet::new();
    for _ in 0..sessions {
        let (user, doors) = (user.clone(), Arc::clone(&doors));
        let (connected, mut struck) = (Arc::clone(&connected), struck.clone());
        tasks.spawn(async move {
            let permit = doors.acquire().await?;
            // Quick ones would ask 200 000 times a second whether the server lives.
            let mut client = Client::connect(&user, KeepAlive::default()).await?;
            let answer = client.answer().await?;
            ensure!(answer.server == first, "a session is not at the first server");
            drop(permit);
            connected.wait().await;
            let moved = async {
                loop {
                    client.ask().await?;
                    let answer = client.answer().await?;
                    if answer.server != first {
                        return anyhow::Ok((client, answer.at_us));
                    }
                }
            };
            struck.changed().await.context("the crowd has ended")?;
            let (client, at_us) = moved.await?;
            client.close().await?;
            Ok(at_us)
        });
    }
    tokio::select! {
        _ = connected.wait() => {}
        Some(failed) = tasks.join_next() => {
            failed??;
            anyhow::bail!("a session has ended");
        }
    }
    let signalled = servers.strike(first, Cause::Killed)?;
    let _ = strike.send(true);
    let mut last = 0;
    while let Some(moved) = tasks.join_next().await {
        last = last.max(moved??);
    }
    ensure!(last >= signalled, "the clock went backwards");
    Ok(Round(vec![("sessions", f64::from(sessions)), ("moved_ms", ms(last - signalled))]))
}
