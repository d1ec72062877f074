//! How long clients of ping-pong have no answer when their server is killed, or frozen.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{
    ADDRESSES, GOT_COOKIE, IDS, Lab, MOVED, PATIENCE, PATIENT, Process, Service, our_client,
    server_of, summary, their_client, theirs, wait_for,
};
use crate::interop::rsplib::rspregistrar;

/// Ping-pong at its quickest, the used server killed, and then the next one frozen: rsplib's
/// programs with its registrar, then ours with ours. How long there was no answer.
pub(in crate::interop) fn run(lab: &mut Lab) -> anyhow::Result<Value> {
    lab.addresses(&ADDRESSES)?;
    let theirs = of_theirs(lab)?;
    let ours = of_ours(lab)?;
    let result = json!({ "rsplib_ms": theirs, "ours_ms": ours });
    ensure!(ours.iter().all(Option::is_some), "ours did not go on: {result}");
    Ok(result)
}

/// Between two questions of both clients.
const QUICKLY: &str = "10";
/// rsplib's client never finds out that its server is frozen: after so long without an answer that is
/// what is reported. No failure.
const FROZEN_MAX: Duration = Duration::from_secs(30);

fn of_theirs(lab: &Lab) -> anyhow::Result<[Option<f64>; 2]> {
    let _registrar = rspregistrar(lab)?;
    let service = Service { pool: "PingPongPool", theirs: &["-pingpong"], ours: &[] };
    let [first, second, third] = IDS;
    let elements = [
        theirs(lab, &service, first, 3)?,
        theirs(lab, &service, second, 2)?,
        theirs(lab, &service, third, 1)?,
    ];
    elements.iter().try_for_each(|element| element.logs(REGISTERED, PATIENCE))?;
    let client = their_client(lab, "pingpongclient", &[&format!("-interval={QUICKLY}")])?;
    client.logs(GOT_COOKIE, PATIENCE)?;
    let id = answer_within(&client, PATIENCE)?;
    ensure!(id == Some(first), "rsplib's client is at {id:x?}");
    let mut pauses = [None; 2];
    for (number, signal) in [Signal::KILL, Signal::STOP].into_iter().enumerate() {
        let mut last = Instant::now();
        // What was printed before is old.
        while client.line_within(Duration::ZERO)?.is_some() {}
        elements[number].signal(signal)?;
        while let Some(id) = answer_within(&client, FROZEN_MAX)? {
            if id == IDS[number + 1] {
                pauses[number] = Some(as_ms(last.elapsed()));
                break;
            }
            last = Instant::now();
        }
        if signal == Signal::STOP {
            elements[number].signal(Signal::CONT)?;
        }
    }
    Ok(pauses)
}

/// What an element of rsplib's logs when its registrar has it.
const REGISTERED: &str = "Registration result is: okay";

/// Who answers rsplib's client next, if anybody does in time.
fn answer_within(client: &Process, limit: Duration) -> anyhow::Result<Option<u32>> {
    let deadline = Instant::now() + limit;
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        let Some(line) = client.line_within(left)? else { break };
        let from = line.split_once(" from PE $").filter(|(start, _)| start.contains("Ack #"));
        if let Some((id, _)) = from.and_then(|(_, rest)| rest.split_once(' ')) {
            return Ok(Some(u32::from_str_radix(id, 16).context("an element's identifier")?));
        }
    }
    Ok(None)
}

fn of_ours(lab: &Lab) -> anyhow::Result<[Option<f64>; 2]> {
    // Beside rsplib's, which may not have left its port yet.
    let registrar = "sctp+kernel://10.0.0.1:3873";
    let config = lab.config("registrar", PATIENT)?;
    let arguments = ["registrar", "--asap", registrar, "--config", &config];
    let _registrar = lab.serving("registrar", &arguments)?;
    let start = |(id, priority): (u32, u32)| {
        let (id, policy) = (id.to_string(), format!("priority:{priority}"));
        let head = ["serve", "pingpong", "--id", &id, "--policy", &policy];
        let tail = ["--listen", "10.0.0.3", "--registrar", registrar, "--wait", "60s"];
        lab.serving(&format!("ours-{id}"), &[&head[..], &tail].concat())
    };
    let elements = IDS.into_iter().zip([3, 2, 1]).map(start).collect::<Result<Vec<_>, _>>()?;
    let interval = format!("{QUICKLY}ms");
    let keep_alive = ["--wait", "--keep-alive", "50ms", "--keep-alive-deadline", "150ms"];
    let head = ["--interval", &interval, "--registrar", registrar];
    let mut client = our_client(lab, "pingpong", &[&head[..], &keep_alive].concat())?;
    let mut failed = Vec::new();
    for signal in [Signal::KILL, Signal::STOP] {
        // Where the machine is busy it may have left a server that lives.
        let (id, logged) = wait_for("a server", PATIENCE, || {
            let log = client.log()?;
            Ok(server_of(&log)?.map(|id| (id, log.len())))
        })?;
        let used = IDS.iter().position(|known| *known == id).context("a stranger")?;
        elements[used].signal(signal)?;
        wait_for("another server", PATIENCE, || {
            let log = client.log()?;
            let since = log.get(logged..).unwrap_or_default();
            let has_left = since.contains(&format!("{MOVED}{id:#010x} "));
            Ok((has_left && server_of(&log)?.is_some()).then_some(()))
        })?;
        failed.push(id);
    }
    client.signal(Signal::TERM)?;
    let summary = summary(&mut client)?;
    let moves = summary["moves"].as_array().context("no moves")?;
    let pause = |id: &u32| {
        let id = format!("{id:#010x}");
        moves.iter().rfind(|one| one["from"] == id)?["pause_ms"].as_f64()
    };
    Ok([pause(&failed[0]), pause(&failed[1])])
}

/// In milliseconds, to a tenth.
fn as_ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}
