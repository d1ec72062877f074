//! One connection of a client, and the server it goes to.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;

use rserpool::PeId;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::debug;

use super::pool::Pool;
use super::pump::Direction;
use super::stream::Stream;
use super::{Config, Removed};
use crate::deadline::after;

/// How a connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// Both directions have ended.
    Whole,
    /// No server could be reached.
    NoServer,
    /// It was reset: by one of its ends, for its age, or because its server is gone.
    Reset,
}

/// Connects a client with a server of the pool, and carries what they say until both have ended or
/// the proxy ends.
pub(super) async fn serve(
    client: Stream,
    from: Option<SocketAddr>,
    pool: &Pool,
    config: &Config,
    mut closing: watch::Receiver<bool>,
) -> End {
    let connected = tokio::select! {
        // Idle connections are many, and need no room for that.
        connected = Box::pin(connect(&client, from, pool, config)) => connected,
        _ = closing.wait_for(|is_closing| *is_closing) => {
            client.reset();
            return End::Reset;
        }
    };
    let Some((server, id)) = connected else {
        client.reset();
        return End::NoServer;
    };
    for stream in [&client, &server] {
        stream.prepare();
    }
    let carried = tokio::select! {
        carried = carry(&client, &server, pool, id, config) => carried,
        _ = closing.wait_for(|is_closing| *is_closing) => Err(io::ErrorKind::Interrupted.into()),
    };
    match carried {
        Ok(()) => End::Whole,
        Err(error) => {
            debug!(client = ?from, server = %id, %error, "reset");
            // An answer that was cut has to look cut.
            client.reset();
            server.reset();
            End::Reset
        }
    }
}

/// A connection to a server, of which nothing was asked yet: so the next may be tried.
async fn connect(
    client: &Stream,
    from: Option<SocketAddr>,
    pool: &Pool,
    config: &Config,
) -> Option<(Stream, PeId)> {
    let header =
        config.proxy_protocol.map(|version| version.header(client.ends(from))).unwrap_or_default();
    let source = from.filter(|_| config.stick_to_source).map(|from| from.ip());
    let deadline = after(Instant::now(), config.wait);
    let most = config.tries.map_or(usize::MAX, |tries| tries as usize);
    let mut news = pool.news();
    let (mut tried, mut tries) = (Vec::new(), 0);
    loop {
        let mut candidates = pool.candidates(source).await;
        candidates.retain(|candidate| !tried.contains(&candidate.id));
        let Some(next) = candidates.into_iter().next() else {
            // All that is known was tried, or nothing is known.
            let there = timeout_at(deadline, news.next()).await.ok()?;
            // Who left and comes back may be well again.
            tried.retain(|id| there.contains(id));
            continue;
        };
        for at in &next.at {
            match timeout(config.connect_timeout, open(*at, &header)).await {
                Ok(Ok(server)) => return Some((server, next.id)),
                Ok(Err(error)) => debug!(server = %next.id, %at, %error, "cannot connect"),
                Err(_) => debug!(server = %next.id, %at, "does not accept in time"),
            }
        }
        pool.failed(next.id);
        tried.push(next.id);
        tries += 1;
        if tries >= most || Instant::now() >= deadline {
            return None;
        }
    }
}

/// A connection over which only the header has gone.
async fn open(at: SocketAddr, header: &[u8]) -> io::Result<Stream> {
    let mut server = TcpStream::connect(at).await?;
    server.write_all(header).await?;
    Ok(Stream::Tcp(server))
}

async fn carry(
    client: &Stream,
    server: &Stream,
    pool: &Pool,
    id: PeId,
    config: &Config,
) -> io::Result<()> {
    let (mut up, mut down) = (Direction::default(), Direction::default());
    let (mut active, mut asked) = (Instant::now(), None::<Instant>);
    let mut removed = Box::pin(pool.removed(id));
    let mut is_removed = false;
    loop {
        let is_half = up.has_ended() || down.has_ended();
        let idle = if is_half { config.half_closed } else { config.idle };
        let mut deadline = after(active, idle);
        if let (true, Removed::Silent(silence), Some(asked)) = (is_removed, config.removed, asked) {
            deadline = deadline.min(after(asked, silence));
        }
        let before = (up.octets, down.octets);
        tokio::select! {
            moved = poll_fn(|cx| {
                let there = up.poll(cx, client, server)?;
                let back = down.poll(cx, server, client)?;
                match there.is_ready() || back.is_ready() {
                    true => Poll::Ready(io::Result::Ok(())),
                    false => Poll::Pending,
                }
            }) => moved?,
            () = sleep_until(deadline) => return Err(io::ErrorKind::TimedOut.into()),
            () = &mut removed, if !is_removed => {
                is_removed = true;
                if config.removed == Removed::Close {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                // What was asked before may still be answered.
                asked = asked.map(|_| Instant::now());
                continue;
            }
        }
        active = Instant::now();
        if up.octets > before.0 {
            asked = Some(active);
        }
        if down.octets > before.1 {
            asked = None;
        }
        if up.has_ended() && down.has_ended() {
            return Ok(());
        }
    }
}
