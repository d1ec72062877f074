//! Registrars as processes that know each other.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rserpool::observer;
use rserpool::proto::registrar;
use rserpool::proto::timing::{Profile, Timing};
use rserpool::transport::{Address, Scheme, probe};
use rserpool::wire::param::{PeId, PoolHandle, RegistrarId};
use serde::Deserialize;
use tokio::time::sleep;

use crate::process::{Cause, Entry, Log, Process};

/// What a scenario is played with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) scheme: Scheme,
    pub(super) profile: Profile,
}

impl Setting {
    pub(super) fn timing(self) -> Timing {
        Timing::of(self.profile)
    }
}

/// Registrars that know each other. The first one is the one that fails.
pub(super) struct Scope {
    setting: Setting,
    /// What else each registrar is told.
    arguments: Vec<String>,
    pub(super) nodes: Vec<Node>,
}

/// A registrar.
pub(super) struct Node {
    process: Process,
    log: Log,
    pub(super) id: RegistrarId,
    pub(super) asap: Address,
    enrp: Address,
}

/// When what happened after a registrar failed.
pub(super) struct Takeover {
    /// Somebody declared it dead.
    pub(super) noticed_us: u64,
    /// Somebody decided to take it over.
    pub(super) begun_us: u64,
    /// Nobody alive has it as the home of any element any more.
    pub(super) changed_us: u64,
}

/// Homes of elements.
#[derive(PartialEq)]
struct Homes(BTreeMap<(PoolHandle, PeId), Option<RegistrarId>>);

/// What `rserpool registrar` prints.
#[derive(Deserialize)]
struct Serving {
    asap: Vec<String>,
    enrp: Vec<String>,
}

/// A transport as an argument.
pub(super) fn scheme(name: &str) -> Result<Scheme, String> {
    let schemes = [Scheme::Tcp, Scheme::UserlandSctp, Scheme::KernelSctp, Scheme::Sctp];
    schemes
        .into_iter()
        .find(|scheme| scheme.to_string() == name)
        .ok_or_else(|| "one of tcp, sctp, sctp+udp, sctp+kernel".into())
}

/// A profile as an argument.
pub(super) fn profile(name: &str) -> Result<Profile, String> {
    Profile::ALL.iter().copied().find(|profile| profile.label() == name).ok_or_else(|| {
        let names: Vec<&str> = Profile::ALL.iter().map(|profile| profile.label()).collect();
        format!("one of {}", names.join(", "))
    })
}

/// The transports that were chosen; by default all that work here.
pub(super) fn schemes(chosen: &[Scheme]) -> Vec<Scheme> {
    if !chosen.is_empty() {
        return chosen.to_vec();
    }
    let kernel = probe::kernel_sctp_available().is_ok().then_some(Scheme::KernelSctp);
    [Scheme::Tcp, Scheme::UserlandSctp].into_iter().chain(kernel).collect()
}

/// How long a registrar takes to ask so many elements whether they live, at its default rate.
pub(super) fn supervision_round(elements: u32) -> Duration {
    let rate = registrar::Config::default().supervision_rate_max;
    Duration::from_secs_f64(f64::from(elements) / f64::from(rate.get()))
}

/// What of the registrars' logs is read.
const LOGGED: &str = "off,rserpool::enrp=info";
/// Between two looks at handlespaces that are not yet the same.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long it may take to tell a handlespace.
const LOOK_MAX: Duration = Duration::from_secs(60);

impl Scope {
    /// So many registrars; all serve and know each other.
    pub(super) async fn open(setting: Setting, count: u32) -> anyhow::Result<Self> {
        Self::open_with(setting, count, Vec::new()).await
    }

    /// The same, with further arguments for each of them.
    pub(super) async fn open_with(
        setting: Setting,
        count: u32,
        arguments: Vec<String>,
    ) -> anyhow::Result<Self> {
        let mut scope = Self { setting, arguments, nodes: Vec::new() };
        for number in 1..=count {
            let mut node = scope.start(number)?;
            node.serves().await?;
            scope.nodes.push(node);
        }
        scope.meet().await?;
        Ok(scope)
    }

    /// Starts a registrar that knows all that there are.
    pub(super) fn start(&self, id: u32) -> anyhow::Result<Node> {
        let id = RegistrarId::new(id).context("no identifier")?;
        Node::start(self.setting, id, &self.nodes, &self.arguments)
    }

    /// Waits until each registrar has met every other one.
    async fn meet(&mut self) -> anyhow::Result<()> {
        let others = self.nodes.len() - 1;
        for node in &mut self.nodes {
            for _ in 0..others {
                node.until(&["peer up"], None).await?;
            }
        }
        Ok(())
    }

    /// URLs for elements and users, the first registrar's first.
    pub(super) fn urls(&self) -> Vec<Address> {
        self.nodes.iter().map(|node| node.asap.clone()).collect()
    }

