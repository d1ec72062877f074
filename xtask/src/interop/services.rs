//! rsplib's services and clients with ours, in one pool: sessions go from theirs to ours and back,
//! each time with the state that the last server left in a cookie.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::asap::Client;
use super::lab::{self, Lab, PATIENCE};
use super::process::{Process, wait_for};
use super::rsplib::LOG;

const ADDRESSES: [&str; 3] = ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"];
const REGISTRAR: &str = "10.0.0.1:3863";
const REGISTRAR_URL: &str = "sctp+kernel://10.0.0.1:3863";
/// Where the registrar also serves, for the client that looks.
const TCP: &str = "127.0.0.1:3863";
/// Of a client of ours with whom rsplib's elements are.
const OUR_CLIENT: [&str; 2] = ["--registrar", REGISTRAR_URL];
/// In the order in which users turn to them: theirs, ours, theirs.
const IDS: [u32; 3] = [0x31, 0x32, 0x33];
/// Long enough for a cookie of rsplib's, which comes once a second.
const COOKIE: Duration = Duration::from_millis(2500);
/// How long a job may take where the machine is busy with something else.
const WORK_MAX: Duration = Duration::from_secs(80);

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
        let arguments = ["registrar", "--dialect", "rsplib", "--asap", REGISTRAR_URL];
        let registrar = lab.serving("registrar", &[&arguments[..], &["--asap", &tcp]].concat())?;
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

/// Waits for a line in the log of our element.
fn our_log_has(lab: &Lab, text: &str) -> anyhow::Result<()> {
    wait_for(text, PATIENCE, || {
        let log = fs::read_to_string(lab.out().join("ours.log")).context("the log of ours")?;
        Ok(log.contains(text).then_some(()))
    })
}

