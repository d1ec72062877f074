//! Events as JSON, and in words.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rserpool::proto::registrar::{Event, Evidence, LeaveReason};
use rserpool::wire::param::PoolHandle;
use serde_json::{Value, json};

use super::elements::carrier_name;
use super::ms;

/// Octets of a handle that an event keeps: a registrar may be told to take handles of 65 000.
const HANDLE_OCTETS_MAX: usize = 256;
/// Octets of a handle that a sentence has.
const SPOKEN_OCTETS_MAX: usize = 64;

/// A reason as programs read it.
fn label(reason: LeaveReason) -> &'static str {
    match reason {
        LeaveReason::Deregistered => "deregistered",
        LeaveReason::AssociationLost => "association-lost",
        LeaveReason::Silent => "silent",
        LeaveReason::Reported => "reported",
        LeaveReason::Expired => "expired",
        LeaveReason::Orphaned => "orphaned",
        LeaveReason::Evicted => "evicted",
        // There may be others some day.
        _ => "other",
    }
}

/// Why an element left, as the end of a sentence.
fn because(reason: LeaveReason, evidence: &Evidence) -> String {
    let Evidence { remote, heard_ago, asked_ago, round_trip, reports, .. } = evidence;
    let span = |span: &Option<Duration>| span.map(spoken_span).unwrap_or_default();
    match reason {
        LeaveReason::Deregistered => "it deregistered".into(),
        LeaveReason::AssociationLost => match (remote, evidence.carrier, heard_ago) {
            (Some(remote), Some(carrier), Some(_)) => {
                let (carrier, heard) = (carrier_name(carrier), span(heard_ago));
                format!(
                    "its association from {remote} ({carrier}) ended, {heard} after its last message"
                )
            }
            _ => "its association ended".into(),
        },
        LeaveReason::Silent | LeaveReason::Reported => {
            let mut text = String::from("silent");
            if asked_ago.is_some() {
                text += &format!("; asked {} before, no answer", span(asked_ago));
            }
            if round_trip.is_some() {
                text += &format!(" (it used to answer in {})", span(round_trip));
            }
            match reports {
                0 => {}
                1 => text += "; 1 user had reported it",
                more => text += &format!("; {more} users had reported it"),
            }
            text
        }
        LeaveReason::Expired => "its registration ran out".into(),
        LeaveReason::Orphaned => "its registrar died, and it did not answer the next one".into(),
        LeaveReason::Evicted => "an operator evicted it".into(),
        _ => "for another reason".into(),
    }
}

/// A handle as events have it.
pub(super) fn shown_handle(handle: &PoolHandle) -> String {
    handle.shortened(HANDLE_OCTETS_MAX)
}

/// A span as people say it.
pub(super) fn spoken_span(span: Duration) -> String {
    match span.as_secs_f64() {
        seconds if seconds < 0.01 => format!("{:.1} ms", seconds * 1e3),
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        seconds => format!("{seconds:.1} s"),
    }
}

