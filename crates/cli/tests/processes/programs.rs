//! Programs that a test runs: what they print, how they end. None outlives its test.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take before a test says that it hangs. No test passes or fails by being
/// quicker or slower than that.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A running program; killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    stdin: Option<Input>,
    lines: Receiver<String>,
    stderr: Receiver<String>,
}

/// The standard input of a program.
pub(crate) struct Input(ChildStdin);

impl Input {
    /// Writes a line.
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.0, "{line}").unwrap();
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; `None` for a signal.
    pub(crate) code: Option<i32>,
    /// What it printed, as far as [`Program::line`] did not take it.
    pub(crate) stdout: String,
    /// What it logged.
    pub(crate) stderr: String,
}

/// The program under test.
pub(crate) fn rserpool(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rserpool"));
    // What the user has set for the real one is not for tests.
    command.args(args).env_remove("RSERPOOL_REGISTRARS").env_remove("RUST_LOG");
    for name in ["RSERPOOL_ADMIN", "RSERPOOL_TOKEN_FILE", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"] {
        command.env_remove(name);
    }
    for name in ["CA", "CERT", "KEY", "PIN"] {
        command.env_remove(format!("RSERPOOL_TLS_{name}"));
    }
    command
}

/// The program under test where it goes on until it is ended: it is killed with the thread that
/// starts it, also where this process is killed and drops nothing.
pub(crate) fn lasting(args: &[&str]) -> Command {
    let this = std::process::id().to_string();
    let mut command = rserpool(&["attach-server", &this, "--", env!("CARGO_BIN_EXE_rserpool")]);
    command.args(args);
    command
}

/// Runs the program under test to its end.
pub(crate) fn run(args: &[&str]) -> Ended {
    Program::start(rserpool(args)).end()
}

/// Tries until it holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::yield_now();
    }
}

impl Program {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().map(Input);
        let lines = lines_of(child.stdout.take().unwrap());
        let stderr = lines_of(child.stderr.take().unwrap());
        Self { child, stdin, lines, stderr }
    }

    /// The next line of its standard output, without line end.
    pub(crate) fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line.trim_end_matches(['\r', '\n']).to_owned(),
            Err(RecvTimeoutError::Timeout) => panic!("it prints nothing; {}", self.log()),
            Err(RecvTimeoutError::Disconnected) => panic!("it has ended: {}", self.log()),
        }
    }

    /// The next line of its standard output, which is JSON.
    pub(crate) fn json(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"))
    }

    /// Writes a line to its standard input.
    pub(crate) fn say(&mut self, line: &str) {
        self.stdin.as_mut().unwrap().say(line);
    }

    /// Its standard input; dropping it ends it.
    pub(crate) fn stdin(&mut self) -> Input {
        self.stdin.take().unwrap()
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends its standard input and waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        self.stdin = None;
        self.ended()
    }

    /// Waits for its end, its standard input open.
    pub(crate) fn ended(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let stdout = rest_of(&self.lines, deadline).unwrap_or_else(|so_far| {
            panic!("it does not end; it said {so_far:?} and {}", self.log());
        });
        let stderr = rest_of(&self.stderr, deadline).unwrap_or_else(|so_far| so_far);
        Ended { code: self.child.wait().unwrap().code(), stdout, stderr }
    }

    /// The next line of its log, without line end.
    pub(crate) fn log_line(&mut self) -> String {
        self.stderr.recv_timeout(PATIENCE).unwrap().trim_end().to_owned()
    }

    /// Its log so far.
    fn log(&self) -> String {
        self.stderr.try_iter().collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The standard output, which is one JSON value on one line and nothing else.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The same where it may have said before what it waits for.
    pub(crate) fn failure_after_waiting(&self, code: i32) -> &str {
        assert_eq!((self.code, &*self.stdout), (Some(code), ""), "{self:?}");
        let lines = self.stderr.lines().filter(|line| !line.contains(" waiting for "));
        let [line] = lines.collect::<Vec<_>>()[..] else { panic!("{self:?}") };
        assert!(line.starts_with("rserpool: "), "{line}");
        line
    }

    /// Asserts a failure as the user should see it: the code, nothing on standard output, and one
    /// line on standard error, which is returned.
    pub(crate) fn failure(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        let line = self.stderr.trim_end();
        assert!(line.starts_with("rserpool: "), "{line}");
        line
    }
}

