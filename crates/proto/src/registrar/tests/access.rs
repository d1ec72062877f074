//! Rules: who may do what, and what becomes of everybody else.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use rserpool_wire::asap::{Asap, Deregistration, HandleResolution};
use rserpool_wire::enrp::{
    Body, Enrp, Presence, TableRequest, TableResponse, Update, UpdateAction,
};
use rserpool_wire::param::{
    Cause, Load, PeChecksum, PeId, Policy, PolicyField, PoolHandle, RegistrarId,
};
use rserpool_wire::registry::{CauseCode, PolicyType};
use rserpool_wire::{Message, Protocol};

use super::lab::{ELEMENT_ADDRESS, Lab, OTHER_ADDRESS, USER, element, link, pool};
use crate::identity::Identity;
use crate::machine::{Carrier, Input, Output, Peer};
use crate::registrar::access::{Allow, Denial, PeerRule, PoolPattern, Request, Rules, Verb, Who};
use crate::registrar::{Command, Config, Event, Holder};

const SERVER: Peer = Peer::accepted(11);
const ELSE: Peer = Peer::accepted(12);
const CLIENT: Peer = Peer::accepted(13);
const THERE: IpAddr = ELEMENT_ADDRESS;

fn who(key: u8, names: &[&str]) -> Identity {
    Identity::new([key; 32], names.iter().map(ToString::to_string).collect())
}

fn allow(who: &str, may: &[Verb], pools: &[&str]) -> Allow {
    let mut rule = Allow::new(who.parse().unwrap(), may.to_vec());
    rule.pools = pools.iter().map(|pool| PoolPattern::new(pool.as_bytes())).collect();
    rule
}

fn lab(rules: Rules) -> Lab {
    Lab::with(Config { access: Some(Arc::new(rules)), ..Config::default() })
}

fn up(lab: &mut Lab, peer: Peer, protocol: Protocol, identity: Option<Identity>) {
    let link = link(Carrier::Tcp, &[THERE]);
    lab.input(Input::Up(peer, crate::machine::Link { protocol, identity, ..link }));
}

fn security() -> Vec<Cause> {
    vec![Cause::new(CauseCode::SECURITY)]
}

/// A lab in which a server may have elements in `Echo*` by this rule, and clients may find them.
fn ruled(change: impl FnOnce(&mut Allow)) -> Lab {
    let mut rule = allow("san:db1.example", &[Verb::Register], &["Echo*"]);
    change(&mut rule);
    let clients = allow("san:rserpool:client", &[Verb::Resolve, Verb::Report], &["Echo*"]);
    let mut lab = lab(Rules { peers: vec![], allow: vec![rule, clients] });
    up(&mut lab, SERVER, Protocol::Asap, Some(who(1, &["db1.example"])));
    up(&mut lab, ELSE, Protocol::Asap, Some(who(2, &["db2.example"])));
    up(&mut lab, CLIENT, Protocol::Asap, Some(who(3, &["rserpool:client"])));
    lab
}

fn finds(lab: &mut Lab, peer: Peer) -> Result<usize, Vec<Cause>> {
    let question = HandleResolution { want_updates: true, handle: pool(), items: None };
    match lab.ask(peer, Asap::HandleResolution(question)) {
        Asap::HandleResolutionResponse(answer) if answer.causes.is_empty() => {
            Ok(answer.elements.len())
        }
        Asap::HandleResolutionResponse(answer) => Err(answer.causes),
        other => panic!("{other:?}"),
    }
}

fn unknown() -> Result<usize, Vec<Cause>> {
    Err(vec![Cause::new(CauseCode::UNKNOWN_POOL_HANDLE)])
}

