//! TLS: who is let in, who is not, and what both ends are told.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test")]

#[path = "../keys/mod.rs"]
mod keys;

mod hostile;

use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use rcgen::date_time_ymd;
use rserpool_transport::tls::{Expected, IdentityError, KeyFiles, Name, Pin, Role, Tls};
use rserpool_transport::{
    Address, AssocId, DownReason, Endpoint as _, Event, Framing, Identity, Options, Ppid, Remote,
    Scheme, TcpEndpoint,
};

use keys::Authority;

const HERE: Name = Name::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
const FRAMING: Framing = Framing::Message(Ppid::ASAP);
const HELLO: [u8; 8] = [7, 0, 0, 8, 1, 2, 3, 4];

fn options(tls: Option<&Tls>) -> Options {
    let connect_timeout = Duration::from_secs(30);
    Options { tls: tls.cloned(), connect_timeout, ..Options::default() }
}

fn listen(options: &Options, scheme: Scheme) -> (TcpEndpoint, Remote) {
    let url = Address::from((scheme, SocketAddr::from(([127, 0, 0, 1], 0))));
    let endpoint = TcpEndpoint::bind(&url, FRAMING, options).unwrap();
    let remote = endpoint.local().url.literal().unwrap();
    (endpoint, remote)
}

fn server(tls: &Tls) -> (TcpEndpoint, Remote) {
    listen(&options(Some(tls)), Scheme::Tls)
}

fn dialer(tls: &Tls) -> TcpEndpoint {
    TcpEndpoint::tls_dialer(FRAMING, &options(Some(tls))).unwrap()
}

fn tls(files: KeyFiles) -> Tls {
    Tls::new(files).unwrap_or_else(|error| panic!("{error}"))
}

/// The next event of either.
async fn next(ends: &mut [&mut TcpEndpoint]) -> (usize, Event) {
    let event = poll_fn(|cx| {
        for (at, end) in ends.iter_mut().enumerate() {
            if let Poll::Ready(event) = end.poll_event(cx) {
                return Poll::Ready((at, event));
            }
        }
        Poll::Pending
    });
    tokio::time::timeout(Duration::from_secs(60), event).await.expect("nothing happens")
}

async fn next_of(end: &mut TcpEndpoint) -> Event {
    next(&mut [end]).await.1
}

