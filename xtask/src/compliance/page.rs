//! The page itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::list::{Item, List};
use super::sections::Sections;
use super::tags::Place;

type Places = BTreeMap<u16, Vec<Place>>;

const HEAD: &str = "\
# Compliance

Written by `cargo xtask compliance` from [checklist.txt](checklist.txt) and from the comments in the
sources that name its items (\"checklist 70\"). Code that names none of them is found by the section of
the RFC that it names. Do not edit this page.
";

/// One line of counts, and one of the items that have nothing.
pub(super) fn summary(list: &List, places: &Places) -> String {
    let of = |wanted: State| -> Vec<u16> {
        let items = list.items().filter(|item| state(item, places) == wanted);
        items.map(|item| item.number).collect()
    };
    let open = of(State::Open);
    format!(
        "{} items: {} tested, {} differ on purpose, {} wait for what is to come, {} without a \
         test.\n\nWithout a test: {}.",
        list.items().count(),
        of(State::Tested).len(),
        of(State::Differs).len(),
        of(State::Waits).len(),
        open.len(),
        ranges(&open),
    )
}

/// Rising numbers in words: "1, 3 to 5".
fn ranges(numbers: &[u16]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [first, .., last] => format!("{first} to {last}"),
        _ => run.iter().map(u16::to_string).collect(),
    });
    let words: Vec<String> = runs.collect();
    if words.is_empty() { "none".into() } else { words.join(", ") }
}

/// The page.
pub(super) fn write(list: &List, places: &Places, sections: &Sections) -> String {
    let mut page = format!("{HEAD}\n{}\n", summary(list, places));
    for section in &list.sections {
        let _ = writeln!(page, "\n## {}\n", section.title);
        page.push_str("| # | strength | requirement | RFC | tests | code |\n");
        page.push_str("|---|---|---|---|---|---|\n");
        for item in &section.items {
            let Item { number, strength, requirement, source, .. } = item;
            let (tests, code) = (tests(item, places), code(item, places, sections));
            let _ = writeln!(
                page,
                "| {number} | {strength} | {requirement} | {source} | {tests} | {code} |"
            );
        }
    }
    page
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum State {
    Tested,
    /// We do something else, and say why.
    Differs,
    /// For a part that is still to come.
    Waits,
    Open,
}

fn state(item: &Item, places: &Places) -> State {
    if item.differs() {
        State::Differs
    } else if places.get(&item.number).is_some_and(|places| places.iter().any(|p| p.is_test)) {
        State::Tested
    } else if item.waits() {
        State::Waits
    } else {
        State::Open
    }
}

/// Where it is tested, after what is to be said about it.
fn tests(item: &Item, places: &Places) -> String {
    let is_done = state(item, places) == State::Tested && item.waits();
    let note = item.note.clone().filter(|_| !is_done);
    lines(note.into_iter().chain(links(item, places, true)).collect())
}

/// Where it is done, as far as the code says so.
fn code(item: &Item, places: &Places, sections: &Sections) -> String {
    let named: Vec<String> = links(item, places, false).collect();
    if !named.is_empty() {
        return lines(named);
    }
    let files = sections.files(&item.source);
    lines(files.iter().map(|path| format!("[{}](../{path})", short(path))).collect())
}

fn links(item: &Item, places: &Places, of_tests: bool) -> impl Iterator<Item = String> {
    let mut places: Vec<&Place> = places.get(&item.number).into_iter().flatten().collect();
    places.sort_by_key(|place| &place.path);
    places.into_iter().filter(move |place| place.is_test == of_tests).map(|place| {
        let what = place.function.clone().unwrap_or_else(|| short(&place.path));
        format!("[{what}](../{})", place.path)
    })
}

/// `crates/proto/src/registrar/asap.rs` is `proto/registrar/asap`.
fn short(path: &str) -> String {
    let path = path.strip_prefix("crates/").unwrap_or(path);
    path.strip_suffix(".rs").unwrap_or(path).replacen("/src/", "/", 1)
}

fn lines(parts: Vec<String>) -> String {
    if parts.is_empty() { "–".into() } else { parts.join("<br>") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_numbers_are_said_in_short() {
        assert_eq!(ranges(&[]), "none");
        assert_eq!(ranges(&[1, 3, 4, 5, 9, 10]), "1, 3 to 5, 9 to 10");
    }
}
