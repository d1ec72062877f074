//! What stands on the stage of the demo, and what can happen to it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rserpool::proto::user::Event as UserEvent;
use rserpool::transport::{Address, Backend, probe};
use rserpool::wire::param::{PeId, PoolHandle};
use rserpool::{PoolUser, user};
use serde::Deserialize;
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout_at};

use super::client::{Count, Report, now_us};
use super::process::Process;
use super::summary::{Failover, Summary};

const POOL: &str = "DemoPool";

/// How a server fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    /// By kill -9.
    Killed,
    /// By SIGSTOP: it lives, and does nothing.
    Frozen,
}

impl Cause {
    /// The name, as in JSON.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Frozen => "frozen",
        }
    }
}

/// The processes of the demo and what is known of them.
pub(super) struct Stage {
    start: Instant,
    backend: Backend,
    registrar: Process,
    url: Address,
    /// Watches the pool through the registrar.
    pool_events: broadcast::Receiver<UserEvent>,
    user: PoolUser,
    elements: BTreeMap<u32, Element>,
    client: Option<Process>,
    /// The server that the client uses.
    server: u32,
    count: Count,
    failovers: Vec<Failover>,
}

struct Element {
    process: Process,
    /// What people call it.
    name: String,
}

/// What `rserpool registrar` prints.
#[derive(Deserialize)]
struct Serving {
    id: String,
    asap: Vec<String>,
}

/// What `rserpool serve` prints.
#[derive(Deserialize)]
struct Joined {
    id: String,
    urls: Vec<String>,
}

impl Stage {
    /// A stage with a registrar.
    pub(super) async fn open() -> anyhow::Result<Self> {
        let start = Instant::now();
        let (backend, missing) = match probe::kernel_sctp_available() {
            Ok(()) => (Backend::KernelSctp, None),
            Err(missing) => (Backend::UserlandSctp, Some(missing)),
        };
        let mut registrar =
            Process::start(&["registrar", "--asap", "sctp://127.0.0.1:0", "--exit-with-stdin"])?;
        let serving: Serving = registrar.line().await?;
        let url: Address = serving.asap.first().context("a registrar without URL")?.parse()?;
        let user = PoolUser::start(user::Config::new(vec![url.clone()]))?;
        let pool_events = user.events();
        user.subscribe(&pool()?);
        let stage = Self {
            start,
            backend,
            registrar,
            url,
            pool_events,
            user,
            elements: BTreeMap::new(),
            client: None,
            server: 0,
            count: Count::default(),
            failovers: Vec::new(),
        };
        stage.tell(format_args!("registrar {} serves at {}", serving.id, stage.url));
        match missing {
            None => stage.tell(format_args!("   over the kernel's SCTP")),
            Some(why) => stage.tell(format_args!("   over SCTP in userland, in UDP: {why}")),
        }
        Ok(stage)
    }

    /// Starts an echo server that joins the pool.
    pub(super) async fn add_element(&mut self) -> anyhow::Result<()> {
        let url = self.url.to_string();
        let mut process = Process::start(&[
            "serve",
            "echo",
            "--pool",
            POOL,
            "--listen",
            "127.0.0.1:0",
            "--registrar",
            &url,
            "--exit-with-stdin",
        ])?;
        let joined: Joined = process.line().await?;
        let id = u32::from_str_radix(joined.id.trim_start_matches("0x"), 16)
            .context("an element without identifier")?;
        let name = format!("server {}", self.elements.len() + 1);
        let at = joined.urls.first().map_or("", String::as_str);
        self.tell(format_args!("{name} ({}) joined {POOL}, serves at {at}", joined.id));
        self.elements.insert(id, Element { process, name });
        Ok(())
    }

    /// Starts the client and waits until a server has accepted it.
    pub(super) async fn start_client(&mut self) -> anyhow::Result<()> {
        let url = self.url.to_string();
        let arguments = ["demo-client", "--pool", POOL, "--registrar", &url];
        self.client = Some(Process::start(&arguments)?);
        while self.server == 0 {
            let report = self.report().await?;
            self.note(&report);
        }
        let name = self.name(self.server);
        self.tell(format_args!("the client asks {name}, 200 requests a second"));
        Ok(())
    }

    /// Lets the client go on for a while.
    pub(super) async fn watch(&mut self, span: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + span;
        while let Ok(report) = timeout_at(end, self.report()).await {
            let report = report?;
            self.note(&report);
        }
        let Count { requests, answered, .. } = self.count;
        self.tell(format_args!("   {requests} requests, {answered} answered"));
        Ok(())
    }

