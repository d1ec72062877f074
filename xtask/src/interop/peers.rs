//! Registrars of rsplib and ours that share a handlespace. Each has an address of its own:
//! registrar `n` is at 10.0.0.n, and its identifier is n times 0x11111111.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::asap::Client;
use super::lab::{Lab, PATIENCE, PATIENT};
use super::octets::{DELETE, ENRP, Speaker, presence, update};
use super::pool::millis;
use super::process::{Process, wait_for};
use super::rsplib::{LOG, SERVES, rspserver};

pub(super) mod arbitration;

const ADDRESSES: [&str; 5] =
    ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24", "10.0.0.4/24", "10.0.0.5/24"];
const POOL: &str = "EchoPool";
/// Registrars of rsplib, and one of ours.
const FIRST: u32 = 1;
const OURS: u32 = 2;
const LAST: u32 = 3;
/// One of ours that speaks as the RFCs say.
const STRICT: u32 = 5;
/// Elements of rsplib at the first and at the last one, and one of ours.
const AT_FIRST: u32 = 0xec40_0001;
const AT_OURS: u32 = 0x22;
const AT_LAST: u32 = 0xec40_0003;
/// rsplib finds a dead registrar sooner than by default. What others have to answer in time they have
/// time for also where the machine is busy.
const QUICK: [&str; 4] = [
    "-peerheartbeatcycle=1000",
    "-peermaxtimelastheard=3000",
    "-peermaxtimenoresponse=3000",
    "-takeoverexpiryinterval=20000",
];
/// Ours asks rsplib's for the handlespace until it is told, and does not miss one that is frozen.
const SHARING: &str = "start_timeout = \"60s\"
[timing]
peer_silence_max = \"60s\"
";
/// What rsplib logs when the checksum of our registrar is another one than it should be.
const AUDIT: &str = "Handle Table synchronization with peer $22222222 is necessary";
/// What rsplib's registrar logs when it has begun: nobody takes over with it before.
const READY: &str = "The registrar is ready!";

/// Elements and their homes.
type Table = BTreeMap<u32, u32>;

/// Either is the other's mentor, both tell and hear updates, and what was lost comes back.
pub(super) fn share(lab: &mut Lab) -> anyhow::Result<Value> {
    lab.addresses(&ADDRESSES)?;
    let first = theirs(lab, FIRST, &[OURS], &[])?;
    let _at_first = element_of_theirs(lab, AT_FIRST, FIRST)?;
    first.logs("Successfully reg", PATIENCE)?;

    // Its mentor is rsplib's: when it serves it knows the element.
    let started = Instant::now();
    let _ours = ours(lab, OURS, &[FIRST, LAST], "rsplib", SHARING)?;
    let joined = started.elapsed();
    let mut client = Client::connect("10.0.0.2:3863")?;
    ensure!(table_of(&mut client)? == Table::from([(AT_FIRST, id(FIRST))]), "what did it fetch?");
    let mut at_ours = element_of_ours(lab, AT_OURS, &[OURS])?;

    // Our registrar is the mentor.
    let _last = theirs(lab, LAST, &[OURS], &[])?;
    let both = Table::from([(AT_FIRST, id(FIRST)), (AT_OURS, id(OURS))]);
    shows(lab, LAST, &both)?;
    shows(lab, FIRST, &both)?;
    let url = |n: u32| format!("sctp+kernel://{}:9901", address(n));
    for (n, dialect) in [(FIRST, "rsplib"), (OURS, "rfc"), (LAST, "rsplib")] {
        let arguments = ["dump", "--enrp", &url(n), "--dialect", dialect, "--timeout", "60s"];
        let pools = lab.ask(&format!("dump-{n}"), &arguments)?;
        let elements = pools[0]["elements"].as_array().map_or(0, Vec::len);
        ensure!(elements == both.len(), "registrar {n} tells {pools}");
    }
    shows(lab, OURS, &both)?;

    // An element comes and goes at rsplib's: ours hears it.
    let comes = element_of_theirs(lab, AT_LAST, LAST)?;
    wait_for("an update of rsplib", PATIENCE, || holds(&mut client, AT_LAST, Some(LAST)))?;
    let started = Instant::now();
    comes.signal(Signal::KILL)?;
    wait_for("its end", PATIENCE, || holds(&mut client, AT_LAST, None))?;
    let gone = started.elapsed();

    let repaired = repair_theirs(lab, &first)?;
    believes_no_stranger(lab, &first, &mut client)?;

    // One of ours leaves: rsplib's hear it.
    at_ours.signal(Signal::TERM)?;
    ensure!(at_ours.wait(PATIENCE)?.success(), "an element that leaves does not end well");
    shows(lab, FIRST, &Table::from([(AT_FIRST, id(FIRST))]))?;

    // One that speaks as the RFCs say notices where it is.
    let strict = ours(lab, STRICT, &[FIRST], "rfc", "")?;
    strict.logs("start ours with --dialect rsplib", PATIENCE)?;
    Ok(json!({
        "joined_ms": millis(&[joined])[0],
        "killed_at_theirs_gone_at_ours_ms": millis(&[gone])[0],
        "repaired_at_theirs_ms": millis(&[repaired])[0],
    }))
}

