//! `rserpool demo`: a pool that survives its servers, to watch.

pub(crate) mod client;
mod cluster;
mod keys;
mod picture;
mod summary;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::timeout;

use crate::output::Output;
use crate::runtime;
use rserpool_bench::process::Cause;

use cluster::Cluster;

/// Watch a pool survive its servers.
///
/// Registrars, echo servers and a client run over SCTP, or TLS, on this host, each in a process of its own.
/// Servers are killed and frozen, and a registrar is killed, while the client goes on. Then a pool
/// computes a picture while its servers are killed and frozen.
///
/// It takes about 20 s and ends with a summary. The exit code is 0 only if no request was lost and
/// the picture is the one that a single process computes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to put the picture that the pool computes, as PNG.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "rserpool-demo.png",
        conflicts_with = "watch"
    )]
    picture: PathBuf,

    /// Run everything over TLS, with keys made on the spot.
    #[arg(long)]
    secure: bool,

    /// Keep the pool alive until q is pressed, show it in a browser, and kill, freeze and start
    /// servers and registrars by keys. The exit code is 0 only if no request was lost.
    #[arg(long)]
    watch: bool,
}

const REGISTRARS: usize = 3;
/// The demo ends by then, whatever happens; it takes some 20 s.
const DURATION_MAX: Duration = Duration::from_secs(240);
/// How long the client goes on undisturbed between two failures.
const PAUSE: Duration = Duration::from_millis(1000);

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        if self.watch {
            return runtime::block_on(watch::run(self.secure, output));
        }
        let summary = runtime::block_on(async {
            let played = timeout(DURATION_MAX, play(&self.picture, self.secure));
            played.await.context("the demo did not end in time")?
        })?;
        summary.print(output)?;
        if summary.count.requests != summary.count.answered {
            bail!("requests were lost");
        }
        if !summary.picture.identical {
            bail!("the pool computed another picture than a single process");
        }
        Ok(())
    }
}

/// One act after the other.
async fn play(picture: &Path, is_secure: bool) -> anyhow::Result<summary::Summary> {
    let mut cluster = Cluster::open(REGISTRARS, is_secure, false).await?;
    for _ in 0..3 {
        cluster.add_element().await?;
    }
    cluster.start_client().await?;
    cluster.watch(PAUSE).await?;

    cluster.fail(Cause::Killed).await?;
    cluster.watch(PAUSE).await?;
    cluster.fail(Cause::Killed).await?;
    cluster.watch(PAUSE).await?;

    cluster.add_element().await?;
    cluster.fail(Cause::Killed).await?;
    cluster.watch(PAUSE).await?;

    cluster.add_element().await?;
    cluster.fail(Cause::Frozen).await?;
    cluster.watch(PAUSE).await?;

    cluster.add_element().await?;
    cluster.kill_registrar().await?;
    cluster.watch(PAUSE).await?;
    cluster.fail(Cause::Killed).await?;
    cluster.watch(PAUSE).await?;
    cluster.end_client().await?;

    let picture = cluster.paint(picture).await?;
    Ok(cluster.close(picture))
}
