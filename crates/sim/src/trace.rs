//! What happened, in lines for people.

use std::fmt::Write as _;

use rserpool_proto::time::Time;
use rserpool_proto::{element, registrar, session, user};
use rserpool_wire::enrp::{Body, Enrp, UpdateAction};
use rserpool_wire::param::{Cause, PoolElement, RegistrarId};
use rserpool_wire::{Asap, Message};

use crate::program::MachineEvent;

/// The lines of a world, where they are wanted.
#[derive(Debug, Default)]
pub struct Trace {
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A trace that keeps lines, or one that keeps nothing.
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self { lines: is_wanted.then(Vec::new) }
    }

    /// Adds a line; `text` is not asked where nobody wants to know.
    pub(crate) fn line(&mut self, now: Time, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            let millis = now.since_origin().as_micros();
            lines.push(format!("{:>7}.{:03}  {}", millis / 1000, millis % 1000, text()));
        }
    }

    /// The lines, each with the time in milliseconds.
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    /// Forgets the lines so far.
    pub fn clear(&mut self) {
        if let Some(lines) = &mut self.lines {
            lines.clear();
        }
    }
}

/// A message in a few words.
pub fn summary(message: &Message) -> String {
    match message {
        Message::Asap(message) => {
            let name = message.message_type().to_string();
            format!("{}{}", name.trim_start_matches("ASAP_"), asap(message))
        }
        Message::Enrp(message) => {
            let name = message.body.message_type().to_string();
            format!("{}{}", name.trim_start_matches("ENRP_"), enrp(message))
        }
    }
}

fn asap(message: &Asap) -> String {
    match message {
        Asap::Registration(it) => format!(" {} in {}", element_in_words(&it.element), it.handle),
        Asap::Deregistration(it) => format!(" {} of {}", it.id, it.handle),
        Asap::RegistrationResponse(it) => {
            let verdict = if it.rejected { "rejected" } else { "accepted" };
            format!(" {} {verdict}{}", it.id, causes(&it.causes))
        }
        Asap::DeregistrationResponse(it) => format!(" {}{}", it.id, causes(&it.causes)),
        Asap::HandleResolution(it) => {
            let items = it.items.map_or(String::new(), |items| format!(", {items} at most"));
            let updates = if it.want_updates { ", and updates" } else { "" };
            format!(" {}{items}{updates}", it.handle)
        }
        Asap::HandleResolutionResponse(it) => {
            let updates = if it.updates_accepted { ", updates follow" } else { "" };
            format!(" {} {}{}{updates}", it.handle, ids(&it.elements), causes(&it.causes))
        }
        Asap::KeepAlive(it) => {
            let claim = if it.claim_home { ", claims it" } else { "" };
            format!(" {} from {}{claim}", it.handle, id_in_words(it.sender))
        }
        Asap::KeepAliveAck(it) => format!(" {} of {}", it.id, it.handle),
        Asap::Unreachable(it) => format!(" {} of {}", it.id, it.handle),
        Asap::Announce(it) => format!(" {}", id_in_words(it.sender)),
        Asap::Cookie(it) | Asap::CookieEcho(it) => format!(" of {} octets", it.as_bytes().len()),
        Asap::BusinessCard(it) => format!(" {} {}", it.handle, ids(&it.elements)),
        Asap::Error(it) => causes(it),
    }
}

fn enrp(message: &Enrp) -> String {
    match &message.body {
        Body::Presence(it) => {
            let checksum =
                it.checksum.map_or_else(|| "none".into(), |checksum| checksum.to_string());
            let reply = if it.reply_required { ", reply required" } else { "" };
            format!(" checksum {checksum}{reply}")
        }
        Body::TableRequest(it) => if it.own_only { " of its own" } else { "" }.into(),
        Body::TableResponse(it) => {
            let mut text = if it.rejected { " rejected".into() } else { String::new() };
            for pool in &it.pools {
                let _ = write!(text, " {} {}", pool.handle, ids(&pool.elements));
            }
            text + if it.more { ", more to come" } else { "" }
        }
        Body::Update(it) => {
            let action = match it.action {
                UpdateAction::AddElement => "add",
                UpdateAction::DeleteElement => "delete",
            };
            let hint = if it.takeover_suggested { ", take it over" } else { "" };
            format!(" {action} {} in {}{hint}", element_in_words(&it.element), it.handle)
        }
        Body::ListRequest => String::new(),
        Body::ListResponse(it) => {
            let rejected = if it.rejected { " rejected" } else { "" };
            let servers: Vec<String> = it.servers.iter().map(|s| id_in_words(s.id)).collect();
            format!("{rejected} [{}]", servers.join(" "))
        }
        Body::TakeoverInit(it) | Body::TakeoverAck(it) | Body::TakeoverDone(it) => {
            format!(" of {}", id_in_words(it.target))
        }
        Body::Error(it) => causes(it),
    }
}

