//! What a SACK says about what was sent (RFC 9260 §6.2.1, §6.3.2, §7.2.4).

use std::time::Duration;

use crate::chunk::Sack;
use crate::config::Config;
use crate::path::Paths;
use crate::receive::Violation;
use crate::send::{Chunk, Progress, Send};
use crate::serial::after;

/// A chunk is lost when one has arrived that left so many packets later on the same path: what three
/// miss indications say (§7.2.4), also where one SACK answers many packets.
const REORDERING: u64 = 3;

/// What one path gains from a SACK.
#[derive(Clone, Copy, Debug, Default)]
struct Gain {
    /// Octets that have arrived.
    octets: usize,
    /// What was on its way before.
    before: usize,
    /// T3-rtx begins anew: the earliest that was on its way has arrived (§6.3.2 R3).
    restarts: bool,
    /// When it missed an answer last.
    missed_at: Option<Duration>,
    /// It is shown that the path is reached.
    is_well: bool,
    /// Something earlier is still on its way.
    has_earlier: bool,
    /// Octets that had arrived and have not any more.
    lost_again: usize,
    /// Losses were noticed.
    lost: bool,
    /// A round trip.
    measured: Option<Duration>,
}

/// What a SACK has brought.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Acknowledged {
    /// It was older than one before, or makes no sense, and was ignored.
    pub(crate) ignored: bool,
    /// Octets that have arrived.
    pub(crate) octets: usize,
    /// A path that missed answers is reached.
    pub(crate) healed: bool,
}

impl Send {
    /// Takes a SACK; where `is_whole`, what it does not name is not there.
    pub(crate) fn sack(
        &mut self,
        sack: &Sack<'_>,
        is_whole: bool,
        paths: &mut Paths,
        now: Duration,
        config: &Config,
    ) -> Result<Acknowledged, Violation> {
        if after(sack.cumulative, self.highest()) {
            return Err(Violation("TSNs are acknowledged that were never sent"));
        }
        if after(self.cumulative, sack.cumulative) {
            return Ok(Acknowledged { ignored: true, ..Acknowledged::default() });
        }
        if !self.is_plausible(sack)? {
            return Ok(Acknowledged { ignored: true, ..Acknowledged::default() });
        }
        self.last_sack = now;
        let mut gains = [Gain::default(); 16];
        for path in paths.iter() {
            let gain = &mut gains[usize::from(path.id % 16)];
            gain.before = path.congestion.flight;
            gain.missed_at = path.missed_at;
        }
        let advanced = sack.cumulative != self.cumulative;
        self.pass_cumulative(sack.cumulative, &mut gains, now);
        let has_gaps = is_whole && self.pass_gaps(sack, &mut gains, now);
        for path in paths.iter_mut() {
            let gain = &gains[usize::from(path.id % 16)];
            path.congestion.flight =
                (path.congestion.flight + gain.lost_again).saturating_sub(gain.octets);
        }
        self.take_window(sack, advanced, paths);
        if has_gaps || self.repeated > 0 {
            self.find_losses(&mut gains, paths);
        }
        Ok(self.settle(&gains, paths, advanced, now, config))
    }

    /// What follows for the paths.
    fn settle(
        &self,
        gains: &[Gain; 16],
        paths: &mut Paths,
        advanced: bool,
        now: Duration,
        config: &Config,
    ) -> Acknowledged {
        let mut result = Acknowledged::default();
        let highest = self.highest();
        for path in paths.iter_mut() {
            let gain = gains[usize::from(path.id % 16)];
            result.octets += gain.octets;
            if let Some(time) = gain.measured {
                path.measure(time, config);
                path.measured = false;
            }
            if gain.lost {
                path.congestion.lost(highest);
                path.measured = false;
            }
            path.congestion.acknowledged(gain.octets, gain.before, self.cumulative, advanced);
            if gain.is_well && (path.errors > 0 || path.doubted) {
                path.errors = 0;
                path.doubted = false;
                result.healed = true;
            }
            if path.congestion.flight == 0 {
                path.t3 = None;
                path.measured = false;
            } else if gain.restarts {
                path.t3 = Some(now + path.rto);
            }
        }
        result
    }

    /// Whether the gap blocks make sense: in order, apart from each other, and of TSNs that were sent.
    /// Everybody sends them so; others would only cost time.
    fn is_plausible(&self, sack: &Sack<'_>) -> Result<bool, Violation> {
        let sent = self.highest().wrapping_sub(sack.cumulative);
        let mut last = 0;
        for (first, end) in sack.gaps() {
            if u32::from(end) > sent {
                return Err(Violation("TSNs are acknowledged that were never sent"));
            }
            if u32::from(first) < last + 2 || end < first {
                return Ok(false);
            }
            last = u32::from(end);
        }
        Ok(true)
    }

