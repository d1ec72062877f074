//! The processes of the demo, and what can happen to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rserpool::proto::user::Event as UserEvent;
use rserpool::transport::tls::Role;
use rserpool::transport::{Backend, probe};
use rserpool::wire::param::{PeId, PoolHandle, RegistrarId};
use rserpool::{PoolUser, user};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::client::{Count, Report};
use super::keys::Keys;
use super::picture::Picture;
use super::summary::{Failover, Summary, Takeover};
use rserpool_bench::clock::now_us;
use rserpool_bench::process::{Cause, Process};

const POOL: &str = "DemoPool";

/// The processes of the demo and what is known of them.
pub(super) struct Cluster {
    start: Instant,
    /// Whether its registrars show themselves to browsers.
    has_page: bool,
    backend: Backend,
    /// Where everything is in TLS.
    keys: Option<Keys>,
    pub(super) registrars: Vec<Registrar>,
    /// What the registrars say of the pool: which of them, and what.
    pub(super) sightings: mpsc::UnboundedReceiver<(RegistrarId, UserEvent)>,
    watchers: mpsc::UnboundedSender<(RegistrarId, UserEvent)>,
    pub(super) elements: BTreeMap<u32, Element>,
    client: Option<Process>,
    /// The server that the client uses.
    pub(super) server: u32,
    pub(super) count: Count,
    failovers: Vec<Failover>,
    takeovers: Vec<Takeover>,
}

pub(super) struct Registrar {
    pub(super) process: Process,
    pub(super) id: RegistrarId,
    url: String,
    enrp: String,
    /// Its page, if it has one.
    pub(super) page: Option<String>,
    /// Watches the pool through this registrar.
    _watcher: PoolUser,
    /// Asks this registrar, each time anew.
    user: PoolUser,
}

/// What was seen after a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Observation {
    AsExpected,
    /// The client turned to another server before this one failed.
    LeftBefore,
}

pub(super) struct Element {
    pub(super) process: Process,
    /// What people call it.
    pub(super) name: String,
    /// It was killed or frozen.
    pub(super) has_failed: bool,
}

/// What `rserpool registrar` prints.
#[derive(Deserialize)]
struct Serving {
    id: String,
    asap: Vec<String>,
    enrp: Vec<String>,
    #[serde(default)]
    admin: Vec<String>,
}

/// What `rserpool serve` prints.
#[derive(Deserialize)]
struct Joined {
    id: String,
    urls: Vec<String>,
}

impl Cluster {
    /// A cluster with registrars.
    pub(super) async fn open(
        registrars: usize,
        is_secure: bool,
        has_page: bool,
    ) -> anyhow::Result<Self> {
        let (backend, missing) = match probe::kernel_sctp_available() {
            _ if is_secure => (Backend::Tls, None),
            Ok(()) => (Backend::KernelSctp, None),
            Err(missing) => (Backend::UserlandSctp, Some(missing)),
        };
        let (watchers, sightings) = mpsc::unbounded_channel();
        let mut cluster = Self {
            start: Instant::now(),
            has_page,
            backend,
            keys: is_secure.then(Keys::make).transpose()?,
            registrars: Vec::new(),
            sightings,
            watchers,
            elements: BTreeMap::new(),
            client: None,
            server: 0,
            count: Count::default(),
            failovers: Vec::new(),
            takeovers: Vec::new(),
        };
        for _ in 0..registrars {
            cluster.add_registrar().await?;
        }
        match missing {
            None if is_secure => cluster.tell(format_args!("all over TLS, with keys of this demo")),
            None => cluster.tell(format_args!("all over the kernel's SCTP")),
            Some(why) => cluster.tell(format_args!("all over SCTP in userland, in UDP: {why}")),
        }
        Ok(cluster)
    }

