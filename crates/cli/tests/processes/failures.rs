//! What the user is told when something cannot be done: one line and an exit code.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::thread;

use rustix::process::Signal;

use crate::programs::{Program, Registrar, Server, rserpool, run};

#[test]
fn each_command_has_a_help_that_names_the_exit_codes() {
    let help = run(&["--help"]).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = commands.map_while(|line| line.split_whitespace().next());
    let names: Vec<&str> = names.filter(|name| *name != "help").collect();
    assert!(names.contains(&"registrar") && names.contains(&"decode"), "{names:?}");
    for command in names {
        let help = run(&[command, "--help"]);
        assert_eq!((help.code, &*help.stderr), (Some(0), ""), "{command}");
        for line in [
            "0   done",
            "1   the operation failed",
            "2   wrong usage",
            "68  unknown",
            "69  no",
            "78  ",
        ] {
            assert!(help.stdout.contains(line), "{line} is missing in\n{}", help.stdout);
        }
    }
}

#[test]
fn every_exit_code_of_the_help_is_one_that_a_command_ends_with() {
    let asap = ["--asap", "tcp://127.0.0.1:0"];
    let registrar = Registrar::with(&[&asap[..], &["--admin", "http://127.0.0.1:0"]].concat());
    let token = tempfile::NamedTempFile::new().unwrap();
    fs::write(&token, "nobody's").unwrap();
    let token = token.path().to_str().unwrap();
    let cases: &[(i32, &[&str])] = &[
        (0, &["probe"]),
        (1, &["decode", "xyz"]),
        (2, &["resolve", "NoPool"]),
        (68, &["resolve", "NoPool", "--registrar", registrar.tcp()]),
        (69, &["resolve", "NoPool", "--registrar", "tcp://no-such-host.invalid"]),
        (77, &["pools", "--admin", &registrar.admin[0], "--token-file", token]),
        (78, &["registrar", "--config", "/no/such/file"]),
    ];
    for (code, args) in cases {
        let ended = run(args);
        assert_eq!(ended.code, Some(*code), "{args:?}: {ended:?}");
    }
    let help = run(&["--help"]).stdout;
    let table = help.lines().skip_while(|line| *line != "Exit codes:").skip(1);
    let codes = table.map_while(|line| line.split_whitespace().next()?.parse().ok());
    let tried = cases.iter().map(|(code, _)| *code);
    assert_eq!(codes.collect::<Vec<i32>>(), tried.collect::<Vec<_>>(), "{help}");
}

#[test]
fn a_port_in_use_is_said_to_be_in_use() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", tcp.local_addr().unwrap());
    let line = run(&["registrar", "--asap", &url]).failure(1).to_owned();
    assert_eq!(line, format!("rserpool: cannot listen on {url}: the port is in use"));

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("sctp+udp://{}", udp.local_addr().unwrap());
    let line = run(&["registrar", "--asap", &url]).failure(1).to_owned();
    assert_eq!(line, format!("rserpool: cannot listen on {url}: the port is in use"));

    let registrar = Registrar::start();
    for url in &registrar.urls {
        let line = run(&["registrar", "--asap", url]).failure(1).to_owned();
        assert!(line.ends_with("the port is in use"), "{line}");
        let (scheme, listen) = url.split_once("://").unwrap();
        let serve = ["serve", "echo", "--transport", scheme, "--listen", listen];
        let refused = run(&[&serve[..], &["--registrar", registrar.tcp()]].concat());
        let line = refused.failure(1).to_owned();
        assert!(line.ends_with("the port is in use"), "{line}");
    }
}

#[test]
fn a_port_without_permission_is_said_to_need_one() {
    let first_free = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first_free.is_ok_and(|port| port.trim().parse::<u16>().is_ok_and(|port| port <= 1)) {
        eprintln!("SKIPPED: on this host anyone may use any port");
        return;
    }
    // Somebody who may do nothing needs a program that everybody may run.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("rserpool");
    fs::copy(env!("CARGO_BIN_EXE_rserpool"), &copy).unwrap();
    for url in ["tcp://127.0.0.1:1", "sctp+udp://127.0.0.1:1"] {
        let mut command = rserpool(&["registrar", "--asap", url]);
        if rustix::process::geteuid().is_root() {
            command = std::process::Command::new(&copy);
            command.args(["registrar", "--asap", url]).uid(65_534).gid(65_534);
        }
        let line = Program::start(command).end().failure(1).to_owned();
        assert!(line.contains("no permission"), "{line}");
    }
}

