//! `diff`: what differs between two claims or behaviours files.

use std::fmt;
use std::path::PathBuf;

use circuitcheck::inputs::claims::{Tag, TaggedNode, read_tagged_nodes};
use circuitcheck::inputs::claims_diff::{Difference, Presence};
use circuitcheck::inputs::model::RawFile;
use clap::Args;
use serde::Serialize;

use super::tagged_file::read_tagged_file;
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::JsonArg;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Compare two behaviors.json or features.json, node by node and tag by tag
///
/// A line stands for each node of which the files say different things: the tags that the first
/// alone has, then those that the second alone has. The order of nodes and of tags counts.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck diff models/add/behaviors.json found/behaviors.json
  circuitcheck diff --json models/add/features.json found/features.json")]
#[command(after_long_help = "\
Examples:
  circuitcheck diff models/add/behaviors.json found/behaviors.json
  circuitcheck diff --json models/add/features.json found/features.json

Ends with exit code 1 if anything differs.

Keys of --json:
  files      both paths, and the digest of each file
  nodes      for each node that differs: node, listed (\"both\", \"first\" or \"second\"), first and
             second (tags that one file alone has), reordered, keys (unknown keys that differ)
  reordered  whether the nodes that both files list stand in another order")]
pub struct Diff {
    /// The first file
    #[arg(value_name = "A")]
    first: PathBuf,
    /// The second file
    #[arg(value_name = "B")]
    second: PathBuf,
    #[command(flatten)]
    format: JsonArg,
}

impl Diff {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let (first, second) = (
            read_tagged_file(&self.first)?,
            read_tagged_file(&self.second)?,
        );
        let difference = Difference::between(&nodes(&first)?, &nodes(&second)?);
        let code = if difference.is_empty() {
            ExitCode::Success
        } else {
            ExitCode::Refuted
        };
        self.format.print(&FilesCompared {
            files: [ComparedFile::from(&first), ComparedFile::from(&second)],
            difference,
        })?;
        Ok(code)
    }
}

fn nodes(file: &RawFile) -> Result<Vec<TaggedNode>, CliError> {
    Ok(read_tagged_nodes(
        &file.path.display().to_string(),
        &file.bytes,
    )?)
}

#[derive(Debug, Serialize)]
struct ComparedFile {
    path: PathBuf,
    sha256: String,
}

impl From<&RawFile> for ComparedFile {
    fn from(file: &RawFile) -> Self {
        ComparedFile {
            path: file.path.clone(),
            sha256: file.sha256.clone(),
        }
    }
}

#[derive(Debug, Serialize)]
struct FilesCompared {
    files: [ComparedFile; 2],
    #[serde(flatten)]
    difference: Difference,
}

impl fmt::Display for FilesCompared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let difference = &self.difference;
        if difference.is_empty() {
            return writeln!(f, "nothing differs");
        }
        let [first, second] = &self.files;
        let mut table = Table::new([Side::Left; 3]);
        table.heading([
            "node".to_owned(),
            format!("only in {}", first.path.display()),
            format!("only in {}", second.path.display()),
        ]);
        let joined = |tags: &[Tag]| -> String {
            let texts: Vec<String> = tags.iter().map(Tag::to_string).collect();
            texts.join(" ")
        };
        for node in &difference.nodes {
            let side = |tags: &[Tag], missing: bool| {
                let text = joined(tags);
                match (missing, text.is_empty()) {
                    (true, _) => "the node is not listed".to_owned(),
                    (false, true) => "-".to_owned(),
                    (false, false) => text,
                }
            };
            let mut second = side(&node.second, node.listed == Presence::First);
            if node.reordered {
                second += " (shared tags in another order)";
            }
            for key in &node.keys {
                second += &format!(" (another {key:?})");
            }
            table.row([
                Cell::from(node.node),
                Cell::styled(
                    side(&node.first, node.listed == Presence::Second),
                    style::WRONG,
                ),
                Cell::styled(second, style::RIGHT),
            ]);
        }
        table.fmt(f)?;
        if difference.reordered {
            writeln!(f, "the nodes stand in another order")?;
        }
        let count = difference.nodes.len();
        writeln!(
            f,
            "\n{count} {} differ",
            if count == 1 { "node" } else { "nodes" }
        )
    }
}
