//! A session that asks, and asks again as soon as it has its answer.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use rserpool::session::{Config, Event, KeepAlive, SendError};
use rserpool::wire::param::PeId;
use rserpool::{PoolUser, Session};
use tokio::time::Instant;

use super::servers::pool;
use crate::clock::now_us;
use rserpool_services::pingpong::packet::{PPID, Packet};
use rserpool_services::pingpong::tally::{Counts, Tally};

/// A session, one question of which is always under way.
pub(super) struct Client {
    session: Session,
    tally: Tally,
}

/// An answer.
pub(super) struct Answer {
    pub(super) server: PeId,
    pub(super) at_us: u64,
}

/// How often a server is asked for signs of life, and when it has failed: quickly.
pub(super) const QUICK: KeepAlive =
    KeepAlive::new(Duration::from_millis(50), Duration::from_millis(150));

impl Client {
    /// Connects, and asks the first question.
    pub(super) async fn connect(user: &PoolUser, keep_alive: KeepAlive) -> anyhow::Result<Self> {
        let config = Config::new().ppid(PPID).keep_alive(keep_alive);
        let session = Session::connect(user.clone(), pool()?, config).await?;
        let mut client = Self { session, tally: Tally::default() };
        client.ask().await?;
        Ok(client)
    }

    /// The server of the moment.
    pub(super) fn server(&self) -> anyhow::Result<PeId> {
        Ok(self.session.server().context("a session without server")?.id)
    }

    /// Asks another question.
    pub(super) async fn ask(&mut self) -> anyhow::Result<()> {
        let number = self.tally.ask(Instant::now());
        self.send(number).await
    }

    /// Waits for the answer to the question that is under way; asks it again where the server
    /// fails.
    pub(super) async fn answer(&mut self) -> anyhow::Result<Answer> {
        while !self.tally.is_quiet() {
            match self.session.next().await? {
                Event::Received(octets) => {
                    if let Ok(Packet::Pong { message, reply, .. }) = Packet::decode(&octets) {
                        self.tally.answer(Instant::now(), message, reply);
                    }
                }
                Event::FailedOver { resumed, .. } => {
                    let unanswered: Vec<u64> = self.tally.force_failover(resumed).collect();
                    for number in unanswered {
                        self.send(number).await?;
                    }
                }
                _ => {}
            }
        }
        Ok(Answer { server: self.server()?, at_us: now_us() })
    }

    /// Ends it; an error where anything was lost, done twice, or begun anew.
    pub(super) async fn close(mut self) -> anyhow::Result<Counts> {
        self.tally.close();
        let counts = self.tally.counts;
        self.session.close().await;
        let Counts { lost, repeats, gaps, restarts, .. } = counts;
        ensure!(
            counts.is_clean(),
            "{lost} lost, {repeats} repeated, {gaps} gaps, {restarts} begun anew"
        );
        Ok(counts)
    }

    async fn send(&self, number: u64) -> anyhow::Result<()> {
        let ping = Packet::Ping { message: number, text: Vec::new() }.encode();
        match self.session.send(&ping).await {
            // It is asked again once the failover is told.
            Ok(()) | Err(SendError::ServerLost) => Ok(()),
            Err(error) => Err(error).context("cannot send"),
        }
    }
}