#[test]
fn an_address_of_another_host_is_no_place_to_listen_at() {
    for url in ["tcp://192.0.2.1:0", "sctp://192.0.2.1:0"] {
        let line = run(&["registrar", "--asap", url]).failure(78).to_owned();
        assert!(line.contains("this host does not have that address"), "{line}");
    }
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    let registrar = ["--registrar", "tcp://127.0.0.1:1"];
    let cases: &[&[&str]] = &[
        &["registrar", "--asap", "http://127.0.0.1:1"],
        &["registrar", "--asap", "tcp://127.0.0.1:65536"],
        &["registrar", "--id", "0"],
        &["registrar", "--profile", "quick"],
        &["resolve", "EchoPool"],
        &["resolve", "EchoPool", "--registrar", "tcp://"],
        &["resolve", "", registrar[0], registrar[1]],
        &["serve", "echo", "--policy", "fastest", registrar[0], registrar[1]],
        &["serve", "echo", "--id", "0", registrar[0], registrar[1]],
        &["serve", "telnet", registrar[0], registrar[1]],
        &["serve", "echo", "--listen", "127.0.0.1:port", registrar[0], registrar[1]],
        &["connect", "EchoPool", "--answer-timeout", "soon", registrar[0], registrar[1]],
    ];
    for args in cases {
        let ended = run(args);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{args:?}: {ended:?}");
        assert!(!ended.stderr.is_empty() && !ended.stderr.contains("panicked"), "{ended:?}");
    }
}

#[test]
fn an_unknown_pool_is_a_failure() {
    let registrar = Registrar::start();
    for url in &registrar.urls {
        for command in ["resolve", "connect"] {
            let line = run(&[command, "NoPool", "--registrar", url, "-o", "json"]);
            let line = line.failure(68).to_owned();
            assert!(line.contains("NoPool") && line.contains("unknown"), "{line}");
        }
    }
}

#[test]
fn no_registrar_is_69() {
    // Somebody holds the ports and does not answer.
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let urls = [
        ("tcp://127.0.0.1:1".to_owned(), "(refused)"),
        ("sctp://127.0.0.1:1".to_owned(), "("),
        (format!("tcp://{}", tcp.local_addr().unwrap()), "answer)"),
        (format!("sctp://{}", udp.local_addr().unwrap()), "(no answer)"),
        ("tcp://no-such-host.invalid:1".to_owned(), "cannot resolve no-such-host.invalid"),
    ];
    let commands: [&[&str]; 3] = [
        &["resolve", "EchoPool", "-o", "json"],
        &["connect", "EchoPool", "--failover-timeout", "1s"],
        &["serve", "echo", "--wait", "3s"],
    ];
    // Each waits for a while; together they wait once.
    thread::scope(|scope| {
        let pairs = urls.iter().flat_map(|url| commands.map(|command| (url, command)));
        for ((url, why), command) in pairs {
            scope.spawn(move || {
                let ended = run(&[command, &["--registrar", url]].concat());
                let line = ended.failure_after_waiting(69);
                assert!(line.contains("no registrar reachable") && line.contains(url), "{line}");
                assert!(line.contains(why), "{why}: {line}");
            });
        }
    });
}

#[test]
fn a_configuration_that_cannot_be_used_is_78() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("unknown key", "colour = 'red'", "line 1, column 1: unknown field `colour`"),
        ("wrong type", "\nasap = 7", "line 2, column 8: invalid type"),
        ("wrong type", "asap = 7", "asap = 7"),
        ("bad URL", "asap = [\n 'tcp//:1',\n]", "`tcp//:1` is not an endpoint URL"),
        ("no TOML", "[[", "line 1"),
        ("no duration", "[timing]\nrto_min = 'soon'", "line 2, column 11: invalid value"),
        ("zero timer", "[timing]\nkeep_alive_interval = '0s'", "keep_alive_interval"),
        ("bad identifier", "id = '0x0'", "id"),
    ];
    for (what, text, needle) in cases {
        let path = folder.path().join("registrar.toml");
        fs::write(&path, text).unwrap();
        let ended = run(&["registrar", "--config", path.to_str().unwrap(), "-o", "json"]);
        let line = ended.failure(78);
        assert!(line.contains("bad configuration") && line.contains(needle), "{what}: {line}");
        assert!(!line.contains(" | ") && !line.contains('^'), "{what}: {line}");
    }
    let missing = folder.path().join("missing.toml");
    let ended = run(&["registrar", "--config", missing.to_str().unwrap()]);
    let line = ended.failure(78);
    assert!(line.contains("missing.toml"), "{line}");
}

