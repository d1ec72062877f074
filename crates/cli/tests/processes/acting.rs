//! What operators do with elements of running registrars.

use serde_json::Value;
use tempfile::TempDir;

use crate::programs::{Ended, Registrar, Server, members, run, until};

/// Registrars of one scope, each with a socket for operators.
struct Scope {
    registrars: Vec<Registrar>,
    folder: TempDir,
}

impl Scope {
    fn new(count: usize) -> Self {
        let mut scope = Self { registrars: Vec::new(), folder: tempfile::tempdir().unwrap() };
        for number in 0..count {
            let (id, admin) = (format!("0x{}", number + 1), scope.socket(number));
            let mut args = vec!["--asap", "tcp://127.0.0.1:0", "--enrp", "tcp://127.0.0.1:0"];
            args.extend(["--id", &id, "--admin", &admin]);
            let peers: Vec<String> = scope.registrars.iter().map(|it| it.enrp[0].clone()).collect();
            args.extend(peers.iter().flat_map(|peer| ["--peer", peer]));
            scope.registrars.push(Registrar::with(&args));
        }
        scope
    }

    fn socket(&self, number: usize) -> String {
        format!("unix:{}", self.folder.path().join(format!("{number}.sock")).display())
    }

    /// A command for operators, of all registrars.
    fn all(&self, args: &[&str]) -> Ended {
        let urls: Vec<String> = (0..self.registrars.len()).map(|it| self.socket(it)).collect();
        run(&[args, &["--admin", &urls.join(",")]].concat())
    }

    /// Whom each registrar tells users of.
    fn listed(&self) -> Vec<Vec<String>> {
        self.registrars.iter().map(|it| members(it.tcp(), "EchoPool")).collect()
    }
}

fn ids(of: &[&Server]) -> Vec<String> {
    let mut ids: Vec<String> = of.iter().map(|server| server.id.clone()).collect();
    ids.sort();
    ids
}

