//! `rserpool decode` on the captures of the lab, on hostile files, and what it prints.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

const DEREGISTRATION: &str = "020000180009000c4563686f506f6f6c000e000811223344";
const PRESENCE: &str = "0101002caabbccdd00000000000f00064deb0000000b0018aabbccdd\
                        0004001026ad000000010008c0000201";

fn decode(args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rserpool"));
    command.arg("decode").args(args).env_remove("RUST_LOG").write_stdin(input).output().unwrap()
}

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file)
}

fn capture(args: &[&str], file: &str) -> Output {
    decode(&[args, &[data(file).to_str().unwrap()]].concat(), b"")
}

fn text(octets: &[u8]) -> &str {
    str::from_utf8(octets).unwrap()
}

/// Standard output of what must have gone well.
#[track_caller]
fn printed(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The one line of what must have failed.
#[track_caller]
fn complaint(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let line = text(&output.stderr).strip_suffix('\n').unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    line.strip_prefix("rserpool: ").unwrap()
}

#[test]
fn a_message_is_taken_apart_field_by_field() {
    let expected = "    \
    0  ASAP_DEREGISTRATION, type 0x2, length 24
    1    Message Flags: 0x00
    4    Pool Handle, type 0x9, length 12: EchoPool
   16    PE Identifier, type 0xe, length 8: 0x11223344
";
    assert_eq!(printed(&decode(&[DEREGISTRATION], b"")), expected);
    let spaced = DEREGISTRATION.replace("000e", " 000e:");
    assert_eq!(printed(&decode(&[&spaced], b"")), expected);
    assert_eq!(printed(&decode(&[], DEREGISTRATION.as_bytes())), expected);
    assert_eq!(printed(&decode(&["-"], DEREGISTRATION.as_bytes())), expected);
}

#[test]
fn the_protocol_of_bare_digits_can_be_said() {
    let output = decode(&["--protocol", "enrp", "-o", "plain", PRESENCE], b"");
    assert_eq!(printed(&output), format!("enrp-presence 12 {PRESENCE}\n"));
}

#[test]
fn json_is_one_array_of_documented_fields() {
    let output = decode(&["--json"], format!("hello 12 {PRESENCE}\n{DEREGISTRATION}").as_bytes());
    let messages: Vec<Value> = serde_json::from_str(printed(&output)).unwrap();
    let presence = &messages[0];
    assert_eq!(presence["name"], "hello");
    assert_eq!(presence["protocol"], "enrp");
    assert_eq!(presence["message"], "ENRP_PRESENCE");
    assert_eq!(presence["octets"], PRESENCE);
    assert_eq!(presence["error"], Value::Null);
    assert_eq!(presence["frame"], Value::Null);
    let server = &presence["fields"][5];
    assert_eq!(
        (&server["name"], &server["kind"]),
        (&"Server Information".into(), &"parameter".into())
    );
    assert_eq!((&server["number"], &server["length"]), (&"0xb".into(), &24.into()));
    assert_eq!((&server["offset"], &server["octets"]), (&20.into(), &24.into()));
    assert_eq!(server["fields"][0]["value"], "0xaabbccdd");
    let transport = &server["fields"][1]["fields"];
    assert_eq!(transport[0]["value"], 9901);
    assert_eq!(transport[2]["value"], "192.0.2.1");
    assert_eq!(messages[1]["name"], Value::Null);
}

#[test]
fn json_says_what_is_wrong_and_what_to_report() {
    let unknown = "020000200009000c4563686f506f6f6c412300086162636411223344";
    let skipped = "020000200009000c4563686f506f6f6cc123000861626364000e000811223344";
    let output = decode(&["--json", unknown, skipped], b"");
    let messages: Vec<Value> = serde_json::from_str(printed(&output)).unwrap();
    assert_eq!(messages[0]["error"]["offset"], 2);
    assert_eq!(messages[0]["error"]["text"], "length 32 of Message Length is impossible");
    assert_eq!(messages[0]["reports"][0], "Unspecified Error (cause 0x0)");
    assert_eq!(messages[1]["error"], Value::Null);
    assert_eq!(messages[1]["reports"][0], "Unrecognized Parameter (cause 0x1)");
}

#[test]
fn loads_are_fractions_in_json_and_percent_in_text() {
    let policy = "0008000c4000000180000000";
    let element =
        format!("000a002c11223344000000000000012c000400100007000100010008c000020a{policy}");
    let message = format!("0100003c0009000c4563686f506f6f6c{element}");
    let output = decode(&[&message], b"");
    assert!(printed(&output).contains("load: 50.00 % (0x80000000)"), "{}", printed(&output));
    let output = decode(&["--json", &message], b"");
    let messages: Vec<Value> = serde_json::from_str(printed(&output)).unwrap();
    let load = &messages[0]["fields"][2]["fields"][4]["fields"][1];
    assert_eq!(load["name"], "load");
    assert!((load["value"].as_f64().unwrap() - 0.5).abs() < 1e-6);
}

#[test]
fn every_message_of_a_capture_is_found() {
    // As many as Wireshark finds.
    for (file, messages) in [("a-basic.pcap", 143), ("f-errors.pcap", 121)] {
        let output = capture(&["-o", "plain"], file);
        assert_eq!(printed(&output).lines().count(), messages, "{file}");
    }
    let creator = capture(&["-o", "plain"], "g-creator.pcap");
    let creator_ng = capture(&["-o", "plain"], "g-creator.pcapng");
    assert_eq!(printed(&creator).lines().count(), 50);
    assert_eq!(printed(&creator), printed(&creator_ng));
}

#[test]
fn a_capture_can_be_listed() {
    let list = capture(&["--list"], "f-errors.pcap");
    let expected = data("f-errors.list.txt");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&expected, &list.stdout).unwrap();
    }
    assert_eq!(printed(&list), fs::read_to_string(expected).unwrap());
    let plain = capture(&["--list", "-o", "plain"], "f-errors.pcap");
    let first = printed(&plain).lines().next().unwrap().split('\t').collect::<Vec<_>>();
    let route = ["10.0.0.1:43616", "10.0.0.1:3863", "sctp"];
    assert_eq!(first[..2], ["5", "0.000000"]);
    assert_eq!(first[2..5], route);
    assert_eq!(first[5..], ["56", "ASAP_REGISTRATION"]);
}

