use rand::RngExt;
use rand::rngs::StdRng;
use rserpool_wire::param::{Load, Policy, PolicyField};
use rserpool_wire::registry::PolicyType;

/// What is simulated. The defaults are those of the published experiments.
///
/// Three values hang together: request size, request interval and the ratio of users to elements
/// give the load; here the interval follows from the others and [`Self::target`].
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// How elements are selected. Default: round robin.
    pub selection: Selection,
    /// Number of elements. Default 10.
    pub elements: u32,
    /// Users for each element, any number above 0; in all there are as many as this gives, rounded.
    /// Default 10.
    pub ratio: f64,
    /// Calculations per second of an element, on the average. Default 10⁶.
    pub capacity: f64,
    /// How capacities differ. Default: not at all.
    pub capacities: Capacities,
    /// So much of its capacity an element wants to have for each job: it accepts as many at a time
    /// as it can give that to. Default 10⁴.
    pub capacity_per_job: f64,
    /// Calculations of a request, on the average. Default 10⁶.
    pub size: f64,
    /// How sizes are distributed. Default: exponentially.
    pub sizes: Sizes,
    /// The utilisation that the load would give if no capacity were ever idle while somebody waits;
    /// above 0, up to 1. Default 0.8.
    pub target: f64,
    /// Seconds that a message takes from one host to another. Default 0.
    pub delay: f64,
    /// Seconds that are counted. Default two hours.
    pub duration: f64,
    /// How many elements a resolution lists; users turn to the first. Default 1.
    pub items: u32,
    /// How many of the listed elements lose their turn. Default 1.
    pub increment: u32,
    /// How elements end. Default: not at all.
    pub element_failures: Option<ElementFailures>,
    /// Elements tell users how far they are each time they made so many calculations of a job;
    /// infinite is never. Default 10⁷.
    pub cookie_calculations: f64,
    /// How users find out that an element is dead. Default 50 s and 50 s.
    pub session_keep_alive: KeepAlive,
    /// How registrars do. Default 50 s and 50 s.
    pub endpoint_keep_alive: KeepAlive,
    /// Seconds that users wait for an element's answer to a request. Default 50.
    pub request_timeout: f64,
    /// So many reports of users remove an element. Default: however many, they do not.
    pub reports_max: Option<u32>,
    /// Seconds that a registration stands. Default 300.
    pub lifetime: f64,
    /// Number of registrars. Default 1.
    pub registrars: u32,
    /// How registrars fail. Default: not at all.
    pub registrar_failures: Option<RegistrarFailures>,
    /// Registrars ask others to take over those elements that these are better for. Default no.
    pub takeover_suggestion: bool,
    /// Number of attackers. Default 0.
    pub attackers: u32,
    /// What attackers do.
    pub attack: Option<Attack>,
    /// What registrars put up with. Default: everything.
    pub limits: RateLimits,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            selection: Selection::of(PolicyType::ROUND_ROBIN),
            elements: 10,
            ratio: 10.0,
            capacity: 1e6,
            capacities: Capacities::Equal,
            capacity_per_job: 1e4,
            size: 1e6,
            sizes: Sizes::Exponential,
            target: 0.8,
            delay: 0.0,
            duration: 7200.0,
            items: 1,
            increment: 1,
            element_failures: None,
            cookie_calculations: 1e7,
            session_keep_alive: KeepAlive { interval: 50.0, timeout: 50.0 },
            endpoint_keep_alive: KeepAlive { interval: 50.0, timeout: 50.0 },
            request_timeout: 50.0,
            reports_max: None,
            lifetime: 300.0,
            registrars: 1,
            registrar_failures: None,
            takeover_suggestion: false,
            attackers: 0,
            attack: None,
            limits: RateLimits::default(),
        }
    }
}

impl Scenario {
    /// Number of users; at least one.
    pub fn users(&self) -> u32 {
        whole(self.ratio * f64::from(self.elements)).max(1)
    }

    /// Seconds between two jobs of a user, on the average.
    pub fn interval(&self) -> f64 {
        self.ratio.max(1.0) * self.size / (self.target * self.capacity)
    }

    /// Seconds from one registration to the next.
    pub fn reregistration_interval(&self) -> f64 {
        (self.lifetime - 20.0).clamp(1.0, 600.0)
    }

