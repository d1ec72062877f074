//! One association: what waits to be sent, what arrived in part.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::time::Instant;
use tracing::field::{DisplayValue, display};

use super::notification::KernelId;
use super::socket::{Socket, Unsent};
use crate::backlog::{Backlog, Backlogs};
use crate::endpoint::{AssocId, Event, Ppid};
use crate::id_hash::BuildIdHasher;
use crate::source_limit::Source;

/// The associations of an endpoint, by both their names.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_id: HashMap<AssocId, Association, BuildIdHasher>,
    by_kernel: HashMap<KernelId, AssocId, BuildIdHasher>,
    last: u64,
}

/// One association.
#[derive(Debug)]
pub(super) struct Association {
    pub(super) state: State,
    /// True where this side dialed.
    pub(super) dialed: bool,
    pub(super) remote: Vec<IpAddr>,
    pub(super) remote_port: u16,
    /// The own addresses, once it is up.
    pub(super) local: Vec<IpAddr>,
    /// Those of `remote` that do not answer.
    pub(super) unreachable: Vec<IpAddr>,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    /// Who came, where it was not dialed.
    pub(super) from: Option<Source>,
    /// What the kernel still had to send when it was last asked, while it closes.
    pub(super) left: Option<Unsent>,
    /// What the endpoint knows of what waits.
    pub(super) backlog: Backlog,
}

/// How far an association is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// To be dialed when the kernel has let go of an older association with the same peer.
    Waiting { deadline: Instant, encapsulation: Option<u16> },
    /// Being set up.
    Dialing { kernel: KernelId, deadline: Instant },
    /// Up.
    Up { kernel: KernelId },
    /// Closed by us; the queue still leaves.
    Draining { kernel: KernelId },
    /// Closed by us or the peer; the kernel finishes.
    Closing { kernel: KernelId },
}

impl State {
    /// The kernel's name.
    pub(super) fn kernel(self) -> Option<KernelId> {
        match self {
            Self::Waiting { .. } => None,
            Self::Dialing { kernel, .. }
            | Self::Up { kernel }
            | Self::Draining { kernel }
            | Self::Closing { kernel } => Some(kernel),
        }
    }

    /// True until it is closed.
    pub(super) fn is_usable(self) -> bool {
        match self {
            Self::Waiting { .. } | Self::Dialing { .. } | Self::Up { .. } => true,
            Self::Draining { .. } | Self::Closing { .. } => false,
        }
    }

    /// When to give up a dial.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Waiting { deadline, .. } | Self::Dialing { deadline, .. } => Some(deadline),
            Self::Up { .. } | Self::Draining { .. } | Self::Closing { .. } => None,
        }
    }
}

impl Table {
    /// A name that was never used.
    pub(super) fn name(&mut self) -> AssocId {
        self.last += 1;
        AssocId(self.last)
    }

    pub(super) fn insert(&mut self, assoc: AssocId, association: Association) {
        if let Some(kernel) = association.state.kernel() {
            self.by_kernel.insert(kernel, assoc);
        }
        self.by_id.insert(assoc, association);
    }

    pub(super) fn remove(&mut self, assoc: AssocId) -> Option<Association> {
        let association = self.by_id.remove(&assoc)?;
        if let Some(kernel) = association.state.kernel() {
            self.by_kernel.remove(&kernel);
        }
        Some(association)
    }

    pub(super) fn get(&self, assoc: AssocId) -> Option<&Association> {
        self.by_id.get(&assoc)
    }

    pub(super) fn get_mut(&mut self, assoc: AssocId) -> Option<&mut Association> {
        self.by_id.get_mut(&assoc)
    }

    pub(super) fn find(&mut self, kernel: KernelId) -> Option<(AssocId, &mut Association)> {
        let assoc = *self.by_kernel.get(&kernel)?;
        Some((assoc, self.by_id.get_mut(&assoc)?))
    }

