//! Many sessions at once, each with a tile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rserpool::session::Event;
use rserpool::wire::param::PoolHandle;
use rserpool::{PoolUser, Session};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::info;

use super::patch::{Arrival, Patch};
use super::picture::Picture;
use super::view::{Tile, View};
use crate::output::progress;
use crate::sessions::{FRUITLESS_MAX, SessionArgs, say};
use rserpool_services::fractal::packet::PPID;

/// How tiles are computed.
pub(super) struct Workers {
    sessions: SessionArgs,
    user: PoolUser,
    pool: PoolHandle,
    answer_timeout: Duration,
}

/// What it took.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) tiles: usize,
    pub(super) points: u64,
    pub(super) failovers: u64,
    /// Of these, with a state to go on from.
    pub(super) resumed: u64,
    /// How many tiles each server has finished.
    pub(super) servers: BTreeMap<String, u64>,
}

/// What a session with a tile tells.
enum News {
    Points(usize),
    FailedOver { resumed: bool },
}

/// A tile that is computed.
struct Done {
    tile: Tile,
    points: Vec<u32>,
    server: String,
}

/// What part of its time a server has that may wait to be asked.
const DOUBT: u32 = 3;

impl Workers {
    pub(super) fn new(
        sessions: &SessionArgs,
        user: PoolUser,
        pool: PoolHandle,
        answer_timeout: Duration,
    ) -> Self {
        Self { sessions: sessions.clone(), user, pool, answer_timeout }
    }

    /// Computes a view in tiles of that side, so many at once.
    pub(super) async fn compute(
        self,
        view: &View,
        side: u32,
        parallel: usize,
    ) -> anyhow::Result<(Picture, Report)> {
        let shared = Arc::new(self);
        let view = *view;
        let (news, mut inbox) = mpsc::unbounded_channel();
        let mut tiles = view.tiles(side);
        let mut workers = JoinSet::new();
        let mut start = |workers: &mut JoinSet<anyhow::Result<Done>>| {
            if let Some(tile) = tiles.next() {
                let (shared, news) = (Arc::clone(&shared), news.clone());
                workers.spawn(async move { shared.tile(&view, tile, &news).await });
            }
        };
        (0..parallel).for_each(|_| start(&mut workers));
        let mut picture = Picture::new(&view);
        let mut report = Report::default();
        let points = u64::from(view.width) * u64::from(view.height);
        let bar = progress(Some(points), "{wide_bar} {percent}% {elapsed} {msg}");
        while !workers.is_empty() {
            tokio::select! {
                Some(done) = workers.join_next() => {
                    let Done { tile, points, server } = done.context("a tile was dropped")??;
                    picture.place(tile, &points);
                    report.tiles += 1;
                    report.points += points.len() as u64;
                    *report.servers.entry(server).or_default() += 1;
                    start(&mut workers);
                }
                Some(news) = inbox.recv() => match news {
                    News::Points(count) => bar.inc(count as u64),
                    News::FailedOver { resumed } => {
                        report.failovers += 1;
                        report.resumed += u64::from(resumed);
                        bar.set_message(format!("{} failovers", report.failovers));
                    }
                },
            }
        }
        bar.finish_and_clear();
        Ok((picture, report))
    }

    async fn tile(
        &self,
        view: &View,
        tile: Tile,
        news: &mpsc::UnboundedSender<News>,
    ) -> anyhow::Result<Done> {
        let mut patch = Patch::new(view.parameter(tile));
        let session = self.sessions.connect(&self.user, &self.pool, PPID).await?;
        ask(&session, &patch).await?;
        let mut fruitless = 0;
        // The state that the last server left is of no use.
        let mut begins_anew = false;
        // The server may have refused the state, and wait to be asked.
        let mut is_in_doubt = false;
        while fruitless < FRUITLESS_MAX {
            let patience = self.answer_timeout / if is_in_doubt { DOUBT } else { 1 };
            let Ok(event) = timeout(patience, session.next()).await else {
                if std::mem::take(&mut is_in_doubt) {
                    ask(&session, &patch).await?;
                    continue;
                }
                begins_anew = true;
                fruitless += 1;
                session.force_failover();
                continue;
            };
            match event.map_err(|error| self.sessions.explain(&self.pool, error))? {
                Event::Received(octets) => match patch.receive(&octets) {
                    Arrival::Points(0) => {}
                    Arrival::Points(count) => {
                        (fruitless, is_in_doubt) = (0, false);
                        let _ = news.send(News::Points(count));
                    }
                    Arrival::Complete => {
                        return Ok(done(session, tile, patch));
                    }
                    Arrival::Holes => {
                        fruitless += 1;
                        ask(&session, &patch).await?;
                    }
                    Arrival::Broken => {
                        begins_anew = true;
                        session.force_failover();
                    }
                },
                Event::FailedOver { resumed, .. } => {
                    fruitless += 1;
                    let _ = news.send(News::FailedOver { resumed: resumed && !begins_anew });
                    is_in_doubt = resumed && !std::mem::take(&mut begins_anew);
                    if !is_in_doubt {
                        ask(&session, &patch).await?;
                    }
                }
                _ => {}
            }
        }
        bail!("the servers of {} do not compute this", self.pool)
    }
}

fn done(session: Session, tile: Tile, patch: Patch) -> Done {
    let server = session.server().map(|server| server.id.to_string()).unwrap_or_default();
    info!(tile.x, tile.y, server, "tile computed");
    // The next tile need not wait for the farewell.
    tokio::spawn(session.close());
    Done { tile, points: patch.into_points(), server }
}

async fn ask(session: &Session, patch: &Patch) -> anyhow::Result<()> {
    say(session, &patch.request()).await
}
