//! The second act of the demo: a pool computes a picture while its servers are killed and frozen.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rserpool::transport::tls::Role;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use rserpool_bench::process::{Cause, Process};

const POOL: &str = "DemoPicturePool";
const ELEMENTS: usize = 5;
/// So many registrars there are when it begins.
const REGISTRARS: usize = 3;
/// How long the pool computes undisturbed between two failures.
const PAUSE: Duration = Duration::from_millis(350);
/// It is done by then, or fails: some seconds, but for a machine that has other things to do.
const DURATION_MAX: Duration = Duration::from_secs(180);

/// How long the demo is silent at most.
const WORD_INTERVAL: Duration = Duration::from_secs(2);

/// What became of the picture.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Picture {
    /// Where it is.
    pub(super) file: String,
    /// It is the one that this process computes by itself.
    pub(super) identical: bool,
    /// Parts that were computed as sessions.
    pub(super) tiles: u64,
    /// Sessions that another server took over.
    pub(super) failovers: u64,
    /// Those that went on where the former server was.
    pub(super) resumed: u64,
    /// Milliseconds.
    pub(super) elapsed_ms: f64,
}

impl Cluster {
    /// Has a pool compute a picture while two of its servers and a registrar fail and another
    /// server comes.
    pub(super) async fn paint(&mut self, file: &Path) -> anyhow::Result<Picture> {
        while self.registrars.len() < REGISTRARS {
            self.add_registrar().await?;
        }
        let mut servers = Vec::new();
        for number in 0..ELEMENTS {
            servers.push(self.add_painter(number).await?);
        }
        self.tell(format_args!("{ELEMENTS} servers joined {POOL}; a picture is computed"));
        let mut painter = self.start_painting(file)?;
        sleep(PAUSE).await;
        self.tell(format_args!("kill -9 one of them"));
        servers[0].strike(Cause::Killed)?;
        sleep(PAUSE).await;
        self.tell(format_args!("SIGSTOP another one"));
        servers[1].strike(Cause::Frozen)?;
        sleep(PAUSE).await;
        self.tell(format_args!("kill -9 a registrar"));
        self.registrars.remove(0).process.strike(Cause::Killed)?;
        sleep(PAUSE).await;
        self.tell(format_args!("a new server joins"));
        servers.push(self.add_painter(ELEMENTS).await?);
        let picture = self.await_picture(&mut painter).await?;
        servers.iter_mut().for_each(Process::end);
        let verdict = match picture.identical {
            true => "is identical to the one computed here alone",
            false => "DIFFERS from the one computed here alone",
        };
        let Picture { tiles, failovers, resumed, .. } = picture;
        self.tell(format_args!(
            "   {tiles} tiles, {failovers} sessions failed over, {resumed} of them resumed"
        ));
        self.tell(format_args!("   {} {verdict}", picture.file));
        Ok(picture)
    }

    /// Waits for the picture, and says so from time to time.
    async fn await_picture(&self, painter: &mut Process) -> anyhow::Result<Picture> {
        let deadline = Instant::now() + DURATION_MAX;
        let line = painter.line::<Picture>();
        tokio::pin!(line);
        loop {
            tokio::select! {
                picture = &mut line => return picture,
                () = sleep(WORD_INTERVAL) => {
                    ensure!(Instant::now() < deadline, "the picture takes too long");
                    self.tell(format_args!("   it is computed by the pool, and by one process for comparison"));
                }
            }
        }
    }

    async fn add_painter(&mut self, number: usize) -> anyhow::Result<Process> {
        let registrars = self.registrar_arguments(number);
        let service = ["serve", "fractal", "--pool", POOL, "--listen", "127.0.0.1:0"];
        let policy = ["--policy", "least-used", "--exit-with-stdin"];
        let registrars = registrars.iter().map(String::as_str);
        let arguments: Vec<&str> = service.into_iter().chain(policy).chain(registrars).collect();
        let mut process = self.start(Role::Server, &arguments)?;
        process.line::<serde::de::IgnoredAny>().await?;
        Ok(process)
    }

    fn start_painting(&self, file: &Path) -> anyhow::Result<Process> {
        let file = file.to_str().context("the picture's name is no text")?;
        let registrars = self.registrar_arguments(0);
        let view = ["fractal", "--pool", POOL, "--out", file, "--verify"];
        let size = ["--width", "1280", "--height", "800", "--samples", "3", "--tile", "384"];
        let watch = ["--keep-alive", "100ms", "--keep-alive-deadline", "300ms"];
        let registrars = registrars.iter().map(String::as_str);
        let arguments: Vec<&str> =
            view.into_iter().chain(size).chain(watch).chain(registrars).collect();
        self.start(Role::Client, &arguments)
    }
}