    /// What waits for the peers of all.
    pub(super) fn backlogs(&self) -> impl Iterator<Item = (AssocId, &Backlog)> {
        self.by_id.iter().map(|(assoc, association)| (*assoc, &association.backlog))
    }

    /// Octets that fill the windows of those whose window is full, and since when.
    pub(super) fn full(&self) -> impl Iterator<Item = (AssocId, usize, Instant)> {
        self.by_id.iter().filter_map(|(assoc, association)| {
            let (octets, since) = association.outbound.full()?;
            Some((*assoc, octets, since))
        })
    }

    /// The association with a peer at this port and one of these addresses that is not about to
    /// end. The kernel has at most one.
    pub(super) fn usable(&self, addresses: &[IpAddr], port: u16) -> Option<AssocId> {
        let same = |a: &Association| a.state.is_usable() && a.is_with(addresses, port);
        self.by_id.iter().find(|(_, association)| same(association)).map(|(assoc, _)| *assoc)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The kernel's names of those that are up.
    pub(super) fn kernel_ids(&self) -> Vec<KernelId> {
        let up = |association: &Association| match association.state {
            State::Up { kernel } => Some(kernel),
            _ => None,
        };
        self.by_id.values().filter_map(up).collect()
    }
}

impl Association {
    pub(super) fn new(state: State, dialed: bool, remote: Vec<IpAddr>, remote_port: u16) -> Self {
        Self {
            state,
            dialed,
            remote,
            remote_port,
            local: Vec::new(),
            unreachable: Vec::new(),
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            from: None,
            left: None,
            backlog: Backlog::default(),
        }
    }

    /// Whether what the peer sends has to wait until it has taken its answers. Only who was dialed
    /// waits: if both did, two that send each other much would wait for each other.
    pub(super) fn pauses_reading(&self) -> bool {
        !self.dialed && matches!(self.state, State::Up { .. }) && self.backlog.is_congested()
    }

    /// Tells the endpoint what still waits; the event that makes.
    pub(super) fn note(&mut self, assoc: AssocId, backlogs: &mut Backlogs) -> Option<Event> {
        backlogs.note(assoc, &mut self.backlog, self.outbound.octets())
    }

    /// True where the peer has this port and one of these addresses.
    pub(super) fn is_with(&self, addresses: &[IpAddr], port: u16) -> bool {
        self.remote_port == port && self.remote.iter().any(|ip| addresses.contains(ip))
    }
}

/// A peer's first address with its port, for the log.
pub(super) fn peer(remote: &[IpAddr], port: u16) -> Option<DisplayValue<SocketAddr>> {
    remote.first().map(|&ip| display(SocketAddr::new(ip, port)))
}

/// A message that arrives in pieces.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    octets: Vec<u8>,
    /// It is too long; the rest of it is dropped.
    skipping: bool,
}

/// What a piece of a message leads to.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Piece {
    /// A whole message.
    Whole(Vec<u8>),
    /// More is to come, or what comes is dropped.
    Part,
    /// The message is too long and is dropped; said once a message.
    TooLong,
}

impl Inbound {
    /// Takes a piece; `end` marks the last one.
    pub(super) fn take(&mut self, octets: &[u8], end: bool, message_max: usize) -> Piece {
        if self.skipping {
            self.skipping = !end;
            return Piece::Part;
        }
        if self.octets.len() + octets.len() > message_max {
            self.octets = Vec::new();
            self.skipping = !end;
            return Piece::TooLong;
        }
        if end && self.octets.is_empty() {
            return Piece::Whole(octets.to_vec());
        }
        self.octets.extend_from_slice(octets);
        if end { Piece::Whole(std::mem::take(&mut self.octets)) } else { Piece::Part }
    }

    /// The rest of the message will not come.
    pub(super) fn cut(&mut self) {
        *self = Self::default();
    }
}

