//! Pools as names: `dns`, asked over UDP and TCP.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use rserpool::blocking::{PoolElement, Runtime};
use rserpool::{ElementConfig, PoolHandle, Transport};
use rustix::process::Signal;

use crate::programs::{PATIENCE, Program, Registrar, Server, lasting, run, until};

/// A server for `rserpool.internal`, and where it is.
struct Dns {
    program: Program,
    at: String,
}

impl Dns {
    fn start(registrar: &str, options: &[&str]) -> Self {
        let head = ["dns", "--listen", "127.0.0.1:0", "-o", "json", "--registrar", registrar];
        let mut program = Program::start(lasting(&[&head[..], options].concat()));
        let ready = program.json();
        assert_eq!(ready["zone"], "rserpool.internal");
        let at = ready["listen"][0].as_str().unwrap().to_owned();
        Self { program, at }
    }

    /// What comes back for these octets over UDP. Datagrams may be lost: clients ask again.
    fn udp(&self, query: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        socket.connect(&self.at).unwrap();
        let mut octets = vec![0; 65_536];
        until("an answer", || {
            socket.send(query).unwrap();
            let received = socket.recv(&mut octets);
            received.is_ok_and(|count| {
                octets.truncate(count);
                true
            })
        });
        octets
    }

    fn tcp(&self, query: &Message) -> Message {
        let mut stream = TcpStream::connect(&self.at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let query = query.to_vec().unwrap();
        stream.write_all(&u16::try_from(query.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&query).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut octets).unwrap();
        Message::from_vec(&octets).unwrap()
    }

    /// The answer to a question over UDP, with EDNS.
    fn ask(&self, name: &str, kind: RecordType) -> Message {
        let mut query = query(name, kind);
        query.set_edns(edns(4096, 0));
        let answer = Message::from_vec(&self.udp(&query.to_vec().unwrap())).unwrap();
        assert_eq!((answer.metadata.id, &answer.queries), (query.metadata.id, &query.queries));
        assert!(!answer.metadata.recursion_available);
        answer
    }

    fn code(&self, name: &str, kind: RecordType) -> ResponseCode {
        self.ask(name, kind).metadata.response_code
    }

    fn services(&self, name: &str) -> Vec<SRV> {
        services(&self.ask(name, RecordType::SRV))
    }

    fn addresses(&self, name: &str) -> Vec<String> {
        let answer = self.ask(name, RecordType::A);
        answer.answers.iter().map(|record| record.data.to_string()).collect()
    }
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::new(0x1234, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    query.add_query(Query::query(name, kind));
    query
}

fn edns(octets: u16, version: u8) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(octets).set_version(version);
    edns
}

fn services(answer: &Message) -> Vec<SRV> {
    let service = |data: &RData| match data {
        RData::SRV(service) => service.clone(),
        other => panic!("{other:?}"),
    };
    answer.answers.iter().map(|record| service(&record.data)).collect()
}

/// Elements of the test itself, at ports that nobody listens at.
fn elements(registrar: &str, pool: &PoolHandle, count: u16) -> Vec<PoolElement> {
    let runtime = Runtime::start().unwrap();
    let element = |number: u16| {
        let at = Transport::tcp(([127, 0, 0, 1], 1000 + number).into());
        let config = ElementConfig::new(vec![registrar.parse().unwrap()], pool.clone(), at);
        PoolElement::start_in(&runtime, config).unwrap()
    };
    (0..count).map(element).collect()
}

#[test]
fn a_pool_has_addresses_servers_and_a_text() {
    let registrar = Registrar::patient();
    let start = |priority: &str, id: &str| {
        let head = ["echo", "--transport", "tcp", "--policy", priority, "--id", id];
        Server::start(registrar.tcp(), &head)
    };
    let mut first = start("priority:9", "0x11");
    let _second = start("priority:7", "0x22");
    let dns = Dns::start(registrar.tcp(), &["--pool", "EchoPool", "--name", "short=EchoPool"]);
    until("both servers", || dns.services("_echopool._tcp.rserpool.internal").len() == 2);
    let answer = dns.ask("_ECHOPOOL._tcp.Rserpool.Internal", RecordType::SRV);
    assert!(answer.metadata.authoritative && !answer.metadata.truncation);
    let told: Vec<(u16, u16, String)> =
        services(&answer).iter().map(|it| (it.priority, it.weight, it.target.to_ascii())).collect();
    let target = |id: &str| format!("{id}.EchoPool.pe.rserpool.internal.");
    let expected = [(0, u16::MAX, target("00000011")), (1, u16::MAX, target("00000022"))];
    assert_eq!(told, expected);
    let ttls: Vec<u32> = answer.answers.iter().map(|record| record.ttl).collect();
    assert_eq!(ttls, [1, 1]);
    // Whoever gets them need not ask for their addresses.
    assert_eq!(answer.additionals.len(), 2);
    assert_eq!(dns.addresses(&target("00000011")), ["127.0.0.1"]);
    for name in
        ["EchoPool.rserpool.internal", "echopool.rserpool.internal", "short.rserpool.internal"]
    {
        assert_eq!(dns.addresses(name), ["127.0.0.1"], "{name}");
    }
    let text = dns.ask("echopool.rserpool.internal", RecordType::TXT).answers[0].data.to_string();
    for part in ["pool=EchoPool", "policy=priority", "elements=2"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(dns.services("echopool.rserpool.internal").len(), 2);
    assert!(dns.services("_echopool._udp.rserpool.internal").is_empty());
    first.program.kill();
    until("the dead one is gone", || dns.services("_echopool._tcp.rserpool.internal").len() == 1);
    assert_eq!(dns.code(&target("00000011"), RecordType::A), ResponseCode::NXDomain);
    dns.program.signal(Signal::TERM);
    let ended = dns.program.ended();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

#[test]
fn what_is_not_there_and_what_is_not_told() {
    let registrar = Registrar::patient();
    let _server = Server::echo(registrar.tcp());
    let dns = Dns::start(registrar.tcp(), &["--pool", "EchoPool"]);
    until("the pool", || dns.services("_echopool._tcp.rserpool.internal").len() == 1);
    for (name, kind, code) in [
        ("nobody.rserpool.internal", RecordType::A, ResponseCode::NXDomain),
        ("a.b.rserpool.internal", RecordType::A, ResponseCode::NXDomain),
        ("echopool.rserpool.internal", RecordType::AAAA, ResponseCode::NoError),
        ("echopool.rserpool.internal", RecordType::Unknown(65_280), ResponseCode::NoError),
        ("echopool.pe.rserpool.internal", RecordType::A, ResponseCode::NoError),
        ("_tcp.rserpool.internal", RecordType::A, ResponseCode::NoError),
        ("rserpool.internal", RecordType::MX, ResponseCode::NoError),
    ] {
        let answer = dns.ask(name, kind);
        assert_eq!(answer.metadata.response_code, code, "{name}");
        assert!(answer.answers.is_empty(), "{answer}");
        let [soa] = &*answer.authorities else { panic!("{answer}") };
        assert_eq!(soa.record_type(), RecordType::SOA);
    }
    for (name, kind) in
        [("rserpool.internal", RecordType::SOA), ("rserpool.internal", RecordType::NS)]
    {
        assert_eq!(dns.ask(name, kind).answers.len(), 1);
    }
    let any = dns.ask("echopool.rserpool.internal", RecordType::ANY);
    assert_eq!(any.answers[0].record_type(), RecordType::SRV);
    for (name, kind) in [
        ("example.com", RecordType::A),
        ("internal", RecordType::SOA),
        (".", RecordType::NS),
        ("rserpool.internal", RecordType::AXFR),
        ("rserpool.internal", RecordType::IXFR),
    ] {
        assert_eq!(dns.code(name, kind), ResponseCode::Refused, "{name}");
    }
    let mut chaos = query("version.bind", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    let mut update = query("rserpool.internal", RecordType::SOA);
    update.metadata.op_code = OpCode::Update;
    let mut newer = query("echopool.rserpool.internal", RecordType::A);
    newer.set_edns(edns(1232, 1));
    let mut several = query("echopool.rserpool.internal", RecordType::A);
    several.add_query(several.queries[0].clone());
    for (query, code) in [
        (chaos, ResponseCode::Refused),
        (update, ResponseCode::NotImp),
        (newer, ResponseCode::BADVERS),
        (several, ResponseCode::FormErr),
    ] {
        let answer = Message::from_vec(&dns.udp(&query.to_vec().unwrap())).unwrap();
        // BADVERS and BADSIG are one number.
        let number = |answer: &Message| u16::from(answer.metadata.response_code);
        assert_eq!(number(&answer), u16::from(code), "{answer}");
        assert_eq!(number(&dns.tcp(&query)), u16::from(code));
    }
}

#[test]
fn what_does_not_fit_is_said_to_be_cut_and_comes_over_tcp() {
    let registrar = Registrar::patient();
    let pool: PoolHandle = "web".parse().unwrap();
    let _elements = elements(registrar.tcp(), &pool, 60);
    let dns = Dns::start(registrar.tcp(), &[]);
    let name = "_web._tcp.rserpool.internal";
    let all = query(name, RecordType::SRV);
    until("all of them", || dns.tcp(&all).answers.len() == 60);
    let whole = dns.tcp(&all);
    assert!(!whole.metadata.truncation && whole.additionals.len() == 60);
    for (octets, limit) in [(None, 512), (Some(100), 512), (Some(512), 512), (Some(1400), 1400)] {
        let mut query = all.clone();
        if let Some(octets) = octets {
            query.set_edns(edns(octets, 0));
        }
        let answer = dns.udp(&query.to_vec().unwrap());
        assert!(answer.len() <= limit && answer.len() > limit - 60, "{}", answer.len());
        let answer = Message::from_vec(&answer).unwrap();
        assert!(answer.metadata.truncation && answer.additionals.is_empty(), "{answer}");
        assert!(answer.answers.iter().all(|record| whole.answers.contains(record)), "{answer}");
        assert_eq!(answer.edns.is_some(), octets.is_some());
    }
    // Without the addresses it fits, and nothing that was asked for is missing.
    let mut query = all.clone();
    query.set_edns(edns(3800, 0));
    let answer = Message::from_vec(&dns.udp(&query.to_vec().unwrap())).unwrap();
    assert!(!answer.metadata.truncation && answer.additionals.is_empty());
    assert_eq!(answer.answers.len(), whole.answers.len());
}

#[test]
fn handles_that_are_no_names_have_some() {
    let registrar = Registrar::patient();
    let octets: Vec<u8> = (0..32).map(|number| if number % 2 == 0 { 0 } else { b'.' }).collect();
    let pool = PoolHandle::new(&octets).unwrap();
    let _elements = elements(registrar.tcp(), &pool, 1);
    let dns = Dns::start(registrar.tcp(), &[]);
    let label = data_encoding::BASE32HEX_NOPAD.encode(&octets).to_lowercase();
    let service = format!("_{label}._tcp.b32.rserpool.internal");
    until("the element", || dns.code(&service, RecordType::SRV) == ResponseCode::NoError);
    let target = dns.services(&service)[0].target.to_ascii();
    assert_eq!(dns.addresses(&target), ["127.0.0.1"]);
    assert_eq!(dns.addresses(&format!("{label}.b32.rserpool.internal")), ["127.0.0.1"]);
    let answer = dns.ask(&format!("{label}.b32.rserpool.internal"), RecordType::TXT);
    let RData::TXT(text) = &answer.answers[0].data else { panic!("{answer}") };
    let handle = format!("handle={pool}");
    assert!(text.txt_data.iter().any(|it| **it == *handle.as_bytes()), "{text}");
}

#[test]
fn names_that_differ_by_case_only_are_nobody_s_without_an_alias() {
    let registrar = Registrar::patient();
    let pools = ["Web", "web"].map(|pool| elements(registrar.tcp(), &pool.parse().unwrap(), 1));
    let dns = Dns::start(registrar.tcp(), &["--pool", "web", "--pool", "Web"]);
    until("both", || dns.code("web.rserpool.internal", RecordType::A) == ResponseCode::Refused);
    let alias = Dns::start(registrar.tcp(), &["--name", "web=Web", "--pool", "web"]);
    until("the alias", || alias.addresses("WEB.rserpool.internal") == ["127.0.0.1"]);
    let text = alias.ask("web.rserpool.internal", RecordType::TXT).answers[0].data.to_string();
    assert!(text.contains("pool=Web"), "{text}");
    drop(pools);
}

#[test]
fn without_a_registrar_it_tells_what_it_knew_for_as_long_as_it_may() {
    let registrar = Registrar::patient();
    let _server = Server::echo(registrar.tcp());
    let long = Dns::start(registrar.tcp(), &["--pool", "EchoPool"]);
    let short = Dns::start(registrar.tcp(), &["--pool", "EchoPool", "--stale", "0s"]);
    let name = "echopool.rserpool.internal";
    for dns in [&long, &short] {
        until("the pool", || dns.addresses(name) == ["127.0.0.1"]);
    }
    drop(registrar);
    until("it is too old", || short.code(name, RecordType::A) == ResponseCode::ServFail);
    assert_eq!(long.addresses(name), ["127.0.0.1"]);
    assert_eq!(long.services("_echopool._tcp.rserpool.internal").len(), 1);
    assert_eq!(long.code("other.rserpool.internal", RecordType::A), ResponseCode::ServFail);
}

#[test]
fn no_octets_end_it() {
    let registrar = Registrar::patient();
    let _server = Server::echo(registrar.tcp());
    let dns = Dns::start(registrar.tcp(), &["--pool", "EchoPool"]);
    let mut good = query("_echopool._tcp.rserpool.internal", RecordType::SRV);
    good.set_edns(edns(4096, 0));
    let good = good.to_vec().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(&dns.at).unwrap();
    // Names that point to themselves and to one another.
    let head = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for name in
        [&[0xc0, 12][..], &[0xc0, 14, 0xc0, 12], &[1, b'a', 0xc0, 12], &[0x80; 40], &[63; 400]]
    {
        socket.send(&[&head[..], name, &[0, 1, 0, 1]].concat()).unwrap();
    }
    let mut random = 0x9e37_79b9_u32;
    for _ in 0..5000 {
        let mut octets = good.clone();
        for _ in 0..3 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (random >> 8) as usize % octets.len();
            octets[at] = random.to_be_bytes()[3];
        }
        octets.truncate(1 + (random >> 16) as usize % octets.len());
        socket.send(&octets).unwrap();
    }
    // Answers are not answered: that would never end.
    let mut answer = good.clone();
    answer[2] |= 0x80;
    socket.send(&answer).unwrap();
    let mut stream = TcpStream::connect(&dns.at).unwrap();
    stream.write_all(&[0xff; 70_000]).unwrap_or_default();
    assert_eq!(dns.services("_echopool._tcp.rserpool.internal").len(), 1);
}

#[test]
fn dig_reads_the_answers() {
    if Command::new("dig").arg("-v").output().is_err() {
        eprintln!("SKIPPED: dig is not installed (Debian: bind9-dnsutils)");
        return;
    }
    let registrar = Registrar::patient();
    let server = Server::echo(registrar.tcp());
    let dns = Dns::start(registrar.tcp(), &["--pool", "EchoPool"]);
    until("the pool", || dns.services("_echopool._tcp.rserpool.internal").len() == 1);
    let (host, port) = dns.at.rsplit_once(':').unwrap();
    let id = server.id.trim_start_matches("0x");
    let dig = |options: &[&str]| {
        let mut dig = Command::new("dig");
        dig.arg(format!("@{host}")).args(["-p", port]).args(options);
        let output = dig.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for options in [&[][..], &["+tcp"], &["+bufsize=512"], &["+noedns"], &["+nocookie"]] {
        let name = ["_echopool._tcp.rserpool.internal", "SRV"];
        let said = dig(&[&name[..], options].concat());
        let record = format!("{id}.EchoPool.pe.rserpool.internal.");
        assert!(said.contains("status: NOERROR") && said.contains(&record), "{said}");
        assert!(!said.contains("WARNING: Message parser"), "{said}");
    }
    let short = dig(&["echopool.rserpool.internal", "A", "+short"]);
    assert_eq!(short.trim(), "127.0.0.1");
    let text = dig(&["echopool.rserpool.internal", "TXT", "+short"]);
    assert!(text.contains("\"pool=EchoPool\""), "{text}");
    assert!(dig(&["example.com", "A"]).contains("status: REFUSED"));
    assert!(dig(&["rserpool.internal", "AXFR"]).contains("Transfer failed"));
}

#[test]
fn who_cannot_listen_or_has_no_zone_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let failed = run(&["dns", "--listen", &at, "--registrar", "tcp://127.0.0.1:1"]);
    assert!(failed.failure(78).contains(&at), "{failed:?}");
    for wrong in [["--zone", "a..b"], ["--name", "x"], ["--ttl", "61s"], ["--items", "0"]] {
        let usage = [&["dns", "--registrar", "tcp://127.0.0.1:1"][..], &wrong].concat();
        assert_eq!(run(&usage).code, Some(2), "{wrong:?}");
    }
}
