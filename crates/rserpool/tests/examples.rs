//! The examples as the README runs them, against each other.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test")]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// What takes longer hangs. No result depends on it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running example; killed when it is dropped.
struct Example {
    child: Child,
    lines: Receiver<String>,
}

impl Example {
    fn start(name: &str, args: &[&str]) -> Self {
        let mut command = Command::new(path(name));
        let mut child = command.args(args).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The next line of its standard output.
    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    /// Waits for this line.
    fn says(&self, wanted: &str) {
        while self.line() != wanted {}
    }

    /// The first word of the next line.
    fn word(&self) -> String {
        self.line().split(' ').next().unwrap().to_owned()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo puts an example: beside the folder of this test. One that is not there is built, for
/// `cargo test --tests` does not.
fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let path = folder.join("examples").join(name);
    if !path.exists() {
        let profile = folder.file_name().and_then(OsStr::to_str).unwrap();
        let profile = if profile == "debug" { "dev" } else { profile };
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "rserpool", "--examples"])
            .args(["--profile", profile, "--target-dir"])
            .arg(folder.parent().unwrap())
            .status();
        assert!(built.unwrap().success(), "the examples cannot be built");
    }
    path
}

#[test]
fn a_user_goes_on_when_the_element_that_it_speaks_with_is_killed() {
    let registrar = Example::start("registrar", &["tcp://127.0.0.1:0"]);
    let serving = registrar.line();
    let (_, url) = serving.rsplit_once(' ').unwrap();

    let mut elements = Vec::new();
    for _ in 0..2 {
        let element = Example::start("element", &[url]);
        elements.push((element.word(), element));
        let (id, _) = elements.last().unwrap();
        registrar.says(&format!("{id} joined ExamplePool"));
    }

    let user = Example::start("user", &[url]);
    let first = user.line();
    let (server, answer) = first.split_once(' ').unwrap();
    assert_eq!(answer, "answers question 1");
    let (mut killed, stays): (Vec<_>, Vec<_>) =
        elements.into_iter().partition(|(id, _)| id == server);
    assert_eq!((killed.len(), stays.len()), (1, 1));
    drop(killed.remove(0).1);
    let other = &stays[0].0;
    // It may have asked the next question before.
    user.says(&format!("{server} has failed, {other} takes over"));
    assert!(user.line().starts_with(&format!("{other} answers question ")));
    registrar.says(&format!("{server} left ExamplePool: AssociationLost"));
}

#[test]
fn no_payment_counts_twice_whichever_servers_are_killed_meanwhile() {
    const PAYMENTS: u64 = 600;
    let registrar = Example::start("registrar", &["tcp://127.0.0.1:0"]);
    let serving = registrar.line();
    let (_, url) = serving.rsplit_once(' ').unwrap();
    let serve = || {
        let server = Example::start("transfer", &["serve", url]);
        (server.word(), server)
    };
    let mut servers = vec![serve(), serve()];
    let client = Example::start("transfer", &["pay", &PAYMENTS.to_string(), url]);
    let mut expected = 0;
    for number in 1..=PAYMENTS {
        let line = client.line();
        let words: Vec<&str> = line.split(' ').collect();
        expected += number;
        assert_eq!(words[..2], [number.to_string(), expected.to_string()], "{line}");
        // In the midst of a payment, for the client has gone on.
        if number % 150 == 0 && number < PAYMENTS {
            let (killed, stay): (Vec<_>, Vec<_>) =
                servers.into_iter().partition(|(id, _)| id == words[2]);
            assert_eq!(killed.len(), 1, "{line}");
            drop(killed);
            servers = stay;
            servers.push(serve());
        }
    }
}

#[test]
fn the_examples_are_as_short_as_the_readme_says() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples");
    for name in ["registrar", "element", "user", "service"] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.rs"))).unwrap();
        assert!(text.lines().count() < 60, "{name}");
    }
}
