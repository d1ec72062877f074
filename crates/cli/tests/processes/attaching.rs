//! Servers that know nothing of pools, put into one by `attach`.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

use crate::programs::{Program, Registrar, lasting, members, rserpool, run, until};

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A registrar, a port and a directory: what a test starts servers with.
struct Scene {
    registrar: Registrar,
    port: String,
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { registrar: Registrar::patient(), port: free_port().to_string(), directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `attach` with these options and this command. `$0` in its script is the directory.
    fn attach(&self, options: &[&str], script: Option<&str>) -> Program {
        let head = ["attach", "--pool", "web", "--listen-port", &self.port];
        let interval = ["--interval", "50ms"];
        let interval = if options.contains(&"--interval") { &[][..] } else { &interval[..] };
        let rest = ["--registrar", self.registrar.tcp()];
        let mut command = lasting(&[&head, interval, options, &rest].concat());
        if let Some(script) = script {
            command.args(["--", "sh", "-c", script]).arg(self.directory.path());
        }
        Program::start(command)
    }

    fn members(&self) -> Vec<String> {
        members(self.registrar.tcp(), "web")
    }

    fn until_members(&self, count: usize) {
        until(&format!("{count} elements"), || self.members().len() == count);
    }
}

/// The process whose number is in this file, once there is one.
fn pid_in(file: &Path) -> Pid {
    let read = || fs::read_to_string(file).ok()?.trim().parse().ok();
    until("a number in the file", || read().is_some());
    Pid::from_raw(read().unwrap()).unwrap()
}

/// A server that writes its process number, and runs until it is ended.
const SERVER: &str = "echo $$ > \"$0/pid\"; exec sleep 1000";

#[test]
fn a_server_is_in_the_pool_while_it_lives_and_its_exit_code_is_told() {
    let scene = Scene::new();
    let attach = scene.attach(&["--check", "none", "--id", "0x77"], Some(SERVER));
    let server = pid_in(&scene.path("pid"));
    scene.until_members(1);
    assert_eq!(scene.members(), ["0x00000077"]);
    kill_process(server, Signal::KILL).unwrap();
    let ended = attach.ended();
    assert_eq!(ended.code, Some(128 + 9), "{ended:?}");
    // Who has ended had left before.
    assert!(scene.members().is_empty());
    let ended = scene.attach(&["--check", "none"], Some("exit 7")).ended();
    assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (Some(7), "", ""));
}

#[test]
fn checks_decide_who_is_in_the_pool_and_who_comes_back_has_the_same_identifier() {
    let scene = Scene::new();
    let ok = scene.path("ok");
    let check = format!("exec:test -e {}", ok.display());
    let attach = scene.attach(&["--check", &check], Some("exec sleep 1000"));
    assert!(scene.members().is_empty());
    fs::write(&ok, "").unwrap();
    scene.until_members(1);
    let first = scene.members();
    fs::remove_file(&ok).unwrap();
    scene.until_members(0);
    fs::write(&ok, "").unwrap();
    scene.until_members(1);
    assert_eq!(scene.members(), first);
    attach.signal(Signal::TERM);
    assert_eq!(attach.ended().code, Some(128 + 15));
}

#[test]
fn a_frozen_server_is_out_and_a_thawed_one_is_in_again() {
    let scene = Scene::new();
    // Its port accepts connections all the time, as those of frozen servers do.
    let listener = TcpListener::bind(("127.0.0.1", scene.port.parse().unwrap())).unwrap();
    let _attach = scene.attach(&["--check", "tcp"], Some(SERVER));
    let server = pid_in(&scene.path("pid"));
    scene.until_members(1);
    kill_process(server, Signal::STOP).unwrap();
    scene.until_members(0);
    kill_process(server, Signal::CONT).unwrap();
    scene.until_members(1);
    drop(listener);
}

