//! Chargen: sends lines of characters as long as someone takes them (RFC 864).
//!
//! A line is 72 of the 95 printable characters, each line one further on.

use std::sync::Arc;
use std::time::Duration;

use rserpool::Service;
use rserpool::server::{Event, Session};
use rserpool::transport::{Backend, Ppid};
use tokio::time::{MissedTickBehavior, interval};

/// The service.
pub(super) struct Chargen;

/// How often a session gets its next lines.
const INTERVAL: Duration = Duration::from_millis(20);

impl Service for Chargen {
    async fn serve(self: Arc<Self>, mut session: Session) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Nobody says over UDP when it is enough: there each datagram is a question (RFC 864).
        let asks = session.backend() == Backend::Udp;
        let mut sent = 0;
        loop {
            tokio::select! {
                event = session.next() => match event {
                    None | Some(Event::Draining) => return,
                    Some(Event::Message { .. }) if asks => {}
                    Some(_) => continue,
                },
                _ = ticks.tick(), if !asks => {}
            }
            if session.send(Ppid::default(), &lines(sent)).await.is_err() {
                return;
            }
            sent += LINES;
        }
    }
}

const LINE_LEN: usize = 72;
const PRINTABLE: std::ops::RangeInclusive<u8> = b' '..=b'~';

/// How many lines are made at once.
const LINES: u64 = 32;

/// The lines after the first `sent`.
fn lines(sent: u64) -> Vec<u8> {
    (sent..sent.saturating_add(LINES)).flat_map(line).collect()
}

fn line(number: u64) -> impl Iterator<Item = u8> {
    let start = usize::try_from(number % 95).unwrap_or_default();
    PRINTABLE.cycle().skip(start).take(LINE_LEN).chain(*b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_begins_one_character_further_on() {
        let octets = lines(94);
        let lines: Vec<&[u8]> = octets.split_inclusive(|&octet| octet == b'\n').collect();
        assert_eq!(lines.len(), 32);
        assert!(lines.iter().all(|line| line.len() == LINE_LEN + 2 && line.ends_with(b"\r\n")));
        assert!(lines[0].starts_with(b"~ !\"#") && lines[1].starts_with(b" !\"#$"));
    }
}
