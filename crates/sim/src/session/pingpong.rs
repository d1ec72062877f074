//! What client and service send each other, and what the service remembers.

/// A request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ping {
    /// 1 for the first of a session.
    pub(crate) number: u64,
}

/// A reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Pong {
    /// That of the request.
    pub(crate) number: u64,
    /// The how manieth it is of the session, whoever gave the others.
    pub(crate) sequence: u64,
}

/// The state of a session: what a cookie hands over.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct State {
    /// The last request that was answered.
    number: u64,
    /// How many were.
    sequence: u64,
}

impl Ping {
    pub(crate) fn encode(self) -> Vec<u8> {
        self.number.to_be_bytes().to_vec()
    }

    pub(crate) fn decode(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(|octets| Self { number: u64::from_be_bytes(octets) })
    }
}

impl Pong {
    pub(crate) fn encode(self) -> Vec<u8> {
        pair(self.number, self.sequence)
    }

    pub(crate) fn decode(octets: &[u8]) -> Option<Self> {
        unpair(octets).map(|(number, sequence)| Self { number, sequence })
    }
}

impl State {
    /// Answers a request. The one that was answered last gets the same reply again: the client
    /// may have got the cookie without it.
    pub(crate) fn answer(&mut self, ping: Ping) -> Pong {
        if ping.number != self.number {
            *self = Self { number: ping.number, sequence: self.sequence + 1 };
        }
        Pong { number: self.number, sequence: self.sequence }
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        pair(self.number, self.sequence)
    }

    pub(crate) fn decode(octets: &[u8]) -> Option<Self> {
        unpair(octets).map(|(number, sequence)| Self { number, sequence })
    }
}

fn pair(first: u64, second: u64) -> Vec<u8> {
    [first, second].map(u64::to_be_bytes).concat()
}

fn unpair(octets: &[u8]) -> Option<(u64, u64)> {
    let (first, second) = octets.split_first_chunk()?;
    Some((u64::from_be_bytes(*first), u64::from_be_bytes(second.try_into().ok()?)))
}
