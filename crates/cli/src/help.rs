//! The texts of the help, so that they read well however wide the terminal is.
//!
//! In the source they are wrapped as everything else there. Paragraphs lose that here, and clap wraps
//! them anew; what is indented, as lists of names and meanings are, is wrapped here for 80 columns.

use clap::Command;
use clap::builder::StyledStr;

/// As wide as what is indented gets.
const WIDTH: usize = 79;

/// The same command line with texts that are not wrapped by hand.
pub(crate) fn reflowed(mut command: Command) -> Command {
    let texts = [
        (command.get_after_help().map(text), Command::after_help as fn(Command, String) -> Command),
        (command.get_after_long_help().map(text), Command::after_long_help),
        (command.get_about().map(text), Command::about),
        (command.get_long_about().map(text), Command::long_about),
    ];
    for (text, set) in texts {
        if let Some(text) = text {
            command = set(command, reflow(&text));
        }
    }
    command.mut_subcommands(reflowed)
}

fn text(styled: &StyledStr) -> String {
    styled.to_string()
}

/// Joins the lines of paragraphs, and wraps what is indented.
fn reflow(text: &str) -> String {
    let mut blocks: Vec<Block> = Vec::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match blocks.last_mut() {
            Some(block) if block.continues(line, indent) => block.add(line, indent),
            _ => blocks.push(Block { indent, hanging: None, text: line.trim_end().to_owned() }),
        }
    }
    blocks.iter().map(Block::wrapped).collect::<Vec<_>>().join("\n")
}

/// A paragraph, or one entry of a list.
struct Block {
    indent: usize,
    /// Where its further lines begin.
    hanging: Option<usize>,
    text: String,
}

impl Block {
    /// Whether a line goes on with this block.
    fn continues(&self, line: &str, indent: usize) -> bool {
        if line.trim().is_empty() || self.text.is_empty() {
            return false;
        }
        match self.indent {
            0 => indent == 0 && !self.text.ends_with(':'),
            own => indent > own && self.hanging.is_none_or(|hanging| hanging == indent),
        }
    }

    fn add(&mut self, line: &str, indent: usize) {
        // Names that leave no room have their meaning on a line of its own.
        let is_first = self.indent > 0 && self.hanging.is_none();
        if self.indent > 0 {
            self.hanging = Some(indent);
        }
        let column = self.text.chars().count();
        if is_first && column < indent && !self.has_meaning() {
            self.text.push_str(&" ".repeat(indent - column));
        } else {
            self.text.push(' ');
        }
        self.text.push_str(line.trim());
    }

    /// Whether a meaning stands behind the name.
    fn has_meaning(&self) -> bool {
        self.text.trim_start().contains("  ")
    }

    fn wrapped(&self) -> String {
        if self.indent == 0 {
            return self.text.clone();
        }
        let meaning = || {
            let name = self.indent + self.text.trim_start().find("  ")?;
            let gap = self.text.get(name..)?;
            Some(name + gap.len() - gap.trim_start().len())
        };
        let hanging = self.hanging.or_else(meaning).unwrap_or(self.indent);
        let mut lines: Vec<String> = Vec::new();
        let mut line = String::new();
        // What stands in columns keeps them: only what is behind the last one is wrapped.
        let (head, rest) = self.text.split_at(head_end(&self.text, hanging));
        line.push_str(head);
        for word in rest.split_whitespace() {
            let is_begun = line.chars().count() > hanging || !line.trim().is_empty();
            if is_begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
                lines.push(std::mem::replace(&mut line, " ".repeat(hanging)));
            } else if !line.is_empty() && !line.ends_with(' ') {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
        lines.join("\n")
    }
}

/// Where the columns of a text end that goes on at this column.
fn head_end(text: &str, hanging: usize) -> usize {
    match text.get(..hanging) {
        Some(head) if head.ends_with(' ') => hanging,
        _ => text.len() - text.trim_start().len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_one_line_and_lists_are_wrapped() {
        let long = "word ".repeat(20);
        let text = format!(
            "One\nparagraph.\n\nA list:\n  name     meaning\n           goes on\n  n, long_name\n           \
             meaning\n  other    {long}\nJSON: no\nlist."
        );
        let wrapped = reflow(&text);
        let expected =
            "One paragraph.\n\nA list:\n  name     meaning goes on\n  n, long_name meaning\n";
        assert!(wrapped.starts_with(expected), "{wrapped}");
        assert!(wrapped.contains("\n           word word"), "{wrapped}");
        assert!(wrapped.ends_with("\nJSON: no list."), "{wrapped}");
        assert!(wrapped.lines().all(|line| line.len() <= WIDTH), "{wrapped}");
    }
}