/// The lines of a stream, each with its line end; a thread reads them.
fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while matches!(stream.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
            if sender.send(text).is_err() {
                return;
            }
        }
    });
    receiver
}

/// All lines until the end of the stream; the lines so far where there is none in time.
fn rest_of(lines: &Receiver<String>, deadline: Instant) -> Result<String, String> {
    let mut text = String::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => text.push_str(&line),
            Err(RecvTimeoutError::Disconnected) => return Ok(text),
            Err(RecvTimeoutError::Timeout) => return Err(text),
        }
    }
}

/// A registrar process on loopback.
pub(crate) struct Registrar {
    pub(crate) program: Program,
    pub(crate) id: String,
    /// For elements and users.
    pub(crate) urls: Vec<String>,
    /// For other registrars.
    pub(crate) enrp: Vec<String>,
    /// For operators.
    pub(crate) admin: Vec<String>,
}

impl Registrar {
    /// One that serves TCP and SCTP at ports of the system's choice.
    pub(crate) fn start() -> Self {
        Self::with(&["--asap", "tcp://127.0.0.1:0", "--asap", "sctp://127.0.0.1:0"])
    }

    /// One that does not take a process for dead that only waits for a processor.
    pub(crate) fn patient() -> Self {
        let asap = ["--asap", "tcp://127.0.0.1:0", "--asap", "sctp://127.0.0.1:0"];
        Self::with(&[&asap[..], &["--profile", "rfc"]].concat())
    }

    pub(crate) fn with(args: &[&str]) -> Self {
        let mut program = Program::start(lasting(&[&["registrar", "-o", "json"], args].concat()));
        let ready = program.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let texts = |value: &Value| value.as_array().unwrap().iter().map(text).collect();
        let (urls, enrp) = (texts(&ready["asap"]), texts(&ready["enrp"]));
        let admin = texts(&ready["admin"]);
        Self { program, id: text(&ready["id"]), urls, enrp, admin }
    }

    /// Where it serves over this scheme.
    pub(crate) fn url(&self, scheme: &str) -> &str {
        let start = format!("{scheme}://");
        self.urls.iter().find(|url| url.starts_with(&start)).unwrap()
    }

    pub(crate) fn tcp(&self) -> &str {
        self.url("tcp")
    }

    pub(crate) fn sctp(&self) -> &str {
        self.url("sctp")
    }
}

/// An example service in a pool, as a process.
pub(crate) struct Server {
    pub(crate) program: Program,
    pub(crate) id: String,
}

impl Server {
    /// Starts `rserpool serve` and waits until it is in the pool.
    pub(crate) fn start(registrar: &str, args: &[&str]) -> Self {
        let head = ["serve", "-o", "json", "--listen", "127.0.0.1", "--registrar", registrar];
        let mut program = Program::start(lasting(&[&head, args].concat()));
        let ready = program.json();
        Self { program, id: ready["id"].as_str().unwrap().to_owned() }
    }

    /// One that echoes over TCP, in EchoPool.
    pub(crate) fn echo(registrar: &str) -> Self {
        Self::start(registrar, &["echo", "--transport", "tcp"])
    }
}

/// The identifiers of a pool's elements as a registrar tells them, sorted; empty for an unknown
/// pool.
pub(crate) fn members(registrar: &str, pool: &str) -> Vec<String> {
    let resolved = run(&["resolve", pool, "--registrar", registrar, "-o", "json"]);
    if resolved.code == Some(68) {
        return Vec::new();
    }
    let elements = resolved.json()["elements"].take();
    let id = |element: &Value| element["id"].as_str().unwrap().to_owned();
    let mut ids: Vec<String> = elements.as_array().unwrap().iter().map(id).collect();
    ids.sort();
    ids
}