/// Dials until the server knows the client or either gives up: who each is to the other, or why not.
async fn meet(
    server: &mut TcpEndpoint,
    client: &mut TcpEndpoint,
    to: &Remote,
) -> Result<[(AssocId, Identity); 2], DownReason> {
    let dialed = client.connect(to).unwrap();
    let mut met = [None, None];
    while met.iter().any(Option::is_none) {
        match next(&mut [server, client]).await {
            (at, Event::Up { assoc, info }) => met[at] = Some((assoc, info.identity.unwrap())),
            (1, Event::Down { assoc, reason }) if assoc == dialed => return Err(reason),
            // It may have been there for a moment; so may others from before.
            (_, Event::Down { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    Ok(met.map(Option::unwrap))
}

/// What came of one dial.
async fn judged(server_keys: &Tls, client_keys: &Tls) -> Result<(), DownReason> {
    let (mut server, to) = server(server_keys);
    meet(&mut server, &mut dialer(client_keys), &to).await.map(drop)
}

// RFC 5352 §9, RFC 5353 §6.2.
#[tokio::test]
async fn both_ends_know_who_the_other_is() {
    let authority = Authority::new();
    let names = [HERE, Name::Dns("R1.example".into()), Name::Uri("spiffe://example/r1".into())];
    let server_keys = tls(authority.issue("r1", &names));
    let client_keys = tls(authority.issue("c1", &[Name::Dns("c1.example".into())]));
    let (mut server, to) = server(&server_keys);
    let met = meet(&mut server, &mut dialer(&client_keys), &to).await;
    let [(_, client), (_, server)] = met.unwrap();
    assert_eq!(*server.key(), server_keys.public_key());
    assert_eq!(*client.key(), client_keys.public_key());
    let expected = [HERE, Name::Dns("r1.example".into()), Name::Uri("spiffe://example/r1".into())];
    assert_eq!(server.names(), expected);
    assert_eq!(client.names(), [Name::Dns("c1.example".into())]);
}

// Checklist 200.
#[tokio::test]
async fn a_certificate_that_is_not_in_order_is_refused_with_the_reason() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = authority.node("good");
    let certificate = |name: &str, names: &[Name]| tls(authority.issue(name, names));
    let stranger = {
        // It trusts who it dials, but is of another authority.
        let mut files = other.issue("stranger", &[HERE]);
        files.ca = vec![authority.ca()];
        tls(files)
    };
    for (server, client, reason) in [
        (&good, &certificate("c", &[]), None),
        (&good, &stranger, Some(DownReason::Untrusted)),
        (&good, &other.node("x"), Some(DownReason::Identity(IdentityError::UnknownIssuer))),
        (
            &certificate("named", &[Name::Dns("r2.example".into())]),
            &good,
            Some(DownReason::Identity(IdentityError::WrongName)),
        ),
    ] {
        assert_eq!(judged(server, client).await.err(), reason);
    }
}

/// Keys whose certificate has run out since they were read, or is not valid yet: no node would load
/// them itself.
async fn out_of_time(authority: &Authority, from: i32, until: i32) -> DownReason {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let files = authority.issue_with("late", &[HERE], |params| {
        (params.not_before, params.not_after) =
            (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    });
    let chain = vec![CertificateDer::from_pem_file(files.cert.unwrap()).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = Address::from((Scheme::Tls, listener.local_addr().unwrap()));
    let serving = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut connection = rustls::ServerConnection::new(config.into()).unwrap();
        while connection.complete_io(&mut socket).is_ok() && connection.is_handshaking() {}
    });
    let mut client = dialer(&authority.node("client"));
    client.connect(&url.literal().unwrap()).unwrap();
    let (_, event) = next(&mut [&mut client]).await;
    serving.join().unwrap();
    match event {
        Event::Down { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

// Checklist 200.
#[tokio::test]
async fn a_certificate_has_its_time() {
    let authority = Authority::new();
    let expired = out_of_time(&authority, 2001, 2002).await;
    assert_eq!(expired, DownReason::Identity(IdentityError::Expired));
    let early = out_of_time(&authority, 2400, 2401).await;
    assert_eq!(early, DownReason::Identity(IdentityError::NotYetValid));
}

#[tokio::test]
async fn who_is_dialed_has_to_be_what_is_dialed() {
    let authority = Authority::new();
    let server_keys = tls(authority.issue("s", &[HERE, Name::Uri(Role::Server.uri())]));
    let client_keys = authority.node("client");
    let (mut server, to) = server(&server_keys);
    for (role, expected) in [
        (Role::Server, Ok(())),
        (Role::Registrar, Err(DownReason::Identity(IdentityError::WrongRole))),
    ] {
        let expected_peer = Expected { role: Some(role), ..Expected::default() };
        let to = Remote { expected: expected_peer, ..to.clone() };
        let met = meet(&mut server, &mut dialer(&client_keys), &to).await.map(drop);
        assert_eq!(met, expected, "{role}");
    }
}

fn pin(of: &Tls) -> Pin {
    Pin { role: None, key: of.public_key() }
}

/// The same private key with other trust.
fn with(of: &Tls, change: impl FnOnce(&mut KeyFiles)) -> Tls {
    let mut files = of.files().clone();
    change(&mut files);
    tls(files)
}

// RFC 7250.
#[tokio::test]
async fn raw_public_keys_are_taken_where_they_are_pinned() {
    let authority = Authority::new();
    let [r, c, x] = ["r", "c", "x"].map(|name| authority.node(name));
    let only_key = |of: &Tls, pins: &[&Tls]| {
        with(of, |files| {
            (files.ca, files.cert) = (Vec::new(), None);
            files.pins = pins.iter().map(|pinned| pin(pinned)).collect();
        })
    };
    let server_keys = only_key(&r, &[&c]);
    assert_eq!(judged(&server_keys, &only_key(&c, &[&r])).await, Ok(()));
    let stranger = judged(&server_keys, &only_key(&x, &[&r])).await;
    assert_eq!(stranger, Err(DownReason::Untrusted));
    let impostor = judged(&only_key(&x, &[&c]), &only_key(&c, &[&r])).await;
    assert_eq!(impostor, Err(DownReason::Identity(IdentityError::NotPinned)));

    // One that has a certificate shows its key to who wants that, and takes either.
    let both = with(&r, |files| files.pins = vec![pin(&c)]);
    assert_eq!(judged(&both, &only_key(&c, &[&r])).await, Ok(()));
    assert_eq!(judged(&both, &x).await, Ok(()));
    // A pin needs neither a name nor an authority.
    let other = Authority::new();
    let nameless = tls(other.issue("nameless", &[]));
    let trusting = with(&c, |files| files.pins = vec![pin(&nameless)]);
    let server_keys = with(&nameless, |files| files.pins = vec![pin(&c)]);
    assert_eq!(judged(&server_keys, &trusting).await, Ok(()));
}

#[tokio::test]
async fn a_pin_is_for_its_roles() {
    let authority = Authority::new();
    let (r, c) = (authority.node("r"), authority.node("c"));
    let pinned = |roles: &[Option<Role>]| {
        with(&c, |files| {
            files.ca.clear();
            files.pins = roles.iter().map(|role| Pin { role: *role, ..pin(&r) }).collect();
        })
    };
    let (mut server, to) = server(&r);
    let expected = Expected { role: Some(Role::Registrar), ..Expected::default() };
    let to = Remote { expected, ..to };
    let (registrar, other) = (Some(Role::Registrar), Some(Role::Server));
    let wrong = Err(DownReason::Identity(IdentityError::WrongRole));
    for (roles, expected) in [
        (&[registrar][..], Ok(())),
        (&[other], wrong),
        // One key may be several things.
        (&[other, registrar], Ok(())),
        (&[registrar, other], Ok(())),
        (&[other, Some(Role::Client)], wrong),
        (&[other, None], Ok(())),
    ] {
        let met = meet(&mut server, &mut dialer(&pinned(roles)), &to).await.map(drop);
        assert_eq!(met, expected, "{roles:?}");
    }
}

/// Sends octets to a server, and returns what comes back until it hangs up.
async fn shout(server: &mut TcpEndpoint, octets: &[u8]) -> (Vec<u8>, Vec<Event>) {
    let (port, octets) = (server.local().port, octets.to_vec());
    let (sender, mut done) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(&octets).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let _ = sender.send(answer);
    });
    let mut events = Vec::new();
    loop {
        tokio::select! {
            answer = &mut done => return (answer.unwrap(), events),
            event = next_of(server) => events.push(event),
        }
    }
}

#[tokio::test]
async fn who_speaks_no_tls_is_told_so_in_tls() {
    let (mut server, _) = server(&Authority::new().node("r"));
    let (answer, events) = shout(&mut server, &[7, 0, 0, 8, 1, 2, 3, 4, 5, 5, 5, 5]).await;
    assert_eq!((&answer[..2], events), (&[0x15, 3][..], vec![]));
    let counters = server.counters();
    assert_eq!((counters.handshakes_failed, counters.handshakes_full), (1, 0));
}

#[tokio::test]
async fn a_plain_client_learns_that_it_dialed_tls() {
    let (mut server, to) = server(&Authority::new().node("r"));
    let mut client = TcpEndpoint::dialer(FRAMING, &options(None));
    let assoc = client.connect(&Remote { scheme: Scheme::Tcp, ..to }).unwrap();
    loop {
        match next(&mut [&mut server, &mut client]).await {
            (1, Event::Up { .. }) => client.send(assoc, Ppid::ASAP, &HELLO).unwrap(),
            (1, event) => {
                let reason = DownReason::SpeaksTls;
                break assert_eq!(event, Event::Down { assoc, reason });
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_plain_server_notices_tls() {
    let keys = Authority::new().node("c");
    let (mut server, to) = listen(&options(None), Scheme::Tcp);
    let mut client = dialer(&keys);
    client.connect(&Remote { scheme: Scheme::Tls, ..to }).unwrap();
    let mut reasons = [None; 2];
    while reasons.iter().any(Option::is_none) {
        if let (at, Event::Down { reason, .. }) = next(&mut [&mut server, &mut client]).await {
            reasons[at] = Some(reason);
        }
    }
    assert_eq!(reasons[0], Some(DownReason::SpeaksTls));
    assert!(matches!(reasons[1], Some(DownReason::Tls | DownReason::Reset)), "{reasons:?}");
}

#[tokio::test]
async fn a_handshake_that_stops_half_way_ends_in_time() {
    let keys = Authority::new().node("r");
    let handshake_timeout = Duration::from_millis(200);
    let options = Options { handshake_timeout, ..options(Some(&keys)) };
    let (mut server, _) = listen(&options, Scheme::Tls);
    // The beginning of a ClientHello, and nothing.
    for octets in [&[0x16, 3, 1, 2, 0, 1, 0, 1][..], &[]] {
        let (answer, events) = shout(&mut server, octets).await;
        assert_eq!((answer, events), (vec![], vec![]));
    }
    assert_eq!(server.counters().handshakes_late, 2);
}

/// Says that the endpoint wants to be polled.
struct Bell(std::sync::mpsc::Sender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

/// A server that stands still is connected by its host, and says nothing ever after: nothing but the
/// time wakes the endpoint.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_is_silent_after_it_was_connected_is_given_up_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let keys = Authority::new().node("c");
    let connect_timeout = Duration::from_millis(50);
    let options = Options { connect_timeout, ..options(Some(&keys)) };
    let mut client = TcpEndpoint::tls_dialer(FRAMING, &options).unwrap();
    let to = Address::from((Scheme::Tls, silent.local_addr().unwrap())).literal().unwrap();
    let assoc = client.connect(&to).unwrap();
    let (sender, woken) = std::sync::mpsc::channel();
    let waker = Waker::from(Arc::new(Bell(sender)));
    let event = loop {
        match client.poll_event(&mut Context::from_waker(&waker)) {
            Poll::Ready(event) => break event,
            Poll::Pending => woken.recv_timeout(Duration::from_secs(60)).expect("nothing wakes it"),
        }
    };
    assert_eq!(event, Event::Down { assoc, reason: DownReason::Timeout });
    assert_eq!(client.counters().handshakes_late, 1);
}

#[tokio::test]
async fn unfinished_handshakes_are_bounded_and_leave_room_for_others() {
    let keys = Authority::new().node("r");
    let options = Options { handshakes_max: 4, ..options(Some(&keys)) };
    let (mut server, to) = listen(&options, Scheme::Tls);
    let mut silent = Vec::new();
    while server.counters().over_handshakes < 2 {
        silent.push(TcpStream::connect(("127.0.0.1", to.port)).unwrap());
        // Whatever has come is taken.
        let nothing = poll_fn(|cx| Poll::Ready(server.poll_event(cx).is_pending()));
        assert!(nothing.await);
        tokio::task::yield_now().await;
    }
    // Three of one source, and one more for another.
    let dial_from = vec![IpAddr::from([127, 0, 0, 2])];
    let elsewhere = Options { dial_from, ..self::options(Some(&keys)) };
    let mut client = TcpEndpoint::tls_dialer(FRAMING, &elsewhere).unwrap();
    meet(&mut server, &mut client, &to).await.unwrap();
    // Who is gone makes room.
    drop(silent);
    while meet(&mut server, &mut dialer(&keys), &to).await.is_err() {}
}

// Reconnecting is what clients do when a registrar fails.
#[tokio::test]
async fn sessions_are_resumed_and_bring_their_identity() {
    let authority = Authority::new();
    let (r, c) = (authority.node("r"), authority.node("c"));
    let (mut server, to) = server(&r);
    let mut client = dialer(&c);
    let mut known = Vec::new();
    for _ in 0..3 {
        let [(far, who), (near, _)] = meet(&mut server, &mut client, &to).await.unwrap();
        known.push(who);
        // Its ticket comes with what the server says.
        server.send(far, Ppid::ASAP, &HELLO).unwrap();
        assert!(matches!(next(&mut [&mut server, &mut client]).await, (1, Event::Message { .. })));
        client.close(near);
        for _ in 0..2 {
            let (_, event) = next(&mut [&mut server, &mut client]).await;
            assert!(matches!(event, Event::Down { reason: DownReason::Closed, .. }), "{event:?}");
        }
    }
    assert!(known.iter().all(|who| *who.key() == c.public_key()));
    let counters = server.counters();
    assert_eq!((counters.handshakes_full, counters.handshakes_resumed), (1, 2));
}

#[tokio::test]
async fn a_change_of_the_keys_ends_who_is_not_trusted_any_more_and_nobody_else() {
    let authority = Authority::new();
    let (kept, revoked) = (authority.node("kept"), authority.node("revoked"));
    let r = authority.node("r");
    // Who is trusted is in the file of authorities: here, each is one.
    let ca = authority.write_secret("trusted.pem", "");
    let both = Authority::new();
    let text = [authority.ca(), both.ca()].map(|path| std::fs::read_to_string(path).unwrap());
    std::fs::write(&ca, text.concat()).unwrap();
    let server_keys = with(&r, |files| files.ca = vec![ca.clone()]);
    let leaving = with(&both.node("leaving"), |files| files.ca = vec![authority.ca()]);
    let (mut server, to) = server(&server_keys);
    let (mut stays, mut goes) = (dialer(&kept), dialer(&leaving));
    let [(far, _), (near, _)] = meet(&mut server, &mut stays, &to).await.unwrap();
    let [(gone, _), _] = meet(&mut server, &mut goes, &to).await.unwrap();

    // A file that cannot be used changes nothing.
    std::fs::write(&ca, "nothing").unwrap();
    assert!(server_keys.reload().is_err());
    meet(&mut server, &mut dialer(&leaving), &to).await.unwrap();

    std::fs::write(&ca, &text[0]).unwrap();
    server_keys.reload().unwrap();
    let mut ended = Vec::new();
    while ended.len() < 2 {
        match next(&mut [&mut server]).await {
            (_, Event::Down { assoc, reason }) => ended.push((assoc, reason)),
            other => panic!("{other:?}"),
        }
    }
    let reason = DownReason::Identity(IdentityError::UnknownIssuer);
    assert!(ended.contains(&(gone, reason)), "{ended:?}");
    assert!(ended.iter().all(|(assoc, _)| *assoc != far));
    server.send(far, Ppid::ASAP, &HELLO).unwrap();
    let (_, event) = next(&mut [&mut server, &mut stays]).await;
    assert!(matches!(event, Event::Message { assoc, .. } if assoc == near), "{event:?}");
    // Not even with a ticket from before.
    let refused = meet(&mut server, &mut goes, &to).await;
    assert_eq!(refused.unwrap_err(), DownReason::Untrusted);
    meet(&mut server, &mut dialer(&revoked), &to).await.unwrap();
}

#[tokio::test]
async fn tls_1_2_is_spoken_only_where_that_is_asked_for() {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let authority = Authority::new();
    let files = authority.issue("c", &[]);
    for (tls12, expected) in [(false, false), (true, true)] {
        let server_keys = with(&authority.node("r"), |files| files.tls12 = tls12);
        let (mut server, to) = server(&server_keys);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority.ca()).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_file(files.cert.as_ref().unwrap()).unwrap()];
        let key = rustls::pki_types::PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap();
        let (sender, mut done) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let name = IpAddr::V4(Ipv4Addr::LOCALHOST).into();
            let mut connection = rustls::ClientConnection::new(config.into(), name).unwrap();
            let mut socket = TcpStream::connect(("127.0.0.1", to.port)).unwrap();
            while connection.is_handshaking() && connection.complete_io(&mut socket).is_ok() {}
            let _ = sender.send(!connection.is_handshaking());
        });
        let met = loop {
            tokio::select! {
                met = &mut done => break met.unwrap(),
                _ = next_of(&mut server) => {}
            }
        };
        assert_eq!(met, expected);
    }
}
