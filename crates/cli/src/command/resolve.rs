//! `rserpool resolve`: which elements a pool has.

use anyhow::Context as _;
use rserpool::proto::user::Answer;
use rserpool::wire::param::{Load, PoolElement, PoolHandle, Transport};
use rserpool::{PoolUser, user};
use serde_json::{Map, Value, json};

use crate::failure::no_registrar;
use crate::output::{Format, Output};
use crate::registrars::RegistrarArgs;
use crate::runtime;

/// Asks a registrar for elements of a pool, in the order of the pool's policy.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pool handle.
    #[arg(value_parser = pool_handle)]
    pool: PoolHandle,

    /// At most so many elements. All by default.
    #[arg(long, value_name = "NUMBER")]
    items: Option<u32>,

    #[command(flatten)]
    registrars: RegistrarArgs,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        runtime::block_on(async {
            let mut config = user::Config::new(self.registrars.registrars.clone());
            config.listen = self.registrars.listen();
            config.user.timing = self.registrars.timing();
            let user = PoolUser::start(config)?;
            let answer = user.resolve(&self.pool, self.items).await;
            let answer = answer
                .map_err(|error| no_registrar(error, &self.registrars.describe()))
                .with_context(|| format!("cannot resolve {}", self.pool))?;
            print(output, &answer)
        })
    }
}

/// A pool handle as an argument.
pub(crate) fn pool_handle(text: &str) -> Result<PoolHandle, String> {
    PoolHandle::new(text.as_bytes()).ok_or_else(|| "a pool handle has 1 to 65000 octets".into())
}

fn print(output: &mut Output, answer: &Answer) -> anyhow::Result<()> {
    if output.format() == Format::Json {
        let resolution = &answer.resolution;
        return Ok(output.json(&json!({
            "pool": resolution.handle.to_string(),
            "policy": resolution.policy_type.to_string(),
            "elements": answer.in_order().map(element_json).collect::<Vec<_>>(),
        }))?);
    }
    let rows = answer.in_order().map(|element| {
        let transport = &element.user_transport;
        let addresses: Vec<String> =
            transport.addresses().iter().map(ToString::to_string).collect();
        vec![
            element.id.to_string(),
            transport_name(transport).into(),
            addresses.join(","),
            transport.port().map_or_else(String::new, |port| port.to_string()),
            element.policy.to_string(),
            element.home.map_or_else(String::new, |home| home.to_string()),
        ]
    });
    let headings = ["ELEMENT", "TRANSPORT", "ADDRESSES", "PORT", "POLICY", "HOME"];
    Ok(output.rows(&headings, rows)?)
}

/// An element as JSON: identifiers as text, loads as fractions.
fn element_json(element: &PoolElement) -> Value {
    let mut policy = Map::new();
    policy.insert("type".into(), element.policy.policy_type().to_string().into());
    for (field, value) in element.policy.fields() {
        let value =
            if field.is_fraction() { json!(rounded(Load(value).fraction())) } else { json!(value) };
        policy.insert(field.label().into(), value);
    }
    json!({
        "id": element.id.to_string(),
        "transport": transport_name(&element.user_transport),
        "addresses": element.user_transport.addresses(),
        "port": element.user_transport.port(),
        "policy": policy,
        "home": element.home.map(|home| home.to_string()),
    })
}

/// As exact as anyone wants it: a load that was given as 0.25 comes out as 0.25.
fn rounded(fraction: f64) -> f64 {
    (fraction * 1e6).round() / 1e6
}

/// The transport protocol, as in URLs.
pub(crate) fn transport_name(transport: &Transport) -> &'static str {
    match transport {
        Transport::Sctp(_) => "sctp",
        Transport::Tcp { .. } => "tcp",
        Transport::Udp { .. } => "udp",
        Transport::UdpLite { .. } => "udp-lite",
        Transport::Dccp { .. } => "dccp",
        Transport::Opaque(_) => "opaque",
    }
}