/// rsplib lets anyone delete anything: what it lost of ours comes back, for ours tells it a checksum
/// that does not agree.
fn repair_theirs(lab: &Lab, first: &Process) -> anyhow::Result<Duration> {
    let mut forger = Speaker::start(lab, "forger-1", "10.0.0.4:9901", "10.0.0.1:9901")?;
    let stranger = id(4);
    forger.say(ENRP, &presence(stranger, [10, 0, 0, 4]))?;
    let audits = |log: &str| log.matches(AUDIT).count();
    let before = audits(&first.log()?);
    let started = Instant::now();
    forger.say(ENRP, &update(stranger, DELETE, POOL, AT_OURS, [10, 0, 0, 2]))?;
    wait_for("rsplib's audit", PATIENCE, || Ok((audits(&first.log()?) > before).then_some(())))?;
    let repaired = started.elapsed();
    shows(lab, FIRST, &Table::from([(AT_FIRST, id(FIRST)), (AT_OURS, id(OURS))]))?;
    Ok(repaired)
}

/// Someone says in the name of rsplib's registrar, which is frozen meanwhile, that its element is gone:
/// ours does not believe it.
fn believes_no_stranger(lab: &Lab, first: &Process, client: &mut Client) -> anyhow::Result<()> {
    let mut forger = Speaker::start(lab, "forger-2", "10.0.0.5:9901", "10.0.0.2:9901")?;
    first.signal(Signal::STOP)?;
    forger.say(ENRP, &presence(id(FIRST), [10, 0, 0, 1]))?;
    forger.say(ENRP, &update(id(FIRST), DELETE, POOL, AT_FIRST, [10, 0, 0, 1]))?;
    let is_there = |client: &mut Client| -> anyhow::Result<bool> {
        Ok(holds(client, AT_FIRST, Some(FIRST))?.is_some())
    };
    ensure!(is_there(client)?, "a stranger has deleted an element");
    first.signal(Signal::CONT)?;
    shows(lab, OURS, &Table::from([(AT_FIRST, id(FIRST)), (AT_OURS, id(OURS))]))?;
    ensure!(is_there(client)?, "a stranger has deleted an element");
    Ok(())
}

/// Three registrars, two of them rsplib's: one of those dies, and ours takes it over; then ours
/// freezes, and is taken over by them. Their elements live all the time.
pub(super) fn take_over(lab: &mut Lab) -> anyhow::Result<Value> {
    lab.addresses(&ADDRESSES)?;
    let first = theirs(lab, FIRST, &[OURS, LAST], &QUICK)?;
    let last = theirs(lab, LAST, &[FIRST, OURS], &QUICK)?;
    let ours = ours(lab, OURS, &[FIRST, LAST], "rsplib", PATIENT)?;
    let mut client = Client::connect("10.0.0.2:3863")?;
    let _elements = (
        element_of_theirs(lab, AT_FIRST, FIRST)?,
        element_of_theirs(lab, AT_LAST, LAST)?,
        element_of_ours(lab, AT_OURS, &[OURS])?,
    );
    let began = [(AT_FIRST, id(FIRST)), (AT_OURS, id(OURS)), (AT_LAST, id(LAST))].into();
    agrees(&mut client, &began)?;
    [FIRST, LAST].into_iter().try_for_each(|n| answers(lab, n, &began))?;
    [&first, &last].into_iter().try_for_each(|registrar| registrar.logs(READY, PATIENCE))?;

    let started = Instant::now();
    drop(first);
    let taken = [(AT_FIRST, id(OURS)), (AT_OURS, id(OURS)), (AT_LAST, id(LAST))].into();
    agrees(&mut client, &taken)?;
    let by_ours = started.elapsed();
    ours.logs("takeover won", PATIENCE)?;

    // It comes back: rsplib cannot take over where nobody else is left to agree.
    let asked = |log: &str| log.matches(ASKED_BY_FIRST).count();
    let before = asked(&last.log()?);
    let first = theirs(lab, FIRST, &[OURS, LAST], &QUICK)?;
    first.logs(READY, PATIENCE)?;
    wait_for("the first again", PATIENCE, || {
        let is_known = ours.log()?.contains("peer is there again peer=0x11111111");
        Ok((is_known && asked(&last.log()?) > before).then_some(()))
    })?;
    [FIRST, LAST].into_iter().try_for_each(|n| answers(lab, n, &taken))?;
    let started = Instant::now();
    ours.signal(Signal::STOP)?;
    let resolve = |scope: &[u32]| -> anyhow::Result<Option<Table>> {
        let table = resolved(lab, LAST)?;
        let is_taken = table.len() == 3 && !table.values().any(|home| scope.contains(home));
        Ok(is_taken.then_some(table))
    };
    wait_for("a takeover by rsplib", PATIENCE, || resolve(&[id(OURS)]))?;
    let by_theirs = started.elapsed();
    let started = Instant::now();
    ours.signal(Signal::CONT)?;
    wait_for("agreement with one that slept", PATIENCE, || {
        let table = resolved(lab, LAST)?;
        Ok((table.len() == 3 && table_of(&mut client)? == table).then_some(()))
    })?;
    let thawed = started.elapsed();

    Ok(json!({
        "taken_over_by_ours_ms": millis(&[by_ours])[0],
        "taken_over_by_theirs_ms": millis(&[by_theirs])[0],
        "thawed_ms": millis(&[thawed])[0],
    }))
}

