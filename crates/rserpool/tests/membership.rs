//! What elements and users are told, by a registrar that does as the test says or not at all.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test")]

use std::task::Poll;

use rserpool::element::{self, PoolElement, State};
use rserpool::registrar::{self, Registrar};
use rserpool::transport::{Address, Endpoints, Event, Framing, Options, Ppid};
use rserpool::user::{self, PoolUser};
use rserpool::wire::asap::{DeregistrationResponse, RegistrationResponse};
use rserpool::wire::param::{
    Cause, Load, PeId, Policy, PolicyField, PoolHandle, Transport, TransportUse,
};
use rserpool::wire::registry::CauseCode;
use rserpool::wire::{Asap, Message, Protocol};
use rserpool::{DeregisterError, RegisterError, ResolveError, StartError, Stopped};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

fn pool() -> PoolHandle {
    PoolHandle::new("Pool".as_bytes()).unwrap()
}

fn cause() -> Cause {
    Cause::new(CauseCode::NON_UNIQUE_PE_IDENTIFIER)
}

/// An element of the pool, on its way in through this registrar.
fn element(registrar: Address, policy: Policy) -> PoolElement {
    let (port, transport_use) = (7, TransportUse::DataOnly);
    let transport = Transport::Tcp { port, transport_use, address: [127, 0, 0, 1].into() };
    let mut config = element::Config::new(vec![registrar], pool(), transport);
    config.policy = policy;
    PoolElement::start(config).unwrap()
}

/// A registrar that answers as `answer` says, and tells the test what it was asked.
fn registrar(
    mut answer: impl FnMut(&Asap) -> Option<Asap> + Send + 'static,
) -> (Address, mpsc::UnboundedReceiver<Asap>) {
    let mut endpoints = Endpoints::new(Options::default());
    let url = "tcp://127.0.0.1:0".parse().unwrap();
    let url = endpoints.listen(&url, Framing::Message(Ppid::ASAP)).unwrap().url;
    let (sender, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let Event::Message { assoc, octets, .. } = endpoints.next().await else { continue };
            let decoded = Message::decode(Protocol::Asap, &octets).unwrap();
            let Message::Asap(asap) = decoded.message else { continue };
            if let Some(answer) = answer(&asap) {
                let octets = Message::from(answer).encode();
                endpoints.send(assoc, Ppid::ASAP, &octets).unwrap();
            }
            let _ = sender.send(asap);
        }
    });
    (url, asked)
}

fn registered(id: PeId) -> Asap {
    let causes = Vec::new();
    let response = RegistrationResponse { rejected: false, handle: pool(), id, causes };
    Asap::RegistrationResponse(response)
}

fn deregistered(id: PeId, causes: Vec<Cause>) -> Asap {
    Asap::DeregistrationResponse(DeregistrationResponse { handle: pool(), id, causes })
}

#[tokio::test]
async fn an_element_that_draws_another_identifier_is_known_by_that() {
    let mut refused = None;
    let (url, mut asked) = registrar(move |asap| {
        let Asap::Registration(registration) = asap else { return None };
        let id = registration.element.id;
        if *refused.get_or_insert(id) != id {
            return Some(registered(id));
        }
        let causes = vec![cause()];
        let response = RegistrationResponse { rejected: true, handle: pool(), id, causes };
        Some(Asap::RegistrationResponse(response))
    });
    let element = element(url, Policy::round_robin());
    let drawn = element.id();
    element.registered().await.unwrap();

    let Some(Asap::Registration(first)) = asked.recv().await else { panic!("no registration") };
    let Some(Asap::Registration(second)) = asked.recv().await else { panic!("no registration") };
    assert_eq!(first.element.id, drawn);
    assert_ne!(second.element.id, drawn);
    assert_eq!(element.id(), second.element.id);
    assert!(matches!(element.state(), State::Registered { id, .. } if id == element.id()));
}

#[tokio::test]
async fn an_element_that_may_not_leave_stays_and_may_ask_again() {
    let mut is_first = true;
    let (url, _asked) = registrar(move |asap| match asap {
        Asap::Registration(registration) => Some(registered(registration.element.id)),
        Asap::Deregistration(deregistration) => {
            let causes = if std::mem::take(&mut is_first) { vec![cause()] } else { Vec::new() };
            Some(deregistered(deregistration.id, causes))
        }
        _ => None,
    });
    let element = element(url, Policy::round_robin());
    element.registered().await.unwrap();
    let refused = element.deregister().await.unwrap_err();
    assert!(matches!(&refused, DeregisterError::Refused { causes, .. } if *causes == [cause()]));
    assert!(matches!(element.state(), State::Registered { .. }));
    element.deregister().await.unwrap();
    assert_eq!(element.state(), State::Deregistered);
}

#[tokio::test]
async fn the_newest_load_is_told_however_often_it_changes() {
    let (url, mut asked) = registrar(|asap| match asap {
        Asap::Registration(registration) => Some(registered(registration.element.id)),
        _ => None,
    });
    let element = element(url, Policy::least_used(Load(0)));
    element.registered().await.unwrap();
    asked.recv().await.unwrap();
    (1..=100_000).for_each(|load| element.set_load(Load(load)));
    let Some(Asap::Registration(told)) = asked.recv().await else { panic!("no registration") };
    assert_eq!(told.element.policy.get(PolicyField::Load), Some(100_000));
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn who_waits_for_what_has_ended_is_told() {
    let (here, there) = (runtime(), runtime());
    let (element, user, registrar) = there.block_on(async {
        let asap = vec!["tcp://127.0.0.1:0".parse().unwrap()];
        let config = registrar::Config::new(asap);
        let registrar = Registrar::start(config).unwrap();
        let url = registrar.urls()[0].clone();
        let user = PoolUser::start(user::Config::new(vec![url.clone()])).unwrap();
        (element(url, Policy::round_robin()), user, registrar)
    });
    let pool = pool();
    let (mut resolving, mut leaving) =
        (Box::pin(user.resolve(&pool, None)), Box::pin(element.deregister()));
    let mut entering = Box::pin(element.registered());
    here.block_on(std::future::poll_fn(|cx| {
        assert!(resolving.as_mut().poll(cx).is_pending());
        assert!(leaving.as_mut().poll(cx).is_pending());
        assert!(entering.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    }));
    drop(there);

    // Who waits already, and who comes now.
    assert!(matches!(here.block_on(resolving), Err(ResolveError::Stopped)));
    assert!(matches!(here.block_on(leaving), Err(DeregisterError::Stopped)));
    assert!(matches!(here.block_on(entering), Err(RegisterError::Stopped)));
    assert!(matches!(here.block_on(user.resolve(&pool, None)), Err(ResolveError::Stopped)));
    assert!(matches!(here.block_on(element.deregister()), Err(DeregisterError::Stopped)));
    assert!(matches!(here.block_on(element.registered()), Err(RegisterError::Stopped)));
    assert!(matches!(here.block_on(registrar.pools()), Err(Stopped)));
    assert!(matches!(here.block_on(registrar.stats()), Err(Stopped)));
    assert!(matches!(here.block_on(user.stats()), Err(Stopped)));
    assert!(matches!(here.block_on(element.stats()), Err(Stopped)));
    here.block_on(user.stop());
    here.block_on(registrar.stop());
    here.block_on(element.stop());
}

#[tokio::test]
async fn a_registrar_that_nobody_can_reach_is_none() {
    let refused = Registrar::start(registrar::Config::default()).err();
    assert!(matches!(refused, Some(StartError::NothingToListenAt)));
}
