//! `rserpool dump`: a registrar's handlespace, over ENRP.

use std::time::Duration;

use anyhow::Context as _;
use rserpool::observer::{self, Table};
use rserpool::proto::dialect::Dialect;
use rserpool::transport::Address;
use rserpool::wire::param::{PoolElement, RegistrarId};

use crate::exit::no_registrar;
use crate::keys::KeyArgs;
use crate::output::{Format, Output};
use crate::pools::{HEADINGS, element_with_home, pool_json, row};
use crate::registrars::dialect;
use crate::runtime;
use crate::waiting;

/// Show the pools and elements that a registrar knows.
///
/// It asks over ENRP and does not join the scope of the registrar. Each element is shown with its
/// home, which is the registrar that supervises it. ENRP does not tell the registrar's peers and
/// counters: see its log.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The registrar's ENRP endpoint, such as sctp://10.0.0.1:9901.
    #[arg(long, value_name = "URL", value_parser = enrp_url)]
    enrp: Address,

    /// Only the elements whose home this registrar is.
    #[arg(long)]
    own: bool,

    /// How the registrar speaks: rfc or rsplib. A registrar of rsplib answers only to registrars: it
    /// takes this program for one for some 10 s.
    #[arg(long, value_name = "DIALECT", default_value = "rfc", value_parser = dialect)]
    dialect: Dialect,

    /// How long it may take altogether.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,

    #[command(flatten)]
    keys: KeyArgs,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let greet_as = match self.dialect {
            Dialect::Rsplib => {
                eprintln!(
                    "rserpool: the registrar takes this program for another registrar for some 10 s"
                );
                RegistrarId::new(std::process::id())
            }
            _ => None,
        };
        let url = self.enrp.to_string();
        let config = observer::Config::new(self.enrp)
            .own_only(self.own)
            .greet_as(greet_as)
            .timeout(self.timeout)
            .tls(self.keys.read()?);
        let table = runtime::block_on(async {
            let table = observer::table(config);
            Ok(waiting::aloud(table, || format!("the registrar at {url}")).await)
        })?;
        let table = table.map_err(|error| no_registrar(error, &url)).context("cannot dump")?;
        print(output, &table)
    }
}

/// The URL of an ENRP endpoint as an argument.
pub(crate) fn enrp_url(text: &str) -> Result<Address, String> {
    Address::parse(text, Address::ENRP_PORT).map_err(|error| error.to_string())
}

fn print(output: &mut Output, table: &Table) -> anyhow::Result<()> {
    if output.format() == Format::Json {
        let pools = table.iter().filter_map(|(handle, elements)| {
            let policy = elements.values().next()?.policy.policy_type();
            Some(pool_json(handle, &policy, elements.values().map(element_with_home)))
        });
        return Ok(output.json(&pools.collect::<Vec<_>>())?);
    }
    let headings: Vec<&str> = ["POOL"].into_iter().chain(HEADINGS).collect();
    let rows = table.iter().flat_map(|(handle, elements)| {
        let cells = move |element: &PoolElement| [vec![handle.to_string()], row(element)].concat();
        elements.values().map(cells)
    });
    Ok(output.rows(&headings, rows)?)
}