    /// Lets the first registrar fail; when that was.
    pub(super) fn strike(&self, cause: Cause) -> anyhow::Result<u64> {
        self.nodes.first().context("there is no registrar")?.strike(cause)
    }

    /// Waits until the first registrar is taken over at all others.
    pub(super) async fn taken_over(&mut self) -> anyhow::Result<Takeover> {
        let [victim, others @ ..] = &mut self.nodes[..] else {
            anyhow::bail!("there is no registrar");
        };
        let dead = Some(victim.id);
        let mut takeover = Takeover { noticed_us: u64::MAX, begun_us: u64::MAX, changed_us: 0 };
        for node in others {
            loop {
                let of_interest = ["peer lost", "takeover begun", "takeover won", "taken over"];
                let entry = node.until(&of_interest, dead).await?;
                let at_us = entry.at_us()?;
                match entry.message() {
                    "peer lost" => takeover.noticed_us = takeover.noticed_us.min(at_us),
                    "takeover begun" => takeover.begun_us = takeover.begun_us.min(at_us),
                    _ => {
                        takeover.changed_us = takeover.changed_us.max(at_us);
                        break;
                    }
                }
            }
        }
        ensure!(takeover.noticed_us < u64::MAX, "nobody noticed that a registrar was gone");
        Ok(takeover)
    }

    /// Waits until all registrars from `first` on know the same `elements` elements, none of them
    /// at a home that is not among them.
    pub(super) async fn agree(&self, first: usize, elements: usize) -> anyhow::Result<()> {
        let nodes = self.nodes.get(first..).unwrap_or_default();
        let lives = |home: &Option<RegistrarId>| nodes.iter().any(|node| Some(node.id) == *home);
        loop {
            let mut all = Vec::new();
            for node in nodes {
                all.push(node.homes().await?);
            }
            let is_same = all.windows(2).all(|pair| pair[0] == pair[1]);
            let is_complete =
                |homes: &Homes| homes.0.len() == elements && homes.0.values().all(lives);
            if is_same && all.iter().all(is_complete) {
                return Ok(());
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

impl Node {
    fn start(
        setting: Setting,
        id: RegistrarId,
        peers: &[Self],
        more: &[String],
    ) -> anyhow::Result<Self> {
        let url = format!("{}://127.0.0.1:0", setting.scheme);
        let (id_text, profile) = (id.to_string(), setting.profile.label());
        let mut arguments = vec!["registrar", "--id", &id_text, "--profile", profile];
        arguments.extend(["--asap", &url, "--enrp", &url, "--exit-with-stdin"]);
        let peers: Vec<String> = peers.iter().map(|peer| peer.enrp.to_string()).collect();
        arguments.extend(peers.iter().flat_map(|peer| ["--peer", peer]));
        arguments.extend(more.iter().map(String::as_str));
        let (process, log) = Process::start_with_log(&arguments, LOGGED)?;
        let nowhere: Address = url.parse()?;
        Ok(Self { process, log, id, asap: nowhere.clone(), enrp: nowhere })
    }

    /// Waits until it serves.
    pub(super) async fn serves(&mut self) -> anyhow::Result<()> {
        let serving: Serving = self.process.line().await?;
        self.asap = serving.asap.first().context("a registrar without URL")?.parse()?;
        self.enrp = serving.enrp.first().context("a registrar without URL")?.parse()?;
        Ok(())
    }

    /// Waits for one of these entries in its log; of this other registrar, where given.
    pub(super) async fn until(
        &mut self,
        messages: &[&str],
        peer: Option<RegistrarId>,
    ) -> anyhow::Result<Entry> {
        let peer = peer.map(|peer| peer.to_string());
        loop {
            let entry = self.log.next().await?;
            let fits = peer.as_ref().is_none_or(|peer| entry.text("peer") == peer);
            if fits && messages.contains(&entry.message()) {
                return Ok(entry);
            }
        }
    }

    /// The number of its process.
    pub(super) fn process(&self) -> anyhow::Result<u32> {
        self.process.id()
    }

    /// Lets it fail; when that was.
    pub(super) fn strike(&self, cause: Cause) -> anyhow::Result<u64> {
        self.process.strike(cause)
    }

    /// Its handlespace.
    async fn homes(&self) -> anyhow::Result<Homes> {
        let mut config = observer::Config::new(self.enrp.clone());
        config.timeout = LOOK_MAX;
        let table = observer::table(config).await.context("cannot see a handlespace")?;
        let homes = table.into_iter().flat_map(|(handle, elements)| {
            let home = move |(id, element): (PeId, rserpool::wire::param::PoolElement)| {
                ((handle.clone(), id), element.home)
            };
            elements.into_iter().map(home)
        });
        Ok(Homes(homes.collect()))
    }
}
