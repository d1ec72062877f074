//! How associations begin and end.

use std::process::{Command, Stdio};

use rserpool_transport::{Address, DownReason, Endpoint, Error, Event, Ppid, SendError};

use crate::lab::{
    Hole, associate, bind, down, elsewhere, idle, impatient, message, next, remote, skips, up,
};

#[tokio::test]
async fn a_silent_peer_is_given_up() {
    if skips() || elsewhere() {
        return;
    }
    let (mut server, mut client) = (impatient("127.9.2.1"), impatient("127.9.2.2"));
    let (there, here) = associate(&mut client, &mut server).await;
    let _holes = [Hole::at("127.9.2.1"), Hole::at("127.9.2.2")];
    assert_eq!(next(&mut client).await, down(there, DownReason::Timeout));
    assert_eq!(next(&mut server).await, down(here, DownReason::Timeout));
}

#[tokio::test]
async fn a_restart_of_the_peer_is_an_end_and_a_beginning() {
    if skips() || elsewhere() {
        return;
    }
    let (mut server, mut client) = (bind("127.9.3.1"), bind("127.9.3.2"));
    let (there, here) = associate(&mut client, &mut server).await;
    {
        // The server does not hear of it.
        let _hole = Hole::at("127.9.3.1");
        client.abort(there);
    }
    let again = client.connect(&remote(&server)).unwrap();
    assert_eq!(up(&mut client).await.0, again);
    assert_eq!(next(&mut server).await, down(here, DownReason::Restarted));
    let (assoc, info) = up(&mut server).await;
    assert_ne!(assoc, here);
    assert!(!info.dialed);
    assert_eq!(server.send(here, Ppid::ASAP, b"to the old"), Err(SendError::Gone));
    server.send(assoc, Ppid::ASAP, b"to the new").unwrap();
    assert_eq!(next(&mut client).await, message(again, Ppid::ASAP, b"to the new"));
}

/// The process that [`a_killed_process_is_noticed`] kills; alone it does nothing.
#[tokio::test]
async fn victim() {
    let Ok(server) = std::env::var("VICTIM_OF") else { return };
    let server: Address = server.parse().unwrap();
    let mut client = bind("127.0.0.1");
    let there = client.connect(&server.resolve().await.unwrap()).unwrap();
    assert_eq!(up(&mut client).await.0, there);
    client.send(there, Ppid::ASAP, b"alive").unwrap();
    next(&mut client).await;
}

#[tokio::test]
async fn a_killed_process_is_noticed() {
    if skips() {
        return;
    }
    let mut server = bind("127.0.0.1");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "associations::victim"])
        .env("VICTIM_OF", server.local().url.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (here, _) = up(&mut server).await;
    assert_eq!(next(&mut server).await, message(here, Ppid::ASAP, b"alive"));
    victim.kill().unwrap();
    // Its kernel closes for it, long before any heartbeat.
    assert_eq!(next(&mut server).await, down(here, DownReason::Closed));
    victim.wait().unwrap();
}

#[tokio::test]
async fn a_dial_that_crosses_the_peers_becomes_the_same_association() {
    if skips() {
        return;
    }
    let (mut one, mut two) = (bind("127.0.0.1"), bind("127.0.0.1"));
    let there = one.connect(&remote(&two)).unwrap();
    assert_eq!(up(&mut one).await.0, there);
    // The other has not read that it is up.
    let here = two.connect(&remote(&one)).unwrap();
    let (assoc, info) = up(&mut two).await;
    assert_eq!((assoc, info.dialed), (here, true));
    assert!(matches!(two.connect(&remote(&one)), Err(Error::Connected(assoc)) if assoc == here));
    one.send(there, Ppid::ASAP, b"one association").unwrap();
    assert_eq!(next(&mut two).await, message(here, Ppid::ASAP, b"one association"));
    assert_eq!(idle(&mut one).await, None);
}

#[tokio::test]
async fn a_dial_waits_for_the_end_of_the_old_association() {
    if skips() {
        return;
    }
    let (mut server, mut client) = (bind("127.0.0.1"), bind("127.0.0.1"));
    for ends in ["closed", "aborted"] {
        let (there, _) = associate(&mut client, &mut server).await;
        if ends == "closed" {
            client.close(there);
        } else {
            client.abort(there);
        }
        let again = client.connect(&remote(&server)).unwrap();
        if ends == "closed" {
            assert_eq!(next(&mut client).await, down(there, DownReason::Closed));
        }
        assert_eq!(up(&mut client).await.0, again);
        client.abort(again);
        for expected in ["down", "up", "down"] {
            let came = match next(&mut server).await {
                Event::Up { .. } => "up",
                Event::Down { .. } => "down",
                other => panic!("{other:?}"),
            };
            assert_eq!(came, expected);
        }
    }
}
