//! What is printed of a message.

use std::fmt;

use rserpool_wire::dump::{Dump, HeaderKind, Node, Value};
use rserpool_wire::param::Load;
use rserpool_wire::{Message, Protocol};
use serde::Serialize;

use super::{Found, Place};
use crate::exit::OutputError;
use crate::output::Output;

/// Prints messages in one of the forms.
pub(super) struct Printer<'a> {
    output: &'a mut Output,
    form: Form,
    /// Time of the first message, in seconds since 1970.
    start_s: Option<f64>,
    messages: u64,
}

enum Form {
    Dumps,
    Lines,
    List(Vec<Vec<String>>),
    Json,
}

impl<'a> Printer<'a> {
    /// Every field on a line.
    pub(super) fn dumps(output: &'a mut Output) -> Self {
        Self { output, form: Form::Dumps, start_s: None, messages: 0 }
    }

    /// `NAME PPID HEX`.
    pub(super) fn lines(output: &'a mut Output) -> Self {
        Self { form: Form::Lines, ..Self::dumps(output) }
    }

    /// A line each, in columns.
    pub(super) fn list(output: &'a mut Output) -> Self {
        Self { form: Form::List(Vec::new()), ..Self::dumps(output) }
    }

    /// An array of objects.
    pub(super) fn json(output: &'a mut Output) -> Result<Self, OutputError> {
        output.line("[")?;
        Ok(Self { form: Form::Json, ..Self::dumps(output) })
    }

    /// Prints a message.
    pub(super) fn message(&mut self, found: &Found) -> Result<(), OutputError> {
        let time_s = found.place.and_then(|place| place.time_s);
        self.start_s = self.start_s.or(time_s);
        let since_start_s = time_s.zip(self.start_s).map(|(time, start)| time - start);
        self.messages += 1;
        let dump = Dump::new(found.protocol, &found.octets);
        match &mut self.form {
            Form::Dumps => {
                if self.messages > 1 {
                    self.output.line("")?;
                }
                if let Some(title) = title(found, since_start_s) {
                    self.output.line(title)?;
                }
                self.output.line(dump.to_string().trim_end())
            }
            Form::Lines => self.output.line(line(found, &dump)),
            Form::List(rows) => {
                rows.push(row(found, since_start_s, &dump));
                Ok(())
            }
            Form::Json => {
                if self.messages > 1 {
                    self.output.line(",")?;
                }
                self.output.json(&json(found, &dump))
            }
        }
    }

    /// Ends the output.
    pub(super) fn finish(self) -> Result<(), OutputError> {
        let headings = ["FRAME", "TIME", "SOURCE", "DESTINATION", "VIA", "OCTETS", "MESSAGE"];
        match self.form {
            Form::Dumps | Form::Lines => Ok(()),
            Form::List(rows) => self.output.rows(&headings, rows),
            Form::Json => self.output.line("]"),
        }
    }
}

fn title(found: &Found, since_start_s: Option<f64>) -> Option<String> {
    if let Some(name) = &found.name {
        return Some(name.clone());
    }
    let Place { frame, transport, source, destination, .. } = found.place?;
    let time = since_start_s.map(|time| format!(", {time:+.6} s")).unwrap_or_default();
    Some(format!("frame {frame}{time}, {transport} {source} > {destination}"))
}

fn line(found: &Found, dump: &Dump) -> String {
    let message = dump.root.name.to_lowercase().replace(['_', ' '], "-");
    let name = match (&found.name, found.place) {
        (Some(name), _) => name.clone(),
        (None, Some(place)) => format!("frame-{}-{message}", place.frame),
        (None, None) => message,
    };
    let octets = if found.octets.is_empty() { "-".to_owned() } else { hex(&found.octets) };
    format!("{name} {} {octets}", found.protocol.ppid())
}

fn row(found: &Found, since_start_s: Option<f64>, dump: &Dump) -> Vec<String> {
    fn cell(value: Option<impl fmt::Display>) -> String {
        value.map(|value| value.to_string()).unwrap_or_default()
    }
    let error = dump.error.as_ref().map(|error| format!(" ({error})"));
    vec![
        cell(found.place.map(|place| place.frame)),
        cell(since_start_s.map(|time| format!("{time:.6}"))),
        cell(found.place.map(|place| place.source)),
        cell(found.place.map(|place| place.destination)),
        cell(found.place.map(|place| place.transport)),
        found.octets.len().to_string(),
        format!("{}{}", found.name.as_deref().unwrap_or(dump.root.name), cell(error)),
    ]
}

/// The fields of a message in JSON; `rserpool decode --help` documents them.
#[derive(Serialize)]
struct JsonMessage<'a> {
    name: Option<&'a str>,
    frame: Option<u64>,
    time_s: Option<f64>,
    transport: Option<&'static str>,
    source: Option<String>,
    destination: Option<String>,
    protocol: &'static str,
    message: &'static str,
    octets: String,
    error: Option<JsonError>,
    reports: Vec<String>,
    fields: Vec<JsonField>,
}

#[derive(Serialize)]
struct JsonError {
    offset: usize,
    text: String,
}

#[derive(Serialize)]
struct JsonField {
    offset: usize,
    octets: usize,
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<JsonValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Self>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum JsonValue {
    Number(i64),
    Fraction(f64),
    Text(String),
}

fn json<'a>(found: &'a Found, dump: &Dump) -> JsonMessage<'a> {
    let reports = match Message::decode(found.protocol, &found.octets) {
        Ok(decoded) => decoded.reports(&found.octets),
        Err(error) => error.cause(&found.octets).into_iter().collect(),
    };
    JsonMessage {
        name: found.name.as_deref(),
        frame: found.place.map(|place| place.frame),
        time_s: found.place.and_then(|place| place.time_s),
        transport: found.place.map(|place| place.transport),
        source: found.place.map(|place| place.source.to_string()),
        destination: found.place.map(|place| place.destination.to_string()),
        protocol: match found.protocol {
            Protocol::Asap => "asap",
            Protocol::Enrp => "enrp",
        },
        message: dump.root.name,
        octets: hex(&found.octets),
        error: dump
            .error
            .as_ref()
            .map(|error| JsonError { offset: error.offset, text: error.kind.to_string() }),
        reports: reports.iter().map(ToString::to_string).collect(),
        fields: dump.root.inner.iter().map(json_field).collect(),
    }
}

fn json_field(node: &Node) -> JsonField {
    JsonField {
        offset: node.offset,
        octets: node.octets,
        name: node.name,
        kind: node.header.map(|header| match header.kind {
            HeaderKind::Message => "message",
            HeaderKind::Parameter => "parameter",
            HeaderKind::Cause => "cause",
        }),
        number: node.header.map(|header| format!("{:#x}", header.number)),
        length: node.header.map(|header| header.length),
        value: node.value.as_ref().map(|value| match value {
            Value::Number(number) => JsonValue::Number(*number),
            Value::Fraction(share) => JsonValue::Fraction(Load(*share).fraction()),
            other => JsonValue::Text(other.to_string()),
        }),
        fields: node.inner.iter().map(json_field).collect(),
    }
}

fn hex(octets: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(2 * octets.len());
    for octet in octets {
        // A string takes any octet.
        let _ = write!(text, "{octet:02x}");
    }
    text
}
