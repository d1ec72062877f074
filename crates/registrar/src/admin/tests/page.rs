//! The dashboard as browsers get it.

use rserpool_web::StatusCode;
use rserpool_web::client::Client;
use rserpool_web::listen::Endpoint;

use super::super::ui::{FILES, POLICY};
use super::{AdminConfig, HOSTILE_SHOWN, LIMIT, Lab, soon};

#[tokio::test]
async fn every_file_of_the_page_comes_with_its_kind_and_a_strict_policy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let lab = Lab::new().await;
    let config =
        AdminConfig { listen: vec![format!("unix:{}", path.display())], ..AdminConfig::default() };
    let (orders, _) = tokio::sync::mpsc::channel(1);
    let (profile, dialect, has_peers) = ("fast", "rfc", false);
    let setup = super::Setup { config: &config, profile, dialect, has_peers, orders };
    let _over_unix = soon(super::Admin::start(&lab.registrar, setup)).await.unwrap().unwrap();
    let unix = Client::new(Endpoint::Unix(path), None, LIMIT);
    for client in [&lab.client, &unix] {
        for file in &FILES {
            let reply = soon(client.get(file.path)).await.unwrap();
            assert_eq!(reply.status, StatusCode::OK, "{}", file.path);
            let header = |name: &str| reply.headers[name].to_str().unwrap();
            assert_eq!(header("content-type"), file.media);
            assert_eq!(header("content-security-policy"), POLICY);
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert_eq!(header("referrer-policy"), "no-referrer");
            assert!(!reply.headers.contains_key("access-control-allow-origin"));
            assert_eq!(reply.body, file.text.as_bytes());
        }
    }
    // Word for word: each of these keeps something out.
    assert_eq!(
        POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'"
    );
}

#[tokio::test]
async fn the_page_is_all_that_is_there_and_data_is_never_a_page() {
    let lab = Lab::new().await;
    for (path, status) in [
        ("/ui/", StatusCode::NOT_FOUND),
        ("/ui/app.js/", StatusCode::NOT_FOUND),
        ("/ui/../index.html", StatusCode::NOT_FOUND),
        ("/index.html", StatusCode::NOT_FOUND),
        ("/?x=1", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(lab.get(path).await.status, status, "{path}");
    }
    // A handle that is markup comes as JSON that no browser takes for a page.
    let reply = lab.get("/v1/pools").await;
    let header = |name: &str| reply.headers[name].to_str().unwrap();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
    let pools = lab.json("/v1/pools").await;
    let names: Vec<_> = pools["items"].as_array().unwrap().iter().map(|it| &it["pool"]).collect();
    assert!(names.contains(&&HOSTILE_SHOWN.into()), "{names:?}");
}
