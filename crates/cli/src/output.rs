//! Standard output, in the form that was asked for.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::exit::OutputError;

/// The form of what goes to standard output.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people: aligned, with headings.
    #[default]
    Table,
    /// One JSON object or array, and nothing else.
    Json,
    /// For scripts: a line each, tabs between fields, no headings.
    Plain,
}

/// The form that was asked for, where a command has more than the others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// One that all have.
    General(Format),
    /// Variables of a shell.
    Env,
    /// `ADDRESS:PORT`.
    Hostport,
    /// `tcp://ADDRESS:PORT`.
    Url,
}

impl Form {
    /// Takes those that all commands have.
    pub(crate) fn general() -> impl TypedValueParser<Value = Self> {
        EnumValueParser::<Format>::new().map(Self::General)
    }

    /// The closest one that all have.
    pub(crate) fn format(self) -> Format {
        match self {
            Self::General(format) => format,
            Self::Env | Self::Hostport | Self::Url => Format::Plain,
        }
    }
}

impl Default for Form {
    fn default() -> Self {
        Self::General(Format::default())
    }
}

impl ValueEnum for Form {
    fn value_variants<'a>() -> &'a [Self] {
        const GENERAL: [Form; 3] = [
            Form::General(Format::Table),
            Form::General(Format::Json),
            Form::General(Format::Plain),
        ];
        const ALL: &[Form] =
            &[GENERAL[0], GENERAL[1], GENERAL[2], Form::Env, Form::Hostport, Form::Url];
        ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let own =
            |name: &'static str, help: &'static str| Some(PossibleValue::new(name).help(help));
        match self {
            Self::General(format) => format.to_possible_value(),
            Self::Env => {
                own("env", "Variables for a shell: WEB_HOST, WEB_PORT, WEB_ADDR of the first")
            }
            Self::Hostport => own("hostport", "ADDRESS:PORT, a line each"),
            Self::Url => own("url", "Such as tcp://ADDRESS:PORT, a line each"),
        }
    }
}

/// Standard output. Every line is out when the call returns.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    stdout: io::Stdout,
}

impl Output {
    /// Standard output in the given form.
    pub(crate) fn new(format: Format) -> Self {
        Self { format, stdout: io::stdout() }
    }

    /// Writes a line as it is.
    pub(crate) fn line(&mut self, line: impl Display) -> Result<(), OutputError> {
        Ok(writeln!(self.stdout, "{line}")?)
    }

    /// Writes octets as they are.
    pub(crate) fn octets(&mut self, octets: &[u8]) -> Result<(), OutputError> {
        self.stdout.write_all(octets)?;
        Ok(self.stdout.flush()?)
    }

    /// Writes a JSON value on one line.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), OutputError> {
        let line = serde_json::to_string(value).map_err(io::Error::from)?;
        self.line(line)
    }

    /// Writes rows of cells: under headings for people, with tabs between them for scripts.
    pub(crate) fn rows(
        &mut self,
        headings: &[&str],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> Result<(), OutputError> {
        if self.format == Format::Plain {
            return rows.into_iter().try_for_each(|row| self.line(row.join("\t")));
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(headings).add_rows(rows);
        table.column_iter_mut().for_each(|column| {
            column.set_padding((0, 2));
        });
        table.lines().try_for_each(|line| self.line(line.trim_end()))
    }

    /// The form that was asked for.
    pub(crate) fn format(&self) -> Format {
        self.format
    }
}

impl rserpool_bench::Output for Output {
    fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    fn json(&mut self, value: &serde_json::Value) -> anyhow::Result<()> {
        Ok(Self::json(self, value)?)
    }

    fn rows(&mut self, headings: &[&str], rows: Vec<Vec<String>>) -> anyhow::Result<()> {
        Ok(Self::rows(self, headings, rows)?)
    }
}

/// A duration as the options take it: their defaults in the help.
pub(crate) fn shown(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// How far something is, of `length` if that is known: a line on a terminal, else nothing.
pub(crate) fn progress(length: Option<u64>, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
