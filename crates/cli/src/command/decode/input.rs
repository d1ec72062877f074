//! From arguments to messages: hexadecimal digits, lines of them, captures.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use anyhow::{Context as _, bail};
use rserpool_wire::Protocol;

use super::{Found, capture};

/// What is done with each message.
pub(super) type Sink<'a> = dyn FnMut(Found) -> anyhow::Result<()> + 'a;

/// Longest line of a text, in octets: the longest message, with room for blanks and a name.
const LINE_MAX: u64 = 256 * 1024;

/// Reads all inputs; standard input where there are none.
pub(super) fn read(
    inputs: Vec<OsString>,
    protocol: Protocol,
    sink: &mut Sink<'_>,
) -> anyhow::Result<()> {
    if inputs.is_empty() {
        return read_file(io::stdin(), protocol, sink).context("standard input");
    }
    for input in inputs {
        if input == "-" {
            read_file(io::stdin(), protocol, sink).context("standard input")?;
        } else if let Some(octets) = input.to_str().and_then(octets) {
            sink(Found { name: None, place: None, protocol, octets })?;
        } else {
            let file = open(&input)?;
            read_file(file, protocol, sink).with_context(|| input.display().to_string())?;
        }
    }
    Ok(())
}

fn open(input: &OsStr) -> anyhow::Result<File> {
    let name = input.display();
    let file = File::open(input)
        .with_context(|| format!("{name} is neither hexadecimal digits nor a readable file"))?;
    if file.metadata().is_ok_and(|data| data.is_dir()) {
        bail!("{name} is a directory");
    }
    Ok(file)
}

fn read_file(
    file: impl Read + Send,
    protocol: Protocol,
    sink: &mut Sink<'_>,
) -> anyhow::Result<()> {
    let (mut start, mut file) = (Vec::new(), file);
    (&mut file).take(4).read_to_end(&mut start)?;
    if capture::is_capture(&start) {
        capture::read(start, file, sink)
    } else {
        read_lines(io::Cursor::new(start).chain(file), protocol, sink)
    }
}

fn read_lines(file: impl Read, protocol: Protocol, sink: &mut Sink<'_>) -> anyhow::Result<()> {
    let mut file = BufReader::new(file);
    for number in 1_u64.. {
        let mut line = Vec::new();
        (&mut file).take(LINE_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        if line.len() as u64 == LINE_MAX {
            bail!("line {number} is longer than {LINE_MAX} octets");
        }
        let text = str::from_utf8(&line).ok().map(str::trim);
        match text {
            Some(text) if text.is_empty() || text.starts_with('#') => {}
            text => {
                let found = text.and_then(|text| message(text, protocol)).with_context(|| {
                    format!("line {number} is neither hexadecimal digits nor NAME PPID HEX")
                })?;
                sink(found)?;
            }
        }
    }
    Ok(())
}

/// A line: `NAME PPID HEX`, or hexadecimal digits.
fn message(line: &str, protocol: Protocol) -> Option<Found> {
    let words: Vec<_> = line.split_whitespace().collect();
    if let [name, ppid, hex] = words[..]
        && name.contains(|c: char| !c.is_ascii_hexdigit())
    {
        let octets = if hex == "-" { vec![] } else { octets(hex)? };
        let protocol = Protocol::from_ppid(ppid.parse().ok()?)?;
        return Some(Found { name: Some(name.to_owned()), place: None, protocol, octets });
    }
    Some(Found { name: None, place: None, protocol, octets: octets(line)? })
}

/// The octets of pairs of hexadecimal digits with blanks or colons between them; `None` where it
/// is something else, or nothing.
fn octets(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let digits: Option<Vec<u32>> = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != ':')
        .map(|digit| digit.to_digit(16))
        .collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len() % 2 == 0)?;
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Result<Vec<Found>, String> {
        let mut all = Vec::new();
        let mut sink = |message| {
            all.push(message);
            Ok(())
        };
        let read = read_file(text.as_bytes(), Protocol::Enrp, &mut sink);
        read.map(|()| all).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn lines_are_hex_or_named_hex() {
        let all = found("# a comment\n\n05 00:000c aabbccdd\nhello 11 0a00\nempty 12 -\n").unwrap();
        let names: Vec<_> = all.iter().map(|found| found.name.as_deref()).collect();
        assert_eq!(names, [None, Some("hello"), Some("empty")]);
        assert_eq!(all[0].octets, [5, 0, 0, 12, 0xaa, 0xbb, 0xcc, 0xdd]);
        assert_eq!(all[0].protocol, Protocol::Enrp);
        assert_eq!((all[1].protocol, &all[1].octets[..]), (Protocol::Asap, &[10, 0][..]));
        assert!(all[2].octets.is_empty());
    }

    #[test]
    fn lines_that_are_neither_are_named() {
        let neither = |line| format!("line {line} is neither hexadecimal digits nor NAME PPID HEX");
        for text in ["hello\n", "hello 13 00\n", "000\n", "hello 11 zz\n", "\u{fffd}\n"] {
            assert_eq!(found(text), Err(neither(1)), "{text}");
        }
        assert_eq!(found("0500\n\n~"), Err(neither(3)));
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        let endless = "0".repeat(1 << 20);
        assert_eq!(found(&endless), Err("line 1 is longer than 262144 octets".to_owned()));
    }
}