/// What the last registrar logs when the first one makes itself known.
const ASKED_BY_FIRST: &str = "Got ListRequest from peer $11111111";

fn id(n: u32) -> u32 {
    n * 0x1111_1111
}

fn address(n: u32) -> String {
    format!("10.0.0.{n}")
}

/// Starts a registrar of rsplib and waits until elements and users can come.
fn theirs(lab: &Lab, n: u32, peers: &[u32], more: &[&str]) -> anyhow::Result<Process> {
    let start = || start_theirs(lab, n, peers, more);
    let mut process = start()?;
    wait_for("a registrar of rsplib", PATIENCE, || {
        // Its ports may be in use for a while by what is left of one before: it ends then.
        if process.has_ended()? {
            process = start()?;
        }
        Ok(process.log()?.contains(SERVES).then_some(()))
    })?;
    Ok(process)
}

fn start_theirs(lab: &Lab, n: u32, peers: &[u32], more: &[&str]) -> anyhow::Result<Process> {
    let label = format!("rspregistrar-{n}");
    let mut command = Command::new("rspregistrar");
    command.arg(format!("-identifier={:#x}", id(n)));
    command.arg(format!("-asap={}:3863", address(n)));
    command.arg(format!("-enrp={}:9901", address(n)));
    command.args(["-asapannounce=off", "-enrpannounce=off"]).args(LOG).args(more);
    command.args(peers.iter().map(|&peer| format!("-peer={}:9901", address(peer))));
    Process::start(&label, &mut command, lab.out())
}

/// Starts our registrar, configured so, and waits until it serves.
fn ours(lab: &Lab, n: u32, peers: &[u32], dialect: &str, config: &str) -> anyhow::Result<Process> {
    let label = format!("registrar-{n}");
    let config = lab.config(&label, config)?;
    let (id, url) = (format!("{:#x}", id(n)), |n, port| format!("sctp+kernel://10.0.0.{n}:{port}"));
    let tcp = format!("tcp://{}:3863", address(n));
    let (asap, enrp) = (url(n, 3863), url(n, 9901));
    let mut arguments = vec!["registrar", "--id", &id, "--dialect", dialect, "--asap", &tcp];
    arguments.extend(["--asap", &asap, "--enrp", &enrp, "--config", &config]);
    let peers: Vec<String> = peers.iter().map(|&peer| url(peer, 9901)).collect();
    arguments.extend(peers.iter().flat_map(|peer| ["--peer", peer]));
    lab.serving(&label, &arguments)
}

fn element_of_theirs(lab: &Lab, id: u32, registrar: u32) -> anyhow::Result<Process> {
    let at = address(registrar);
    rspserver(lab, id, &format!("{at}:0"), POOL, "RoundRobin", &format!("{at}:3863"))
}

fn element_of_ours(lab: &Lab, id: u32, registrars: &[u32]) -> anyhow::Result<Process> {
    let (label, id) = (format!("element-{id:x}"), id.to_string());
    let urls: Vec<String> =
        registrars.iter().map(|&n| format!("sctp+kernel://{}:3863", address(n))).collect();
    let mut arguments = vec!["serve", "echo", "--id", &id, "--listen", "10.0.0.2"];
    arguments.extend(["--dialect", "rsplib", "--wait", "60s"]);
    arguments.extend(urls.iter().flat_map(|url| ["--registrar", url]));
    lab.serving(&label, &arguments)
}

/// What our registrar has.
fn table_of(client: &mut Client) -> anyhow::Result<Table> {
    Ok(client.resolve(POOL)?.iter().map(|element| (element.id, element.home)).collect())
}

