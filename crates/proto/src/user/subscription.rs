//! Pools that registrars tell of without being asked again (RFC 5352 §2.2.5, §2.2.6).

use std::sync::Arc;

use rserpool_wire::param::PoolHandle;

use super::{Event, PoolUser, Resolution, Timer};
use crate::machine::Output;
use crate::time::Time;
use crate::timers::Timers;

/// What is known of a pool that is subscribed to.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    /// The home tells of changes. It forgets that with the association (RFC 5352 §2.2.5).
    pub(super) live: bool,
    told: LastUpdate,
}

/// What the application was told last.
#[derive(Debug, Default)]
enum LastUpdate {
    #[default]
    Nothing,
    Absent,
    Present(Arc<Resolution>),
}

impl PoolUser {
    pub(super) fn subscribe(&mut self, now: Time, handle: PoolHandle) {
        if self.subscriptions.contains_key(&handle) {
            return;
        }
        self.subscriptions.insert(handle.clone(), Subscription::default());
        self.ask_for_updates(now, handle);
        self.watch_subscriptions(now);
    }

    pub(super) fn unsubscribe(&mut self, handle: &PoolHandle) {
        if self.subscriptions.remove(handle).is_some() {
            self.questions.forget_subscription(handle);
            // What was kept up to date no longer is.
            self.cache.forget(handle);
            if self.subscriptions.is_empty() {
                self.timers = Timers::default();
            }
            self.rest_if_idle();
        }
    }

    /// Asks for each subscription that the home does not keep: it is a new one, it does not do
    /// that, or there was no such pool.
    pub(super) fn renew_subscriptions(&mut self, now: Time) {
        let lapsed = |(handle, subscription): (&PoolHandle, &Subscription)| {
            (!subscription.live).then(|| handle.clone())
        };
        let lapsed: Vec<_> = self.subscriptions.iter().filter_map(lapsed).collect();
        for handle in lapsed {
            self.subscribe_again(now, handle);
        }
        self.watch_subscriptions(now);
    }

    /// A home that says it tells of changes, and says nothing, may be dead.
    pub(super) fn check_home(&mut self, now: Time) {
        if let Some(handle) = self.subscriptions.keys().next().cloned() {
            self.subscribe_again(now, handle);
        }
        self.watch_subscriptions(now);
    }

    fn subscribe_again(&mut self, now: Time, handle: PoolHandle) {
        if !self.questions.is_subscribing(&handle) {
            self.ask_for_updates(now, handle);
        }
    }

    pub(super) fn lapse_subscriptions(&mut self) {
        self.subscriptions.values_mut().for_each(|subscription| subscription.live = false);
    }

    /// A registrar has told how a pool is; `updates` where it goes on telling.
    pub(super) fn tell_subscriber(&mut self, now: Time, new: &Arc<Resolution>, updates: bool) {
        let Some(subscription) = self.subscriptions.get_mut(&new.handle) else { return };
        subscription.live = updates;
        let is_news = match &subscription.told {
            LastUpdate::Nothing | LastUpdate::Absent => true,
            LastUpdate::Present(old) => !is_same(old, new),
        };
        if is_news {
            subscription.told = LastUpdate::Present(Arc::clone(new));
            let (handle, resolution) = (new.handle.clone(), Some(Arc::clone(new)));
            self.outputs.push_back(Output::Event(Event::Updated { resolution, handle }));
        }
        self.watch_subscriptions(now);
    }

    /// A registrar has told that there is no such pool.
    pub(super) fn tell_subscriber_of_absence(&mut self, now: Time, handle: &PoolHandle) {
        let Some(subscription) = self.subscriptions.get_mut(handle) else { return };
        subscription.live = false;
        if !matches!(subscription.told, LastUpdate::Absent) {
            subscription.told = LastUpdate::Absent;
            let handle = handle.clone();
            self.outputs.push_back(Output::Event(Event::Updated { resolution: None, handle }));
        }
        self.watch_subscriptions(now);
    }

    fn watch_subscriptions(&mut self, now: Time) {
        let request_timeout = self.config.timing.request_timeout;
        if self.subscriptions.is_empty() {
            self.timers.disarm(Timer::HomeCheck);
        } else {
            self.timers.arm(Timer::HomeCheck, now + request_timeout * Self::CHECK_FACTOR);
        }
        if self.subscriptions.values().all(|subscription| subscription.live) {
            self.timers.disarm(Timer::Resubscription);
        } else if !self.timers.is_armed(Timer::Resubscription) {
            let pause = self.config.cache_lifetime.max(request_timeout);
            self.timers.arm(Timer::Resubscription, now + pause);
        }
    }

    /// So many times T1 a home is left alone that has to tell of changes, and tells of none.
    const CHECK_FACTOR: u32 = 5;
}

/// True where two resolutions differ in the order of their elements at most.
fn is_same(old: &Resolution, new: &Resolution) -> bool {
    let in_order = |resolution: &Resolution| {
        let mut rows: Vec<usize> = (0..resolution.elements.len()).collect();
        rows.sort_unstable_by_key(|&row| resolution.elements[row].id);
        rows
    };
    let is_equal =
        |(old_row, new_row): (usize, usize)| old.elements[old_row] == new.elements[new_row];
    old.policy_type == new.policy_type
        && old.elements.len() == new.elements.len()
        && in_order(old).into_iter().zip(in_order(new)).all(is_equal)
}
