//! What a stranger can do to the log.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Stdio};
use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use super::client::Client;
use super::octets::{ROUND_ROBIN, element, handle, hex, registration, tcp};
use crate::programs::{Program, rserpool};

/// A registrar whose standard error belongs to the test.
struct Logging {
    child: Child,
    url: String,
}

impl Logging {
    /// Starts one that logs at this level; `None` for the default.
    fn at(level: Option<&str>) -> (Self, ChildStderr) {
        let mut command = rserpool(&["registrar", "--asap", "tcp://127.0.0.1:0", "-o", "json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(level) = level {
            command.env("RUST_LOG", level);
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let url = ready["asap"][0].as_str().unwrap().to_owned();
        let stderr = child.stderr.take().unwrap();
        (Self { child, url }, stderr)
    }

    /// Has it reject so many registrations, one after the other.
    fn rejects(&self, count: u32) {
        let mut client = Client::at(&self.url);
        let pool = handle(&[0xff; 30]);
        let elsewhere = tcp(7, [192, 0, 2, 1]);
        for id in 1..=count {
            let element = element(id, 0, 300, &[&elsewhere, &hex(ROUND_ROBIN)]);
            client.say(&registration(&pool, &element));
            let answer = client.message().unwrap();
            assert_eq!((answer[0], answer[1]), (3, 1), "a rejection");
        }
    }

    /// Tells it to end, and waits for that.
    fn end(mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, Signal::TERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn rejections_do_not_fill_the_log() {
    let (registrar, mut stderr) = Logging::at(None);
    let log = thread::spawn(move || {
        let mut log = Vec::new();
        stderr.read_to_end(&mut log).unwrap();
        log
    });
    registrar.rejects(5_000);
    registrar.end();
    let log = log.join().unwrap();
    assert!(log.len() < 65_536, "{} octets", log.len());
}

#[test]
fn of_many_lines_of_a_kind_some_are_written_and_the_others_counted() {
    let (registrar, mut stderr) = Logging::at(Some("info"));
    let log = thread::spawn(move || {
        let mut log = String::new();
        stderr.read_to_string(&mut log).unwrap();
        log
    });
    registrar.rejects(5_000);
    registrar.end();
    let log = log.join().unwrap();
    let written = log.lines().filter(|line| line.contains(" INFO rserpool::registrar")).count();
    let held_back = |line: &str| -> Option<usize> {
        let (_, more) = line.split_once("… and ")?;
        let (count, rest) = more.split_once(" more in ")?;
        assert!(rest.contains("s: registration rejected"), "{line}");
        count.parse().ok()
    };
    let held_back: usize = log.lines().filter_map(held_back).sum();
    assert!(written >= 100, "{log}");
    assert_eq!(written + held_back, 5_000, "{log}");
}

#[test]
fn a_log_that_nobody_reads_stops_nobody_and_says_what_is_missing() {
    let (registrar, mut stderr) = Logging::at(Some("trace"));
    registrar.rejects(5_000);
    let reader = thread::spawn(move || {
        let mut log = Vec::new();
        stderr.read_to_end(&mut log).unwrap();
        String::from_utf8_lossy(&log).into_owned()
    });
    // What is in the way is read, and there is room again.
    registrar.rejects(1);
    registrar.end();
    let log = reader.join().unwrap();
    assert!(log.contains(" lines were not written"), "{}", &log[log.len() - 1000..]);
}

#[test]
fn who_ends_does_not_wait_for_who_reads_its_log() {
    let (registrar, stderr) = Logging::at(Some("trace"));
    registrar.rejects(5_000);
    registrar.end();
    drop(stderr);
}

#[test]
fn a_level_that_is_none_is_said_so() {
    for (variable, wanted) in [("loud", "`loud`"), ("info,rserpool=much", "`rserpool=much`")] {
        let mut command = rserpool(&["probe"]);
        command.env("RUST_LOG", variable);
        let ended = Program::start(command).end();
        let line = ended.failure(78);
        assert!(line.contains("RUST_LOG") && line.contains(wanted), "{line}");
    }
}
