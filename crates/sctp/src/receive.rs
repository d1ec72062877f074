//! What arrives: TSNs, SACKs, and the window (RFC 9260 §6.2, §6.7).

use std::collections::VecDeque;
use std::time::Duration;

use crate::chunk::{Data, IMMEDIATE, Sack, write_sack};
use crate::config::{AGE_MAX, AHEAD_MAX, Config, FRAGMENT_OVERHEAD};
use crate::event::{Message, Statistics, Way};
use crate::reassembly::Reassembly;
use crate::stream::Inbound;

/// TSNs that arrived twice and are reported in one SACK.
const DUPLICATES_MAX: usize = 16;

/// A rule that the peer broke; what it says goes into the ABORT.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Violation(pub(crate) &'static str);

/// What became of a DATA chunk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    /// It is there, now or before.
    Yes,
    /// It is there, and there is no such stream.
    NoStream,
    /// It is dropped, as if it had been lost.
    Dropped,
}

/// Everything that one association has received.
#[derive(Debug)]
pub(crate) struct Receive {
    /// All TSNs up to this one have arrived; extended to 64 bits, so that it never wraps.
    cumulative: u64,
    /// First and last of what arrived behind the first gap.
    ahead: Vec<(u64, u64)>,
    /// When the first gap opened, or last closed a little.
    gap_since: Duration,
    reassembly: Reassembly,
    inbound: Inbound,
    /// Messages that the user has not taken yet.
    ready: VecDeque<Message>,
    /// What they count for, in octets.
    ready_cost: usize,
    streams: u16,
    /// Octets that messages which are not whole may take, as its endpoint says.
    pub(crate) room: usize,
    duplicates: Vec<u32>,
    /// Packets with DATA since the last SACK.
    packets: u32,
    /// A SACK is due now.
    pub(crate) due: bool,
    /// When it is due otherwise.
    pub(crate) timer: Option<Duration>,
    /// Where the last DATA came from.
    pub(crate) way: Option<Way>,
    /// The window as the peer was told last.
    told: usize,
}

impl Receive {
    /// Nothing has arrived; the peer begins with this TSN, and may use so many streams.
    pub(crate) fn new(initial: u32, streams: u16, config: &Config) -> Self {
        Self {
            // Far enough from 0 to look back.
            cumulative: (1 << 32) + u64::from(initial) - 1,
            ahead: Vec::new(),
            gap_since: Duration::ZERO,
            reassembly: Reassembly::default(),
            inbound: Inbound::default(),
            ready: VecDeque::new(),
            ready_cost: 0,
            streams,
            room: usize::MAX,
            duplicates: Vec::new(),
            packets: 0,
            due: false,
            timer: None,
            way: None,
            told: config.receive_window,
        }
    }

    /// Takes a DATA chunk.
    pub(crate) fn data(
        &mut self,
        data: &Data<'_>,
        now: Duration,
        config: &Config,
        statistics: &mut Statistics,
    ) -> Result<Taken, Violation> {
        let distance = data.tsn.wrapping_sub(self.cumulative_tsn());
        let tsn = self.cumulative + u64::from(distance);
        let is_old = distance == 0 || distance > u32::MAX / 2;
        if is_old || self.has_ahead(tsn) {
            statistics.duplicates += 1;
            if self.duplicates.len() < DUPLICATES_MAX {
                self.duplicates.push(data.tsn);
            }
            self.due = true;
            return Ok(Taken::Yes);
        }
        if distance > AHEAD_MAX {
            statistics.data_far_ahead += 1;
            self.due = true;
            return Ok(Taken::Dropped);
        }
        if !self.has_room(distance, data, config) {
            statistics.data_dropped += 1;
            self.due = true;
            return Ok(Taken::Dropped);
        }
        self.due |= data.flags & IMMEDIATE != 0;
        let taken = if data.stream < self.streams {
            self.put_together(tsn, data, now, config)?;
            Taken::Yes
        } else {
            Taken::NoStream
        };
        self.arrived(tsn, now)?;
        Ok(taken)
    }

    /// Whether a chunk may be kept. What fills the first gap always is: without it nothing goes on.
    fn has_room(&self, distance: u32, data: &Data<'_>, config: &Config) -> bool {
        if distance == 1 {
            return !self.ahead.is_empty() || self.ready_cost < config.receive_window;
        }
        let held = self.held() + data.payload.len() + FRAGMENT_OVERHEAD;
        held + self.ready_cost <= config.receive_window + config.mtu_v4 && held <= self.room
    }

    fn put_together(
        &mut self,
        tsn: u64,
        data: &Data<'_>,
        now: Duration,
        config: &Config,
    ) -> Result<(), Violation> {
        let (cumulative, ahead) = (self.cumulative, &self.ahead);
        let arrived = |tsn| tsn <= cumulative || position(ahead, tsn).is_ok();
        let whole = self.reassembly.take(tsn, data, config.message_max, now, arrived)?;
        let Some(whole) = whole else { return Ok(()) };
        let (ready, cost) = (&mut self.ready, &mut self.ready_cost);
        self.inbound.take(whole, &mut |message| {
            *cost += message.octets.len() + FRAGMENT_OVERHEAD;
            ready.push_back(message);
        })
    }

