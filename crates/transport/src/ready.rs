//! Which of many sources have something to do, so that the idle ones cost nothing.
//!
//! Each source polls its sockets with a waker of its own ([`Source::waker`]). A wake-up puts the
//! source into one queue and wakes the task that owns them all; the task then looks at the sources
//! in that queue, in order, and at no other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Wake, Waker};

/// The queue of sources that were woken.
#[derive(Debug, Default)]
pub struct Ready {
    queue: Arc<Mutex<Queue>>,
}

/// One source of events; clones share one place in the queue.
#[derive(Clone, Debug)]
pub struct Source {
    entry: Arc<Entry>,
}

#[derive(Debug, Default)]
struct Queue {
    woken: VecDeque<Arc<Entry>>,
    task: Option<Waker>,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    /// True while the source is in the queue, so that it is there once.
    queued: AtomicBool,
    /// Not the queue itself, which holds the entry: both would live for ever, and the task's waker
    /// with them.
    queue: Weak<Mutex<Queue>>,
}

impl Ready {
    /// A new source, not yet in the queue. `id` is what [`pop`](Self::pop) returns for it.
    #[must_use]
    pub fn source(&self, id: u64) -> Source {
        let queued = AtomicBool::new(false);
        Source { entry: Arc::new(Entry { id, queued, queue: Arc::downgrade(&self.queue) }) }
    }

    /// Names the task to wake from now on.
    pub fn register(&self, task: &Waker) {
        let mut queue = lock(&self.queue);
        if !queue.task.as_ref().is_some_and(|known| known.will_wake(task)) {
            queue.task = Some(task.clone());
        }
    }

    /// Takes the source that waited longest. It must be polled now: a wake-up from here on queues
    /// it again.
    #[must_use]
    pub fn pop(&self) -> Option<u64> {
        let entry = lock(&self.queue).woken.pop_front()?;
        entry.queued.store(false, Ordering::SeqCst);
        Some(entry.id)
    }
}

impl Source {
    /// The waker to poll this source with.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.entry))
    }

    /// Queues the source without waking the task: for the task itself, while it runs.
    pub fn queue(&self) {
        Entry::queue(&self.entry);
    }

    /// Whether there still is a queue for it.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.entry.queue.strong_count() > 0
    }

    /// Queues the source and wakes the task.
    pub fn wake(&self) {
        self.entry.wake_by_ref();
    }
}

impl Entry {
    fn queue(self: &Arc<Self>) -> Option<Waker> {
        if self.queued.swap(true, Ordering::SeqCst) {
            return None;
        }
        let queue = self.queue.upgrade()?;
        let mut queue = lock(&queue);
        queue.woken.push_back(Arc::clone(self));
        queue.task.clone()
    }
}

impl Wake for Entry {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // The task runs outside the lock: it may come back at once.
        if let Some(task) = self.queue() {
            task.wake();
        }
    }
}

/// The queue is whole after every statement, so a panic elsewhere does not spoil it.
fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn nothing_is_left_of_a_queue_that_is_dropped_with_sources_in_it() {
        let task = Arc::new(Count(AtomicUsize::new(0)));
        let ready = Ready::default();
        ready.register(&Waker::from(Arc::clone(&task)));
        let source = ready.source(1);
        let waker = source.waker();
        source.wake();
        let entry = Arc::downgrade(&source.entry);
        drop((ready, source));
        assert_eq!(Arc::strong_count(&task), 1, "the task is kept");
        waker.wake();
        assert_eq!(task.0.load(Ordering::SeqCst), 1, "woken for nobody");
        assert!(entry.upgrade().is_none());
    }

    #[test]
    fn a_source_is_queued_once_however_often_it_is_woken() {
        let task = Arc::new(Count(AtomicUsize::new(0)));
        let ready = Ready::default();
        ready.register(&Waker::from(Arc::clone(&task)));
        let (one, two) = (ready.source(1), ready.source(2));

        two.wake();
        one.wake();
        two.waker().wake();
        assert_eq!(task.0.load(Ordering::SeqCst), 2);
        assert_eq!([ready.pop(), ready.pop(), ready.pop()], [Some(2), Some(1), None]);

        one.queue();
        assert_eq!(task.0.load(Ordering::SeqCst), 2);
        assert_eq!([ready.pop(), ready.pop()], [Some(1), None]);
    }
}
