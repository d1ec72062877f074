//! Datagrams: a flow is a client's address, and goes to one server as long as that is there.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rserpool::PeId;
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{debug, warn};

use super::connection::End;
use super::counters::Count;
use super::pool::Pool;
use super::{Config, Shared};
use crate::deadline::after;

/// Octets of a datagram.
const DATAGRAM_OCTETS_MAX: usize = 65_536;
/// Datagrams of a flow that wait for a server.
const WAITING_MAX: usize = 8;
/// Octets of all of them.
const WAITING_OCTETS_MAX: usize = 16 << 20;
/// How long nothing is taken after an error of the socket.
const PAUSE: Duration = Duration::from_millis(100);

thread_local! {
    /// What servers send goes through here: a flow has no buffer.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; DATAGRAM_OCTETS_MAX]);
}

/// The flows of a socket.
#[derive(Clone, Default)]
struct Flows(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    flows: HashMap<SocketAddr, Flow>,
    /// By their last datagram: the first one makes room.
    order: BTreeMap<u64, SocketAddr>,
    last: u64,
}

struct Flow {
    to: mpsc::Sender<Datagram>,
    turn: u64,
    /// Which of all flows this is: an address may have another one by now.
    number: u64,
}

/// What a client sent, and its share of what may wait.
struct Datagram(
    Vec<u8>,
    #[expect(dead_code, reason = "its end is what counts")] OwnedSemaphorePermit,
);

/// A flow that begins.
struct New {
    from: mpsc::Receiver<Datagram>,
    number: u64,
    oldest: Option<SocketAddr>,
}

/// Carries datagrams for ever.
pub(super) async fn carry(socket: UdpSocket, shared: Shared) {
    let (socket, flows) = (Arc::new(socket), Flows::default());
    let room = Arc::new(Semaphore::new(WAITING_OCTETS_MAX));
    let most = shared.config.connections_max.min(Config::FLOWS_MAX);
    let mut octets = vec![0; DATAGRAM_OCTETS_MAX];
    loop {
        let (count, client) = match socket.recv_from(&mut octets).await {
            Ok(received) => received,
            Err(error) => {
                warn!(%error, "cannot receive");
                sleep(PAUSE).await;
                continue;
            }
        };
        let permits = u32::try_from(count).unwrap_or(u32::MAX);
        let Ok(share) = Arc::clone(&room).try_acquire_many_owned(permits) else {
            shared.counters.count(Count::Refused);
            continue;
        };
        let datagram = Datagram(octets[..count].to_vec(), share);
        let Err(datagram) = flows.pass(client, datagram) else { continue };
        let limit = shared.config.most_of(client.ip());
        let Some(of_source) = shared.sources.take(client.ip(), limit) else {
            debug!(%client, "too many flows of one source");
            shared.counters.count(Count::Refused);
            continue;
        };
        let new = flows.begin(client, datagram, most);
        if let Some(oldest) = new.oldest {
            debug!(client = %oldest, "a flow makes room for another one");
        }
        shared.counters.count(Count::Accepted);
        let (socket, shared, flows) = (Arc::clone(&socket), shared.clone(), flows.clone());
        tokio::spawn(async move {
            let (number, end) = (new.number, flow(new.from, client, &socket, &shared).await);
            debug!(%client, ?end, "a flow has ended");
            shared.counters.ended(end);
            flows.end(client, number);
            drop(of_source);
        });
    }
}

impl Flows {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes a datagram to the flow of its client, and gives it back where there is none. What a flow
    /// cannot take is lost, as datagrams may be.
    fn pass(&self, client: SocketAddr, datagram: Datagram) -> Result<(), Datagram> {
        let mut table = self.table();
        let Table { flows, order, last } = &mut *table;
        let Some(flow) = flows.get_mut(&client) else { return Err(datagram) };
        match flow.to.try_send(datagram) {
            Err(mpsc::error::TrySendError::Closed(datagram)) => return Err(datagram),
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => {}
        }
        order.remove(&flow.turn);
        *last += 1;
        flow.turn = *last;
        order.insert(*last, client);
        Ok(())
    }