    /// Starts a registrar that shares the handlespace of the others, and watches the pool through
    /// it.
    pub(super) async fn add_registrar(&mut self) -> anyhow::Result<()> {
        let endpoint = match self.keys {
            Some(_) => "tls://127.0.0.1:0",
            None => "sctp://127.0.0.1:0",
        };
        let mut arguments =
            vec!["registrar", "--asap", endpoint, "--enrp", endpoint, "--exit-with-stdin"];
        if self.has_page {
            arguments.extend(["--admin", "http://127.0.0.1:0"]);
        }
        for other in &self.registrars {
            arguments.extend(["--peer", &other.enrp]);
        }
        let mut process = self.start(Role::Registrar, &arguments)?;
        let serving: Serving = process.line().await?;
        let page = serving.admin.iter().find(|url| url.starts_with("http:")).cloned();
        let first = |urls: Vec<String>| urls.into_iter().next().context("a registrar without URL");
        let (id, url, enrp) = (serving.id.parse()?, first(serving.asap)?, first(serving.enrp)?);
        let mut config = user::Config::new(vec![url.parse()?]);
        config.tls = self.keys.as_ref().map(Keys::own).transpose()?;
        let watcher = PoolUser::start(config.clone())?;
        let user = PoolUser::start(config)?;
        let (mut events, watchers) = (watcher.events(), self.watchers.clone());
        tokio::spawn(async move {
            while let Ok(event) = events.recv().await {
                if watchers.send((id, event)).is_err() {
                    return;
                }
            }
        });
        watcher.subscribe(&pool()?);
        let number = self.registrars.len() + 1;
        self.tell(format_args!("registrar {number} ({id}) serves at {url}"));
        self.registrars.push(Registrar { process, id, url, enrp, page, _watcher: watcher, user });
        Ok(())
    }

    /// Starts a process with the key of its role.
    pub(super) fn start(&self, role: Role, arguments: &[&str]) -> anyhow::Result<Process> {
        let keys = self.keys.as_ref().map(|keys| keys.arguments(role)).unwrap_or_default();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        Process::start(&[arguments, &keys].concat())
    }

    /// Arguments that name all registrars, beginning with another one for each who asks.
    pub(super) fn registrar_arguments(&self, who: usize) -> Vec<String> {
        let count = self.registrars.len();
        let urls = (0..count).map(|turn| &self.registrars[(who + turn) % count].url);
        urls.flat_map(|url| ["--registrar".into(), url.clone()]).collect()
    }

    /// Starts an echo server that joins the pool.
    pub(super) async fn add_element(&mut self) -> anyhow::Result<()> {
        let registrars = self.registrar_arguments(self.elements.len());
        let service = ["serve", "echo", "--pool", POOL, "--listen", "127.0.0.1:0"];
        let arguments: Vec<&str> = service
            .into_iter()
            .chain(["--exit-with-stdin"])
            .chain(registrars.iter().map(String::as_str))
            .collect();
        let mut process = self.start(Role::Server, &arguments)?;
        let joined: Joined = process.line().await?;
        let PeId(id) = joined.id.parse().context("an element without identifier")?;
        let name = format!("server {}", self.elements.len() + 1);
        let at = joined.urls.first().map_or("", String::as_str);
        self.tell(format_args!("{name} ({}) joined {POOL}, serves at {at}", joined.id));
        self.elements.insert(id, Element { process, name, has_failed: false });
        Ok(())
    }

    /// Starts the client and waits until a server has accepted it.
    pub(super) async fn start_client(&mut self) -> anyhow::Result<()> {
        let registrars = self.registrar_arguments(0);
        let arguments: Vec<&str> = ["demo-client", "--pool", POOL]
            .into_iter()
            .chain(registrars.iter().map(String::as_str))
            .collect();
        self.client = Some(self.start(Role::Client, &arguments)?);
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
        while self.sightings.try_recv().is_ok() {}
        let mut waiting: BTreeSet<RegistrarId> = self.registrars.iter().map(|it| it.id).collect();
        let signalled = element.process.strike(cause)?;
        let mut failover = Failover { cause, name, ..Failover::default() };
        // On a busy machine the client may have left the server just before.
        let mut has_left = false;
        while !has_left && failover.recovered_us == 0 || failover.removed_us == 0 {
            let sight = self.follow(victim, signalled, &mut failover, &mut waiting).await?;
            has_left |= sight == Observation::LeftBefore;
        }
        if has_left {
            self.tell(format_args!("   the client had left it just before; once more"));
            self.add_element().await?;
            return Box::pin(self.fail(cause)).await;
        }
        self.failovers.push(failover);
        Ok(())
    }

