//! What the kernel notifies about an association (RFC 6458 §6.1), from its octets.

use std::net::IpAddr;

use super::sockaddr;

/// The kernel's name of an association. The kernel may use it again later.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct KernelId(pub(super) i32);

impl KernelId {
    /// None in particular: the socket itself.
    pub(super) const ALL: Self = Self(0);
}

/// A notification that matters here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Notification {
    /// An association is up.
    Up(KernelId),
    /// An association is gone; `aborted` where the peer said so.
    Lost { assoc: KernelId, aborted: bool },
    /// The peer restarted; the association goes on under the same name.
    Restarted(KernelId),
    /// An association was closed gracefully.
    Closed(KernelId),
    /// An association could not be set up.
    NotStarted(KernelId),
    /// The peer closes; nothing can be sent any more.
    Closing(KernelId),
    /// Something happened to an address of the peer.
    Address { assoc: KernelId, address: IpAddr, change: AddressChange },
    /// A message was given up.
    Unsent(KernelId),
    /// The rest of a message that came in pieces will not come.
    Cut(KernelId),
    /// All that was sent was acknowledged.
    Dry(KernelId),
}

/// What happened to an address of the peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum AddressChange {
    /// It answers.
    Reachable,
    /// It does not answer.
    Unreachable,
    /// The peer has another address, or one less (RFC 5061).
    Set,
}

/// Types of notifications (`enum sctp_sn_type`).
pub(super) const ASSOC_CHANGE: u16 = 0x8001;
pub(super) const PEER_ADDR_CHANGE: u16 = 0x8002;
pub(super) const SHUTDOWN: u16 = 0x8005;
pub(super) const PARTIAL_DELIVERY: u16 = 0x8006;
pub(super) const SENDER_DRY: u16 = 0x8009;
pub(super) const SEND_FAILED: u16 = 0x800d;

impl Notification {
    /// Reads a notification, or the first piece of one; `None` for those that do not matter.
    pub(super) fn decode(octets: &[u8]) -> Option<Self> {
        let kind = u16::from_ne_bytes(*octets.first_chunk()?);
        let assoc = |offset| Some(KernelId(i32::from_ne_bytes(field(octets, offset)?)));
        Some(match kind {
            ASSOC_CHANGE => return Self::assoc_change(octets, assoc(16)?),
            PEER_ADDR_CHANGE => {
                let (address, _) = sockaddr::decode(octets.get(8..8 + sockaddr::STORAGE)?)?;
                let change = match i32::from_ne_bytes(field(octets, 136)?) {
                    0 | 5 => AddressChange::Reachable, // available, confirmed
                    1 => AddressChange::Unreachable,
                    2 | 3 => AddressChange::Set, // removed, added
                    _ => return None,            // primary, potentially failed
                };
                Self::Address { assoc: assoc(144)?, address: address.ip(), change }
            }
            SHUTDOWN => Self::Closing(assoc(8)?),
            PARTIAL_DELIVERY => Self::Cut(assoc(12)?),
            SENDER_DRY => Self::Dry(assoc(8)?),
            SEND_FAILED => Self::Unsent(assoc(28)?),
            _ => return None,
        })
    }

    /// `struct sctp_assoc_change`
    fn assoc_change(octets: &[u8], assoc: KernelId) -> Option<Self> {
        let state = u16::from_ne_bytes(field(octets, 8)?);
        let error = u16::from_ne_bytes(field(octets, 10)?);
        Some(match state {
            0 => Self::Up(assoc),
            // A cause or the ABORT chunk itself follows when the peer sent one; when the kernel
            // gave up there is neither.
            1 => Self::Lost { assoc, aborted: error != 0 || octets.len() > 20 },
            2 => Self::Restarted(assoc),
            3 => Self::Closed(assoc),
            4 => Self::NotStarted(assoc),
            _ => return None,
        })
    }
}

fn field<const N: usize>(octets: &[u8], offset: usize) -> Option<[u8; N]> {
    octets.get(offset..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assoc_change(state: u16, error: u16, info: &[u8]) -> Vec<u8> {
        let mut octets = Vec::new();
        octets.extend(ASSOC_CHANGE.to_ne_bytes());
        octets.extend([0; 2]);
        octets.extend(u32::try_from(20 + info.len()).unwrap().to_ne_bytes());
        for field in [state, error, 10, 10] {
            octets.extend(field.to_ne_bytes());
        }
        octets.extend(77_i32.to_ne_bytes());
        octets.extend(info);
        octets
    }

    const ASSOC: KernelId = KernelId(77);

    #[test]
    fn a_lost_association_was_aborted_or_is_silent() {
        let decode = |octets: Vec<u8>| Notification::decode(&octets).unwrap();
        assert_eq!(decode(assoc_change(0, 0, &[])), Notification::Up(ASSOC));
        let silent = Notification::Lost { assoc: ASSOC, aborted: false };
        let aborted = Notification::Lost { assoc: ASSOC, aborted: true };
        assert_eq!(decode(assoc_change(1, 0, &[])), silent);
        assert_eq!(decode(assoc_change(1, 0, &[6, 0, 0, 4])), aborted);
        assert_eq!(decode(assoc_change(1, 12, &[])), aborted);
        assert_eq!(decode(assoc_change(2, 0, &[])), Notification::Restarted(ASSOC));
        assert_eq!(decode(assoc_change(3, 0, &[])), Notification::Closed(ASSOC));
        assert_eq!(decode(assoc_change(4, 0, &[])), Notification::NotStarted(ASSOC));
    }

    #[test]
    fn an_address_change_names_the_address() {
        let mut octets = vec![0; 148];
        octets[..2].copy_from_slice(&PEER_ADDR_CHANGE.to_ne_bytes());
        let address = sockaddr::encode(["10.0.0.1".parse().unwrap()], 3863);
        octets[8..8 + address.len()].copy_from_slice(&address);
        octets[144..].copy_from_slice(&77_i32.to_ne_bytes());
        for (state, change) in [
            (0_i32, AddressChange::Reachable),
            (1, AddressChange::Unreachable),
            (2, AddressChange::Set),
            (3, AddressChange::Set),
            (5, AddressChange::Reachable),
        ] {
            octets[136..140].copy_from_slice(&state.to_ne_bytes());
            let address = "10.0.0.1".parse().unwrap();
            let expected = Notification::Address { assoc: ASSOC, address, change };
            assert_eq!(Notification::decode(&octets), Some(expected));
        }
        for len in 0..octets.len() {
            assert_eq!(Notification::decode(&octets[..len]), None, "cut at {len}");
        }
    }
}
