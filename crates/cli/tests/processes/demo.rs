//! The demo, as a whole.

use std::collections::BTreeSet;

use crate::programs::{Program, rserpool, run, until};
use crate::running::fields;

#[test]
fn the_demo_loses_nothing_and_its_json_is_documented() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("picture.png");
    let ended = run(&["demo", "--json", "--picture", picture.to_str().unwrap()]);
    let summary = ended.json();
    assert_eq!(summary["requests"], summary["answered"], "{summary}");
    assert_eq!((&summary["lost"], &summary["picture"]["identical"]), (&0.into(), &true.into()));
    let causes = summary["failovers"].as_array().unwrap().iter().map(|it| &it["cause"]);
    assert_eq!(causes.collect::<Vec<_>>(), ["killed", "killed", "killed", "frozen", "killed"]);
    assert!(picture.metadata().unwrap().len() > 0);
    let docs = include_str!("../../../../docs/json.md");
    let mut names = BTreeSet::new();
    fields(&summary, &mut names);
    for name in names {
        assert!(docs.contains(&format!("`{name}`")), "{name} is not documented");
    }
}

#[test]
fn the_secure_demo_loses_nothing_and_leaves_no_keys() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("picture.png");
    let mut demo =
        rserpool(&["demo", "--secure", "--json", "--picture", picture.to_str().unwrap()]);
    demo.env("TMPDIR", folder.path());
    let summary = Program::start(demo).end().json();
    assert_eq!((&summary["lost"], &summary["transport"]), (&0.into(), &"tls".into()));
    assert_eq!(summary["picture"]["identical"], true);
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["picture.png"]);
}

#[test]
fn who_watches_the_demo_kills_at_a_key_and_loses_nothing() {
    let mut demo = Program::start(rserpool(&["demo", "--watch", "--json"]));
    let first = demo.json();
    let page = first["dashboard"].as_str().unwrap().trim_end_matches('/').to_owned();
    let look = |what: &str| run(&[what, "--admin", &page, "--json"]).json();
    let count = |what: &str| look(what).as_array().unwrap().len();
    assert_eq!((count("elements"), count("peers")), (3, 2));
    // A key that means nothing is no error.
    demo.say("x k");
    until("two servers are left", || count("elements") == 2);
    demo.say("s");
    until("there are three again", || count("elements") == 3);
    demo.say("f");
    until("the frozen one is out", || count("elements") == 2);
    demo.say("k k");
    until("the last one stays", || count("elements") == 1);
    demo.say("r");
    let lives = |peer: &serde_json::Value| peer["state"] == "active";
    until("a registrar is dead", || {
        look("peers").as_array().unwrap().iter().filter(|peer| lives(peer)).count() == 1
    });
    demo.say("q");
    let last = demo.json();
    let ended = demo.end();
    assert_eq!((ended.code, &last["lost"]), (Some(0), &0.into()), "{}", ended.stderr);
    assert_eq!(last["requests"], last["answered"]);
    assert!(ended.stderr.contains("that is the last server"), "{}", ended.stderr);
}
