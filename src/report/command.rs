//! The commands that make what a report takes in, as its files say how they were made.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::analysis::{circuit, graph, property};
use crate::verify;

/// What makes a part of a report that is not there.
pub fn usual(file: &str) -> Vec<String> {
    let command: &[&str] = match file {
        super::document::GRAPH_FILE => &["graph", "--measure"],
        super::document::CIRCUIT_FILE => &["circuit"],
        _ => &["property"],
    };
    command.iter().map(|&word| word.to_owned()).collect()
}

/// What makes a part of a report again: the usual command, with the options that the file tells of and
/// that are not the usual ones.
pub fn again(file: &str, made: &Value) -> Vec<String> {
    let mut command = usual(file);
    if file == super::document::GRAPH_FILE && made["protocol"].is_null() {
        command.retain(|word| word != "--measure");
        return command;
    }
    let method = verify::Options::default();
    let usual: Vec<(&str, &str, Value)> = match file {
        super::document::GRAPH_FILE => vec![
            ("--trials", "/protocol/trials", json!(graph::TRIALS)),
            ("--alpha", "/protocol/alpha", json!(method.alpha)),
            ("--seed", "/protocol/seed", json!(method.seed)),
        ],
        super::document::CIRCUIT_FILE => {
            command.extend(circuits(made));
            vec![
                ("--questions", "/questions", json!(circuit::QUESTIONS)),
                ("--random-sets", "/random_sets", json!(circuit::RANDOM_SETS)),
                ("--until", "/until", json!(circuit::ENOUGH)),
                ("--alpha", "/alpha", json!(method.alpha)),
                ("--seed", "/seed", json!(method.seed)),
            ]
        }
        _ => {
            let options = property::PropertyOptions::default();
            vec![
                ("--cases", "/cases", json!(options.cases)),
                ("--seed", "/seed", json!(options.seed)),
                ("--decode", "/decode", json!("forced")),
            ]
        }
    };
    for (option, place, usual) in usual {
        if let Some(found) = made.pointer(place).filter(|&found| *found != usual) {
            let value = found
                .as_str()
                .map_or_else(|| found.to_string(), str::to_owned);
            command.extend([option.to_owned(), value]);
        }
    }
    command
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_./:@%+,=-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The options that name the circuits of a file, and what was done with them.
fn circuits(made: &Value) -> Vec<String> {
    let circuits = made["circuits"].as_array().map_or(&[][..], Vec::as_slice);
    let mut options = Vec::new();
    for circuit in circuits {
        let from = circuit["from"].as_str().unwrap_or_default();
        match from {
            _ if circuit.get("tested").is_some() => {
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
    let keys: BTreeSet<&str> = (circuits.iter())
        .filter_map(Value::as_object)
        .flat_map(|circuit| circuit.keys().map(String::as_str))
        .collect();
    for (option, key) in [
        ("--minimality", "minimality"),
        ("--grow", "grown"),
        ("--prune", "pruned"),
    ] {
        if keys.contains(key) {
            options.push(option.into());
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        assert_eq!(quoted("models/w126_add"), "models/w126_add");
        assert_eq!(quoted("my model"), "'my model'");
        assert_eq!(quoted("x; rm it's"), r"'x; rm it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn what_is_usual_is_not_said() {
        let property = json!({"cases": 100_000, "seed": 1, "decode": "forced"});
        assert_eq!(again("property.json", &property).join(" "), "property");
        let graph = json!({"protocol": {"trials": 256, "alpha": 0.01, "seed": 1}});
        assert_eq!(again("graph.json", &graph).join(" "), "graph --measure");
        let circuit =
            json!({"questions": 300, "until": 0.99, "circuits": [{"from": "features.json"}]});
        assert_eq!(again("circuit.json", &circuit).join(" "), "circuit");
    }

    #[test]
    fn what_is_not_usual_is_said() {
        let property = json!({"cases": 1000, "seed": 7, "decode": "free"});
        assert_eq!(
            again("property.json", &property).join(" "),
            "property --cases 1000 --seed 7 --decode free"
        );
        assert_eq!(again("graph.json", &json!({"protocol": null})), ["graph"]);
        let circuit = json!({"seed": 7, "circuits": [
            {"from": "features.json"},
            {"from": "behaviors.json", "minimality": [{}], "grown": [{}]},
            {"from": "mine.txt"},
            {"from": "hypotheses/sums.toml", "tested": {}, "pruned": {}},
        ]});
        assert_eq!(
            again("circuit.json", &circuit).join(" "),
            "circuit --claims --behaviors --nodes mine.txt --hypothesis hypotheses/sums.toml --minimality --grow --prune --seed 7"
        );
    }
}
