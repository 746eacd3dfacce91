//! The groups that `--help` lists the commands in.

use std::fmt::Write;

use clap::builder::StyledStr;
use clap::{Command, Subcommand};

use super::term::style;

/// Each group's title and its commands, in the order of the help. A command that is in no group is not
/// listed, which a test refuses.
const GROUPS: [(&str, &[&str]); 7] = [
    (
        "Check claims",
        &["verify", "test", "property", "coverage", "evidence"],
    ),
    (
        "Inspect a model",
        &[
            "show",
            "ask",
            "patch",
            "ablate",
            "represents",
            "accuracy",
            "explain",
        ],
    ),
    ("Make a model", &["train"]),
    ("Derive claims", &["discover", "graph", "circuit"]),
    ("Report", &["report", "compare"]),
    ("Scale up", &["sweep", "shard"]),
    (
        "Other",
        &["list", "quirks", "selfcheck", "completions", "man", "help"],
    ),
];

/// The template of the help, with the commands of `S` in their groups.
pub fn help_template<S: Subcommand>() -> StyledStr {
    let mut commands = S::augment_subcommands(Command::new("circuitcheck"));
    commands.build();
    let bold = style::TITLE;
    let mut text = String::from("{about-with-newline}\n{usage-heading} {usage}\n");
    let names = GROUPS.iter().flat_map(|(_, names)| *names);
    let width = names.map(|name| name.len()).max().unwrap_or_default();
    for (title, names) in GROUPS {
        let _ = write!(text, "\n{bold}{title}:{bold:#}\n");
        for name in names {
            let command = commands.find_subcommand(name);
            let about = command.and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {bold}{name:width$}{bold:#}  {about}");
        }
    }
    let _ = write!(text, "\n{bold}Options:{bold:#}\n{{options}}{{after-help}}");
    text.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_is_in_one_group_with_a_summary_of_one_line() {
        let mut root = Cli::command();
        root.build();
        let visible = root
            .get_subcommands()
            .filter(|command| !command.is_hide_set());
        let mut names = BTreeSet::new();
        for command in visible {
            let about = command.get_about().map(ToString::to_string);
            let about = about.unwrap_or_default();
            let name = command.get_name();
            assert!((1..=64).contains(&about.len()), "{name}: {about:?}");
            assert!(!about.contains('\n'), "{name}: {about:?}");
            names.insert(name);
        }
        let grouped: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        assert_eq!(grouped.iter().copied().collect::<BTreeSet<_>>(), names);
        assert_eq!(grouped.len(), names.len());
    }
}