/// Whether our registrar has an element, and at which home.
fn holds(client: &mut Client, element: u32, home: Option<u32>) -> anyhow::Result<Option<()>> {
    Ok((table_of(client)?.get(&element).copied() == home.map(id)).then_some(()))
}

/// Waits until our registrar has exactly this. No element may be missing for a moment once it is
/// there.
fn agrees(client: &mut Client, expected: &Table) -> anyhow::Result<()> {
    let mut seen = Table::new();
    let result = wait_for("what our registrar should have", PATIENCE, || {
        let table = table_of(client)?;
        if let Some(lost) = seen.keys().find(|element| !table.contains_key(element)) {
            bail!("our registrar has lost element {lost:#x}");
        }
        seen = table;
        Ok((seen == *expected).then_some(()))
    });
    result.with_context(|| format!("at last there were {seen:x?}"))
}

/// Waits until hsdump shows exactly this at a registrar.
fn shows(lab: &Lab, n: u32, expected: &Table) -> anyhow::Result<()> {
    let mut seen = None;
    let result = wait_for("what hsdump should show", PATIENCE, || {
        seen = hsdump(lab, n)?;
        Ok((seen.as_ref() == Some(expected)).then_some(()))
    });
    result.with_context(|| format!("at last registrar {n} had {seen:x?}"))
}

/// Waits until a registrar of rsplib answers exactly this.
fn answers(lab: &Lab, n: u32, expected: &Table) -> anyhow::Result<()> {
    let mut seen = None;
    let result = wait_for("what rsplib's registrar should answer", PATIENCE, || {
        // An error where it has no such pool yet.
        seen = resolved(lab, n).ok();
        Ok((seen.as_ref() == Some(expected)).then_some(()))
    });
    result.with_context(|| format!("at last registrar {n} had {seen:x?}"))
}

/// rsplib's look at a registrar; nothing where that does not serve (yet).
fn hsdump(lab: &Lab, n: u32) -> anyhow::Result<Option<Table>> {
    let mut command = Command::new("timeout");
    command.args(["10", "hsdump"]).arg(format!("{}:9901", address(n))).arg("-logcolor=off");
    let output = command.output().context("hsdump")?;
    let text = String::from_utf8_lossy(&output.stdout);
    std::fs::write(lab.out().join(format!("hsdump-{n}.log")), text.as_bytes())?;
    table_in(&text)
}

/// The elements in what hsdump prints: `- idx:#0001: $ec400001 …`, and `home=$11111111` below.
/// Nothing where it had no answer: it prints no handlespace then.
fn table_in(text: &str) -> anyhow::Result<Option<Table>> {
    let number = |text: &str, after: &str| {
        let (_, rest) = text.split_once(after)?;
        u32::from_str_radix(rest.get(..8)?, 16).ok()
    };
    let Some((_, elements)) = text.split_once("Handlespace[") else { return Ok(None) };
    let mut table = Table::new();
    for element in elements.split("- idx:#").skip(1) {
        let (Some(id), Some(home)) = (number(element, ": $"), number(element, "home=$")) else {
            bail!("hsdump shows {element}");
        };
        table.insert(id, home);
    }
    Ok(Some(table))
}

/// What a registrar of rsplib answers over ASAP. That is no look that it takes for a registrar.
fn resolved(lab: &Lab, n: u32) -> anyhow::Result<Table> {
    let url = format!("sctp+kernel://{}:3863", address(n));
    let arguments = ["resolve", POOL, "--registrar", &url, "--dialect", "rsplib"];
    let arguments = [&arguments[..], &["--items", "100", "--profile", "wan"]].concat();
    let text = lab.shown(&arguments)?;
    let number = |word: &str| u32::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    let pair = |row: &str| {
        let mut words = row.split_whitespace();
        Some((number(words.next()?)?, number(words.next_back()?)?))
    };
    let table = text.lines().skip(1).map(pair).collect::<Option<Table>>();
    table.with_context(|| format!("resolve shows {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hsdump_shows_is_read() {
        let text = "PeerList of $0ed03e8f (1 peers)\n   - idx:#0001: $22222222 upd=1\n\
            Handlespace[home=$0ed03e8f]: (1 Pools, 1 PoolElements, 0 Owned)\n\
            *-- Index:\n   - idx:#0001: $ec400001 flags=[new]\n     chsum=$00000fa6 \
            home=$11111111 life=6000ms ur=0\n*-- Ownership:\n   - $11111111 -> \"EchoPool\"";
        let table = Table::from([(0xec40_0001, 0x1111_1111)]);
        assert_eq!(table_in(text).unwrap(), Some(table));
        assert_eq!(table_in("").unwrap(), None);
        assert!(table_in("Handlespace[]\n - idx:#0001: nobody").is_err());
    }
}