#[test]
fn options_of_other_services_are_refused() {
    let cases: &[&[&str]] = &[
        &["echo", "--job", "count=wc"],
        &["download", "--root", "/", "--capacity", "7"],
        &["calcapp", "--time-limit", "1s"],
        &["exec", "--job", "count=wc", "--root", "/"],
    ];
    for args in cases {
        let args = [&["serve", "--registrar", "tcp://127.0.0.1:1"], *args].concat();
        let ended = run(&args);
        assert!(ended.failure(2).contains("is no option of"), "{args:?}: {ended:?}");
    }
}

#[test]
fn cookie_keys_that_cannot_be_used_are_78_and_those_that_all_can_read_a_warning() {
    let registrar = Registrar::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pool.key");
    let key = path.to_str().unwrap();
    let head = ["serve", "pingpong", "--transport", "tcp", "--listen", "127.0.0.1", "-o", "json"];
    let args = [&head[..], &["--registrar", registrar.tcp(), "--cookie-keys", key]].concat();
    let refused = |needle: &str| {
        let ended = run(&args);
        let line = ended.failure(78);
        assert!(line.contains("pool.key") && line.contains(needle), "{line}");
    };
    refused("No such file");
    for (text, needle) in [
        ("", "no key"),
        ("# none\n", "no key"),
        ("xyz", "hex"),
        ("00", "32"),
        (&*"0".repeat(64), "zeros"),
    ] {
        fs::write(&path, text).unwrap();
        refused(needle);
    }
    fs::write(&path, "ab".repeat(1 << 20)).unwrap();
    refused("longer");
    for (mode, warns) in [(0o600, false), (0o640, false), (0o644, true)] {
        fs::write(&path, "ab".repeat(32)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let mut server = Program::start(rserpool(&args));
        server.json();
        server.signal(Signal::TERM);
        let ended = server.ended();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.stderr.contains("everybody"), warns, "{mode:o}: {ended:?}");
    }
}

#[test]
fn flags_win_over_the_configuration_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registrar.toml");
    fs::write(&path, "id = '0x5'\nasap = ['tcp://127.0.0.1:1']\n").unwrap();
    let path = path.to_str().unwrap();
    let registrar = Registrar::with(&["--config", path, "--asap", "tcp://127.0.0.1:0"]);
    assert_eq!(registrar.id, "0x00000005");
    assert_ne!(registrar.urls, ["tcp://127.0.0.1:1"]);
}

#[test]
fn a_server_with_another_policy_than_its_pool_is_refused() {
    let registrar = Registrar::start();
    let _first = Server::start(registrar.tcp(), &["echo", "--policy", "least-used"]);
    let serve = ["serve", "echo", "--listen", "127.0.0.1", "--policy", "random", "-o", "json"];
    let refused = run(&[&serve[..], &["--registrar", registrar.sctp()]].concat());
    let line = refused.failure(1);
    assert!(line.contains("rejected") && line.contains("cause 0x5"), "{line}");
}

#[test]
fn a_server_with_a_control_channel_among_such_without_is_told_what_the_pool_has() {
    let registrar = Registrar::patient();
    let pool = ["--pool", "Mixed", "--transport", "tcp"];
    let _first = Server::start(registrar.tcp(), &[&["echo"], &pool[..]].concat());
    let second = ["serve", "pingpong", "--listen", "127.0.0.1", "--registrar", registrar.tcp()];
    let refused = run(&[&second[..], &pool].concat());
    let line = refused.failure(1);
    assert!(line.contains("cause 0x8") && line.contains("the pool has the other one"), "{line}");
}

#[test]
fn a_server_with_an_identifier_that_another_one_has_is_refused() {
    let registrar = Registrar::patient();
    let _first = Server::start(registrar.tcp(), &["echo", "--id", "0x5"]);
    let serve = ["serve", "echo", "--listen", "127.0.0.1", "--id", "5", "-o", "json"];
    let refused = run(&[&serve[..], &["--registrar", registrar.sctp()]].concat());
    let line = refused.failure(1);
    assert!(line.contains("rejected") && line.contains("cause 0x4"), "{line}");
}

#[test]
fn a_registrar_without_room_leads_to_the_next_and_all_of_them_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("full.toml");
    fs::write(&path, "[limits]\nelements = 1\n").unwrap();
    let full = ["--config", path.to_str().unwrap(), "--asap", "tcp://127.0.0.1:0"];
    let full = [(); 2].map(|()| Registrar::with(&full));
    let _servers = [0, 1].map(|n: usize| Server::start(full[n].tcp(), &["echo"]));
    let free = Registrar::patient();
    let both = ["--registrar", full[0].tcp(), "--registrar", full[1].tcp()];
    let refused = run(&[&["serve", "echo", "--listen", "127.0.0.1"][..], &both].concat());
    let line = refused.failure(1);
    for registrar in &full {
        let address = registrar.tcp().trim_start_matches("tcp://");
        assert!(line.contains(address) && line.contains("cause 0x6"), "{line}");
    }
    let others = ["echo", "--registrar", full[1].tcp(), "--registrar", free.tcp()];
    let _taken = Server::start(full[0].tcp(), &others);
}