#[test]
fn the_end_begins_with_leaving_the_pool_and_a_server_that_stays_is_killed() {
    let scene = Scene::new();
    let script = "trap 'touch \"$0/asked\"' TERM; trap 'touch \"$0/told\"' USR1
        echo $$ > \"$0/pid\"; while :; do sleep 0.02; done";
    let options = ["--check", "none", "--stop-timeout", "300ms"];
    let attach = scene.attach(&options, Some(script));
    pid_in(&scene.path("pid"));
    scene.until_members(1);
    attach.signal(Signal::USR1);
    until("the signal is passed on", || scene.path("told").exists());
    attach.signal(Signal::TERM);
    until("it is asked to end", || scene.path("asked").exists());
    assert!(scene.members().is_empty());
    assert_eq!(attach.ended().code, Some(128 + 9));
}

#[test]
fn connections_may_end_before_the_server_does() {
    let scene = Scene::new();
    let at = format!("127.0.0.1:{}", scene.port);
    let listener = TcpListener::bind(&at).unwrap();
    let script = "trap 'touch \"$0/asked\"; exit 3' TERM; while :; do sleep 0.02; done";
    let attach = scene.attach(&["--drain", "100s"], Some(script));
    scene.until_members(1);
    let client = std::net::TcpStream::connect(&at).unwrap();
    attach.signal(Signal::TERM);
    scene.until_members(0);
    assert!(!scene.path("asked").exists());
    drop(client);
    // The listener's end of the connections, those of the checks among them.
    listener.set_nonblocking(true).unwrap();
    until("all connections have ended", || {
        while listener.accept().is_ok() {}
        scene.path("asked").exists()
    });
    assert_eq!(attach.ended().code, Some(3));
}

#[test]
fn a_server_does_not_outlive_an_attach_that_is_killed() {
    let scene = Scene::new();
    let mut attach = scene.attach(&["--check", "none"], Some(SERVER));
    let server = pid_in(&scene.path("pid"));
    scene.until_members(1);
    attach.kill();
    until("the server is gone", || {
        let path = format!("/proc/{}/stat", server.as_raw_nonzero());
        fs::read_to_string(path).map_or(true, |stat| stat.contains(") Z "))
    });
    scene.until_members(0);
}

#[test]
fn a_process_of_somebody_else_is_watched_and_left_alone() {
    let scene = Scene::new();
    let mut other = Program::start(std::process::Command::new("cat"));
    let pid = other.id().to_string();
    fs::write(scene.path("number"), format!("{pid}\n")).unwrap();
    let file = scene.path("number").display().to_string();
    let watched = scene.attach(&["--check", "none", "--pid", &file], None);
    scene.until_members(1);
    watched.signal(Signal::TERM);
    assert_eq!(watched.ended().code, Some(0));
    test_kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap()).unwrap();
    let watched = scene.attach(&["--check", "none", "--pid", &pid], None);
    scene.until_members(1);
    other.kill();
    assert_eq!(watched.ended().code, Some(0));
    assert!(scene.members().is_empty());
    let gone = scene.attach(&["--pid", &pid], None).ended();
    assert!(gone.failure(78).contains(&format!("cannot watch process {pid}")));
}

