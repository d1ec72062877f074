//! Finds where sources name items of the list.

use crate::tree::TextFile;

/// Where an item is named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) path: String,
    /// The function; none for the file as a whole.
    pub(super) function: Option<String>,
    pub(super) is_test: bool,
}

/// The items that a file names, each with its line.
pub(super) fn find(file: &TextFile) -> Vec<(u16, usize, Place)> {
    let lines: Vec<&str> = file.text.lines().collect();
    let tests_begin = lines.iter().position(|line| line.trim() == "#[cfg(test)]");
    let mut found = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let Some((_, comment)) = line.split_once("//") else { continue };
        for number in numbers(comment) {
            let place = Place {
                path: file.path.clone(),
                function: (!comment.starts_with('!')).then(|| function(&lines, n)).flatten(),
                is_test: file.is_test() || tests_begin.is_some_and(|begin| n > begin),
            };
            found.push((number, n + 1, place));
        }
    }
    found
}

/// The numbers behind the word "checklist": `70`, `68, 69 and 72`, `77 to 80`.
fn numbers(comment: &str) -> Vec<u16> {
    let mut numbers = Vec::new();
    let comment = comment.to_ascii_lowercase();
    for after in comment.split("checklist ").skip(1) {
        let mut is_range = false;
        for word in after.split_whitespace() {
            let digits = word.trim_end_matches(|c: char| c.is_ascii_punctuation());
            if let Ok(number) = digits.parse::<u16>() {
                let first = numbers.last().filter(|_| is_range).map_or(number, |last| last + 1);
                numbers.extend(first..=number);
                is_range = false;
                // "68, 69" goes on; "68." and "68:" do not.
                if word != digits && !word.ends_with(',') {
                    break;
                }
            } else if word == "to" && !numbers.is_empty() {
                is_range = true;
            } else if word != "and" {
                break;
            }
        }
    }
    numbers
}

/// The function that the comment in line `n` is about: the one below it, or else around it.
fn function(lines: &[&str], n: usize) -> Option<String> {
    let is_between = |line: &&&str| line.trim().is_empty() || line.trim().starts_with(['#', '/']);
    let below = lines[n + 1..].iter().find(|line| !is_between(line));
    let inside = || {
        let indent = |line: &str| line.len() - line.trim_start().len();
        let above = lines[..n].iter().rev();
        above.filter(|line| indent(line) < indent(lines[n])).find_map(|line| name(line))
    };
    below.and_then(|line| name(line)).or_else(inside)
}

/// The name of the function that a line begins.
fn name(line: &str) -> Option<String> {
    let (before, after) = line.split_once("fn ")?;
    let qualifiers = ["pub", "pub(crate)", "pub(super)", "async", "const"];
    if !before.split_whitespace().all(|word| qualifiers.contains(&word)) {
        return None;
    }
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(after[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_alone_in_rows_and_in_ranges() {
        assert_eq!(numbers(" RFC 5352 §3.1 rule 2; checklist 70."), [70]);
        assert_eq!(numbers(" Checklist 68, 69 and 72."), [68, 69, 72]);
        assert_eq!(numbers(" checklist 77 to 80, 82; RFC 5352"), [77, 78, 79, 80, 82]);
        assert_eq!(numbers(" Checklist 89: without 2 options"), [89]);
        assert_eq!(numbers(" checklist 33 is a deviation, 5 lines"), [33]);
        assert_eq!(numbers(" the checklist says"), [0_u16; 0]);
    }

    #[test]
    fn a_comment_is_about_the_function_below_or_around_it() {
        let text = "\
// Checklist 1.
#[test]
fn first() {
    call();
    // Checklist 2.
    call();
}

#[cfg(test)]
mod tests {
    /// Checklist 3.
    pub(crate) async fn third() {
";
        let file = TextFile { path: "src/a.rs".into(), text: text.into() };
        let found: Vec<_> = find(&file)
            .into_iter()
            .map(|(number, line, place)| (number, line, place.function.unwrap(), place.is_test))
            .collect();
        let expected = [(1, 1, "first", false), (2, 5, "first", false), (3, 11, "third", true)];
        assert_eq!(found, expected.map(|(a, b, name, d)| (a, b, name.to_owned(), d)));
    }
}
