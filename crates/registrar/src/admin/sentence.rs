//! Events as JSON, and in words.

use std::net::{IpAddr, SocketAddr};

use rserpool::proto::registrar::{Event, LeaveReason};
use rserpool::wire::param::PoolHandle;
use serde_json::{Value, json};

/// Octets of a handle that an event keeps: a registrar may be told to take handles of 65 000.
const HANDLE_OCTETS_MAX: usize = 256;
/// Octets of a handle that a sentence has.
const SPOKEN_OCTETS_MAX: usize = 64;

/// A handle as text, or its beginning.
fn text(handle: &PoolHandle, max: usize) -> String {
    let octets = handle.as_bytes();
    match octets.get(..max).and_then(PoolHandle::new) {
        Some(beginning) if octets.len() > max => {
            format!("{beginning}… ({} octets)", octets.len())
        }
        _ => handle.to_string(),
    }
}

/// A reason as programs read it.
fn label(reason: LeaveReason) -> &'static str {
    match reason {
        LeaveReason::Deregistered => "deregistered",
        LeaveReason::AssociationLost => "association-lost",
        LeaveReason::Silent => "silent",
        LeaveReason::Reported => "reported",
        LeaveReason::Expired => "expired",
        LeaveReason::Orphaned => "orphaned",
        // There may be others some day.
        _ => "other",
    }
}

/// Why an element left, as the end of a sentence.
fn because(reason: LeaveReason) -> &'static str {
    match reason {
        LeaveReason::Deregistered => "it deregistered",
        LeaveReason::AssociationLost => "its association ended",
        LeaveReason::Silent => "it did not answer a keep-alive in time",
        LeaveReason::Reported => "users reported it as unreachable, and it did not answer",
        LeaveReason::Expired => "its registration ran out",
        LeaveReason::Orphaned => "its registrar died, and it did not answer the next one",
        _ => "for another reason",
    }
}

fn from(address: Option<SocketAddr>) -> Value {
    address.map(|address| address.to_string()).into()
}

fn at(addresses: &[IpAddr], port: Option<u16>) -> Vec<String> {
    let shown = addresses.iter().take(8).map(|&ip| match port {
        Some(port) => SocketAddr::new(ip, port).to_string(),
        None => ip.to_string(),
    });
    shown.collect()
}

/// The type of an event and what it has to say: `text` is a sentence.
pub(crate) fn of(event: &Event) -> (&'static str, Value) {
    let (kind, mut object, text) = match event {
        Event::Joined { handle, id } => {
            let spoken = text(handle, SPOKEN_OCTETS_MAX);
            ("joined", about(handle, id), format!("{id} joined {spoken}"))
        }
        Event::Left { handle, id, reason } => {
            let mut object = about(handle, id);
            object["reason"] = label(*reason).into();
            let spoken = text(handle, SPOKEN_OCTETS_MAX);
            ("left", object, format!("{id} left {spoken}: {}", because(*reason)))
        }
        Event::Moved { handle, id, to } => {
            let mut object = about(handle, id);
            object["home"] = to.to_string().into();
            let spoken = text(handle, SPOKEN_OCTETS_MAX);
            ("moved", object, format!("{id} of {spoken} has the home {to} now"))
        }
        Event::Rejected { handle, id, cause, from: address } => {
            let mut object = about(handle, id);
            object["cause"] = cause.to_string().into();
            object["from"] = from(*address);
            let spoken = text(handle, SPOKEN_OCTETS_MAX);
            let text = format!("the registration of {id} in {spoken} was rejected: {cause}");
            ("rejected", object, text)
        }
        Event::Malformed { from: address, malformed, .. } => {
            let error = malformed.error.as_ref().map(ToString::to_string);
            let what = error.unwrap_or_else(|| "parameters not understood".into());
            let object = json!({ "from": from(*address), "error": what });
            ("malformed", object, format!("a message was not understood: {what}"))
        }
        Event::LimitReached { limit, by } => {
            let by = by.map(|by| by.to_string());
            let whose = by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            let text = format!("the limit {limit} was reached{whose}");
            ("limit-reached", json!({ "limit": limit, "by": by }), text)
        }
        other => scope(other),
    };
    object["text"] = text.into();
    (kind, object)
}

fn about(handle: &PoolHandle, id: &impl ToString) -> Value {
    json!({ "pool": text(handle, HANDLE_OCTETS_MAX), "id": id.to_string() })
}

