//! How messages are told apart in a byte stream.

use std::ops::Range;

use crate::endpoint::{Ppid, SendError};

/// How messages are told apart in a byte stream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Framing {
    /// ASAP or ENRP messages: the header holds the length (RFC 5354 §4), and zero to three octets
    /// pad each message to a multiple of four. All messages have the PPID given here, as the port
    /// says what is spoken.
    ///
    /// ```text
    /// +---------+---------+-------------------+--------------+---------+
    /// |  type   |  flags  | length L (16 bit) | L - 4 octets | padding |
    /// +---------+---------+-------------------+--------------+---------+
    /// ```
    Message(Ppid),
    /// Records with a PPID, for sessions with a control channel.
    ///
    /// ```text
    /// +---------------+-------------------+----------+
    /// | PPID (32 bit) | length L (32 bit) | L octets |
    /// +---------------+-------------------+----------+
    /// ```
    Record,
    /// No messages: octets as they come, in pieces of any size, with PPID 0.
    Stream,
}

/// The peer broke the framing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Broken {
    /// A length that there is not.
    Length,
    /// It speaks TLS.
    Tls,
}

/// Octets of a message header (RFC 5354 §4).
const MESSAGE_HEADER: usize = 4;
/// Octets of a record header.
const RECORD_HEADER: usize = 8;

impl Framing {
    /// Appends `octets` to `out`, framed.
    pub(super) fn frame(
        self,
        ppid: Ppid,
        octets: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        match self {
            Self::Message(_) => {
                let (Some(&[high, low]), len) = (octets.get(2..4), octets.len()) else {
                    return Err(SendError::Malformed);
                };
                let stated = usize::from(u16::from_be_bytes([high, low]));
                if stated < MESSAGE_HEADER || (len != stated && len != padded(stated)) {
                    return Err(SendError::Malformed);
                }
                out.extend_from_slice(octets);
                out.extend_from_slice(&[0; 3][..padded(stated) - len]);
            }
            Self::Record => {
                let len = u32::try_from(octets.len()).map_err(|_| SendError::TooLong)?;
                out.extend_from_slice(&ppid.0.to_be_bytes());
                out.extend_from_slice(&len.to_be_bytes());
                out.extend_from_slice(octets);
            }
            Self::Stream => out.extend_from_slice(octets),
        }
        Ok(())
    }

    /// Finds the first whole message in `octets`, of at most `message_max`; `None` asks for more.
    pub(super) fn first(
        self,
        octets: &[u8],
        message_max: usize,
    ) -> Result<Option<(Ppid, Range<usize>)>, Broken> {
        let (ppid, range) = match (self, octets) {
            (Self::Message(ppid), [_, _, high, low, ..]) => {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                // The stream cannot be found again after that: no octet tells where a message is.
                if len < MESSAGE_HEADER {
                    return Err(Broken::Length);
                }
                (ppid, 0..len)
            }
            (Self::Record, [p0, p1, p2, p3, l0, l1, l2, l3, ..]) => {
                let len = u32::from_be_bytes([*l0, *l1, *l2, *l3]);
                let len = usize::try_from(len).map_err(|_| Broken::Length)?;
                let ppid = Ppid(u32::from_be_bytes([*p0, *p1, *p2, *p3]));
                (ppid, RECORD_HEADER..RECORD_HEADER.saturating_add(len))
            }
            (Self::Stream, [_, ..]) => (Ppid::default(), 0..octets.len()),
            // Not even a header yet.
            (Self::Message(_) | Self::Record | Self::Stream, _) => return Ok(None),
        };
        if self != Self::Stream && range.len() > message_max {
            return Err(Broken::Length);
        }
        Ok((range.end <= octets.len()).then_some((ppid, range)))
    }

