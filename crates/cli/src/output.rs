//! Standard output, in the form that was asked for.

use std::fmt::Display;
use std::io::{self, Write as _};

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

/// How far something is, of `length` if that is known: a line on a terminal, else nothing.
pub(crate) fn progress(length: Option<u64>, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
