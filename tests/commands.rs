//! docs/COMMANDS.md is what the program says of its commands.

mod common;

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

/// What a command prints with `--help`.
fn help(command: &[&str]) -> String {
    let mut program = common::program();
    program.args(command).arg("--help").env("COLUMNS", "100");
    let output = program.output().unwrap();
    assert!(output.status.success(), "{command:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// The commands named in a help text: two spaces, a name, and what it does.
fn commands(help: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut in_commands = false;
    for line in help.lines() {
        let is_heading = !line.starts_with(' ') && line.ends_with(':');
        if is_heading {
            in_commands = line != "Options:" && line != "Arguments:" && line != "Examples:";
        }
        let name = line
            .strip_prefix("  ")
            .and_then(|line| line.split(' ').next());
        let is_name = |name: &&str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        };
        if in_commands && let Some(name) = name.filter(is_name) {
            names.push(name.to_owned());
        }
    }
    names.retain(|name| name != "help");
    names
}

#[test]
fn the_page_of_commands_is_their_help() {
    let whole = help(&[]);
    let mut page = String::from(
        "# Commands\n\nEvery command as `circuitcheck COMMAND --help` describes it. \
         The test in tests/commands.rs holds this page to it, and writes it again with \
         `UPDATE_DOCS=1 cargo test --release --test commands`.\n\n",
    );
    write!(page, "```text\n{whole}\n```\n").unwrap();
    let names = commands(&whole);
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let text = help(&[&name]);
        write!(page, "\n## {name}\n\n```text\n{text}\n```\n").unwrap();
        if name == "shard" {
            for below in commands(&text) {
                let text = help(&[&name, &below]);
                write!(page, "\n### {name} {below}\n\n```text\n{text}\n```\n").unwrap();
            }
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/COMMANDS.md");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == page,
        "docs/COMMANDS.md is out of date; see its first line"
    );
}
