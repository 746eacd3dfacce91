//! The claims and behaviours files: nodes with their tags, and the claims those tags make.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use thiserror::Error;

pub use super::dialect::OlderSpellings;
pub use super::tag::Tag;
use crate::domain::node::{Component, NodeName};
use crate::domain::task::{Task, Variable};
use crate::storage::read_json;

use super::model::without_mark;

/// Largest claims or behaviours file read. The largest network there can be here has some thousand
/// nodes, of half a kilobyte each; read, a byte of JSON may become fifty of memory.
pub const MAX_CLAIMS_BYTES: usize = 4 << 20;

/// Most tags of a file. The largest network published has some 20,000; a claim that is tested, and its
/// place in each report, takes some kilobytes.
pub const MAX_TAGS: usize = 1 << 15;

/// Longest tag, in bytes; those published have about 20.
pub const MAX_TAG_BYTES: usize = 1 << 10;

/// What can be wrong with a claims or behaviours file.
#[derive(Debug, Error)]
pub enum ClaimsError {
    /// A file longer than any that names the nodes of one model.
    #[error("{file}: {bytes} bytes, more than the {MAX_CLAIMS_BYTES} that are read of claims")]
    TooLong { file: String, bytes: usize },
    /// Text that is not JSON, or JSON of another shape.
    #[error(
        "{file}: {source} (expected a list of {{\"position\", \"layer\", \"is_head\", \"num\", \"tags\"}})"
    )]
    Json {
        file: String,
        source: serde_json::Error,
    },
    /// A tag that is not `Major:Minor`.
    #[error("{file}: node {node}: tag {tag:?} has {colons} colons, a tag is Major:Minor with one")]
    Colons {
        file: String,
        node: NodeName,
        tag: String,
        colons: usize,
    },
    /// More tags than the nodes of any network have.
    #[error("{file}: more than the {MAX_TAGS} tags that are read")]
    TooManyTags { file: String },
    /// A tag longer than any that is published.
    #[error(
        "{file}: node {node}: a tag of {bytes} bytes, more than the {MAX_TAG_BYTES} that are read"
    )]
    LongTag {
        file: String,
        node: NodeName,
        bytes: usize,
    },
    /// One node in two entries.
    #[error("{file}: node {node} is listed twice, as entries {first} and {second}")]
    Twice {
        file: String,
        node: NodeName,
        first: usize,
        second: usize,
    },
}

/// One node of a file with its tags.
#[derive(Debug, Clone, PartialEq)]
pub struct TaggedNode {
    /// The node, not yet known to be inside a model.
    pub node: NodeName,
    /// Its tags, in the file's order.
    pub tags: Vec<Tag>,
    /// Keys this program does not know, kept for writing back.
    pub extra: Map<String, Value>,
}