#[test]
fn checks_that_hang_print_and_fork_are_bounded() {
    let scene = Scene::new();
    let script = scene.path("check.sh");
    let text = format!(
        "echo $$ >> {0}/checks; yes & (sleep 1000; yes) & yes; sleep 1000",
        scene.directory.path().display()
    );
    fs::write(&script, text).unwrap();
    let check = format!("exec:sh {}", script.display());
    let options = ["--check", &check, "--timeout", "100ms"];
    let attach = scene.attach(&options, Some("exec sleep 1000"));
    let checks = scene.path("checks");
    let numbers = || -> Vec<i32> {
        let text = fs::read_to_string(&checks).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    until("three checks", || numbers().len() >= 3);
    attach.signal(Signal::TERM);
    assert_eq!(attach.ended().code, Some(128 + 15));
    until("no process of the checks is left", || {
        let is_gone = |group: &i32| {
            let group = Pid::from_raw(*group).unwrap();
            rustix::process::test_kill_process_group(group).is_err()
        };
        numbers().iter().all(is_gone)
    });
    assert!(scene.members().is_empty());
}

#[test]
fn orphans_of_the_server_leave_no_zombies() {
    let scene = Scene::new();
    let script = "echo $$ > \"$0/pid\"; (sleep 0.01 & echo $! > \"$0/orphan\"); exec sleep 1000";
    let attach = scene.attach(&["--check", "none"], Some(script));
    pid_in(&scene.path("pid"));
    let orphan = pid_in(&scene.path("orphan"));
    until("the orphan is gone", || test_kill_process(orphan).is_err());
    attach.signal(Signal::TERM);
    assert_eq!(attach.ended().code, Some(128 + 15));
}

#[test]
fn who_cannot_be_attached_says_why() {
    let scene = Scene::new();
    let missing = scene.attach(&["--orphan", "keep"], None);
    missing.signal(Signal::TERM);
    drop(missing);
    let registrar = scene.registrar.tcp();
    let head = ["attach", "--listen-port", &scene.port, "--registrar", registrar];
    let command = ["--check", "none", "--", "/no/such/server"];
    let failed = run(&[&head[..], &["--pool", "web"], &command].concat());
    assert!(failed.failure(127).contains("/no/such/server"));
    let failed = run(&[&head[..], &["--pool", "web", "--orphan", "keep"], &command].concat());
    assert!(failed.failure(78).contains("/no/such/server"));
    let long = "x".repeat(200);
    let sleep = ["--check", "none", "--interval", "10ms", "--", "sleep", "1000"];
    let refused = run(&[&head[..], &["--pool", &long], &sleep].concat());
    assert!(refused.failure(1).contains("a pool handle of 200 octets"), "{refused:?}");
    let usage = ["--pool", "web", "--address", "127.0.0.1", "--address", "127.0.0.2"];
    run(&[&head[..], &usage].concat()).failure(2);
    assert_eq!(run(&[&head[..], &["--pool", "web", "--check", "ping"]].concat()).code, Some(2));
}

#[test]
fn a_killed_server_is_out_though_all_its_checks_are_good() {
    let scene = Scene::new();
    let attach = scene.attach(&["--check", "exec:true"], Some(SERVER));
    let server = pid_in(&scene.path("pid"));
    scene.until_members(1);
    let watch = ["watch", "web", "-o", "json", "--registrar", scene.registrar.tcp()];
    let mut watch = Program::start(rserpool(&watch));
    assert_eq!(watch.json()["change"], "joined");
    kill_process(server, Signal::KILL).unwrap();
    assert_eq!(watch.json()["change"], "left");
    assert_eq!(attach.ended().code, Some(128 + 9));
}

#[test]
fn a_server_that_cannot_be_registered_is_ended() {
    let scene = Scene::new();
    let nowhere = ["--group", "224.0.1.185:3863", "--interface", "no-such-one"];
    let options = ["--check", "exec:test -e pid", "--orphan", "keep"];
    let head = ["attach", "--pool", "web", "--listen-port", &scene.port, "--interval", "50ms"];
    let mut command = lasting(&[&head[..], &options, &nowhere].concat());
    command.current_dir(scene.directory.path());
    command.args(["--", "sh", "-c", SERVER]).arg(scene.directory.path());
    let ended = Program::start(command).ended();
    assert!(ended.failure(78).contains("no-such-one"), "{ended:?}");
    let server = pid_in(&scene.path("pid"));
    assert!(test_kill_process(server).is_err(), "the server goes on");
}

#[test]
fn times_may_be_longer_than_any_clock_can_tell() {
    let scene = Scene::new();
    let times = ["--interval", "--timeout", "--warmup", "--drain", "--stop-timeout"];
    let long = times.iter().flat_map(|option| [*option, "18446744073709551615s"]);
    let options: Vec<&str> =
        ["--rise", "1", "--check", "exec:true"].into_iter().chain(long).collect();
    let attach = scene.attach(&options, Some("exec sleep 1000"));
    scene.until_members(1);
    attach.signal(Signal::TERM);
    let ended = attach.ended();
    assert_eq!((ended.code, &*ended.stderr), (Some(128 + 15), ""), "{ended:?}");
}
