//! The queue between who logs and the thread that writes: whoever logs never waits.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many octets wait at most. A line that finds no room is dropped and counted.
pub(super) const OCTETS_MAX: usize = 1 << 20;

/// How long to wait where standard error takes nothing now and does not block.
const RETRY: Duration = Duration::from_millis(10);

/// Lines on their way to the writer. All that waits is written at once.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    octets: Vec<u8>,
    /// Lines that found no room and were not told of yet.
    dropped: u64,
    /// The writer has taken some, and is not done with them.
    is_writing: bool,
    /// When the writer is to tell of lines that were held back.
    report_at: Option<Instant>,
}

/// What the writer has to do.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Task {
    /// Write these lines, then call [`Queue::written`].
    Write(Vec<u8>),
    /// Tell of what was held back.
    Report,
}

impl Queue {
    /// Queues a line, line end included. Never waits for the writer.
    pub(crate) fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if state.octets.len() + line.len() > OCTETS_MAX {
            state.dropped += 1;
            return;
        }
        state.octets.extend_from_slice(line);
        drop(state);
        self.changed.notify_all();
    }

    /// Has the writer report at this time, if nothing earlier was agreed on.
    pub(super) fn report_at(&self, at: Instant) {
        self.state().report_at.get_or_insert(at);
        self.changed.notify_all();
    }

    /// The writer's next task, as soon as there is one.
    pub(super) fn next(&self) -> Task {
        let mut state = self.state();
        loop {
            if !state.octets.is_empty() {
                state.is_writing = true;
                return Task::Write(std::mem::take(&mut state.octets));
            }
            let now = Instant::now();
            state = match state.report_at {
                Some(at) if at <= now => {
                    state.report_at = None;
                    return Task::Report;
                }
                Some(at) => {
                    let waited = self.changed.wait_timeout(state, at - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// How many lines were dropped since this was asked last.
    pub(super) fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.state().dropped)
    }

    /// The writer is done with what it took.
    pub(super) fn written(&self) {
        self.state().is_writing = false;
        self.changed.notify_all();
    }

    /// Waits until everything is written, or for so long. Whether it is.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let busy = |state: &mut State| state.is_writing || !state.octets.is_empty();
        let waited = self.changed.wait_timeout_while(self.state(), patience, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked with the lock has left whole lines.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all of it, however long that takes. Where nobody can ever read it, it is lost.
pub(super) fn write_patiently(to: &mut impl Write, mut octets: &[u8]) {
    while !octets.is_empty() {
        match to.write(octets) {
            Ok(0) => return,
            Ok(count) => octets = octets.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(RETRY),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let queue = Queue::default();
        let line = [b'x'; 1000];
        let fits = OCTETS_MAX / line.len();
        (0..fits + 7).for_each(|_| queue.push(&line));
        assert_eq!(queue.next(), Task::Write(b"x".repeat(fits * line.len())));
        assert_eq!(queue.take_dropped(), 7);
        queue.push(b"there is room again\n");
        assert_eq!(queue.next(), Task::Write(b"there is room again\n".to_vec()));
        assert_eq!(queue.take_dropped(), 0);
    }

    #[test]
    fn it_is_flushed_when_the_writer_is_done_and_not_before() {
        let queue = Queue::default();
        assert!(queue.flush(Duration::ZERO));
        queue.push(b"line\n");
        assert!(!queue.flush(Duration::ZERO));
        queue.next();
        assert!(!queue.flush(Duration::ZERO));
        queue.written();
        assert!(queue.flush(Duration::ZERO));
    }

    #[test]
    fn lines_come_before_a_report_that_is_due() {
        let queue = Queue::default();
        queue.report_at(Instant::now());
        queue.push(b"line\n");
        assert_eq!(queue.next(), Task::Write(b"line\n".to_vec()));
        assert_eq!(queue.next(), Task::Report);
    }

    #[test]
    fn a_writer_that_takes_little_gets_everything_in_the_end() {
        struct Narrow(Vec<u8>, usize);
        impl Write for Narrow {
            fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
                self.1 += 1;
                match self.1 % 3 {
                    0 => Err(io::ErrorKind::WouldBlock.into()),
                    1 => Err(io::ErrorKind::Interrupted.into()),
                    _ => {
                        self.0.extend(octets.first());
                        Ok(1)
                    }
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut narrow = Narrow(Vec::new(), 0);
        write_patiently(&mut narrow, b"abc");
        assert_eq!(narrow.0, b"abc");
    }
}
