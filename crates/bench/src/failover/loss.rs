//! Three registrars, and the one that a user and an element speak with fails.

use std::time::Duration;

use rserpool::PoolElement;
use rserpool::wire::param::Policy;
use tokio::time::sleep;

use crate::clock::now_us;
use crate::load::{Attempt, Load, element_at_first, gap_ms, handle};
use crate::process::Cause;
use crate::report::{Round, ms};
use crate::scope::{Scope, Setting};

/// Elements that are just there, at each registrar.
const ELEMENTS: usize = 5;
/// How long the load goes on undisturbed before and after.
const CALM: Duration = Duration::from_millis(500);
/// How often the load is looked at.
const LOOK: Duration = Duration::from_millis(5);

pub(super) async fn round(setting: Setting, cause: Cause) -> anyhow::Result<Round> {
    let mut scope = Scope::open(setting, 3).await?;
    let elements = populate(setting, &scope).await?;
    let load = Load::start(setting, &scope.urls(), handle("Asked")?).await?;
    sleep(CALM).await;
    let calm_from = now_us();
    sleep(CALM).await;

    let signalled = scope.strike(cause)?;
    let takeover = scope.taken_over().await?;
    let is_served = |attempts: &[Attempt]| {
        attempts.iter().any(|attempt| attempt.succeeded && attempt.begun_us > signalled)
    };
    while !is_served(&load.resolutions()) || !is_served(&load.registrations()) {
        sleep(LOOK).await;
    }
    sleep(CALM).await;

    let end = now_us();
    let (resolutions, registrations) = (load.resolutions(), load.registrations());
    // The one that renews itself is an element, too.
    scope.agree(1, elements.len() + 1).await?;
    let failed = |attempt: &&Attempt| !attempt.succeeded;
    let (later, in_flight): (Vec<&Attempt>, Vec<&Attempt>) = resolutions
        .iter()
        .filter(failed)
        .filter(|attempt| attempt.ended_us >= signalled)
        .partition(|attempt| attempt.begun_us > signalled);
    Ok(Round(vec![
        ("resolution_gap_ms", gap_ms(&resolutions, signalled, end)),
        ("calm_resolution_gap_ms", gap_ms(&resolutions, calm_from, signalled)),
        ("registration_gap_ms", gap_ms(&registrations, signalled, end)),
        ("calm_registration_gap_ms", gap_ms(&registrations, calm_from, signalled)),
        ("failed", later.len() as f64),
        ("failed_in_flight", in_flight.len() as f64),
        ("noticed_ms", ms(takeover.noticed_us.saturating_sub(signalled))),
        ("changed_ms", ms(takeover.changed_us.saturating_sub(signalled))),
    ]))
}

/// Elements at each registrar; those of the first one know all of them.
async fn populate(setting: Setting, scope: &Scope) -> anyhow::Result<Vec<PoolElement>> {
    let urls = scope.urls();
    let mut elements = Vec::new();
    for (number, url) in urls.iter().enumerate() {
        let known = if number == 0 { &urls[..] } else { std::slice::from_ref(url) };
        for _ in 0..ELEMENTS {
            let policy = Policy::round_robin();
            elements.push(element_at_first(setting, known, handle("Asked")?, policy, None).await?);
        }
    }
    Ok(elements)
}
