//! `docs/compliance.md`: what the RFCs ask for, and which tests and code say that they are about it.
//!
//! The list is `docs/checklist.txt`; sources name its items as "checklist 70", "checklist 68, 69"
//! or "checklist 77 to 80" in a comment above a function or within it. Where the code does not, the
//! files are shown that name the section of the RFC.

mod list;
mod page;
mod sections;
mod tags;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};

use anyhow::{Context, ensure};

use self::sections::Sections;
use self::tags::Place;
use crate::root;
use crate::tree::text_files;

const PAGE: &str = "docs/compliance.md";
/// Where items are named.
const TAGGED: [&str; 2] = ["crates/", "xtask/src/interop/"];

/// Writes the page, or with `check` only looks whether it is what it would be.
pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let list = list::read()?;
    let mut places: BTreeMap<u16, Vec<Place>> = BTreeMap::new();
    let mut sections = Sections::default();
    let mut dangling = Vec::new();
    let files = text_files()?;
    let is_ours = |path: &str| TAGGED.iter().any(|folder| path.starts_with(folder));
    for file in files.iter().filter(|file| file.is_source() && is_ours(&file.path)) {
        if !file.is_test() {
            sections.read(file);
        }
        for (number, line, place) in tags::find(file) {
            if list.items().any(|item| item.number == number) {
                let known = places.entry(number).or_default();
                if !known.contains(&place) {
                    known.push(place);
                }
            } else {
                dangling.push(format!("{}:{line}: no item {number}", file.path));
            }
        }
    }
    ensure!(dangling.is_empty(), "{}\nof docs/checklist.txt", dangling.join("\n"));

    let page = page::write(&list, &places, &sections);
    let path = root().join(PAGE);
    if check {
        let old = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
        ensure!(old == page, "{PAGE} is out of date; run `cargo xtask compliance`");
    } else {
        fs::write(&path, page).with_context(|| format!("cannot write {PAGE}"))?;
    }
    // Who has read enough of it, such as `head`, is no failure.
    let _ = writeln!(io::stdout(), "{}", page::summary(&list, &places));
    Ok(())
}
