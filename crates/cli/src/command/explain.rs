//! `rserpool explain`: why an element is in its pool, or is not any more.

use rserpool::wire::param::PoolHandle;

use crate::admin::{AdminArgs, encoded};
use crate::command::events::show;
use crate::command::resolve::pool_handle;
use crate::output::{Format, Output};
use crate::runtime;

/// Say why an element is in its pool, or is not any more.
///
/// A sentence, then what happened to the element as far back as its registrar remembers: the last
/// 1024 removals, and 4096 other events. Ask the registrar that is its home. Over the admin API: see
/// --admin.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pool handle.
    #[arg(value_parser = pool_handle)]
    pool: PoolHandle,

    /// The element's identifier, such as 0xb268716b.
    id: String,

    #[command(flatten)]
    admin: AdminArgs,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let admin = self.admin.open()?;
        let (pool, id) = (encoded(self.pool.to_string().as_bytes()), encoded(self.id.as_bytes()));
        let path = format!("/v1/pools/{pool}/elements/{id}/explain");
        let explained = runtime::block_on(async { admin.get(&path).await })?;
        if output.format() == Format::Json {
            return Ok(output.json(&explained)?);
        }
        output.line(explained["text"].as_str().unwrap_or_default())?;
        let history = explained["history"].as_array().into_iter().flatten();
        history.into_iter().try_for_each(|event| show(event, output))
    }
}
