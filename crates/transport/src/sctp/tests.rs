use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use super::*;
use crate::address::Address;

const HEAD_START: Duration = Duration::from_millis(100);

/// A side that does what the test says.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    calls: Vec<String>,
    events: VecDeque<Event>,
    task: Option<Waker>,
    last: u64,
    /// Those of which it has said that they are up, and not that they are down.
    up: HashSet<AssocId>,
    /// What `connect` answers instead of a new name.
    connected: Option<AssocId>,
}

impl Fake {
    fn says(&self, event: Event) {
        let mut script = self.0.lock().unwrap();
        match event {
            Event::Up { assoc, .. } => drop(script.up.insert(assoc)),
            Event::Down { assoc, .. } => drop(script.up.remove(&assoc)),
            _ => {}
        }
        script.events.push_back(event);
        if let Some(task) = script.task.take() {
            task.wake();
        }
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    fn log(&self, call: String) {
        self.0.lock().unwrap().calls.push(call);
    }
}

impl Endpoint for Fake {
    fn connect(&mut self, remote: &Remote) -> Result<AssocId, Error> {
        self.log(format!("connect {remote}"));
        let mut script = self.0.lock().unwrap();
        if let Some(assoc) = script.connected {
            return Err(Error::Connected(assoc));
        }
        script.last += 1;
        Ok(AssocId(script.last))
    }

    fn send(&mut self, assoc: AssocId, _: Ppid, _: &[u8]) -> Result<(), SendError> {
        if !self.0.lock().unwrap().up.contains(&assoc) {
            return Err(SendError::Gone);
        }
        self.log(format!("send {}", assoc.0));
        Ok(())
    }

    fn close(&mut self, assoc: AssocId) {
        self.log(format!("close {}", assoc.0));
    }

    fn abort(&mut self, assoc: AssocId) {
        self.log(format!("abort {}", assoc.0));
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let mut script = self.0.lock().unwrap();
        script.task = Some(cx.waker().clone());
        script.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    fn local(&self) -> Local {
        Local { url: "sctp://10.0.0.1:1".parse().unwrap(), addresses: Vec::new(), port: 1 }
    }
}

struct Lab {
    kernel: Fake,
    userland: Fake,
    endpoint: SctpEndpoint,
}

const PEER: &str = "sctp://10.0.0.9:3863";
const IN_KERNEL: &str = "connect sctp+kernel://10.0.0.9:3863";
const IN_UDP: &str = "connect sctp+udp://10.0.0.9:3863";

impl Lab {
    fn new() -> Self {
        let (kernel, userland) = (Fake::default(), Fake::default());
        let sides: [Box<dyn Endpoint>; 2] = [Box::new(kernel.clone()), Box::new(userland.clone())];
        let local = kernel.local();
        let [one, two] = sides.map(Some);
        let options = Options { associations_max: 3, ..Options::default() };
        Self { kernel, userland, endpoint: SctpEndpoint::over(one, two, local, &options) }
    }

    fn dial(&mut self) -> AssocId {
        self.endpoint.connect(&remote(PEER)).unwrap()
    }

    async fn next(&mut self) -> Event {
        poll_fn(|cx| self.endpoint.poll_event(cx)).await
    }

    async fn nothing(&mut self) {
        let idle = poll_fn(|cx| Poll::Ready(self.endpoint.poll_event(cx).is_pending()));
        assert!(idle.await);
    }

