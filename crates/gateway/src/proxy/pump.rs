//! Octets from one connection to the other.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use super::stream::Stream;

thread_local! {
    /// What is read goes through here, and out at once: a connection owns memory only while its
    /// receiver is slower than its sender.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER_OCTETS]);
}

const BUFFER_OCTETS: usize = 64 * 1024;

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Direction {
    /// Read, and not yet written.
    pending: Vec<u8>,
    written: usize,
    state: State,
    /// Octets that have gone through.
    pub(super) octets: u64,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Open,
    /// The sender has ended; what is pending goes out, then the end.
    Ending,
    Ended,
}

impl Direction {
    pub(super) fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Moves what can be moved; ready when something was moved, or the direction has ended.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<io::Result<()>> {
        loop {
            while self.written < self.pending.len() {
                ready!(to.poll_write_ready(cx))?;
                match to.try_write(&self.pending[self.written..]) {
                    Ok(count) => {
                        self.written += count;
                        self.octets += count as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
                if self.written == self.pending.len() {
                    (self.pending, self.written) = (Vec::new(), 0);
                    return Poll::Ready(Ok(()));
                }
            }
            match self.state {
                State::Open => {}
                State::Ending => {
                    self.state = State::Ended;
                    to.end();
                    return Poll::Ready(Ok(()));
                }
                State::Ended => return Poll::Pending,
            }
            ready!(from.poll_read_ready(cx))?;
            let moved = BUFFER.with_borrow_mut(|buffer| self.read(from, to, buffer))?;
            if moved {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Whether octets went through at once.
    fn read(&mut self, from: &Stream, to: &Stream, buffer: &mut [u8]) -> io::Result<bool> {
        let count = match from.try_read(buffer) {
            Ok(0) => {
                self.state = State::Ending;
                return Ok(false);
            }
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        let written = match to.try_write(&buffer[..count]) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.octets += written as u64;
        if written < count {
            self.pending = buffer[written..count].to_vec();
        }
        Ok(written > 0)
    }
}
