//! Reads the files of messages in `tests/golden`, and compares text with a file there.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::fs;
use std::path::PathBuf;

use rserpool_wire::Protocol;

/// The files of messages that can be decoded; of rsplib's own a few cannot.
pub(crate) const FILES: [&str; 3] = ["drawings", "rsplib-creator", "rsplib-captures"];

/// A message with a name.
#[derive(Clone, Debug)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) octets: Vec<u8>,
}

/// The messages of `tests/golden/FILE.hex`: `NAME PPID HEX` on each line, `-` for no octets.
pub(crate) fn vectors(file: &str) -> Vec<Vector> {
    let text = fs::read_to_string(path(&format!("{file}.hex"))).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(vector).collect()
}

fn vector(line: &str) -> Vector {
    let [name, ppid, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
        panic!("not NAME PPID HEX: {line}");
    };
    let digit = |c: u8| char::from(c).to_digit(16).unwrap_or_else(|| panic!("{line}"));
    let octet = |pair: &[u8]| u8::try_from(digit(pair[0]) << 4 | digit(pair[1])).unwrap();
    Vector {
        name: name.to_owned(),
        protocol: Protocol::from_ppid(ppid.parse().unwrap()).unwrap(),
        octets: if hex == "-" { vec![] } else { hex.as_bytes().chunks(2).map(octet).collect() },
    }
}

/// Compares `text` with `tests/golden/FILE`; with `BLESS=1` in the environment, writes it there.
pub(crate) fn assert_golden(file: &str, text: &str) {
    let path = path(file);
    if std::env::var_os("BLESS").is_some() {
        return fs::write(path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if expected != text {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let (expected, text) = (lines(&expected), lines(text));
        let line = (0..).find(|&row| expected.get(row) != text.get(row) || row > text.len());
        let row = line.unwrap_or_default();
        let path = path.display();
        let (was, is) = (expected.get(row), text.get(row));
        panic!("{path}:{}: expected {was:?}, found {is:?} (BLESS=1 takes it over)", row + 1);
    }
}

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file)
}