#[test]
fn whom_a_rule_is_about() {
    let db = who(0xab, &["db1.example", "spiffe://example/db/1", "10.0.0.1", "rserpool:server"]);
    for (text, is) in [
        (format!("spki:{}", "ab".repeat(32)), true),
        (format!("spki:{}", "ac".repeat(32)), false),
        ("san:db1.example".into(), true),
        ("san:DB1.example".into(), true),
        ("san:db2.example".into(), false),
        ("san:*.example".into(), true),
        ("san:db1.*".into(), true),
        ("san:*".into(), false),
        ("san:*.*.example".into(), false),
        ("san:db*.example".into(), false),
        ("san:example".into(), false),
        ("san:spiffe://example/db/*".into(), true),
        ("san:spiffe://example/*".into(), false),
        ("san:10.0.0.1".into(), true),
        ("san:rserpool:server".into(), true),
        ("san:rserpool:client".into(), false),
        ("any".into(), true),
        ("anonymous".into(), false),
    ] {
        let rule: Who = text.parse().unwrap();
        assert_eq!((rule.is(Some(&db)), rule.to_string().parse()), (is, Ok(rule)), "{text}");
    }
    assert!(Who::Anonymous.is(None) && !Who::Any.is(None));
    for text in ["", "spki:", "spki:12", "san:", "somebody", "dns:x", "Any"] {
        assert!(text.parse::<Who>().is_err(), "{text}");
    }
}

#[test]
fn the_first_rule_that_is_about_it_decides() {
    let mut narrow = allow("san:a.example", &[Verb::Register], &["Bank*"]);
    narrow.ids = vec![PeId(0x51)];
    let wide = allow("any", &[Verb::Register, Verb::Resolve], &["*"]);
    let rules = Rules { peers: vec![], allow: vec![narrow, wide] };
    let (a, b) = (who(1, &["a.example"]), who(2, &["b.example"]));
    let policy = Policy::round_robin();
    let register = |pool: &'static str, id| Request::register(pool.as_bytes(), PeId(id), &policy);
    let resolve = Request::new(Verb::Resolve, Some(b"Bank1"));
    let report = Request::new(Verb::Report, Some(b"Bank1"));
    for (who, request, rule, allowed) in [
        (Some(&a), register("Bank1", 0x51), Some(0), Ok(())),
        // Not by the next one either.
        (Some(&a), register("Bank1", 0x52), Some(0), Err(Denial::Id)),
        (Some(&a), register("Other", 0x52), Some(1), Ok(())),
        (Some(&b), register("Bank1", 0x52), Some(1), Ok(())),
        (Some(&a), resolve, Some(1), Ok(())),
        (Some(&a), report, None, Err(Denial::NoRule)),
        (None, resolve, None, Err(Denial::NoRule)),
    ] {
        let verdict = rules.decide(who, &request);
        assert_eq!((verdict.rule, verdict.allowed), (rule, allowed), "{who:?} {request:?}");
    }
}

// RFC 5355 §2.4, §2.17: insiders are held to their rule.
#[test]
fn who_registers_is_held_to_its_rule() {
    let weighted = |weight| {
        Policy::of_type(PolicyType::WEIGHTED_ROUND_ROBIN).with(PolicyField::Weight, weight)
    };
    let load = |part| Policy::least_used(Load::from_fraction(part));
    type Change = fn(&mut Allow);
    let cases: [(Change, u32, Policy, bool); 12] = [
        (|_| {}, 1, Policy::round_robin(), true),
        (|rule| rule.pools = vec![PoolPattern::new(b"Bank*")], 1, Policy::round_robin(), false),
        (|rule| rule.may = vec![Verb::Resolve], 1, Policy::round_robin(), false),
        (|rule| rule.who = Who::Key([9; 32]), 1, Policy::round_robin(), false),
        (|rule| rule.ids = vec![PeId(0x51)], 0x51, Policy::round_robin(), true),
        (|rule| rule.ids = vec![PeId(0x51)], 0x52, Policy::round_robin(), false),
        (|rule| rule.policy = Some(PolicyType::ROUND_ROBIN), 1, Policy::round_robin(), true),
        (|rule| rule.policy = Some(PolicyType::ROUND_ROBIN), 1, weighted(1), false),
        (|rule| rule.weight.1 = 10, 1, weighted(10), true),
        (|rule| rule.weight.1 = 10, 1, weighted(11), false),
        (|rule| rule.load.0 = Load::from_fraction(0.2), 1, load(0.3), true),
        (|rule| rule.load.0 = Load::from_fraction(0.2), 1, load(0.0), false),
    ];
    for (number, (change, id, policy, accepted)) in cases.into_iter().enumerate() {
        let mut lab = ruled(change);
        let wanted = element(id, &[THERE]);
        let causes = lab.register(SERVER, rserpool_wire::param::PoolElement { policy, ..wanted });
        let expected = if accepted { vec![] } else { security() };
        assert_eq!(causes, expected, "{number}");
        assert_eq!(lab.registrar.handlespace().pools().count(), usize::from(accepted), "{number}");
        assert_eq!(lab.registrar.stats().refused_register, u64::from(!accepted), "{number}");
    }
}

