//! Results of other commands that a report includes, and the options that reproduce them.

use crate::analysis::circuit::{self, CircuitEvidence};
use crate::analysis::graph::{self, GraphEvidence};
use crate::analysis::property::{self, evidence::PropertyEvidence};
use crate::experiment::Rules;

/// What a file beside the evidence holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// Tested properties of the answers.
    Property,
    /// The dependency graph.
    Graph,
    /// How well nodes do alone.
    Circuit,
}

impl PartKind {
    pub(super) const ALL: [PartKind; 3] = [PartKind::Property, PartKind::Graph, PartKind::Circuit];

    /// The file it stands in.
    pub const fn file(self) -> &'static str {
        match self {
            PartKind::Property => "property.json",
            PartKind::Graph => "graph.json",
            PartKind::Circuit => "circuit.json",
        }
    }

    /// What makes it where it is not there: a command of this program and its options, without the model
    /// and the place.
    pub fn usual_arguments(self) -> Vec<String> {
        let command: &[&str] = match self {
            PartKind::Property => &["property"],
            PartKind::Graph => &["graph", "--measure"],
            PartKind::Circuit => &["circuit"],
        };
        command.iter().map(|&word| word.to_owned()).collect()
    }
}

/// A result of another command.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPart {
    pub kind: PartKind,
    /// What makes it, or made it as far as it tells: a command of this program and its options, without the
    /// model and the place.
    pub arguments: Vec<String>,
    /// What the file holds; `None` where it is not there.
    pub found: Option<FoundPart>,
    /// Whether it is of other weights than the evidence or, for a graph, of other verdicts.
    pub of_other_evidence: bool,
}

impl StoredPart {
    /// A result that is not there.
    pub(super) fn absent(kind: PartKind) -> Self {
        Self {
            kind,
            arguments: kind.usual_arguments(),
            found: None,
            of_other_evidence: false,
        }
    }
}

/// A result that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundPart {
    pub content: PartContent,
    /// SHA-256 of its file.
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum PartContent {
    /// Tested properties of the answers.
    Property(PropertyEvidence),
    /// A graph, which is [`super::Report::graph`] where it is of this evidence.
    Graph,
    /// How well nodes do alone.
    Circuit(CircuitEvidence),
}

/// An option with its value, where that is not the usual one.
fn unusual<T: PartialEq + ToString>(option: &str, value: T, usual: T) -> Vec<String> {
    match value == usual {
        true => Vec::new(),
        false => vec![option.to_owned(), value.to_string()],
    }
}

/// What made these properties: the usual command, with the options that are not the usual ones.
pub(super) fn property_arguments(made: &PropertyEvidence) -> Vec<String> {
    let options = property::PropertyOptions::default();
    let decode = options.decode.name();
    [
        PartKind::Property.usual_arguments(),
        unusual("--cases", made.cases, options.cases),
        unusual("--seed", made.seed, options.seed),
        unusual("--decode", made.decode.as_str(), decode),
    ]
    .concat()
}

pub(super) fn graph_arguments(made: &GraphEvidence) -> Vec<String> {
    let Some(protocol) = &made.graph.protocol else {
        return vec!["graph".into()];
    };
    let method = Rules::default();
    [
        PartKind::Graph.usual_arguments(),
        unusual("--trials", protocol.trials, graph::TRIALS),
        unusual("--alpha", protocol.alpha, method.alpha),
        unusual("--seed", protocol.seed, method.seed),
    ]
    .concat()
}

pub(super) fn circuit_arguments(made: &CircuitEvidence) -> Vec<String> {
    let method = Rules::default();
    [
        PartKind::Circuit.usual_arguments(),
        circuits(made),
        unusual("--questions", made.questions, circuit::QUESTIONS),
        unusual("--random-sets", made.random_sets, circuit::RANDOM_SETS),
        unusual("--until", made.until, circuit::ENOUGH),
        unusual("--alpha", made.alpha, method.alpha),
        unusual("--seed", made.seed, method.seed),
    ]
    .concat()
}

