//! What is sent: messages that wait, and DATA that is not acknowledged yet (RFC 9260 §6.1, §6.2.1).

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::build::Build;
use crate::chunk::{BEGINS, DATA_HEADER, Data, ENDS, IMMEDIATE, UNORDERED, kind};
use crate::config::Config;
use crate::event::Message;
use crate::path::Path;
use crate::stream::Outbound;

/// TSNs that may be on their way: what receivers like this one take.
const OUTSTANDING_MAX: usize = 4000;

/// How far a chunk is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    /// On its way.
    InFlight,
    /// It has arrived, but not all before it.
    Arrived,
    /// It is to be sent again.
    Lost,
}

/// A DATA chunk that was sent.
#[derive(Debug)]
pub(crate) struct Chunk {
    payload: Bytes,
    stream: u16,
    number: u16,
    ppid: u32,
    flags: u8,
    pub(crate) progress: Progress,
    /// Where it was sent to last.
    pub(crate) path: u8,
    /// The packet of that path that it was in.
    pub(crate) packet: u64,
    pub(crate) sent: Duration,
    pub(crate) transmissions: u32,
    /// It was sent to several addresses: its arrival says nothing about any of them.
    pub(crate) mixed: bool,
    /// Its round trip is measured.
    pub(crate) measured: bool,
}

impl Chunk {
    pub(crate) fn len(&self) -> usize {
        self.payload.len()
    }
}

/// A message that is not sent yet, or not all of it.
#[derive(Debug)]
struct Queued {
    message: Message,
    /// What was sent of it.
    sent: usize,
    number: u16,
}

/// The sending half of an association.
#[derive(Debug)]
pub(crate) struct Send {
    queue: VecDeque<Queued>,
    /// Octets that were not sent yet.
    pub(crate) queued: usize,
    /// DATA that was sent, one for each TSN from `cumulative` + 1 on.
    pub(crate) outstanding: VecDeque<Chunk>,
    /// Octets in it.
    pub(crate) unacknowledged: usize,
    /// All TSNs up to this one have arrived.
    pub(crate) cumulative: u32,
    /// Octets that are on their way, on all paths.
    pub(crate) flight: usize,
    /// What the peer said last that it takes.
    pub(crate) window: usize,
    /// Chunks that are to be sent again, and from where on they are to be looked for.
    pub(crate) lost: usize,
    pub(crate) lost_from: usize,
    /// Chunks in `outstanding` that have arrived.
    pub(crate) ahead: usize,
    /// Chunks in `outstanding` that were sent more than once.
    pub(crate) repeated: usize,
    /// Packets that were sent on each path.
    packets: [u64; 16],
    /// The highest of those that arrived.
    pub(crate) arrived: [u64; 16],
    streams: Outbound,
    /// When the last SACK came.
    pub(crate) last_sack: Duration,
    /// What is on its way is more than the peer's window allows, to find out when that opens.
    pub(crate) probing: bool,
    /// DATA chunks that were sent again.
    pub(crate) retransmissions: u64,
}

impl Send {
    /// Nothing is sent yet; the first TSN is `initial`, and the peer takes `window` octets.
    pub(crate) fn new(initial: u32, window: u32) -> Self {
        Self {
            queue: VecDeque::new(),
            queued: 0,
            outstanding: VecDeque::new(),
            unacknowledged: 0,
            cumulative: initial.wrapping_sub(1),
            flight: 0,
            window: usize::try_from(window).unwrap_or(usize::MAX),
            lost: 0,
            lost_from: 0,
            ahead: 0,
            repeated: 0,
            packets: [0; 16],
            arrived: [0; 16],
            streams: Outbound::default(),
            last_sack: Duration::ZERO,
            probing: false,
            retransmissions: 0,
        }
    }

    /// Queues a message.
    pub(crate) fn push(&mut self, message: Message) {
        let number = if message.unordered { 0 } else { self.streams.number(message.stream) };
        self.queued += message.octets.len();
        self.queue.push_back(Queued { message, sent: 0, number });
    }

    /// Octets that wait, to be sent or acknowledged.
    pub(crate) fn waiting(&self) -> usize {
        self.queued + self.unacknowledged
    }