/// The last column of a plain table.
fn outcomes(ended: &Ended) -> Vec<String> {
    ended.stdout.lines().map(|line| line.rsplit('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn an_element_is_drained_at_all_registrars_and_comes_back() {
    let mut scope = Scope::new(3);
    let home = scope.registrars[0].tcp().to_owned();
    let (stays, goes) = (Server::echo(&home), Server::echo(&home));
    let both = vec![ids(&[&stays, &goes]); 3];
    until("all know both", || scope.listed() == both);
    let drain = ["drain", "EchoPool", &goes.id, "--for", "20m", "--reason", "kernel"];
    let done = scope.all(&[&drain[..], &["-o", "plain"]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(outcomes(&done), ["not listed for 1200 s"; 3]);
    assert_eq!(scope.listed(), vec![ids(&[&stays]); 3]);
    let elements = scope.all(&["elements", "EchoPool", "-o", "json"]).json();
    let held: Vec<&Value> =
        elements.as_array().unwrap().iter().filter(|it| it["listed"] == false).collect();
    assert_eq!((held.len(), &held[0]["id"]), (1, &goes.id.clone().into()));
    let holds = scope.all(&["holds", "-o", "json"]).json();
    let by = holds[0]["by"].as_str().unwrap();
    assert!(by.starts_with("uid ") && holds[0]["reason"] == "kernel", "{holds}");
    let explained = scope.all(&["explain", "EchoPool", &goes.id]).stdout;
    assert!(explained.contains("an operator holds it"), "{explained}");
    let audit = scope.all(&["events", "--type", "admin", "-o", "json"]).stdout;
    assert!(audit.contains(r#""outcome":"done""#) && audit.contains(&goes.id), "{audit}");
    // The last one only by force; nobody has done it then.
    let refused = scope.all(&["drain", "EchoPool", &stays.id]);
    assert!(refused.code == Some(1) && refused.stderr.contains("--force"), "{refused:?}");
    assert_eq!(scope.listed(), vec![ids(&[&stays]); 3]);
    // Its home dies: the others hold it still, and say who did not answer.
    drop(scope.registrars.remove(0));
    until("the others have both", || {
        let rows = run(&["elements", "-o", "json", "--admin", &scope.socket(1)]).json();
        let rows = rows.as_array().unwrap();
        rows.len() == 2 && rows.iter().all(|it| it["home"] != "0x00000001")
    });
    assert_eq!(scope.listed(), vec![ids(&[&stays]); 2]);
    let all = [0, 1, 2].map(|number| scope.socket(number)).join(",");
    let undrain = run(&["undrain", "EchoPool", &goes.id, "-o", "plain", "--admin", &all]);
    assert_eq!(outcomes(&undrain)[1..], ["listed", "listed"]);
    assert!(undrain.code == Some(1) && undrain.stderr.contains("others have"), "{undrain:?}");
    assert_eq!(scope.listed(), vec![ids(&[&stays, &goes]); 2]);
}

#[test]
fn a_pool_or_a_host_is_drained_as_a_whole() {
    let scope = Scope::new(1);
    let home = scope.registrars[0].tcp().to_owned();
    let (one, two) = (Server::echo(&home), Server::echo(&home));
    let refused = scope.all(&["drain", "EchoPool"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("--force"), "{refused:?}");
    assert_eq!(scope.listed()[0].len(), 1);
    assert_eq!(scope.all(&["drain", "EchoPool", "--force"]).code, Some(0));
    assert_eq!(scope.listed()[0].len(), 0);
    assert_eq!(scope.all(&["undrain", "--host", "127.0.0.1"]).code, Some(0));
    assert_eq!(scope.listed()[0], ids(&[&one, &two]));
    let nobody = scope.all(&["drain", "--host", "10.0.0.9"]);
    assert!(nobody.failure(1).contains("there is no element at 10.0.0.9"));
    assert_eq!(scope.all(&["drain"]).code, Some(2));
    assert_eq!(run(&["drain", "a", "1", "--admin", "http://127.0.0.1:1"]).code, Some(69));
}

#[test]
fn who_is_evicted_is_gone_everywhere() {
    let scope = Scope::new(2);
    let home = scope.registrars[0].tcp().to_owned();
    let (stays, goes) = (Server::echo(&home), Server::echo(&home));
    until("both know both", || scope.listed() == vec![ids(&[&stays, &goes]); 2]);
    let done = scope.all(&["evict", "EchoPool", &goes.id, "--ban", "60s", "-o", "plain"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let outcomes = outcomes(&done);
    assert_eq!(outcomes[0], "removed, refused for 60.0 s");
    // The other one may have been told of it already.
    let (still, gone) =
        ("refused for 60.0 s; its home is 0x00000001", "not there, refused for 60.0 s");
    assert!([still, gone].contains(&outcomes[1].as_str()), "{outcomes:?}");
    until("it is gone", || scope.listed() == vec![ids(&[&stays]); 2]);
    let explained = scope.all(&["explain", "EchoPool", &goes.id]).stdout;
    assert!(explained.contains("an operator evicted it"), "{explained}");
    for registrar in &scope.registrars {
        let serve = ["serve", "echo", "--listen", "127.0.0.1", "--transport", "tcp"];
        let again = ["--id", &goes.id, "--wait", "5s", "--registrar", registrar.tcp()];
        let refused = run(&[&serve[..], &again].concat());
        assert!(refused.failure(1).contains("security considerations"), "{refused:?}");
    }
}

#[test]
fn registrars_that_know_the_same_agree_and_what_differs_is_named() {
    let scope = Scope::new(3);
    let (one, two) =
        (Server::echo(scope.registrars[0].tcp()), Server::echo(scope.registrars[1].tcp()));
    let agreed = scope.all(&["verify", "--wait", "60s", "-o", "json"]);
    assert_eq!(agreed.code, Some(0), "{agreed:?}");
    let agreed = agreed.json();
    assert_eq!(
        (&agreed["agree"], agreed["registrars"].as_array().unwrap().len()),
        (&true.into(), 3)
    );
    until("all know both", || scope.listed() == vec![ids(&[&one, &two]); 3]);
    // One of them was not told.
    let first = scope.socket(0);
    assert_eq!(run(&["drain", "EchoPool", &one.id, "--admin", &first]).code, Some(0));
    let differ = scope.all(&["verify", "--wait", "0s"]);
    let hold = format!("0x00000001 has a hold of {} in EchoPool, 0x00000002 has not", one.id);
    assert!(differ.code == Some(1) && differ.stderr.contains(&hold), "{differ:?}");
    assert_eq!(scope.all(&["undrain", "EchoPool", &one.id]).code, Some(0));
    assert_eq!(scope.all(&["verify", "--wait", "60s"]).code, Some(0));
    let nobody = [first.as_str(), "unix:/no/such.sock"].join(",");
    let silent = run(&["verify", "--wait", "0s", "--admin", &nobody]);
    assert!(silent.code == Some(1) && silent.stderr.contains("/no/such.sock"), "{silent:?}");
    assert_eq!(run(&["verify", "--admin", "unix:/no/such.sock"]).code, Some(69));
}

/// An order to a registrar, by its socket; the status line and the body.
pub(crate) fn order(socket: &str, path: &str, body: &str) -> String {
    use std::io::{Read as _, Write as _};
    let path_of_socket = socket.strip_prefix("unix:").unwrap();
    let mut stream = std::os::unix::net::UnixStream::connect(path_of_socket).unwrap();
    let method = if path.starts_with("/v1") { "POST" } else { "GET" };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_registrar_leaves_when_an_operator_wants_it_and_is_not_ready_before() {
    let mut scope = Scope::new(2);
    let (first, second) = (scope.registrars[0].tcp().to_owned(), scope.socket(0));
    let server = Server::echo(&first);
    until("both know it", || scope.listed() == vec![ids(&[&server]); 2]);
    assert!(order(&second, "/readyz", "").starts_with("HTTP/1.1 200"));
    assert!(order(&second, "/v1/registrar/leave", r#"{"delay_ms":600001}"#).contains(" 400 "));
    assert!(order(&second, "/v1/reload", "").contains("no configuration file"));
    assert!(order(&second, "/v1/registrar/quiesce", "").starts_with("HTTP/1.1 200"));
    let unready = order(&second, "/readyz", "");
    assert!(unready.starts_with("HTTP/1.1 503") && unready.contains("quiesced"), "{unready}");
    // It serves on until it is to leave.
    assert_eq!(members(&first, "EchoPool"), ids(&[&server]));
    assert!(order(&second, "/v1/registrar/leave", "").starts_with("HTTP/1.1 200"));
    assert_eq!(scope.registrars.remove(0).program.ended().code, Some(0));
    assert_eq!(scope.listed(), vec![ids(&[&server])]);
}
