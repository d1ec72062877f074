//! A handlespace that is measured, with a timer for each element.

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rserpool::proto::deadlines::{Deadlines, Key};
use rserpool::proto::handlespace::{Config, ElementIndex, Handlespace, Resolution};
use rserpool::proto::time::Time;
use rserpool::wire::param::{
    PeId, Policy, PolicyField, PoolElement, PoolHandle, RegistrarId, RegistrationLife,
    SctpTransport, Transport, TransportUse,
};
use rserpool::wire::registry::PolicyType;

use super::Shape;
use crate::load::handle;
use crate::usage::{resident, thread_time};

/// What a round measures, in its order; the last one only where there are very many elements.
pub(super) const MEASURES: [&str; 9] = [
    "register",
    "renew",
    "resolve_1",
    "resolve_3",
    "resolve_10",
    "deregister",
    "expire",
    "table",
    "octets",
];

/// So often each operation is done in a round.
const OPERATIONS: u32 = 50_000;
/// So many elements are made at once: making them is not measured.
const BATCH: u32 = 1_000;
/// With fewer elements nobody can tell from outside what one takes.
const WEIGHED_MIN: u32 = 100_000;
const EXPIRY: Duration = Duration::from_secs(300);

pub(super) struct Subject {
    space: Handlespace,
    deadlines: Deadlines<Timer>,
    handles: Vec<PoolHandle>,
    policy: PolicyType,
    elements: u32,
    /// Memory of an element.
    octets: Option<f64>,
    rng: StdRng,
    /// Each registration is one microsecond after the one before.
    now: Time,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Timer(ElementIndex);

impl Key for Timer {
    fn row(self) -> Option<usize> {
        Some(self.0.slot())
    }
}

impl Subject {
    /// A handlespace with so many elements.
    pub(super) fn new(shape: Shape) -> anyhow::Result<Self> {
        let Shape { policy, elements, pools, all_turns } = shape;
        let handles = (0..pools).map(|pool| handle(&format!("a pool: {pool:08}")));
        let mut config = Config::default();
        if all_turns {
            config.max_increment = None;
        }
        let mut subject = Self {
            space: Handlespace::new(config, 1),
            deadlines: Deadlines::default(),
            handles: handles.collect::<anyhow::Result<_>>()?,
            policy,
            elements,
            octets: None,
            // The same each time.
            rng: StdRng::seed_from_u64(1),
            now: Time::ZERO,
        };
        let before = resident(std::process::id())?;
        for number in 0..elements {
            let (pool, element) = subject.element(number);
            subject.register(pool, element)?;
        }
        let weight = resident(std::process::id())?.saturating_sub(before);
        if elements >= WEIGHED_MIN {
            subject.octets = Some(weight as f64 / f64::from(elements));
        }
        Ok(subject)
    }

    /// Operations per second, in the order of [`MEASURES`].
    pub(super) fn round(&mut self) -> anyhow::Result<Vec<f64>> {
        let renew = self.renew()?;
        let resolve = [1, 3, 10].map(|items| self.resolve(items));
        let [deregister, register] = self.come_and_go(Self::deregister)?;
        let [expire, _] = self.come_and_go(Self::expire)?;
        let [one, three, ten] = resolve;
        let rates = [register, renew, one?, three?, ten?, deregister, expire, self.table()?];
        Ok(rates.into_iter().chain(self.octets).collect())
    }

    /// The pool and the data of an element; what its policy looks at is drawn.
    fn element(&mut self, number: u32) -> (usize, PoolElement) {
        let [_, a, b, c] = number.to_be_bytes();
        let sctp = |port| SctpTransport {
            port,
            transport_use: TransportUse::DataOnly,
            addresses: IpAddr::from([10, a, b, c]).into(),
        };
        let policy = Policy::of_type(self.policy)
            .with(PolicyField::Weight, self.rng.random_range(1..=100))
            .with(PolicyField::Priority, self.rng.random_range(0..100))
            .with(PolicyField::Load, self.rng.random())
            .with(PolicyField::LoadDegradation, 1 << 20);
        let element = PoolElement {
            // In no order, none twice.
            id: PeId((number + 1).wrapping_mul(0x9e37_79b1)),
            home: RegistrarId::new(1),
            life: RegistrationLife(300),
            user_transport: Transport::Sctp(sctp(7)),
            policy,
            asap_transport: Some(sctp(4711)),
        };
        (number as usize % self.handles.len(), element)
    }