#[test]
fn plain_output_is_input() {
    let lines = capture(&["-o", "plain"], "a-basic.pcap");
    let again = decode(&["-o", "plain"], &lines.stdout);
    assert_eq!(printed(&again), printed(&lines));
}

#[test]
fn a_capture_may_come_through_a_pipe() {
    for file in ["g-creator.pcap", "g-creator.pcapng"] {
        let piped = decode(&["-o", "plain", "-"], &fs::read(data(file)).unwrap());
        assert_eq!(printed(&piped), printed(&capture(&["-o", "plain"], file)));
    }
}

#[test]
fn a_capture_says_when_and_from_where() {
    let output = capture(&["--json"], "a-basic.pcap");
    let messages: Vec<Value> = serde_json::from_str(printed(&output)).unwrap();
    let announce =
        messages.iter().find(|message| message["message"] == "ASAP_SERVER_ANNOUNCE").unwrap();
    assert_eq!(announce["transport"], "udp");
    assert!(announce["destination"].as_str().unwrap().ends_with(":3863"));
    assert!(announce["time_s"].as_f64().unwrap() > 1.6e9);
    assert!(announce["frame"].as_u64().unwrap() > 0);
}

#[test]
fn a_capture_without_messages_is_a_failure() {
    let output = capture(&[], "udp-encap.pcap");
    assert_eq!(complaint(&output), "no message found");
    let output = capture(&["--json"], "udp-encap.pcap");
    assert_eq!(text(&output.stdout).split_whitespace().collect::<String>(), "[]");
}

#[test]
fn malformed_messages_are_shown_and_fail_only_if_there_is_no_other() {
    let output = decode(&["05000002", DEREGISTRATION], b"");
    assert!(printed(&output).contains("2  ****** length 2 of Message Length is impossible"));
    let output = decode(&["05000002"], b"");
    assert_eq!(complaint(&output), "the message is malformed");
    assert!(text(&output.stdout).contains("****** length 2"));
    let output = decode(&["05000002", "3f000004"], b"");
    assert_eq!(complaint(&output), "all 2 messages are malformed");
}

#[test]
fn what_is_no_input_is_named() {
    assert_eq!(complaint(&decode(&[], b"")), "no message found");
    assert_eq!(
        complaint(&decode(&["no-such-file"], b"")),
        "no-such-file is neither hexadecimal digits nor a readable file: \
         No such file or directory (os error 2)"
    );
    assert_eq!(complaint(&decode(&["."], b"")), ". is a directory");
    assert_eq!(
        complaint(&decode(&[], b"\xff\xfe\xfd garbage")),
        "standard input: line 1 is neither hexadecimal digits nor NAME PPID HEX"
    );
    assert_eq!(
        complaint(&decode(&[], &[0; 1 << 20])),
        "standard input: line 1 is longer than 262144 octets"
    );
}

#[test]
fn a_capture_that_breaks_off_is_shown_as_far_as_it_goes() {
    let whole = fs::read(data("g-creator.pcap")).unwrap();
    let cut = decode(&["-o", "plain", "-"], &whole[..whole.len() - 1]);
    assert_eq!(complaint(&cut), "standard input: the capture ends in the middle after frame 49");
    assert_eq!(text(&cut.stdout).lines().count(), 49);
    let json = decode(&["--json", "-"], &whole[..whole.len() - 1]);
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&json.stdout).unwrap().len(), 49);
    for length in 4..24 {
        let start = decode(&[], &whole[..length]);
        assert_eq!(
            complaint(&start),
            "standard input: the start of the capture ends in the middle"
        );
    }
}

#[test]
fn a_frame_that_claims_to_be_huge_is_not_believed() {
    let mut octets = fs::read(data("g-creator.pcap")).unwrap();
    octets[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    let output = decode(&[], &octets);
    assert!(complaint(&output).contains("claims more octets than any frame has"));
}
