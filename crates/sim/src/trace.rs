//! What happened, in lines for people.

use std::fmt::Write as _;

use rserpool_proto::time::Time;
use rserpool_wire::enrp::{Body, Enrp, UpdateAction};
use rserpool_wire::param::{Cause, PoolElement, RegistrarId};
use rserpool_wire::{Asap, Message};

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
        Asap::Registration(it) => format!(" {} in {}", element(&it.element), it.handle),
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
            format!(" {} from {}{claim}", it.handle, registrar(it.sender))
        }
        Asap::KeepAliveAck(it) => format!(" {} of {}", it.id, it.handle),
        Asap::Unreachable(it) => format!(" {} of {}", it.id, it.handle),
        Asap::Announce(it) => format!(" {}", registrar(it.sender)),
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
            format!(" {action} {} in {}{hint}", element(&it.element), it.handle)
        }
        Body::ListRequest => String::new(),
        Body::ListResponse(it) => {
            let rejected = if it.rejected { " rejected" } else { "" };
            let servers: Vec<String> = it.servers.iter().map(|s| registrar(s.id)).collect();
            format!("{rejected} [{}]", servers.join(" "))
        }
        Body::TakeoverInit(it) | Body::TakeoverAck(it) | Body::TakeoverDone(it) => {
            format!(" of {}", registrar(it.target))
        }
        Body::Error(it) => causes(it),
    }
}

fn element(element: &PoolElement) -> String {
    match element.home {
        Some(home) => format!("{} at home {home}", element.id),
        None => element.id.to_string(),
    }
}

fn ids(elements: &[PoolElement]) -> String {
    let ids: Vec<String> = elements.iter().map(element).collect();
    format!("[{}]", ids.join(", "))
}

fn registrar(id: Option<RegistrarId>) -> String {
    id.map_or_else(|| "nobody".into(), |id| id.to_string())
}

fn causes(causes: &[Cause]) -> String {
    let mut text = String::new();
    for cause in causes {
        let _ = write!(text, ", {}", cause.code);
    }
    text
}
