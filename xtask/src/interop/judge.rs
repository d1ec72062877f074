//! What tshark says about a capture.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::Scenario;

/// Messages, malformed or not.
const FILTER: &str = "asap || enrp || _ws.malformed";
const FIELDS: [&str; 4] =
    ["frame.number", "asap.message_type", "enrp.message_type", "_ws.malformed"];

/// Has the capture of a scenario read by tshark and by `binary`, which is our program. Counts the
/// messages that are to be judged; the error names those that are malformed. Where somebody is
/// hostile, ours need not be able to read everything.
pub(super) fn run(out: &Path, binary: &Path, scenario: &Scenario) -> anyhow::Result<String> {
    let found = by_tshark(out, scenario.judged, scenario.decode_as)?;
    if scenario.is_hostile {
        return Ok(found);
    }
    Ok(format!("{found}\n{}", by_decode(out, binary)?))
}

fn by_tshark(out: &Path, judged: &str, decode_as: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(out.join("capture.pcapng"));
    // It takes a presence over TCP for STUN where the lengths happen to fit.
    command.args(["--disable-protocol", "classicstun"]);
    for what in decode_as {
        command.args(["-d", what]);
    }
    let filter = format!("({judged}) && ({FILTER})");
    command.args(["-Y", &filter, "-T", "fields", "-E", "occurrence=a"]);
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let output = command.output().context("tshark")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "tshark: {errors}");
    judge(&String::from_utf8_lossy(&output.stdout))
}

/// `rserpool decode` finds messages where tshark does not look: ENRP over TCP.
fn by_decode(out: &Path, binary: &Path) -> anyhow::Result<String> {
    let mut command = Command::new(binary);
    command.args(["-o", "json", "decode"]).arg(out.join("capture.pcapng"));
    let output = command.output().context("rserpool decode")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "rserpool decode: {errors}");
    let messages: Vec<Value> = serde_json::from_slice(&output.stdout).context("its output")?;
    let wrong = messages.iter().find(|message| !message["error"].is_null());
    ensure!(wrong.is_none(), "rserpool decode cannot read {}", wrong.unwrap_or(&Value::Null));
    let is_enrp = |message: &&Value| message["protocol"] == "enrp";
    let enrp = messages.iter().filter(is_enrp).count();
    Ok(format!("rserpool decode: asap: {}, enrp: {enrp}; none wrong", messages.len() - enrp))
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