    /// The capacity of each element.
    pub(super) fn capacities(&self, rng: &mut StdRng) -> Vec<f64> {
        let (count, mean) = (f64::from(self.elements), self.capacity);
        let of = |number: u32, rng: &mut StdRng| match self.capacities {
            Capacities::Equal => mean,
            Capacities::FastServers { times, share } => {
                let fast = (share * count).round();
                let slow = count * mean / (fast * times + count - fast);
                if f64::from(number) < fast { slow * times } else { slow }
            }
            Capacities::Linear { spread } => linear(mean, spread, number, self.elements),
            Capacities::Uniform { spread } => uniform(mean, spread, rng),
            Capacities::TruncatedNormal { deviation } => loop {
                let capacity = mean * (1.0 + deviation * normal(rng));
                if capacity > 0.0 {
                    break capacity;
                }
            },
        };
        (0..self.elements).map(|number| of(number, rng)).collect()
    }

    /// The size of a request of this user.
    pub(super) fn draw_size(&self, user: usize, rng: &mut StdRng) -> f64 {
        match self.sizes {
            Sizes::Exponential => exponential(self.size, rng),
            Sizes::Linear { spread } => {
                let user = u32::try_from(user).unwrap_or(u32::MAX);
                linear(self.size, spread, user, self.users())
            }
            Sizes::Uniform { spread } => uniform(self.size, spread, rng),
        }
    }
}

/// A policy, and what elements give it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Selection {
    /// The policy.
    pub policy_type: PolicyType,
    /// By how much a selection raises the load, between 0 and 1; `None` is what one job is of it.
    pub degradation: Option<f64>,
}

impl Selection {
    /// A policy with its default degradation.
    pub const fn of(policy_type: PolicyType) -> Self {
        Self { policy_type, degradation: None }
    }

    /// What an element registers: without jobs, with room for so many, and this much capacity.
    pub(super) fn policy(self, capacity: f64, jobs_max: u32) -> Policy {
        let degradation = self.degradation.unwrap_or_else(|| 1.0 / f64::from(jobs_max));
        let weight = match self.policy_type {
            PolicyType::WEIGHTED_ROUND_ROBIN => capacity / 1e5,
            _ => capacity,
        };
        Policy::of_type(self.policy_type)
            .with(PolicyField::Weight, whole(weight).max(1))
            .with(PolicyField::LoadDegradation, Load::from_fraction(degradation).0)
    }
}

/// How capacities of elements differ; all of them together are the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Capacities {
    /// Not at all.
    Equal,
    /// A share of the elements is so many times as fast as the others.
    FastServers {
        /// How many times.
        times: f64,
        /// The share, between 0 and 1.
        share: f64,
    },
    /// Rising evenly from the first to the last. As published; the fastest is not `spread` times as
    /// fast as the slowest.
    Linear {
        /// 1 is no difference.
        spread: f64,
    },
    /// Drawn evenly between the slowest and `spread` times that.
    Uniform {
        /// 1 is no difference.
        spread: f64,
    },
    /// Drawn from a normal distribution, until above 0.
    TruncatedNormal {
        /// Standard deviation, as a share of the mean.
        deviation: f64,
    },
}

/// How sizes of requests are distributed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sizes {
    /// Exponentially.
    Exponential,
    /// Rising evenly from the first user to the last; all of one user are equal.
    Linear {
        /// As with [`Capacities::Linear`].
        spread: f64,
    },
    /// Evenly between the smallest and `spread` times that.
    Uniform {
        /// 1 is all alike.
        spread: f64,
    },
}

/// Something that is sent regularly and has to be answered in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeepAlive {
    /// Seconds between two.
    pub interval: f64,
    /// Seconds to wait for the answer.
    pub timeout: f64,
}

impl KeepAlive {
    /// When it is noticed that somebody ended at `end`, whom the first one was sent to one interval
    /// after `start`. A keep-alive takes `delay` to get there.
    pub(super) fn noticed(self, start: f64, end: f64, delay: f64) -> f64 {
        let before = ((end - delay - start) / self.interval).ceil().max(1.0);
        start + before * self.interval + self.timeout
    }
}

/// How elements end. They start anew at once, as somebody else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ElementFailures {
    /// Seconds until an element ends, on the average; exponentially distributed.
    pub uptime: f64,
    /// The share of those that end cleanly: they deregister, and tell users how far they came.
    pub clean: f64,
}

