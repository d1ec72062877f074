//! `rserpool man`: the manual, a page for each command.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap_mangen::Man;

use crate::args::Args as All;
use crate::output::Output;

/// Write the manual, a page for each command.
///
/// The pages are rserpool.1 and, for each command, such as rserpool-registrar.1.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory, which is made where it is not there.
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let failed = || format!("cannot write to {}", self.directory.display());
        fs::create_dir_all(&self.directory).with_context(failed)?;
        for (name, page) in pages()? {
            fs::write(self.directory.join(&name), page).with_context(failed)?;
            output.line(self.directory.join(name).display())?;
        }
        Ok(())
    }
}

/// The pages with their names.
fn pages() -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut all = All::command_line();
    all.build();
    let program = all.get_name().to_owned();
    let mut pages = vec![(format!("{program}.1"), page(&all)?)];
    for command in all.get_subcommands().filter(|it| !it.is_hide_set()) {
        if command.get_name() == "help" {
            continue;
        }
        let name = format!("{program}-{}", command.get_name());
        let command = command.clone().name(name.clone()).display_name(name.clone());
        pages.push((format!("{name}.1"), page(&command)?));
    }
    Ok(pages)
}

fn page(command: &clap::Command) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_options_and_the_exit_codes() {
        let pages = pages().unwrap();
        let named = |name: &str| {
            let page = pages.iter().find(|(it, _)| it == name).unwrap();
            String::from_utf8(page.1.clone()).unwrap()
        };
        let registrar = named("rserpool-registrar.1");
        assert!(registrar.contains("\\-\\-admin") && registrar.contains("Exit codes"));
        assert!(named("rserpool.1").contains("rserpool\\-registrar(1)"));
        let commands = All::command_line();
        let visible = commands.get_subcommands().filter(|it| !it.is_hide_set()).count();
        assert_eq!(pages.len(), visible + 1);
    }
}
