//! `rserpool undrain`: elements that users are told of again.

use rserpool_web::Method;
use serde_json::Value;

use crate::acts::{Which, act};
use crate::admin::AdminArgs;
use crate::output::Output;
use crate::runtime;

/// Tell users of an element again.
///
/// Every registrar is asked that --admin names. Nothing is wrong where it was not drained.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    admin: AdminArgs,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let admin = self.admin.open()?;
        runtime::block_on(async {
            let targets = self.which.targets(&admin).await?;
            let said = |_: &Value| "listed".to_owned();
            act(&admin, targets, (Method::DELETE, "hold"), &Value::Null, said, output).await
        })
    }
}
