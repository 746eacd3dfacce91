//! Names of nodes and tasks as people write them: in either case, with commas between them.

use circuitcheck::domain::node::NodeName;
use circuitcheck::domain::site::Site;
use circuitcheck::domain::task::Task;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Nodes that a command is about, one or more.
#[derive(Debug, Clone, Args)]
pub struct NodesArg {
    /// Nodes, e.g. P15L0H2 (a head) or P15L0M0 (an MLP): a list with commas, or the option repeated
    #[arg(
        long = "node",
        value_name = "NODE",
        value_delimiter = ',',
        value_parser = node
    )]
    pub nodes: Vec<NodeName>,
}

/// Sites that a command acts on, one or more.
#[derive(Debug, Clone, Args)]
pub struct SitesArg {
    /// Nodes, e.g. P15L0H2 (a head) or P15L0M0 (an MLP), or other sites, e.g. P15L0 (the residual stream
    /// after a layer), P15L0.resid_mid, P15L0H2.q or blocks.0.mlp.hook_pre[15][0:64]: a list with commas,
    /// or the option repeated
    #[arg(
        long = "node",
        visible_alias = "site",
        value_name = "SITE",
        value_delimiter = ',',
        required = true,
        value_parser = site
    )]
    pub sites: Vec<Site>,
}

/// Reads the name of a site.
pub fn site(text: &str) -> Result<Site, String> {
    let text = text.trim();
    // In either case up to the hook's name, which has none in upper case.
    let upper = match text.find(['.', '[']) {
        _ if !text.starts_with(['p', 'P']) => text.to_owned(),
        Some(end) => format!("{}{}", text[..end].to_ascii_uppercase(), &text[end..]),
        None => text.to_ascii_uppercase(),
    };
    if let Some((place, slice)) = upper.split_once("MLP")
        && !slice.is_empty()
    {
        return Err(format!("MLPs are written {place}M{slice}"));
    }
    let read = upper.parse::<Site>();
    read.map_err(|error| format!("{error}").replace(&upper, text))
}

/// Reads the name of a node.
pub fn node(text: &str) -> Result<NodeName, String> {
    let upper = text.trim().to_ascii_uppercase();
    upper
        .parse()
        .map_err(|error| match upper.split_once("MLP") {
            Some((place, slice)) => {
                let slice = if slice.is_empty() { "0" } else { slice };
                format!("MLPs are written {place}M{slice}")
            }
            None => format!("{error}").replace(&upper, text),
        })
}

/// Reads the name of a task.
pub fn task() -> impl TypedValueParser<Value = Task> {
    let names = Task::all().map(Task::name);
    // `ignore_case` of the option lets lower case through.
    PossibleValuesParser::new(names).try_map(|name| name.to_ascii_uppercase().parse::<Task>())
}

/// The name that `given` is most likely meant to be, if one is near.
pub fn nearest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Jaro similarity above which clap, too, suggests a name.
    const NEAR: f64 = 0.7;
    let near = |name: &'a str| (strsim::jaro(given, name), name);
    let scored = names
        .into_iter()
        .map(near)
        .filter(|(score, _)| *score > NEAR);
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_read_in_either_case() {
        for text in ["p12l0h1", "P12L0H1", " P12L0H1"] {
            assert_eq!(node(text).unwrap().to_string(), "P12L0H1");
        }
    }

    #[test]
    fn an_mlp_by_its_long_name_is_corrected() {
        assert_eq!(node("P12L0MLP0").unwrap_err(), "MLPs are written P12L0M0");
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let names = ["answers", "commutes", "local"];
        assert_eq!(nearest("comutes", names), Some("commutes"));
        assert_eq!(nearest("P9L0H1 A1.ST", names), None);
    }
}