    /// Whether what came first is no message but the beginning of TLS, or its refusal: a ClientHello
    /// or an alert (RFC 8446 §5.1). A stream without messages may be anything.
    pub(super) fn is_tls(self, octets: &[u8]) -> bool {
        self != Self::Stream
            && matches!(octets, [0x16, 3, 0..=4, _, _, 1, ..] | [0x15, 3, 0..=4, 0, 2, 1 | 2, ..])
    }

    /// Octets of padding after a message of `len` octets.
    pub(super) fn padding(self, len: usize) -> usize {
        match self {
            Self::Message(_) => padded(len) - len,
            Self::Record | Self::Stream => 0,
        }
    }
}

fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASAP: Framing = Framing::Message(Ppid::ASAP);

    fn framed(framing: Framing, octets: &[u8]) -> Result<Vec<u8>, SendError> {
        let mut out = Vec::new();
        framing.frame(Ppid(7), octets, &mut out).map(|()| out)
    }

    #[test]
    fn a_message_is_padded_once() {
        assert_eq!(framed(ASAP, &[1, 0, 0, 5, 9]), Ok(vec![1, 0, 0, 5, 9, 0, 0, 0]));
        assert_eq!(
            framed(ASAP, &[1, 0, 0, 5, 9, 0, 0, 0]),
            Ok(vec![1, 0, 0, 5, 9, 0, 0, 0]),
            "padded by the caller"
        );
        assert_eq!(framed(ASAP, &[1, 0, 0, 4]), Ok(vec![1, 0, 0, 4]));
    }

    #[test]
    fn a_message_whose_header_has_another_length_is_not_sent() {
        for octets in [&[][..], &[1, 0, 0], &[1, 0, 0, 3], &[1, 0, 0, 8], &[1, 0, 0, 5, 9, 0]] {
            assert_eq!(framed(ASAP, octets), Err(SendError::Malformed), "{octets:?}");
        }
    }

    #[test]
    fn a_message_is_whole_before_its_padding_arrived() {
        let octets = [1, 0, 0, 5, 9];
        for len in 0..5 {
            assert_eq!(ASAP.first(&octets[..len], 100), Ok(None), "{len}");
        }
        assert_eq!(ASAP.first(&octets, 100), Ok(Some((Ppid::ASAP, 0..5))));
        assert_eq!(ASAP.padding(5), 3);
    }

    #[test]
    fn a_length_below_4_or_over_the_limit_breaks_the_framing() {
        for len in 0..4 {
            assert_eq!(ASAP.first(&[1, 0, 0, len], 100), Err(Broken::Length), "{len}");
        }
        assert_eq!(ASAP.first(&[1, 0, 0, 100], 100), Ok(None));
        assert_eq!(ASAP.first(&[1, 0, 0, 101], 100), Err(Broken::Length));
    }

    #[test]
    fn a_record_carries_its_ppid() {
        let octets = framed(Framing::Record, &[1, 2, 3]).unwrap();
        assert_eq!(octets, [0, 0, 0, 7, 0, 0, 0, 3, 1, 2, 3]);
        for len in 0..octets.len() {
            assert_eq!(Framing::Record.first(&octets[..len], 3), Ok(None), "{len}");
        }
        assert_eq!(Framing::Record.first(&octets, 3), Ok(Some((Ppid(7), 8..11))));
        assert_eq!(Framing::Record.first(&octets, 2), Err(Broken::Length));
        let huge = [0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Framing::Record.first(&huge, 1 << 20), Err(Broken::Length));
        assert_eq!(Framing::Record.first(&[0; 8], 3), Ok(Some((Ppid(0), 8..8))));
    }

    #[test]
    fn a_stream_has_no_messages() {
        assert_eq!(framed(Framing::Stream, &[1, 2, 3]), Ok(vec![1, 2, 3]));
        assert_eq!(Framing::Stream.first(&[], 2), Ok(None));
        assert_eq!(Framing::Stream.first(&[1, 2, 3], 2), Ok(Some((Ppid(0), 0..3))));
    }
}
