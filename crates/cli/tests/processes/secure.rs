//! A scope with keys: who has none, or another one, gets nowhere.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::Signal;

use crate::programs::{Ended, PATIENCE, Program, Registrar, Server, rserpool, run, until};

/// Keys in a directory, made by `rserpool tls`.
struct Keys {
    dir: tempfile::TempDir,
}

impl Keys {
    fn new() -> Self {
        let keys = Self { dir: tempfile::tempdir().unwrap() };
        keys.tls(&["ca", keys.path("").to_str().unwrap()]);
        keys
    }

    /// An authority with a registrar, a server and a client.
    fn of_all_roles() -> Self {
        let keys = Self::new();
        keys.issue("r", &["--role", "registrar", "--san", "127.0.0.1"]);
        keys.issue("s", &["--role", "server"]);
        keys.issue("c", &["--role", "client"]);
        keys
    }

    fn tls(&self, args: &[&str]) {
        let ended = run(&[&["tls"], args].concat());
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    }

    fn issue(&self, name: &str, args: &[&str]) {
        let dir = self.dir.path().to_str().unwrap();
        self.tls(&[&["issue", dir, name], args].concat());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The options for this key.
    fn of(&self, name: &str) -> Vec<String> {
        self.trusting(name, &self.path("ca.pem"))
    }

    /// The options for this key, with another authority to trust.
    fn trusting(&self, name: &str, ca: &Path) -> Vec<String> {
        let file = |end: &str| self.path(&format!("{name}.{end}")).display().to_string();
        let (ca, cert, key) = (ca.display().to_string(), file("pem"), file("key"));
        ["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key].map(Into::into).into()
    }

    fn registrar(&self, args: &[&str]) -> Registrar {
        let keys = self.of("r");
        let asap = ["--asap", "tls://127.0.0.1:0", "--enrp", "tls://127.0.0.1:0"];
        Registrar::with(&[&asap, args, &strs(&keys)].concat())
    }

    fn server(&self, registrars: &[&str], name: &str, args: &[&str]) -> Server {
        let (keys, more) = (self.of(name), registrars_of(&registrars[1..]));
        Server::start(registrars[0], &[args, &strs(&keys), &more].concat())
    }

    fn run(&self, name: &str, args: &[&str]) -> Ended {
        run(&[args, &strs(&self.of(name))].concat())
    }

    /// Who is in a pool, as a registrar tells a client.
    fn members(&self, registrar: &str, pool: &str) -> Vec<String> {
        let resolved = self.run("c", &["resolve", pool, "--registrar", registrar, "--json"]);
        if resolved.code == Some(68) {
            return Vec::new();
        }
        let elements = resolved.json()["elements"].take();
        let mut ids: Vec<String> = elements
            .as_array()
            .unwrap()
            .iter()
            .map(|element| element["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    }

    fn connect(&self, registrars: &[&str], pool: &str) -> Program {
        let (keys, registrars) = (self.of("c"), registrars_of(registrars));
        Program::start(rserpool(&[&["connect", pool][..], &strs(&keys), &registrars].concat()))
    }
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn registrars_of<'a>(urls: &[&'a str]) -> Vec<&'a str> {
    urls.iter().flat_map(|url| ["--registrar", url]).collect()
}

// RFC 5355 §2.9, §3; RFC 5352 §9; RFC 5353 §6; checklist 196.
#[test]
fn a_secure_scope_joins_fails_over_and_takes_over() {
    let keys = Keys::of_all_roles();
    let first = keys.registrar(&["--id", "0x11"]);
    let second = keys.registrar(&["--id", "0x22", "--peer", &first.enrp[0]]);
    let third =
        keys.registrar(&["--id", "0x33", "--peer", &first.enrp[0], "--peer", &second.enrp[0]]);
    let urls = [&first, &second, &third].map(|registrar| registrar.url("tls").to_owned());
    let [one, two, three] = [0, 1, 2].map(|at| urls[at].as_str());
    let echo = |registrars: &[&str], priority: &str| {
        keys.server(registrars, "s", &["echo", "--policy", priority])
    };
    let mut preferred = echo(&[one, two, three], "priority:2");
    let other = echo(&[two, three], "priority:1");
    let mut both = vec![preferred.id.clone(), other.id.clone()];
    both.sort();
    for url in &urls {
        until("all registrars know both", || keys.members(url, "EchoPool") == both);
    }

    // A session goes on with another server.
    let mut client = keys.connect(&[three], "EchoPool");
    client.say("one");
    assert_eq!(client.line(), "one");
    preferred.program.kill();
    let line = client.log_line();
    assert!(line.contains(&format!("going on with {}", other.id)), "{line}");
    client.say("two");
    assert_eq!(client.line(), "two");

    // The registrar that looks after it dies: it is taken over, or registers again.
    drop(second);
    until("the others still have it", || {
        let dumped = keys.run("c", &["dump", "--json", "--enrp", &first.enrp[0]]).json();
        let elements = dumped[0]["elements"].as_array().cloned().unwrap_or_default();
        elements.len() == 1
            && elements[0]["id"] == *other.id
            && ["0x00000011", "0x00000033"].iter().any(|home| elements[0]["home"] == *home)
    });
    client.say("three");
    assert_eq!(client.line(), "three");
}

/// What a port answers to octets, until it hangs up.
fn answer(url: &str, octets: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(url.split_once("://").unwrap().1).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(octets).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

// Checklist 203, 204.
#[test]
fn a_stranger_gets_nowhere_at_any_port() {
    let (keys, others) = (Keys::of_all_roles(), Keys::of_all_roles());
    let mut registrar = keys.registrar(&[]);
    let url = registrar.url("tls").to_owned();
    let enrp = registrar.enrp[0].clone();
    let keyed = strs(&keys.of("s")).join(" ");
    let args = format!("serve echo -o json --listen 127.0.0.1 --registrar {url} {keyed}");
    let mut server = Program::start(rserpool(&args.split(' ').collect::<Vec<_>>()));
    let ready = server.json();
    let port = ready["urls"][0].as_str().unwrap();
    assert!(port.starts_with("tls://"), "{ready}");

    // Who speaks no TLS is told so in TLS, and nothing else.
    for port in [&*url, &enrp, port] {
        assert_eq!(answer(port, &[3, 0, 0, 12, 0, 9, 0, 8, 1, 2, 3, 4])[..2], [0x15, 3], "{port}");
    }
    let line = registrar.program.log_line();
    assert!(line.contains("the peer does not speak TLS"), "{line}");

    // Nobody knows who issued its certificate.
    let stranger = others.trusting("c", &keys.path("ca.pem"));
    let resolve = ["resolve", "EchoPool", "--registrar", &url];
    let refused = run(&[&resolve[..], &strs(&stranger)].concat());
    let line = refused.failure_after_waiting(69);
    assert!(line.contains("does not trust this key or certificate"), "{line}");
    let dump = ["dump", "--enrp", &enrp];
    assert_eq!(run(&[&dump[..], &strs(&stranger)].concat()).code, Some(69));
    let element = others.trusting("s", &keys.path("ca.pem"));
    let serve = ["serve", "echo", "--wait", "1s", "--registrar", &url];
    assert_eq!(run(&[&serve[..], &strs(&element)].concat()).code, Some(69));
    let intruder = others.trusting("r", &keys.path("ca.pem"));
    let join = ["--asap", "tls://127.0.0.1:0", "--peer", &enrp];
    let mut intruder = Registrar::with(&[&join[..], &strs(&intruder)].concat());
    let line = intruder.program.log_line();
    assert!(line.contains("does not trust this key or certificate"), "{line}");
    // Nor does anybody believe such a registrar.
    let resolve = ["resolve", "EchoPool", "--registrar", intruder.url("tls")];
    let refused = keys.run("c", &resolve);
    assert!(refused.failure_after_waiting(69).contains("of an unknown authority"), "{refused:?}");

    // Without keys there is no way in at all.
    let line =
        run(&["resolve", "EchoPool", "--registrar", &url]).failure_after_waiting(69).to_owned();
    assert!(line.contains("this node has no keys"), "{line}");
    let plain = url.replace("tls://", "tcp://");
    let line =
        run(&["resolve", "EchoPool", "--registrar", &plain]).failure_after_waiting(69).to_owned();
    assert!(line.contains("the peer speaks TLS: dial it as tls://"), "{line}");
    assert_eq!(keys.members(&url, "EchoPool").len(), 1);
}

// Checklist 199.
#[test]
fn who_is_dialed_has_to_be_what_it_is_dialed_for() {
    let keys = Keys::of_all_roles();
    keys.issue("elsewhere", &["--role", "registrar", "--san", "10.0.0.1"]);
    let asap = ["--asap", "tls://127.0.0.1:0"];
    for (name, reason) in
        [("elsewhere", "is for another name"), ("s", "is for another role"), ("c", "another role")]
    {
        let impostor = Registrar::with(&[&asap[..], &strs(&keys.of(name))].concat());
        let url = impostor.url("tls");
        let refused = keys.run("c", &["resolve", "EchoPool", "--registrar", url]);
        assert!(refused.failure_after_waiting(69).contains(reason), "{name}: {refused:?}");
    }

    // A server of other pools may register, but nobody tells it anything.
    let registrar = keys.registrar(&[]);
    let url = registrar.url("tls");
    keys.issue("bank", &["--role", "server", "--pool", "Bank*"]);
    let _wrong = keys.server(&[url], "bank", &["echo", "--policy", "priority:9"]);
    let _right = keys.server(&[url], "s", &["echo", "--policy", "priority:1"]);
    let mut client = keys.connect(&[url], "EchoPool");
    client.say("hello");
    assert_eq!(client.line(), "hello");
    let line = client.log_line();
    assert!(line.contains("is for other pools"), "{line}");
}

#[test]
fn keys_alone_make_a_scope() {
    let keys = Keys::of_all_roles();
    let pin = |name: &str| {
        let shown =
            run(&["tls", "show", keys.path(&format!("{name}.key")).to_str().unwrap(), "--json"]);
        shown.json()["pin"].as_str().unwrap().to_owned()
    };
    let with = |name: &str, pins: &[&str]| {
        let key = keys.path(&format!("{name}.key")).display().to_string();
        let pins = pins.iter().flat_map(|name| ["--tls-pin".to_owned(), pin(name)]);
        [vec!["--tls-key".to_owned(), key], pins.collect()].concat()
    };
    let asap = ["--asap", "tls://127.0.0.1:0"];
    let registrar = Registrar::with(&[&asap[..], &strs(&with("r", &["s", "c"]))].concat());
    let url = registrar.url("tls");
    let _server = Server::start(url, &[&["echo"][..], &strs(&with("s", &["r", "c"]))].concat());
    let connect = ["connect", "EchoPool", "--registrar", url];
    let mut client =
        Program::start(rserpool(&[&connect[..], &strs(&with("c", &["r", "s"]))].concat()));
    client.say("hello");
    assert_eq!(client.line(), "hello");
    // The one who is not pinned, and one that pins another.
    let stranger = Keys::of_all_roles();
    let key = stranger.path("c.key").display().to_string();
    let resolve = ["resolve", "EchoPool", "--registrar", url, "--tls-key", &key];
    let refused = run(&[&resolve[..], &["--tls-pin", &pin("r")]].concat());
    assert!(refused.failure_after_waiting(69).contains("does not trust"), "{refused:?}");
    let resolve = ["resolve", "EchoPool", "--registrar", url];
    let refused = run(&[&resolve[..], &strs(&with("c", &["s"]))].concat());
    assert!(refused.failure_after_waiting(69).contains("is not pinned"), "{refused:?}");
}

#[test]
fn the_environment_has_the_keys_too() {
    let keys = Keys::of_all_roles();
    let registrar = keys.registrar(&[]);
    let server = keys.server(&[registrar.url("tls")], "s", &["echo"]);
    let mut resolve = rserpool(&["resolve", "EchoPool", "--json"]);
    resolve.env("RSERPOOL_REGISTRARS", registrar.url("tls"));
    let variables = [("CA", "ca.pem"), ("CERT", "c.pem"), ("KEY", "c.key")];
    for (name, file) in variables {
        resolve.env(format!("RSERPOOL_TLS_{name}"), keys.path(file));
    }
    let resolved = Program::start(resolve).end();
    assert_eq!(resolved.json()["elements"][0]["id"], server.id);
}

#[test]
fn a_change_of_the_keys_ends_who_is_not_trusted_any_more() {
    let (keys, leaving) = (Keys::of_all_roles(), Keys::of_all_roles());
    let text = |keys: &Keys| fs::read_to_string(keys.path("ca.pem")).unwrap();
    let trusted = keys.path("trusted.pem");
    fs::write(&trusted, text(&keys) + &text(&leaving)).unwrap();
    let config = keys.path("registrar.toml");
    let file =
        "asap = ['tls://127.0.0.1:0']\n[tls]\nca = 'trusted.pem'\ncert = 'r.pem'\nkey = 'r.key'";
    fs::write(&config, file).unwrap();
    let mut registrar = Registrar::with(&["--config", config.to_str().unwrap()]);
    let line = registrar.url("tls").to_owned();
    let stays = keys.server(&[&line], "s", &["echo"]);
    let leaver = leaving.trusting("s", &keys.path("ca.pem"));
    let goes = Server::start(&line, &[&["echo"][..], &strs(&leaver)].concat());
    let mut both = vec![stays.id.clone(), goes.id.clone()];
    both.sort();
    until("both are there", || keys.members(&line, "EchoPool") == both);

    // What cannot be used changes nothing, and is said.
    fs::write(&trusted, "nothing").unwrap();
    registrar.program.signal(Signal::HUP);
    let said = registrar.program.log_line();
    assert!(said.contains("the old keys stay") && said.contains("trusted.pem"), "{said}");
    assert_eq!(keys.members(&line, "EchoPool"), both);

    fs::write(&trusted, text(&keys)).unwrap();
    registrar.program.signal(Signal::HUP);
    let said = registrar.program.log_line();
    assert!(said.contains("keys read again"), "{said}");
    until("one is left", || keys.members(&line, "EchoPool") == [stays.id.clone()]);
}

#[test]
fn keys_that_cannot_be_used_are_said_with_their_file() {
    let keys = Keys::of_all_roles();
    let with = |name: &str| {
        run(&[&["registrar", "--asap", "tls://127.0.0.1:0"], &*strs(&keys.of(name))].concat())
    };
    let exposed = keys.path("c.key");
    fs::set_permissions(&exposed, fs::Permissions::from_mode(0o644)).unwrap();
    let line = with("c").failure(78).to_owned();
    assert!(line.contains("c.key: others than its owner") && line.contains("mode 644"), "{line}");
    fs::copy(keys.path("s.pem"), keys.path("r.pem")).unwrap();
    let line = with("r").failure(78).to_owned();
    assert!(line.contains("r.pem: this certificate is for another key than"), "{line}");
    let line = with("none").failure(78).to_owned();
    assert!(line.contains("none.key: cannot be read"), "{line}");
    // Nothing goes without protection where there are keys.
    let tcp = ["registrar", "--asap", "tcp://127.0.0.1:0"];
    let line = run(&[&tcp[..], &strs(&keys.of("s"))].concat()).failure(78).to_owned();
    assert!(line.contains("tcp://127.0.0.1:0 is not protected by the keys"), "{line}");
    let line = run(&["registrar", "--asap", "tls://127.0.0.1:0"]).failure(78).to_owned();
    assert!(line.contains("needs keys"), "{line}");
}

/// Forwards everything to a port, and keeps it.
fn wiretap(to: &str) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tls://{}", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (to, kept) = (to.split_once("://").unwrap().1.to_owned(), Arc::clone(&heard));
    thread::spawn(move || {
        for near in listener.incoming() {
            let (near, far) = (near.unwrap(), TcpStream::connect(&to).unwrap());
            for (mut from, mut to) in
                [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)]
            {
                let kept = Arc::clone(&kept);
                thread::spawn(move || {
                    let mut octets = [0; 4096];
                    while let Ok(len @ 1..) = from.read(&mut octets) {
                        kept.lock().unwrap().extend_from_slice(&octets[..len]);
                        if to.write_all(&octets[..len]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    (url, heard)
}

// RFC 5355 §2.11.
#[test]
fn who_listens_on_the_wire_reads_neither_handles_nor_elements() {
    let keys = Keys::of_all_roles();
    let registrar = keys.registrar(&[]);
    let (tapped, heard) = wiretap(registrar.url("tls"));
    let pool = "WhisperedPoolHandle";
    let _server = keys.server(&[&tapped], "s", &["echo", "--pool", pool]);
    assert_eq!(keys.members(&tapped, pool).len(), 1);
    let heard = heard.lock().unwrap();
    let has = |text: &[u8]| heard.windows(text.len()).any(|window| window == text);
    assert!(heard.len() > 1000 && !has(pool.as_bytes()) && !has(b"spki"));
}

#[test]
fn openssl_agrees() {
    let keys = Keys::of_all_roles();
    let registrar = keys.registrar(&[]);
    let to = registrar.url("tls").split_once("://").unwrap().1;
    let s_client = |args: &[&str]| {
        let mut command = std::process::Command::new("openssl");
        let ca = keys.path("ca.pem");
        command.args(["s_client", "-connect", to, "-verify_return_error", "-CAfile"]).arg(ca);
        command.args(["-verify_ip", "127.0.0.1"]).args(args).stdin(Stdio::null());
        command.output().ok().map(|output| {
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8_lossy(&text).into_owned())
        })
    };
    let file = |name: &str| keys.path(name).display().to_string();
    let (cert, key) = (file("c.pem"), file("c.key"));
    let Some((is_good, text)) = s_client(&["-cert", &cert, "-key", &key]) else {
        eprintln!("SKIPPED: there is no openssl");
        return;
    };
    assert!(
        is_good && text.contains("TLSv1.3") && text.contains("Verify return code: 0"),
        "{text}"
    );
    assert!(text.contains("Acceptable client certificate CA names"), "{text}");
    let (is_good, text) = s_client(&["-tls1_2", "-cert", &cert, "-key", &key]).unwrap();
    assert!(!is_good && text.contains("alert protocol version"), "{text}");
    let (_, text) = s_client(&[]).unwrap();
    assert!(
        text.contains("No client certificate CA names sent") || text.contains("client certificate"),
        "{text}"
    );
}

// RFC 5355 §2.5; RFC 5353 §6; checklist 203.
#[test]
fn a_key_for_another_role_makes_no_registrar() {
    let keys = Keys::of_all_roles();
    let mut registrar = keys.registrar(&["--id", "0x11"]);
    let enrp = registrar.enrp[0].clone();
    let join = ["--asap", "tls://127.0.0.1:0", "--id", "0x22", "--peer", &enrp];
    let _intruder = Registrar::with(&[&join[..], &strs(&keys.of("c"))].concat());
    let line = registrar.program.log_line();
    assert!(line.contains("refused to peer: the certificate is for another role"), "{line}");
    // Whoever only looks on needs no role without rules.
    assert_eq!(keys.run("c", &["dump", "--json", "--enrp", &enrp]).code, Some(0));
}

// RFC 5355 §2.3, §2.4, §2.17; checklist 204.
#[test]
fn rules_say_who_may_register_and_find_what_and_are_read_again() {
    let keys = Keys::of_all_roles();
    keys.issue("db", &["--role", "server", "--san", "db1.example"]);
    let access = keys.path("access.toml");
    let clients = "[[allow]]\nwho = 'san:rserpool:client'\nmay = ['resolve']\npools = ['Echo*']\n";
    let rule = |pool: &str| {
        format!(
            "{clients}[[allow]]\nwho = 'san:*.example'\nmay = ['register']\npools = ['{pool}']\n"
        )
    };
    fs::write(&access, rule("Echo*")).unwrap();
    let mut registrar = keys.registrar(&["--access", access.to_str().unwrap()]);
    let url = registrar.url("tls").to_owned();
    let server = keys.server(&[&url], "db", &["echo"]);
    assert_eq!(keys.members(&url, "EchoPool"), [&*server.id]);
    let resolve = ["resolve", "EchoPool", "--registrar", &url];
    assert_eq!(keys.run("s", &resolve).code, Some(68));
    let line = registrar.program.log_line();
    assert!(line.contains("refused to resolve: no rule allows it"), "{line}");
    let serve = ["serve", "echo", "--wait", "1s", "--registrar", &url];
    assert_ne!(keys.run("s", &serve).code, Some(0));
    let line = registrar.program.log_line();
    assert!(line.contains("refused to register: no rule allows it"), "{line}");
    // Handle tables are for administrators.
    let dump = ["dump", "--json", "--enrp", &registrar.enrp[0]];
    assert_ne!(keys.run("c", &dump).code, Some(0));
    let line = registrar.program.log_line();
    assert!(line.contains("refused to peer: no rule allows it"), "{line}");

    // What cannot be used changes nothing.
    fs::write(&access, "[[allow]]\nwho = 'x'\n").unwrap();
    registrar.program.signal(Signal::HUP);
    let said = registrar.program.log_line();
    assert!(said.contains("the old rules") && said.contains("line 2, column 7"), "{said}");
    assert_eq!(keys.members(&url, "EchoPool"), [&*server.id]);

    fs::write(&access, rule("Bank*")).unwrap();
    registrar.program.signal(Signal::HUP);
    until("the server is gone", || keys.members(&url, "EchoPool").is_empty());
}

/// A line that is missing opens nothing.
#[test]
fn rules_that_are_gone_from_the_file_hold_until_a_restart() {
    let keys = Keys::of_all_roles();
    let access = "[[allow]]\nwho = 'san:nobody.example'\nmay = ['register']\n";
    fs::write(keys.path("access.toml"), access).unwrap();
    let config = keys.path("registrar.toml");
    let head =
        "asap = ['tls://127.0.0.1:0']\n[tls]\nca = 'ca.pem'\ncert = 'r.pem'\nkey = 'r.key'\n";
    fs::write(&config, format!("{head}[access]\nfile = 'access.toml'\n")).unwrap();
    let mut registrar = Registrar::with(&["--config", config.to_str().unwrap()]);
    let url = registrar.url("tls").to_owned();
    let resolve = ["resolve", "EchoPool", "--registrar", &url];
    assert_eq!(keys.run("c", &resolve).code, Some(68));
    assert!(registrar.program.log_line().contains("refused to resolve"));
    fs::write(&config, head).unwrap();
    registrar.program.signal(Signal::HUP);
    assert!(registrar.program.log_line().contains("keys read again"));
    let said = registrar.program.log_line();
    assert!(said.contains("when this registrar is restarted") && said.contains("access"), "{said}");
    let serve = ["serve", "echo", "--wait", "1s", "--registrar", &url];
    assert_ne!(keys.run("s", &serve).code, Some(0));
    assert!(registrar.program.log_line().contains("refused to register"));
}

#[test]
fn access_check_says_which_rule_decides() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.toml");
    let text =
        "[[allow]]\nwho = 'san:db1.example'\nmay = ['register']\npools = ['Bank*']\nids = [1]\n";
    fs::write(&file, text).unwrap();
    let check = |args: &[&str]| {
        run(&[&["access", "check", file.to_str().unwrap(), "--who", "san:db1.example"], args]
            .concat())
    };
    let register = ["--do", "register", "--pool", "Bank1"];
    let allowed = check(&register);
    assert_eq!(allowed.code, Some(0), "{allowed:?}");
    assert!(allowed.stdout.contains("line 1"), "{allowed:?}");
    assert_eq!(check(&[&register[..], &["--id", "2"]].concat()).code, Some(77));
    assert_eq!(check(&["--do", "resolve", "--pool", "Bank1"]).code, Some(77));
    assert_eq!(check(&["--do", "resolve"]).code, Some(2));
    fs::write(&file, "[[allow]]\nwho = 'x'\nmay = ['y']\n").unwrap();
    let said = check(&register);
    assert_eq!(said.code, Some(78));
    assert!(said.stderr.contains("line 2") && said.stderr.contains("line 3"), "{said:?}");
}