/// The form on disk; private, so that nothing else depends on it.
#[derive(Serialize, Deserialize)]
struct WireNode {
    position: usize,
    layer: usize,
    is_head: bool,
    num: usize,
    tags: Vec<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// Reads a features.json or behaviors.json; `file` names it in errors. Tags in an older dialect are
/// read as today's: [`older_spellings`] says which.
///
/// # Errors
/// [`ClaimsError`], one variant per thing that can be wrong.
pub fn read_tagged_nodes(file: &str, bytes: &[u8]) -> Result<Vec<TaggedNode>, ClaimsError> {
    read_dialect(file, bytes).map(|(nodes, _)| nodes)
}

/// The older spellings in a features.json or behaviors.json; none in a file that cannot be read.
pub fn older_spellings(bytes: &[u8]) -> OlderSpellings {
    read_dialect("", bytes).map_or_else(|_| OlderSpellings::default(), |(_, older)| older)
}

fn read_dialect(
    file: &str,
    bytes: &[u8],
) -> Result<(Vec<TaggedNode>, OlderSpellings), ClaimsError> {
    if bytes.len() > MAX_CLAIMS_BYTES {
        return Err(ClaimsError::TooLong {
            file: file.into(),
            bytes: bytes.len(),
        });
    }
    let wire: Vec<WireNode> =
        read_json(without_mark(bytes)).map_err(|source| ClaimsError::Json {
            file: file.into(),
            source,
        })?;
    if wire.iter().map(|node| node.tags.len()).sum::<usize>() > MAX_TAGS {
        return Err(ClaimsError::TooManyTags { file: file.into() });
    }
    let mut nodes: Vec<TaggedNode> = Vec::with_capacity(wire.len());
    let mut entries: BTreeMap<NodeName, usize> = BTreeMap::new();
    let mut older = OlderSpellings::default();
    for (entry, wire) in wire.into_iter().enumerate() {
        let node = NodeName {
            position: wire.position,
            layer: wire.layer,
            component: if wire.is_head {
                Component::Head(wire.num)
            } else {
                Component::Mlp(wire.num)
            },
        };
        if let Some(first) = entries.insert(node, entry) {
            return Err(ClaimsError::Twice {
                file: file.into(),
                node,
                first,
                second: entry,
            });
        }
        if let Some(long) = wire.tags.iter().find(|tag| tag.len() > MAX_TAG_BYTES) {
            return Err(ClaimsError::LongTag {
                file: file.into(),
                node,
                bytes: long.len(),
            });
        }
        let tags = wire
            .tags
            .into_iter()
            .map(|tag| match tag.parse() {
                Ok(tag) => Ok(older.read(tag)),
                Err(colons) => Err(ClaimsError::Colons {
                    file: file.into(),
                    node,
                    tag,
                    colons,
                }),
            })
            .collect::<Result<_, _>>()?;
        nodes.push(TaggedNode {
            node,
            tags,
            extra: wire.extra,
        });
    }
    Ok((nodes, older))
}

/// Writes nodes in the published form, one line, in the order given.
pub fn write_tagged_nodes(nodes: &[TaggedNode]) -> String {
    let wire: Vec<WireNode> = nodes
        .iter()
        .map(|n| {
            let (is_head, num) = match n.node.component {
                Component::Head(head) => (true, head),
                Component::Mlp(slice) => (false, slice),
            };
            WireNode {
                position: n.node.position,
                layer: n.node.layer,
                is_head,
                num,
                tags: n.tags.iter().map(Tag::to_string).collect(),
                extra: n.extra.clone(),
            }
        })
        .collect();
    serde_json::to_string(&wire).expect("nodes have string keys")
}

/// The file that makes these claims, in the published form.
pub fn write_claims<'a>(claims: impl IntoIterator<Item = &'a (NodeName, Variable)>) -> String {
    let mut nodes: BTreeMap<NodeName, Vec<Tag>> = BTreeMap::new();
    for (node, variable) in claims {
        nodes.entry(*node).or_default().push(Tag {
            major: "Algo".into(),
            minor: variable.to_string(),
        });
    }
    let nodes: Vec<TaggedNode> = nodes
        .into_iter()
        .map(|(node, tags)| TaggedNode {
            node,
            tags,
            extra: Map::new(),
        })
        .collect();
    write_tagged_nodes(&nodes)
}

/// Why an `Algo` tag claims nothing this program can test.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum UntestableTag {
    /// A task outside the vocabulary.
    #[error("unknown task {0:?}")]
    UnknownTask(String),
    /// A task that needs a digit, without one.
    #[error("task {0} needs a digit, such as A2.{0}")]
    NoDigit(Task),
    /// A digit that cannot be read.
    #[error("{0:?} is no digit: expected one such as A2")]
    BadDigit(String),
}

/// One claim: one `Algo` tag on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The node it is made of.
    pub node: NodeName,
    /// The tag's minor part, as the file has it, e.g. `A3.ST`.
    pub text: String,
    /// What is claimed, or why it cannot be tested.
    pub variable: Result<Variable, UntestableTag>,
}

