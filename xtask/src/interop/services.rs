//! rsplib's services and clients with ours, in one pool: sessions go from theirs to ours and back,
//! each time with the state that the last server left in a cookie.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::asap::Client;
use super::lab::{self, Lab, PATIENCE, PATIENT};
use super::process::{Process, wait_for};
use super::rsplib::LOG;

pub(super) mod failures;

const ADDRESSES: [&str; 3] = ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"];
const REGISTRAR: &str = "10.0.0.1:3863";
const REGISTRAR_URL: &str = "sctp+kernel://10.0.0.1:3863";
/// Where the registrar also serves, for the client that looks.
const TCP: &str = "127.0.0.1:3863";
/// Of a client of ours with whom rsplib's elements are.
const OUR_CLIENT: [&str; 2] = ["--registrar", REGISTRAR_URL];
/// In the order in which users turn to them: theirs, ours, theirs.
const IDS: [u32; 3] = [0x31, 0x32, 0x33];
/// How long a job may take where the machine is busy with something else.
const WORK_MAX: Duration = Duration::from_secs(240);
/// Of a client of ours that gives up no server that lives, however busy the machine is.
const PATIENT_CLIENT: [&str; 3] = ["--wait", "--keep-alive-deadline", "60s"];
/// What a client of rsplib's logs when it gets the state of its session.
const GOT_COOKIE: &str = "Got cookie";

/// A service, at both.
struct Service {
    pool: &'static str,
    /// What rsplib's element is told.
    theirs: &'static [&'static str],
    /// What ours is told.
    ours: &'static [&'static str],
}

/// A registrar of ours, and three elements.
struct Stage {
    _registrar: Process,
    elements: Vec<Process>,
}

impl Stage {
    fn open(lab: &Lab, service: &Service) -> anyhow::Result<Self> {
        lab.addresses(&ADDRESSES)?;
        let tcp = format!("tcp://{TCP}");
        let config = lab.config("registrar", PATIENT)?;
        let arguments = ["registrar", "--dialect", "rsplib", "--asap", REGISTRAR_URL];
        let arguments = [&arguments[..], &["--asap", &tcp, "--config", &config]].concat();
        let registrar = lab.serving("registrar", &arguments)?;
        let [first, ours, last] = IDS;
        let elements = vec![
            theirs(lab, service, first, 3)?,
            our_element(lab, service, ours, 2)?,
            theirs(lab, service, last, 1)?,
        ];
        let mut client = Client::connect(TCP)?;
        wait_for("all elements", PATIENCE, || {
            Ok((client.ids(service.pool)?.len() == IDS.len()).then_some(()))
        })?;
        Ok(Self { _registrar: registrar, elements })
    }

    fn kill(&self, element: usize) -> anyhow::Result<()> {
        self.elements[element].signal(Signal::KILL)
    }

    /// Waits for a line in the log of our element.
    fn ours_logs(&self, text: &str) -> anyhow::Result<()> {
        self.elements[1].logs(text, WORK_MAX)
    }
}

fn theirs(lab: &Lab, service: &Service, id: u32, priority: u32) -> anyhow::Result<Process> {
    let mut command = Command::new("rspserver");
    command.args(service.theirs).arg(format!("-identifier={id:#x}")).arg("-local=10.0.0.2:0");
    command.arg(format!("-policy=Priority:{priority}"));
    command.arg(format!("-registrar={REGISTRAR}")).args(LOG);
    Process::start(&format!("rspserver-{id:x}"), &mut command, lab.out())
}

fn our_element(lab: &Lab, service: &Service, id: u32, priority: u32) -> anyhow::Result<Process> {
    let (id, policy) = (id.to_string(), format!("priority:{priority}"));
    let head = ["serve", service.pool_service(), "--id", &id, "--policy", &policy];
    let tail = ["--listen", "10.0.0.3", "--dialect", "rsplib", "--registrar", REGISTRAR_URL];
    let tail = [&tail[..], &["--wait", "60s"]].concat();
    lab.serving("ours", &[&head[..], service.ours, &tail].concat())
}

impl Service {
    /// Our name of it is rsplib's option.
    fn pool_service(&self) -> &'static str {
        self.theirs[0].trim_start_matches('-')
    }
}

/// A client of rsplib's, which does not flush what it prints to a pipe.
fn their_client(lab: &Lab, name: &str, arguments: &[&str]) -> anyhow::Result<Process> {
    let mut command = Command::new("stdbuf");
    command.args(["-oL", name]).args(arguments).arg(format!("-registrar={REGISTRAR}")).args(LOG);
    // For the one that wants a screen, and a place of its own.
    command.env("QT_QPA_PLATFORM", "offscreen").env("HOME", lab.out());
    Process::start(name, &mut command, lab.out())
}

