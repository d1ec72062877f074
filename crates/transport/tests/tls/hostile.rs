//! Peers that speak TLS themselves, and not as ours do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SignatureScheme};

use super::*;

/// What a client of rustls does that shows a certificate, or its key where `only_key` says so.
#[derive(Debug)]
struct TwoForms {
    certificate: Arc<CertifiedKey>,
    key: Arc<CertifiedKey>,
    only_key: AtomicBool,
}

impl ResolvesClientCert for TwoForms {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let shown = if self.only_raw_public_keys() { &self.key } else { &self.certificate };
        Some(Arc::clone(shown))
    }

    fn only_raw_public_keys(&self) -> bool {
        self.only_key.load(Ordering::Relaxed)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A client of this authority that keeps tickets.
fn client(authority: &Authority, name: &str) -> (Arc<ClientConfig>, Arc<TwoForms>) {
    let files = authority.issue(name, &[]);
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let key = provider().key_provider.load_private_key(key).unwrap();
    let public = CertificateDer::from(key.public_key().unwrap().as_ref().to_vec());
    let certificate = CertificateDer::from_pem_file(files.cert.unwrap()).unwrap();
    let forms = Arc::new(TwoForms {
        certificate: Arc::new(CertifiedKey::new(vec![certificate], Arc::clone(&key))),
        key: Arc::new(CertifiedKey::new(vec![public], key)),
        only_key: AtomicBool::new(false),
    });
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.ca()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::clone(&forms) as Arc<dyn ResolvesClientCert>);
    config.resumption = Resumption::in_memory_sessions(8);
    (Arc::new(config), forms)
}

fn begun(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
    ClientConnection::new(Arc::clone(config), name).unwrap()
}

/// Runs a client on a thread until it is done with the server; the events of the server meanwhile.
async fn against<T: Send + 'static>(
    server: &mut TcpEndpoint,
    client: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (T, Vec<Event>) {
    let port = server.local().port;
    let (sender, mut done) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = sender.send(client(TcpStream::connect(("127.0.0.1", port)).unwrap()));
    });
    let mut events = Vec::new();
    loop {
        tokio::select! {
            outcome = &mut done => return (outcome.unwrap(), events),
            event = next_of(server) => events.push(event),
        }
    }
}

/// What a server makes of a client that sends this many messages and its goodbye with the end of its
/// handshake, and octets that are nothing after it.
async fn ended_with(messages: usize, rubbish: usize) -> Vec<Event> {
    let authority = Authority::new();
    let (mut server, _) = server(&authority.node("r"));
    let (config, _) = client(&authority, "c");
    let ((), events) = against(&mut server, move |mut socket| {
        let mut client = begun(&config);
        client.set_buffer_limit(None);
        socket.write_all(&flight(&mut client)).unwrap();
        while client.is_handshaking() {
            client.read_tls(&mut socket).unwrap();
            client.process_new_packets().unwrap();
        }
        client.writer().write_all(&HELLO.repeat(messages)).unwrap();
        client.send_close_notify();
        // In one piece, as far as the system takes it.
        let octets = [flight(&mut client), vec![0; rubbish]].concat();
        let _ = socket.write_all(&octets);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let _ = socket.read_to_end(&mut Vec::new());
    })
    .await;
    assert_eq!(server.counters().handshakes_full, 1);
    events
}

// Nothing keeps a client from sending with the end of its handshake what it has to say.
#[tokio::test]
async fn what_comes_with_the_end_of_a_handshake_is_taken_however_much_it_is() {
    const MESSAGES: usize = 16 << 10;
    let events = ended_with(MESSAGES, 0).await;
    let messages = events.iter().filter(|event| matches!(event, Event::Message { .. })).count();
    assert_eq!(messages, MESSAGES, "{:?}", events.last());
}

// RFC 8446 section 6.1: what follows the end is ignored.
#[tokio::test]
async fn who_says_goodbye_with_the_end_of_a_handshake_is_gone_whatever_follows() {
    let events = ended_with(1, 12 << 10).await;
    let [Event::Up { .. }, Event::Message { .. }, Event::Down { reason, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(*reason, DownReason::Closed);
}

/// What a client has to send.
fn flight(client: &mut ClientConnection) -> Vec<u8> {
    let mut octets = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut octets).unwrap();
    }
    octets
}

// RFC 7250 and RFC 8446 section 4.6.1: who resumes is who began.
#[tokio::test]
async fn a_ticket_is_worth_nothing_in_another_form() {
    let authority = Authority::new();
    let (mut server, _) = server(&authority.node("r"));
    let (config, forms) = client(&authority, "c");
    let mut come = async |only_key: bool| {
        forms.only_key.store(only_key, Ordering::Relaxed);
        let config = Arc::clone(&config);
        let (kind, events) = against(&mut server, move |mut socket| {
            let mut client = begun(&config);
            while client.is_handshaking() && client.complete_io(&mut socket).is_ok() {}
            client.send_close_notify();
            let _ = socket.write_all(&flight(&mut client));
            // The ticket is in what follows.
            while client.read_tls(&mut socket).is_ok_and(|len| len > 0) {
                let _ = client.process_new_packets();
            }
            client.handshake_kind()
        })
        .await;
        let who = events.into_iter().find_map(|event| match event {
            Event::Up { info, .. } => info.identity,
            _ => None,
        });
        (kind, who)
    };
    let (kind, began) = come(false).await;
    assert_eq!(kind, Some(rustls::HandshakeKind::Full));
    let (kind, resumed) = come(false).await;
    assert_eq!(kind, Some(rustls::HandshakeKind::Resumed), "there is a ticket");
    assert!(began.is_some() && began == resumed);
    // Its key is not pinned.
    let (_, other) = come(true).await;
    assert_eq!(other, None);
    assert_eq!(server.counters().handshakes_failed, 1);
}
