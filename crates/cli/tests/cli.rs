//! The program as a whole: exit codes, where text goes, a reader that goes away.

use std::process::Stdio;

use assert_cmd::Command;

const DEREGISTRATION: &str = "020000180009000c4563686f506f6f6c000e000811223344";

fn rserpool() -> Command {
    Command::new(env!("CARGO_BIN_EXE_rserpool"))
}

#[test]
fn help_goes_to_standard_output_and_names_the_exit_codes() {
    let output = rserpool().arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for needle in ["decode", "--output", "--log-format", "69  no registrar reachable"] {
        assert!(text.contains(needle), "{needle} is missing in {text}");
    }
    assert!(output.stderr.is_empty());
}

#[test]
fn wrong_usage_is_exit_code_2_with_nothing_on_standard_output() {
    for args in [&["no-such-command"][..], &["decode", "-o", "yaml"], &[]] {
        let output = rserpool().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_failure_is_one_line_on_standard_error() {
    let output = rserpool().args(["decode", "xyz"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("rserpool: "), "{text}");
}

#[test]
fn without_file_descriptors_it_says_so() {
    let limited = |count: u32| {
        let script = format!("ulimit -n {count}; exec \"$0\" \"$@\"");
        let program = env!("CARGO_BIN_EXE_rserpool");
        let args = ["-c", &script, program, "resolve", "pool", "--registrar", "tcp://127.0.0.1:1"];
        let output = Command::new("sh").args(args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for count in 4..=12 {
        let (code, text) = limited(count);
        // With enough of them it waits for the registrar before, and says so.
        let last = text.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
        assert!(last.starts_with("rserpool: ") && !text.contains("panicked"), "{count}: {text}");
        assert!(matches!(code, Some(1..=100)), "{count}: {code:?}");
    }
    let (_, text) = limited(6);
    assert!(text.contains("too few file descriptors"), "{text}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_rserpool"))
        .args(["decode", DEREGISTRATION])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
