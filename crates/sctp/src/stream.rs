//! Streams: the order of messages (RFC 9260 §6.5, §6.6).

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::event::Message;
use crate::reassembly::Whole;
use crate::receive::Violation;

/// Numbers the messages that are sent.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    next: Vec<u16>,
}

impl Outbound {
    /// The number of the next ordered message of a stream.
    pub(crate) fn number(&mut self, stream: u16) -> u16 {
        let number = place(&mut self.next, stream);
        let own = *number;
        *number = own.wrapping_add(1);
        own
    }
}

/// Puts the messages that arrived into the order of their streams.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    next: Vec<u16>,
    /// Whole messages that wait for others, by stream and number.
    waiting: BTreeMap<(u16, u16), Whole>,
    octets: usize,
}

impl Inbound {
    /// Takes a whole message; it and those that waited for it go to `deliver`.
    pub(crate) fn take(
        &mut self,
        whole: Whole,
        deliver: &mut impl FnMut(Message),
    ) -> Result<(), Violation> {
        if whole.unordered {
            deliver(message(whole));
            return Ok(());
        }
        let stream = whole.stream;
        let next = place(&mut self.next, stream);
        let distance = whole.number.wrapping_sub(*next);
        if distance != 0 {
            // Neither a number that was used, nor one twice.
            let octets = whole.octets.len();
            let is_new = distance < 1 << 15;
            if !is_new || self.waiting.insert((stream, whole.number), whole).is_some() {
                return Err(Violation("a number of a message is used twice"));
            }
            self.octets += octets;
            return Ok(());
        }
        *next = next.wrapping_add(1);
        deliver(message(whole));
        while let Some(whole) = self.waiting.remove(&(stream, *next)) {
            *next = next.wrapping_add(1);
            self.octets -= whole.octets.len();
            deliver(message(whole));
        }
        Ok(())
    }

    /// All TSNs up to `cumulative` have arrived: a message among them that still waits, waits for one
    /// that was left out.
    pub(crate) fn check(&self, cumulative: u64) -> Result<(), Violation> {
        let late = self.waiting.values().any(|whole| whole.last <= cumulative);
        if late { Err(Violation("a number of a message is left out")) } else { Ok(()) }
    }

    /// Octets of the messages that wait.
    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    /// Messages that wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// The place of a stream, below the number of streams that were agreed on.
fn place(numbers: &mut Vec<u16>, stream: u16) -> &mut u16 {
    let at = usize::from(stream);
    if numbers.len() <= at {
        numbers.resize(at + 1, 0);
    }
    &mut numbers[at]
}

fn message(whole: Whole) -> Message {
    Message {
        stream: whole.stream,
        ppid: whole.ppid,
        unordered: whole.unordered,
        octets: Bytes::from(whole.octets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(stream: u16, number: u16, last: u64) -> Whole {
        let octets = number.to_be_bytes().to_vec();
        Whole { last, stream, number, ppid: 0, unordered: false, octets }
    }

    #[test]
    fn messages_wait_for_those_before_them_in_their_stream_only() {
        let mut inbound = Inbound::default();
        let mut out = Vec::new();
        for (stream, number) in [(1, 1), (1, 2), (2, 0), (1, 0), (1, 3)] {
            let last = u64::from(number);
            inbound.take(whole(stream, number, last), &mut |m| out.push(m)).unwrap();
        }
        let order: Vec<_> = out.iter().map(|m| (m.stream, m.octets[1])).collect();
        assert_eq!(order, [(2, 0), (1, 0), (1, 1), (1, 2), (1, 3)]);
        assert_eq!((inbound.octets(), inbound.len()), (0, 0));
    }

    #[test]
    fn numbers_wrap_and_are_not_used_twice_or_left_out() {
        let mut inbound = Inbound { next: vec![u16::MAX], ..Inbound::default() };
        let mut count = 0;
        inbound.take(whole(0, 0, 9), &mut |_| count += 1).unwrap();
        assert!(inbound.check(8).is_ok() && inbound.check(9).is_err());
        assert!(inbound.take(whole(0, 0, 9), &mut |_| count += 1).is_err());
        inbound.take(whole(0, u16::MAX, 8), &mut |_| count += 1).unwrap();
        assert_eq!(count, 2);
        assert!(inbound.take(whole(0, 0, 10), &mut |_| count += 1).is_err());
    }
}
