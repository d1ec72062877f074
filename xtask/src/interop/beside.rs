//! Our programs beside rsplib's, in the same guest, asked by the same client: what a request costs
//! the registrar, and how long the end of an element goes unnoticed.
//!
//! Seconds of a guest tell little: system calls are a hundred times slower there than elsewhere.
//! Instructions (callgrind) and system calls (strace) are the same everywhere.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::lab::{Lab, PATIENCE};
use super::octets::{
    ASAP, HANDLE_RESOLUTION, HANDLE_RESOLUTION_RESPONSE, POOL_HANDLE, REGISTRATION,
    REGISTRATION_RESPONSE, Speaker, element, message, parameter,
};
use super::pool::millis;
use super::process::{Process, wait_for};

mod failures;

const ADDRESSES: [&str; 4] = ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24", "10.0.0.4/24"];
const POOL: &str = "EchoPool";
const CLIENT: [u8; 4] = [10, 0, 0, 4];
/// What a run has in common with the one that it is compared with.
const BEFORE: u32 = 100;
const REQUESTS: u32 = 1000;
/// How long a registrar may take to start under callgrind.
const START_MAX: Duration = Duration::from_secs(90);
/// Requests at once.
const BATCH: u32 = 50;

/// Whose registrar.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Whose {
    Ours,
    Rsplib,
}

/// What is asked in a run, after the first registrations.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Load {
    Nothing,
    /// Registrations of new elements, so many at once.
    Registrations(u32),
    /// Resolutions for one element, so many at once.
    Resolutions(u32),
}

/// What counts what a registrar does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Meter {
    /// User-space instructions.
    Callgrind,
    /// System calls.
    Strace,
}

/// Costs and failure times of both.
pub(super) fn run(lab: &mut Lab) -> anyhow::Result<Value> {
    lab.addresses(&ADDRESSES)?;
    let mut result = json!({ "requests": REQUESTS, "at_once": BATCH });
    for whose in [Whose::Ours, Whose::Rsplib] {
        let name = if whose == Whose::Ours { "ours" } else { "rsplib" };
        result[name] = json!({
            "instructions": costs(lab, whose, Meter::Callgrind)?,
            "system_calls": costs(lab, whose, Meter::Strace)?,
            "cpu_ms": cpu(lab, whose)?,
            "failures": failures::run(lab, whose)?,
        });
    }
    Ok(result)
}

/// Per request: the difference between a run with requests and one without.
fn costs(lab: &Lab, whose: Whose, meter: Meter) -> anyhow::Result<Value> {
    let nothing = count(lab, whose, meter, Load::Nothing)?;
    let cost = |load| -> anyhow::Result<f64> {
        let total = count(lab, whose, meter, load)?.saturating_sub(nothing);
        let tenths = total * 10 / u64::from(REQUESTS);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        Ok(tenths as f64 / 10.0)
    };
    Ok(json!({
        "registration": cost(Load::Registrations(1))?,
        "resolution": cost(Load::Resolutions(1))?,
        "registration_of_many": cost(Load::Registrations(BATCH))?,
        "resolution_of_many": cost(Load::Resolutions(BATCH))?,
    }))
}

/// What a meter counts in one run.
fn count(lab: &Lab, whose: Whose, meter: Meter, load: Load) -> anyhow::Result<u64> {
    let calls = lab.out().join("calls");
    let _ = std::fs::remove_file(&calls);
    let wrapper = match meter {
        Meter::Callgrind => {
            let none = "--callgrind-out-file=/dev/null";
            ["valgrind", "--tool=callgrind", none].map(String::from).to_vec()
        }
        Meter::Strace => {
            // As a grandchild, so that signals go to the registrar.
            // Elsewhere than in the guest a look at the clock is no system call.
            let clock = "trace=!clock_gettime,gettimeofday,time";
            let words = ["strace", "-D", "-f", "-c", "-e", clock, "-o"];
            words.into_iter().map(String::from).chain([calls.display().to_string()]).collect()
        }
    };
    let mut registrar = start(lab, whose, &wrapper)?;
    let mut client = connect(lab)?;
    ask(&mut client, Load::Registrations(1), BEFORE, 1)?;
    ask(&mut client, load, REQUESTS, BEFORE + 1)?;
    // Before the client goes: what its end costs is no cost of a request.
    registrar.signal(if whose == Whose::Ours { Signal::TERM } else { Signal::INT })?;
    registrar.wait(PATIENCE)?;
    drop(client);
    match meter {
        Meter::Callgrind => collected(&lab.out().join("registrar.log")),
        Meter::Strace => wait_for("strace", PATIENCE, || called(&calls)),
    }
}

