//! The server's side: what the control channel brings.

use rserpool_wire::Asap;
use rserpool_wire::asap::{BusinessCard, KeepAlive, KeepAliveAck};
use rserpool_wire::param::{Cookie, PeId, PoolHandle, RegistrarId};

use super::{element, handle};
use crate::session::Cookies;
use crate::session::cookie::{Key, Refusal};
use crate::session::server::{Control, Identity, Reaction};

const NOW: u64 = 1_000_000;

fn identity() -> Identity {
    Identity { handle: handle(), id: PeId(1) }
}

fn echo(octets: &[u8]) -> Asap {
    Asap::CookieEcho(Cookie::new(octets).unwrap())
}

fn sealed() -> Cookies {
    Cookies::sealed(vec![Key::new(&[7; 32]).unwrap()], [1; 32])
}

#[test]
fn a_cookie_resumes_the_session_once_and_only_at_its_beginning() {
    let cookies = Cookies::plain();
    let mut control = Control::default();
    let resumed = Reaction::Resumed(b"state".to_vec());
    assert_eq!(control.handle(NOW, echo(b"state"), &identity(), &cookies), resumed);
    let again = control.handle(NOW, echo(b"state"), &identity(), &cookies);
    assert_eq!(again, Reaction::TooLate);

    let mut control = Control::default();
    control.data();
    let late = control.handle(NOW, echo(b"state"), &identity(), &cookies);
    assert_eq!(late, Reaction::TooLate);
}

// Checklist 128.
#[test]
fn a_cookie_that_is_not_ours_begins_the_session_anew() {
    let mut control = Control::default();
    let refused = control.handle(NOW, echo(b"forged"), &identity(), &sealed());
    assert_eq!(refused, Reaction::Refused(Refusal::Unsealed));
    let cookie = sealed().seal(&handle(), NOW, b"state");
    // There is no second try.
    let late = control.handle(NOW, echo(&cookie), &identity(), &sealed());
    assert_eq!(late, Reaction::TooLate);
    let mut control = Control::default();
    let resumed = control.handle(NOW, echo(&cookie), &identity(), &sealed());
    assert_eq!(resumed, Reaction::Resumed(b"state".to_vec()));
}

#[test]
fn keep_alives_of_the_session_are_answered_and_others_are_not() {
    let mut control = Control::default();
    let mut ask = |sender: Option<u32>, handle: PoolHandle, id: Option<u32>| {
        let (sender, id) = (sender.and_then(RegistrarId::new), id.map(PeId));
        let question = KeepAlive { claim_home: false, sender, handle, id };
        control.handle(NOW, Asap::KeepAlive(question), &identity(), &Cookies::plain())
    };
    let reply = Reaction::Reply(Asap::KeepAliveAck(KeepAliveAck { handle: handle(), id: PeId(1) }));
    assert_eq!(ask(None, handle(), Some(1)), reply);
    assert_eq!(ask(None, handle(), None), reply);
    // Who was here before had another identifier: the answer tells this one.
    assert_eq!(ask(None, handle(), Some(2)), reply);
    let other = PoolHandle::new(&b"Other"[..]).unwrap();
    assert_eq!(ask(None, other, Some(1)), Reaction::Ignored);
    assert_eq!(ask(Some(9), handle(), Some(1)), Reaction::Ignored);
}

#[test]
fn a_users_card_is_told() {
    let card = BusinessCard { handle: handle(), elements: vec![element(5)] };
    let mut control = Control::default();
    let told =
        control.handle(NOW, Asap::BusinessCard(card.clone()), &identity(), &Cookies::plain());
    assert_eq!(told, Reaction::Card(card));
    // It does not begin the session: a cookie may follow.
    let resumed = control.handle(NOW, echo(b"state"), &identity(), &Cookies::plain());
    assert_eq!(resumed, Reaction::Resumed(b"state".to_vec()));
}
