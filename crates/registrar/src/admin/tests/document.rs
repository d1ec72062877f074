//! The list of routes, the document, and the answers say the same.

use std::collections::BTreeSet;

use rserpool_web::{Method, StatusCode};
use serde_json::Value;

use super::super::routes::{OPENAPI, ROUTES};
use super::{Lab, Operator, soon};

fn document() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

/// What does not go with a schema. What a schema does not say is wrong, too.
fn mismatch(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.strip_prefix('#').unwrap();
        return mismatch(document, document.pointer(pointer).unwrap(), value, at);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = any.iter().any(|one| mismatch(document, one, value, at).is_empty());
        return if fits { vec![] } else { vec![format!("{at}: {value} fits none")] };
    }
    let is_of = |name: &str| match name {
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    };
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().map(|one| one.as_str().unwrap()).collect(),
        other => panic!("{at}: {other}"),
    };
    let mut found = Vec::new();
    if !types.iter().any(|name| is_of(name)) {
        found.push(format!("{at}: {value} is none of {types:?}"));
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        found.push(format!("{at}: {value} is not among {}", schema["enum"]));
    }
    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(mismatch(document, &schema["items"], item, &format!("{at}[{number}]")));
    }
    let Some(fields) = value.as_object() else { return found };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !fields.contains_key(name.as_str().unwrap()) {
            found.push(format!("{at}: {name} is missing"));
        }
    }
    for (name, field) in fields {
        let own = &schema["properties"][name];
        let further = &schema["additionalProperties"];
        let at = format!("{at}.{name}");
        match (own.is_null(), further) {
            (false, _) => found.extend(mismatch(document, own, field, &at)),
            (true, Value::Bool(true)) => {}
            (true, Value::Object(_)) => found.extend(mismatch(document, further, field, &at)),
            _ => found.push(format!("{at} is not in the document")),
        }
    }
    found
}

#[test]
fn what_does_not_go_with_a_schema_is_found() {
    let document = document();
    let schema = &document["components"]["schemas"]["Health"];
    let found = |text: &str| mismatch(&document, schema, &serde_json::from_str(text).unwrap(), "");
    assert!(found(r#"{"status":"alive","driver_ms":1.5}"#).is_empty());
    for wrong in [
        r#"{"status":"alive"}"#,
        r#"{"status":"dead","driver_ms":1.5}"#,
        r#"{"status":"alive","driver_ms":"1"}"#,
        r#"{"status":"alive","driver_ms":1.5,"more":1}"#,
        "[]",
    ] {
        assert!(!found(wrong).is_empty(), "{wrong}");
    }
}

#[tokio::test]
async fn routes_document_and_index_have_the_same() {
    let document = document();
    let mut documented = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let role = operation["x-role"].as_str().map(ToOwned::to_owned);
            documented.insert((method.to_uppercase(), path.clone(), role));
        }
    }
    let route = |route: &rserpool_web::route::Route<_>| {
        let role = route.role.map(|role| role.label().to_owned());
        (route.method.as_str().to_owned(), route.path.to_owned(), role)
    };
    let routes: BTreeSet<_> = ROUTES.iter().map(route).collect();
    assert_eq!(routes, documented);
    let lab = Lab::new().await;
    let index = lab.json("/v1").await;
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let listed =
        index["routes"].as_array().unwrap().iter().map(|it| {
            (text(&it["method"]).unwrap(), text(&it["path"]).unwrap(), text(&it["role"]))
        });
    assert_eq!(listed.collect::<BTreeSet<_>>(), documented);
    assert_eq!(lab.json("/v1/openapi.json").await, document);
}

#[tokio::test]
async fn every_answer_is_what_the_document_says() {
    let mut lab = Operator::lab().await;
    let peer = lab.peer().await;
    soon(async {
        while lab.json("/v1/peers").await["items"][0]["checksum_told"].is_null() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // There is a removal to tell.
    lab.elements.pop();
    while lab.json("/v1/removals").await["items"].as_array().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let document = document();
    let operator = Operator::of(&lab);
    for (method, act, body) in [
        (Method::POST, "hold", r#"{"for_ms":60000,"reason":"kernel","force":true}"#),
        (Method::DELETE, "hold", ""),
        (Method::POST, "hold", r#"{"force":true}"#),
        (Method::POST, "evict", r#"{"ban_ms":60000}"#),
    ] {
        let reply = operator.act(method.clone(), "EchoPool", "7", act, body).await;
        let expected = if act == "hold" && method == Method::POST { 404 } else { 200 };
        assert_eq!(reply.status.as_u16(), expected, "{act}: {reply:?}");
        let reply = operator.act(method.clone(), "EchoPool", "1", act, body).await;
        assert_eq!(reply.status, StatusCode::OK, "{act}: {reply:?}");
        let pointer = format!(
            "/paths/~1v1~1pools~1{{pool}}~1elements~1{{id}}~1{act}/{}/responses/200/content/\
             application~1json/schema",
            method.as_str().to_lowercase()
        );
        let value: Value = serde_json::from_slice(&reply.body).unwrap();
        let schema = document.pointer(&pointer).unwrap();
        assert_eq!(mismatch(&document, schema, &value, act), Vec::<String>::new());
    }
    lab.join(b"EchoPool", 5).await;
    let gets = ROUTES.iter().filter(|route| route.method == Method::GET);
    for route in gets.filter(|route| !route.path.ends_with("openapi.json")) {
        let path = route.path.replace("{pool}", "EchoPool").replace("{id}", "5");
        let reply = lab.get(&path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
        let pointer = format!(
            "/paths/{}/get/responses/200/content/application~1json/schema",
            route.path.replace('~', "~0").replace('/', "~1")
        );
        let Some(schema) = document.pointer(&pointer) else {
            assert_eq!(route.path, "/metrics");
            continue;
        };
        let value: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(mismatch(&document, schema, &value, &path), Vec::<String>::new());
        let is_list = value.get("items").is_some();
        assert!(!is_list || !value["items"].as_array().unwrap().is_empty(), "{path}");
    }
    soon(peer.stop()).await;
}

#[tokio::test]
async fn every_route_takes_the_parameters_of_the_document_and_refuses_others() {
    let lab = Lab::new().await;
    let document = document();
    let problem = &document["components"]["schemas"]["Problem"];
    for route in ROUTES.iter().filter(|route| route.method == Method::GET) {
        let path = route.path.replace("{pool}", "EchoPool").replace("{id}", "1");
        let reply = lab.get(&format!("{path}?no_such_parameter=1")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path}");
        let value: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(mismatch(&document, problem, &value, &path), Vec::<String>::new());
        let said = value["detail"].as_str().unwrap();
        let said = said.split_once("it takes ").unwrap().1;
        let known: BTreeSet<&str> = said.split(", ").filter(|name| *name != "none").collect();
        let parameters = document["paths"][route.path]["get"]["parameters"].as_array().unwrap();
        let documented = parameters.iter().filter(|it| it["in"] == "query");
        let documented: BTreeSet<&str> =
            documented.map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(known, documented, "{path}");
    }
}
