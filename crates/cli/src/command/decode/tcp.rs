//! Messages in TCP streams: in order, framed by the length in their headers.

use std::collections::HashMap;
use std::net::SocketAddr;

use etherparse::TcpSlice;
use rserpool_wire::Protocol;
use rserpool_wire::codec::HEADER_LEN;

use super::Place;

/// So many streams are followed; the one that was silent longest makes room.
const STREAMS_MAX: usize = 256;
/// So many segments that came too early are kept for a stream, of so many octets in all.
const EARLY_MAX: usize = 64;
const EARLY_OCTETS_MAX: usize = 64 * 1024;

/// The directions of connections.
#[derive(Debug, Default)]
pub(super) struct Streams {
    streams: HashMap<(SocketAddr, SocketAddr), Stream>,
    gaps: u64,
}

#[derive(Debug)]
struct Stream {
    protocol: Protocol,
    /// Where its last segment was.
    place: Place,
    /// Sequence number of the next octet.
    next: u32,
    /// Octets of a message that is not complete.
    partial: Vec<u8>,
    /// Segments behind a gap, by their sequence numbers.
    early: Vec<(u32, Vec<u8>)>,
    /// The stream is no sequence of messages.
    broken: bool,
}

impl Streams {
    /// The messages that are complete with a segment.
    pub(super) fn segment(
        &mut self,
        segment: &TcpSlice<'_>,
        protocol: Protocol,
        place: Place,
    ) -> Vec<Vec<u8>> {
        let key = (place.source, place.destination);
        let start = segment.sequence_number().wrapping_add(u32::from(segment.syn()));
        if segment.syn() || segment.rst() {
            self.streams.remove(&key);
        }
        if segment.rst() || (segment.payload().is_empty() && !segment.syn()) {
            return Vec::new();
        }
        if self.streams.len() >= STREAMS_MAX && !self.streams.contains_key(&key) {
            self.forget_one();
        }
        let stream = self.streams.entry(key).or_insert_with(|| Stream {
            protocol,
            place,
            // A capture that starts later starts with a message, most likely.
            next: start,
            partial: Vec::new(),
            early: Vec::new(),
            broken: false,
        });
        stream.place = place;
        stream.early.push((start, segment.payload().to_vec()));
        self.gaps += u64::from(stream.close_gap_if_hopeless());
        stream.take_early();
        stream.messages()
    }

    /// How many times octets were missing.
    pub(super) fn gaps(&self) -> u64 {
        self.gaps + self.streams.values().filter(|stream| !stream.early.is_empty()).count() as u64
    }

    /// The last messages of the streams, where only their padding is missing.
    pub(super) fn finish(self) -> Vec<(Place, Protocol, Vec<u8>)> {
        let whole = |stream: &Stream| {
            message_len(&stream.partial).is_some_and(|length| length <= stream.partial.len())
        };
        let mut rest: Vec<_> = self.streams.into_values().filter(whole).collect();
        rest.sort_by_key(|stream| (stream.place.frame, stream.place.source));
        rest.into_iter().map(|stream| (stream.place, stream.protocol, stream.partial)).collect()
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        let early = self.streams.values().flat_map(|stream| &stream.early);
        let partial = self.streams.values().map(|stream| stream.partial.len());
        early.map(|(_, octets)| octets.len()).chain(partial).sum()
    }

    fn forget_one(&mut self) {
        let idle = |(_, stream): &(_, &Stream)| {
            (!stream.partial.is_empty() || !stream.early.is_empty(), stream.place.frame)
        };
        if let Some(key) = self.streams.iter().min_by_key(idle).map(|(key, _)| *key) {
            self.streams.remove(&key);
        }
    }
}

impl Stream {
    /// Goes on behind a gap once too much waits there; true where it does.
    fn close_gap_if_hopeless(&mut self) -> bool {
        let octets: usize = self.early.iter().map(|(_, octets)| octets.len()).sum();
        if self.early.len() <= EARLY_MAX && octets <= EARLY_OCTETS_MAX {
            return false;
        }
        let starts = self.early.iter().map(|(start, _)| start.wrapping_sub(self.next));
        let Some(ahead) = starts.filter(|ahead| ahead.cast_signed() >= 0).min() else {
            return false;
        };
        self.next = self.next.wrapping_add(ahead);
        self.partial.clear();
        ahead != 0
    }

    /// Takes the segments that are due, and drops those that came before.
    fn take_early(&mut self) {
        loop {
            let next = self.next;
            let behind = |start: u32| usize::try_from(next.wrapping_sub(start).cast_signed());
            let due = self.early.iter().position(|(start, _)| behind(*start).is_ok());
            let Some(due) = due else {
                return;
            };
            let (start, octets) = self.early.swap_remove(due);
            let news = behind(start).ok().and_then(|behind| octets.get(behind..));
            let news = news.unwrap_or_default();
            self.partial.extend_from_slice(news);
            self.next = next.wrapping_add(u32::try_from(news.len()).unwrap_or_default());
        }
    }

    /// Cuts whole messages off; everything, where the length makes no sense.
    fn messages(&mut self) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        if self.broken {
            self.partial.clear();
        }
        while let Some(length) = message_len(&self.partial) {
            if length < HEADER_LEN {
                self.broken = true;
                messages.push(std::mem::take(&mut self.partial));
                break;
            }
            let padded = length.next_multiple_of(4);
            if self.partial.len() < padded {
                break;
            }
            let rest = self.partial.split_off(padded);
            messages.push(std::mem::replace(&mut self.partial, rest));
        }
        messages
    }
}

/// The length in the header of a message.
fn message_len(octets: &[u8]) -> Option<usize> {
    match octets {
        [_, _, high, low, ..] => Some(usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}
