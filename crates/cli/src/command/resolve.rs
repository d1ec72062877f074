//! `rserpool resolve`: which elements a pool has.

use anyhow::Context as _;
use rserpool::proto::user::Answer;
use rserpool::wire::param::PoolHandle;
use rserpool::{PoolUser, user};

use crate::exit::no_registrar;
use crate::output::{Format, Output};
use crate::pools::{HEADINGS, element_with_home, pool_json, row};
use crate::registrars::RegistrarArgs;
use crate::runtime;
use crate::waiting;

/// Ask which elements a pool has.
///
/// The elements are in the order of the pool's policy, as a client would use them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pool handle.
    #[arg(value_parser = pool_handle)]
    pool: PoolHandle,

    /// The most elements to list, 1 or more. By default all, up to the items_max of the registrar
    /// (1000).
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    items: Option<u32>,

    #[command(flatten)]
    registrars: RegistrarArgs,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        self.registrars.bear(&self.pool)?;
        runtime::block_on(async {
            let mut config = user::Config::new(self.registrars.urls());
            config.listen = self.registrars.listen();
            config.timing = self.registrars.timing();
            config.tls = self.registrars.keys()?;
            let user = PoolUser::start(config)?;
            let resolving = user.resolve(&self.pool, self.items);
            let answer = waiting::aloud(resolving, || self.registrars.waits_for(&user)).await;
            let answer = answer
                .map_err(|error| {
                    no_registrar(error, &self.registrars.describe_after(&user.attempts()))
                })
                .with_context(|| format!("cannot resolve {}", self.pool))?;
            print(output, &answer)
        })
    }
}

/// A pool handle as an argument.
pub(crate) fn pool_handle(text: &str) -> Result<PoolHandle, String> {
    PoolHandle::from_text(text).ok_or_else(|| "a pool handle has 1 to 65000 octets".into())
}

fn print(output: &mut Output, answer: &Answer) -> anyhow::Result<()> {
    let resolution = &answer.resolution;
    if output.format() == Format::Json {
        let (handle, policy) = (&resolution.handle, &resolution.policy_type);
        return Ok(output.json(&pool_json(
            handle,
            policy,
            answer.in_order().map(element_with_home),
        ))?);
    }
    Ok(output.rows(&HEADINGS, answer.in_order().map(row))?)
}