/// What was known of an element when it was removed, as JSON.
fn shown(evidence: &Evidence) -> Value {
    json!({
        "remote": from(evidence.remote),
        "carrier": evidence.carrier.map(carrier_name),
        "heard_ms_ago": evidence.heard_ago.map(ms),
        "asked_ms_ago": evidence.asked_ago.map(ms),
        "rtt_ms": evidence.round_trip.map(ms),
        "extensions": evidence.extensions,
        "reports": evidence.reports,
    })
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
            let spoken = handle.shortened(SPOKEN_OCTETS_MAX);
            ("joined", about(handle, id), format!("{id} joined {spoken}"))
        }
        Event::Left { handle, id, reason, evidence } => {
            let mut object = about(handle, id);
            object["reason"] = label(*reason).into();
            object["evidence"] = shown(evidence);
            let spoken = handle.shortened(SPOKEN_OCTETS_MAX);
            ("left", object, format!("{id} left {spoken}: {}", because(*reason, evidence)))
        }
        Event::Moved { handle, id, to } => {
            let mut object = about(handle, id);
            object["home"] = to.to_string().into();
            let spoken = handle.shortened(SPOKEN_OCTETS_MAX);
            ("moved", object, format!("{id} of {spoken} has the home {to} now"))
        }
        Event::Rejected { handle, id, cause, from: address } => {
            let mut object = about(handle, id);
            object["cause"] = cause.to_string().into();
            object["from"] = from(*address);
            let spoken = handle.shortened(SPOKEN_OCTETS_MAX);
            let text = format!("the registration of {id} in {spoken} was rejected: {cause}");
            ("rejected", object, text)
        }
        Event::Malformed { from: address, malformed, .. } => {
            let error = malformed.error.as_ref().map(ToString::to_string);
            let what = error.unwrap_or_else(|| "parameters not understood".into());
            let object = json!({ "from": from(*address), "error": what });
            ("malformed", object, format!("a message was not understood: {what}"))
        }
        Event::Held { handle, id, lasting } => {
            let spoken = handle.shortened(SPOKEN_OCTETS_MAX);
            let text = format!("{id} of {spoken} is not listed for {}", lasted(*lasting));
            ("held", lasting_for(handle, id, *lasting), text)
        }
        Event::Released { handle, id, has_run_out } => {
            let mut object = about(handle, id);
            object["has_run_out"] = (*has_run_out).into();
            let spoken = handle.shortened(SPOKEN_OCTETS_MAX);
            ("released", object, format!("{id} of {spoken} may be listed again"))
        }
        Event::Banned { handle, id, lasting } => {
            let spoken = handle.shortened(SPOKEN_OCTETS_MAX);
            let text = format!("{id} may not register in {spoken} for {}", lasted(*lasting));
            ("banned", lasting_for(handle, id, *lasting), text)
        }
        Event::Refused { who, from: address, verb, handle, denial } => {
            let pool = handle.as_ref().map(|handle| handle.shortened(HANDLE_OCTETS_MAX));
            let who = who.as_ref().map_or_else(|| "anonymous".to_owned(), ToString::to_string);
            let object = json!({
                "who": who, "from": from(*address), "verb": verb.label(), "pool": pool,
                "why": denial.to_string(),
            });
            ("refused", object, format!("{who} was refused to {verb}: {denial}"))
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

fn lasting_for(handle: &PoolHandle, id: &impl ToString, lasting: Duration) -> Value {
    let mut object = about(handle, id);
    object["for_ms"] = ms(lasting).into();
    object
}

fn lasted(lasting: Duration) -> impl std::fmt::Display {
    humantime::format_duration(lasting)
}

fn about(handle: &PoolHandle, id: &impl ToString) -> Value {
    json!({ "pool": handle.shortened(HANDLE_OCTETS_MAX), "id": id.to_string() })
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
            let spoken = handle.shortened(SPOKEN_OCTETS_MAX);
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

#[cfg(test)]
mod tests {
    use rserpool::proto::machine::Carrier;

    use super::*;

    fn evidence(change: impl FnOnce(&mut Evidence)) -> Evidence {
        let mut evidence = Evidence::default();
        change(&mut evidence);
        evidence
    }

    #[test]
    fn a_removal_says_why_in_words() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let nothing = Evidence::default();
        let ended = evidence(|it| {
            it.remote = "10.0.0.7:4711".parse().ok();
            (it.carrier, it.heard_ago) = (Some(Carrier::Tcp), ms(412));
        });
        let silent = evidence(|it| {
            (it.asked_ago, it.reports) = (ms(1400), 2);
            it.round_trip = Some(Duration::from_micros(400));
        });
        use LeaveReason::{
            AssociationLost, Deregistered, Evicted, Expired, Orphaned, Reported, Silent,
        };
        for (reason, evidence, text) in [
            (Deregistered, &nothing, "it deregistered"),
            (AssociationLost, &nothing, "its association ended"),
            (
                AssociationLost,
                &ended,
                "its association from 10.0.0.7:4711 (tcp) ended, 412 ms after its last message",
            ),
            (Silent, &nothing, "silent"),
            (
                Silent,
                &silent,
                "silent; asked 1.4 s before, no answer (it used to answer in 0.4 ms); 2 users had \
                 reported it",
            ),
            (Reported, &evidence(|it| it.reports = 1), "silent; 1 user had reported it"),
            (Expired, &nothing, "its registration ran out"),
            (Evicted, &nothing, "an operator evicted it"),
            (Orphaned, &nothing, "its registrar died, and it did not answer the next one"),
        ] {
            assert_eq!(because(reason, evidence), text);
        }
    }
}