    fn begin(&self, client: SocketAddr, first: Datagram, most: usize) -> New {
        let mut table = self.table();
        table.forget(client);
        let mut oldest = None;
        if table.flows.len() >= most {
            oldest = table.order.values().next().copied();
            if let Some(oldest) = oldest {
                table.forget(oldest);
            }
        }
        let (to, from) = mpsc::channel(WAITING_MAX);
        // It is empty, and has room for one.
        let _ = to.try_send(first);
        table.last += 1;
        let number = table.last;
        table.flows.insert(client, Flow { to, turn: number, number });
        table.order.insert(number, client);
        New { from, number, oldest }
    }

    fn end(&self, client: SocketAddr, number: u64) {
        let mut table = self.table();
        if table.flows.get(&client).is_some_and(|flow| flow.number == number) {
            table.forget(client);
        }
    }
}

impl Table {
    fn forget(&mut self, client: SocketAddr) {
        if let Some(flow) = self.flows.remove(&client) {
            self.order.remove(&flow.turn);
        }
    }
}

/// A flow to one server after the other.
async fn flow(
    mut from: mpsc::Receiver<Datagram>,
    client: SocketAddr,
    socket: &UdpSocket,
    shared: &Shared,
) -> End {
    let Shared { config, pool, .. } = shared;
    let mut closing = shared.closing.clone();
    let carried = async {
        loop {
            let Some((server, id)) = choose(client, pool, config).await else {
                return End::NoServer;
            };
            match one_server(&mut from, client, socket, &server, id, pool, config).await {
                Ok(end) => return end,
                Err(error) => {
                    debug!(server = %id, %error, "a server takes no datagrams");
                    pool.failed(id);
                }
            }
            // What comes next goes to another one.
            if from.is_closed() && from.is_empty() {
                return End::Reset;
            }
        }
    };
    tokio::select! {
        end = carried => end,
        _ = closing.wait_for(|is_closing| *is_closing) => End::Reset,
    }
}

/// A socket to the server that the policy picks; who could not be reached lately comes last.
async fn choose(client: SocketAddr, pool: &Pool, config: &Config) -> Option<(UdpSocket, PeId)> {
    let source = config.stick_to_source.then(|| client.ip());
    let deadline = after(Instant::now(), config.wait);
    let mut news = pool.news();
    loop {
        for candidate in pool.candidates(source).await {
            for at in candidate.at {
                match connected(at).await {
                    Ok(socket) => return Some((socket, candidate.id)),
                    Err(error) => debug!(%at, %error, "no socket"),
                }
            }
        }
        timeout_at(deadline, news.next()).await.ok()?;
    }
}

async fn connected(to: SocketAddr) -> io::Result<UdpSocket> {
    let any =
        if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(to).await?;
    Ok(socket)
}

/// What the server has sent goes to the client. What the system cannot take is lost, as datagrams may
/// be.
fn pass_back(
    server: &UdpSocket,
    socket: &UdpSocket,
    client: SocketAddr,
    buffer: &mut [u8],
) -> io::Result<()> {
    match server.try_recv(buffer) {
        Ok(count) => {
            if let Err(error) = socket.try_send_to(&buffer[..count], client) {
                debug!(%client, %error, "a client takes no datagrams");
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

/// Carries datagrams to one server and back: until nothing comes for a while, or the server leaves
/// the pool.
///
/// # Errors
///
/// The server's host refuses what is sent.
async fn one_server(
    from: &mut mpsc::Receiver<Datagram>,
    client: SocketAddr,
    socket: &UdpSocket,
    server: &UdpSocket,
    id: PeId,
    pool: &Pool,
    config: &Config,
) -> io::Result<End> {
    let mut removed = Box::pin(pool.removed(id));
    let mut deadline = after(Instant::now(), config.flow_idle);
    loop {
        tokio::select! {
            biased;
            // The next datagram begins a flow to another server.
            () = &mut removed => return Ok(End::Reset),
            datagram = from.recv() => match datagram {
                Some(Datagram(octets, _)) => { server.send(&octets).await?; }
                // A flow makes room for others.
                None => return Ok(End::Reset),
            },
            ready = server.readable() => {
                ready?;
                BUFFER.with_borrow_mut(|buffer| pass_back(server, socket, client, buffer))?;
            }
            () = sleep_until(deadline) => return Ok(End::Whole),
        }
        deadline = after(Instant::now(), config.flow_idle);
    }
}
