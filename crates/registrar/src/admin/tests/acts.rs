//! What operators do, who may, and what is told of it.

use rserpool_web::Method;
use serde_json::Value;

use super::{HOSTILE, HOSTILE_SHOWN, Lab, Operator, soon};

fn json(reply: &rserpool_web::client::Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

/// The events of this type, as far as they are there, once there are so many.
async fn events(lab: &Lab, kind: &str, count: usize) -> Vec<Value> {
    soon(async {
        loop {
            let events = lab.json(&format!("/v1/events?type={kind}")).await;
            let items = events["items"].as_array().unwrap().clone();
            if items.len() >= count {
                return items;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn who_may_holds_and_releases_and_it_is_seen_and_told() {
    let mut lab = Operator::lab().await;
    lab.join(b"EchoPool", 3).await;
    let ops = Operator::of(&lab);
    let body = r#"{"for_ms":60000,"reason":"kernel"}"#;
    let reply = ops.act(Method::POST, "EchoPool", "1", "hold", body).await;
    let done = json(&reply);
    assert_eq!((reply.status.as_u16(), &done["held"]), (200, &true.into()), "{done}");
    assert_eq!((&done["for_ms"], &done["registrar"]), (&60000.0.into(), &"0x00000011".into()));
    assert_eq!(lab.json("/v1/pools/EchoPool/elements/1").await["listed"], false);
    let pool = lab.json("/v1/pools/EchoPool").await;
    assert_eq!(
        (&pool["elements"], &pool["listed"], &pool["held"]),
        (&2.into(), &1.into(), &1.into())
    );
    let explained = lab.json("/v1/pools/EchoPool/elements/1/explain").await;
    assert_eq!(explained["listed"], false);
    assert!(explained["text"].as_str().unwrap().contains("an operator holds it"));
    let hold = &lab.json("/v1/holds").await["items"][0];
    assert_eq!((&hold["kind"], &hold["by"]), (&"hold".into(), &"ops".into()), "{hold}");
    assert_eq!((&hold["id"], &hold["reason"]), (&"0x00000001".into(), &"kernel".into()));
    assert_eq!(events(&lab, "held", 1).await[0]["id"], "0x00000001");
    // Twice is as good as once.
    assert_eq!(ops.act(Method::POST, "EchoPool", "1", "hold", "").await.status, 200);
    for _ in 0..2 {
        let reply = ops.act(Method::DELETE, "EchoPool", "1", "hold", "").await;
        assert_eq!((reply.status.as_u16(), &json(&reply)["held"]), (200, &false.into()));
    }
    assert_eq!(lab.json("/v1/pools/EchoPool/elements/1").await["listed"], true);
    assert_eq!(events(&lab, "released", 1).await.len(), 1);
    // The hostile one is alone in its pool.
    let pool: String = HOSTILE.iter().map(|octet| format!("%{octet:02X}")).collect();
    let refused = json(&ops.act(Method::POST, &pool, "2", "hold", "").await);
    assert_eq!(refused["type"], "urn:rserpool:problem:last-element", "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("--force"), "{refused}");
    let reply = ops.act(Method::POST, &pool, "2", "hold", r#"{"force":true}"#).await;
    assert_eq!((reply.status.as_u16(), &json(&reply)["pool"]), (200, &HOSTILE_SHOWN.into()));
}

#[tokio::test]
async fn every_act_is_one_event_with_its_actor_and_refused_ones_are_too() {
    let mut lab = Operator::lab().await;
    lab.join(b"EchoPool", 3).await;
    for (number, (token, status, actor)) in [
        (None, 401, "127.0.0.1"),
        (Some("t1"), 403, "eve"),
        (Some("wrong"), 401, "unknown token"),
        (Some("t0"), 200, "ops"),
    ]
    .into_iter()
    .enumerate()
    {
        let who = Operator::with(&lab, token);
        let reply = who.act(Method::POST, "EchoPool", "1", "hold", "{}").await;
        assert_eq!(reply.status.as_u16(), status, "{reply:?}");
        let told = events(&lab, "admin", number + 1).await;
        assert_eq!(told.len(), number + 1);
        let last = &told[number];
        assert_eq!((&last["actor"], &last["status"]), (&actor.into(), &status.into()), "{last}");
        let outcome = if status == 200 { "done" } else { "refused" };
        assert_eq!((&last["outcome"], &last["id"]), (&outcome.into(), &"0x00000001".into()));
        assert_eq!(last["act"], "POST /v1/pools/{pool}/elements/{id}/hold");
        let all = lab.get("/v1/events").await.body;
        assert!(!String::from_utf8_lossy(&all).contains("wrong"));
    }
    assert_eq!(lab.json("/v1/holds").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn who_is_evicted_is_out_and_may_not_come_back() {
    let mut lab = Operator::lab().await;
    lab.join(b"EchoPool", 3).await;
    let ops = Operator::of(&lab);
    let reply = json(&ops.act(Method::POST, "EchoPool", "1", "evict", "").await);
    assert_eq!((&reply["removed"], &reply["ban_ms"]), (&true.into(), &30000.0.into()), "{reply}");
    let left = events(&lab, "left", 1).await;
    assert_eq!((&left[0]["reason"], &left[0]["id"]), (&"evicted".into(), &"0x00000001".into()));
    assert_eq!(lab.get("/v1/pools/EchoPool/elements/1").await.status, 404);
    let ban = &lab.json("/v1/holds").await["items"][0];
    assert_eq!((&ban["kind"], &ban["id"]), (&"ban".into(), &"0x00000001".into()));
    // One that is not there may be kept out, too.
    let reply = json(&ops.act(Method::POST, "Other", "7", "evict", "").await);
    assert_eq!((&reply["removed"], &reply["home"]), (&false.into(), &Value::Null));
}

#[tokio::test]
async fn what_makes_no_sense_changes_nothing() {
    let lab = Operator::lab().await;
    let ops = Operator::of(&lab);
    for (pool, id, act, body, name) in [
        ("NoPool", "1", "hold", "", "unknown-pool"),
        ("EchoPool", "9", "hold", "", "unknown-element"),
        ("EchoPool", "x", "hold", "", "unknown-element"),
        ("EchoPool", "x", "evict", "", "unknown-element"),
        ("EchoPool", "1", "hold", "", "last-element"),
        ("EchoPool", "1", "hold", "{", "bad-query"),
        ("EchoPool", "1", "hold", "[]", "bad-query"),
        ("EchoPool", "1", "hold", r#"{"forms":1}"#, "bad-query"),
        ("EchoPool", "1", "hold", r#"{"for_ms":0}"#, "bad-query"),
        ("EchoPool", "1", "hold", r#"{"for_ms":-1}"#, "bad-query"),
        ("EchoPool", "1", "hold", r#"{"for_ms":86400001}"#, "bad-query"),
        ("EchoPool", "1", "hold", r#"{"for_ms":18446744073709551615}"#, "bad-query"),
        ("EchoPool", "1", "hold", r#"{"reason":"a\nb"}"#, "bad-query"),
        ("EchoPool", "1", "evict", r#"{"force":true}"#, "bad-query"),
        ("EchoPool", "1", "evict", r#"{"ban_ms":0}"#, "bad-query"),
    ] {
        let reply = ops.act(Method::POST, pool, id, act, body).await;
        let kind = json(&reply)["type"].clone();
        assert_eq!(kind, format!("urn:rserpool:problem:{name}"), "{id} {act} {body}");
    }
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(257));
    assert_eq!(ops.act(Method::POST, "EchoPool", "1", "hold", &long).await.status, 400);
    assert_eq!(lab.json("/v1/holds").await["items"], Value::Array(vec![]));
    for cursor in ["x", "hold", "hold 1", "sold 1 p", "ban x p"] {
        let cursor = cursor.replace(' ', "%20");
        assert_eq!(lab.get(&format!("/v1/holds?after={cursor}")).await.status, 400, "{cursor}");
    }
}