#[test]
fn who_may_not_know_of_a_pool_is_answered_as_if_it_were_not_there() {
    let mut lab = ruled(|_| {});
    assert_eq!(finds(&mut lab, CLIENT), unknown());
    assert!(lab.register(SERVER, element(1, &[THERE])).is_empty());
    assert_eq!(finds(&mut lab, CLIENT), Ok(1));
    for peer in [SERVER, ELSE, USER] {
        assert_eq!(finds(&mut lab, peer), unknown(), "{peer}");
        assert_eq!(lab.report(peer, 1), []);
    }
    let stats = lab.registrar.stats();
    assert_eq!((stats.refused_resolve, stats.refused_report, stats.keep_alives), (3, 3, 0));
    // It is asked for a report of somebody who may.
    assert_eq!(lab.report(CLIENT, 1).len(), 1);
    // A refused one is no subscriber.
    lab.wait(1000);
    let leave = Deregistration { handle: pool(), id: PeId(1) };
    let told = lab.asap(SERVER, Asap::Deregistration(leave)).into_iter();
    let told: Vec<Peer> =
        told.map(|it| if let Output::Send(to, _) = it { to } else { USER }).collect();
    assert_eq!(told, [SERVER, CLIENT]);
}

#[test]
fn refusals_are_counted_for_whoever_wanted_it_and_told_once_a_minute() {
    let mut lab = ruled(|_| {});
    for _ in 0..5 {
        assert_eq!(lab.register(ELSE, element(1, &[THERE])), security());
    }
    let refused: Vec<_> = lab.registrar.refusals().filter(|(_, count)| *count > 0).collect();
    assert_eq!(refused, [(Holder::Key([2; 32]), 5)]);
    assert_eq!(lab.events, []);
    lab.wait(60_000);
    lab.register(ELSE, element(1, &[THERE]));
    let event = Event::Refused {
        who: Some(who(2, &["db2.example"])),
        from: link(Carrier::Tcp, &[THERE]).remote_addr(),
        verb: Verb::Register,
        handle: Some(pool()),
        denial: Denial::NoRule,
    };
    assert_eq!(lab.events, [event]);
}

// RFC 5355 §2.3.
#[test]
fn an_identity_owns_its_elements() {
    let mut lab = ruled(|rule| rule.who = Who::Any);
    assert!(lab.register(SERVER, element(1, &[THERE])).is_empty());
    assert_eq!(lab.register(ELSE, element(1, &[THERE])), security());
    assert_eq!(lab.deregister(ELSE, 1), security());
    assert_eq!(lab.registrar.stats().contests, 0);
    assert_eq!(finds(&mut lab, CLIENT), Ok(1));
    // The same one comes again, with a new key: its old association is asked.
    let again = Peer::accepted(21);
    up(&mut lab, again, Protocol::Asap, Some(who(9, &["db1.example"])));
    let register =
        rserpool_wire::asap::Registration { handle: pool(), element: element(1, &[THERE]) };
    lab.asap(again, Asap::Registration(register));
    assert_eq!(lab.registrar.stats().contests, 1);
}

