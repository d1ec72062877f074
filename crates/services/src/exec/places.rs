//! Places of jobs that run at once: so many in all, and fewer for one source.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places of jobs.
#[derive(Debug)]
pub(super) struct Places {
    count: usize,
    all: Arc<Semaphore>,
    per_source_max: usize,
    /// Of sources that have a job, or wait for a place.
    sources: Mutex<BTreeMap<Option<IpAddr>, Weak<Semaphore>>>,
}

/// A place that is taken. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Places {
    /// So many in all, within what a semaphore takes. One source has at most `per_source_max`; by default it leaves a quarter.
    pub(super) fn new(count: usize, per_source_max: Option<usize>) -> Self {
        let count = count.min(Semaphore::MAX_PERMITS);
        let per_source_max = per_source_max.unwrap_or(count - count / 4).min(count);
        let all = Arc::new(Semaphore::new(count));
        Self { count, all, per_source_max, sources: Mutex::default() }
    }

    /// Waits for a place for this source.
    pub(super) async fn take(&self, source: Option<IpAddr>) -> Option<Place> {
        let own = self.of(source).acquire_owned().await.ok()?;
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Place { _own: own, _all: all })
    }

    /// The part of them that is taken: 0.0 to 1.0.
    pub(super) fn load(&self) -> f64 {
        let taken = self.count - self.all.available_permits().min(self.count);
        #[expect(clippy::cast_precision_loss, reason = "a few jobs")]
        let load = taken as f64 / self.count.max(1) as f64;
        load
    }

    fn of(&self, source: Option<IpAddr>) -> Arc<Semaphore> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|_, places| places.strong_count() > 0);
        if let Some(places) = sources.get(&source).and_then(Weak::upgrade) {
            return places;
        }
        let places = Arc::new(Semaphore::new(self.per_source_max));
        sources.insert(source, Arc::downgrade(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn source(octet: u8) -> Option<IpAddr> {
        Some([10, 0, 0, octet].into())
    }

    /// Virtual time: nobody waits for it.
    async fn takes(places: &Places, octet: u8) -> Option<Place> {
        timeout(Duration::from_secs(1), places.take(source(octet))).await.ok().flatten()
    }

    #[tokio::test(start_paused = true)]
    async fn one_source_leaves_places_to_others() {
        let places = Places::new(4, None);
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.push(takes(&places, 1).await.unwrap());
        }
        assert!(takes(&places, 1).await.is_none());
        let other = takes(&places, 2).await.unwrap();
        assert!(takes(&places, 3).await.is_none());
        assert!((places.load() - 1.0).abs() < f64::EPSILON);
        drop((taken, other));
        assert!(takes(&places, 1).await.is_some());
        assert!(places.load().abs() < f64::EPSILON);
        // Who has none is forgotten.
        takes(&places, 9).await.unwrap();
        assert_eq!(places.sources.lock().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn there_may_be_as_many_as_anybody_writes() {
        for per_source_max in [None, Some(usize::MAX)] {
            let places = Places::new(usize::MAX, per_source_max);
            assert!(takes(&places, 1).await.is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_place_is_for_whoever_comes() {
        let places = Places::new(1, None);
        let place = takes(&places, 1).await.unwrap();
        assert!(takes(&places, 2).await.is_none());
        drop(place);
        assert!(takes(&places, 2).await.is_some());
    }
}
