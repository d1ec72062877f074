//! Sessions: a client that speaks with a pool, whichever of its servers lives.

use rustix::process::Signal;

use crate::programs::{Program, Registrar, Server, members, rserpool};

/// `rserpool connect` to a pool.
fn connect(registrar: &Registrar, pool: &str) -> Program {
    Program::start(rserpool(&["connect", pool, "--registrar", registrar.tcp()]))
}

/// Three servers that echo; users turn to them in this order.
fn three_servers(registrar: &Registrar, transport: &str) -> Vec<Server> {
    let start = |priority| {
        let policy = format!("priority:{priority}");
        let args = ["echo", "--transport", transport, "--policy", &policy];
        Server::start(registrar.tcp(), &args)
    };
    [3, 2, 1].map(start).into()
}

fn going_on(from: &Server, to: &Server) -> String {
    format!("server {} failed, going on with {}", from.id, to.id)
}

#[test]
fn each_service_does_what_its_rfc_says() {
    let registrar = Registrar::patient();
    for transport in ["tcp", "sctp"] {
        let serve = |service: &str, pool: &str| {
            let args = [service, "--pool", pool, "--transport", transport];
            Server::start(registrar.tcp(), &args)
        };

        let _echo = serve("echo", "E");
        let mut client = connect(&registrar, "E");
        client.say("hello");
        assert_eq!(client.line(), "hello");
        let ended = client.end();
        assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (Some(0), "", ""));

        let _discard = serve("discard", "D");
        let mut client = connect(&registrar, "D");
        client.say("hello");
        let ended = client.end();
        assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (Some(0), "", ""));

        // It tells the time and hangs up, and nobody takes that for a failure.
        let _daytime = serve("daytime", "T");
        for _ in 0..5 {
            let ended = connect(&registrar, "T").ended();
            assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
            assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
            assert!(ended.stdout.ends_with("Z\r\n"), "{ended:?}");
        }
        assert_eq!(members(registrar.tcp(), "T").len(), 1);

        let _chargen = serve("chargen", "C");
        let mut client = connect(&registrar, "C");
        assert_eq!(
            client.line(),
            " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg"
        );
        assert!(client.line().starts_with("!\"#$%"));
    }
}

fn a_session_outlives_its_servers(transport: &str) {
    let registrar = Registrar::patient();
    let mut servers = three_servers(&registrar, transport);
    let mut client = connect(&registrar, "EchoPool");
    for number in 0..60 {
        match number {
            20 => servers[0].program.kill(),
            40 => servers[1].program.kill(),
            _ => {}
        }
        client.say(&format!("line {number}"));
        assert_eq!(client.line(), format!("line {number}"));
    }
    let ended = client.end();
    assert_eq!((ended.code, &*ended.stdout), (Some(0), ""), "{ended:?}");
    let failovers: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(failovers, [going_on(&servers[0], &servers[1]), going_on(&servers[1], &servers[2])]);
}

#[test]
fn on_request_it_tells_which_server_has_the_session() {
    let registrar = Registrar::patient();
    let server = Server::start(registrar.tcp(), &["echo", "--transport", "tcp"]);
    let mut client =
        Program::start(rserpool(&["connect", "EchoPool", "-v", "--registrar", registrar.tcp()]));
    client.say("hello");
    assert_eq!(client.line(), "hello");
    let ended = client.end();
    let told = format!("server {} has the session", server.id);
    assert_eq!(ended.stderr.lines().filter(|line| line.ends_with(&told)).count(), 1, "{ended:?}");
}

#[test]
fn a_session_over_tcp_outlives_its_servers() {
    a_session_outlives_its_servers("tcp");
}

#[test]
fn a_session_over_sctp_outlives_its_servers() {
    a_session_outlives_its_servers("sctp");
}

#[test]
fn a_session_goes_on_when_its_server_freezes() {
    for transport in ["tcp", "sctp"] {
        let registrar = Registrar::patient();
        let servers = three_servers(&registrar, transport);
        let mut client = connect(&registrar, "EchoPool");
        client.say("before");
        assert_eq!(client.line(), "before");
        servers[0].program.signal(Signal::STOP);
        client.say("after");
        assert_eq!(client.line(), "after");
        assert_eq!(client.log_line(), going_on(&servers[0], &servers[1]));
    }
}

#[test]
fn a_session_comes_back_when_all_its_servers_do() {
    let registrar = Registrar::patient();
    let mut first = Server::echo(registrar.tcp());
    let mut client = connect(&registrar, "EchoPool");
    client.say("before");
    assert_eq!(client.line(), "before");
    first.program.kill();
    client.say("between");
    let _second = Server::echo(registrar.tcp());
    assert_eq!(client.line(), "between");
}

