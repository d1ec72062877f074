//! Documents that name tests name tests that there are.

use std::collections::BTreeSet;
use std::fs;

use crate::root;
use crate::tree::text_files;

/// Documents whose tables name the tests of what they say.
const DOCUMENTS: [&str; 1] = ["docs/security.md"];

/// What stands in backquotes in the last cells of tables, and is a name of several words.
fn named(document: &str) -> BTreeSet<&str> {
    let rows = document.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let cells = rows.filter_map(|row| row.rsplit('|').next());
    let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    quoted.filter(|name| name.contains('_')).collect()
}

/// A function of this name, with type parameters or without.
fn is_there(sources: &str, name: &str) -> bool {
    ["(", "<"].iter().any(|next| sources.contains(&format!("fn {name}{next}")))
}

#[test]
fn names_are_those_in_the_last_cells_of_tables() {
    let document = "| `a_b` | `c_d`, `e_f` and `g` |\n| - | `h_i` |\nin a text: `j_k`\n";
    assert_eq!(named(document), ["c_d", "e_f", "h_i"].into());
}

#[test]
fn each_test_that_a_document_names_exists() {
    let files = text_files().unwrap();
    let sources: String =
        files.iter().filter(|file| file.is_source()).map(|file| file.text.as_str()).collect();
    for path in DOCUMENTS {
        let document = fs::read_to_string(root().join(path)).unwrap();
        let tests = named(&document);
        assert!(!tests.is_empty(), "{path} names no test");
        let missing: Vec<_> = tests.iter().filter(|name| !is_there(&sources, name)).collect();
        assert!(missing.is_empty(), "{path} names tests that are not there: {missing:?}");
    }
}