/// What our client says at its end.
fn summary(client: &mut Process) -> anyhow::Result<Value> {
    let line = client.line(WORK_MAX)?;
    let summary: Value = serde_json::from_str(&line).context("not JSON")?;
    ensure!(client.wait(PATIENCE)?.success(), "our client does not end well: {summary}");
    Ok(summary)
}

/// Starts a client of ours. It logs when it gets the state of its session.
fn our_client(lab: &Lab, name: &str, arguments: &[&str]) -> anyhow::Result<Process> {
    lab.rserpool(name, &[&["-v", name][..], arguments].concat())
}

/// Waits until a client of ours has moved so often, and has the state of its session from the server
/// that it is at.
fn holds_state(client: &Process, moves: usize) -> anyhow::Result<()> {
    wait_for("the state of our client's session", WORK_MAX, || {
        let log = client.log()?;
        let has_moved = log.matches(MOVED).count() == moves;
        Ok((has_moved && server_of(&log)?.is_some()).then_some(()))
    })
}

/// What a client of ours logs when it moves, and when it gets the state of its session.
const MOVED: &str = "failed over from=";
const STORED: &str = "cookie stored";

/// The server from which a client of ours has the state of its session, if it has it from the one
/// that it is at. It began at the first.
fn server_of(log: &str) -> anyhow::Result<Option<u32>> {
    let (id, rest) = match log.rsplit_once(MOVED) {
        None => (IDS[0], log),
        Some((_, rest)) => {
            let id = rest.split_once(" to=0x").and_then(|(_, to)| to.get(..8));
            let id = id.with_context(|| format!("it moved {rest}"))?;
            (u32::from_str_radix(id, 16)?, rest)
        }
    };
    Ok(rest.contains(STORED).then_some(id))
}

/// Both clients of ping-pong, through all three servers.
pub(super) fn pingpong(lab: &mut Lab) -> anyhow::Result<Value> {
    let service = Service { pool: "PingPongPool", theirs: &["-pingpong"], ours: &[] };
    let stage = Stage::open(lab, &service)?;
    let asks = ["--interval", "100ms", "--answer-timeout", "60s"];
    let arguments = [&asks[..], &PATIENT_CLIENT, &OUR_CLIENT].concat();
    let mut ours = our_client(lab, "pingpong", &arguments)?;
    let theirs = their_client(lab, "pingpongclient", &["-interval=100"])?;
    let mut last = 0;
    for (number, id) in IDS.into_iter().enumerate() {
        for _ in 0..10 {
            let reply = answer_of(&theirs, id)?;
            // rsplib's server hands the state over after the answer: a number may come twice.
            ensure!(reply >= last, "reply {reply} after {last}: the state was lost");
            last = reply;
        }
        holds_state(&ours, number)?;
        if number + 1 < IDS.len() {
            stage.kill(number)?;
        }
    }
    ours.signal(Signal::TERM)?;
    let counts = lab::json(&ours)?;
    // What it says of repeats is rsplib's, and may be its exit code.
    ours.wait(PATIENCE)?;
    let moves: Vec<_> = counts["moves"].as_array().into_iter().flatten().collect();
    ensure!(moves.len() == 2, "two failovers: {counts}");
    ensure!(moves.iter().all(|one| one["resumed"] == true), "with a state: {counts}");
    ensure!(counts["lost"] == 0 && counts["gaps"] == 0, "lost or out of order: {counts}");
    Ok(json!({ "theirs": last, "ours": counts }))
}

/// The number in the next "Ack #7 from PE $00000032 (reply #7)" of rsplib's client that is from that
/// element.
fn answer_of(client: &Process, id: u32) -> anyhow::Result<u64> {
    loop {
        let line = client.line(PATIENCE)?;
        let Some((_, rest)) = line.split_once("Ack #") else { continue };
        let Some((_, rest)) = rest.split_once(" from PE $") else { continue };
        let Some((from, rest)) = rest.split_once(" (reply #") else { continue };
        if u32::from_str_radix(from, 16).context("an element's identifier")? != id {
            continue;
        }
        let reply = rest.split_once(')').map_or(rest, |(reply, _)| reply);
        return Ok(reply.parse()?);
    }
}

