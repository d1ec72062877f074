//! A registrar joins one that has very many elements.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::sleep;

use crate::clock::now_us;
use crate::crowd::{Crowd, Plan, pool};
use crate::load::{Attempt, Load, gap_ms, latencies_ms};
use crate::process::Cause;
use crate::report::{Round, ms, quantile};
use crate::scope::{Scope, Setting};

/// Its pools.
const NAME: &str = "Crowd";
/// How long the load goes on undisturbed before each round.
const CALM: Duration = Duration::from_secs(1);
/// Joining registrars have identifiers above this one.
const FIRST_ID: u32 = 0x100;

/// A registrar with its elements, and a user that asks it.
pub(super) struct Stage {
    scope: Scope,
    crowd: Crowd,
    load: Load,
    elements: u32,
}

impl Stage {
    pub(super) async fn open(setting: Setting, elements: u32) -> anyhow::Result<Self> {
        let scope = Scope::open(setting, 1).await?;
        let crowd = Crowd::start(Plan { setting, registrars: scope.urls(), elements, name: NAME })?;
        crowd.registered(elements).await?;
        let load = Load::of_user(setting, &scope.urls(), pool(NAME, 0)?).await?;
        Ok(Self { scope, crowd, load, elements })
    }

    pub(super) async fn round(&mut self, number: u32) -> anyhow::Result<Round> {
        let calm_from = now_us();
        sleep(CALM).await;
        let begun = now_us();
        let mut joining = self.scope.start(FIRST_ID + number)?;
        joining.serves().await?;
        let serving = now_us();
        let entry = joining.until(&["synchronised"], None).await?;
        let told = entry.fields.get("elements").and_then(serde_json::Value::as_u64);
        let wanted = self.elements;
        ensure!(told == Some(wanted.into()), "it has {told:?} of {wanted} elements");
        self.crowd.check()?;

        let resolutions = self.load.resolutions();
        joining.strike(Cause::Killed)?;
        let mentor = &mut self.scope.nodes[0];
        mentor.until(&["takeover won"], Some(joining.id)).await?;
        let failed = |a: &&Attempt| !a.succeeded && a.ended_us > begun;
        let during = latencies_ms(&resolutions, begun, serving);
        let calm = latencies_ms(&resolutions, calm_from, begun);
        Ok(Round(vec![
            ("serving_s", ms(serving.saturating_sub(begun)) / 1e3),
            ("resolution_p50_ms", quantile(during.clone(), 0.5)),
            ("resolution_p99_ms", quantile(during, 0.99)),
            ("resolution_gap_ms", gap_ms(&resolutions, begun, serving)),
            ("calm_resolution_p50_ms", quantile(calm.clone(), 0.5)),
            ("calm_resolution_p99_ms", quantile(calm, 0.99)),
            ("calm_resolution_gap_ms", gap_ms(&resolutions, calm_from, begun)),
            ("failed", resolutions.iter().filter(failed).count() as f64),
        ]))
    }
}
