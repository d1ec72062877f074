//! The files of this repository.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::root;

/// Folders that git ignores, and git's own.
const IGNORED: [&str; 5] = [".git", "target", "fuzz/target", "fuzz/artifacts", "interop/out"];

/// A file of the repository that is text.
pub(crate) struct TextFile {
    /// Its path from the root, with `/` between its parts.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl TextFile {
    /// A Rust source file.
    pub(crate) fn is_source(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// A Rust source file that holds tests or benchmarks and nothing else.
    pub(crate) fn is_test(&self) -> bool {
        let is_test = |part| matches!(part, "tests" | "tests.rs" | "benches" | "interop");
        self.is_source() && self.path.split('/').any(is_test)
    }
}

/// All text files of the repository, in the order of their paths.
pub(crate) fn text_files() -> anyhow::Result<Vec<TextFile>> {
    let mut paths = Vec::new();
    collect(root(), &mut paths)?;
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let octets = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // Captures and the like are no text.
        if let Ok(text) = String::from_utf8(octets) {
            files.push(TextFile { path: name(&path), text });
        }
    }
    Ok(files)
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if IGNORED.contains(&name(&path).as_str()) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&path, paths)?;
        } else if kind.is_file() {
            paths.push(path);
        }
    }
    Ok(())
}

/// A path from the root of the repository.
fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}
