//! `rserpool elements`: the elements that a registrar knows, and how it supervises its own.

use rserpool::wire::param::{PoolHandle, RegistrarId};
use serde_json::Value;

use crate::admin::{AdminArgs, cell, encoded, span};
use crate::command::resolve::pool_handle;
use crate::output::{Format, Output};
use crate::runtime;

/// Show the elements that a registrar knows.
///
/// Also how it supervises those that are its own. Over its admin API: see --admin.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only those of this pool.
    #[arg(value_parser = pool_handle)]
    pool: Option<PoolHandle>,

    /// Only those that this registrar looks after.
    #[arg(long, value_name = "NUMBER")]
    home: Option<RegistrarId>,

    /// Only those that the registrar that is asked looks after.
    #[arg(long, conflicts_with = "home")]
    own: bool,

    #[command(flatten)]
    admin: AdminArgs,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let admin = self.admin.open()?;
        let pool = self.pool.map(|pool| encoded(pool.to_string().as_bytes()));
        let mut path = match pool {
            Some(pool) => format!("/v1/pools/{pool}/elements?own={}", self.own),
            None => format!("/v1/elements?own={}", self.own),
        };
        if let Some(home) = self.home {
            path += &format!("&home={}", home);
        }
        let elements = runtime::block_on(async { admin.list(&path).await })?;
        if output.format() == Format::Json {
            return Ok(output.json(&elements)?);
        }
        let headings =
            ["POOL", "ELEMENT", "WHERE", "HOME", "STATE", "POLICY", "RTT", "ASKED", "REPORTS"];
        Ok(output.rows(&headings, elements.iter().map(row))?)
    }
}

fn row(element: &Value) -> Vec<String> {
    let supervision = &element["supervision"];
    let asked = span(&supervision["asked_ms_ago"]);
    vec![
        cell(&element["pool"]),
        cell(&element["id"]),
        place(element),
        cell(&element["home"]),
        if element["listed"] == false { "held" } else { "listed" }.to_owned(),
        cell(&element["policy"]["type"]),
        span(&supervision["rtt_ms"]),
        if asked.is_empty() { asked } else { format!("{asked} ago") },
        cell(&supervision["reports"]),
    ]
}

/// Where an element serves.
fn place(element: &Value) -> String {
    let addresses = element["addresses"].as_array().into_iter().flatten();
    let addresses: Vec<String> = addresses.map(cell).collect();
    let port = cell(&element["port"]);
    match addresses.as_slice() {
        [only] if only.contains(':') => format!("[{only}]:{port}"),
        [only] => format!("{only}:{port}"),
        all => format!("{}:{port}", all.join(",")),
    }
}
