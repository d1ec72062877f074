//! Which server a connection goes to.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rserpool::user::{Element, Event, Resolution};
use rserpool::{PeId, PoolHandle, PoolUser};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::counters::{Count, Counters};

/// How long a server that could not be reached is tried after all others.
const DOUBT: Duration = Duration::from_secs(5);
/// How long the client of the pool may think: the answer is in its cache, but for a pool that it
/// does not know.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// The pool, as it was told last.
pub(super) struct Pool {
    user: PoolUser,
    handle: PoolHandle,
    last: watch::Sender<Told>,
    doubted: Mutex<HashMap<PeId, Instant>>,
    counters: Counters,
}

/// What was told of the pool last.
#[derive(Clone, Debug, Default)]
struct Told {
    /// Whether anything was told.
    is_told: bool,
    /// `None`: there is no such pool.
    resolution: Option<Arc<Resolution>>,
}

/// A server to try.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) id: PeId,
    pub(super) at: Vec<SocketAddr>,
}

impl Pool {
    pub(super) fn new(user: PoolUser, handle: PoolHandle, counters: Counters) -> Self {
        let (last, _) = watch::channel(Told::default());
        Self { user, handle, last, doubted: Mutex::default(), counters }
    }

    /// Follows the pool, for ever.
    pub(super) async fn follow(&self) {
        let mut events = self.user.events();
        self.user.subscribe(&self.handle);
        loop {
            match events.recv().await {
                Ok(Event::Updated { resolution, handle }) if handle == self.handle => {
                    let there: BTreeSet<PeId> = resolution.iter().flat_map(ids).collect();
                    self.doubted().retain(|id, _| there.contains(id));
                    self.last.send_replace(Told { is_told: true, resolution });
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// The servers to try, in this order; empty where none is known. The first of them is the pick of
    /// the pool's policy; those that lately could not be reached come last.
    pub(super) async fn candidates(&self, source: Option<IpAddr>) -> Vec<Candidate> {
        // Whatever is known is good enough: it is kept up to date as long as there is a registrar.
        let asked = self.user.resolve_cached(&self.handle, None, Some(Duration::MAX));
        let answer = timeout(ANSWER_MAX, asked).await.ok().and_then(Result::ok);
        let last = self.last.borrow().resolution.clone();
        let picked = answer.iter().flat_map(|answer| answer.in_order());
        let mut order: Vec<&Element> = picked.collect();
        // What could not be reached leaves the client's cache; without a registrar it is all there is.
        let known: BTreeSet<PeId> = order.iter().map(|element| element.id).collect();
        let rest = last.iter().flat_map(|resolution| &resolution.elements);
        order.extend(rest.filter(|element| !known.contains(&element.id)));
        if let Some(source) = source {
            order.sort_by_key(|element| std::cmp::Reverse(rank(source, element.id)));
        }
        let now = Instant::now();
        let mut doubted = self.doubted();
        doubted.retain(|_, since| now - *since < DOUBT);
        order.sort_by_key(|element| doubted.contains_key(&element.id));
        let candidate = |element: &Element| {
            let at = element.user_transport.socket_addrs().collect();
            Candidate { id: element.id, at }
        };
        order.into_iter().map(candidate).filter(|candidate| !candidate.at.is_empty()).collect()
    }

    /// What will be told from now on: whoever takes this before [`candidates`](Self::candidates)
    /// misses nothing that came after them.
    pub(super) fn news(&self) -> News {
        News(self.last.subscribe())
    }

    /// The server could not be reached: the registrar is told, and asks it itself.
    pub(super) fn failed(&self, id: PeId) {
        self.counters.count(Count::Unreachable);
        self.user.report_unreachable(&self.handle, id);
        self.doubted().insert(id, Instant::now());
    }

    /// Waits until it is told that this server is not in the pool any more.
    pub(super) async fn removed(&self, id: PeId) {
        let mut last = self.last.subscribe();
        let is_gone = |told: &Told| {
            told.is_told && told.resolution.iter().flat_map(ids).all(|other| other != id)
        };
        if last.wait_for(is_gone).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn doubted(&self) -> MutexGuard<'_, HashMap<PeId, Instant>> {
        self.doubted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is told of the pool.
pub(super) struct News(watch::Receiver<Told>);

impl News {
    /// Waits until the pool is told of again: who is in it then.
    pub(super) async fn next(&mut self) -> BTreeSet<PeId> {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.0.borrow_and_update().resolution.iter().flat_map(ids).collect()
    }
}

fn ids(resolution: &Arc<Resolution>) -> impl Iterator<Item = PeId> {
    resolution.elements.iter().map(|element| element.id)
}

/// Rendezvous: who comes or goes changes the server of its own share of the clients only.
fn rank(source: IpAddr, id: PeId) -> u64 {
    let mut hasher = DefaultHasher::new();
    (source, id.0).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use rserpool::UserConfig;

    use super::*;

    #[tokio::test]
    async fn what_is_told_after_the_servers_were_looked_for_is_not_missed() {
        let config = UserConfig::new(vec!["tcp://127.0.0.1:1".parse().unwrap()]);
        let user = PoolUser::start(config).unwrap();
        let pool = Pool::new(user, "web".parse().unwrap(), Counters::default());
        let mut news = pool.news();
        pool.last.send_replace(Told { is_told: true, resolution: None });
        let told = timeout(Duration::from_secs(60), news.next()).await;
        assert_eq!(told, Ok(BTreeSet::new()));
    }
}
