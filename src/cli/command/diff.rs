//! `compare` of two files of claims or behaviours: what differs between them.

use std::fmt;
use std::path::PathBuf;

use circuitcheck::inputs::claims::{Tag, TaggedNode, read_tagged_nodes};
use circuitcheck::inputs::claims_diff::{Difference, Presence};
use circuitcheck::inputs::model::RawFile;
use serde::Serialize;

use crate::cli::term::error::CliError;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Whether a file holds tags: a JSON list.
pub fn is_tags(file: &RawFile) -> bool {
    let first = file.bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    first == Some(&b'[')
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
pub struct FilesCompared {
    files: [ComparedFile; 2],
    #[serde(flatten)]
    difference: Difference,
}

impl FilesCompared {
    /// # Errors
    /// If one is no file of tags.
    pub fn of(first: &RawFile, second: &RawFile) -> Result<Self, CliError> {
        Ok(Self {
            files: [ComparedFile::from(first), ComparedFile::from(second)],
            difference: Difference::between(&nodes(first)?, &nodes(second)?),
        })
    }

    pub fn is_same(&self) -> bool {
        self.difference.is_empty()
    }
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
