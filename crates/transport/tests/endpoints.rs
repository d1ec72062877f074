//! Nodes with several endpoints each.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test")]

use std::collections::HashSet;
use std::time::Duration;

use rserpool_transport::{
    Address, AssocId, AssocInfo, Backend, Endpoint, Endpoints, Error, Event, Framing, Local,
    MemoryNetwork, Options, Ppid, Remote, Scheme, SendError,
};

const ASAP: Framing = Framing::Message(Ppid::ASAP);
const ENRP: Framing = Framing::Message(Ppid::ENRP);

fn node() -> Endpoints {
    Endpoints::new(Options::default())
}

fn url(text: &str) -> Address {
    text.parse().unwrap()
}

fn remote(local: &Local) -> Remote {
    Remote {
        scheme: local.url.scheme,
        addresses: local.addresses.clone(),
        port: local.port,
        encapsulation: local.url.encapsulation,
        zone: 0,
        expected: Default::default(),
    }
}

fn message(len: u8) -> Vec<u8> {
    let mut octets = vec![0; usize::from(len)];
    octets[3] = len;
    octets
}

/// The next event of either node: 0 or 1, and the event.
async fn next(nodes: &mut [Endpoints; 2]) -> (usize, Event) {
    let [one, two] = nodes;
    let either = async {
        tokio::select! {
            event = one.next() => (0, event),
            event = two.next() => (1, event),
        }
    };
    tokio::time::timeout(Duration::from_secs(60), either).await.expect("nothing happens")
}

/// Connects node 1 to node 0 and returns both names and what node 0 knows of it.
async fn associate(
    nodes: &mut [Endpoints; 2],
    remote: &Remote,
    speaks: Framing,
) -> (AssocId, AssocId, AssocInfo) {
    let near = nodes[1].connect(remote, speaks).unwrap();
    let (mut up, mut far) = (false, None);
    while !up || far.is_none() {
        match next(nodes).await {
            (0, Event::Up { assoc, info }) => far = Some((assoc, info)),
            (1, Event::Up { assoc, .. }) => up = assoc == near,
            other => panic!("{other:?}"),
        }
    }
    let (far, info) = far.unwrap();
    (near, far, info)
}

#[tokio::test]
async fn a_node_listens_at_several_urls_and_knows_what_its_peers_speak() {
    let mut nodes = [node(), node()];
    let asked = [
        ("tcp://127.0.0.1:0", ASAP, Backend::Tcp),
        ("tcp://127.0.0.1:0", ENRP, Backend::Tcp),
        ("sctp+udp://127.0.0.1:0", ASAP, Backend::UserlandSctp),
        ("sctp+udp://127.0.0.1:0", ENRP, Backend::UserlandSctp),
    ];
    let mut locals = Vec::new();
    for (text, speaks, _) in asked {
        locals.push(nodes[0].listen(&url(text), speaks).unwrap());
    }
    assert_eq!(nodes[0].locals(), locals);
    assert_eq!(locals.iter().map(|local| local.port).collect::<HashSet<_>>().len(), 4);

    let mut names = HashSet::new();
    for (local, (_, speaks, backend)) in locals.iter().zip(asked) {
        let (near, far, info) = associate(&mut nodes, &remote(local), speaks).await;
        assert_eq!(nodes[0].speaks(far), Some(speaks));
        assert_eq!(info.backend, backend);
        assert_eq!(info.local_port, local.port);
        assert!(names.insert((0, far)) && names.insert((1, near)), "a name is used twice");

        nodes[1].send(near, Ppid::ASAP, &message(8)).unwrap();
        let (at, event) = next(&mut nodes).await;
        let Event::Message { assoc, octets, .. } = event else { panic!("{event:?}") };
        assert_eq!((at, assoc, octets), (0, far, message(8)));
    }
    // Each end is told apart when it goes.
    for (at, assoc) in names {
        nodes[at].close(assoc);
    }
    let mut gone = HashSet::new();
    while gone.len() < 8 {
        let (at, event) = next(&mut nodes).await;
        assert!(matches!(event, Event::Down { .. }), "{event:?}");
        assert!(gone.insert((at, event.assoc())));
    }
    assert_eq!(nodes[1].locals(), []);
}

