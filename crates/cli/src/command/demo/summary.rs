//! What is left of the demo: a table, or JSON.

use rserpool::transport::Backend;
use serde_json::json;

use super::client::Count;
use super::picture::Picture;
use crate::output::{Format, Output};
use rserpool_bench::process::Cause;

/// How the demo went.
pub(super) struct Summary {
    pub(super) backend: Backend,
    pub(super) count: Count,
    pub(super) failovers: Vec<Failover>,
    pub(super) takeovers: Vec<Takeover>,
    pub(super) picture: Picture,
    pub(super) seconds: f64,
}

/// One failure. Times are microseconds since the signal; 0 until it has happened.
pub(super) struct Failover {
    pub(super) cause: Cause,
    /// Who failed.
    pub(super) name: String,
    /// The client noticed.
    pub(super) detected_us: u64,
    /// The client had an answer from another server.
    pub(super) recovered_us: u64,
    /// Every registrar had removed it.
    pub(super) removed_us: u64,
}

/// One registrar's death.
pub(super) struct Takeover {
    /// Microseconds from the signal until every element had another home, at every registrar.
    pub(super) rehomed_us: u64,
}

impl Default for Failover {
    fn default() -> Self {
        let name = String::new();
        Self { cause: Cause::Killed, name, detected_us: 0, recovered_us: 0, removed_us: 0 }
    }
}

impl Summary {
    pub(super) fn print(&self, output: &mut Output) -> anyhow::Result<()> {
        if output.format() == Format::Json {
            return Ok(output.json(&self.json())?);
        }
        let Count { requests, answered, resent, .. } = self.count;
        let lost = requests.saturating_sub(answered);
        let rows = self.failovers.iter().map(|failover| {
            vec![
                failover.name.clone(),
                failover.cause.label().into(),
                format!("{:.1} ms", ms(failover.detected_us)),
                format!("{:.1} ms", ms(failover.recovered_us)),
                format!("{:.1} ms", ms(failover.removed_us)),
            ]
        });
        output.line("")?;
        output.rows(&["SERVER", "WAS", "NOTICED", "ANSWERED AGAIN", "OUT OF THE POOL"], rows)?;
        for takeover in &self.takeovers {
            let after = ms(takeover.rehomed_us);
            output.line(format_args!(
                "\na registrar was killed: its servers had another one after {after:.1} ms"
            ))?;
        }
        let Picture { file, identical, tiles, resumed, elapsed_ms, .. } = &self.picture;
        let verdict = if *identical { "identical to" } else { "NOT THE SAME AS" };
        output.line(format_args!(
            "\n{file}: {tiles} tiles by a pool whose servers died, {resumed} of them resumed, in \
             {:.1} s; {verdict} the picture computed by one process",
            elapsed_ms / 1e3
        ))?;
        output.line(format_args!(
            "\n{requests} requests over {}: {answered} answered, {resent} of them sent again, \
             {lost} lost, in {:.1} s",
            self.backend, self.seconds
        ))?;
        Ok(())
    }

    fn json(&self) -> serde_json::Value {
        let Count { requests, answered, resent, .. } = self.count;
        let failover = |failover: &Failover| {
            json!({
                "cause": failover.cause.label(),
                "detected_ms": ms(failover.detected_us),
                "recovered_ms": ms(failover.recovered_us),
                "removed_ms": ms(failover.removed_us),
            })
        };
        json!({
            "transport": match self.backend {
                Backend::KernelSctp => "kernel-sctp",
                Backend::Tls => "tls",
                _ => "userland-sctp",
            },
            "requests": requests,
            "answered": answered,
            "resent": resent,
            "lost": requests.saturating_sub(answered),
            "failovers": self.failovers.iter().map(failover).collect::<Vec<_>>(),
            "registrars": self
                .takeovers
                .iter()
                .map(|takeover| json!({ "cause": "killed", "rehomed_ms": ms(takeover.rehomed_us) }))
                .collect::<Vec<_>>(),
            "picture": &self.picture,
            "seconds": (self.seconds * 1e3).round() / 1e3,
        })
    }
}

/// Milliseconds, to the microsecond.
fn ms(us: u64) -> f64 {
    (std::time::Duration::from_micros(us).as_secs_f64() * 1e6).round() / 1e3
}