#[test]
fn one_identity_has_no_more_than_its_rule_says() {
    let mut lab = ruled(|rule| {
        rule.elements_max = Some(2);
        rule.associations_max = Some(2);
    });
    let (second, third) = (Peer::accepted(21), Peer::accepted(22));
    let db1 = || Some(who(1, &["db1.example"]));
    up(&mut lab, second, Protocol::Asap, db1());
    let over = link(Carrier::Tcp, &[THERE]);
    let outputs = lab.input(Input::Up(third, crate::machine::Link { identity: db1(), ..over }));
    assert_eq!(outputs, [Output::Abort(third)]);
    let server = |id: u32| {
        let mut it = element(id, &[THERE]);
        it.user_transport = rserpool_wire::param::Transport::Sctp(super::lab::sctp(
            &[THERE],
            u16::try_from(id).unwrap(),
        ));
        it
    };
    assert!(lab.register(SERVER, server(1)).is_empty());
    assert!(lab.register(second, server(2)).is_empty());
    let full = vec![Cause::new(CauseCode::LACK_OF_RESOURCES)];
    for peer in [SERVER, second] {
        assert_eq!(lab.register(peer, server(3)), full);
    }
    // What is there may be renewed.
    assert!(lab.register(SERVER, server(1)).is_empty());
    lab.input(Input::Down(second));
    assert!(lab.register(SERVER, server(3)).is_empty());
}

#[test]
fn one_identity_asks_no_more_often_than_its_rule_says() {
    let mut lab = ruled(|rule| rule.rate = NonZeroU32::new(10));
    assert!(lab.register(SERVER, element(1, &[THERE])).is_empty());
    let often = vec![Cause::new(CauseCode::LACK_OF_RESOURCES)];
    assert_eq!(lab.register(SERVER, element(1, &[THERE])), often);
    // Nor does it where it comes again.
    lab.input(Input::Down(SERVER));
    up(&mut lab, SERVER, Protocol::Asap, Some(who(1, &["db1.example"])));
    assert_eq!(lab.register(SERVER, element(1, &[THERE])), often);
    lab.wait(100);
    assert!(lab.register(SERVER, element(1, &[THERE])).is_empty());
}

const LINK: Peer = Peer::accepted(31);
const THEIR_ID: Option<RegistrarId> = RegistrarId::new(0x22);

fn enrp(lab: &mut Lab, sender: Option<RegistrarId>, body: Body) -> Vec<Output<Event>> {
    let message = Enrp { sender, receiver: None, body };
    lab.input(Input::Message(LINK, Message::Enrp(message)))
}

fn presence() -> Body {
    Body::Presence(Presence { reply_required: false, checksum: Some(PeChecksum(0)), server: None })
}

fn is_refused(outputs: &[Output<Event>]) -> bool {
    let refusal = Body::Error(security());
    outputs
        .iter()
        .any(|it| matches!(it, Output::Send(LINK, Message::Enrp(it)) if it.body == refusal))
        && outputs.contains(&Output::Close(LINK))
}

// RFC 5355 §2.5; RFC 5353 §6; checklist 203.
#[test]
fn without_rules_a_certificate_for_another_role_makes_no_registrar() {
    for (names, may) in [
        (&[][..], true),
        (&["r.example"], true),
        (&["rserpool:registrar"], true),
        (&["rserpool:server", "rserpool:registrar"], true),
        (&["rserpool:server"], false),
        (&["rserpool:client", "r.example"], false),
        (&["rserpool:server", "rserpool:pool:registrar"], false),
    ] {
        // With its own identifier as little as with another one.
        for id in [0x22, 0x11] {
            let mut lab = Lab::new();
            up(&mut lab, LINK, Protocol::Enrp, Some(who(1, names)));
            let outputs = enrp(&mut lab, RegistrarId::new(id), presence());
            assert_eq!(is_refused(&outputs), !may, "{names:?} {id}");
            assert_eq!(lab.registrar.stats().refused_peer, u64::from(!may), "{names:?} {id}");
            assert_eq!(lab.registrar.peers().count(), usize::from(may && id == 0x22), "{names:?}");
        }
    }
}

