//! A session of the job service, as a value: both sides of it.

use super::packet::{CHUNK_MAX, Outcome, Packet, Refusal, Stream};

/// Octets of input that a server takes ahead of its command, and of output that a client takes.
pub const WINDOW: u32 = 256 * 1024;

/// A session as its server sees it: one command.
#[derive(Debug)]
pub struct Server {
    state: State,
    /// Octets of output after which a command is killed.
    output_max: u64,
}

#[derive(Debug)]
enum State {
    Idle,
    Running(Running),
    Ended,
}

#[derive(Debug)]
struct Running {
    job: u64,
    /// Input that the client may still send.
    input_credit: u32,
    /// Octets that the command has taken and the client has no credit for yet.
    taken: u32,
    input_ended: bool,
    /// Output that the client takes.
    output_credit: u64,
    output: u64,
    /// It was killed, and for that.
    killed: Option<Outcome>,
}

/// What a server wants done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// To the client.
    Send(Packet),
    /// Start this command, when there is a place: [`Server::started`] or [`Server::refuse`] comes
    /// next.
    Start(String),
    /// To the command's standard input.
    Feed(Vec<u8>),
    /// The command's standard input ends.
    CloseInput,
    /// End the command and all that it has started.
    Kill,
    /// The client breaks the rules: end the session, and the command with it.
    Abort,
}

impl Server {
    /// A session without a command yet.
    pub fn new(output_max: u64) -> Self {
        Self { state: State::Idle, output_max }
    }

    /// Takes a message.
    pub fn receive(&mut self, octets: &[u8]) -> Vec<Step> {
        let Ok(packet) = Packet::decode(octets) else {
            return vec![Step::Abort];
        };
        match (&mut self.state, packet) {
            (State::Idle, Packet::Run { job, credit, name }) => {
                self.state = State::Running(Running::new(job, credit));
                vec![Step::Start(name)]
            }
            (State::Running(running), Packet::Input(octets)) => running.input(octets),
            (State::Running(running), Packet::InputEnd) => {
                running.input_ended = true;
                vec![Step::CloseInput]
            }
            (State::Running(running), Packet::Credit(more)) => {
                running.output_credit = running.output_credit.saturating_add(more.into());
                Vec::new()
            }
            // What crossed the end of the command.
            (State::Ended, Packet::Input(_) | Packet::InputEnd | Packet::Credit(_)) => Vec::new(),
            _ => vec![Step::Abort],
        }
    }

    /// The client's number for the job; 0 without one.
    pub fn job(&self) -> u64 {
        match &self.state {
            State::Running(running) => running.job,
            State::Idle | State::Ended => 0,
        }
    }

    /// The command runs.
    pub fn started(&mut self) -> Step {
        Step::Send(Packet::Accepted { credit: WINDOW })
    }

    /// The command does not run.
    pub fn refuse(&mut self, reason: Refusal, text: impl Into<String>) -> Step {
        self.state = State::Ended;
        Step::Send(Packet::Refused { reason, text: text.into() })
    }

    /// How much the command may say now: no more is to be read of it.
    pub fn room(&self) -> usize {
        let State::Running(running) = &self.state else {
            return 0;
        };
        if running.killed.is_some() {
            return 0;
        }
        usize::try_from(running.output_credit).unwrap_or(CHUNK_MAX).min(CHUNK_MAX)
    }

    /// The command has said something, at most as much as there is [`room`](Self::room).
    pub fn output(&mut self, stream: Stream, octets: Vec<u8>) -> Vec<Step> {
        let output_max = self.output_max;
        let State::Running(running) = &mut self.state else {
            return Vec::new();
        };
        let count = octets.len() as u64;
        running.output_credit = running.output_credit.saturating_sub(count);
        running.output += count;
        if running.output > output_max {
            return running.kill(Outcome::OutputLimit);
        }
        vec![Step::Send(Packet::Output(stream, octets))]
    }

    /// The command has taken so much of its input, or will never take it.
    pub fn taken(&mut self, octets: usize) -> Option<Step> {
        let State::Running(running) = &mut self.state else {
            return None;
        };
        running.taken = running.taken.saturating_add(u32::try_from(octets).unwrap_or(u32::MAX));
        // Not a message for each small piece.
        if running.input_ended || running.taken < WINDOW / 2 {
            return None;
        }
        let more = std::mem::take(&mut running.taken);
        running.input_credit = running.input_credit.saturating_add(more);
        Some(Step::Send(Packet::Credit(more)))
    }

    /// The command has had its time.
    pub fn time_over(&mut self) -> Vec<Step> {
        match &mut self.state {
            State::Running(running) => running.kill(Outcome::TimeLimit),
            State::Idle | State::Ended => Vec::new(),
        }
    }

