//! Which pools there are, and who is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rserpool::user::{Element, Event, Resolution};
use rserpool::{PoolHandle, PoolUser, ResolveError};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::Config;
use super::names::PoolName;

/// How long the client of the pools may look for one.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// For how long a pool that is not there is not asked for again.
const ABSENT: Duration = Duration::from_secs(1);
/// Pools that are not there and known for it, and pools that are followed.
const POOLS_MAX: usize = 1024;

/// Which pools there are, and who is in them.
pub(super) struct Pools {
    user: PoolUser,
    /// Those that are known from the start.
    configured: BTreeSet<PoolHandle>,
    /// By labels in lower case.
    names: BTreeMap<Vec<u8>, PoolHandle>,
    stale: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was told last of each pool that is followed; `None`: it is not there.
    followed: BTreeMap<PoolHandle, Followed>,
    /// Pools that were not there, and when.
    absent: BTreeMap<PoolHandle, Instant>,
    /// Since when there is no registrar.
    alone: Option<Instant>,
    /// When a pool changed, in seconds since 1970.
    changed: u64,
    /// Of equal names: whether it was said.
    has_warned: bool,
}

struct Followed {
    last: Option<Arc<Resolution>>,
    asked: Instant,
}

/// What a name leads to.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// A pool.
    Pool(Arc<Resolution>),
    /// There is no such pool.
    Nothing,
    /// There are several whose names differ by case only.
    Several,
    /// Nobody says, or what is known is too old.
    Unknown,
}

impl Pools {
    pub(super) fn new(user: PoolUser, config: &Config) -> Self {
        let label = |(name, pool): (&String, &PoolHandle)| {
            (name.to_ascii_lowercase().into_bytes(), pool.clone())
        };
        let names: BTreeMap<_, _> = config.names.iter().map(label).collect();
        let configured = config.pools.iter().chain(names.values()).cloned().collect();
        let changed = seconds_since_1970();
        let state = Mutex::new(State { changed, ..State::default() });
        Self { user, configured, names, stale: config.stale, state }
    }

