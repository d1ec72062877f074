//! The list of items, `docs/checklist.txt`.

use std::fs;

use anyhow::{Context, bail, ensure};

use crate::root;

const LIST: &str = "docs/checklist.txt";

/// All items, by section.
#[derive(Debug)]
pub(super) struct List {
    pub(super) sections: Vec<Section>,
}

#[derive(Debug)]
pub(super) struct Section {
    pub(super) title: String,
    pub(super) items: Vec<Item>,
}

/// One requirement.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) number: u16,
    pub(super) strength: String,
    pub(super) source: String,
    pub(super) requirement: String,
    /// Where we differ on purpose, or what it waits for.
    pub(super) note: Option<String>,
}

impl List {
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.sections.iter().flat_map(|section| &section.items)
    }
}

impl Item {
    /// We do something else, and say why.
    pub(super) fn differs(&self) -> bool {
        self.note.as_ref().is_some_and(|note| note.starts_with("differs"))
    }

    /// It belongs to a part that is still to come.
    pub(super) fn waits(&self) -> bool {
        self.note.as_ref().is_some_and(|note| note.starts_with("with "))
    }
}

pub(super) fn read() -> anyhow::Result<List> {
    let text = fs::read_to_string(root().join(LIST)).with_context(|| format!("no {LIST}"))?;
    parse(&text).with_context(|| LIST.to_owned())
}

fn parse(text: &str) -> anyhow::Result<List> {
    let mut sections: Vec<Section> = Vec::new();
    let mut last = 0;
    let mut note = None;
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix("== ") {
            let mut fields = title.split(" | ").map(str::to_owned);
            let title = fields.next().unwrap_or_default();
            sections.push(Section { title, items: Vec::new() });
            note = fields.next();
            continue;
        }
        let mut item = item(line).with_context(|| format!("line {}", n + 1))?;
        ensure!(item.number == last + 1, "line {}: item {} follows {last}", n + 1, item.number);
        last = item.number;
        item.note = item.note.or_else(|| note.clone());
        let Some(section) = sections.last_mut() else { bail!("an item before any section") };
        section.items.push(item);
    }
    Ok(List { sections })
}

fn item(line: &str) -> anyhow::Result<Item> {
    let mut fields = line.split(" | ").map(str::to_owned);
    let mut field = |name| fields.next().with_context(|| format!("no {name}"));
    Ok(Item {
        number: field("number")?.parse().context("not a number")?,
        strength: field("strength")?,
        source: field("source")?,
        requirement: field("requirement")?,
        note: fields.next(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_by_section() {
        let list = parse("# a comment\n== One\n1 | MUST | 5352 §1 | Do it.\n2 | MAY | x | y | z");
        let list = list.unwrap();
        assert_eq!(list.sections[0].title, "One");
        assert_eq!(list.items().map(|item| item.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(list.sections[0].items[1].note.as_deref(), Some("z"));
    }

    #[test]
    fn a_section_has_a_note_for_all_its_items() {
        let list = parse("== One | with TLS\n1 | MUST | a | b\n== Two\n2 | MUST | a | b").unwrap();
        assert_eq!(list.items().map(Item::waits).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_gap_is_an_error() {
        assert!(parse("== One\n1 | MUST | a | b\n3 | MUST | a | b").is_err());
        assert!(parse("1 | MUST | a | b").is_err());
        assert!(parse("== One\n1 | MUST | a").is_err());
    }
}
