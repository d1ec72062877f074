//! `rserpool decode`: messages taken apart.

use anyhow::Context as _;
use rserpool_wire::{Message, Protocol};

use crate::output::{Format, Output};

/// Arguments of `rserpool decode`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Messages as hexadecimal digits.
    #[arg(value_name = "HEX")]
    messages: Vec<String>,
}

impl Args {
    /// Prints what the messages say.
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let mut messages = Vec::new();
        for text in &self.messages {
            let octets = octets(text).with_context(|| format!("{text:?} is not hexadecimal"))?;
            let decoded = Message::decode(Protocol::Asap, &octets).context("malformed message")?;
            messages.push((format!("{:#?}", decoded.message), octets.len()));
        }
        match output.format() {
            Format::Json => output.json(&messages)?,
            Format::Table | Format::Plain => {
                let row = |(text, octets): (String, usize)| vec![text, octets.to_string()];
                output.rows(&["MESSAGE", "OCTETS"], messages.into_iter().map(row))?;
            }
        }
        Ok(())
    }
}

fn octets(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