/// How registrars fail, and come back with nothing but their identifiers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegistrarFailures {
    /// Seconds until a registrar fails, on the average; exponentially distributed.
    pub uptime: f64,
    /// Seconds until it is back, on the average; exponentially distributed.
    pub downtime: f64,
    /// The first one never fails.
    pub first_is_safe: bool,
}

/// What attackers do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attack {
    /// Resolve the pool, and report the element that was listed.
    Resolutions {
        /// Seconds from one to the next.
        interval: f64,
        /// The share of elements that is reported.
        report: f64,
    },
    /// Register elements that answer registrars, and no users.
    Registrations {
        /// Seconds from one to the next.
        interval: f64,
        /// Registrars hold each attacker to one identifier.
        one_identifier: bool,
    },
}

impl Attack {
    pub(super) fn interval(self) -> f64 {
        match self {
            Self::Resolutions { interval, .. } | Self::Registrations { interval, .. } => interval,
        }
    }
}

/// Most attempts of one user in a second; those beyond are ignored. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RateLimits {
    /// Of resolutions.
    pub resolutions: Option<f64>,
    /// Of reports.
    pub reports: Option<f64>,
}

/// Exponentially distributed.
pub(super) fn exponential(mean: f64, rng: &mut StdRng) -> f64 {
    -(1.0 - rng.random::<f64>()).ln() * mean
}

/// Between the smallest and `spread` times that.
fn uniform(mean: f64, spread: f64, rng: &mut StdRng) -> f64 {
    let least = mean / (1.0 + (spread - 1.0) / 2.0);
    if spread > 1.0 { rng.random_range(least..spread * least) } else { mean }
}

/// The value of one of `count`, which rise evenly.
fn linear(mean: f64, spread: f64, number: u32, count: u32) -> f64 {
    if count < 2 {
        return mean;
    }
    let count = f64::from(count);
    let least = mean / (1.0 + (spread - 1.0) / count);
    let step = (count * mean - count * least) / (count * (count - 1.0) / 2.0);
    least + f64::from(number) * step
}

/// Standard normal (Box and Muller).
fn normal(rng: &mut StdRng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// Rounded to a whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is out of range becomes the nearer end"
)]
pub(crate) fn whole(number: f64) -> u32 {
    number.round() as u32
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-6 * b.abs()
    }

    #[test]
    fn the_interval_follows_from_ratio_size_and_target() {
        let scenario = Scenario { ratio: 3.0, size: 1e7, ..Scenario::default() };
        assert!(close(scenario.interval(), 37.5));
        assert_eq!(scenario.users(), 30);
        // Fewer users than elements do not work harder for it.
        assert!(close(Scenario { ratio: 0.5, ..Scenario::default() }.interval(), 1.25));
    }

    #[test]
    fn capacities_differ_and_their_sum_does_not() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut of =
            |capacities| Scenario { capacities, ..Scenario::default() }.capacities(&mut rng);
        let fast = of(Capacities::FastServers { times: 8.0, share: 0.1 });
        assert!(close(fast[0], 8.0 * fast[9]) && close(fast.iter().sum(), 1e7));
        let linear = of(Capacities::Linear { spread: 4.0 });
        assert!(linear.is_sorted() && close(linear.iter().sum(), 1e7));
        assert!(close(linear[0], 1e6 / 1.3));
    }

    #[test]
    fn draws_have_the_mean_that_was_asked_for() {
        let mut rng = StdRng::seed_from_u64(2);
        for sizes in [Sizes::Exponential, Sizes::Uniform { spread: 2.0 }] {
            let scenario = Scenario { sizes, ..Scenario::default() };
            let sum: f64 = (0..100_000).map(|_| scenario.draw_size(0, &mut rng)).sum();
            assert!((sum / 1e11 - 1.0).abs() < 0.02, "{sizes:?}: {sum}");
        }
    }

    #[test]
    fn the_dead_are_noticed_after_the_first_keep_alive_that_misses_them() {
        let keep_alive = KeepAlive { interval: 10.0, timeout: 3.0 };
        assert!(close(keep_alive.noticed(100.0, 104.0, 0.0), 113.0));
        assert!(close(keep_alive.noticed(100.0, 114.0, 0.0), 123.0));
        // The one of second 110 was still on the way.
        assert!(close(keep_alive.noticed(100.0, 110.4, 0.5), 113.0));
    }
}
