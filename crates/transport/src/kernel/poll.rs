//! What is done when the endpoint is polled: time-outs, writing, reading.

use std::future::Future;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::association::{State, peer};
use super::{KernelEndpoint, is_gone, window};
use crate::backlog::{Overdue, TooMuch};
use crate::endpoint::{AssocId, DownReason, Event};

/// How long the kernel's send buffer may be full before those end that fill it.
const BLOCKED_MAX: Duration = Duration::from_secs(1);

impl KernelEndpoint {
    /// Gives up dials that take too long.
    pub(super) fn poll_deadlines(&mut self, cx: &mut Context<'_>) {
        while let Some(&(deadline, assoc)) = self.deadlines.first() {
            let timer =
                self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            self.deadlines.remove(&(deadline, assoc));
            self.cut_off(assoc, DownReason::Timeout);
        }
    }

    /// Ends an association that the kernel still has.
    pub(super) fn cut_off(&mut self, assoc: AssocId, reason: DownReason) {
        if let Some(kernel) = self.table.get(assoc).and_then(|a| a.state.kernel()) {
            self.kill(kernel);
        }
        self.end(assoc, reason);
    }

    /// Writes what is queued, a message of each association in turn.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) {
        while let Some(assoc) = self.writers.pop_front() {
            let guard = match self.blocked.then(|| self.socket.poll_write_ready(cx)) {
                None => None,
                Some(Poll::Ready(Ok(guard))) => Some(guard),
                Some(Poll::Ready(Err(_)) | Poll::Pending) => {
                    self.writers.push_front(assoc);
                    if self.poll_blocked(cx).is_pending() {
                        return;
                    }
                    self.relieve_kernel();
                    continue;
                }
            };
            let Some(association) = self.table.get_mut(assoc) else { continue };
            let Some(kernel) = association.state.kernel() else { continue };
            let outbound = &mut association.outbound;
            let window = window(self.window, self.full);
            match outbound.write_first(self.socket.get_ref(), kernel, window) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    if let Some(mut guard) = guard {
                        guard.clear_ready();
                    }
                    self.writers.push_front(assoc);
                    continue;
                }
                // The association is gone; its notification is on the way.
                Err(e) if is_gone(&e) => self.undelivered += 1 + outbound.clear(),
                Err(error) => {
                    let peer = peer(&association.remote, association.remote_port);
                    tracing::warn!(peer, %error, "the kernel refuses a message");
                    self.kill(kernel);
                    self.end(assoc, DownReason::System);
                    continue;
                }
                Ok(()) => {
                    self.blocked = false;
                    self.blocked_timer = None;
                    self.full += usize::from(outbound.full().is_some());
                }
            }
            outbound.listed = outbound.can_write();
            let (is_listed, is_empty) = (outbound.listed, outbound.is_empty());
            self.events.extend(association.note(assoc, &mut self.backlogs));
            if is_listed {
                self.writers.push_back(assoc);
            } else if is_empty && association.state == (State::Draining { kernel }) {
                let _ = self.socket.get_ref().shut_down(kernel);
                association.state = State::Closing { kernel };
            }
        }
    }

    /// The next event to report. What asks more of a peer that does not take its answers is held
    /// back, and handed in before anything newer once it takes them.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        while let Some(assoc) = self.backlogs.resumed() {
            let Some(association) = self.table.get_mut(assoc) else { continue };
            let pauses = association.pauses_reading();
            let event = self.backlogs.resume(assoc, &mut association.backlog, pauses);
            if event.is_some() {
                return event;
            }
        }
        while let Some(event) = self.events.pop_front() {
            if !self.backlogs.may_hold() {
                return Some(event);
            }
            let assoc = event.assoc();
            let Some(association) = self.table.get_mut(assoc) else { return Some(event) };
            let pauses = association.pauses_reading();
            match self.backlogs.hold(&mut association.backlog, pauses, event) {
                Ok(None) => {}
                Ok(event) => return event,
                Err(TooMuch) => {
                    self.counters.over_budget += 1;
                    self.cut_off(assoc, DownReason::Stalled);
                }
            }
            if self.backlogs.is_over_budget() {
                self.relieve();
            }
        }
        None
    }

    /// Ends associations whose peers take nothing of what waits for them, and closes that do not go
    /// on.
    pub(super) fn poll_overdue(&mut self, cx: &mut Context<'_>) {
        while let Some((at, assoc)) = self.backlogs.poll_deadlines(cx) {
            let Some(association) = self.table.get_mut(assoc) else { continue };
            match self.backlogs.overdue((at, assoc), &mut association.backlog) {
                None => {}
                Some(Overdue::Stalled) => {
                    self.counters.stalled += 1;
                    self.cut_off(assoc, DownReason::Stalled);
                }
                Some(Overdue::Close) => {
                    let kernel = association.state.kernel();
                    let left = kernel.and_then(|id| self.socket.get_ref().unsent(id).ok());
                    if left.is_some() && left != association.left {
                        association.left = left;
                        self.backlogs.moved(assoc, &mut association.backlog);
                    } else {
                        self.cut_off(assoc, DownReason::Timeout);
                    }
                }
            }
        }
    }

    /// Ends the greatest queues while more waits in all than may.
    pub(super) fn relieve(&mut self) {
        for assoc in self.backlogs.excess(self.table.backlogs()) {
            self.counters.over_budget += 1;
            self.cut_off(assoc, DownReason::Stalled);
        }
    }

    /// Whether the kernel's send buffer has been full for too long.
    fn poll_blocked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = || Box::pin(tokio::time::sleep(BLOCKED_MAX));
        let timer = self.blocked_timer.get_or_insert_with(sleep);
        ready!(timer.as_mut().poll(cx));
        self.blocked_timer = None;
        Poll::Ready(())
    }

    /// The kernel's send buffer is full, and what fills it is taken by nobody: those end whose windows
    /// have been full the longest, until a part of it is free.
    fn relieve_kernel(&mut self) {
        let now = Instant::now();
        let stuck = self.table.full().filter(|(_, _, since)| *since + BLOCKED_MAX <= now);
        let mut stuck: Vec<_> =
            stuck.map(|(assoc, octets, since)| (since, assoc, octets)).collect();
        stuck.sort_unstable();
        let enough = self.socket.get_ref().send_buffer() / 4;
        let mut freed = 0;
        for (_, assoc, octets) in stuck {
            if freed >= enough {
                break;
            }
            freed += octets;
            self.counters.over_budget += 1;
            self.cut_off(assoc, DownReason::Stalled);
        }
    }

    /// Receives a batch and turns it into events.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.paused.is_empty() && self.paused.len() == self.table.len() {
            return Poll::Pending;
        }
        loop {
            let Ok(mut guard) = ready!(self.socket.poll_read_ready(cx)) else {
                return Poll::Pending;
            };
            let Some(mut batch) = self.batch.take() else { return Poll::Pending };
            let result = self.socket.get_ref().receive(&mut batch);
            self.may_receive = matches!(result, Ok(true));
            if is_drained(&result) {
                guard.clear_ready();
            }
            if result.is_ok() {
                batch.iter().for_each(|received| self.take(received));
            }
            self.batch = Some(batch);
            match result {
                Ok(_) => return Poll::Ready(()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    // Such as no memory, or a signal: try again when others had their turn.
                    tracing::debug!(%error, "receiving");
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }
}

/// Whether the next notice of the system says when there is more. It says nothing anew after an error
/// that left in the socket what is there.
fn is_drained(received: &io::Result<bool>) -> bool {
    match received {
        Ok(may_receive) => !may_receive,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_an_error_that_passes_the_socket_is_still_readable() {
        let error = |code| is_drained(&Err(io::Error::from_raw_os_error(code)));
        assert!(!is_drained(&Ok(true)));
        assert!(is_drained(&Ok(false)));
        assert!(error(libc::EAGAIN));
        for passing in [libc::ENOMEM, libc::ENOBUFS, libc::EINTR] {
            assert!(!error(passing));
        }
    }
}