    /// Notes that a TSN has arrived.
    fn arrived(&mut self, tsn: u64, now: Duration) -> Result<(), Violation> {
        if tsn == self.cumulative + 1 {
            self.cumulative = tsn;
            if self.ahead.first().is_some_and(|(first, _)| *first == tsn + 1) {
                self.cumulative = self.ahead.remove(0).1;
            }
            self.gap_since = now;
            return if self.inbound.len() > 0 {
                self.inbound.check(self.cumulative)
            } else {
                Ok(())
            };
        }
        if self.ahead.is_empty() {
            self.gap_since = now;
        }
        let Err(at) = position(&self.ahead, tsn) else { return Ok(()) };
        let joins = at
            .checked_sub(1)
            .filter(|at| self.ahead.get(*at).is_some_and(|(_, last)| last + 1 == tsn));
        let next = self.ahead.get(at).copied().filter(|(first, _)| *first == tsn + 1);
        match (joins, next) {
            (Some(before), Some((_, last))) => {
                self.ahead[before].1 = last;
                self.ahead.remove(at);
            }
            (Some(before), None) => self.ahead[before].1 = tsn,
            (None, Some((_, last))) => self.ahead[at] = (tsn, last),
            (None, None) => self.ahead.insert(at, (tsn, tsn)),
        }
        Ok(())
    }

    fn has_ahead(&self, tsn: u64) -> bool {
        position(&self.ahead, tsn).is_ok()
    }

    /// A packet with DATA was read (RFC 9260 §6.2): every second one is acknowledged at once, and
    /// every one while there is a gap.
    pub(crate) fn packet(&mut self, way: Way, now: Duration, config: &Config) {
        self.way = Some(way);
        self.packets += 1;
        self.due |= self.packets >= 2 || !self.ahead.is_empty();
        if !self.due && self.timer.is_none() {
            self.timer = Some(now + config.sack_delay);
        }
    }

    /// Appends a SACK of at most `room` octets: nothing is due then.
    pub(crate) fn sack(&mut self, packet: &mut Vec<u8>, room: usize, config: &Config) {
        self.told = self.window(config);
        let most = room.saturating_sub(Sack::LENGTH) / 4;
        let gaps = self.ahead.get(..self.ahead.len().min(most)).unwrap_or_default();
        let duplicates = self.duplicates.len().min(most - gaps.len());
        let duplicates = self.duplicates.get(..duplicates).unwrap_or_default();
        let cumulative = self.cumulative;
        // Nothing is taken further ahead than fits.
        let offset = |tsn: u64| u16::try_from(tsn - cumulative).unwrap_or(u16::MAX);
        let gaps = gaps.iter().map(|(first, last)| (offset(*first), offset(*last)));
        let window = u32::try_from(self.told).unwrap_or(u32::MAX);
        write_sack(packet, low(cumulative), window, gaps, duplicates);
        self.duplicates.clear();
        self.packets = 0;
        self.due = false;
        self.timer = None;
    }

    /// The next message for the user. The peer is told where that opens a window that was closed.
    pub(crate) fn next_message(&mut self, config: &Config) -> Option<Message> {
        let message = self.ready.pop_front()?;
        self.ready_cost -= message.octets.len() + FRAGMENT_OVERHEAD;
        if self.window(config) >= self.told + config.receive_window / 2 {
            self.due = true;
        }
        Some(message)
    }

    /// What the peer may still send, in octets.
    pub(crate) fn window(&self, config: &Config) -> usize {
        config.receive_window.saturating_sub(self.held() + self.ready_cost)
    }

    /// What messages that cannot be delivered count for, in octets.
    pub(crate) fn held(&self) -> usize {
        self.reassembly.cost() + self.inbound.octets() + FRAGMENT_OVERHEAD * self.inbound.len()
    }

    /// All TSNs up to this one have arrived.
    pub(crate) fn cumulative_tsn(&self) -> u32 {
        low(self.cumulative)
    }

    /// When what is kept gets too old; `None` where nothing is.
    pub(crate) fn too_old_at(&self) -> Option<Duration> {
        let gap = (!self.ahead.is_empty()).then_some(self.gap_since);
        let open = self.reassembly.open_since(self.cumulative);
        Some(gap.into_iter().chain(open).min()? + AGE_MAX)
    }

    /// Whether the bounds are kept, and the sums are right.
    pub(crate) fn is_bounded(&self, config: &Config) -> bool {
        let last = self.ahead.last().map_or(self.cumulative, |(_, last)| *last);
        let sorted = self.ahead.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0);
        let most = 2 * config.receive_window + config.message_max + (4 << 10) * FRAGMENT_OVERHEAD;
        sorted
            && last - self.cumulative <= u64::from(AHEAD_MAX)
            && self.held() <= most
            && self.reassembly.is_right()
    }
}

/// Where a TSN is among the ranges, or would be.
fn position(ranges: &[(u64, u64)], tsn: u64) -> Result<usize, usize> {
    ranges.binary_search_by(|(first, last)| {
        if *last < tsn {
            std::cmp::Ordering::Less
        } else if *first > tsn {
            std::cmp::Ordering::Greater
        } else {
            std::cmp::Ordering::Equal
        }
    })
}

fn low(tsn: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the number on the wire")]
    let low = tsn as u32;
    low
}
