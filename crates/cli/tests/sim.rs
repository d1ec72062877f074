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
    for key in ["faults", "messages", "requests_resolved", "session_replies", "virtual_hours"] {
        assert!(summary[key].as_f64().unwrap() > 0.0, "{key} in {summary}");
    }
}

#[test]
fn help_says_what_each_experiment_is() {
    let help = |args: &[&str]| String::from_utf8(sim(args).stdout).unwrap();
    let list = help(&["--help"]);
    for experiment in rserpool_sim::experiment::ALL {
        assert!(list.contains(experiment.title), "{}: {list}", experiment.name);
        let long = help(&[experiment.name, "--help"]);
        assert!(long.starts_with(experiment.title), "{long}");
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

#[test]
fn an_experiment_prints_tables_and_leaves_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new");
    let dir = ["--dir", path.to_str().unwrap()];
    let figure = ["increment", "--runs", "2", "--only", "10"];
    let output = sim(&[&figure[..], &dir[..]].concat());
    assert_eq!(output.status.code(), Some(0));
    let table = String::from_utf8(output.stdout).unwrap();
    let cells = table.split_whitespace().collect::<Vec<_>>().join(" ");
    let law = "law 10.00 5.00 10.00 5.00 2.00 5.00 10.00 5.00 10.00 1.00";
    assert!(cells.contains(law), "{table}");

    let csv = std::fs::read_to_string(path.join("increment-10.csv")).unwrap();
    assert!(csv.starts_with("series,x,metric,mean,half_width,known,origin\n"));
    assert!(csv.contains("\"RR\",5,elements-used,2,0,2,law\n"), "{csv}");
    let svg = std::fs::read_to_string(path.join("increment-10-elements-used.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("Increment k"));
    let png = std::fs::read(path.join("increment-10-utilisation.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG"));

    let output = sim(&[&figure[..], &dir[..], &["--json"]].concat());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["experiment"], "increment");
    assert_eq!(report["values"].as_array().unwrap().len(), 20);
    assert_eq!(report["files"].as_array().unwrap().len(), 5);
}

#[test]
fn an_experiment_that_is_none_is_wrong_usage_and_one_that_cannot_be_written_fails_at_once() {
    assert_eq!(sim(&["utilization"]).status.code(), Some(2));
    for wrong in [["--runs", "0"], ["--runs", "1000000"], ["--jobs", "0"], ["--jobs", "65535"]] {
        assert_eq!(sim(&[&["increment"], &wrong[..]].concat()).status.code(), Some(2), "{wrong:?}");
    }
    let output = sim(&["increment", "--only", "none"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("increment-10, increment-24"), "{error}");
    assert_eq!(sim(&["utilisation", "--dir", "/dev/null/x"]).status.code(), Some(1));
}
