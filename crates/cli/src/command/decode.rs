//! `rserpool decode`: messages taken apart.

mod capture;
mod input;
mod packet;
mod print;
mod sctp;
mod tcp;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::net::SocketAddr;

use anyhow::bail;
use rserpool_wire::{Message, Protocol};

use crate::output::{Format, Output};

const LONG_HELP: &str = "\
Every message is printed, the malformed ones as far as they go. The exit code is 0 when at least one
message could be decoded, 1 when none could or the input cannot be read to its end.

Input is one of
  hexadecimal digits, one message an argument or line, in the protocol of --protocol;
  lines of NAME PPID HEX, as `-o plain` writes them; NAME has a character that is no hexadecimal
  digit, PPID is 11 (ASAP) or 12 (ENRP), HEX is - for no octets; lines after # are comments;
  a pcap or pcapng file (Ethernet, Linux cooked, raw IP, BSD loopback).
In a capture messages are found in SCTP by their payload protocol identifier, in SCTP over UDP (by
the checksum, or at port 9899), in TCP at ports 3863 and 9901, and in UDP datagrams there.

Output is
  table  the fields of every message with their offsets; with --list one line a message
  plain  NAME PPID HEX; with --list the columns of the list
  json   an array of objects with
    name         of a NAME PPID HEX line, else null
    frame, time_s, transport (sctp, tcp, udp), source, destination
                 where it stood in a capture (seconds since 1970), else null
    protocol     asap or enrp
    message      the message's name in the RFC
    octets       the message as hexadecimal digits
    error        null, or offset and text of what is wrong
    reports      the error causes that the RFCs want returned to the sender
    fields       offset, octets, name; kind (message, parameter, cause), number and length of what
                 has a header; value: a number, a fraction between 0 and 1 for loads, else text;
                 fields: what it consists of";

/// Take messages apart: hex or a capture in, annotated fields out.
#[derive(Debug, clap::Args)]
#[command(after_long_help = LONG_HELP)]
pub(crate) struct Args {
    /// Messages in hexadecimal digits, or files; - or no argument is standard input.
    #[arg(value_name = "HEX|FILE")]
    inputs: Vec<OsString>,

    /// The protocol of bare hexadecimal digits.
    #[arg(long, value_enum, default_value_t, value_name = "PROTOCOL")]
    protocol: ProtocolName,

    /// Print one line for each message.
    #[arg(long)]
    list: bool,
}

/// A protocol on the command line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
enum ProtocolName {
    /// ASAP (RFC 5352).
    #[default]
    Asap,
    /// ENRP (RFC 5353).
    Enrp,
}

/// A message in the input.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    /// What its line calls it.
    name: Option<String>,
    /// Where it stood in a capture.
    place: Option<Place>,
    protocol: Protocol,
    octets: Vec<u8>,
}

/// Where a message stood in a capture.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    /// Number of the frame that completed it, from 1.
    frame: u64,
    /// Seconds since 1970, where the capture says.
    time_s: Option<f64>,
    transport: &'static str,
    source: SocketAddr,
    destination: SocketAddr,
}

impl Args {
    /// Prints what the messages say.
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let protocol = match self.protocol {
            ProtocolName::Asap => Protocol::Asap,
            ProtocolName::Enrp => Protocol::Enrp,
        };
        let mut printer = match (self.list, output.format()) {
            (_, Format::Json) => print::Printer::json(output)?,
            (true, Format::Table | Format::Plain) => print::Printer::list(output),
            (false, Format::Table) => print::Printer::dumps(output),
            (false, Format::Plain) => print::Printer::lines(output),
        };
        let (mut messages, mut decoded) = (0_u64, 0_u64);
        let read = input::read(self.inputs, protocol, &mut |found| {
            messages += 1;
            decoded += u64::from(Message::decode(found.protocol, &found.octets).is_ok());
            Ok(printer.message(&found)?)
        });
        // What was found before the input broke off is printed, and JSON is ended properly.
        printer.finish()?;
        read?;
        match (messages, decoded) {
            (0, _) => bail!("no message found"),
            (1, 0) => bail!("the message is malformed"),
            (_, 0) => bail!("all {messages} messages are malformed"),
            _ => Ok(()),
        }
    }
}

/// The messages of a capture in memory.
#[cfg(test)]
pub(crate) fn decode_capture(octets: &[u8]) -> anyhow::Result<usize> {
    let mut count = 0;
    let mut sink = |_: Found| {
        count += 1;
        Ok(())
    };
    let start = octets[..octets.len().min(4)].to_vec();
    capture::read(start, std::io::Cursor::new(octets[octets.len().min(4)..].to_vec()), &mut sink)?;
    Ok(count)
}
