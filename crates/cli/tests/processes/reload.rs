//! SIGHUP: a registrar reads its configuration file again.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::programs::{Program, Registrar, Server, members, rserpool, run};
use crate::running::entry;

/// A registrar with a configuration file, and its log.
struct Configured {
    program: Program,
    file: PathBuf,
    asap: String,
    _folder: TempDir,
}

const HEAD: &str = "asap = ['tcp://127.0.0.1:0']\nenrp = ['tcp://127.0.0.1:0']\n";

impl Configured {
    fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("registrar.toml");
        fs::write(&file, HEAD).unwrap();
        let config = file.to_str().unwrap();
        let head = ["registrar", "--config", config, "-o", "json", "--log-format", "json", "-v"];
        let mut program = Program::start(rserpool(&[&head[..], flags].concat()));
        let asap = program.json()["asap"][0].as_str().unwrap().to_owned();
        Self { program, file, asap, _folder: folder }
    }

    /// Has it read a file with these lines.
    fn reload(&self, lines: &str) {
        fs::write(&self.file, format!("{HEAD}{lines}")).unwrap();
        self.program.signal(Signal::HUP);
    }

    /// The next thing that it says of its configuration.
    fn says(&mut self, message: &str) -> Value {
        entry(&mut self.program, message)
    }

    /// What becomes of a server that registers there.
    fn refuses(&self) -> String {
        let serve = ["serve", "echo", "--listen", "127.0.0.1", "--transport", "tcp"];
        let refused = run(&[&serve[..], &["--registrar", &self.asap]].concat());
        refused.failure(1).to_owned()
    }
}

#[test]
fn sighup_has_a_registrar_go_by_its_file_and_tells_what_takes_a_restart() {
    let mut registrar = Configured::start(&["--id", "0x11"]);
    registrar.reload("strict_rfc_keepalive = true\n[limits]\nhandle_octets = 4\n");
    assert_eq!(registrar.says("configuration changed")["changed"], "limits.handle_octets");
    let restart = "these settings change when this registrar is restarted";
    assert_eq!(registrar.says(restart)["settings"], "strict_rfc_keepalive");
    assert!(registrar.refuses().contains("a pool handle of 8 octets"));
    // Who is there stays.
    // A flag wins over the file, now as at the start.
    registrar.reload("id = 0x22\n");
    assert_eq!(registrar.says("configuration changed")["changed"], "limits.handle_octets");
    let server = Server::echo(&registrar.asap);
    assert_eq!(members(&registrar.asap, "EchoPool"), std::slice::from_ref(&server.id));
    registrar.reload("id = 0x22\n");
    registrar.says("nothing to change");
}

#[test]
fn a_file_that_makes_no_sense_changes_nothing_and_all_of_it_is_said() {
    let mut registrar = Configured::start(&[]);
    registrar.reload("[limits]\nhandle_octets = 4\n");
    registrar.says("configuration changed");
    registrar.reload("[limits]\npools = 0\nelements = 0\n");
    let said = registrar.says("the configuration is not changed");
    let said = said["error"].as_str().unwrap();
    assert!(said.contains("limits.pools is 0") && said.contains("limits.elements is 0"), "{said}");
    registrar.reload("[limits]\npoools = 1\n");
    let said = registrar.says("the configuration is not changed");
    assert!(said["error"].as_str().unwrap().contains("line 4, column 1"), "{said}");
    assert!(registrar.refuses().contains("a pool handle of 8 octets"));
}

#[test]
fn a_registrar_that_is_new_in_the_file_is_met() {
    let other = ["--asap", "tcp://127.0.0.1:0", "--enrp", "tcp://127.0.0.1:0", "--id", "0x33"];
    let other = Registrar::with(&other);
    let mut registrar = Configured::start(&["--id", "0x11"]);
    let _server = Server::echo(other.tcp());
    registrar.reload(&format!("peers = ['{}']\n", other.enrp[0]));
    assert_eq!(registrar.says("configuration changed")["changed"], "peers");
    assert_eq!(registrar.says("peer up")["peer"], "0x00000033");
    registrar.says("synchronised");
    registrar.reload("");
    assert_eq!(registrar.says("configuration changed")["changed"], "peers");
}

/// A token that is taken out of the file is worth nothing any more, and one that is new counts.
#[test]
fn tokens_of_operators_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    let write = |token: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        // sha256 of "one" and "two".
        let digest = match token {
            "one" => "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
            _ => "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
        };
        fs::write(&tokens, format!("ops view {digest}\n")).unwrap();
        fs::set_permissions(&tokens, fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("one");
    let file = folder.path().join("registrar.toml");
    let admin =
        format!("[admin]\nlisten = ['http://127.0.0.1:0']\ntokens = '{}'\n", tokens.display());
    fs::write(&file, format!("{HEAD}{admin}")).unwrap();
    let config = file.to_str().unwrap();
    let head = ["registrar", "--config", config, "-o", "json", "--log-format", "json", "-v"];
    let mut program = Program::start(rserpool(&head));
    let url = program.json()["admin"][0].as_str().unwrap().to_owned();
    let code = |token: &str| {
        let file = folder.path().join(token);
        fs::write(&file, token).unwrap();
        run(&["pools", "--admin", &url, "--token-file", file.to_str().unwrap()]).code
    };
    assert_eq!((code("one"), code("two")), (Some(0), Some(77)));
    write("two");
    program.signal(Signal::HUP);
    entry(&mut program, "tokens read again: admin.tokens has changed");
    assert_eq!((code("one"), code("two")), (Some(77), Some(0)));
    // What is wrong changes nothing.
    fs::write(&tokens, "ops").unwrap();
    program.signal(Signal::HUP);
    let said = entry(&mut program, "the configuration is not changed");
    assert!(said["error"].as_str().unwrap().contains("admin.tokens"), "{said}");
    assert_eq!(code("two"), Some(0));
}

/// What SIGHUP does, with an answer.
#[test]
fn an_operator_has_the_configuration_read_again_and_is_told_what_came_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let file = folder.path().join("registrar.toml");
    let write = |lines: &str| {
        let admin = format!("[admin]\nlisten = ['unix:{}']\n", socket.display());
        fs::write(&file, format!("{HEAD}{lines}{admin}")).unwrap();
    };
    write("");
    let head = ["registrar", "--config", file.to_str().unwrap(), "-o", "json"];
    let mut program = Program::start(rserpool(&head));
    program.json();
    let reload = || crate::acting::order(&format!("unix:{}", socket.display()), "/v1/reload", "");
    write("bad_reports_max = 7\nid = 5\n");
    let done = reload();
    assert!(done.contains(r#"{"changed":["bad_reports_max"],"needs_restart":["id"]}"#), "{done}");
    write("bad_reports_mix = 7\n");
    let refused = reload();
    assert!(refused.starts_with("HTTP/1.1 409") && refused.contains("line 3"), "{refused}");
    write("bad_reports_max = 7\n");
    assert!(reload().contains(r#"{"changed":[],"needs_restart":[]}"#));
}
