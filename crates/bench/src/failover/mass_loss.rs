//! Very many elements whose home fails.

use std::time::Duration;

use tokio::time::sleep;

use crate::crowd::{Crowd, Plan};
use crate::process::Cause;
use crate::report::{Round, ms};
use crate::scope::{Scope, Setting};

/// Its pools.
const NAME: &str = "Crowd";
/// How long nothing happens before.
const CALM: Duration = Duration::from_secs(1);
/// How often the crowd is looked at.
const LOOK: Duration = Duration::from_millis(5);

pub(super) async fn round(setting: Setting, cause: Cause, elements: u32) -> anyhow::Result<Round> {
    let mut scope = Scope::open(setting, 3).await?;
    let crowd = Crowd::start(Plan { setting, registrars: scope.urls(), elements, name: NAME })?;
    crowd.registered(elements).await?;
    scope.agree(0, elements as usize).await?;
    sleep(CALM).await;

    let signalled = scope.strike(cause)?;
    let takeover = scope.taken_over().await?;
    while crowd.moved() < elements {
        crowd.check()?;
        sleep(LOOK).await;
    }
    scope.agree(1, elements as usize).await?;
    let since = |at_us: u64, from_us: u64| ms(at_us.saturating_sub(from_us));
    Ok(Round(vec![
        ("noticed_ms", since(takeover.noticed_us, signalled)),
        ("changed_ms", since(takeover.changed_us, signalled)),
        ("moved_ms", since(takeover.changed_us, takeover.begun_us)),
        ("settled_ms", since(crowd.last_moved_us(), takeover.begun_us)),
        ("removed", f64::from(crowd.removed())),
    ]))
}
