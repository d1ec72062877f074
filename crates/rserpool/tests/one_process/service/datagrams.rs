//! Sessions over UDP.

use super::*;

#[tokio::test]
async fn datagrams_have_sessions_without_state() {
    let registrar = registrar();
    let mut config = config(&registrar, Scheme::Udp, "priority:2");
    config.transport_use = TransportUse::DataOnly;
    let first = start(config).await;
    let session = connect(&registrar).await;
    assert_eq!([count(&session).await, count(&session).await], [1, 2]);
    assert!(!session.has_cookie());
    let second = {
        let mut config = crate::service::config(&registrar, Scheme::Udp, "priority:1");
        config.transport_use = TransportUse::DataOnly;
        start(config).await
    };
    drop(first);
    // Only what is sent tells that nobody is there.
    let moved = soon(async {
        loop {
            let _ = session.send(b"count").await;
            tokio::select! {
                biased;
                moved = fails_over(&session) => return moved,
                () = tokio::task::yield_now() => {}
            }
        }
    });
    let (to, _, resumed) = moved.await;
    assert_eq!((to, resumed), (second.id(), false));
    count(&session).await;
}

#[tokio::test]
async fn a_server_does_not_answer_another_one() {
    /// Sends back what it gets.
    struct Mirror;
    impl Service for Mirror {
        async fn serve(self: Arc<Self>, mut session: server::Session) {
            while let Some(event) = session.next().await {
                let server::Event::Message { ppid, octets } = event else { continue };
                let _ = session.send(ppid, &octets).await;
            }
        }
    }
    let registrar = registrar();
    // Another element of the pool, which would answer as well.
    let other = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (port, address) = (other.local_addr().unwrap().port(), [127, 0, 0, 1].into());
    let at = Transport::Udp { port, address };
    let member = PoolElement::start(element::Config::new(urls(&[&registrar]), pool(), at)).unwrap();
    soon(member.registered()).await.unwrap();
    let mut config = config(&registrar, Scheme::Udp, "round-robin");
    config.transport_use = TransportUse::DataOnly;
    let server = Server::start(config, Mirror).unwrap();
    soon(server.element().registered()).await.unwrap();
    let to = ("127.0.0.1", server.url().port);
    let user = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // Until it has had a look at its pool.
    until(async || {
        other.send_to(b"loop", to).await.unwrap();
        server.stats().datagrams_refused > 0
    })
    .await;
    user.send_to(b"question", to).await.unwrap();
    let mut octets = [0; 100];
    let (length, _) = soon(user.recv_from(&mut octets)).await.unwrap();
    assert_eq!(&octets[..length], b"question");
}
