//! A client that resolves.

use rserpool::proto::user::{Event, ResolveError, Source};
use rserpool::wire::param::PoolHandle;
use rserpool::{PoolUser, StartError, user};

use crate::servers::{listed, member, pool, registrar, soon, until, urls, user};

#[tokio::test]
async fn a_user_survives_the_loss_of_its_registrar_without_its_caller_noticing() {
    let registrars = [registrar(), registrar()];
    let elements = [0, 1].map(|number| member(&[&registrars[number]], 7, "round-robin"));
    for element in &elements {
        soon(element.registered()).await.unwrap();
    }
    let user = user(&[&registrars[0], &registrars[1]]);
    let mut events = user.events();
    assert_eq!(listed(&user).await, [7]);
    let Ok(Event::HomeFound { link }) = soon(events.recv()).await else { panic!() };
    let [first, second] = registrars;
    let is_first = first.urls()[0].port == link.remote_port;
    let (home, _other) = if is_first { (first, second) } else { (second, first) };
    // Requests are under way all the time.
    let asking = {
        let user = user.clone();
        tokio::spawn(async move {
            let mut count = 0;
            while count < 2000 {
                let answer = user.resolve(&pool(), None).await.unwrap();
                assert_eq!(answer.source, Source::Registrar);
                count += 1;
            }
        })
    };
    soon(home.stop()).await;
    soon(asking).await.unwrap();
}

#[tokio::test]
async fn many_requests_share_one_association() {
    let registrar = registrar();
    let _element = {
        let element = member(&[&registrar], 7, "round-robin");
        soon(element.registered()).await.unwrap();
        element
    };
    let user = user(&[&registrar]);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..500 {
        let user = user.clone();
        tasks.spawn(async move {
            let unknown = PoolHandle::new(format!("unknown {number}").into_bytes()).unwrap();
            let error = user.resolve(&unknown, None).await.unwrap_err();
            assert_eq!(error, ResolveError::UnknownPool);
            assert_eq!(user.resolve(&pool(), Some(1)).await.unwrap().resolution.elements.len(), 1);
        });
    }
    while let Some(task) = soon(tasks.join_next()).await {
        task.unwrap();
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_disturbs_no_other() {
    let registrar = registrar();
    let element = member(&[&registrar], 7, "round-robin");
    soon(element.registered()).await.unwrap();
    let user = user(&[&registrar]);
    for _ in 0..100 {
        let handle = pool();
        let mut given_up = Box::pin(user.resolve(&handle, None));
        assert!(is_pending(&mut given_up).await);
        drop(given_up);
        assert_eq!(listed(&user).await, [7]);
    }
}

/// Polls once; true where there is nothing yet.
async fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())
    })
    .await
}

#[tokio::test]
async fn who_subscribes_is_told_of_changes() {
    let registrar = registrar();
    let first = member(&[&registrar], 1, "round-robin");
    soon(first.registered()).await.unwrap();
    let user = user(&[&registrar]);
    let mut events = user.events();
    user.subscribe(&pool());
    let count = async |events: &mut tokio::sync::broadcast::Receiver<Event>, wanted: usize| loop {
        if let Event::Updated { resolution, .. } = soon(events.recv()).await.unwrap()
            && resolution.map_or(0, |resolution| resolution.elements.len()) == wanted
        {
            return;
        }
    };
    count(&mut events, 1).await;
    let second = member(&[&registrar], 2, "round-robin");
    count(&mut events, 2).await;
    drop(second);
    count(&mut events, 1).await;
    soon(first.deregister()).await.unwrap();
    count(&mut events, 0).await;
}

#[tokio::test]
async fn without_a_registrar_a_request_fails() {
    let first = registrar();
    let registrars = urls(&[&first]);
    soon(first.stop()).await;
    let user = PoolUser::start(user::Config::new(registrars)).unwrap();
    let error = soon(user.resolve(&pool(), None)).await.unwrap_err();
    assert!(error.is_no_registrar(), "{error}");
    let none = PoolUser::start(user::Config::default());
    assert!(matches!(none.err(), Some(StartError::NoRegistrarConfigured)));
}

#[tokio::test]
async fn a_reported_element_is_asked_at_once_and_stays_if_it_lives() {
    let registrar = registrar();
    let element = member(&[&registrar], 7, "round-robin");
    soon(element.registered()).await.unwrap();
    let user = user(&[&registrar]);
    assert_eq!(listed(&user).await, [7]);
    user.report_unreachable(&pool(), element.id());
    until(async || registrar.stats().await.unwrap().reports == 1).await;
    until(async || {
        let stats = registrar.stats().await.unwrap();
        stats.keep_alives >= 1 && stats.keep_alives == stats.keep_alive_acks
    })
    .await;
    assert_eq!(listed(&user).await, [7]);
}

/// More than one source may have: those that say nothing make room, for their neighbours, too.
#[tokio::test]
async fn connections_that_do_nothing_keep_nobody_out() {
    let asap = vec!["tcp://127.0.0.1:0".parse().unwrap()];
    let mut config = rserpool::registrar::Config::new(asap);
    config.transport.associations_max = Some(40);
    // A busy machine is not taken for a dead element.
    config.protocol.timing.keep_alive_timeout_floor = std::time::Duration::from_secs(120);
    config.protocol.timing.keep_alive_timeout_cap = std::time::Duration::from_secs(120);
    let registrar = rserpool::Registrar::start(config).unwrap();
    let element = member(&[&registrar], 7, "round-robin");
    soon(element.registered()).await.unwrap();
    let port = registrar.urls()[0].port;
    let mut idle = Vec::new();
    for _ in 0..60 {
        // Some are refused at once.
        idle.extend(tokio::net::TcpStream::connect(("127.0.0.1", port)).await);
    }
    let user = user(&[&registrar]);
    // The first ones may come too early: who has just come is not sent away.
    let answered = async {
        loop {
            if let Ok(answer) = user.resolve(&pool(), None).await {
                return answer.resolution.elements.len();
            }
        }
    };
    assert_eq!(soon(answered).await, 1);
    assert_eq!(listed(&user).await, [7]);
    let stats = registrar.stats().await.unwrap();
    assert!(stats.idle_ended > 0 && stats.removed_lost == 0, "{stats:?}");
}