    /// Follows pools, for ever.
    pub(super) async fn follow(&self) {
        let mut events = self.user.events();
        for handle in &self.configured {
            self.state().followed.insert(handle.clone(), Followed::new(None));
            self.user.subscribe(handle);
        }
        loop {
            match events.recv().await {
                Ok(Event::Updated { resolution, handle }) => self.told(&handle, resolution),
                Ok(Event::HomeFound { .. }) => self.state().alone = None,
                Ok(Event::HomeLost | Event::NoRegistrar) => {
                    self.state().alone.get_or_insert_with(Instant::now);
                }
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => {
                    debug!(missed, "changes of pools were missed");
                    self.look_again().await;
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn told(&self, handle: &PoolHandle, resolution: Option<Arc<Resolution>>) {
        let mut state = self.state();
        state.changed = seconds_since_1970().max(state.changed + 1);
        if resolution.is_none() && !self.configured.contains(handle) {
            // Whoever asks for it again finds it again.
            state.followed.remove(handle);
            self.user.unsubscribe(handle);
        } else if let Some(followed) = state.followed.get_mut(handle) {
            followed.last = resolution;
        }
    }

    /// What is told is told once: after a gap, what is known is compared.
    async fn look_again(&self) {
        let handles: Vec<PoolHandle> = self.state().followed.keys().cloned().collect();
        for handle in handles {
            match self.ask(&handle).await {
                Ok(answer) => self.told(&handle, Some(answer)),
                Err(ResolveError::UnknownPool) => self.told(&handle, None),
                Err(_) => {}
            }
        }
    }

    /// The pool that a name means.
    pub(super) async fn find(&self, name: &PoolName) -> Found {
        let (label, mut candidates) = match name {
            PoolName::Handle(handle) => (None, vec![handle.clone()]),
            PoolName::Label(label) => {
                let lower = label.to_ascii_lowercase();
                match self.names.get(&lower) {
                    Some(handle) => (None, vec![handle.clone()]),
                    None => {
                        let written = [label, &lower].into_iter().filter_map(PoolHandle::new);
                        (Some(lower.clone()), written.collect())
                    }
                }
            }
        };
        candidates.dedup();
        let known = self.known(label.as_deref(), &candidates);
        match &*known {
            [_, _, ..] => return self.several(name),
            _ if self.is_stale() => return Found::Unknown,
            [one] => return Found::Pool(Arc::clone(one)),
            [] => {}
        }
        let (mut found, mut is_unknown) = (Vec::new(), false);
        for handle in candidates {
            match self.look_for(&handle).await {
                Ok(resolution) => found.extend(resolution),
                Err(error) => {
                    debug!(pool = %handle, %error, "nobody says whether there is such a pool");
                    is_unknown = true;
                }
            }
        }
        match &*found {
            [one] => Found::Pool(Arc::clone(one)),
            [] if is_unknown => Found::Unknown,
            [] => Found::Nothing,
            _ => self.several(name),
        }
    }

    /// Those of the pools that are followed that have this name, or one of these handles.
    fn known(&self, label: Option<&[u8]>, handles: &[PoolHandle]) -> Vec<Arc<Resolution>> {
        let mut state = self.state();
        let has_name = |handle: &PoolHandle| match label {
            Some(label) => handle.as_bytes().eq_ignore_ascii_case(label),
            None => handles.contains(handle),
        };
        let now = Instant::now();
        let named = state.followed.iter_mut().filter(|(handle, _)| has_name(handle));
        let known = named.filter_map(|(_, followed)| {
            followed.asked = now;
            followed.last.clone()
        });
        known.collect()
    }

    fn several(&self, name: &PoolName) -> Found {
        let mut state = self.state();
        if !state.has_warned {
            state.has_warned = true;
            warn!(?name, "several pools have this name but for case: an alias would say which");
        }
        Found::Several
    }

    /// Asks for a pool that is not known, and follows it from then on.
    async fn look_for(&self, handle: &PoolHandle) -> Result<Option<Arc<Resolution>>, ResolveError> {
        let now = Instant::now();
        let is_absent = |since: &Instant| now - *since < ABSENT;
        if self.state().absent.get(handle).is_some_and(is_absent) {
            return Ok(None);
        }
        match self.ask(handle).await {
            Ok(resolution) => {
                self.start_following(handle, &resolution);
                Ok(Some(resolution))
            }
            Err(ResolveError::UnknownPool) => {
                let mut state = self.state();
                if state.absent.len() >= POOLS_MAX {
                    state.absent.retain(|_, since| is_absent(since));
                }
                if state.absent.len() < POOLS_MAX {
                    state.absent.insert(handle.clone(), Instant::now());
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn start_following(&self, handle: &PoolHandle, resolution: &Arc<Resolution>) {
        let mut state = self.state();
        state.absent.remove(handle);
        if state.followed.len() >= POOLS_MAX && !state.followed.contains_key(handle) {
            // The one that was asked for longest ago makes room.
            let others = state.followed.iter().filter(|(it, _)| !self.configured.contains(it));
            let oldest =
                others.min_by_key(|(_, followed)| followed.asked).map(|(it, _)| it.clone());
            let Some(oldest) = oldest else { return };
            state.followed.remove(&oldest);
            self.user.unsubscribe(&oldest);
        }
        state.followed.insert(handle.clone(), Followed::new(Some(Arc::clone(resolution))));
        self.user.subscribe(handle);
    }

    async fn ask(&self, handle: &PoolHandle) -> Result<Arc<Resolution>, ResolveError> {
        let asked = self.user.resolve_cached(handle, None, Some(Duration::MAX));
        let answer = timeout(ANSWER_MAX, asked).await.unwrap_or(Err(ResolveError::Timeout))?;
        Ok(answer.resolution)
    }

    /// The elements of a pool in the order in which to try them now; one of its turns is taken.
    pub(super) async fn choice(&self, pool: &Arc<Resolution>) -> Vec<Element> {
        let asked = self.user.resolve_cached(&pool.handle, None, Some(Duration::MAX));
        match timeout(ANSWER_MAX, asked).await {
            Ok(Ok(answer)) => answer.in_order().cloned().collect(),
            // What was told last is all that is known.
            Ok(Err(_)) | Err(_) => pool.elements.clone(),
        }
    }

    /// The serial number of the zone.
    pub(super) fn serial(&self) -> u32 {
        // It goes round, as serial numbers do (RFC 1982).
        let [.., a, b, c, d] = self.state().changed.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    fn is_stale(&self) -> bool {
        self.state().alone.is_some_and(|since| since.elapsed() > self.stale)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Followed {
    fn new(last: Option<Arc<Resolution>>) -> Self {
        Self { last, asked: Instant::now() }
    }
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
