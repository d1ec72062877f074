//! A user that asks and an element that renews its registration, both at the first registrar, and
//! when they had their answers.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rserpool::proto::user::Event;
use rserpool::transport::{Address, Tls};
use rserpool::wire::Message;
use rserpool::wire::asap::{Asap, HandleResolution, Registration};
use rserpool::wire::param::{
    self, Load as Busy, PeId, Policy, PoolHandle, RegistrationLife, Transport, TransportUse,
};
use rserpool::{PoolElement, PoolUser, element, user};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::report::ms;
use super::scope::Setting;
use crate::clock::now_us;

/// What goes on at the first registrar until it is dropped.
pub(super) struct Load {
    resolutions: Arc<Attempts>,
    registrations: Arc<Attempts>,
    /// Aborted when they are dropped.
    _tasks: JoinSet<()>,
}

/// Requests in the order in which they ended.
#[derive(Default)]
struct Attempts(Mutex<Vec<Attempt>>);

/// One request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) begun_us: u64,
    pub(super) ended_us: u64,
    pub(super) succeeded: bool,
}

/// So many ask at once.
const ASKERS: usize = 4;
/// How long each of them pauses.
const PACE: Duration = Duration::from_millis(4);
/// How often the element is asked whether its registration was accepted.
const LOOK: Duration = Duration::from_micros(500);
/// How often someone is started anew to have them at the first registrar.
const STARTS_MAX: u64 = 100;
/// How long to wait before that: the first registrar may just not have had a processor.
const START_PAUSE: Duration = Duration::from_millis(5);
/// Longer than any measurement.
const LIFE: RegistrationLife = RegistrationLife(7200);

impl Load {
    /// A user that asks for `asked`, and an element of a pool of its own that renews itself.
    pub(super) async fn start(
        setting: Setting,
        urls: &[Address],
        asked: PoolHandle,
    ) -> anyhow::Result<Self> {
        let mut load = Self::of_user(setting, urls, asked).await?;
        let policy = Policy::least_used(Busy(0));
        let element = element_at_first(setting, urls, handle("Renewed")?, policy, None).await?;
        let registrations = Arc::clone(&load.registrations);
        load._tasks.spawn(async move { renew(&element, &registrations).await });
        Ok(load)
    }

    /// Only the user.
    pub(super) async fn of_user(
        setting: Setting,
        urls: &[Address],
        asked: PoolHandle,
    ) -> anyhow::Result<Self> {
        let user = user_at_first(setting, urls, &asked).await?;
        let resolutions = Arc::<Attempts>::default();
        let mut tasks = JoinSet::new();
        for _ in 0..ASKERS {
            let (user, asked) = (user.clone(), asked.clone());
            let resolutions = Arc::clone(&resolutions);
            tasks.spawn(async move { ask(&user, &asked, &resolutions).await });
        }
        Ok(Self { resolutions, registrations: Arc::default(), _tasks: tasks })
    }

    /// Resolutions so far.
    pub(super) fn resolutions(&self) -> Vec<Attempt> {
        self.resolutions.so_far()
    }

    /// Registrations so far.
    pub(super) fn registrations(&self) -> Vec<Attempt> {
        self.registrations.so_far()
    }
}

/// The longest pause between two successes of which the later one lies in this span, in
/// milliseconds.
pub(super) fn gap_ms(attempts: &[Attempt], from_us: u64, to_us: u64) -> f64 {
    let ends: Vec<u64> =
        attempts.iter().filter(|attempt| attempt.succeeded).map(|a| a.ended_us).collect();
    let within = |pair: &&[u64]| pair[1] > from_us && pair[1] <= to_us;
    let gaps = ends.windows(2).filter(within).map(|pair| pair[1] - pair[0]);
    ms(gaps.max().unwrap_or_default())
}

/// How long successful ones took that ended in this span, in milliseconds.
pub(super) fn latencies_ms(attempts: &[Attempt], from_us: u64, to_us: u64) -> Vec<f64> {
    let within = |a: &&Attempt| a.succeeded && a.ended_us > from_us && a.ended_us <= to_us;
    attempts.iter().filter(within).map(|a| ms(a.ended_us - a.begun_us)).collect()
}

impl Attempts {
    fn note(&self, begun_us: u64, succeeded: bool) {
        let attempt = Attempt { begun_us, ended_us: now_us().max(begun_us), succeeded };
        self.lock().push(attempt);
    }

