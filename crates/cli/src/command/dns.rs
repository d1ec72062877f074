//! `rserpool dns`: pools as names.

use std::net::SocketAddr;
use std::time::Duration;

use rserpool::wire::param::PoolHandle;
use rserpool_gateway::dns::{Config, Dns, DnsError, Order, Zone};
use serde_json::json;

use crate::command::resolve::pool_handle;
use crate::exit::Failure;
use crate::output::{Format, Output, shown};
use crate::registrars::RegistrarArgs;
use crate::runtime::{self, EndSignals};

/// Answer for a DNS zone in which pools have names.
///
/// NAME.ZONE has the addresses of the servers that the pool's policy picks (A, AAAA) and a description
/// (TXT), _NAME._tcp.ZONE all servers of the pool (SRV). It is authoritative for its zone only, over
/// UDP and TCP, and asks no other server. Without a registrar it answers what it knew last.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where queries come, over UDP and TCP; may be repeated. With port 0 the system chooses the port.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8053")]
    listen: Vec<SocketAddr>,

    /// The zone.
    #[arg(long, value_name = "NAME", default_value_t)]
    zone: Zone,

    /// A pool that is known from the start, whatever the case of the letters in a query is; may be
    /// repeated. Others are found as they are written in a query, or in lower case.
    #[arg(long = "pool", value_name = "HANDLE", value_parser = pool_handle)]
    pools: Vec<PoolHandle>,

    /// A further name of a pool, such as echo=EchoPool; may be repeated.
    #[arg(long = "name", value_name = "NAME=HANDLE", value_parser = alias)]
    names: Vec<(String, PoolHandle)>,

    /// How long resolvers may keep an answer, in whole seconds up to 60.
    #[arg(long, value_name = "DURATION", default_value = shown(Config::TTL), value_parser = ttl)]
    ttl: Duration,

    /// How many addresses an answer for addresses has.
    #[arg(long, value_name = "NUMBER", default_value_t = Config::ITEMS as u64, value_parser = clap::value_parser!(u64).range(1..=Config::ITEMS_MAX as u64))]
    items: u64,

    /// The numbers of SRV records: weights as the policy has them, or priorities 0, 1, 2 in its order.
    #[arg(long, value_enum, default_value = "weight")]
    order: Numbers,

    /// Octets of an answer over UDP to other hosts.
    #[arg(long, value_name = "NUMBER", default_value_t = Config::UDP_OCTETS_MAX as u64, value_parser = clap::value_parser!(u64).range(512..=65_507))]
    udp_octets_max: u64,

    /// For how long what was known last is told when there is no registrar.
    #[arg(long, value_name = "DURATION", default_value = shown(Config::STALE), value_parser = humantime::parse_duration)]
    stale: Duration,

    /// Answers over UDP in a second to one IPv4 address or /64 network of IPv6 of other hosts; who
    /// wants more is told to come over TCP.
    #[arg(long, value_name = "NUMBER", default_value_t = Config::RATE_PER_CLIENT)]
    rate_per_client: u32,

    #[command(flatten)]
    registrars: RegistrarArgs,
}

/// What the numbers of SRV records say.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Numbers {
    /// Weights, and the priorities of a priority policy.
    Weight,
    /// Priorities in the order of the policy.
    Strict,
}

const EXAMPLES: &str = "\
Example:
  rserpool dns --pool EchoPool
  dig @127.0.0.1 -p 8053 _echopool._tcp.rserpool.internal SRV";

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let config = self.config()?;
        for pool in config.pools.iter().chain(config.names.values()) {
            self.registrars.bear(pool)?;
        }
        runtime::block_on(async {
            let mut signals = EndSignals::new()?;
            let dns = Dns::start(config).await.map_err(|error| match error {
                error @ DnsError::Bind { .. } => {
                    anyhow::Error::from(error).context(Failure::Configuration)
                }
                DnsError::Start(error) => error.into(),
                error => error.into(),
            })?;
            let places: Vec<String> = dns.listen().iter().map(ToString::to_string).collect();
            let zone = self.zone.to_string();
            if output.format() == Format::Json {
                output.json(&json!({ "zone": zone, "listen": places }))?;
            } else {
                output.line(format_args!("{zone} at {}", places.join(", ")))?;
            }
            dns.run(signals.next()).await;
            Ok(())
        })
    }

    fn config(&self) -> anyhow::Result<Config> {
        let user = self.registrars.user()?;
        let mut config = Config::new(user, self.zone.clone(), self.listen.clone());
        config.pools.clone_from(&self.pools);
        config.names = self.names.iter().cloned().collect();
        (config.ttl, config.stale) = (self.ttl, self.stale);
        config.items = usize::try_from(self.items)?;
        config.udp_octets_max = usize::try_from(self.udp_octets_max)?;
        config.order = match self.order {
            Numbers::Weight => Order::Weight,
            Numbers::Strict => Order::Strict,
        };
        config.rate_per_client = self.rate_per_client;
        Ok(config)
    }
}

/// A further name of a pool as an argument.
fn alias(text: &str) -> Result<(String, PoolHandle), String> {
    let (name, handle) = text.split_once('=').ok_or("not such as echo=EchoPool")?;
    let is_octet = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
    if !(1..=62).contains(&name.len()) || !name.bytes().all(is_octet) {
        return Err(format!("`{name}` is no label: 1 to 62 letters, digits and hyphens"));
    }
    Ok((name.to_ascii_lowercase(), pool_handle(handle)?))
}

/// How long an answer is good as an argument.
fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let is_whole = ttl.subsec_nanos() == 0 && ttl <= Config::TTL_MAX;
    is_whole.then_some(ttl).ok_or_else(|| "whole seconds from 0s to 60s".into())
}
