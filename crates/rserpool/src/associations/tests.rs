use std::sync::{Arc, Mutex};
use std::task::Waker;

use rserpool_transport::{Address, Backend, DownReason, Endpoint, Error, Local, Remote, SendError};

use super::*;

/// An endpoint whose peer takes what it is told to take.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    events: VecDeque<Event>,
    /// How many messages still fit.
    room: usize,
    sent: Vec<Vec<u8>>,
    aborted: usize,
    /// Sends a message whenever it is asked.
    chats: bool,
    asked: usize,
}

const ASSOC: AssocId = AssocId(1);

impl Endpoint for Scripted {
    fn connect(&mut self, _: &Remote) -> Result<AssocId, Error> {
        Err(Error::Limit(0))
    }

    fn send(&mut self, _: AssocId, _: Ppid, octets: &[u8]) -> Result<(), SendError> {
        let mut script = self.0.lock().unwrap();
        script.room = script.room.checked_sub(1).ok_or(SendError::Full)?;
        script.sent.push(octets.to_vec());
        Ok(())
    }

    fn close(&mut self, _: AssocId) {}

    fn abort(&mut self, _: AssocId) {
        self.0.lock().unwrap().aborted += 1;
    }

    fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<Event> {
        let mut script = self.0.lock().unwrap();
        script.asked += 1;
        assert!(script.asked < 1000, "it is asked for ever");
        if let Some(event) = script.events.pop_front() {
            return Poll::Ready(event);
        }
        match script.chats {
            true => Poll::Ready(Event::Message { assoc: ASSOC, ppid: Ppid(7), octets: vec![1] }),
            false => Poll::Pending,
        }
    }

    fn local(&self) -> Local {
        let url: Address = "sctp://127.0.0.1:9901".parse().unwrap();
        Local { url, addresses: Vec::new(), port: 9901 }
    }
}

impl Scripted {
    fn happens(&self, event: Event) {
        self.0.lock().unwrap().events.push_back(event);
    }
}

/// An association that came to a port of this protocol; its peer.
fn associated(protocol: Protocol) -> (Scripted, Associations, Peer) {
    let endpoint = Scripted::default();
    let mut endpoints = Endpoints::new(rserpool_transport::Options::default());
    endpoints.add(Box::new(endpoint.clone()), speaks(protocol));
    let mut associations = Associations::new(endpoints, Vec::new());
    let info = AssocInfo {
        backend: Backend::Memory,
        dialed: false,
        remote: vec![[127, 0, 0, 2].into()],
        remote_port: 9901,
        local: Vec::new(),
        local_port: 9901,
        identity: None,
    };
    endpoint.happens(Event::Up { assoc: ASSOC, info });
    let inputs = inputs(&mut associations);
    let [Input::Up(peer, _)] = inputs[..] else { panic!("{inputs:?}") };
    (endpoint, associations, peer)
}

fn inputs(associations: &mut Associations) -> Vec<Input<()>> {
    let mut inputs = Vec::new();
    let cx = &mut Context::from_waker(Waker::noop());
    associations.poll_inputs(cx, 32, |input| inputs.push(input));
    inputs
}

fn sent(endpoint: &Scripted) -> Vec<u8> {
    endpoint.0.lock().unwrap().sent.iter().map(|octets| octets[0]).collect()
}

#[test]
fn what_a_registrar_does_not_take_yet_follows_in_order_and_ends_nothing() {
    let (endpoint, mut associations, peer) = associated(Protocol::Enrp);
    endpoint.0.lock().unwrap().room = 2;
    for number in 0..6 {
        associations.send_octets(&[peer], Protocol::Enrp, &[number]);
    }
    assert_eq!(sent(&endpoint), [0, 1]);
    // The machine is told at once, and once.
    assert!(matches!(associations.take_outcome(), Some(Outcome::Congested(p)) if p == peer));
    assert!(associations.take_outcome().is_none());

    endpoint.0.lock().unwrap().room = 3;
    endpoint.happens(Event::Drained { assoc: ASSOC });
    assert_eq!(inputs(&mut associations), []);
    assert_eq!(sent(&endpoint), [0, 1, 2, 3, 4]);
    associations.send_octets(&[peer], Protocol::Enrp, &[6]);
    assert_eq!(sent(&endpoint), [0, 1, 2, 3, 4], "5 goes before");

    endpoint.0.lock().unwrap().room = 9;
    endpoint.happens(Event::Drained { assoc: ASSOC });
    assert_eq!(inputs(&mut associations), [Input::Drained(peer)]);
    associations.send_octets(&[peer], Protocol::Enrp, &[7]);
    assert_eq!(sent(&endpoint), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(endpoint.0.lock().unwrap().aborted, 0);
}

#[test]
fn nothing_follows_to_who_is_gone() {
    let (endpoint, mut associations, peer) = associated(Protocol::Enrp);
    associations.send_octets(&[peer], Protocol::Enrp, &[0]);
    assert!(associations.overflow.has(peer));
    endpoint.happens(Event::Down { assoc: ASSOC, reason: DownReason::Stalled });
    assert_eq!(inputs(&mut associations), [Input::Congested(peer), Input::Down(peer)]);
    assert!(!associations.overflow.has(peer));
}

#[test]
fn who_is_no_registrar_and_takes_nothing_is_as_good_as_gone() {
    let (endpoint, mut associations, peer) = associated(Protocol::Asap);
    associations.send_octets(&[peer], Protocol::Asap, &[0]);
    assert!(matches!(associations.take_outcome(), Some(Outcome::Lost(p)) if p == peer));
    assert_eq!(endpoint.0.lock().unwrap().aborted, 1);
}

#[test]
fn peers_that_send_for_ever_do_not_hold_up_the_end() {
    let (endpoint, mut associations, peer) = associated(Protocol::Asap);
    associations.close(peer);
    {
        let mut script = endpoint.0.lock().unwrap();
        (script.chats, script.asked) = (true, 0);
    }
    let mut finish = Box::pin(associations.finish());
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(finish.as_mut().poll(cx).is_pending());
    endpoint.happens(Event::Down { assoc: ASSOC, reason: DownReason::Closed });
    endpoint.0.lock().unwrap().chats = false;
    assert!(finish.as_mut().poll(cx).is_ready());
}
