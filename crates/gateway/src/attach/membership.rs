//! The server's place in its pool: in, out, and in again under the same identifier.

use std::time::Duration;

use rserpool::element::State;
use rserpool::wire::param::PolicyField;
use rserpool::{ElementConfig, Load, PoolElement, StartError};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a registrar may take to confirm that the server leaves.
const LEAVE_MAX: Duration = Duration::from_secs(1);
/// What a weight begins with, and what a load begins above.
const COLD: f64 = 0.1;

/// The server's place in its pool.
pub(super) struct Membership {
    config: ElementConfig,
    warmup: Duration,
    element: Option<(PoolElement, watch::Receiver<State>)>,
    /// Since when it is in the pool, until it is warm.
    warming: Option<Instant>,
}

impl Membership {
    pub(super) fn new(config: ElementConfig, warmup: Duration) -> Self {
        Self { config, warmup, element: None, warming: None }
    }

    /// On its way into the pool, or in it.
    pub(super) fn is_in(&self) -> bool {
        self.element.is_some()
    }

    /// Joins the pool; [`changed`](Self::changed) says what becomes of it.
    pub(super) fn enter(&mut self) -> Result<(), StartError> {
        self.warming = (!self.warmup.is_zero()).then(Instant::now);
        let mut config = self.config.clone();
        if self.warming.is_some() {
            config.policy = warmed(&self.config, 0.0);
        }
        let element = PoolElement::start(config)?;
        let state = element.watch();
        self.element = Some((element, state));
        Ok(())
    }

    /// Leaves the pool: confirmed, or after at most a second.
    pub(super) async fn leave(&mut self) {
        self.warming = None;
        if let Some((element, _)) = self.element.take() {
            self.config.id = Some(element.id());
            // Refused or not, it ends.
            let _ = element.drain(LEAVE_MAX).await;
        }
    }

    /// The next state of the membership.
    pub(super) async fn changed(&mut self) -> State {
        let Some((_, state)) = &mut self.element else { return std::future::pending().await };
        match state.changed().await {
            Ok(()) => state.borrow_and_update().clone(),
            Err(_) => std::future::pending().await,
        }
    }

    /// The configured registrars, each with what came of the last dial to it, in words.
    pub(super) fn attempts(&self) -> String {
        let attempts = self.element.iter().flat_map(|(element, _)| element.attempts());
        let texts: Vec<String> = attempts.map(|(url, it)| format!("{url} ({it})")).collect();
        texts.join(", ")
    }

    /// Gives a server that has just come a little more to do.
    pub(super) fn warm(&mut self) {
        let (Some(since), Some((element, _))) = (self.warming, &self.element) else { return };
        let part = since.elapsed().div_duration_f64(self.warmup).min(1.0);
        element.set_policy(warmed(&self.config, part));
        if part >= 1.0 {
            self.warming = None;
        }
    }
}

/// The policy of a server that is warm to this part.
fn warmed(config: &ElementConfig, part: f64) -> rserpool::Policy {
    let mut policy = config.policy.clone();
    if let Some(weight) = policy.get(PolicyField::Weight) {
        let warm = f64::from(weight) * (COLD + (1.0 - COLD) * part);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to weight")]
        let warm = (warm.round() as u32).max(1).min(weight);
        policy = policy.with(PolicyField::Weight, warm);
    }
    if let Some(load) = policy.get(PolicyField::Load) {
        let cold = Load::from_fraction((1.0 - COLD) * (1.0 - part));
        policy = policy.with(PolicyField::Load, load.max(cold.0));
    }
    policy
}

#[cfg(test)]
mod tests {
    use rserpool::{Policy, Transport};

    use super::*;

    #[test]
    fn weights_rise_and_loads_fall_while_it_gets_warm() {
        let at = |policy: &str, part| {
            let transport = Transport::tcp("127.0.0.1:1".parse().unwrap());
            let config = ElementConfig::new(Vec::new(), "P".parse().unwrap(), transport)
                .policy(policy.parse().unwrap());
            warmed(&config, part)
        };
        let policy = |text: &str| text.parse::<Policy>().unwrap();
        for (part, weight) in [(0.0, 10), (0.5, 55), (1.0, 100)] {
            let expected = policy(&format!("weighted-round-robin:{weight}"));
            assert_eq!(at("weighted-round-robin:100", part), expected);
        }
        assert_eq!(at("weighted-random:1", 0.0), policy("weighted-random:1"));
        let load = |part| Load(at("least-used", part).get(PolicyField::Load).unwrap()).fraction();
        assert!((load(0.0) - 0.9).abs() < 1e-6 && (load(0.5) - 0.45).abs() < 1e-6);
        assert_eq!(load(1.0), 0.0);
        assert_eq!(at("round-robin", 0.0), policy("round-robin"));
    }
}