/// What waits to be sent.
///
/// The kernel shares one send buffer among the associations of a socket, so what one peer may fill
/// of it is bounded here: beyond a window, messages wait until the peer has acknowledged all.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    queue: VecDeque<(Ppid, Vec<u8>)>,
    octets: usize,
    /// Octets handed to the kernel since it last had none.
    handed: usize,
    /// Since when the window is full; the kernel will notify when the peer has acknowledged all.
    full_since: Option<Instant>,
    /// In the endpoint's list of those that can write.
    pub(super) listed: bool,
}

impl Outbound {
    /// True where a message need not wait for another of the same association.
    pub(super) fn is_clear(&self) -> bool {
        self.queue.is_empty() && self.full_since.is_none()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// True where something could be handed to the kernel.
    pub(super) fn can_write(&self) -> bool {
        !self.queue.is_empty() && self.full_since.is_none()
    }

    /// Octets that wait.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    pub(super) fn push(&mut self, ppid: Ppid, octets: &[u8]) {
        self.octets += octets.len();
        self.queue.push_back((ppid, octets.to_vec()));
    }

    /// Hands a message to the kernel.
    pub(super) fn write(
        &mut self,
        socket: &Socket,
        kernel: KernelId,
        window: usize,
        (ppid, octets): (Ppid, &[u8]),
    ) -> io::Result<()> {
        let handed = self.handed + octets.len();
        let full = handed >= window;
        socket.send(kernel, ppid, octets, full)?;
        self.handed = handed;
        if full {
            // Where this fails the association is gone, and a notification says so.
            let is_told = socket.notify_dry(kernel, true).is_ok();
            self.full_since = is_told.then(Instant::now);
        }
        Ok(())
    }

    /// Hands the first message of the queue to the kernel. One that it refuses for ever is dropped.
    pub(super) fn write_first(
        &mut self,
        socket: &Socket,
        kernel: KernelId,
        window: usize,
    ) -> io::Result<()> {
        let Some((ppid, octets)) = self.queue.pop_front() else { return Ok(()) };
        let result = self.write(socket, kernel, window, (ppid, &octets));
        if result.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock) {
            self.queue.push_front((ppid, octets));
        } else {
            self.octets -= octets.len();
        }
        result
    }

    /// The peer has acknowledged all.
    pub(super) fn dry(&mut self, socket: &Socket, kernel: KernelId) {
        if self.full_since.take().is_some() {
            self.handed = 0;
            let _ = socket.notify_dry(kernel, false);
        }
    }

    /// Octets that fill the window, and since when, where it is full.
    pub(super) fn full(&self) -> Option<(usize, Instant)> {
        self.full_since.map(|since| (self.handed, since))
    }

    /// How many messages wait.
    pub(super) fn messages(&self) -> u64 {
        self.queue.len() as u64
    }

    /// Drops what waits; how many messages that were.
    pub(super) fn clear(&mut self) -> u64 {
        let messages = self.messages();
        self.queue.clear();
        self.octets = 0;
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_a_message_up_to_the_limit() {
        let mut inbound = Inbound::default();
        assert_eq!(inbound.take(b"abcd", true, 4), Piece::Whole(b"abcd".into()));
        assert_eq!(inbound.take(b"ab", false, 4), Piece::Part);
        assert_eq!(inbound.take(b"cd", true, 4), Piece::Whole(b"abcd".into()));
        assert_eq!(inbound.take(b"abcde", true, 4), Piece::TooLong);
        assert_eq!(inbound.take(b"abc", false, 4), Piece::Part);
        assert_eq!(inbound.take(b"de", false, 4), Piece::TooLong);
        assert_eq!(inbound.take(b"fgh", false, 4), Piece::Part);
        assert_eq!(inbound.take(b"i", true, 4), Piece::Part);
        assert_eq!(inbound.take(b"next", true, 4), Piece::Whole(b"next".into()));
        assert_eq!(inbound.take(b"ab", false, 4), Piece::Part);
        inbound.cut();
        assert_eq!(inbound.take(b"next", true, 4), Piece::Whole(b"next".into()));
    }
}
