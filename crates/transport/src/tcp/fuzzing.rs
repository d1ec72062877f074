//! What must hold for any octets that come over TCP.

use super::connection::Inbox;
use super::framing::{Broken, Framing};
use crate::endpoint::Ppid;

/// The longest message in these streams.
const MESSAGE_MAX: usize = 4096;

/// In whatever pieces a stream arrives, the same messages are in it, and the same end. An input is an
/// octet for the framing, one for the length of the pieces, and the stream.
///
/// # Panics
///
/// Where it is not so.
pub fn tcp_framing(input: &[u8]) {
    let [kind, piece, stream @ ..] = input else { return };
    let framing = match kind % 3 {
        0 => Framing::Message(Ppid::ASAP),
        1 => Framing::Record,
        _ => Framing::Stream,
    };
    let whole = read(framing, [stream]);
    let pieces = read(framing, stream.chunks(usize::from(*piece).max(1)));
    if framing == Framing::Stream {
        let joined = |messages: &[(Ppid, Vec<u8>)]| {
            messages.iter().flat_map(|(_, octets)| octets.clone()).collect::<Vec<u8>>()
        };
        assert_eq!(joined(&whole.0), stream);
        assert_eq!(joined(&pieces.0), stream);
        return;
    }
    assert_eq!(whole, pieces);
    let mut framed = Vec::new();
    for (ppid, octets) in &whole.0 {
        assert!(octets.len() <= MESSAGE_MAX, "longer than messages are");
        assert_eq!(framing.frame(*ppid, octets, &mut framed), Ok(()), "what was read can be sent");
    }
    assert_eq!(read(framing, [&framed[..]]), (whole.0, Ok(())));
}

type Messages = Vec<(Ppid, Vec<u8>)>;

fn read<'a>(
    framing: Framing,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Messages, Result<(), Broken>) {
    let (mut inbox, mut spare, mut messages) = (Inbox::default(), Vec::new(), Vec::new());
    for piece in pieces {
        inbox.add(piece, &mut spare);
        loop {
            match inbox.message(framing, MESSAGE_MAX) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(broken) => return (messages, Err(broken)),
            }
        }
        inbox.reclaim(&mut spare);
    }
    (messages, Ok(()))
}
