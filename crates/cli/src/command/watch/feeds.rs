//! What follows a pool beside the lines of `watch`: a file, HAProxy, a command.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rserpool::user::Resolution;
use rserpool::wire::param::PoolHandle;
use rserpool_gateway::feeds::{FileFormat, Haproxy};
use rserpool_web::listen::Endpoint;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::atomic_file::AtomicFile;
use crate::exit::Failure;

use super::http::Targets;

/// After how long what did not work is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// After how long HAProxy is told everything again: it may have started anew.
const REPEAT: Duration = Duration::from_secs(10);

/// What follows the pool.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Feeds")]
pub(super) struct FeedArgs {
    /// A file that says who is in the pool; each change gives it a new content at once.
    #[arg(long, value_name = "PATH", requires = "format")]
    file: Option<PathBuf>,

    /// The form of the file: eds (endpoints for Envoy), hosts (as /etc/hosts), nginx (servers of an
    /// upstream) or prometheus-sd (file_sd_configs of Prometheus).
    #[arg(long, value_name = "FORMAT", requires = "file")]
    format: Option<FileFormat>,

    /// The port of the targets for Prometheus, in place of the elements' own.
    #[arg(long, value_name = "PORT", requires = "file")]
    target_port: Option<u16>,

    /// Where Prometheus asks for its targets (http_sd_configs), such as http://127.0.0.1:9363: at
    /// /v1/sd/prometheus?port=9100.
    #[arg(long, value_name = "URL")]
    prometheus_sd: Option<Endpoint>,

    /// The Unix socket of HAProxy's runtime API (`stats socket PATH level admin`).
    #[arg(long, value_name = "SOCKET", requires = "backend")]
    haproxy: Option<PathBuf>,

    /// The backend of HAProxy whose servers become those of the pool.
    #[arg(long, value_name = "NAME", requires = "haproxy")]
    backend: Option<String>,

    /// A command that is run after each change, such as 'systemctl reload dnsmasq'. No shell is
    /// between; what changes meanwhile is told when it has ended.
    #[arg(long, value_name = "COMMAND")]
    on_change: Option<String>,
}

/// What follows the pool, and what it was told.
pub(super) struct Feeds<'a> {
    args: &'a FeedArgs,
    pool: &'a PoolHandle,
    haproxy: Option<Haproxy>,
    targets: Option<Targets>,
    last: Option<Option<Arc<Resolution>>>,
    /// When HAProxy is to be told again.
    again: Option<Instant>,
}

impl<'a> Feeds<'a> {
    /// # Errors
    ///
    /// What can be seen to be of no use.
    pub(super) async fn new(args: &'a FeedArgs, pool: &'a PoolHandle) -> anyhow::Result<Self> {
        let haproxy = args.haproxy.clone().zip(args.backend.clone());
        let haproxy = haproxy.map(|(socket, backend)| Haproxy::new(socket, backend)).transpose();
        let haproxy = haproxy.context(Failure::Configuration)?;
        if args.format.is_some_and(|format| format.text(pool, &[], None).is_none()) {
            let error = anyhow!("{pool} has no name that a host may have");
            return Err(error.context(Failure::Configuration));
        }
        let targets = match &args.prometheus_sd {
            Some(endpoint) => Some(Targets::start(endpoint, pool).await?),
            None => None,
        };
        Ok(Self { args, pool, haproxy, targets, last: None, again: None })
    }

    /// The pool is like this now.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) async fn follow(&mut self, now: Option<Arc<Resolution>>) -> anyhow::Result<()> {
        if let (Some(file), Some(format)) = (&self.args.file, self.args.format) {
            let elements = now.as_ref().map(|now| &*now.elements).unwrap_or_default();
            let text = format.text(self.pool, elements, self.args.target_port).unwrap_or_default();
            let mut whole = AtomicFile::create(file)?;
            whole.write_all(text.as_bytes()).and_then(|()| whole.flush())?;
            whole.finish()?;
        }
        if let Some(targets) = &self.targets {
            targets.follow(now.clone());
        }
        self.last = Some(now);
        self.tell_haproxy().await;
        self.run().await;
        Ok(())
    }

    /// Waits until HAProxy is to be told again, and does it.
    pub(super) async fn again(&mut self) {
        match self.again {
            Some(again) => sleep_until(again).await,
            None => std::future::pending().await,
        }
        if let Some(haproxy) = &mut self.haproxy {
            haproxy.forget();
        }
        self.tell_haproxy().await;
    }

    async fn tell_haproxy(&mut self) {
        let (Some(haproxy), Some(last)) = (&mut self.haproxy, &self.last) else { return };
        let pause = match haproxy.follow(last.as_deref()).await {
            Ok(told) => {
                if told.changed > 0 {
                    info!(servers = told.changed, "HAProxy was told");
                }
                if told.left_out > 0 {
                    warn!(elements = told.left_out, "HAProxy has too few servers");
                }
                REPEAT
            }
            Err(error) => {
                warn!(%error, "HAProxy does not follow");
                RETRY
            }
        };
        self.again = Some(Instant::now() + pause);
    }

    async fn run(&self) {
        let Some(command) = &self.args.on_change else { return };
        let mut words = command.split_whitespace().map(str::to_owned);
        let Some(program) = words.next() else { return };
        let mut process = Command::new(&program);
        process.args(words).env("RSERPOOL_POOL", self.pool.to_string().replace('\0', "\\x00"));
        process.stdin(Stdio::null()).stdout(Stdio::null());
        let ended = tokio::task::spawn_blocking(move || process.status()).await;
        match ended.map_err(std::io::Error::other).flatten() {
            Ok(status) if status.success() => {}
            Ok(status) => warn!(program, %status, "the command has failed"),
            Err(error) => warn!(program, %error, "the command cannot be run"),
        }
    }
}
