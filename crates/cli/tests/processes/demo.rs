//! The demo, as a whole.

use std::collections::BTreeSet;

use crate::programs::{Program, rserpool, run};
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
