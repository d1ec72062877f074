//! `docs/api/`: the public API of the crates that others build on, as a snapshot: what changes it
//! is seen in review.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::root;

/// The crates with a public API that versions are promised for.
const CRATES: [&str; 1] = ["rserpool"];
/// Where the snapshots are.
const FOLDER: &str = "docs/api";
/// The program that lists an API; `.ci/run` installs it.
const PROGRAM: &str = "cargo-public-api";
/// Where `.ci/run` installs it.
const INSTALLED: &str = "target/tools/bin";

/// Writes the snapshots, or with `check` only looks whether they are what they would be.
pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let mut changed = Vec::new();
    for name in CRATES {
        let api = list(&describe(name)?)?;
        let path = root().join(FOLDER).join(format!("{name}.txt"));
        let lines = api.lines().count();
        if check {
            let old = fs::read_to_string(&path).unwrap_or_default();
            difference(&old, &api).for_each(|line| println!("{line}"));
            if old != api {
                changed.push(name);
            }
        } else {
            fs::create_dir_all(root().join(FOLDER)).context("cannot make the folder")?;
            fs::write(&path, api).with_context(|| format!("cannot write {}", path.display()))?;
        }
        println!("{name}: {lines} lines");
    }
    ensure!(
        changed.is_empty(),
        "the public API of {} has changed; if that is meant, run `cargo xtask api` and commit {FOLDER}",
        changed.join(", ")
    );
    Ok(())
}

/// What rustdoc tells of a crate, as JSON. That form is unstable: the compiler of this workspace is
/// asked to give it all the same.
fn describe(name: &str) -> anyhow::Result<PathBuf> {
    let target = root().join("target/api");
    let status = Command::new("cargo")
        .args(["rustdoc", "--quiet", "--lib", "--package", name, "--target-dir"])
        .arg(&target)
        .args(["--", "-Zunstable-options", "--output-format", "json", "--cap-lints", "allow"])
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(root())
        .status()
        .context("cannot run cargo rustdoc")?;
    ensure!(status.success(), "cargo rustdoc failed for {name}");
    Ok(target.join("doc").join(format!("{}.json", name.replace('-', "_"))))
}

/// The items of an API, a line each, without those that every type has.
fn list(json: &Path) -> anyhow::Result<String> {
    let installed = root().join(INSTALLED).join(PROGRAM);
    let program = if installed.exists() { installed } else { PROGRAM.into() };
    let output = Command::new(program)
        .args(["public-api", "-sss", "--color=never", "--rustdoc-json"])
        .arg(json)
        .output()
        .with_context(|| format!("cannot run {PROGRAM}; `cargo install {PROGRAM}` brings it"))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Lines of only one of two sorted lists.
fn difference<'a>(old: &'a str, new: &'a str) -> impl Iterator<Item = String> + 'a {
    let gone = old.lines().filter(|line| !new.lines().any(|other| other == *line));
    let come = new.lines().filter(|line| !old.lines().any(|other| other == *line));
    gone.map(|line| format!("-{line}")).chain(come.map(|line| format!("+{line}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_come_and_gone_is_told() {
        let told: Vec<String> = difference("a\nb\n", "b\nc\n").collect();
        assert_eq!(told, ["-a", "+c"]);
        assert_eq!(difference("a\n", "a\n").count(), 0);
    }
}
