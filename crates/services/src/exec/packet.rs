//! Jobs: which command, its input, its output, how it ended.
//!
//! Whoever sends input or output needs credit for it, counted in octets: the server gives the first
//! with Accepted, the client with Run, and both give more with Credit as they take what came. So
//! neither side has to keep more of the other's octets than it said it would.
//!
//! ```text
//! type          fields behind the header (type u8, flags u8 = 0, length u16)
//! 1 Run         job u64, credit for output u32, the command's name
//! 2 Accepted    credit for input u32
//! 3 Refused     reason u8, text
//! 4 Input       octets for the command's standard input
//! 5 InputEnd
//! 6 Output      stream u8 (1 standard output, 2 standard error), octets
//! 7 Credit      so many octets more, u32
//! 8 Done        job u64, outcome u8, code i32
//! ```

use rserpool::transport::Ppid;
use rserpool::wire::error::{DecodeError, DecodeErrorKind};

use crate::packet;

/// The payload protocol identifier; not an assigned one.
pub const PPID: Ppid = Ppid(0x5253_5001);
/// Octets of input or output in one message.
pub const CHUNK_MAX: usize = 32 * 1024;
/// Octets of a command's name.
pub const NAME_MAX: usize = 255;

/// A message of this protocol.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Packet {
    /// A client wants a command run.
    Run {
        /// The client's number for it.
        job: u64,
        /// Octets of output that the client takes.
        credit: u32,
        /// As the operator named it.
        name: String,
    },
    /// The command runs.
    Accepted {
        /// Octets of input that the server takes.
        credit: u32,
    },
    /// The command does not run.
    Refused {
        /// Why, for programs.
        reason: Refusal,
        /// Why, for people.
        text: String,
    },
    /// Of the command's standard input.
    Input(Vec<u8>),
    /// There is no more input.
    InputEnd,
    /// What the command said.
    Output(Stream, Vec<u8>),
    /// So many octets more may be sent.
    Credit(u32),
    /// The command has ended.
    Done {
        /// The client's number for it.
        job: u64,
        /// How.
        outcome: Outcome,
    },
}

/// Why a command does not run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// There is enough to do already: another element may take it.
    Busy = 1,
    /// The operator allows no command of that name.
    Unknown = 2,
    /// It cannot be started.
    Broken = 3,
}

/// Where a command said something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stream {
    /// Standard output.
    Out = 1,
    /// Standard error.
    Err = 2,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// It was killed, for it took too long.
    TimeLimit,
    /// It was killed, for it said too much.
    OutputLimit,
}

impl Packet {
    /// The octets. Names, texts and chunks that do not fit are cut off; who makes them sees to it.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, fields): (u8, Vec<u8>) = match self {
            Self::Run { job, credit, name } => (
                1,
                [&job.to_be_bytes()[..], &credit.to_be_bytes(), cut(name.as_bytes(), NAME_MAX)]
                    .concat(),
            ),
            Self::Accepted { credit } => (2, credit.to_be_bytes().into()),
            Self::Refused { reason, text } => {
                (3, [&[*reason as u8], cut(text.as_bytes(), CHUNK_MAX)].concat())
            }
            Self::Input(octets) => (4, cut(octets, CHUNK_MAX).into()),
            Self::InputEnd => (5, Vec::new()),
            Self::Output(stream, octets) => {
                (6, [&[*stream as u8], cut(octets, CHUNK_MAX)].concat())
            }
            Self::Credit(octets) => (7, octets.to_be_bytes().into()),
            Self::Done { job, outcome } => {
                let (number, code) = match outcome {
                    Outcome::Exited(code) => (1, *code),
                    Outcome::Signalled(signal) => (2, *signal),
                    Outcome::TimeLimit => (3, 0),
                    Outcome::OutputLimit => (4, 0),
                };
                (8, [&job.to_be_bytes()[..], &[number], &code.to_be_bytes()].concat())
            }
        };
        packet::encode(kind, |octets| octets.extend(fields))
    }

    /// Takes a message apart.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        packet::decode(octets, |kind, fields| {
            let packet = match kind {
                1 => {
                    let (job, credit) = (packet::u64(fields, "job")?, fields.u32("credit")?);
                    let name = fields.remainder();
                    if name.is_empty() || name.len() > NAME_MAX {
                        let kind = DecodeErrorKind::Length { field: "name", length: name.len() };
                        return Err(fields.error(kind));
                    }
                    Self::Run { job, credit, name: String::from_utf8_lossy(name).into_owned() }
                }
                2 => Self::Accepted { credit: fields.u32("credit")? },
                3 => {
                    let known = [Refusal::Busy, Refusal::Unknown, Refusal::Broken];
                    let reason = packet::one_of(fields, "reason", known, |reason| *reason as u8)?;
                    Self::Refused { reason, text: packet::text(fields) }
                }
                4 => Self::Input(fields.remainder().into()),
                5 => Self::InputEnd,
                6 => {
                    let known = [Stream::Out, Stream::Err];
                    let stream = packet::one_of(fields, "stream", known, |stream| *stream as u8)?;
                    Self::Output(stream, fields.remainder().into())
                }
                7 => Self::Credit(fields.u32("credit")?),
                8 => {
                    let job = packet::u64(fields, "job")?;
                    let outcome = fields.u8("outcome")?;
                    let code = i32::from_be_bytes(fields.array("code")?);
                    let outcome = match outcome {
                        1 => Outcome::Exited(code),
                        2 => Outcome::Signalled(code),
                        3 => Outcome::TimeLimit,
                        4 => Outcome::OutputLimit,
                        other => {
                            let (field, value) = ("outcome", other.into());
                            return Err(fields.error(DecodeErrorKind::Value { field, value }));
                        }
                    };
                    Self::Done { job, outcome }
                }
                kind => return Err(fields.error(DecodeErrorKind::Message(kind))),
            };
            packet::finish(fields, packet)
        })
    }
}

fn cut(octets: &[u8], most: usize) -> &[u8] {
    &octets[..octets.len().min(most)]
}