impl Claim {
    /// Reads the minor part of an `Algo` tag: `A3.ST`, `D4.GT`, `A5.ND.A5` (a weak find with the
    /// impact seen), `OPR`.
    pub fn parse(node: NodeName, minor: &str) -> Self {
        Claim {
            node,
            text: minor.into(),
            variable: parse_variable(minor),
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.node, self.text)
    }
}

impl Serialize for Claim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn parse_variable(minor: &str) -> Result<Variable, UntestableTag> {
    let mut parts = minor.split('.');
    let first = parts.next().unwrap_or_default();
    let Some(task) = parts.next() else {
        let task: Task = first
            .parse()
            .map_err(|_| UntestableTag::UnknownTask(first.into()))?;
        return if task.takes_digit() {
            Err(UntestableTag::NoDigit(task))
        } else {
            Ok(Variable { task, digit: None })
        };
    };
    let task: Task = task
        .parse()
        .map_err(|_| UntestableTag::UnknownTask(task.into()))?;
    let digit = first
        .strip_prefix(['A', 'D'])
        .filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|d| d.parse().ok())
        .ok_or_else(|| UntestableTag::BadDigit(first.into()))?;
    Ok(Variable {
        task,
        digit: task.takes_digit().then_some(digit),
    })
}

/// Every claim of a file, in its order. A tag repeated on a node is one claim.
pub fn claims_of(nodes: &[TaggedNode]) -> Vec<Claim> {
    let mut seen = BTreeSet::new();
    nodes
        .iter()
        .flat_map(|n| {
            n.tags
                .iter()
                .filter(|tag| tag.major == "Algo")
                .map(|tag| Claim::parse(n.node, &tag.minor))
        })
        .filter(|claim| seen.insert((claim.node, claim.text.clone())))
        .collect()
}

