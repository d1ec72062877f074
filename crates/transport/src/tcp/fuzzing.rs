//! What must hold for any octets that come over TCP.

use std::net::{IpAddr, Ipv4Addr};

use super::connection::Inbox;
use super::framing::{Broken, Framing};
use super::handshake::Phase;
use super::stream::tls_reason;
use crate::endpoint::{DownReason, Ppid};
use crate::tls::Config;

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

/// Whatever a peer says instead of a TLS handshake, in whatever pieces it arrives, ends in the same
/// way; and who speaks no TLS has not shaken hands. An input is an octet for who says it (a client; a
/// server; a client to a plain endpoint), one for the length of the pieces, and what it says.
///
/// # Panics
///
/// Where it is not so.
pub fn tls_handshakes(input: &[u8]) {
    thread_local! {
        static KEYS: Config = Config::for_fuzzing();
    }
    let [who, piece, stream @ ..] = input else { return };
    let pieces = stream.chunks(usize::from(*piece).max(1));
    KEYS.with(|keys| match who % 3 {
        0 => assert_eq!(shake(keys, false, [stream]), shake(keys, false, pieces)),
        1 => assert_eq!(shake(keys, true, [stream]), shake(keys, true, pieces)),
        _ => {
            // The plain side calls nothing TLS but what the other one would at least begin to read.
            if read(Framing::Message(Ppid::ASAP), [stream]) == (vec![], Err(Broken::Tls)) {
                let verdict = shake(keys, false, [&stream[..3]]);
                assert_ne!(verdict, Some(DownReason::NotTls));
            }
        }
    });
}

/// Why a handshake ended; `None` where it goes on.
fn shake<'a>(
    keys: &Config,
    is_dialed: bool,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Option<DownReason> {
    let begun = match is_dialed {
        true => Phase::of_server(keys, IpAddr::V4(Ipv4Addr::LOCALHOST), 1),
        false => Ok(Phase::of_client()),
    };
    let mut phase = begun.unwrap_or_else(|error| panic!("{error}"));
    for piece in pieces {
        if let Err((error, _)) = phase.arrived(keys, piece) {
            return Some(tls_reason(&error));
        }
    }
    let has_finished =
        matches!(&phase, Phase::Running(connection, _) if !connection.is_handshaking());
    assert!(!has_finished, "nobody has proved anything");
    None
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