    fn pass_cumulative(&mut self, cumulative: u32, gains: &mut [Gain; 16], now: Duration) {
        let count = cumulative.wrapping_sub(self.cumulative);
        for _ in 0..count {
            let Some(chunk) = self.outstanding.pop_front() else { break };
            let gain = &mut gains[usize::from(chunk.path % 16)];
            self.unacknowledged -= chunk.len();
            self.repeated -= usize::from(chunk.transmissions > 1);
            match chunk.progress {
                Progress::InFlight => {
                    self.flight -= chunk.len();
                    gain.octets += chunk.len();
                    gain.restarts = true;
                    note(&mut self.arrived, gain, &chunk, now);
                }
                // It was thought lost, and was not.
                Progress::Lost => self.lost -= 1,
                Progress::Arrived => self.ahead -= 1,
            }
        }
        self.cumulative = cumulative;
        self.lost_from =
            self.lost_from.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
    }

    /// Marks what the gap blocks say; true where there are some.
    fn pass_gaps(&mut self, sack: &Sack<'_>, gains: &mut [Gain; 16], now: Duration) -> bool {
        let mut blocks = sack.gaps().peekable();
        let has_gaps = blocks.peek().is_some();
        if !has_gaps && self.ahead == 0 {
            return false;
        }
        let (arrived, flight, lost) = (&mut self.arrived, &mut self.flight, &mut self.lost);
        let ahead = &mut self.ahead;
        for (at, chunk) in self.outstanding.iter_mut().enumerate() {
            let offset = u32::try_from(at + 1).unwrap_or(u32::MAX);
            while blocks.next_if(|(_, end)| u32::from(*end) < offset).is_some() {}
            let is_there = blocks.peek().is_some_and(|(first, _)| u32::from(*first) <= offset);
            let gain = &mut gains[usize::from(chunk.path % 16)];
            match (chunk.progress, is_there) {
                (Progress::InFlight, true) => {
                    chunk.progress = Progress::Arrived;
                    *ahead += 1;
                    *flight -= chunk.len();
                    gain.octets += chunk.len();
                    gain.restarts |= !gain.has_earlier;
                    note(arrived, gain, chunk, now);
                }
                (Progress::Lost, true) => {
                    chunk.progress = Progress::Arrived;
                    *ahead += 1;
                    *lost -= 1;
                }
                // The receiver has dropped it again (§6.2).
                (Progress::Arrived, false) => {
                    chunk.progress = Progress::InFlight;
                    chunk.measured = false;
                    *flight += chunk.len();
                    *ahead -= 1;
                    gain.lost_again += chunk.len();
                    gain.has_earlier = true;
                }
                (Progress::InFlight, false) => gain.has_earlier = true,
                (Progress::Lost, false) | (Progress::Arrived, true) => {}
            }
            if blocks.peek().is_none() && *ahead == 0 {
                break;
            }
        }
        has_gaps
    }

    /// Takes the window over. Where it opens, what had been sent to find that out was dropped.
    fn take_window(&mut self, sack: &Sack<'_>, advanced: bool, paths: &mut Paths) {
        self.window = usize::try_from(sack.window).unwrap_or(usize::MAX);
        if advanced {
            self.probing = false;
        }
        if !self.probing || self.window < self.flight.max(1) {
            return;
        }
        self.probing = false;
        for path in paths.iter_mut() {
            if self.expire(path.id) > 0 {
                path.congestion.flight = 0;
            }
        }
    }

    /// Marks as lost what others have overtaken on the same path.
    fn find_losses(&mut self, gains: &mut [Gain; 16], paths: &mut Paths) {
        let arrived = self.arrived;
        let mut lost = 0;
        let mut first = usize::MAX;
        for (at, chunk) in self.outstanding.iter_mut().enumerate() {
            let slot = usize::from(chunk.path % 16);
            if chunk.progress == Progress::InFlight && chunk.packet + REORDERING <= arrived[slot] {
                chunk.progress = Progress::Lost;
                chunk.measured = false;
                gains[slot].lost = true;
                self.flight -= chunk.len();
                if let Some(path) = paths.get_mut(chunk.path) {
                    path.congestion.flight -= chunk.len().min(path.congestion.flight);
                }
                lost += 1;
                first = first.min(at);
            }
        }
        self.lost += lost;
        self.lost_from = self.lost_from.min(first);
    }
}

/// A chunk that was on its way has arrived.
fn note(arrived: &mut [u64; 16], gain: &mut Gain, chunk: &Chunk, now: Duration) {
    let newest = &mut arrived[usize::from(chunk.path % 16)];
    *newest = (*newest).max(chunk.packet);
    gain.is_well |= !chunk.mixed && gain.missed_at.is_none_or(|at| chunk.sent >= at);
    // §6.3.1 C5: not of what was sent twice.
    if chunk.measured && chunk.transmissions == 1 {
        gain.measured = Some(now.saturating_sub(chunk.sent));
    }
}