/// What the nodes of a file without claims have instead, for errors.
pub fn tags_instead_of_claims(nodes: &[TaggedNode]) -> String {
    let majors: BTreeSet<&str> = (nodes.iter())
        .flat_map(|node| node.tags.iter().map(|tag| tag.major.as_str()))
        .collect();
    if majors.is_empty() {
        return "no node has a tag".to_owned();
    }
    let majors: Vec<String> = majors.iter().map(|major| format!("{major}:")).collect();
    format!("the tags there are {}", majors.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<TaggedNode>, ClaimsError> {
        read_tagged_nodes("features.json", text.as_bytes())
    }

    fn entry(tags: &str) -> String {
        format!(r#"{{"position": 9, "layer": 0, "is_head": true, "num": 1, "tags": [{tags}]}}"#)
    }

    fn variable(text: &str) -> Result<Variable, UntestableTag> {
        parse_variable(text)
    }

    #[test]
    fn a_file_that_is_not_json_is_refused_with_its_name() {
        let error = read("[{]").unwrap_err().to_string();
        assert!(
            error.starts_with("features.json: ") && error.contains("line 1 column 3"),
            "{error}"
        );
    }

    #[test]
    fn json_of_another_shape_is_refused_with_the_shape_expected() {
        let error = read(r#"{"claims": 3}"#).unwrap_err().to_string();
        assert!(error.contains("expected a list of"), "{error}");
        let error = read(r#"[{"position": 3}]"#).unwrap_err().to_string();
        assert!(error.contains("missing field `layer`"), "{error}");
    }

    #[test]
    fn a_tag_with_two_colons_is_refused_with_node_and_tag() {
        let error = read(&format!("[{}]", entry(r#""Algo:A1:ST""#))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "features.json: node P9L0H1: tag \"Algo:A1:ST\" has 2 colons, a tag is Major:Minor with one"
        );
        assert!(matches!(
            read(&format!("[{}]", entry(r#""Algo""#))),
            Err(ClaimsError::Colons { colons: 0, .. })
        ));
    }

    #[test]
    fn a_node_listed_twice_is_refused_with_both_entries() {
        let error = read(&format!("[{}, {}]", entry(""), entry(""))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "features.json: node P9L0H1 is listed twice, as entries 0 and 1"
        );
    }

    #[test]
    fn the_published_spellings_of_a_claim_are_read() {
        let st = Variable {
            task: Task::St,
            digit: Some(3),
        };
        assert_eq!(variable("A3.ST"), Ok(st));
        assert_eq!(
            variable("D4.GT"),
            Ok(Variable {
                task: Task::Gt,
                digit: Some(4)
            })
        );
        assert_eq!(
            variable("A5.ND.A5"),
            Ok(Variable {
                task: Task::Nd,
                digit: Some(5)
            })
        );
        assert_eq!(
            variable("OPR"),
            Ok(Variable {
                task: Task::Opr,
                digit: None
            })
        );
    }

    #[test]
    fn a_tag_that_claims_nothing_testable_says_why() {
        assert_eq!(
            variable("A3.XY").unwrap_err().to_string(),
            "unknown task \"XY\""
        );
        assert_eq!(
            variable("ST").unwrap_err().to_string(),
            "task ST needs a digit, such as A2.ST"
        );
        assert_eq!(
            variable("Q3.ST").unwrap_err().to_string(),
            "\"Q3\" is no digit: expected one such as A2"
        );
        assert_eq!(
            variable("A.ST").unwrap_err(),
            UntestableTag::BadDigit("A".into())
        );
    }

    #[test]
    fn the_claims_of_an_older_dialect_are_claims() {
        let file = format!(
            "[{}]",
            entry(r#""Algorithm:A3.BA", "Algo:A3.SA", "Algorithm:D2.TC", "FailPerc:3""#)
        );
        let claims: Vec<String> = claims_of(&read(&file).unwrap())
            .iter()
            .map(Claim::to_string)
            .collect();
        assert_eq!(claims, ["P9L0H1 A3.SA", "P9L0H1 A2.ST"]);
        assert_eq!(
            older_spellings(file.as_bytes()).to_string(),
            "3 tags in an older dialect: Algorithm: as Algo:, BA as SA, FailPerc: as Fail%:, TC as ST"
        );
        assert!(older_spellings(b"[{]").is_empty());
    }

    #[test]
    fn a_file_without_claims_says_which_tags_it_has() {
        let nodes = read(&format!("[{}]", entry(r#""Fail%:3", "Attn:P1=5""#))).unwrap();
        assert_eq!(
            tags_instead_of_claims(&nodes),
            "the tags there are Attn:, Fail%:"
        );
        let nodes = read(&format!("[{}]", entry(""))).unwrap();
        assert_eq!(tags_instead_of_claims(&nodes), "no node has a tag");
    }

    #[test]
    fn unknown_majors_and_unknown_keys_survive_a_round_trip() {
        let text = r#"[{"position":9,"layer":0,"is_head":false,"num":0,"tags":["Probe:A3.LINXFER=96","New:x"],"note":{"a":[1]}}]"#;
        assert_eq!(write_tagged_nodes(&read(text).unwrap()), text);
    }

    proptest! {
        #[test]
        fn tags_round_trip(major in "[A-Za-z%.]{1,8}", minor in "[A-Za-z0-9.=]{0,12}") {
            let tag = Tag { major, minor };
            prop_assert_eq!(tag.to_string().parse::<Tag>().unwrap(), tag);
        }

        #[test]
        fn variables_round_trip(task in proptest::sample::select(Task::all().collect::<Vec<_>>()), digit in 0usize..40) {
            let variable = Variable { task, digit: task.takes_digit().then_some(digit) };
            prop_assert_eq!(parse_variable(&variable.to_string()), Ok(variable));
        }
    }
}