    fn so_far(&self) -> Vec<Attempt> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(user: &PoolUser, handle: &PoolHandle, attempts: &Attempts) {
    loop {
        let begun = now_us();
        let answer = user.resolve(handle, Some(3)).await;
        attempts.note(begun, answer.is_ok());
        sleep(PACE).await;
    }
}

async fn renew(element: &PoolElement, attempts: &Attempts) {
    for busy in (1..u32::MAX).cycle() {
        let Ok(before) = element.stats().await else { return };
        let begun = now_us();
        element.set_load(Busy(busy));
        loop {
            let Ok(now) = element.stats().await else { return };
            if now.accepted > before.accepted {
                break;
            }
            sleep(LOOK).await;
        }
        attempts.note(begun, true);
    }
}

/// A user whose home is the first of these registrars. Which one it takes is drawn.
async fn user_at_first(
    setting: Setting,
    urls: &[Address],
    asked: &PoolHandle,
) -> anyhow::Result<PoolUser> {
    let first = urls.first().context("no registrar")?;
    for _ in 0..STARTS_MAX {
        let mut config = user::Config::new(urls.to_vec());
        config.timing = setting.timing();
        // Only what a registrar answers counts.
        config.stale_lifetime = Duration::ZERO;
        let user = PoolUser::start(config)?;
        let mut events = user.events();
        user.resolve(asked, None).await?;
        let mut home = None;
        while let Ok(event) = events.try_recv() {
            if let Event::HomeFound { link } = event {
                home = Some(link.remote_port);
            }
        }
        if home == Some(first.port) {
            return Ok(user);
        }
        sleep(START_PAUSE).await;
    }
    bail!("no user chooses the first registrar")
}

/// An element whose home is the first of these registrars.
pub(super) async fn element_at_first(
    setting: Setting,
    urls: &[Address],
    handle: PoolHandle,
    policy: Policy,
    tls: Option<&Tls>,
) -> anyhow::Result<PoolElement> {
    let first = urls.first().context("no registrar")?;
    for _ in 0..STARTS_MAX {
        let mut config = element::Config::new(urls.to_vec(), handle.clone(), user_transport());
        config.timing = setting.timing();
        config.policy = policy.clone();
        config.tls = tls.cloned();
        let element = PoolElement::start(config)?;
        let home = element.registered().await?;
        if home.link.remote_port == first.port {
            return Ok(element);
        }
        element.deregister().await?;
        sleep(START_PAUSE).await;
    }
    bail!("no element chooses the first registrar")
}

/// The registration of an element that nobody has to renew.
pub(super) fn registration(handle: PoolHandle, id: PeId, policy: Policy) -> Message {
    let element = param::PoolElement {
        id,
        home: None,
        life: LIFE,
        user_transport: user_transport(),
        policy,
        asap_transport: None,
    };
    Asap::Registration(Registration { handle, element }).into()
}

/// The resolution of a pool: so many of its elements.
pub(super) fn resolution(handle: PoolHandle, items: u32) -> Message {
    let items = Some(items);
    Asap::HandleResolution(HandleResolution { want_updates: false, handle, items }).into()
}

/// Where elements say that they serve: nobody turns to them.
fn user_transport() -> Transport {
    let (port, transport_use) = (7, TransportUse::DataOnly);
    Transport::Tcp { port, transport_use, address: Ipv4Addr::LOCALHOST.into() }
}

/// A pool handle.
pub(super) fn handle(name: &str) -> anyhow::Result<PoolHandle> {
    PoolHandle::new(name.as_bytes()).context("no pool handle")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(begun_us: u64, ended_us: u64, succeeded: bool) -> Attempt {
        Attempt { begun_us, ended_us, succeeded }
    }

    #[test]
    fn a_gap_lies_between_successes_and_counts_where_it_ends() {
        let attempts = [
            attempt(0, 1_000, true),
            attempt(1_000, 2_000, true),
            attempt(2_000, 4_000, false),
            attempt(4_000, 9_000, true),
            attempt(9_000, 10_000, true),
        ];
        assert_eq!(gap_ms(&attempts, 2_000, 20_000), 7.0);
        assert_eq!(gap_ms(&attempts, 0, 2_000), 1.0);
        assert_eq!(gap_ms(&attempts, 9_000, 20_000), 1.0);
        assert_eq!(latencies_ms(&attempts, 0, 9_000), [1.0, 1.0, 5.0]);
    }
}
