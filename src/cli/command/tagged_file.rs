//! What a features.json or behaviors.json holds, in numbers and node by node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use circuitcheck::analysis::opening::older_dialect;
use circuitcheck::domain::node::NodeName;
use circuitcheck::domain::plain::one_line;
use circuitcheck::domain::shape::Shape;
use circuitcheck::inputs::claims::{claims_of, read_tagged_nodes};
use circuitcheck::inputs::model::RawFile;
use serde::Serialize;

use super::hub::tell_news;
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Where a file was found, and the digest of its content.
#[derive(Debug, Clone, Serialize)]
pub struct FoundFile {
    path: PathBuf,
    sha256: String,
}

impl From<&RawFile> for FoundFile {
    fn from(file: &RawFile) -> Self {
        Self {
            path: file.path.clone(),
            sha256: file.sha256.clone(),
        }
    }
}

impl fmt::Display for FoundFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display().to_string();
        write!(f, "{}  sha256 {}", one_line(&path), self.sha256)
    }
}

/// The nodes of one or more files, and how often what is said of them.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TagSummary {
    /// Tags of each node, as the files have them.
    pub nodes: NodeTags,
    /// Nodes that have a tag with this part before the colon.
    tags: BTreeMap<String, usize>,
    claims: BTreeMap<String, usize>,
    /// Claims that can't be tested, and why.
    untestable: Vec<UntestableClaim>,
}

/// Tags of each node; a list of objects in JSON.
#[derive(Debug, Clone, Default)]
pub struct NodeTags(BTreeMap<NodeName, Vec<String>>);

impl NodeTags {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Debug, Clone, Serialize)]
struct UntestableClaim {
    claim: String,
    reason: String,
}

impl Serialize for NodeTags {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct TaggedEntry<'a> {
            node: &'a NodeName,
            tags: &'a [String],
        }
        serializer.collect_seq(self.0.iter().map(|(node, tags)| TaggedEntry { node, tags }))
    }
}

impl TagSummary {
    /// Adds what a file says. With a shape, nodes outside that model are listed as `verify` lists them:
    /// their claims cannot be tested.
    ///
    /// # Errors
    /// If the file can't be understood.
    pub fn add(&mut self, file: &RawFile, shape: Option<&Shape>) -> Result<(), CliError> {
        let shown = file.path.display();
        let nodes = read_tagged_nodes(&shown.to_string(), &file.bytes)?;
        let outside = |node: &NodeName| shape.and_then(|shape| node.resolve(shape).err());
        let faults: Vec<_> = nodes
            .iter()
            .filter_map(|tagged| outside(&tagged.node))
            .collect();
        if let Some(first) = faults.first() {
            let others = match faults.len() {
                1 => String::new(),
                count => format!(", and {} more nodes are outside it", count - 1),
            };
            warn(format_args!("{shown}: {first}{others}"));
        }
        for claim in claims_of(&nodes) {
            match (&claim.variable, outside(&claim.node)) {
                (Ok(_), Some(error)) => self.untestable.push(UntestableClaim {
                    claim: claim.to_string(),
                    reason: error.to_string(),
                }),
                (Ok(variable), None) => {
                    *self.claims.entry(variable.task.to_string()).or_default() += 1;
                }
                (Err(reason), _) => self.untestable.push(UntestableClaim {
                    claim: claim.to_string(),
                    reason: reason.to_string(),
                }),
            }
        }
        for tagged in nodes {
            let majors: BTreeSet<&String> = tagged.tags.iter().map(|tag| &tag.major).collect();
            for major in majors {
                *self.tags.entry(major.clone()).or_default() += 1;
            }
            let tags = self.nodes.0.entry(tagged.node).or_default();
            tags.extend(tagged.tags.iter().map(ToString::to_string));
        }
        Ok(())
    }
}

impl fmt::Display for TagSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |counts: &BTreeMap<String, usize>| {
            let parts: Vec<String> = counts
                .iter()
                .map(|(what, count)| format!("{what} {count}"))
                .collect();
            if parts.is_empty() {
                "none".to_owned()
            } else {
                parts.join(", ")
            }
        };
        let (heads, mlps): (Vec<&NodeName>, Vec<_>) =
            self.nodes.0.keys().partition(|node| node.is_head());
        let mut table = Table::new([Side::Left; 3]);
        for (what, said) in [
            (
                "nodes",
                format!("{} heads, {} MLPs", heads.len(), mlps.len()),
            ),
            ("with tags", counted(&self.tags)),
            ("claims", counted(&self.claims)),
        ] {
            table.row([Cell::styled(what, style::TITLE), said.into()]);
        }
        for untestable in &self.untestable {
            table.row([
                Cell::styled("untestable", style::WRONG),
                format!("{}: {}", untestable.claim, untestable.reason).into(),
            ]);
        }
        table.fmt(f)
    }
}

/// A line for each node.
pub fn node_table(nodes: &NodeTags) -> Table {
    let mut table = Table::new([Side::Left; 3]);
    table.heading(["node", "tags"]);
    for (node, tags) in &nodes.0 {
        table.row([Cell::from(node), tags.join(" ").into()]);
    }
    table
}

/// Reads a features.json or behaviors.json that the command line names, with a note if it is in an
/// older dialect.
///
/// # Errors
/// If it can't be read.
pub fn read_tagged_file(path: &Path) -> Result<RawFile, CliError> {
    let file = RawFile::read(path)?;
    note_older_spellings(&file);
    Ok(file)
}

/// Notes that a file is in an older dialect, if it is.
pub fn note_older_spellings(file: &RawFile) {
    if let Some(news) = older_dialect(file) {
        tell_news(news);
    }
}

/// A file of tags on its own.
#[derive(Debug, Serialize)]
pub struct TaggedFile {
    #[serde(flatten)]
    found: FoundFile,
    #[serde(flatten)]
    summary: TagSummary,
}

impl TaggedFile {
    /// Reads a file.
    ///
    /// # Errors
    /// If it can't be read or understood.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        let file = read_tagged_file(path)?;
        let mut summary = TagSummary::default();
        summary.add(&file, None)?;
        Ok(Self {
            found: FoundFile::from(&file),
            summary,
        })
    }
}

impl fmt::Display for TaggedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", self.found, self.summary)?;
        node_table(&self.summary.nodes).fmt(f)
    }
}
