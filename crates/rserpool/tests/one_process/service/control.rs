//! Control channels on which anything may be said.

use super::*;

#[tokio::test]
async fn a_control_channel_takes_anything_and_believes_little() {
    let registrar = registrar();
    let mut config = config(&registrar, Scheme::Tcp, "round-robin");
    config.cookies = sealed();
    let server = start(config).await;
    let forged = Asap::CookieEcho(Cookie::new([0, 0, 1, 0]).unwrap());
    let mut rude = Rude::dial(server.url()).await;
    rude.say(Ppid::ASAP, b"\xff\xff\xff\xff");
    rude.say(Ppid::ASAP, b"\x0c");
    rude.control(Asap::KeepAliveAck(KeepAliveAck { handle: pool(), id: PeId(1) }));
    rude.control(forged.clone());
    rude.control(forged.clone());
    let question =
        KeepAlive { claim_home: false, sender: None, handle: pool(), id: Some(server.id()) };
    rude.control(Asap::KeepAlive(question));
    let ack = Asap::KeepAliveAck(KeepAliveAck { handle: pool(), id: server.id() });
    assert_eq!(rude.hears().await, (Ppid::ASAP, Message::from(ack).encode()));
    // The session begins at the beginning.
    rude.say(Ppid(9), b"count");
    let (ppid, octets) = rude.hears().await;
    let Message::Asap(Asap::Cookie(cookie)) =
        Message::decode(Protocol::Asap, &octets).unwrap().message
    else {
        panic!()
    };
    assert_eq!(ppid, Ppid::ASAP);
    assert_eq!(rude.hears().await, (Ppid(9), vec![0, 0, 0, 1]));
    rude.control(Asap::CookieEcho(cookie.clone()));
    rude.say(Ppid(9), b"count");
    rude.hears().await;
    assert_eq!(rude.hears().await, (Ppid(9), vec![0, 0, 0, 2]));
    let stats = server.stats();
    assert_eq!((stats.malformed, stats.cookies_refused, stats.cookies_late), (3, 1, 2));
    // A long cookie in a new session.
    let mut rude = Rude::dial(server.url()).await;
    rude.control(Asap::CookieEcho(Cookie::new(vec![b'R'; Cookie::MAX_LEN]).unwrap()));
    rude.control(Asap::CookieEcho(cookie));
    rude.say(Ppid(9), b"count");
    rude.hears().await;
    assert_eq!(rude.hears().await, (Ppid(9), vec![0, 0, 0, 1]));
}

#[tokio::test]
async fn a_client_takes_anything_on_its_control_channel_and_believes_little() {
    let registrar = registrar();
    // A server that says what it likes.
    let rude = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let Transport::Tcp { port, address, .. } = transport(rude.local_addr().unwrap().port()) else {
        panic!()
    };
    let transport_use = TransportUse::DataPlusControl;
    let at = Transport::Tcp { port, transport_use, address };
    let mut member = element::Config::new(urls(&[&registrar]), pool(), at);
    member.policy = "priority:2".parse().unwrap();
    let member = PoolElement::start(member).unwrap();
    soon(member.registered()).await.unwrap();
    let honest = start(config(&registrar, Scheme::Tcp, "priority:1")).await;

    let session = connect(&registrar).await;
    let (mut server, _) = soon(rude.accept()).await.unwrap();
    let cookie = Cookie::new([0, 0, 0, 7]).unwrap();
    let elsewhere = PoolHandle::new("elsewhere".as_bytes()).unwrap();
    let elements = registrar.pools().await.unwrap().remove(0).elements;
    let said = [
        Asap::Cookie(Cookie::new(vec![b'x'; Cookie::MAX_LEN]).unwrap()),
        Asap::Cookie(cookie.clone()),
        Asap::CookieEcho(cookie),
        Asap::KeepAliveAck(KeepAliveAck { handle: elsewhere.clone(), id: PeId(9) }),
        Asap::BusinessCard(BusinessCard { handle: elsewhere, elements }),
    ];
    let mut octets = record(Ppid::ASAP, b"\xff\xff\xff\xff");
    for asap in said {
        octets.extend(record(Ppid::ASAP, &Message::from(asap).encode()));
    }
    octets.extend(record(Ppid(9), b"data"));
    server.write_all(&octets).await.unwrap();
    assert_eq!(answer(&session).await, b"data");
    let stats = session.stats();
    assert_eq!((stats.malformed, stats.cookies, stats.cards, stats.unexpected), (1, 2, 0, 3));
    // What is longer than any message ends the association; the session goes on.
    let _ = server.write_all(&record(Ppid::ASAP, &[0; 1 << 17])).await;
    let (to, reason, resumed) = fails_over(&session).await;
    assert_eq!((to, reason, resumed), (honest.id(), FailureReason::Lost, true));
    assert_eq!(count(&session).await, 8);
}
