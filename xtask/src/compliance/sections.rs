//! Which sections of the RFCs the code says that it is about.

use std::collections::BTreeMap;

use crate::tree::TextFile;

/// At most so many files are named for a section: those that speak of it most.
const FILES_MAX: usize = 3;

/// For each section ("5354 §3.10") the files, and how often each names it.
#[derive(Debug, Default)]
pub(super) struct Sections(BTreeMap<String, BTreeMap<String, usize>>);

impl Sections {
    /// Takes in a file of code.
    pub(super) fn read(&mut self, file: &TextFile) {
        let is_comment = |line: &&str| line.trim_start().starts_with("//");
        for line in file.text.lines().filter(is_comment) {
            for reference in line.split("RFC ").skip(1) {
                for section in sections(reference) {
                    *self.0.entry(section).or_default().entry(file.path.clone()).or_default() += 1;
                }
            }
        }
    }

    /// The files that name a section of a source such as "5354 §3.1, §3.2, 5352 §2.1".
    pub(super) fn files(&self, source: &str) -> Vec<String> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for section in sections(source) {
            for (path, count) in self.0.get(&section).into_iter().flatten() {
                *counts.entry(path).or_default() += count;
            }
        }
        let mut files: Vec<(&str, usize)> = counts.into_iter().collect();
        files.sort_by_key(|(path, count)| (std::cmp::Reverse(*count), *path));
        files.truncate(FILES_MAX);
        files.sort_unstable();
        files.into_iter().map(|(path, _)| path.to_owned()).collect()
    }
}

/// The sections that a text begins with: "5354 §3.1, §3.2 and what" gives two of RFC 5354.
fn sections(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rfc = None;
    for word in text.split_whitespace() {
        let word = word.trim_start_matches('(');
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_digit());
        if bare.len() == 4 && bare.parse::<u16>().is_ok() {
            rfc = Some(bare);
        } else if let (Some(section), Some(rfc)) = (bare.strip_prefix('§'), rfc) {
            found.push(format!("{rfc} §{section}"));
        } else if !matches!(word, "to" | "and" | "RFC") {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_named_in_rows_after_their_rfc() {
        assert_eq!(sections("5354 §3.1, §3.2."), ["5354 §3.1", "5354 §3.2"]);
        assert_eq!(sections("5352 §5, 5353 §5.4 speaks of §1"), ["5352 §5", "5353 §5.4"]);
        assert_eq!(sections("5354 §3.3 to §3.7; more"), ["5354 §3.3", "5354 §3.7"]);
        assert_eq!(sections("862)."), [""; 0]);
    }

    #[test]
    fn files_are_found_by_what_their_comments_name() {
        let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
        let mut sections = Sections::default();
        sections.read(&file("a.rs", "// RFC 5352 §3.1\nlet no = \"RFC 5352 §3.2\";"));
        sections.read(&file("b.rs", "/// One (RFC 5352 §3.1).\n// RFC 5352 §3.1, §3.2"));
        assert_eq!(sections.files("5352 §3.1"), ["a.rs", "b.rs"]);
        assert_eq!(sections.files("5352 §3.2"), ["b.rs"]);
    }
}
