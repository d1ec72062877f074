//! Jobs on a pool.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use super::client;
use crate::programs::{Ended, Program, Registrar, Server, members, until};

fn server(registrar: &Registrar, args: &[&str]) -> Server {
    let jobs = [
        "--job=copy=cat",
        "--job=slow=sleep 0.05; cat",
        "--job=count=wc -c",
        "--job=fail=echo no >&2; exit 3",
        "--job=yes=yes",
        "--job=forever=sleep 100000 & wait",
        "--job=id=echo $RSERPOOL_JOB_ID",
        "--job=limits=ulimit -t; ulimit -v; ulimit -c",
        "--job=deaf=exec <&-; echo done",
    ];
    let head = ["exec", "--transport", "tcp", "--jobs-max", "4"];
    Server::start(registrar.tcp(), &[&head[..], &jobs, args].concat())
}

/// Gives a program its input, and waits for its end.
fn with_input(mut program: Program, input: &str) -> Ended {
    program.say(input);
    program.end()
}

#[test]
fn results_come_in_order_though_a_server_is_killed() {
    let registrar = Registrar::patient();
    let mut servers: Vec<Server> = (0..3).map(|_| server(&registrar, &[])).collect();
    let list: Vec<String> = (0..120).map(|number| format!("line {number}")).collect();
    let mut map = client(&registrar, &["map", "--job", "slow"]);
    list.iter().for_each(|line| map.say(line));
    drop(map.stdin());
    for (number, line) in list.iter().enumerate() {
        if number == 5 {
            servers[0].program.kill();
        }
        assert_eq!(&map.line(), line);
    }
    let ended = map.ended();
    assert_eq!((ended.code, &*ended.stdout), (Some(0), ""), "{ended:?}");
}

