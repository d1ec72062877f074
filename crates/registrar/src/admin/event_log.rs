//! What happened, as long as there is room.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rserpool::proto::registrar::Event;
use serde_json::Value;
use tokio::sync::watch;

use super::{rfc3339, sentence};

/// One event, as it is shown.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its number, from 1.
    pub(crate) seq: u64,
    pub(crate) at: SystemTime,
    pub(crate) kind: &'static str,
    /// The pool that it is about, as text.
    pub(crate) pool: Option<String>,
    /// The element that it is about, as text.
    pub(crate) id: Option<String>,
    /// All of it, on one line.
    pub(crate) json: String,
}

/// The events of this run, the newest of them.
#[derive(Debug)]
pub(crate) struct EventLog {
    kept_max: usize,
    kept: Mutex<Kept>,
    /// The number of the newest.
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Arc<Entry>>,
    /// The last removals, apart, so that what happens more often does not push them out.
    removals: VecDeque<Arc<Entry>>,
    seq: u64,
    missed: u64,
}

/// Removals that are kept.
const REMOVALS_MAX: usize = 1024;
/// What is told at once, so that nobody holds the lock for long.
const TOLD_MAX: usize = 256;

/// A part of the log.
#[derive(Debug)]
pub(crate) struct Part {
    /// Events that are not there any more.
    pub(crate) missed: u64,
    pub(crate) entries: Vec<Arc<Entry>>,
}

impl EventLog {
    pub(crate) fn new(kept_max: usize) -> Self {
        Self { kept_max, kept: Mutex::default(), newest: watch::Sender::new(0) }
    }

    /// Enters an event.
    pub(crate) fn push(&self, event: &Event) {
        let (kind, json) = sentence::of(event);
        self.push_as(kind, json);
    }

    /// Enters something that happened: an object with its `text`, and perhaps `pool` and `id`.
    pub(crate) fn push_as(&self, kind: &'static str, mut json: Value) {
        let at = SystemTime::now();
        let text = |name: &str| json[name].as_str().map(ToOwned::to_owned);
        let (pool, id) = (text("pool"), text("id"));
        let mut kept = self.lock();
        kept.seq += 1;
        json["seq"] = kept.seq.into();
        json["at"] = rfc3339(at).into();
        json["type"] = kind.into();
        let entry = Entry { seq: kept.seq, at, kind, pool, id, json: json.to_string() };
        self.enter(&mut kept, Arc::new(entry));
    }

    /// So many events came faster than they were taken; their numbers are left out.
    pub(crate) fn note_missed(&self, count: u64) {
        let mut kept = self.lock();
        kept.seq += count;
        kept.missed += count;
    }

    fn enter(&self, kept: &mut Kept, entry: Arc<Entry>) {
        if kept.entries.len() >= self.kept_max {
            kept.entries.pop_front();
        }
        if entry.kind == "left" {
            if kept.removals.len() >= REMOVALS_MAX {
                kept.removals.pop_front();
            }
            kept.removals.push_back(Arc::clone(&entry));
        }
        kept.entries.push_back(entry);
        self.newest.send_replace(kept.seq);
    }

    /// The last removals, the newest first.
    pub(crate) fn removals(&self) -> Vec<Arc<Entry>> {
        self.lock().removals.iter().rev().map(Arc::clone).collect()
    }

    /// What happened to an element, as far as it is known, the oldest first; at most 256 of it.
    pub(crate) fn history(&self, pool: &str, id: &str) -> Vec<Arc<Entry>> {
        let kept = self.lock();
        let oldest = kept.entries.front().map_or(u64::MAX, |entry| entry.seq);
        let gone = kept.removals.iter().filter(|entry| entry.seq < oldest);
        let is_its = |entry: &&Arc<Entry>| {
            entry.pool.as_deref() == Some(pool) && entry.id.as_deref() == Some(id)
        };
        let all: Vec<_> = gone.chain(&kept.entries).filter(is_its).collect();
        let newest = all[all.len().saturating_sub(TOLD_MAX)..].iter();
        newest.map(|entry| Arc::clone(entry)).collect()
    }

    /// What follows this number: at most 256 of them, and how many of those before are gone.
    pub(crate) fn after(&self, seq: u64) -> Part {
        let kept = self.lock();
        let first = kept.entries.partition_point(|entry| entry.seq <= seq);
        let entries: Vec<Arc<Entry>> =
            kept.entries.iter().skip(first).take(TOLD_MAX).map(Arc::clone).collect();
        let mut expected = seq.saturating_add(1);
        let mut missed = 0;
        for entry in &entries {
            missed += entry.seq.saturating_sub(expected);
            expected = entry.seq + 1;
        }
        Part { missed, entries }
    }

    /// The number before the first event at or after this time.
    pub(crate) fn before(&self, time: SystemTime) -> u64 {
        let kept = self.lock();
        let first = kept.entries.iter().find(|entry| entry.at >= time);
        first.map_or(kept.seq, |entry| entry.seq - 1)
    }

    /// The number of the newest event, at each change.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// How many events there were, and how many of them came too fast.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let kept = self.lock();
        (kept.seq, kept.missed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rserpool::wire::param::RegistrarId;

    use super::*;

    fn seqs(part: &Part) -> Vec<u64> {
        part.entries.iter().map(|entry| entry.seq).collect()
    }

    #[test]
    fn who_asks_late_is_told_how_many_are_gone() {
        let log = EventLog::new(3);
        let push = || log.push(&Event::PeerUp(RegistrarId::new(7).unwrap()));
        (0..5).for_each(|_| push());
        let part = log.after(0);
        assert_eq!((part.missed, seqs(&part)), (2, vec![3, 4, 5]));
        let part = log.after(3);
        assert_eq!((part.missed, seqs(&part)), (0, vec![4, 5]));
        assert!(log.after(5).entries.is_empty());
        log.note_missed(10);
        push();
        let part = log.after(4);
        assert_eq!((part.missed, seqs(&part)), (10, vec![5, 16]));
        assert_eq!(log.counts(), (16, 10));
        let part = log.after(u64::MAX);
        assert_eq!((part.missed, part.entries.is_empty()), (0, true));
    }

    #[test]
    fn nobody_is_told_very_many_at_once() {
        let log = EventLog::new(4096);
        (0..1000).for_each(|_| log.push(&Event::PeersFull));
        let first = log.after(0);
        assert_eq!(seqs(&first), (1..=256).collect::<Vec<_>>());
        assert_eq!(seqs(&log.after(256))[0], 257);
        assert_eq!(log.before(SystemTime::UNIX_EPOCH), 0);
        assert_eq!(log.before(SystemTime::now() + std::time::Duration::from_secs(9)), 1000);
    }
}