fn element_in_words(element: &PoolElement) -> String {
    match element.home {
        Some(home) => format!("{} at home {home}", element.id),
        None => element.id.to_string(),
    }
}

fn ids(elements: &[PoolElement]) -> String {
    let ids: Vec<String> = elements.iter().map(element_in_words).collect();
    format!("[{}]", ids.join(", "))
}

fn id_in_words(id: Option<RegistrarId>) -> String {
    id.map_or_else(|| "nobody".into(), |id| id.to_string())
}

fn causes(causes: &[Cause]) -> String {
    let mut text = String::new();
    for cause in causes {
        let _ = write!(text, ", {}", cause.code);
    }
    text
}

/// What the application of a session is told, in a few words.
pub(crate) fn session_in_words(event: &session::client::Event) -> String {
    use session::client::Event;
    match event {
        Event::Connected { server } => format!("session with {server}"),
        Event::FailoverNeeded { from, reason } => {
            format!("session needs another server than {from}: {reason:?}")
        }
        Event::FailedOver { to, resumed: true, .. } => format!("session resumed at {to}"),
        Event::FailedOver { to, resumed: false, .. } => format!("session begun anew at {to}"),
        Event::CookieRefused { by } => format!("server {by} refuses the session's cookie"),
        Event::CookieStored { octets } => format!("session has a cookie of {octets} octets"),
        Event::GaveUp(problem) => format!("session without server: {problem:?}"),
    }
}

/// What an application is told, in a few words.
pub(crate) fn told_in_words(told: &MachineEvent) -> String {
    match told {
        MachineEvent::Registrar(event) => registrar_in_words(event),
        MachineEvent::Element(event) => match event {
            element::Event::Registered { home, .. } => format!("registered{}", home_in_words(home)),
            element::Event::HomeChanged { home } => format!("home is{}", home_in_words(home)),
            other => format!("{other:?}"),
        },
        MachineEvent::User(event) => match event {
            user::Event::Resolved { request, answer } => {
                let ids: Vec<String> = answer.in_order().map(|e| e.id.to_string()).collect();
                format!("request {}: {} ({:?})", request.0, ids.join(" "), answer.source)
            }
            user::Event::Failed { request, error } => format!("request {}: {error}", request.0),
            user::Event::Updated { resolution, handle } => {
                let ids = resolution.iter().flat_map(|r| r.elements.iter());
                let ids: Vec<String> = ids.map(|element| element.id.to_string()).collect();
                format!("{handle} is now [{}]", ids.join(" "))
            }
            user::Event::HomeFound { .. } => "home found".into(),
            user::Event::HomeLost => "home lost".into(),
            user::Event::NoRegistrar => "no registrar".into(),
            other => format!("{other:?}"),
        },
    }
}

fn home_in_words(home: &element::Home) -> String {
    home.id.map_or(String::new(), |id| format!(" {id}"))
}

fn registrar_in_words(event: &registrar::Event) -> String {
    use registrar::Event;
    match event {
        Event::Joined { handle, id } => format!("{id} joined {handle}"),
        Event::Left { handle, id, reason, .. } => format!("{id} left {handle}: {reason:?}"),
        Event::Moved { handle, id, to } => format!("{id} of {handle} moved to {to}"),
        Event::Rejected { handle, id, cause, .. } => {
            format!("{id} rejected from {handle}: {}", cause.code)
        }
        Event::Serving { synchronised: true } => "serves, with the table of another".into(),
        Event::Serving { synchronised: false } => "serves, with what it has".into(),
        Event::PeerUp(id) => format!("met {id}"),
        Event::PeerSuspected(id) => format!("suspects {id}"),
        Event::PeerBack(id) => format!("{id} lives"),
        Event::PeerLost(id) => format!("{id} is dead"),
        Event::TakeoverBegun { target } => format!("wants to take over {target}"),
        Event::TakeoverWon { target, elements } => {
            format!("took over {target} and its {elements} elements")
        }
        Event::TakeoverLost { target, to } => format!("leaves the takeover of {target} to {to}"),
        Event::TakeoverStopped { target } => format!("lets {target} live"),
        Event::TakenOver { target, by, elements } => {
            format!("{target} and its {elements} elements were taken over by {by}")
        }
        Event::TakenForDead { by } => format!("was taken over by {by}, but lives"),
        Event::Synchronised { peer, elements, removed } => {
            format!("has the {elements} elements of {peer}, removed {removed}")
        }
        Event::SyncFailed { peer, reason } => format!("no table of {peer}: {reason:?}"),
        Event::Departed { handed_over, left_behind } => {
            format!("departed, handed over {handed_over}, left behind {left_behind}")
        }
        other => format!("{other:?}"),
    }
}
