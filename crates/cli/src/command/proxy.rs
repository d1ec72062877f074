//! `rserpool proxy`: a pool behind a local port.

use std::time::Duration;

use rserpool::wire::param::PoolHandle;
use rserpool_gateway::proxy::{Config, Place, Proxy, ProxyError, ProxyProtocol, Removed};
use rustix::process::{Resource, getrlimit};
use serde_json::json;
use tracing::info;

use crate::command::resolve::pool_handle;
use crate::exit::Failure;
use crate::output::{Format, Output, shown};
use crate::pools::with_pool;
use crate::registrars::RegistrarArgs;
use crate::runtime::{self, EndSignals};

/// Put a pool behind a local port, for clients that know nothing of pools.
///
/// Each connection goes to the server that the pool's policy picks, and to the next one where that
/// cannot be reached. A connection that is cut by its server is cut for the client: what was asked is
/// not asked again. Without a registrar it goes on with the servers that it knows. On SIGTERM and
/// SIGINT it accepts nothing more and lets connections finish (--drain); a second signal ends it at
/// once.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The pool handle.
    #[arg(value_name = "POOL", value_parser = pool_handle, required_unless_present = "pool_option")]
    pool: Option<PoolHandle>,

    /// The pool handle, said with a name.
    #[arg(long = "pool", value_name = "HANDLE", value_parser = pool_handle, conflicts_with = "pool")]
    pool_option: Option<PoolHandle>,

    /// Where clients come, such as tcp://127.0.0.1:8080, udp://127.0.0.1:5060 or unix:/run/web.sock; may
    /// be repeated. With port 0 the system chooses the port.
    #[arg(long, value_name = "URL", required = true)]
    listen: Vec<Place>,

    /// The most servers that are tried for a connection. By default all that are known, until --wait
    /// is over.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    tries: Option<u32>,

    /// How long a server may take to accept a connection.
    #[arg(long, value_name = "DURATION", default_value = shown(Config::CONNECT_TIMEOUT), value_parser = humantime::parse_duration)]
    connect_timeout: Duration,

    /// How long a connection waits for a server that accepts it, also while the pool is empty or no
    /// registrar is there; it is reset then.
    #[arg(long, value_name = "DURATION", default_value = shown(Config::WAIT), value_parser = humantime::parse_duration)]
    wait: Duration,

    /// The most connections at once; more wait in the queue of the system.
    #[arg(long, value_name = "NUMBER", default_value_t = Config::CONNECTIONS_MAX as u32, value_parser = clap::value_parser!(u32).range(1..=Config::CONNECTIONS_LIMIT as i64))]
    connections_max: u32,

    /// The most connections at once of one IPv4 address or /64 network of IPv6; more are reset. By
    /// default seven eighths of all, and for this host all.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    connections_per_source_max: Option<u32>,

    /// How long a connection may live over which nothing goes.
    #[arg(long, value_name = "DURATION", default_value = shown(Config::IDLE), value_parser = humantime::parse_duration)]
    idle: Duration,

    /// The same where one direction has ended.
    #[arg(long, value_name = "DURATION", default_value = shown(Config::HALF_CLOSED), value_parser = humantime::parse_duration)]
    half_closed: Duration,

    /// How long a flow of datagrams, which is a client's address, keeps its server while none goes over
    /// it.
    #[arg(long, value_name = "DURATION", default_value = shown(Config::FLOW_IDLE), value_parser = humantime::parse_duration)]
    flow_idle: Duration,

    /// What becomes of the connections of a server that leaves the pool: silent:5s resets those that
    /// have asked something and heard nothing for so long, keep lets all go on, close resets all.
    #[arg(long, value_name = "RULE", default_value_t = Config::REMOVED)]
    removed: Removed,

    /// Send all connections of an IP address to the same server, as long as it is in the pool.
    #[arg(long, value_name = "BY", value_parser = ["source"])]
    stick: Option<String>,

    /// Tell servers which client it is, by the PROXY protocol, v1 or v2: all of them have to expect
    /// that.
    #[arg(long, value_name = "VERSION")]
    proxy_protocol: Option<ProxyProtocol>,

    /// How long connections may go on when the proxy is to end; the rest is reset.
    #[arg(long, value_name = "DURATION", default_value = shown(Config::DRAIN), value_parser = humantime::parse_duration)]
    drain: Duration,

    #[command(flatten)]
    registrars: RegistrarArgs,
}

const EXAMPLES: &str = "\
Example:
  rserpool proxy web --listen tcp://127.0.0.1:8000
  curl http://127.0.0.1:8000/";

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let config = self.config()?;
        let pool = config.pool.clone();
        self.registrars.bear(&pool)?;
        runtime::block_on(async {
            let mut signals = EndSignals::new()?;
            let mut more = EndSignals::new()?;
            let config = within_descriptors(config);
            let proxy = Proxy::start(config).await.map_err(|error| match error {
                error @ ProxyError::Bind { .. } => {
                    anyhow::Error::from(error).context(Failure::Configuration)
                }
                error => error.into(),
            })?;
            let urls: Vec<String> = proxy.listen().iter().map(ToString::to_string).collect();
            if output.format() == Format::Json {
                output.json(&with_pool(&pool, json!({ "urls": urls })))?;
            } else {
                output.line(format_args!("{pool} at {}", urls.join(", ")))?;
            }
            let second = async move {
                // Both see the first one.
                more.next().await;
                more.next().await;
            };
            proxy.run(async move { signals.next().await }, second).await;
            Ok(())
        })
    }

    fn config(&self) -> anyhow::Result<Config> {
        let user = self.registrars.user()?;
        let pool = self.pool.clone().or_else(|| self.pool_option.clone());
        let pool = pool.ok_or(Failure::Usage)?;
        let mut config = Config::new(user, pool, self.listen.clone());
        (config.tries, config.connect_timeout) = (self.tries, self.connect_timeout);
        (config.wait, config.drain) = (self.wait, self.drain);
        config.connections_max = self.connections_max as usize;
        config.per_source_max = self.connections_per_source_max.map(|max| max as usize);
        (config.idle, config.half_closed) = (self.idle, self.half_closed);
        config.flow_idle = self.flow_idle;
        (config.removed, config.stick_to_source) = (self.removed, self.stick.is_some());
        config.proxy_protocol = self.proxy_protocol;
        Ok(config)
    }
}

/// No more connections than there are descriptors: two for each, and some for all else.
fn within_descriptors(mut config: Config) -> Config {
    const OTHERS: u64 = 64;
    let Some(limit) = getrlimit(Resource::Nofile).current else { return config };
    let room = usize::try_from(limit.saturating_sub(OTHERS) / 2).unwrap_or(usize::MAX).max(1);
    if room < config.connections_max {
        info!(connections_max = room, "fewer connections: see ulimit -n");
        config.connections_max = room;
    }
    config
}