#[test]
fn a_session_without_any_server_fails_in_the_end() {
    let registrar = Registrar::patient();
    let mut server = Server::echo(registrar.tcp());
    let args = ["connect", "EchoPool", "--failover-timeout", "100ms"];
    let mut client =
        Program::start(rserpool(&[&args[..], &["--registrar", registrar.tcp()]].concat()));
    client.say("before");
    assert_eq!(client.line(), "before");
    server.program.kill();
    let ended = client.ended();
    assert!(ended.failure(1).contains("the session with EchoPool: "), "{ended:?}");
}

#[test]
fn who_wants_to_wait_for_a_pool_does() {
    let registrar = Registrar::patient();
    let args = ["connect", "EchoPool", "--wait", "--registrar", registrar.tcp()];
    let mut client = Program::start(rserpool(&args));
    client.say("before");
    let _server = Server::echo(registrar.tcp());
    assert_eq!(client.line(), "before");
}

/// Every line is answered once, in order, though the first server dies while they are on the way.
fn nothing_is_lost(transport: &str, lines: &[String]) {
    let registrar = Registrar::patient();
    let mut servers = three_servers(&registrar, transport);
    let mut client = connect(&registrar, "EchoPool");
    let mut input = client.stdin();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            lines.iter().for_each(|line| input.say(line));
        });
        for (number, line) in lines.iter().enumerate() {
            assert!(client.line() == *line, "line {number} is another one");
            if number == lines.len() / 3 {
                servers[0].program.kill();
            }
        }
    });
    let ended = client.ended();
    assert_eq!((ended.code, &*ended.stdout), (Some(0), ""));
}

#[test]
fn many_lines_at_once_survive_the_death_of_their_server() {
    let lines: Vec<String> = (0..20_000).map(|number| format!("line {number}")).collect();
    nothing_is_lost("tcp", &lines);
    nothing_is_lost("sctp", &lines);
}

#[test]
fn lines_that_arrive_in_pieces_survive_the_death_of_their_server() {
    let long = |number: usize| number.to_string().repeat(50_000);
    let lines: Vec<String> = (10..90).map(long).collect();
    nothing_is_lost("tcp", &lines);
}

#[test]
fn more_lines_than_are_remembered_can_be_thrown_away() {
    let registrar = Registrar::patient();
    let _discard = Server::start(registrar.tcp(), &["discard", "--transport", "tcp"]);
    let mut client = connect(&registrar, "DiscardPool");
    let mut input = client.stdin();
    (0..25_000).for_each(|_| input.say("rubbish"));
    drop(input);
    let ended = client.ended();
    assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (Some(0), "", ""));
}

/// `rserpool connect` to EchoPool with these lines, to its end.
fn asks(registrar: &Registrar, text: &str) -> crate::programs::Ended {
    let args = ["connect", "EchoPool", "--answer-timeout", "500ms"];
    let mut client =
        Program::start(rserpool(&[&args[..], &["--registrar", registrar.tcp()]].concat()));
    client.say(text);
    client.end()
}

#[test]
fn a_question_that_nobody_answers_is_a_failure() {
    for transport in ["tcp", "udp"] {
        let registrar = Registrar::patient();
        let server = Server::start(registrar.tcp(), &["echo", "--transport", transport]);
        server.program.signal(Signal::STOP);
        let ended = asks(&registrar, "anybody?");
        assert!(ended.failure(1).contains("1 line has no answer"), "{transport} {ended:?}");
        server.program.signal(Signal::CONT);
    }
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_left_for_another_one() {
    for transport in ["tcp", "udp", "sctp"] {
        let registrar = Registrar::patient();
        let servers = three_servers(&registrar, transport);
        servers[0].program.signal(Signal::STOP);
        let ended = asks(&registrar, "anybody?");
        assert_eq!((ended.code, &*ended.stdout), (Some(0), "anybody?\n"), "{transport} {ended:?}");
        servers[0].program.signal(Signal::CONT);
    }
}

#[test]
fn a_long_line_comes_back_whole() {
    let line = "0123456789abcdef".repeat((13 << 20) / 16);
    for transport in ["tcp", "sctp"] {
        let registrar = Registrar::patient();
        let _server = Server::start(registrar.tcp(), &["echo", "--transport", transport]);
        let mut client = connect(&registrar, "EchoPool");
        let mut input = client.stdin();
        std::thread::scope(|scope| {
            let line = &line;
            scope.spawn(move || {
                input.say(line);
                input.say("short");
            });
            assert!(client.line() == *line, "{transport}");
            assert_eq!(client.line(), "short");
        });
        let ended = client.ended();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{transport}");
    }
}