#[test]
fn how_a_job_ended_is_told() {
    let registrar = Registrar::patient();
    let _server = server(&registrar, &["--time-limit", "1s", "--output-limit", "100000"]);
    let outcome = |job: &str| -> Value {
        let ended = with_input(client(&registrar, &["map", "--json", "--job", job]), "x");
        serde_json::from_str::<Value>(&ended.stdout).unwrap()[0].take()
    };
    let fail = outcome("fail");
    assert_eq!((&fail["outcome"], &fail["code"]), (&"exited".into(), &3.into()), "{fail}");
    assert_eq!(fail["stderr"], "no\n");
    assert_eq!(outcome("yes")["outcome"], "output-limit");
    assert_eq!(outcome("forever")["outcome"], "time-limit");
    assert_eq!(outcome("id")["stdout"], "1\n");

    let ended = with_input(client(&registrar, &["map", "--job", "fail"]), "x\ny");
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let expected = [
        "no",
        "rserpool: job 1: exit code 3",
        "no",
        "rserpool: job 2: exit code 3",
        "rserpool: 2 of 2 jobs failed",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn only_what_the_operator_allows_is_run() {
    let registrar = Registrar::patient();
    let _server = server(&registrar, &[]);
    for job in ["none", "cat", "copy; id", "/bin/sh"] {
        let ended = with_input(client(&registrar, &["map", "--job", job]), "x");
        assert!(ended.failure(1).contains("there is no job"), "{ended:?}");
    }
    // Nor does a server without a command start.
    let args = ["serve", "exec", "--transport", "tcp", "--listen", "127.0.0.1"];
    let ended = client(&registrar, &args).ended();
    assert!(ended.failure(2).contains("--job"), "{ended:?}");
}

#[test]
fn commands_see_what_they_need_of_the_environment_and_no_more() {
    let registrar = Registrar::patient();
    let mut command = crate::programs::rserpool(&[
        "serve",
        "exec",
        "--transport",
        "tcp",
        "--listen",
        "127.0.0.1",
        "--job=env=env",
        "--pass-env",
        "WANTED",
        "--registrar",
        registrar.tcp(),
    ]);
    command.env("SECRET", "of the server").env("WANTED", "of the operator");
    let mut server = Program::start(command);
    server.line();
    let ended = with_input(client(&registrar, &["map", "--job", "env"]), "x");
    let has = |name: &str| ended.stdout.lines().any(|line| line.starts_with(name));
    assert!(has("PATH=") && has("RSERPOOL_JOB_ID=1") && has("WANTED=of the operator"), "{ended:?}");
    assert!(!has("SECRET=") && !has("RSERPOOL_REGISTRARS="), "{ended:?}");
}

#[test]
fn limits_are_set_before_the_command_runs() {
    let registrar = Registrar::patient();
    let _server = server(&registrar, &["--cpu-limit", "7", "--memory-limit", "1073741824"]);
    let ended = with_input(client(&registrar, &["map", "--job", "limits"]), "x");
    assert_eq!((ended.code, &*ended.stdout), (Some(0), "7\n1048576\n0\n"));
}

#[test]
fn a_long_input_flows_whether_or_not_the_job_takes_it() {
    let registrar = Registrar::patient();
    let _server = server(&registrar, &[]);
    let line = "x".repeat(9 << 20);
    let ended = with_input(client(&registrar, &["map", "--job", "count"]), &line);
    assert_eq!((ended.code, ended.stdout.trim()), (Some(0), "9437185"));
    let ended = with_input(client(&registrar, &["map", "--job", "copy"]), &line);
    assert_eq!((ended.code, ended.stdout.len()), (Some(0), 9_437_185));
    let ended = with_input(client(&registrar, &["map", "--job", "deaf"]), &line);
    assert_eq!((ended.code, &*ended.stdout), (Some(0), "done\n"));
}

#[test]
fn every_job_has_its_entry_though_all_servers_are_gone() {
    let registrar = Registrar::patient();
    let mut server = server(&registrar, &[]);
    let args = ["map", "--json", "--job", "copy", "--parallel", "2", "--failover-timeout", "200ms"];
    let mut map = client(&registrar, &args);
    map.say("first");
    // The bracket, and the first job.
    assert_eq!(map.line(), "[");
    let first = map.line();
    server.program.kill();
    (0..19).for_each(|number| map.say(&format!("line {number}")));
    let ended = map.end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let all = format!("[{first}{}", ended.stdout);
    let jobs: Vec<Value> = serde_json::from_str(&all).unwrap();
    let numbers: Vec<u64> = jobs.iter().map(|job| job["job"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    assert_eq!(jobs[0]["outcome"], "exited");
    for job in &jobs[1..] {
        assert_eq!(job["outcome"], "failed", "{job}");
        assert!(!job["why"].as_str().unwrap().is_empty(), "{job}");
    }
}

#[test]
fn an_empty_list_is_done() {
    let registrar = Registrar::patient();
    let _server = server(&registrar, &[]);
    let ended = client(&registrar, &["map", "--job", "copy"]).end();
    assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (Some(0), "", ""));
}

#[cfg(target_os = "linux")]
#[test]
fn a_job_ends_with_its_client_and_with_its_server() {
    for ends in ["client", "server"] {
        let registrar = Registrar::patient();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        // What it starts ends with it.
        let job = format!("--job=stay=sleep 100000 & echo $! > {}; wait", file.display());
        let mut server = server(&registrar, &[&job]);
        let mut map = client(&registrar, &["map", "--job", "stay"]);
        map.say("x");
        let pid = || fs::read_to_string(&file).ok().filter(|pid| pid.ends_with('\n'));
        until("the job", || pid().is_some());
        let status = format!("/proc/{}/stat", pid().unwrap().trim());
        // Whoever inherits it may leave it as a zombie.
        let is_running =
            || fs::read_to_string(&status).is_ok_and(|status| !status.contains(") Z "));
        assert!(is_running());
        match ends {
            "client" => map.kill(),
            _ => server.program.kill(),
        }
        until("the end of the job", || !is_running());
    }
}

#[test]
fn a_server_that_is_told_to_end_twice_waits_for_no_job() {
    let registrar = Registrar::patient();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("runs");
    let job = format!("--job=stay=echo > {}; sleep 100000", file.display());
    let server = server(&registrar, &[&job, "--time-limit", "1h", "--drain", "1h"]);
    let mut map = client(&registrar, &["map", "--job", "stay"]);
    map.say("x");
    until("the job", || file.exists());
    server.program.signal(Signal::TERM);
    until("its farewell", || members(registrar.tcp(), "ExecPool").is_empty());
    server.program.signal(Signal::TERM);
    assert_eq!(server.program.ended().code, Some(0));
}

#[test]
fn servers_that_do_not_know_the_job_are_passed_over() {
    let registrar = Registrar::patient();
    let args = ["exec", "--transport", "tcp", "--job=other=false", "--policy", "priority:2"];
    let _lacking = Server::start(registrar.tcp(), &args);
    let _has_it = server(&registrar, &["--policy", "priority:1"]);
    let map = client(&registrar, &["map", "--json", "--job", "copy", "--retries", "0"]);
    let ended = with_input(map, "x\ny");
    let jobs: Vec<Value> = serde_json::from_str(&ended.stdout).unwrap();
    assert!(jobs.iter().all(|job| job["attempts"] == 1 && job["code"] == 0), "{ended:?}");
    // An array is an array, however it ends.
    let ended = with_input(client(&registrar, &["map", "--json", "--job", "none"]), "x");
    assert_eq!((ended.code, &*ended.stdout), (Some(1), "[\n]\n"));
}

#[test]
fn a_job_that_says_too_much_for_its_client_is_not_tried_again() {
    let registrar = Registrar::patient();
    let _server = server(&registrar, &[]);
    let map = ["map", "--json", "--job", "copy", "--output-max", "3"];
    let ended = with_input(client(&registrar, &map), "long");
    let job = &serde_json::from_str::<Value>(&ended.stdout).unwrap()[0];
    assert_eq!((&job["outcome"], &job["attempts"]), (&"failed".into(), &1.into()), "{job}");
}

#[test]
fn servers_that_say_nothing_are_given_up() {
    let registrar = Registrar::patient();
    let _silent = Server::start(registrar.tcp(), &["discard", "--transport", "sctp"]);
    let args = ["map", "--pool", "DiscardPool", "--job", "copy", "--retries", "3"];
    let quick = ["--answer-timeout", "20ms"];
    let ended = with_input(client(&registrar, &[&args[..], &quick].concat()), "x");
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.contains("its servers fail one after the other"), "{ended:?}");
}