    /// Whether all was acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.queue.is_empty() && self.outstanding.is_empty()
    }

    /// The last TSN that was sent.
    pub(crate) fn highest(&self) -> u32 {
        let count = u32::try_from(self.outstanding.len()).unwrap_or(u32::MAX);
        self.cumulative.wrapping_add(count)
    }

    /// Whether a path may be filled with something now.
    pub(crate) fn wants(&self, path: &Path, burst: usize) -> bool {
        let congestion = &path.congestion;
        let may = congestion.has_room() || congestion.exempt;
        if self.lost > 0 {
            return may;
        }
        let new = !self.queue.is_empty() && self.outstanding.len() < OUTSTANDING_MAX;
        new && congestion.has_room()
            && (burst > 0 || self.flight == 0)
            && self.next_length().is_some()
    }

    /// Octets of the next fragment that the peer's window allows (RFC 9260 §6.1 A): where it allows
    /// none and nothing is on its way, one all the same.
    fn next_length(&self) -> Option<usize> {
        let queued = self.queue.front()?;
        let left = queued.message.octets.len() - queued.sent;
        let room = self.window.saturating_sub(self.flight);
        // A small rest of a window is not worth a fragment.
        let fits = left <= room || room >= 512;
        if fits {
            Some(left.min(room))
        } else {
            (self.flight == 0 && self.lost == 0).then_some(left)
        }
    }

    /// Puts DATA into a packet to `path`: first what is to be sent again, then what is new. How many
    /// chunks.
    pub(crate) fn fill(
        &mut self,
        build: &mut Build<'_>,
        path: &mut Path,
        is_last: bool,
        now: Duration,
    ) -> usize {
        let slot = usize::from(path.id % 16);
        self.packets[slot] += 1;
        let mut count = 0;
        while self.repeat(build, path, now) {
            count += 1;
        }
        if self.lost == 0 {
            while self.first(build, path, is_last, now) {
                count += 1;
            }
        }
        if count > 0 {
            path.used = now;
            path.was_used = true;
            path.congestion.exempt = false;
            if path.t3.is_none() {
                path.t3 = Some(now + path.rto);
            }
        }
        count
    }

    /// Sends a lost chunk again; false where there is none, or none that may go into this packet.
    fn repeat(&mut self, build: &mut Build<'_>, path: &mut Path, now: Duration) -> bool {
        let congestion = &path.congestion;
        if self.lost == 0 || !(congestion.has_room() || congestion.exempt) {
            return false;
        }
        let from = self.lost_from;
        let lost = |chunk: &Chunk| chunk.progress == Progress::Lost;
        let Some(at) = self.outstanding.iter().skip(from).position(lost).map(|at| from + at) else {
            // There is none: the count was wrong.
            self.lost = 0;
            return false;
        };
        self.lost_from = at;
        let offset = u32::try_from(at).unwrap_or(u32::MAX);
        let tsn = self.cumulative.wrapping_add(1).wrapping_add(offset);
        let slot = usize::from(path.id % 16);
        let packet = self.packets[slot];
        let Some(chunk) = self.outstanding.get_mut(at) else { return false };
        // One that was made for a larger packet goes alone.
        if DATA_HEADER + chunk.len() > build.room(kind::DATA) && !build.is_empty() {
            return false;
        }
        chunk.progress = Progress::InFlight;
        chunk.mixed |= chunk.path != path.id;
        chunk.path = path.id;
        chunk.packet = packet;
        chunk.sent = now;
        if chunk.transmissions == 1 {
            self.repeated += 1;
        }
        chunk.transmissions = chunk.transmissions.saturating_add(1);
        chunk.measured = false;
        // Who answers at once ends the doubt soonest (RFC 7053 §4.1).
        chunk.flags |= IMMEDIATE;
        self.lost -= 1;
        self.flight += chunk.len();
        path.congestion.flight += chunk.len();
        self.retransmissions += 1;
        write(build, chunk, tsn);
        true
    }

    /// Sends the next fragment for the first time; false where there is none, or none that may go
    /// into this packet.
    fn first(
        &mut self,
        build: &mut Build<'_>,
        path: &mut Path,
        is_last: bool,
        now: Duration,
    ) -> bool {
        if self.outstanding.len() >= OUTSTANDING_MAX || !path.congestion.has_room() {
            return false;
        }
        let Some(allowed) = self.next_length() else { return false };
        let room = build.room(kind::DATA).saturating_sub(DATA_HEADER) & !3;
        let is_empty = build.is_empty();
        let tsn = self.highest().wrapping_add(1);
        let Some(queued) = self.queue.front_mut() else { return false };
        let left = queued.message.octets.len() - queued.sent;
        let length = allowed.min(room);
        // What fits one packet is not cut, and a rest of a packet is not filled with little.
        if length == 0 || (length < left && !is_empty && 2 * room < build.limit()) {
            return false;
        }
        self.probing = self.window.saturating_sub(self.flight) < length;
        let begins = queued.sent == 0;
        let ends = length == left;
        let payload = if begins && ends {
            std::mem::take(&mut queued.message.octets)
        } else {
            queued.message.octets.slice(queued.sent..queued.sent + length)
        };
        let mut flags = if begins { BEGINS } else { 0 } | if ends { ENDS } else { 0 };
        if queued.message.unordered {
            flags |= UNORDERED;
        }
        let (stream, number, ppid) = (queued.message.stream, queued.number, queued.message.ppid);
        queued.sent += length;
        if ends {
            self.queue.pop_front();
            if is_last && self.queue.is_empty() {
                flags |= IMMEDIATE;
            }
        }
        self.queued -= length;
        self.unacknowledged += length;
        self.flight += length;
        let (packet, measured) = self.leaves(path, length, now);
        let chunk = Chunk {
            payload,
            stream,
            number,
            ppid,
            flags,
            progress: Progress::InFlight,
            path: path.id,
            packet,
            sent: now,
            transmissions: 1,
            mixed: false,
            measured,
        };
        write(build, &chunk, tsn);
        self.outstanding.push_back(chunk);
        true
    }

    /// New octets leave over a path: the packet that they are in, and whether their round trip is
    /// measured, which is done with one at a time.
    fn leaves(&self, path: &mut Path, length: usize, now: Duration) -> (u64, bool) {
        if path.congestion.flight == 0 && now.saturating_sub(path.used) > path.rto {
            path.congestion.idle();
        }
        path.congestion.flight += length;
        let measured = !path.measured;
        path.measured = true;
        (self.packets[usize::from(path.id % 16)], measured)
    }

    /// Marks all that is on its way on a path as lost; how many chunks.
    pub(crate) fn expire(&mut self, path: u8) -> usize {
        let mut count = 0;
        for chunk in &mut self.outstanding {
            if chunk.progress == Progress::InFlight && chunk.path == path {
                chunk.progress = Progress::Lost;
                chunk.measured = false;
                self.flight -= chunk.len();
                count += 1;
            }
        }
        self.lost += count;
        self.lost_from = 0;
        count
    }

    /// Whether the sums are right.
    pub(crate) fn is_right(&self) -> bool {
        let of = |progress| self.outstanding.iter().filter(move |c| c.progress == progress);
        let queued: usize = self.queue.iter().map(|q| q.message.octets.len() - q.sent).sum();
        of(Progress::InFlight).map(Chunk::len).sum::<usize>() == self.flight
            && of(Progress::Lost).count() == self.lost
            && of(Progress::Arrived).count() == self.ahead
            && self.outstanding.iter().filter(|c| c.transmissions > 1).count() == self.repeated
            && self.outstanding.iter().map(Chunk::len).sum::<usize>() == self.unacknowledged
            && queued == self.queued
    }

    /// Whether a message may be queued.
    pub(crate) fn has_room(&self, octets: usize, config: &Config) -> bool {
        self.waiting() + octets <= config.send_queue_max
    }
}

fn write(build: &mut Build<'_>, chunk: &Chunk, tsn: u32) {
    let data = Data {
        flags: chunk.flags,
        tsn,
        stream: chunk.stream,
        number: chunk.number,
        ppid: chunk.ppid,
        payload: &chunk.payload,
    };
    data.write(build.place(kind::DATA));
}
