//! How long it takes until an element that ends, or does not answer any more, is out of its pool,
//! and its user at another one.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{
    ASAP, HANDLE_RESOLUTION, HANDLE_RESOLUTION_RESPONSE, Lab, PATIENCE, POOL, POOL_HANDLE, Process,
    Speaker, Whose, connect, message, millis, parameter, wait_for,
};

const ROUNDS: usize = 3;
/// Between two lines that the user is given.
const LINES: Duration = Duration::from_millis(50);
/// After that a user is taken for lost.
const NEVER: Duration = Duration::from_secs(15);

/// Who is watched.
struct Pool<'a> {
    lab: &'a Lab,
    whose: Whose,
    observer: Speaker,
    user: Process,
    lines: u32,
    /// The element that joined last.
    last: u32,
}

/// The first element.
const FIRST: u32 = 0x21;

/// What was seen of one failure.
#[derive(Clone, Copy)]
struct Seen {
    removed: Duration,
    /// `None`: not within [`NEVER`].
    answered: Option<Duration>,
}

pub(super) fn run(lab: &Lab, whose: Whose) -> anyhow::Result<Value> {
    let _registrar = registrar(lab, whose)?;
    let mut observer = connect(lab)?;
    // Users do not wait for pools that nobody is in.
    let mut used = joins(lab, whose, &mut observer, FIRST)?;
    let user = user(lab, whose)?;
    let mut pool = Pool { lab, whose, observer, user, lines: 0, last: FIRST };
    pool.says()?;
    ensure!(pool.answered(PATIENCE)?.is_some(), "nobody answers the user");
    let mut seen = Vec::new();
    for signal in [Signal::KILL, Signal::STOP] {
        let mut rounds = Vec::new();
        // rsplib's users never leave a frozen element: there is nothing to repeat.
        let is_lost = |seen: &Seen| seen.answered.is_none();
        while rounds.len() < ROUNDS && !rounds.last().is_some_and(is_lost) {
            let next = pool.joins()?;
            rounds.push(pool.loses(&used, signal)?);
            used = next;
        }
        seen.push(rounds);
    }
    let median = |rounds: &[Seen], of: fn(&Seen) -> Option<Duration>| -> Option<f64> {
        let mut times: Vec<Duration> = rounds.iter().map(of).collect::<Option<_>>()?;
        times.sort_unstable();
        Some(millis(&[times[times.len() / 2]])[0])
    };
    Ok(json!({
        "killed_removed_ms": median(&seen[0], |seen| Some(seen.removed)),
        "killed_user_on_next_ms": median(&seen[0], |seen| seen.answered),
        "frozen_removed_ms": median(&seen[1], |seen| Some(seen.removed)),
        "frozen_user_on_next_ms": median(&seen[1], |seen| seen.answered),
    }))
}

impl Pool<'_> {
    /// One more element is in the pool.
    fn joins(&mut self) -> anyhow::Result<(u32, Process)> {
        self.last += 1;
        joins(self.lab, self.whose, &mut self.observer, self.last)
    }

    /// The element that the user uses ends, or freezes.
    fn loses(&mut self, used: &(u32, Process), signal: Signal) -> anyhow::Result<Seen> {
        // What is still on its way is not to be taken for an answer of the next one.
        while self.answered(LINES)?.is_some() {}
        let started = Instant::now();
        used.1.signal(signal)?;
        let (mut removed, mut answered, mut asked) = (None, None, None::<Instant>);
        while removed.is_none() || (answered.is_none() && started.elapsed() < NEVER) {
            if removed.is_none() && !has(&mut self.observer, used.0)? {
                removed = Some(started.elapsed());
            }
            if asked.is_none_or(|asked| asked.elapsed() >= LINES) {
                self.says()?;
                asked = Some(Instant::now());
            }
            if answered.is_none() && self.answered(Duration::from_millis(1))?.is_some() {
                answered = Some(started.elapsed());
            }
            ensure!(started.elapsed() < 2 * NEVER, "element {:#x} stays in the pool", used.0);
        }
        Ok(Seen { removed: removed.unwrap_or_default(), answered })
    }

    fn says(&mut self) -> anyhow::Result<()> {
        self.lines += 1;
        self.user.tell(&format!("line {}", self.lines))
    }

    /// The next answer that the user gets in time.
    fn answered(&mut self, limit: Duration) -> anyhow::Result<Option<()>> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.user.line_within(left)? {
                Some(line) if line.contains("line ") => return Ok(Some(())),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}

fn joins(
    lab: &Lab,
    whose: Whose,
    observer: &mut Speaker,
    id: u32,
) -> anyhow::Result<(u32, Process)> {
    let process = element(lab, whose, id)?;
    wait_for("an element", PATIENCE, || Ok(has(observer, id)?.then_some(())))?;
    Ok((id, process))
}

/// Whether the registrar knows an element.
fn has(observer: &mut Speaker, id: u32) -> anyhow::Result<bool> {
    let handle = parameter(POOL_HANDLE, POOL.as_bytes());
    let all = parameter(0x803f, &100_u32.to_be_bytes());
    observer.say(ASAP, &message(HANDLE_RESOLUTION, 0, &[&handle, &all]))?;
    let answer = observer.hears_of(HANDLE_RESOLUTION_RESPONSE, PATIENCE)?;
    let answer = answer.context("the registrar does not answer")?;
    Ok(answer.windows(4).any(|four| four == id.to_be_bytes()))
}

fn registrar(lab: &Lab, whose: Whose) -> anyhow::Result<Process> {
    let mut command = match whose {
        Whose::Ours => {
            let mut command = Command::new(lab.program());
            command.args(["registrar", "--id", "0x11", "--asap", "sctp+kernel://10.0.0.1:3863"]);
            command
        }
        Whose::Rsplib => {
            let mut command = Command::new("rspregistrar");
            command.args(["-identifier=0x11", "-asap=10.0.0.1:3863", "-enrp=10.0.0.1:9901"]);
            command.args(["-asapannounce=off", "-enrpannounce=off"]);
            command
        }
    };
    Process::start("registrar", &mut command, lab.out())
}

fn element(lab: &Lab, whose: Whose, id: u32) -> anyhow::Result<Process> {
    let mut command = match whose {
        Whose::Ours => {
            let mut command = Command::new(lab.program());
            command.args(["serve", "echo", "--id", &id.to_string(), "--listen", "10.0.0.2"]);
            command.args(["--registrar", "sctp+kernel://10.0.0.1:3863"]);
            command
        }
        Whose::Rsplib => {
            let mut command = Command::new("rspserver");
            command.arg("-echo").arg(format!("-identifier={id:#x}"));
            command.args(["-local=10.0.0.2:0", "-registrar=10.0.0.1:3863"]);
            command
        }
    };
    Process::start(&format!("element-{id:x}"), &mut command, lab.out())
}

fn user(lab: &Lab, whose: Whose) -> anyhow::Result<Process> {
    let mut command = match whose {
        Whose::Ours => {
            let mut command = Command::new(lab.program());
            command.args(["connect", POOL, "--registrar", "sctp+kernel://10.0.0.1:3863"]);
            command
        }
        Whose::Rsplib => {
            let mut command = Command::new("stdbuf");
            command.args(["-oL", "rspterminal", "-poolhandle=EchoPool"]);
            command.arg("-registrar=10.0.0.1:3863");
            command
        }
    };
    Process::start("user", &mut command, lab.out())
}
