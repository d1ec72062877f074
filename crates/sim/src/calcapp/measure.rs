use super::element::Element;
use super::scenario::Scenario;

/// What came of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measures {
    /// Calculations made, of those that all elements together could have made; 0 to 1.
    pub utilisation: f64,
    /// Calculations of completed jobs for each second between their coming up and their completion,
    /// as a share of an element's average capacity.
    pub handling_speed: f64,
    /// Resolutions for each completed job.
    pub resolutions_per_job: f64,
    /// How often an element said no, for each time that it said yes.
    pub rejects_per_accept: f64,
    /// Elements that had something to do.
    pub elements_used: f64,
    /// Seconds that a job stood still because its element had ended, on the average over failovers.
    pub failover_seconds: f64,
    /// Messages between registrars and everybody else, in a second.
    pub asap_rate: f64,
    /// Updates among registrars, in a second.
    pub update_rate: f64,
    /// The share of all elements that has the first registrar as its home.
    pub share_of_first: f64,
    /// How often a registrar took over the elements of another, in an hour.
    pub takeovers_per_hour: f64,
    /// Completed jobs.
    pub jobs: f64,
}

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) jobs: u64,
    pub(super) calculations: f64,
    pub(super) handling_seconds: f64,
    pub(super) resolutions: u64,
    pub(super) accepts: u64,
    pub(super) rejects: u64,
    pub(super) failovers: u64,
    pub(super) failover_seconds: f64,
    pub(super) asap_messages: u64,
    pub(super) updates: u64,
    pub(super) takeovers: u64,
    /// Elements homed at the first registrar, times seconds.
    pub(super) owned_by_first: f64,
}

impl Tally {
    pub(super) fn measures(&self, scenario: &Scenario, elements: &[Element]) -> Measures {
        let duration = scenario.duration;
        let capacity: f64 = elements.iter().map(|element| element.capacity).sum();
        let count = f64::from(scenario.elements);
        let keep_alives = 2.0 * count / scenario.endpoint_keep_alive.interval;
        let used = elements.iter().filter(|element| element.calculated > 0.0).count();
        let calculated: f64 = elements.iter().map(|element| element.calculated).sum();
        Measures {
            utilisation: calculated / (capacity * duration),
            handling_speed: ratio(self.calculations, self.handling_seconds) / scenario.capacity,
            resolutions_per_job: ratio(number(self.resolutions), number(self.jobs)),
            rejects_per_accept: ratio(number(self.rejects), number(self.accepts)),
            elements_used: number(used as u64),
            failover_seconds: ratio(self.failover_seconds, number(self.failovers)),
            asap_rate: number(self.asap_messages) / duration + keep_alives,
            update_rate: number(self.updates) / duration,
            share_of_first: self.owned_by_first / (duration * count),
            takeovers_per_hour: number(self.takeovers) / duration * 3600.0,
            jobs: number(self.jobs),
        }
    }
}

/// 0 where there was nothing.
fn ratio(of: f64, to: f64) -> f64 {
    if to > 0.0 { of / to } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "a simulation does not count that far")]
fn number(count: u64) -> f64 {
    count as f64
}
