//! The download service: files below a directory, from any offset on.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use rserpool::server::{Event, Service, Session};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tracing::{debug, info};

use digests::Digests;
use packet::{CHUNK_MAX, Packet, Refusal};
use root::Root;

mod digests;
pub mod packet;
pub mod receiver;
pub(crate) mod root;

/// The service.
#[derive(Debug)]
pub(crate) struct Download {
    root: Root,
    digests: Arc<Digests>,
}

/// A client hears at least so often that its file is still hashed.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

impl Service for Download {
    async fn serve(self: Arc<Self>, mut session: Session) {
        let mut sending: Option<Sending> = None;
        loop {
            let packet = tokio::select! {
                biased;
                event = session.next() => match event {
                    Some(Event::Message { octets, .. }) => match Packet::decode(&octets) {
                        Ok(Packet::Fetch { offset, path }) => {
                            let client = session.client_address();
                            let opening = Arc::clone(&self).open(path, offset, client);
                            let (begun, answer) = opening.await;
                            sending = begun;
                            Some(answer)
                        }
                        Ok(_) | Err(_) => return session.abort(),
                    },
                    // The client goes on at another server from where it is.
                    Some(Event::Draining) | None => return,
                    Some(_) => None,
                },
                packet = self.next(&mut sending) => Some(packet),
            };
            if let Some(packet) = packet
                && session.send(packet::PPID, &packet.encode()).await.is_err()
            {
                return;
            }
        }
    }
}

/// A file on its way.
struct Sending {
    file: Arc<File>,
    offset: u64,
    size: u64,
    /// Its digest, from when all octets are sent.
    hashing: JoinSet<io::Result<[u8; 32]>>,
}

impl Download {
    /// One that has the files below a directory.
    pub(crate) fn new(root: Root) -> Self {
        Self { root, digests: Arc::new(Digests::new()) }
    }

    async fn open(
        self: Arc<Self>,
        path: String,
        offset: u64,
        client: Option<SocketAddr>,
    ) -> (Option<Sending>, Packet) {
        let asked = path.clone();
        let opened = spawn_blocking(move || self.root.file(&asked)).await;
        let opened = opened.unwrap_or_else(|error| Err(error.into()));
        let refused = |reason, text: String| (None, Packet::Refused { reason, text });
        match opened {
            Ok((_, size)) if offset > size => {
                refused(Refusal::Shorter, format!("{path} has {size} octets"))
            }
            Ok((file, size)) => {
                debug!(client = client.map(display), path, offset, size, "a file is fetched");
                let file = Arc::new(file);
                (
                    Some(Sending { file, offset, size, hashing: JoinSet::new() }),
                    Packet::Found { size },
                )
            }
            Err(error) => {
                info!(client = client.map(display), path, %error, "a file cannot be had");
                // It is nobody's business what else there is.
                refused(Refusal::NotFound, format!("there is no file {path}"))
            }
        }
    }

    /// The next packet of a file; for ever without one. Cancelling loses nothing.
    async fn next(self: &Arc<Self>, sending: &mut Option<Sending>) -> Packet {
        let Some(Sending { file, offset, size, hashing }) = sending else {
            return std::future::pending().await;
        };
        let at = *offset;
        let packet = if at < *size {
            let piece = piece(Arc::clone(file), at, *size).await;
            piece.map(|octets| Packet::Data { offset: at, octets })
        } else {
            if hashing.is_empty() {
                hashing.spawn(Arc::clone(&self.digests).of(Arc::clone(file)));
            }
            match timeout(SIGN_OF_LIFE, hashing.join_next()).await {
                Ok(Some(Ok(digest))) => digest.map(|digest| Packet::End { digest }),
                Ok(_) => Err(io::Error::other("it could not be hashed")),
                Err(_) => Ok(Packet::Data { offset: at, octets: Vec::new() }),
            }
        };
        match packet {
            Ok(Packet::Data { offset: at, octets }) => {
                *offset += octets.len() as u64;
                Packet::Data { offset: at, octets }
            }
            Ok(end) => {
                *sending = None;
                end
            }
            Err(error) => {
                *sending = None;
                let text = format!("cannot read on: {error}");
                Packet::Refused { reason: Refusal::Unreadable, text }
            }
        }
    }
}

/// The octets from `offset` on, at least one.
async fn piece(file: Arc<File>, offset: u64, size: u64) -> io::Result<Vec<u8>> {
    let read = move || {
        let most = usize::try_from(size - offset).unwrap_or(CHUNK_MAX).min(CHUNK_MAX);
        let mut octets = vec![0; most];
        let count = file.read_at(&mut octets, offset)?;
        octets.truncate(count);
        match count {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            _ => Ok(octets),
        }
    };
    spawn_blocking(read).await?
}

#[cfg(test)]
mod tests;