    fn register(&mut self, pool: usize, element: PoolElement) -> anyhow::Result<()> {
        let registered = self.space.register(&self.handles[pool], element);
        let index = registered.map_err(|refused| anyhow!("refused: {refused:?}"))?.index;
        self.now = self.now + Duration::from_micros(1);
        self.deadlines.arm(Timer(index), self.now + EXPIRY);
        Ok(())
    }

    fn renew(&mut self) -> anyhow::Result<f64> {
        let mut elapsed = Duration::ZERO;
        for _ in 0..OPERATIONS / BATCH {
            let numbers: Vec<u32> =
                (0..BATCH).map(|_| self.rng.random_range(0..self.elements)).collect();
            let batch: Vec<_> = numbers.into_iter().map(|number| self.element(number)).collect();
            let begun = thread_time();
            for (pool, element) in batch {
                self.register(pool, element)?;
            }
            elapsed += since(begun);
        }
        Ok(rate(OPERATIONS, elapsed))
    }

    fn resolve(&mut self, items: u32) -> anyhow::Result<f64> {
        let pools = u32::try_from(self.handles.len())?;
        let asked: Vec<u32> = (0..OPERATIONS).map(|_| self.rng.random_range(0..pools)).collect();
        let mut listed = 0_u64;
        let begun = thread_time();
        for pool in asked {
            let found = self.space.resolve(&self.handles[pool as usize], Some(items));
            for element in found.iter().flat_map(Resolution::elements) {
                black_box(element.id);
                listed += 1;
            }
        }
        let elapsed = since(begun);
        ensure!(listed >= u64::from(OPERATIONS), "nothing was resolved");
        Ok(rate(OPERATIONS, elapsed))
    }

    /// Lets elements go, one half at most at a time, and come back: how quick each was.
    fn come_and_go(
        &mut self,
        go: impl Fn(&mut Self, &[(usize, PoolElement)]) -> anyhow::Result<Duration>,
    ) -> anyhow::Result<[f64; 2]> {
        let count = self.elements.div_ceil(2).min(BATCH);
        let (mut elapsed, mut done) = ([Duration::ZERO; 2], 0);
        while done < OPERATIONS {
            let first = self.rng.random_range(0..self.elements);
            let batch: Vec<(usize, PoolElement)> =
                (0..count).map(|step| self.element((first + step) % self.elements)).collect();
            elapsed[0] += go(self, &batch)?;
            let begun = thread_time();
            for (pool, element) in batch {
                self.register(pool, element)?;
            }
            elapsed[1] += since(begun);
            done += count;
        }
        Ok(elapsed.map(|elapsed| rate(done, elapsed)))
    }

    fn deregister(&mut self, batch: &[(usize, PoolElement)]) -> anyhow::Result<Duration> {
        let begun = thread_time();
        for (pool, element) in batch {
            let index = self.space.find(&self.handles[*pool], element.id).context("it is gone")?;
            self.deadlines.disarm(Timer(index));
            self.space.deregister(index).context("it is gone")?;
        }
        Ok(since(begun))
    }

    fn expire(&mut self, batch: &[(usize, PoolElement)]) -> anyhow::Result<Duration> {
        let now = Time::from_origin(EXPIRY / 2);
        for (pool, element) in batch {
            let index = self.space.find(&self.handles[*pool], element.id).context("it is gone")?;
            self.deadlines.arm(Timer(index), now);
        }
        let begun = thread_time();
        let mut expired = 0;
        while let Some(Timer(index)) = self.deadlines.pop_due(now) {
            self.space.deregister(index).context("it is gone")?;
            expired += 1;
        }
        ensure!(expired == batch.len(), "{expired} expired");
        Ok(since(begun))
    }

    fn table(&self) -> anyhow::Result<f64> {
        let begun = thread_time();
        let told = self.space.table_after(None, RegistrarId::new(1));
        let told = told.inspect(|(_, element)| _ = black_box(element.id)).count();
        ensure!(told == self.space.len(), "{told} elements");
        Ok(rate(u32::try_from(told)?, since(begun)))
    }
}

/// Others may have the processor meanwhile: only the own time counts.
fn since(begun: Duration) -> Duration {
    thread_time().saturating_sub(begun)
}

fn rate(operations: u32, elapsed: Duration) -> f64 {
    f64::from(operations) / elapsed.as_secs_f64().max(1e-9)
}