    /// Lets time pass; nothing may happen.
    async fn wait(&mut self, time: Duration) {
        assert!(tokio::time::timeout(time, self.next()).await.is_err());
    }
}

fn remote(url: &str) -> Remote {
    let address: Address = url.parse().unwrap();
    Remote {
        scheme: address.scheme,
        addresses: address.bind_addresses().unwrap(),
        port: address.port,
        encapsulation: address.encapsulation,
        zone: 0,
        expected: Default::default(),
    }
}

fn info(dialed: bool) -> AssocInfo {
    AssocInfo {
        backend: crate::Backend::Memory,
        dialed,
        remote: remote(PEER).addresses,
        remote_port: 3863,
        local: Vec::new(),
        local_port: 1,
        identity: None,
    }
}

fn up(assoc: u64, dialed: bool) -> Event {
    Event::Up { assoc: AssocId(assoc), info: info(dialed) }
}

fn down(assoc: u64, reason: DownReason) -> Event {
    Event::Down { assoc: AssocId(assoc), reason }
}

#[tokio::test(start_paused = true)]
async fn the_kernel_has_a_head_start_of_100_ms() {
    let mut lab = Lab::new();
    lab.dial();
    assert_eq!(lab.kernel.calls(), [IN_KERNEL]);
    lab.wait(HEAD_START - Duration::from_millis(1)).await;
    assert_eq!(lab.userland.calls(), [] as [&str; 0]);
    lab.wait(Duration::from_millis(2)).await;
    assert_eq!(lab.userland.calls(), [IN_UDP]);
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_answers_in_time_is_all_that_is_tried() {
    let mut lab = Lab::new();
    let assoc = lab.dial();
    lab.kernel.says(up(1, true));
    assert_eq!(lab.next().await, Event::Up { assoc, info: info(true) });
    lab.wait(HEAD_START * 3).await;
    assert_eq!(lab.userland.calls(), [] as [&str; 0]);
    lab.endpoint.send(assoc, Ppid::ASAP, &[1]).unwrap();
    lab.endpoint.close(assoc);
    assert_eq!(lab.kernel.calls(), [IN_KERNEL, "send 1", "close 1"]);
    lab.kernel.says(down(1, DownReason::Closed));
    assert_eq!(lab.next().await, down(assoc.0, DownReason::Closed));
    assert_eq!(lab.endpoint.send(assoc, Ppid::ASAP, &[1]), Err(SendError::Gone));
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_gives_up_is_followed_at_once() {
    let mut lab = Lab::new();
    let assoc = lab.dial();
    lab.kernel.says(down(1, DownReason::Refused));
    lab.nothing().await;
    assert_eq!(lab.userland.calls(), [IN_UDP]);
    assert_eq!(lab.endpoint.send(assoc, Ppid::ASAP, &[1]), Err(SendError::Gone));
    lab.userland.says(up(1, true));
    assert_eq!(lab.next().await, Event::Up { assoc, info: info(true) });
    lab.endpoint.send(assoc, Ppid::ASAP, &[1]).unwrap();
    assert_eq!(lab.userland.calls(), ["send 1"]);
}

#[tokio::test(start_paused = true)]
async fn the_first_that_is_up_wins_and_the_other_is_aborted() {
    let mut lab = Lab::new();
    let assoc = lab.dial();
    lab.wait(HEAD_START * 2).await;
    lab.userland.says(up(1, true));
    assert_eq!(lab.next().await, Event::Up { assoc, info: info(true) });
    assert_eq!(lab.kernel.calls(), [IN_KERNEL, "abort 1"]);
    assert_eq!(lab.userland.calls(), [IN_UDP]);
    lab.nothing().await;
}

#[tokio::test(start_paused = true)]
async fn what_won_is_tried_first_the_next_time() {
    let mut lab = Lab::new();
    let assoc = lab.dial();
    lab.kernel.says(down(1, DownReason::Refused));
    lab.userland.says(up(1, true));
    lab.next().await;
    lab.endpoint.abort(assoc);
    let _ = (lab.kernel.calls(), lab.userland.calls());

    lab.dial();
    assert_eq!((lab.kernel.calls(), lab.userland.calls()), (vec![], vec![IN_UDP.into()]));
    lab.wait(HEAD_START * 2).await;
    assert_eq!(lab.kernel.calls(), [IN_KERNEL], "the peer may have changed");
}

#[tokio::test(start_paused = true)]
async fn the_way_of_an_accepted_association_is_remembered_too() {
    let mut lab = Lab::new();
    lab.userland.says(up(1, false));
    let Event::Up { assoc, .. } = lab.next().await else { panic!("not up") };
    lab.endpoint.abort(assoc);
    let _ = lab.userland.calls();
    lab.dial();
    assert_eq!((lab.kernel.calls(), lab.userland.calls()), (vec![], vec![IN_UDP.into()]));
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_fails_both_ways_fails_once() {
    let mut lab = Lab::new();
    let assoc = lab.dial();
    lab.wait(HEAD_START * 2).await;
    lab.kernel.says(down(1, DownReason::Refused));
    lab.nothing().await;
    lab.userland.says(down(1, DownReason::Timeout));
    assert_eq!(lab.next().await, down(assoc.0, DownReason::Timeout));
    lab.wait(HEAD_START * 2).await;
    assert_eq!((lab.kernel.calls().len(), lab.userland.calls().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_is_closed_or_aborted_ends_both_ways() {
    let mut lab = Lab::new();
    let closed = lab.dial();
    lab.wait(HEAD_START * 2).await;
    lab.endpoint.close(closed);
    assert_eq!(lab.next().await, down(closed.0, DownReason::Closed));
    assert_eq!(lab.kernel.calls(), [IN_KERNEL, "abort 1"]);
    assert_eq!(lab.userland.calls(), [IN_UDP, "abort 1"]);

    let aborted = lab.dial();
    lab.endpoint.abort(aborted);
    lab.wait(HEAD_START * 2).await;
    assert_eq!(lab.kernel.calls(), [IN_KERNEL, "abort 2"]);
    assert_eq!(lab.userland.calls(), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn associations_of_both_sides_keep_apart() {
    let mut lab = Lab::new();
    lab.kernel.says(up(1, false));
    lab.userland.says(up(1, false));
    let (one, two) = (lab.next().await.assoc(), lab.next().await.assoc());
    assert_ne!(one, two);
    let message = |assoc| Event::Message { assoc, ppid: Ppid::ENRP, octets: vec![7] };
    lab.kernel.says(message(AssocId(1)));
    lab.userland.says(message(AssocId(1)));
    let mut arrived = [lab.next().await, lab.next().await];
    let mut sent = [one, two].map(message);
    arrived.sort_by_key(Event::assoc);
    sent.sort_by_key(Event::assoc);
    assert_eq!(arrived, sent);
    lab.kernel.says(down(1, DownReason::Restarted));
    lab.kernel.says(up(2, false));
    let over = lab.next().await.assoc();
    assert!([one, two].contains(&over));
    assert!(![one, two].contains(&lab.next().await.assoc()));
}

#[tokio::test(start_paused = true)]
async fn an_association_that_exists_is_named_by_its_own_name() {
    let mut lab = Lab::new();
    lab.dial();
    lab.kernel.says(up(1, true));
    let assoc = lab.next().await.assoc();
    lab.kernel.0.lock().unwrap().connected = Some(AssocId(1));
    let again = lab.endpoint.connect(&remote(PEER));
    assert!(matches!(again, Err(Error::Connected(known)) if known == assoc));

    // One whose beginning is not reported yet.
    lab.kernel.0.lock().unwrap().connected = Some(AssocId(5));
    let Err(Error::Connected(other)) = lab.endpoint.connect(&remote(PEER)) else {
        panic!("not connected")
    };
    lab.kernel.says(up(5, false));
    assert_eq!(lab.next().await, Event::Up { assoc: other, info: info(false) });
}

#[tokio::test(start_paused = true)]
async fn forced_schemes_go_one_way_and_the_encapsulation_is_for_udp() {
    let mut lab = Lab::new();
    lab.endpoint.connect(&remote("sctp+udp://10.0.0.9:3863?encap=9899")).unwrap();
    lab.wait(HEAD_START * 2).await;
    assert_eq!(lab.userland.calls(), ["connect sctp+udp://10.0.0.9:3863?encap=9899"]);
    lab.endpoint.connect(&remote("sctp+kernel://10.0.0.9:3863?encap=9899")).unwrap();
    lab.wait(HEAD_START * 2).await;
    assert_eq!(lab.kernel.calls(), ["connect sctp+kernel://10.0.0.9:3863?encap=9899"]);
    lab.endpoint.connect(&remote("sctp://10.0.0.9:3863?encap=9899")).unwrap();
    lab.wait(HEAD_START * 2).await;
    assert_eq!(lab.kernel.calls(), [IN_KERNEL]);
    assert_eq!(lab.userland.calls(), ["connect sctp+udp://10.0.0.9:3863?encap=9899"]);
    let tcp = lab.endpoint.connect(&remote("tcp://10.0.0.9:3863"));
    assert!(matches!(tcp, Err(Error::Unsupported { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_associations_is_for_both_sides_together() {
    let mut lab = Lab::new();
    lab.kernel.says(up(1, false));
    lab.userland.says(up(1, false));
    lab.next().await;
    lab.next().await;
    let dialed = lab.dial();
    assert!(matches!(lab.endpoint.connect(&remote(PEER)), Err(Error::Limit(3))));
    lab.kernel.says(up(8, false));
    lab.nothing().await;
    assert_eq!(lab.endpoint.counters().over_limit, 1);
    lab.endpoint.abort(dialed);
    lab.userland.says(up(9, false));
    assert!(matches!(lab.next().await, Event::Up { .. }));
    assert_eq!(lab.kernel.calls(), [IN_KERNEL, "abort 8", "abort 1"]);
}

#[tokio::test(start_paused = true)]
async fn without_the_kernel_userland_is_all() {
    let userland = Fake::default();
    let local = userland.local();
    let options = Options { associations_max: 3, ..Options::default() };
    let mut endpoint = SctpEndpoint::over(None, Some(Box::new(userland.clone())), local, &options);
    let assoc = endpoint.connect(&remote(PEER)).unwrap();
    assert_eq!(userland.calls(), [IN_UDP]);
    let forced = endpoint.connect(&remote("sctp+kernel://10.0.0.9:3863"));
    let message = forced.unwrap_err().to_string();
    assert!(message.starts_with("kernel SCTP is not available: "), "{message}");
    userland.says(down(1, DownReason::Refused));
    let event = poll_fn(|cx| endpoint.poll_event(cx)).await;
    assert_eq!(event, down(assoc.0, DownReason::Refused));
}

/// A dial that its second way won keeps the name of the first, whatever that side gives out next.
#[tokio::test(start_paused = true)]
async fn what_a_second_way_won_is_named_after_the_first() {
    let mut lab = Lab::new();
    let won = lab.dial();
    lab.kernel.says(down(1, DownReason::Refused));
    lab.nothing().await;
    lab.userland.says(up(1, true));
    assert_eq!(lab.next().await, Event::Up { assoc: won, info: info(true) });
    lab.userland.says(up(2, false));
    let accepted = lab.next().await.assoc();
    assert_ne!(accepted, won);
    let _ = lab.userland.calls();
    for (assoc, call) in [(won, "send 1"), (accepted, "send 2")] {
        lab.endpoint.send(assoc, Ppid::ASAP, &[1]).unwrap();
        assert_eq!(lab.userland.calls(), [call]);
    }
    lab.userland.says(down(1, DownReason::Closed));
    assert_eq!(lab.next().await, down(won.0, DownReason::Closed));
    assert_eq!(lab.endpoint.send(won, Ppid::ASAP, &[1]), Err(SendError::Gone));
    lab.endpoint.send(accepted, Ppid::ASAP, &[1]).unwrap();
    assert!(lab.endpoint.second_names.own.is_empty() && lab.endpoint.second_names.ways.is_empty());
}
