//! Dials: a connection attempt for each address of a peer, one after the other but not each for as
//! long as it takes: the first that succeeds is it (RFC 8305).

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::connection::reason;
use crate::endpoint::DownReason;

/// Addresses of one peer that are tried.
const TRIED_MAX: usize = 16;

/// An address to dial, and the own one to leave from; `None` leaves the choice to the system.
pub(super) type Way = (SocketAddr, Option<IpAddr>);

/// A socket that is connected.
pub(super) type Dialed = TcpStream;

/// A dial that is under way.
pub(super) type Connecting = Pin<Box<dyn Future<Output = Result<Dialed, DownReason>> + Send>>;

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// Connects to one of `ways`, in their order: each next one has its turn when those before it have
/// failed, or after `head_start`. It takes at most `limit` in all.
pub(super) async fn dial(
    mut ways: Vec<Way>,
    head_start: Duration,
    limit: Duration,
) -> Result<TcpStream, DownReason> {
    ways.truncate(TRIED_MAX);
    let turns = u32::try_from(ways.len()).unwrap_or(u32::MAX).saturating_add(1);
    let head_start = head_start.min(limit / turns);
    let mut ways = ways.into_iter();
    let mut reason_first = None;
    let race = async {
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut turn = Box::pin(sleep_until(Instant::now()));
        loop {
            if attempts.is_empty() || turn.is_elapsed() {
                match ways.next() {
                    Some((remote, local)) => attempts.push(Box::pin(connect(remote, local))),
                    None if attempts.is_empty() => return None,
                    None => {}
                }
                turn.as_mut().reset(Instant::now() + head_start);
            }
            let more = ways.len() > 0;
            let ended = poll_fn(|cx| {
                for (at, attempt) in attempts.iter_mut().enumerate() {
                    if let Poll::Ready(connected) = attempt.as_mut().poll(cx) {
                        return Poll::Ready(Some((at, connected)));
                    }
                }
                // With nobody left to try, only the attempts count.
                if more { turn.as_mut().poll(cx).map(|()| None) } else { Poll::Pending }
            });
            match ended.await {
                Some((_, Ok(stream))) => return Some(stream),
                Some((at, Err(error))) => {
                    drop(attempts.swap_remove(at));
                    reason_first.get_or_insert_with(|| down(&error));
                }
                None => {}
            }
        }
    };
    match timeout_at(Instant::now() + limit, race).await {
        Ok(Some(stream)) => Ok(stream),
        Ok(None) => Err(reason_first.unwrap_or(DownReason::System)),
        Err(_elapsed) => Err(reason_first.unwrap_or(DownReason::Timeout)),
    }
}

async fn connect(remote: SocketAddr, local: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(ip) = local {
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    socket.connect(remote).await
}

fn down(error: &io::Error) -> DownReason {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => DownReason::Refused,
        _ => reason(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// A place where nobody answers: its queue is full.
    fn silence() -> (socket2::Socket, Vec<std::net::TcpStream>, SocketAddr) {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let short = Duration::from_millis(50);
        let mut waiting = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, short) {
            waiting.push(stream);
        }
        (socket, waiting, address)
    }

    const HEAD_START: Duration = Duration::from_millis(20);
    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_silent_address_holds_up_the_next_for_a_head_start_only() {
        let (_silent, _waiting, nowhere) = silence();
        let (_listener, there) = listener();
        let (closed, refuses) = listener();
        drop(closed);
        // A share of the limit for each would be far more than the test has patience for.
        let begin = Instant::now();
        let ways = vec![(nowhere, None), (refuses, None), (nowhere, None), (there, None)];
        let stream = dial(ways, HEAD_START, LIMIT).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), there);
        assert!(begin.elapsed() < LIMIT / 4);
    }

    #[tokio::test]
    async fn a_refusal_leads_to_the_next_at_once_and_is_the_reason_at_the_end() {
        let (closed, refuses) = listener();
        drop(closed);
        let (_listener, there) = listener();
        // The turn of the second would come after the end.
        let far = Duration::from_secs(20);
        let stream = dial(vec![(refuses, None), (there, None)], far, LIMIT).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), there);
        let refused = dial(vec![(refuses, None), (refuses, None)], far, LIMIT).await;
        assert_eq!(refused.unwrap_err(), DownReason::Refused);
    }

    #[tokio::test]
    async fn leaves_from_the_address_that_is_asked_for() {
        let (listener, there) = listener();
        let from = IpAddr::from([127, 0, 0, 77]);
        let _stream = dial(vec![(there, Some(from))], HEAD_START, LIMIT).await.unwrap();
        assert_eq!(listener.accept().unwrap().1.ip(), from);
        // An address of documentation, so not of this host.
        let nobody = Some(IpAddr::from([192, 0, 2, 1]));
        let unbound = dial(vec![(there, nobody)], HEAD_START, LIMIT).await;
        assert_eq!(unbound.unwrap_err(), DownReason::System);
    }
}