/// The options that name the circuits of a file, and what was done with them.
fn circuits(made: &CircuitEvidence) -> Vec<String> {
    let mut options: Vec<String> = Vec::new();
    for circuit in &made.circuits {
        match circuit.from.as_str() {
            from if circuit.tested.is_some() => {
                options.extend(["--hypothesis", from].map(str::to_owned));
            }
            "features.json" => options.push("--claims".into()),
            "behaviors.json" => options.push("--behaviors".into()),
            file => options.extend(["--nodes", file].map(str::to_owned)),
        }
    }
    // Without any of these the claims are what a circuit is made of.
    if options == ["--claims"] {
        options.clear();
    }
    let circuits = || made.circuits.iter();
    for (option, was_done) in [
        ("--minimality", circuits().any(|c| !c.minimality.is_empty())),
        ("--grow", circuits().any(|c| !c.grown.is_empty())),
        ("--prune", circuits().any(|c| c.pruned.is_some())),
        ("--tests", circuits().any(|c| c.tests.is_some())),
    ] {
        if was_done {
            options.push(option.into());
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::shape::Shape;
    use serde_json::json;

    const SHAPE: Shape = Shape::EXAMPLE;

    fn read<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> T {
        serde_json::from_value(json).unwrap()
    }

    fn property(cases: usize, seed: u64, decode: &str) -> String {
        let made = read(json!({
            "schema": property::evidence::SCHEMA, "model": "m", "weights_sha256": "", "operations": "",
            "shape": SHAPE, "cases": cases, "seed": seed, "decode": decode, "alpha": 0.01,
            "properties": [], "nodes": [],
        }));
        property_arguments(&made).join(" ")
    }

    fn graph(protocol: serde_json::Value) -> String {
        let made = read(json!({
            "schema": graph::SCHEMA, "model": "m", "weights_sha256": "", "shape": SHAPE,
            "protocol": protocol, "vertices": [], "edges": [], "left_out": [],
        }));
        graph_arguments(&made).join(" ")
    }

    fn circuit(seed: u64, circuits: serde_json::Value) -> String {
        let mut made: CircuitEvidence = read(json!({
            "schema": circuit::SCHEMA, "model": "m", "weights_sha256": "", "shape": SHAPE,
            "questions": 300, "random_sets": 20, "alpha": 0.01, "until": 0.99, "seed": seed,
            "available": 100, "useful": [], "circuits": [],
        }));
        for circuit in circuits.as_array().unwrap() {
            let mut whole = json!({"nodes": [], "scores": [], "covered": []});
            let given = circuit.as_object().unwrap().clone();
            whole.as_object_mut().unwrap().extend(given);
            made.circuits.push(read(whole));
        }
        circuit_arguments(&made).join(" ")
    }

    #[test]
    fn what_is_usual_is_not_said() {
        assert_eq!(property(100_000, 1, "forced"), "property");
        let usual = json!({"trials": 256, "alpha": 0.01, "seed": 1, "measurements": 1});
        assert_eq!(graph(usual), "graph --measure");
        assert_eq!(circuit(1, json!([{"from": "features.json"}])), "circuit");
    }

    #[test]
    fn what_is_not_usual_is_said() {
        assert_eq!(
            property(1000, 7, "free"),
            "property --cases 1000 --seed 7 --decode free"
        );
        assert_eq!(graph(json!(null)), "graph");
        let count = json!({"hits": 1, "trials": 2});
        let node = json!({"node": "P9L0H1", "right": count, "random": count, "loss": 0.5});
        let circuits = json!([
            {"from": "features.json"},
            {"from": "behaviors.json", "minimality": [node], "grown": [node]},
            {"from": "mine.txt"},
            {
                "from": "hypotheses/sums.toml",
                "tested": {"hypothesis": "", "holds": true, "clauses": [], "explained": [], "circuit": []},
                "pruned": {"nodes": [], "right": count},
                "tests": {"classes": []},
            },
        ]);
        assert_eq!(
            circuit(7, circuits),
            "circuit --claims --behaviors --nodes mine.txt --hypothesis hypotheses/sums.toml --minimality --grow --prune --tests --seed 7"
        );
    }
}