#[tokio::test]
async fn sctp_dials_go_out_of_the_port_that_listens_for_the_same() {
    let mut nodes = [node(), node()];
    let to = remote(&nodes[0].listen(&url("sctp://127.0.0.1:0"), ENRP).unwrap());
    let asap = nodes[1].listen(&url("sctp://127.0.0.1:0"), ASAP).unwrap();
    let enrp = nodes[1].listen(&url("sctp://127.0.0.1:0"), ENRP).unwrap();
    let (first, far, info) = associate(&mut nodes, &to, ENRP).await;
    assert_eq!(info.remote_port, enrp.port);
    let again = nodes[1].connect(&to, ENRP);
    assert!(matches!(again, Err(Error::Connected(assoc)) if assoc == first), "{again:?}");

    // What nobody listens for goes out of a port of its own, one for all such dials.
    let (second, _, info) = associate(&mut nodes, &to, Framing::Record).await;
    assert!(![asap.port, enrp.port].contains(&info.remote_port));
    let again = nodes[1].connect(&to, Framing::Record);
    assert!(matches!(again, Err(Error::Connected(assoc)) if assoc == second), "{again:?}");

    // The peer has one association with each and dials the listening port back by the first.
    let back = nodes[0].connect(&remote(&enrp), ENRP);
    assert!(matches!(back, Err(Error::Connected(assoc)) if assoc == far), "{back:?}");
}

#[tokio::test]
async fn a_node_dials_any_scheme_without_listening() {
    let mut nodes = [node(), node()];
    for text in ["tcp://127.0.0.1:0", "sctp://127.0.0.1:0", "sctp+udp://127.0.0.1:0"] {
        let to = remote(&nodes[0].listen(&url(text), ASAP).unwrap());
        let (near, _, info) = associate(&mut nodes, &to, ASAP).await;
        assert_eq!(info.backend == Backend::Tcp, to.scheme == Scheme::Tcp);
        nodes[1].abort(near);
        let (at, event) = next(&mut nodes).await;
        assert!(matches!((at, &event), (0, Event::Down { .. })), "{event:?}");
    }
    assert_eq!(nodes[1].locals(), []);
}

#[tokio::test]
async fn a_busy_endpoint_starves_no_other() {
    let mut nodes = [node(), node()];
    let (mut nears, mut fars) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let to = remote(&nodes[0].listen(&url("tcp://127.0.0.1:0"), ASAP).unwrap());
        let (near, far, _) = associate(&mut nodes, &to, ASAP).await;
        nears.push(near);
        fars.push(far);
    }
    for near in nears {
        for _ in 0..1000 {
            nodes[1].send(near, Ppid::ASAP, &message(4)).unwrap();
        }
    }
    let mut arrived = Vec::new();
    while arrived.len() < 3000 {
        let (_, event) = next(&mut nodes).await;
        assert!(matches!(event, Event::Message { .. }), "{event:?}");
        arrived.push(event.assoc());
    }
    for far in fars {
        let first = arrived.iter().position(|assoc| *assoc == far).unwrap();
        assert!(first < 2000, "one was only served after the others were done");
    }
}

#[tokio::test]
async fn names_that_no_endpoint_gave_are_gone() {
    let mut node = node();
    node.listen(&url("tcp://127.0.0.1:0"), ASAP).unwrap();
    for assoc in [AssocId(0), AssocId(1), AssocId(1 << 48), AssocId(u64::MAX)] {
        assert_eq!(node.send(assoc, Ppid::ASAP, &message(8)), Err(SendError::Gone));
        node.close(assoc);
        node.abort(assoc);
    }
    assert_eq!(node.speaks(AssocId(1 << 48)), None);
    let taken = node.listen(&node.locals()[0].url.clone(), ASAP);
    assert!(matches!(taken, Err(Error::Bind { .. })));
    assert_eq!(node.locals().len(), 1);
}

#[tokio::test]
async fn a_network_in_memory_takes_part() {
    let network = MemoryNetwork::new();
    let mut nodes = [node(), node()];
    let options = Options::default();
    let server = network.bind(&url("sctp://10.0.0.1:3863"), &options).unwrap();
    let to = remote(&server.local());
    nodes[0].add(Box::new(server), ASAP);
    nodes[1].add(Box::new(network.dialer(&options)), ASAP);
    let (near, far, info) = associate(&mut nodes, &to, ASAP).await;
    assert_eq!(info.backend, Backend::Memory);
    nodes[0].send(far, Ppid(7), &[1]).unwrap();
    let expected = Event::Message { assoc: near, ppid: Ppid(7), octets: vec![1] };
    assert_eq!(next(&mut nodes).await, (1, expected));
    assert_eq!((nodes[0].locals().len(), nodes[1].locals().len()), (1, 0));
}