    /// Has the server of the client fail, and waits until the client has an answer from another one
    /// and the pool is rid of it.
    pub(super) async fn fail(&mut self, cause: Cause) -> anyhow::Result<()> {
        let (victim, name) = (self.server, self.name(self.server));
        let element = self.elements.get(&victim).context("the client's server is unknown")?;
        match cause {
            Cause::Killed => self.tell(format_args!("kill -9 {name}, which the client uses")),
            Cause::Frozen => self.tell(format_args!("SIGSTOP {name}, which the client uses")),
        }
        while self.pool_events.try_recv().is_ok() {}
        let signalled = now_us();
        match cause {
            Cause::Killed => element.process.kill()?,
            Cause::Frozen => element.process.freeze()?,
        }
        let mut failover = Failover { cause, name, ..Failover::default() };
        while failover.recovered_us == 0 || failover.removed_us == 0 {
            self.follow(victim, signalled, &mut failover).await?;
        }
        self.failovers.push(failover);
        Ok(())
    }

    /// Notes the next thing that happens after a failure.
    async fn follow(
        &mut self,
        victim: u32,
        signalled: u64,
        failover: &mut Failover,
    ) -> anyhow::Result<()> {
        let client = self.client.as_mut().context("there is no client")?;
        tokio::select! {
            report = client.line::<Report>() => {
                let report = report?;
                self.note(&report);
                match report {
                    Report::Failed { at_us, .. } if failover.detected_us == 0 => {
                        failover.detected_us = at_us.saturating_sub(signalled).max(1);
                        let after = milliseconds(failover.detected_us);
                        self.tell(format_args!("   the client noticed after {after}"));
                    }
                    Report::Recovered { at_us, server, .. } => {
                        failover.recovered_us = at_us.saturating_sub(signalled).max(1);
                        let after = milliseconds(failover.recovered_us);
                        let next = self.name(server);
                        self.tell(format_args!("   {next} answered after {after}"));
                    }
                    _ => {}
                }
            }
            event = self.pool_events.recv() => {
                if failover.removed_us == 0 && is_without(event, victim) {
                    failover.removed_us = now_us().saturating_sub(signalled).max(1);
                    let after = milliseconds(failover.removed_us);
                    self.tell(format_args!("   the registrar removed it after {after}"));
                }
            }
        }
        Ok(())
    }

    /// Ends everything, and sums it up.
    pub(super) async fn close(mut self) -> anyhow::Result<Summary> {
        if let Some(client) = &mut self.client {
            client.end();
        }
        while !self.count.done {
            let report = self.report().await?;
            self.note(&report);
        }
        self.user.unsubscribe(&pool()?);
        self.registrar.end();
        Ok(Summary {
            backend: self.backend,
            count: self.count,
            failovers: self.failovers,
            seconds: self.start.elapsed().as_secs_f64(),
        })
    }

    async fn report(&mut self) -> anyhow::Result<Report> {
        self.client.as_mut().context("there is no client")?.line().await
    }

    fn note(&mut self, report: &Report) {
        match *report {
            Report::Connected { server, .. } | Report::Recovered { server, .. } => {
                self.server = server;
            }
            Report::Count(count) => self.count = count,
            Report::Failed { .. } => {}
        }
    }

    fn name(&self, id: u32) -> String {
        match self.elements.get(&id) {
            Some(element) => element.name.clone(),
            None => PeId(id).to_string(),
        }
    }

    fn tell(&self, what: std::fmt::Arguments<'_>) {
        eprintln!("{:7.3} s  {what}", self.start.elapsed().as_secs_f64());
    }
}

fn pool() -> anyhow::Result<PoolHandle> {
    PoolHandle::new(POOL.as_bytes()).ok_or_else(|| anyhow!("no pool handle"))
}

/// True where an update says that the pool is rid of this element.
fn is_without(event: Result<UserEvent, broadcast::error::RecvError>, id: u32) -> bool {
    match event {
        Ok(UserEvent::Updated { resolution, .. }) => resolution.is_none_or(|resolution| {
            resolution.elements.iter().all(|element| element.id != PeId(id))
        }),
        _ => false,
    }
}

/// Microseconds as people read them.
fn milliseconds(us: u64) -> String {
    let us = Duration::from_micros(us).as_secs_f64() * 1e3;
    format!("{us:.1} ms")
}