#[test]
fn what_is_missing_is_wrong_usage() {
    let registrar = ["--registrar", "tcp://127.0.0.1:1"];
    for (args, needle) in [
        (&["download"][..], "--root"),
        (&["exec"], "--job"),
        (&["download", "--root", "/", "--transport", "udp"], "loses nothing"),
    ] {
        let ended = run(&[&["serve"], args, &registrar].concat());
        assert!(ended.failure(2).contains(needle), "{args:?}: {ended:?}");
    }
}

#[test]
fn what_this_host_has_not_is_78() {
    let registrar = ["--registrar", "tcp://127.0.0.1:1"];
    let asap = ["--asap", "tcp://127.0.0.1:0"];
    for (args, needle) in [
        (&["registrar", "--asap", "tcp://no-such-host.invalid:1"][..], "cannot resolve"),
        (&["registrar", asap[0], asap[1], "--announce", "10.0.0.1:3863"], "no multicast group"),
        (&["registrar", asap[0], asap[1], "--announce", "239.0.0.1:0"], "no port"),
        (
            &["registrar", asap[0], asap[1], "--announce", "239.0.0.1:1", "--interface", "no0"],
            "no0",
        ),
        (&["serve", "echo", "--listen", "192.0.2.1", registrar[0], registrar[1]], "192.0.2.1"),
        (
            &["serve", "echo", "--listen", "no-such-host.invalid", registrar[0], registrar[1]],
            "no-such",
        ),
        (&["resolve", "X", "--group", "239.0.0.1:1", "--interface", "no0"], "no0"),
    ] {
        let ended = run(args);
        assert!(ended.failure(78).contains(needle), "{args:?}: {ended:?}");
    }
}

#[test]
fn a_dump_says_why_there_is_none() {
    let ended = run(&["dump", "--enrp", "tcp://no-such-host.invalid:1"]);
    assert!(ended.failure(69).contains("cannot resolve"), "{ended:?}");
    let registrar = Registrar::start();
    for url in &registrar.urls {
        let ended = run(&["dump", "--enrp", url]);
        let line = ended.failure(69);
        assert!(line.contains("ENRP port"), "{line}");
    }
}

#[test]
fn a_list_of_registrars_may_have_commas_and_its_faults_are_those_of_the_variable() {
    let registrar = Registrar::start();
    let resolve = |variable: Option<&str>| {
        let mut command = rserpool(&["resolve", "NoPool"]);
        command.envs(variable.map(|text| ("RSERPOOL_REGISTRARS", text)));
        Program::start(command).end()
    };
    let list = format!("{},{}", registrar.tcp(), registrar.sctp());
    assert_eq!(resolve(Some(&list)).code, Some(68));
    let ended = resolve(Some("10.0.0.1"));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("'RSERPOOL_REGISTRARS'"), "{ended:?}");
    let ended = resolve(None);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("RSERPOOL_REGISTRARS"), "{ended:?}");
}

#[test]
fn help_that_cannot_be_written_is_a_failure() {
    for args in [&["--help"][..], &["resolve", "--help"], &["--version"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let status = rserpool(args).stdout(full).stderr(std::process::Stdio::null()).status();
        assert_eq!(status.unwrap().code(), Some(1), "{args:?}");
    }
}

#[test]
fn who_waits_says_what_for() {
    let connect = ["connect", "NoPool", "--wait", "--registrar", "tcp://127.0.0.1:1"];
    let mut client = Program::start(rserpool(&connect));
    let line = client.log_line();
    assert!(line.contains("waiting for a registrar: tcp://127.0.0.1:1 (refused)"), "{line}");
    let registrar = Registrar::start();
    let connect = ["connect", "NoPool", "--wait", "--registrar", registrar.tcp()];
    let mut client = Program::start(rserpool(&connect));
    let line = client.log_line();
    assert!(line.contains("waiting for a server of NoPool"), "{line}");
    let serve = ["serve", "echo", "--listen", "127.0.0.1", "--registrar", "tcp://127.0.0.1:1"];
    let mut server = Program::start(rserpool(&serve));
    let line = server.log_line();
    assert!(line.contains("waiting for a registrar: tcp://127.0.0.1:1 (refused)"), "{line}");
}