/// The registrar's processor time per request in milliseconds, without any meter.
fn cpu(lab: &Lab, whose: Whose) -> anyhow::Result<Value> {
    let registrar = start(lab, whose, &[])?;
    let mut client = connect(lab)?;
    ask(&mut client, Load::Registrations(1), BEFORE, 1)?;
    let mut spent = Vec::new();
    for load in [Load::Registrations(1), Load::Resolutions(1)] {
        let before = registrar.cpu_time()?;
        ask(&mut client, load, REQUESTS, BEFORE + 1)?;
        spent.push((registrar.cpu_time()? - before).as_secs_f64() * 1e3 / f64::from(REQUESTS));
    }
    let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
    Ok(json!({ "registration": rounded(spent[0]), "resolution": rounded(spent[1]) }))
}

/// Asks so often; elements have numbers from `first` on.
fn ask(client: &mut Speaker, load: Load, times: u32, first: u32) -> anyhow::Result<()> {
    let handle = parameter(POOL_HANDLE, POOL.as_bytes());
    let one_item = parameter(0x803f, &1_u32.to_be_bytes());
    let (at_once, kind) = match load {
        Load::Nothing => return Ok(()),
        Load::Registrations(at_once) => (at_once, REGISTRATION_RESPONSE),
        Load::Resolutions(at_once) => (at_once, HANDLE_RESOLUTION_RESPONSE),
    };
    for batch in 0..times / at_once {
        for number in 0..at_once {
            let id = first + batch * at_once + number;
            let octets = match load {
                Load::Resolutions(_) => message(HANDLE_RESOLUTION, 0, &[&handle, &one_item]),
                _ => message(REGISTRATION, 0, &[&handle, &element(id, 0, CLIENT, &[])]),
            };
            client.say(ASAP, &octets)?;
        }
        for _ in 0..at_once {
            let answer = client.hears_of(kind, PATIENCE)?.context("no answer")?;
            ensure!(answer[1] == 0, "the registrar refuses: {answer:02x?}");
        }
    }
    Ok(())
}

/// Starts a registrar that logs nothing, and whose keep-alives do not come in between.
fn start(lab: &Lab, whose: Whose, wrapper: &[String]) -> anyhow::Result<Process> {
    let mut words: Vec<String> = wrapper.to_vec();
    match whose {
        Whose::Ours => {
            let config = lab.config("registrar", "[timing]\nkeep_alive_interval = \"10min\"\n")?;
            words.push(lab.program().display().to_string());
            let more = ["registrar", "--id", "0x11", "--dialect", "rsplib", "--asap"];
            words.extend(more.map(String::from));
            words.extend(["sctp+kernel://10.0.0.1:3863".into(), "--config".into(), config]);
        }
        Whose::Rsplib => {
            words.extend(
                ["rspregistrar", "-identifier=0x11", "-asap=10.0.0.1:3863"].map(String::from),
            );
            words.extend(["-enrp=10.0.0.1:9901", "-asapannounce=off"].map(String::from));
            words.extend(["-enrpannounce=off", QUIET].map(String::from));
        }
    }
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    Process::start("registrar", &mut command, lab.out())
}
const QUIET: &str = "-endpointkeepalivetransmissioninterval=300000";

/// Waits until the registrar is there.
fn connect(lab: &Lab) -> anyhow::Result<Speaker> {
    wait_for("a registrar", START_MAX, || {
        Ok(Speaker::start(lab, "client", "10.0.0.4:4000", "10.0.0.1:3863").ok())
    })
}

/// `==12== Collected : 123456`
fn collected(log: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(log)?;
    let (_, rest) = text.split_once("Collected :").context("callgrind counted nothing")?;
    let number = rest.split_whitespace().next().and_then(|word| word.parse().ok());
    number.with_context(|| format!("callgrind says {rest}"))
}

/// The line `100.00 0.012 1 4321 12 total`: calls are the fourth column. None: not written yet.
fn called(calls: &Path) -> anyhow::Result<Option<u64>> {
    let Ok(text) = std::fs::read_to_string(calls) else { return Ok(None) };
    let total = text.lines().find(|line| line.trim_end().ends_with("total"));
    Ok(total.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()))
}
