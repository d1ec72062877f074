//! A registrar and ping-pong servers, each a process of its own.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use rserpool::transport::{Address, Scheme};
use rserpool::wire::param::{PeId, PoolHandle};
use rserpool::{PoolUser, user};
use serde::Deserialize;

use crate::load::handle;
use crate::process::{Cause, Process};

const POOL: &str = "BenchPool";

/// The pool.
pub(super) fn pool() -> anyhow::Result<PoolHandle> {
    handle(POOL)
}

/// A registrar and the servers of the pool.
pub(super) struct Servers {
    scheme: Scheme,
    registrar: Address,
    _registrar: Process,
    servers: BTreeMap<PeId, Process>,
    last: u32,
}

/// What `rserpool registrar` prints.
#[derive(Deserialize)]
struct Serving {
    asap: Vec<String>,
}

impl Servers {
    /// A registrar without servers.
    pub(super) async fn open(scheme: Scheme) -> anyhow::Result<Self> {
        let url = format!("{scheme}://127.0.0.1:0");
        let mut process = Process::start(&["registrar", "--asap", &url, "--exit-with-stdin"])?;
        let serving: Serving = process.line().await?;
        let registrar = serving.asap.first().context("a registrar without URL")?.parse()?;
        Ok(Self { scheme, registrar, _registrar: process, servers: BTreeMap::new(), last: 0 })
    }

    /// Starts a server; it is in the pool when this returns.
    pub(super) async fn add(&mut self, policy: &str) -> anyhow::Result<PeId> {
        self.last += 1;
        let (id, registrar) = (self.last.to_string(), self.registrar.to_string());
        let transport = if self.scheme == Scheme::Tcp { "tcp" } else { "sctp" };
        let mut process = Process::start(&[
            "serve",
            "pingpong",
            "--pool",
            POOL,
            "--listen",
            "127.0.0.1:0",
            "--id",
            &id,
            "--transport",
            transport,
            "--policy",
            policy,
            "--sessions-max",
            "30000",
            // All of them are on this host.
            "--sessions-per-source-max",
            "30000",
            "--registrar",
            &registrar,
            "--exit-with-stdin",
        ])?;
        process.line::<serde::de::IgnoredAny>().await?;
        self.servers.insert(PeId(self.last), process);
        Ok(PeId(self.last))
    }

    /// Lets a server fail; when that was, in microseconds.
    pub(super) fn strike(&mut self, id: PeId, cause: Cause) -> anyhow::Result<u64> {
        let victim = self.servers.get(&id).context("the session is at an unknown server")?;
        victim.strike(cause)
    }

    /// Forgets a server that has failed.
    pub(super) fn remove(&mut self, id: PeId) -> anyhow::Result<()> {
        ensure!(self.servers.remove(&id).is_some(), "an unknown server");
        Ok(())
    }

    /// A client of the pool.
    pub(super) fn user(&self) -> anyhow::Result<PoolUser> {
        Ok(PoolUser::start(user::Config::new(vec![self.registrar.clone()]))?)
    }
}