#[test]
fn without_rules_whoever_is_trusted_may_look_on() {
    let mut lab = Lab::new();
    up(&mut lab, LINK, Protocol::Enrp, Some(who(1, &["rserpool:client"])));
    let outputs = enrp(&mut lab, None, Body::TableRequest(TableRequest { own_only: false }));
    assert!(is_table(&outputs), "{outputs:?}");
}

fn is_table(outputs: &[Output<Event>]) -> bool {
    let body = |it: &Output<Event>| match it {
        Output::Send(LINK, Message::Enrp(it)) => Some(it.body.clone()),
        _ => None,
    };
    matches!(
        outputs.iter().find_map(body),
        Some(Body::TableResponse(TableResponse { rejected: false, .. }))
    )
}

// RFC 5355 §2.5; RFC 5353 §6.
#[test]
fn a_registrar_has_the_identifier_that_its_rule_says() {
    let peers = vec![
        PeerRule { id: RegistrarId::new(0x22).unwrap(), who: Who::Key([1; 32]) },
        PeerRule { id: RegistrarId::new(0x33).unwrap(), who: Who::Name("r3.example".into()) },
    ];
    let any = allow("san:*.others.example", &[Verb::Peer], &["*"]);
    let rules = Rules { peers, allow: vec![any] };
    for (identity, id, allowed) in [
        (Some(who(1, &[])), 0x22, Ok(())),
        (Some(who(1, &[])), 0x33, Err(Denial::PeerId)),
        (Some(who(1, &[])), 0x44, Err(Denial::PeerId)),
        (Some(who(2, &["r3.example"])), 0x33, Ok(())),
        (Some(who(2, &["r3.example", "rserpool:server"])), 0x33, Err(Denial::Role)),
        (Some(who(2, &["r3.example"])), 0x22, Err(Denial::PeerId)),
        (Some(who(3, &["x.others.example"])), 0x44, Ok(())),
        (Some(who(3, &["x.others.example"])), 0x22, Err(Denial::PeerId)),
        (Some(who(4, &["rserpool:registrar"])), 0x44, Err(Denial::NoRule)),
        (None, 0x44, Err(Denial::NoRule)),
    ] {
        let id = RegistrarId::new(id).unwrap();
        assert_eq!(rules.decide_peer(identity.as_ref(), id), allowed, "{identity:?} {id}");
        let mut lab = lab(rules.clone());
        up(&mut lab, LINK, Protocol::Enrp, identity.clone());
        enrp(&mut lab, Some(id), presence());
        let known: Vec<_> = lab.registrar.peers().map(|peer| peer.id).collect();
        let expected = if allowed.is_ok() { vec![id] } else { vec![] };
        assert_eq!(known, expected, "{identity:?} {id}");
    }
}

// RFC 5355 §2.5: nor with a key that is one of the scope.
#[test]
fn a_registrar_tells_of_its_own_elements_only() {
    let id = THEIR_ID.unwrap();
    let rules = Rules { peers: vec![PeerRule { id, who: Who::Key([1; 32]) }], allow: Vec::new() };
    let mut lab = lab(rules);
    up(&mut lab, LINK, Protocol::Enrp, Some(who(1, &[])));
    enrp(&mut lab, THEIR_ID, presence());
    for (home, count) in [(0x33, 0), (0x11, 0), (0x22, 1)] {
        let mut told = element(1, &[OTHER_ADDRESS]);
        told.home = RegistrarId::new(home);
        told.asap_transport = Some(super::lab::sctp(&[OTHER_ADDRESS], 7));
        let update = Update {
            takeover_suggested: false,
            action: UpdateAction::AddElement,
            handle: pool(),
            element: told,
        };
        enrp(&mut lab, THEIR_ID, Body::Update(update));
        assert_eq!(lab.registrar.handlespace().pools().count(), count, "{home:#x}");
    }
}

