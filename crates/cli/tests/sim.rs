//! `rserpool sim`: summaries, traces, the same world twice.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test")]

use assert_cmd::Command;

fn sim(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_rserpool")).arg("sim").args(args).output().unwrap()
}

#[test]
fn chaos_sums_up_its_worlds() {
    let output = sim(&["chaos", "--seeds", "5..9", "--jobs", "2", "-o", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["worlds"], 4);
    assert_eq!(summary["violations"], serde_json::json!([]));
    for key in ["faults", "messages", "requests_resolved", "virtual_hours"] {
        assert!(summary[key].as_f64().unwrap() > 0.0, "{key} in {summary}");
    }
}

#[test]
fn a_replay_is_the_same_every_time() {
    let [one, two] = [0, 1].map(|_| sim(&["replay", "7"]));
    assert_eq!(one.status.code(), Some(0));
    assert!(one.stdout.len() > 10_000);
    assert_eq!(one.stdout, two.stdout);
}

#[test]
fn seeds_are_a_range() {
    for seeds in ["7", "9..9", "a..b", "3..1"] {
        assert_eq!(sim(&["chaos", "--seeds", seeds]).status.code(), Some(2), "{seeds}");
    }
}