    /// The command has ended, and all that it said was handed in.
    pub fn ended(&mut self, outcome: Outcome) -> Option<Step> {
        let State::Running(Running { job, killed, .. }) = self.state else {
            return None;
        };
        self.state = State::Ended;
        Some(Step::Send(Packet::Done { job, outcome: killed.unwrap_or(outcome) }))
    }
}

impl Running {
    fn new(job: u64, credit: u32) -> Self {
        Self {
            job,
            input_credit: WINDOW,
            taken: 0,
            input_ended: false,
            output_credit: credit.into(),
            output: 0,
            killed: None,
        }
    }

    fn input(&mut self, octets: Vec<u8>) -> Vec<Step> {
        let count = u32::try_from(octets.len()).unwrap_or(u32::MAX);
        match self.input_credit.checked_sub(count) {
            Some(left) if !self.input_ended => {
                self.input_credit = left;
                vec![Step::Feed(octets)]
            }
            _ => vec![Step::Abort],
        }
    }

    fn kill(&mut self, outcome: Outcome) -> Vec<Step> {
        match self.killed.replace(outcome) {
            None => vec![Step::Kill],
            Some(before) => {
                self.killed = Some(before);
                Vec::new()
            }
        }
    }
}

/// A session as its client sees it: one job, from the start.
#[derive(Debug)]
pub struct Client<'a> {
    job: u64,
    input: &'a [u8],
    /// How much of the input may be sent, and was.
    credit: usize,
    sent: usize,
    input_ended: bool,
    is_accepted: bool,
    /// Octets of output that came, and that the server has no credit for yet.
    taken: u32,
    result: Output,
    output_max: usize,
}

/// What a job said, and how it ended.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Output {
    /// Its standard output.
    pub out: Vec<u8>,
    /// Its standard error.
    pub err: Vec<u8>,
}

/// What becomes of a job.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Progress {
    /// It goes on.
    Runs,
    /// It has ended.
    Done(Outcome, Output),
    /// The server does not take it.
    Refused(Refusal, String),
    /// It says more than this client takes.
    Overflow,
    /// The server says what makes no sense.
    Broken(&'static str),
}

impl<'a> Client<'a> {
    /// A job, and the message that begins it.
    pub fn new(job: u64, name: &str, input: &'a [u8], output_max: usize) -> (Self, Packet) {
        let client = Self {
            job,
            input,
            credit: 0,
            sent: 0,
            input_ended: false,
            is_accepted: false,
            taken: 0,
            result: Output::default(),
            output_max,
        };
        (client, Packet::Run { job, credit: WINDOW, name: name.into() })
    }

    /// Takes a message.
    pub fn receive(&mut self, octets: &[u8]) -> Progress {
        match Packet::decode(octets) {
            Ok(Packet::Accepted { credit }) => {
                self.is_accepted = true;
                self.credit += credit as usize;
            }
            Ok(Packet::Credit(more)) => self.credit = self.credit.saturating_add(more as usize),
            Ok(Packet::Output(stream, octets)) => {
                let Output { out, err } = &mut self.result;
                if out.len() + err.len() + octets.len() > self.output_max {
                    return Progress::Overflow;
                }
                self.taken =
                    self.taken.saturating_add(u32::try_from(octets.len()).unwrap_or(WINDOW));
                match stream {
                    Stream::Out => out.extend(octets),
                    Stream::Err => err.extend(octets),
                }
            }
            Ok(Packet::Done { job, outcome }) if job == self.job => {
                return Progress::Done(outcome, std::mem::take(&mut self.result));
            }
            Ok(Packet::Refused { reason, text }) => return Progress::Refused(reason, text),
            _ => return Progress::Broken("it does not speak this protocol"),
        }
        Progress::Runs
    }

    /// True where the server runs the job.
    pub fn is_accepted(&self) -> bool {
        self.is_accepted
    }

    /// The next message; `None` where there is nothing to say now.
    pub fn poll(&mut self) -> Option<Packet> {
        if self.taken >= WINDOW / 2 {
            return Some(Packet::Credit(std::mem::take(&mut self.taken)));
        }
        if !self.is_accepted || self.input_ended {
            return None;
        }
        let left = &self.input[self.sent..];
        if left.is_empty() {
            self.input_ended = true;
            return Some(Packet::InputEnd);
        }
        let count = left.len().min(self.credit).min(CHUNK_MAX);
        if count == 0 {
            return None;
        }
        (self.credit, self.sent) = (self.credit - count, self.sent + count);
        Some(Packet::Input(left[..count].into()))
    }
}