    /// Notes the next thing that happens after a failure. `waiting`: the registrars that have not
    /// removed the victim.
    async fn follow(
        &mut self,
        victim: u32,
        signalled: u64,
        failover: &mut Failover,
        waiting: &mut BTreeSet<RegistrarId>,
    ) -> anyhow::Result<Observation> {
        let client = self.client.as_mut().context("there is no client")?;
        tokio::select! {
            report = client.line::<Report>() => {
                let report = report?;
                self.note(&report);
                match report {
                    Report::Failed { at_us, .. } | Report::Recovered { at_us, .. }
                        if at_us < signalled =>
                    {
                        return Ok(Observation::LeftBefore);
                    }
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
            Some((registrar, event)) = self.sightings.recv() => {
                if is_without(&event, victim) && waiting.remove(&registrar) && waiting.is_empty() {
                    failover.removed_us = now_us().saturating_sub(signalled).max(1);
                    let after = milliseconds(failover.removed_us);
                    self.tell(format_args!("   it was out at every registrar after {after}"));
                }
            }
        }
        Ok(Observation::AsExpected)
    }

    /// Kills the registrar that looks after the client's server, and waits until the others say
    /// that each element has another home.
    pub(super) async fn kill_registrar(&mut self) -> anyhow::Result<()> {
        let victim = self.home_of_server().await?;
        let row = self.registrars.iter().position(|registrar| registrar.id == victim);
        let row = row.context("the server's registrar is unknown")?;
        self.tell(format_args!("kill -9 the registrar {victim}, which looks after the server"));
        let signalled = now_us();
        self.registrars.remove(row).process.strike(Cause::Killed)?;
        for registrar in &self.registrars {
            while !homes(&registrar.user).await?.iter().all(|home| *home != Some(victim)) {
                sleep(POLL).await;
            }
        }
        let takeover = Takeover { rehomed_us: now_us().saturating_sub(signalled) };
        let after = milliseconds(takeover.rehomed_us);
        self.tell(format_args!("   every server had another registrar after {after}"));
        self.takeovers.push(takeover);
        Ok(())
    }

    async fn home_of_server(&self) -> anyhow::Result<RegistrarId> {
        let user = &self.registrars.first().context("there is no registrar")?.user;
        let answer = user.resolve(&pool()?, None).await?;
        let server = answer.in_order().find(|element| element.id == PeId(self.server));
        server.and_then(|element| element.home).context("the client's server is unknown")
    }

    /// Ends the client, once it has its last answers.
    pub(super) async fn end_client(&mut self) -> anyhow::Result<()> {
        if let Some(client) = &mut self.client {
            client.end();
        }
        while !self.count.done {
            let report = self.report().await?;
            self.note(&report);
        }
        Ok(())
    }

    /// Ends everything, and sums it up.
    pub(super) fn close(mut self, picture: Picture) -> Summary {
        self.registrars.iter_mut().for_each(|registrar| registrar.process.end());
        Summary {
            backend: self.backend,
            count: self.count,
            failovers: self.failovers,
            takeovers: self.takeovers,
            picture,
            seconds: self.start.elapsed().as_secs_f64(),
        }
    }

    pub(super) async fn report(&mut self) -> anyhow::Result<Report> {
        self.client.as_mut().context("there is no client")?.line().await
    }

    pub(super) fn note(&mut self, report: &Report) {
        match *report {
            Report::Connected { server, .. } | Report::Recovered { server, .. } => {
                self.server = server;
            }
            Report::Count(count) => self.count = count,
            Report::Failed { .. } => {}
        }
    }

    pub(super) fn name(&self, id: u32) -> String {
        match self.elements.get(&id) {
            Some(element) => element.name.clone(),
            None => PeId(id).to_string(),
        }
    }

    pub(super) fn tell(&self, what: std::fmt::Arguments<'_>) {
        eprintln!("{:7.3} s  {what}", self.start.elapsed().as_secs_f64());
    }
}

fn pool() -> anyhow::Result<PoolHandle> {
    PoolHandle::new(POOL.as_bytes()).ok_or_else(|| anyhow!("no pool handle"))
}

/// True where an update says that the pool is rid of this element.
fn is_without(event: &UserEvent, id: u32) -> bool {
    match event {
        UserEvent::Updated { resolution: Some(resolution), .. } => {
            resolution.elements.iter().all(|element| element.id != PeId(id))
        }
        UserEvent::Updated { resolution: None, .. } => true,
        _ => false,
    }
}

/// How often a registrar is asked for the homes of elements.
const POLL: Duration = Duration::from_millis(2);

/// The home of each element, as a registrar knows it.
async fn homes(user: &PoolUser) -> anyhow::Result<Vec<Option<RegistrarId>>> {
    let answer = user.resolve(&pool()?, None).await?;
    Ok(answer.in_order().map(|element| element.home).collect())
}

/// Microseconds as people read them.
pub(super) fn milliseconds(us: u64) -> String {
    let us = Duration::from_micros(us).as_secs_f64() * 1e3;
    format!("{us:.1} ms")
}