/// Both clients of ping-pong, through all three servers.
pub(super) fn pingpong(lab: &mut Lab) -> anyhow::Result<Value> {
    let service = Service { pool: "PingPongPool", theirs: &["-pingpong"], ours: &[] };
    let stage = Stage::open(lab, &service)?;
    let arguments = [&["pingpong", "--interval", "100ms"][..], &OUR_CLIENT].concat();
    let mut ours = lab.rserpool("pingpong", &arguments)?;
    let theirs = their_client(lab, "pingpongclient", &["-interval=100"])?;
    let mut last = 0;
    for (number, id) in IDS.into_iter().enumerate() {
        for _ in 0..10 {
            let (message, reply) = answer_of(&theirs, id)?;
            // rsplib's server hands the state over after the answer: a number may come twice.
            ensure!(reply + 2 >= message, "reply {reply} to {message}: the state was lost");
            ensure!(reply >= last, "reply {reply} after {last}");
            last = reply;
        }
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

/// The next "Ack #7 from PE $00000032 (reply #7)" of rsplib's client that is from that element.
fn answer_of(client: &Process, id: u32) -> anyhow::Result<(u64, u64)> {
    loop {
        let line = client.line(PATIENCE)?;
        let Some((_, rest)) = line.split_once("Ack #") else { continue };
        let Some((message, rest)) = rest.split_once(" from PE $") else { continue };
        let Some((from, rest)) = rest.split_once(" (reply #") else { continue };
        if u32::from_str_radix(from, 16).context("an element's identifier")? != id {
            continue;
        }
        let reply = rest.split_once(')').map_or(rest, |(reply, _)| reply);
        return Ok((message.parse()?, reply.parse()?));
    }
}

/// Ping-pong at its quickest, the used server killed, and then the next one frozen: rsplib's
/// programs with its registrar, then ours with ours. How long there was no answer.
pub(super) fn failures(lab: &mut Lab) -> anyhow::Result<Value> {
    lab.addresses(&ADDRESSES)?;
    let theirs = failures_of_theirs(lab)?;
    let ours = failures_of_ours(lab)?;
    let result = json!({ "rsplib_ms": theirs, "ours_ms": ours });
    ensure!(ours.iter().all(Option::is_some), "ours did not go on: {result}");
    Ok(result)
}

/// Between two questions of both clients.
const QUICKLY: &str = "10";
/// How long a client may take to find out that its server is frozen.
const FROZEN_MAX: Duration = Duration::from_secs(30);

fn failures_of_theirs(lab: &Lab) -> anyhow::Result<[Option<f64>; 2]> {
    let mut command = Command::new("rspregistrar");
    command.arg("-identifier=0x11111111").arg(format!("-asap={REGISTRAR}"));
    command.args(["-enrp=10.0.0.1:9901", "-asapannounce=off", "-enrpannounce=off"]).args(LOG);
    let _registrar = Process::start("rspregistrar", &mut command, lab.out())?;
    let service = Service { pool: "PingPongPool", theirs: &["-pingpong"], ours: &[] };
    let [first, second, third] = IDS;
    let elements = [
        theirs(lab, &service, first, 3)?,
        theirs(lab, &service, second, 2)?,
        theirs(lab, &service, third, 1)?,
    ];
    // Its registrar and its elements say nothing when they are ready.
    let client = wait_for("rsplib's client", WORK_MAX, || {
        let client = their_client(lab, "pingpongclient", &[&format!("-interval={QUICKLY}")])?;
        thread::sleep(COOKIE);
        let is_first = answer_within(&client, PATIENCE)?.is_some_and(|id| id == first);
        Ok(is_first.then_some(client))
    })?;
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

fn failures_of_ours(lab: &Lab) -> anyhow::Result<[Option<f64>; 2]> {
    // Beside rsplib's, which may not have left its port yet.
    let registrar = "sctp+kernel://10.0.0.1:3873";
    let _registrar = lab.serving("registrar", &["registrar", "--asap", registrar])?;
    let start = |(id, priority): (u32, u32)| {
        let (id, policy) = (id.to_string(), format!("priority:{priority}"));
        let head = ["serve", "pingpong", "--id", &id, "--policy", &policy];
        let tail = ["--listen", "10.0.0.3", "--registrar", registrar];
        lab.serving(&format!("ours-{id}"), &[&head[..], &tail].concat())
    };
    let elements = IDS.into_iter().zip([3, 2, 1]).map(start).collect::<Result<Vec<_>, _>>()?;
    let interval = format!("{QUICKLY}ms");
    let keep_alive = ["--keep-alive", "50ms", "--keep-alive-deadline", "150ms"];
    let head = ["pingpong", "--interval", &interval, "--registrar", registrar];
    let mut client = lab.rserpool("pingpong", &[&head[..], &keep_alive].concat())?;
    thread::sleep(COOKIE);
    elements[0].signal(Signal::KILL)?;
    thread::sleep(COOKIE);
    elements[1].signal(Signal::STOP)?;
    thread::sleep(COOKIE);
    elements[1].signal(Signal::CONT)?;
    client.signal(Signal::TERM)?;
    let summary = summary(&mut client)?;
    let pauses = |number: usize| summary["moves"][number]["pause_ms"].as_f64();
    Ok([pauses(0), pauses(1)])
}

/// In milliseconds, to a tenth.
fn as_ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

/// Both clients of the calculation service: a job of ours goes through all three servers.
pub(super) fn calcapp(lab: &mut Lab) -> anyhow::Result<Value> {
    let service = Service {
        pool: "CalcAppPool",
        theirs: &["-calcapp", "-capcapacity=10000000", "-capcookiemaxtime=1", "-capmaxjobs=4"],
        ours: &["--capacity", "10000000"],
    };
    let stage = Stage::open(lab, &service)?;
    let job = ["calcapp", "--job-size", "70000000", "--constant", "--count", "1"];
    let mut ours = lab.rserpool("calcapp", &[&job[..], &OUR_CLIENT].concat())?;
    // It always has a job; how large each is it draws itself.
    let jobs = ["-jobsize=30000000", "-jobinterval=1", "-runtime=60"];
    let files = ["vector", "scalar"].map(|kind| {
        format!("-{kind}={}", lab.out().join(format!("calcappclient-{kind}")).display())
    });
    let jobs = [&jobs[..], &[&files[0], &files[1]]].concat();
    let theirs = their_client(lab, "calcappclient", &jobs)?;
    thread::sleep(COOKIE);
    stage.kill(0)?;
    our_log_has(lab, "a job goes on")?;
    thread::sleep(COOKIE / 2);
    stage.kill(1)?;
    let summary = summary(&mut ours)?;
    let counts = ["jobs", "failovers", "resumed"].map(|count| summary[count].as_u64());
    ensure!(counts == [Some(1), Some(2), Some(2)], "one job, two failovers: {summary}");
    let mut accepted = 0;
    while let Ok(Some(line)) = theirs.line_within(Duration::from_millis(10)) {
        accepted += u32::from(line.contains(" accepted"));
    }
    ensure!(accepted >= 3, "rsplib's client was accepted {accepted} times");
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
    let arguments = [&["fractal"][..], &view, &work, &OUR_CLIENT].concat();
    let mut ours = lab.rserpool("fractal", &arguments)?;
    thread::sleep(COOKIE);
    stage.kill(0)?;
    our_log_has(lab, "a picture goes on")?;
    thread::sleep(COOKIE / 10);
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
    let _theirs = their_client(
        lab,
        "fractalpooluser",
        &[&pictures, "-width=96", "-height=64", "-threads=1", "-interimagetime=1"],
    )?;
    thread::sleep(2 * COOKIE);
    stage.kill(0)?;
    our_log_has(lab, "a picture goes on")?;
    our_log_has(lab, "a picture is complete")?;
    Ok(json!({ "resumed": true }))
}

const FRACTAL: Service =
    Service { pool: "FractalGeneratorPool", theirs: &["-fractal", "-fgpmaxthreads=8"], ours: &[] };
