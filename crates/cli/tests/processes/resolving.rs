//! What `resolve` tells programs that know nothing of pools.

use std::process::Command;

use crate::programs::{Program, Registrar, Server, lasting, rserpool, run};

/// A registrar with a pool of two, of whom priority says who is first.
struct Scene {
    registrar: Registrar,
    _servers: [Server; 2],
    /// Where the first one is.
    first: String,
    second: String,
}

impl Scene {
    fn new(pool: &str) -> Self {
        let registrar = Registrar::patient();
        let start = |priority: &str| {
            let head = ["echo", "--transport", "tcp", "--pool", pool, "--policy", priority];
            Server::start(registrar.tcp(), &head)
        };
        let servers = [start("priority:1"), start("priority:2")];
        let told = run(&["resolve", pool, "--registrar", registrar.tcp(), "-o", "json"]).json();
        let port = |number: usize| format!("127.0.0.1:{}", told["elements"][number]["port"]);
        let (first, second) = (port(0), port(1));
        Self { registrar, _servers: servers, first, second }
    }

    /// The arguments of a resolution.
    fn resolve<'a>(&'a self, pool: &'a str, options: &[&'a str]) -> Vec<&'a str> {
        [&["resolve", pool, "--registrar", self.registrar.tcp()], options].concat()
    }
}

#[test]
fn places_come_a_line_each_in_the_order_of_the_policy() {
    let scene = Scene::new("web");
    let (first, second) = (&scene.first, &scene.second);
    let lines = |form| run(&scene.resolve("web", &["-o", form])).stdout;
    assert_eq!(lines("hostport"), format!("{first}\n{second}\n"));
    assert_eq!(lines("url"), format!("tcp://{first}\ntcp://{second}\n"));
    let port = first.rsplit_once(':').unwrap().1;
    let variables = format!("WEB_HOST=127.0.0.1\nWEB_PORT={port}\nWEB_ADDR={first}\n");
    assert_eq!(lines("env"), variables);
    for form in ["env", "hostport", "url"] {
        let none = run(&scene.resolve("nobody", &["-o", form]));
        none.failure(68);
    }
    let other = ["dump", "--enrp", "tcp://127.0.0.1:1", "-o", "env"];
    assert_eq!(run(&other).code, Some(2));
}

#[test]
fn variables_are_good_for_a_shell_whatever_the_handle_is() {
    let hostile = "1$(touch here)`id`;'\"\\x0a&\\xff";
    let scene = Scene::new(hostile);
    let directory = tempfile::tempdir().unwrap();
    let env = run(&scene.resolve(hostile, &["-o", "env"])).stdout;
    let mut shell = Command::new("sh");
    shell.args(["-euc", "eval \"$0\"; set | grep _ADDR="]).arg(&env);
    let output = shell.current_dir(directory.path()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("_1__TOUCH_HERE__ID") && said.contains(&scene.first), "{said}");
    assert_eq!(directory.path().read_dir().unwrap().count(), 0, "something was executed");
}

#[test]
fn a_command_takes_the_place_of_the_resolution() {
    let scene = Scene::new("web");
    let script = "printf '%s|' \"$@\"; printenv WEB_ADDR; ulimit -Sn; exit 7";
    let exec = ["--exec", "sh", "-c", script, "sh", "-h", "{host}", "--at={url}"];
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -Sn 100; exec \"$0\" \"$@\""]);
    let resolve = rserpool(&scene.resolve("web", &exec));
    limited.arg(resolve.get_program()).args(resolve.get_args());
    let ended = Program::start(limited).ended();
    let first = &scene.first;
    let said = format!("-h|127.0.0.1|--at=tcp://{first}|{first}\n100\n");
    assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (Some(7), &*said, ""));
    let missing = run(&scene.resolve("web", &["--exec", "/no/such/program", "{port}"]));
    assert!(missing.failure(127).contains("/no/such/program"), "{missing:?}");
    let forbidden = run(&scene.resolve("web", &["--exec", "/etc/passwd"]));
    assert!(forbidden.failure(126).contains("/etc/passwd"), "{forbidden:?}");
    run(&scene.resolve("nobody", &["--exec", "true"])).failure(68);
    let both = run(&scene.resolve("web", &["-o", "env", "--exec", "true"]));
    assert_eq!(both.code, Some(2));
}

#[test]
fn what_a_command_is_replaced_by_has_its_process() {
    let scene = Scene::new("web");
    let exec = ["--exec", "sh", "-c", "echo $$; read line; echo $line"];
    let mut program = Program::start(lasting(&scene.resolve("web", &exec)));
    let id = program.id().to_string();
    assert_eq!(program.line(), id);
    program.say("standard input is its own");
    assert_eq!(program.line(), "standard input is its own");
    assert_eq!(program.ended().code, Some(0));
}
