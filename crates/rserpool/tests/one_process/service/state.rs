//! What outlives a server: cookies, their keys, and business cards.

use super::*;

#[tokio::test]
async fn a_session_goes_on_where_its_server_left_it() {
    for scheme in SCHEMES {
        for has_key in [false, true] {
            let registrar = registrar();
            let mut servers = Vec::new();
            for priority in [3, 2, 1] {
                let mut config = config(&registrar, scheme, &format!("priority:{priority}"));
                if has_key {
                    config.cookies = sealed();
                }
                servers.push(start(config).await);
            }
            let session = connect(&registrar).await;
            assert_eq!([count(&session).await, count(&session).await], [1, 2]);
            for number in 0..2 {
                let next = servers[1].id();
                drop(servers.remove(0));
                let (to, _, resumed) = fails_over(&session).await;
                assert_eq!((to, resumed), (next, true));
                assert_eq!(count(&session).await, 3 + number);
                assert_eq!(servers[0].stats().resumed, 1);
            }
        }
    }
}

#[tokio::test]
async fn a_server_with_another_key_begins_the_session_anew() {
    let registrar = registrar();
    let mut first = config(&registrar, Scheme::Tcp, "priority:2");
    first.cookies = Cookies::sealed(vec![Key::new(&[8; 32]).unwrap()], [1; 32]);
    let mut second = config(&registrar, Scheme::Tcp, "priority:1");
    second.cookies = sealed();
    let (first, second) = (start(first).await, start(second).await);
    let session = connect(&registrar).await;
    assert_eq!([count(&session).await, count(&session).await], [1, 2]);
    drop(first);
    fails_over(&session).await;
    assert_eq!(count(&session).await, 1);
    let stats = second.stats();
    assert_eq!((stats.resumed, stats.cookies_refused), (0, 1));
    // Its client knows.
    assert_eq!(session.stats().cookies_refused, 1);
    // The key that both know from now on.
    let keys = vec![Key::new(&[9; 32]).unwrap(), Key::new(&[7; 32]).unwrap()];
    second.set_keys(keys).unwrap();
    assert_eq!(second.set_keys(Vec::new()), Err(rserpool::KeysError::Empty));
    assert_eq!(count(&session).await, 2);
}

#[tokio::test]
async fn who_leaves_in_good_order_hands_its_sessions_over_first() {
    for scheme in SCHEMES {
        let registrar = registrar();
        let first = start(config(&registrar, scheme, "priority:2")).await;
        let second = start(config(&registrar, scheme, "priority:1")).await;
        let session = connect(&registrar).await;
        assert_eq!(count(&session).await, 1);
        let drained = tokio::spawn(first.drain(Duration::from_secs(60)));
        let moved = (second.id(), FailureReason::Closed, true);
        assert_eq!(fails_over(&session).await, moved);
        assert_eq!(count(&session).await, 2);
        soon(drained).await.unwrap().unwrap();
        let pools = registrar.pools().await.unwrap();
        assert_eq!(pools[0].elements.len(), 1);
        assert_eq!(registrar.stats().await.unwrap().reports, 0);
    }
}

#[tokio::test]
async fn a_state_that_does_not_fit_is_refused_and_the_one_before_stays() {
    for has_key in [false, true] {
        let registrar = registrar();
        let mut config = config(&registrar, Scheme::UserlandSctp, "priority:2");
        if has_key {
            config.cookies = sealed().encrypted();
        }
        let first = start(config).await;
        let session = connect(&registrar).await;
        let most = Cookies::state_max(&pool());
        let mut state = b"state".to_vec();
        state.resize(most, 0);
        session.send(&state).await.unwrap();
        assert_eq!(answer(&session).await, b"sent");
        assert_eq!([count(&session).await, count(&session).await], [1, 2]);
        state.push(0);
        session.send(&state).await.unwrap();
        let refused = CookieError::TooLong { octets: most + 1, octets_max: most };
        assert_eq!(answer(&session).await, refused.to_string().into_bytes());
        let mut config = crate::service::config(&registrar, Scheme::UserlandSctp, "priority:1");
        config.cookies = if has_key { sealed() } else { Cookies::plain() };
        let _second = start(config).await;
        drop(first);
        fails_over(&session).await;
        assert_eq!(count(&session).await, 3);
    }
}

// Checklist 130.
#[tokio::test]
async fn a_business_card_spares_the_registrar() {
    let registrar = registrar();
    let second = start(config(&registrar, Scheme::Tcp, "priority:1")).await;
    let mut first = config(&registrar, Scheme::Tcp, "priority:2");
    first.card_items = 2;
    let first = start(first).await;
    // Its second look at the pool may be a while away; whoever comes after the first has the card.
    let mut session = connect(&registrar).await;
    until(async || {
        session = connect(&registrar).await;
        count(&session).await;
        session.stats().cards > 0
    })
    .await;
    registrar.stop().await;
    drop(first);
    let (to, _, resumed) = fails_over(&session).await;
    assert_eq!((to, resumed), (second.id(), true));
    assert_eq!(count(&session).await, 2);
}

#[tokio::test]
async fn servers_that_were_made_with_the_same_seed_use_different_nonces() {
    let registrar = registrar();
    let mut cookies = Vec::new();
    for _ in 0..2 {
        let mut config = config(&registrar, Scheme::Tcp, "round-robin");
        config.cookies = sealed().encrypted();
        let server = start(config).await;
        let mut rude = Rude::dial(server.url()).await;
        rude.say(Ppid(9), b"count");
        let (ppid, octets) = rude.hears().await;
        assert_eq!(ppid, Ppid::ASAP);
        cookies.push(octets);
    }
    let nonce = |cookie: &[u8]| cookie[4 + 24..4 + 48].to_vec();
    assert_ne!(nonce(&cookies[0]), nonce(&cookies[1]));
}
