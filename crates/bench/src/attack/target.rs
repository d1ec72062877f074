//! Who is attacked: two registrars as processes, on one processor.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rserpool::transport::Address;
use rserpool::wire::param::{PeId, PoolHandle, RegistrarId};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStderr;
use tokio::time::{Instant, sleep};

use crate::load::handle;
use crate::process::Process;
use crate::usage::resident;

/// The registrars that are attacked.
pub(super) struct Target {
    nodes: [Node; 2],
    pub(super) pool: PoolHandle,
    /// The honest elements, and the ports at which they serve.
    pub(super) elements: Vec<(PeId, u16)>,
    log_octets: Arc<AtomicU64>,
    /// A log that nobody reads.
    _unread: Vec<ChildStderr>,
}

/// What becomes of what registrars log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stderr {
    Counted,
    Unread,
}

/// All that an attacker knows.
#[derive(Clone, Debug)]
pub(super) struct Aim {
    pub(super) asap: SocketAddr,
    pub(super) asap_udp: SocketAddr,
    pub(super) asap_second: SocketAddr,
    pub(super) enrp: SocketAddr,
    pub(super) id: RegistrarId,
    pub(super) second: RegistrarId,
    pub(super) pool: PoolHandle,
    pub(super) elements: Vec<(PeId, u16)>,
}

struct Node {
    process: Process,
    asap: Vec<Address>,
    enrp: Address,
    id: RegistrarId,
}

/// What `rserpool registrar` prints.
#[derive(Deserialize)]
struct Serving {
    asap: Vec<String>,
    enrp: Vec<String>,
}

/// The processor of the registrars.
const PROCESSOR: usize = 0;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

impl Target {
    /// Starts two registrars that know each other, with default settings.
    pub(super) async fn open(stderr: Stderr) -> anyhow::Result<Self> {
        let (log_octets, mut unread) = (Arc::<AtomicU64>::default(), Vec::new());
        let mut start = async |id, peer: Option<&Node>| -> anyhow::Result<Node> {
            let (node, log) = Node::start(id, peer).await?;
            match stderr {
                Stderr::Counted => count(log, Arc::clone(&log_octets)),
                Stderr::Unread => unread.push(log),
            }
            Ok(node)
        };
        // Each dials the other one, so that both have it configured.
        let first = start(0x11, None).await?;
        let second = start(0x22, Some(&first)).await?;
        let pool = handle("Honest")?;
        let nodes = [first, second];
        Ok(Self { nodes, pool, elements: Vec::new(), log_octets, _unread: unread })
    }

    /// Where honest ones turn to: the first registrar only, over TCP.
    pub(super) fn urls(&self) -> Vec<Address> {
        self.nodes[0].asap.first().cloned().into_iter().collect()
    }

    /// The TCP ports of both registrars.
    pub(super) fn ports(&self) -> [SocketAddr; 2] {
        self.nodes.each_ref().map(|node| node.asap_at(0))
    }

    pub(super) fn aim(&self) -> Aim {
        let [first, second] = &self.nodes;
        Aim {
            asap: first.asap_at(0),
            asap_udp: first.asap_at(1),
            asap_second: second.asap_at(0),
            enrp: here(first.enrp.port),
            id: first.id,
            second: second.id,
            pool: self.pool.clone(),
            elements: self.elements.clone(),
        }
    }

    /// Memory of the first registrar.
    pub(super) fn resident(&self) -> anyhow::Result<u64> {
        resident(self.nodes[0].process.id()?)
    }

    /// The most memory of the first registrar in this time.
    pub(super) async fn most_resident(&self, span: Duration) -> anyhow::Result<u64> {
        let end = Instant::now() + span;
        let mut most = self.resident()?;
        while Instant::now() < end {
            sleep(LOOK).await;
            most = most.max(self.resident()?);
        }
        Ok(most)
    }

    /// How much both registrars have logged so far.
    pub(super) fn log_octets(&self) -> u64 {
        self.log_octets.load(Ordering::Relaxed)
    }
}

impl Node {
    async fn start(id: u32, peer: Option<&Self>) -> anyhow::Result<(Self, ChildStderr)> {
        let id = RegistrarId::new(id).context("no identifier")?;
        let id_text = id.to_string();
        let mut arguments = vec!["registrar", "--id", &id_text, "--exit-with-stdin"];
        arguments.extend(["--asap", "tcp://127.0.0.1:0", "--asap", "sctp+udp://127.0.0.1:0"]);
        arguments.extend(["--enrp", "tcp://127.0.0.1:0"]);
        let peer = peer.map(|peer| peer.enrp.to_string());
        arguments.extend(peer.iter().flat_map(|peer| ["--peer", peer]));
        let (mut process, log) = Process::start_with_stderr(&arguments)?;
        let serving: Serving = process.line().await?;
        let asap: Vec<Address> =
            serving.asap.iter().map(|url| url.parse()).collect::<Result<_, _>>()?;
        let enrp = serving.enrp.first().context("a registrar without URL")?.parse()?;
        let mut set = CpuSet::new();
        set.set(PROCESSOR);
        let number = i32::try_from(process.id()?).ok().and_then(Pid::from_raw);
        sched_setaffinity(number, &set).context("cannot give a processor to a registrar")?;
        Ok((Self { process, asap, enrp, id }, log))
    }

    /// The nth of its ASAP ports.
    fn asap_at(&self, number: usize) -> SocketAddr {
        here(self.asap.get(number).map_or(0, |url| url.port))
    }
}

fn here(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Counts what is logged, and looks at none of it.
fn count(mut log: ChildStderr, octets: Arc<AtomicU64>) {
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = log.read(&mut buffer).await {
            octets.fetch_add(count as u64, Ordering::Relaxed);
        }
    });
}
