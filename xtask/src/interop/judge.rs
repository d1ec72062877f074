//! What tshark says about a capture.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

/// tshark knows our ports, but not that SCTP may be in UDP there.
const DECODE_AS: [&str; 4] = ["-d", "udp.port==3863,sctp", "-d", "udp.port==9901,sctp"];
/// Messages, malformed or not, and packets with a wrong SCTP checksum.
const FILTER: &str = "asap || enrp || _ws.malformed";
const FIELDS: [&str; 4] =
    ["frame.number", "asap.message_type", "enrp.message_type", "_ws.malformed"];

/// Counts the messages in the capture of a scenario; the error names those that are malformed.
pub(super) fn run(out: &Path) -> anyhow::Result<String> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(out.join("capture.pcapng")).args(DECODE_AS);
    command.args(["-Y", FILTER, "-T", "fields", "-E", "occurrence=a"]);
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let output = command.output().context("tshark")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "tshark: {errors}");
    judge(&String::from_utf8_lossy(&output.stdout))
}

fn judge(lines: &str) -> anyhow::Result<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut malformed = Vec::new();
    for line in lines.lines() {
        let mut fields = line.split('\t');
        let frame = fields.next().unwrap_or_default();
        for protocol in ["asap", "enrp"] {
            let types = fields.next().unwrap_or_default();
            for message_type in types.split(',').filter(|text| !text.is_empty()) {
                *counts.entry(format!("{protocol} {message_type}")).or_default() += 1;
            }
        }
        if !fields.next().unwrap_or_default().is_empty() {
            malformed.push(frame);
        }
    }
    ensure!(malformed.is_empty(), "tshark calls frames {} malformed", malformed.join(", "));
    ensure!(!counts.is_empty(), "tshark found no message in the capture");
    let counts: Vec<String> = counts.iter().map(|(what, n)| format!("{what}: {n}")).collect();
    Ok(format!("tshark: {}; none malformed", counts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_and_malformed_ones_named() {
        let found = judge("1\t1,8\t\t\n2\t8\t\t\n").unwrap();
        assert_eq!(found, "tshark: asap 1: 1, asap 8: 2; none malformed");
        let error = judge("1\t1\t\t\n7\t5\t\tMalformed Packet\n").unwrap_err();
        assert_eq!(error.to_string(), "tshark calls frames 7 malformed");
        assert!(judge("").is_err());
    }
}