/// What happens between registrars.
fn scope(event: &Event) -> (&'static str, Value, String) {
    let peer = |peer: &dyn ToString| json!({ "peer": peer.to_string() });
    match event {
        Event::Serving { synchronised } => {
            let text = match synchronised {
                true => "serving, with the handlespace of another registrar",
                false => "serving, with an empty handlespace",
            };
            ("serving", json!({ "synchronised": synchronised }), text.into())
        }
        Event::PeerUp(id) => ("peer-up", peer(id), format!("registrar {id} is there")),
        Event::PeerSuspected(id) => {
            ("peer-suspected", peer(id), format!("registrar {id} is silent; it is asked"))
        }
        Event::PeerBack(id) => ("peer-back", peer(id), format!("registrar {id} lives")),
        Event::PeerLost(id) => ("peer-lost", peer(id), format!("registrar {id} is dead")),
        Event::TakeoverBegun { target } => {
            ("takeover-begun", peer(target), format!("taking over the elements of {target}"))
        }
        Event::TakeoverWon { target, elements } => {
            let object = json!({ "peer": target.to_string(), "elements": elements });
            ("takeover-won", object, format!("took over {elements} elements of {target}"))
        }
        Event::TakeoverLost { target, to } => {
            let object = json!({ "peer": target.to_string(), "by": to.to_string() });
            ("takeover-lost", object, format!("the elements of {target} are left to {to}"))
        }
        Event::TakeoverStopped { target } => {
            ("takeover-stopped", peer(target), format!("{target} lives and keeps its elements"))
        }
        Event::TakenOver { target, by, elements } => {
            let (peer, by) = (target.to_string(), by.to_string());
            let text = format!("{by} took over {elements} elements of {peer}");
            ("taken-over", json!({ "peer": peer, "by": by, "elements": elements }), text)
        }
        Event::TakenForDead { by } => {
            let text = format!("{by} took over this registrar, which lives: it asks back");
            ("taken-for-dead", json!({ "by": by.to_string() }), text)
        }
        Event::Synchronised { peer, elements, removed } => {
            let (peer, text) = (
                peer.to_string(),
                format!("fetched {elements} elements of {peer}; {removed} were removed"),
            );
            (
                "synchronised",
                json!({ "peer": peer, "elements": elements, "removed": removed }),
                text,
            )
        }
        Event::SyncFailed { peer, reason } => {
            let object = json!({ "peer": peer.to_string(), "reason": reason.to_string() });
            ("sync-failed", object, format!("could not fetch the elements of {peer}: {reason}"))
        }
        Event::Departed { handed_over, left_behind } => {
            let object = json!({ "handed_over": handed_over, "left_behind": left_behind });
            let text = format!("left: {handed_over} elements handed over, {left_behind} not");
            ("departed", object, text)
        }
        other => complaint(other),
    }
}

/// What an operator should know of others.
fn complaint(event: &Event) -> (&'static str, Value, String) {
    match event {
        Event::DuplicateId { addresses, port } => {
            let at = at(addresses, *port);
            let text = format!("another registrar has this identifier: {}", at.join(", "));
            ("duplicate-id", json!({ "addresses": at }), text)
        }
        Event::Misbehaviour { peer, addresses, port, what } => {
            let (peer, at) = (peer.map(|peer| peer.to_string()), at(addresses, *port));
            let who = peer.clone().unwrap_or_else(|| at.join(", "));
            let object = json!({ "peer": peer, "addresses": at, "what": what.to_string() });
            ("misbehaviour", object, format!("registrar {who} {what}"))
        }
        Event::Conflict { peer, handle, id, cause, from: address } => {
            let mut object = about(handle, id);
            object["peer"] = peer.to_string().into();
            object["cause"] = cause.to_string().into();
            object["from"] = from(*address);
            let spoken = text(handle, SPOKEN_OCTETS_MAX);
            let text = format!("{id} of {spoken} at {peer} does not go with the pool: {cause}");
            ("conflict", object, text)
        }
        Event::PeersFull => {
            ("peers-full", json!({}), "there is no room for more registrars".into())
        }
        Event::OtherDialect { peer, from: address } => {
            let object = json!({ "peer": peer.to_string(), "from": from(*address) });
            ("other-dialect", object, format!("registrar {peer} speaks as rsplib does"))
        }
        other => ("other", json!({}), format!("{other:?}")),
    }
}