/// Both clients of the calculation service: a job of ours goes through all three servers.
pub(super) fn calcapp(lab: &mut Lab) -> anyhow::Result<Value> {
    let service = Service {
        pool: "CalcAppPool",
        theirs: &["-calcapp", "-capcapacity=10000000", "-capcookiemaxtime=1", "-capmaxjobs=4"],
        ours: &["--capacity", "10000000"],
    };
    let stage = Stage::open(lab, &service)?;
    let job = ["--job-size", "100000000", "--constant", "--count", "1"];
    let patient = [&PATIENT_CLIENT[..], &["--job-keep-alive", "60s"]].concat();
    let mut ours = our_client(lab, "calcapp", &[&job[..], &patient, &OUR_CLIENT].concat())?;
    // It always has a job; how large each is it draws itself.
    let jobs = ["-jobsize=30000000", "-jobinterval=1", "-runtime=600"];
    let files = ["vector", "scalar"].map(|kind| {
        format!("-{kind}={}", lab.out().join(format!("calcappclient-{kind}")).display())
    });
    let jobs = [&jobs[..], &[&files[0], &files[1]]].concat();
    let theirs = their_client(lab, "calcappclient", &jobs)?;
    holds_state(&ours, 0)?;
    stage.kill(0)?;
    stage.ours_logs("a job goes on state.size=100000000 ")?;
    holds_state(&ours, 1)?;
    stage.kill(1)?;
    let summary = summary(&mut ours)?;
    let counts = ["jobs", "failovers", "resumed"].map(|count| summary[count].as_u64());
    ensure!(counts == [Some(1), Some(2), Some(2)], "one job, two failovers: {summary}");
    let mut accepted = 0;
    while accepted < 3 {
        let line = theirs.line(WORK_MAX).with_context(|| format!("accepted {accepted} times"))?;
        accepted += u32::from(line.contains(" accepted"));
    }
    Ok(json!({ "theirs_accepted": accepted, "ours": summary }))
}

/// A picture that takes some seconds, as rsplib's client reads it.
const PICTURE: &str = "<!DOCTYPE XMLFractalSave>
<FractalV1>
 <Algorithm>
  <AlgorithmName>Mandelbrot</AlgorithmName>
  <C1Real>0.6</C1Real>
  <C1Imag>0.0</C1Imag>
  <C2Real>0.9</C2Real>
  <C2Imag>0.2</C2Imag>
  <Useroptions>
   <MaxIterations>200000</MaxIterations>
   <N>2</N>
  </Useroptions>
 </Algorithm>
 <ColorScheme>
  <ColorSchemeName>SimpleHSV</ColorSchemeName>
 </ColorScheme>
 <Resolution>96*64</Resolution>
</FractalV1>
";

/// Our client of the fractal generator, through all three servers: the picture is the same.
pub(super) fn fractal(lab: &mut Lab) -> anyhow::Result<Value> {
    let stage = Stage::open(lab, &FRACTAL)?;
    let file = lab.out().join("picture.png").display().to_string();
    let view = ["--width=96", "--height=64", "--samples=1", "--center=0.75,0.1", "--span=0.3"];
    let work = ["--iterations=200000", "--tile=96", "--verify", "--out", &file];
    let patient = [&PATIENT_CLIENT[..], &["--answer-timeout", "240s"]].concat();
    let arguments = [&view[..], &work, &patient, &OUR_CLIENT].concat();
    let mut ours = our_client(lab, "fractal", &arguments)?;
    holds_state(&ours, 0)?;
    stage.kill(0)?;
    stage.ours_logs("a picture goes on")?;
    holds_state(&ours, 1)?;
    stage.kill(1)?;
    let summary = summary(&mut ours)?;
    ensure!(summary["identical"] == true, "another picture: {summary}");
    let counts = ["failovers", "resumed"].map(|count| summary[count].as_u64());
    ensure!(counts == [Some(2), Some(2)], "two failovers with a state: {summary}");
    Ok(summary)
}

/// rsplib's client of the fractal generator, from its own server to ours.
pub(super) fn fractal_user(lab: &mut Lab) -> anyhow::Result<Value> {
    let stage = Stage::open(lab, &FRACTAL)?;
    let pictures = lab.out().join("pictures");
    fs::create_dir_all(&pictures)?;
    fs::write(pictures.join("input-001.fsf"), PICTURE)?;
    let pictures = format!("-configdir={}", pictures.display());
    let theirs = their_client(
        lab,
        "fractalpooluser",
        &[&pictures, "-width=96", "-height=64", "-threads=1", "-interimagetime=1"],
    )?;
    theirs.logs(GOT_COOKIE, PATIENCE)?;
    stage.kill(0)?;
    stage.ours_logs("a picture goes on")?;
    stage.ours_logs("a picture is complete")?;
    Ok(json!({ "resumed": true }))
}

const FRACTAL: Service =
    Service { pool: "FractalGeneratorPool", theirs: &["-fractal", "-fgpmaxthreads=8"], ours: &[] };
