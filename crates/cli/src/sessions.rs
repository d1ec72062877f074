//! How the clients keep their sessions.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use rserpool::session::{self, KeepAlive};
use rserpool::transport::Ppid;
use rserpool::wire::param::PoolHandle;
use rserpool::{Attempt, PoolUser, ResolveError, Session, SessionError};

use crate::command::resolve::pool_handle;
use crate::exit::no_registrar;
use crate::registrars::RegistrarArgs;
use crate::waiting;
use rserpool_services::Kind;

/// Which pool a client turns to: by its place or by its name.
#[derive(Args, Clone, Debug)]
pub(crate) struct PoolArg {
    /// The pool handle. By default that of the service; rsplib uses the same.
    #[arg(value_name = "POOL", value_parser = pool_handle)]
    pool: Option<PoolHandle>,

    /// The same as POOL.
    #[arg(long = "pool", value_name = "HANDLE", value_parser = pool_handle, conflicts_with = "pool")]
    named: Option<PoolHandle>,
}

impl PoolArg {
    /// The pool that was named, or the default of this service.
    pub(crate) fn of(&self, service: Kind) -> anyhow::Result<PoolHandle> {
        let named = self.pool.clone().or_else(|| self.named.clone());
        named.or_else(|| service.default_pool()).context("no pool handle")
    }
}

/// How patient sessions are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sessions")]
pub(crate) struct SessionArgs {
    /// Wait for a registrar, for the pool, and for a server that accepts, however long it takes.
    #[arg(long)]
    wait: bool,

    /// How long to look for a server that accepts the session.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    failover_timeout: Duration,

    /// How many servers to dial in one search. By default as many as there is time for.
    #[arg(long, value_name = "NUMBER")]
    dials_max: Option<NonZeroU32>,

    /// How often the server is asked whether it lives; 0s is never.
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = humantime::parse_duration)]
    keep_alive: Duration,

    /// A server that answers such questions and is then silent for this long has failed.
    #[arg(long, value_name = "DURATION", default_value = "1500ms", value_parser = humantime::parse_duration)]
    keep_alive_deadline: Duration,

    #[command(flatten)]
    registrars: RegistrarArgs,
}

/// Sends a message. To a server that has failed nothing is sent, and that is no error: the failover
/// that the session tells of says what is to be sent again.
pub(crate) async fn say(session: &Session, octets: &[u8]) -> anyhow::Result<()> {
    match session.send(octets).await {
        Ok(()) | Err(session::SendError::ServerLost) => Ok(()),
        Err(error) => Err(error).context("cannot send"),
    }
}

/// So many servers in a row may take a session and do nothing of use in it.
pub(crate) const FRUITLESS_MAX: u32 = 10;
/// How long a server may take what is still on its way at the end of a session.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// As good as for ever.
pub(crate) const EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl SessionArgs {
    /// The pool user for all sessions of a command.
    pub(crate) fn user(&self) -> anyhow::Result<PoolUser> {
        Ok(PoolUser::start(self.registrars.user()?)?)
    }

    /// Connects to a server of the pool.
    pub(crate) async fn connect(
        &self,
        user: &PoolUser,
        pool: &PoolHandle,
        ppid: Ppid,
    ) -> anyhow::Result<Session> {
        self.registrars.bear(pool)?;
        let connecting = Session::connect(user.clone(), pool.clone(), self.config(ppid));
        waiting::aloud(connecting, || self.waits_for(user, pool))
            .await
            .map_err(|error| no_registrar(error, &self.registrars.describe_after(&user.attempts())))
            .with_context(|| format!("cannot connect to {pool}"))
    }

    /// What a session without a server waits for.
    fn waits_for(&self, user: &PoolUser, pool: &PoolHandle) -> String {
        let attempts = user.attempts();
        match attempts.iter().any(|(_, attempt)| *attempt == Attempt::Up) {
            true => format!("a server of {pool} that accepts"),
            false => self.registrars.waits_for(user),
        }
    }

    /// Why a session ends for good, for people.
    pub(crate) fn explain(&self, pool: &PoolHandle, error: SessionError) -> anyhow::Error {
        // That it is unknown now is news: the session had a server before, and has failed.
        let error = match error {
            SessionError::Resolve(error @ ResolveError::UnknownPool) => anyhow!("{error}"),
            error => no_registrar(error, &self.registrars.describe()),
        };
        error.context(format!("nobody goes on with the session with {pool}"))
    }

    fn config(&self, ppid: Ppid) -> session::Config {
        let (interval, deadline) = (self.keep_alive, self.keep_alive_deadline);
        session::Config::new()
            .ppid(ppid)
            .failover_timeout(if self.wait { EVER } else { self.failover_timeout })
            .waits_for_pool(self.wait)
            .dials_max(self.dials_max)
            .keep_alive((!interval.is_zero()).then(|| KeepAlive::new(interval, deadline)))
            .close_timeout(CLOSE_TIMEOUT)
            .timing(self.registrars.timing())
    }
}