#[test]
fn handle_tables_are_for_administrators() {
    let admin = allow("san:admin.example", &[Verb::Administer], &["*"]);
    let rules = Rules { peers: vec![], allow: vec![admin] };
    for (name, may) in [("admin.example", true), ("other.example", false)] {
        let mut lab = lab(rules.clone());
        let over = link(Carrier::Tcp, &[THERE]);
        let link = crate::machine::Link {
            protocol: Protocol::Enrp,
            identity: Some(who(1, &[name])),
            ..over
        };
        // Who may do nothing there is told so at once, and not where this registrar is.
        let outputs = lab.input(Input::Up(LINK, link));
        assert_eq!(is_refused(&outputs), !may, "{name}");
        let request = Body::TableRequest(TableRequest { own_only: false });
        assert_eq!(is_table(&enrp(&mut lab, None, request)), may, "{name}");
        // Nor is an administrator a registrar.
        enrp(&mut lab, THEIR_ID, presence());
        assert_eq!(lab.registrar.peers().count(), 0);
    }
}

#[test]
fn other_rules_end_the_associations_of_whoever_has_what_they_do_not_allow() {
    let server = |may: &[Verb], pools| allow("san:db1.example", may, pools);
    let client = || allow("san:rserpool:client", &[Verb::Resolve], &["Echo*"]);
    let rules = |allow| Some(Arc::new(Rules { peers: vec![], allow }));
    for (new, gone) in [
        (rules(vec![server(&[Verb::Register], &["Echo*"]), client()]), vec![ELSE, USER]),
        (rules(vec![server(&[Verb::Register], &["Bank*"]), client()]), vec![SERVER, ELSE, USER]),
        (rules(vec![server(&[Verb::Resolve], &["*"]), client()]), vec![SERVER, ELSE, USER]),
        (rules(vec![server(&[Verb::Register], &["*"])]), vec![CLIENT, ELSE, USER]),
        (None, vec![]),
    ] {
        let mut lab = ruled(|_| {});
        assert!(lab.register(SERVER, element(1, &[THERE])).is_empty());
        assert_eq!(finds(&mut lab, CLIENT), Ok(1));
        let outputs = lab.input(Input::Command(Command::Rules(new)));
        for peer in [SERVER, ELSE, CLIENT, USER] {
            let is_gone = outputs.contains(&Output::Close(peer));
            assert_eq!(is_gone, gone.contains(&peer), "{peer} {gone:?}");
        }
        let elements = usize::from(!gone.contains(&SERVER));
        assert_eq!(lab.registrar.handlespace().pools().count(), elements, "{gone:?}");
    }
}

#[test]
fn a_registrar_that_is_not_allowed_any_more_goes() {
    let id = THEIR_ID.unwrap();
    let peer =
        |key| Rules { peers: vec![PeerRule { id, who: Who::Key([key; 32]) }], allow: vec![] };
    let mut lab = lab(peer(1));
    up(&mut lab, LINK, Protocol::Enrp, Some(who(1, &[])));
    enrp(&mut lab, THEIR_ID, presence());
    let same = lab.input(Input::Command(Command::Rules(Some(Arc::new(peer(1))))));
    assert!(!same.contains(&Output::Close(LINK)), "{same:?}");
    let outputs = lab.input(Input::Command(Command::Rules(Some(Arc::new(peer(2))))));
    assert!(is_refused(&outputs), "{outputs:?}");
}

#[test]
fn a_pattern_of_pools_is_a_handle_or_its_beginning() {
    for (pattern, handle, is) in [
        ("Bank*", "Bank", true),
        ("Bank*", "Bank1", true),
        ("Bank*", "Ban", false),
        ("Bank", "Bank", true),
        ("Bank", "Bank1", false),
        ("*", "x", true),
        ("a*b", "a*b", true),
        ("a*b", "axb", false),
    ] {
        let handle = PoolHandle::new(handle).unwrap();
        assert_eq!(PoolPattern::new(pattern.as_bytes()).is(handle.as_bytes()), is, "{pattern}");
    }
}
