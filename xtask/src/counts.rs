//! Counts that stay what they are: the length of files, where `unsafe` stands, and that nothing
//! names the machine it was written on.

use anyhow::ensure;

use crate::root;
use crate::tree::{TextFile, text_files};

/// The most lines of a source file; tests in files of their own are not bound by it.
const LINES_MAX: usize = 600;
/// The longest files that are shown.
const SHOWN: usize = 10;
/// Where `unsafe` may stand.
const UNSAFE: [&str; 2] = ["crates/transport/src/sys.rs", "crates/capi/"];
/// Where it is looked for; here the compiler forbids it.
const CODE: [&str; 2] = ["crates/", "fuzz/"];
/// Folders of somebody's own that no file may name.
const PRIVATE: [&str; 4] = ["home", "root", "work", "Users"];

/// Prints the counts; the error says which are not what they should be.
pub(crate) fn run() -> anyhow::Result<()> {
    let files = text_files()?;
    let sources = files.iter().filter(|file| file.is_source());
    let (tests, code): (Vec<_>, Vec<_>) = sources.partition(|file| file.is_test());
    println!("source files: {}, {} lines", code.len(), lines(&code));
    println!("files of tests: {}, {} lines", tests.len(), lines(&tests));

    let mut longest = code.clone();
    longest.sort_by_key(|file| std::cmp::Reverse(file.text.lines().count()));
    println!("the longest of them:");
    for file in longest.iter().take(SHOWN) {
        println!("{:6}  {}", file.text.lines().count(), file.path);
    }

    let long = longest.iter().filter(|file| file.text.lines().count() > LINES_MAX);
    let faults = [
        report(format!("source files over {LINES_MAX} lines"), long.map(|f| f.path.clone())),
        report("`unsafe` elsewhere than in transport::sys and capi".into(), unsafe_lines(&files)),
        report("paths of somebody's machine".into(), private_paths(&files)),
    ];
    ensure!(faults.iter().sum::<usize>() == 0, "the counts are not what they should be");
    Ok(())
}

fn lines(files: &[&TextFile]) -> usize {
    files.iter().map(|file| file.text.lines().count()).sum()
}

fn report(what: String, found: impl Iterator<Item = String>) -> usize {
    let found: Vec<String> = found.collect();
    println!("{what}: {}", if found.is_empty() { "none".into() } else { found.len().to_string() });
    for line in &found {
        println!("        {line}");
    }
    found.len()
}

fn unsafe_lines(files: &[TextFile]) -> impl Iterator<Item = String> {
    let is_in = |file: &TextFile, folders: &[&str]| {
        folders.iter().any(|folder| file.path.starts_with(folder))
    };
    let sources = files.iter().filter(|file| file.is_source());
    let bound = sources.filter(move |file| is_in(file, &CODE) && !is_in(file, &UNSAFE));
    bound.flat_map(|file| {
        let lines = file.text.lines().enumerate().filter(|(_, line)| has_unsafe(line));
        lines.map(|(n, _)| format!("{}:{}", file.path, n + 1))
    })
}

/// The line has `unsafe` in its code; comments and strings may speak of it.
fn has_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let code: String = code.split('"').step_by(2).collect();
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '`');
    code.split(|c| !is_word(c)).any(|word| word == "unsafe")
}

fn private_paths(files: &[TextFile]) -> impl Iterator<Item = String> {
    let checkout = root().to_string_lossy();
    let mut private: Vec<String> = PRIVATE.iter().map(|folder| format!("/{folder}/")).collect();
    private.push(checkout.into_owned());
    files.iter().flat_map(move |file| {
        let private = private.clone();
        let lines = file.text.lines().enumerate();
        lines
            .filter(move |(_, line)| private.iter().any(|path| line.contains(path.as_str())))
            .map(|(n, line)| format!("{}:{}: {}", file.path, n + 1, line.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_is_found_in_code_only() {
        assert!(has_unsafe("    unsafe { call() }"));
        assert!(has_unsafe("pub unsafe fn call();"));
        assert!(!has_unsafe("#![forbid(unsafe_code)]"));
        assert!(!has_unsafe("// unsafe { call() }"));
        assert!(!has_unsafe(r#"word == "unsafe""#));
    }
}
