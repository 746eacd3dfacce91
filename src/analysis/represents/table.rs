//! What nodes represent, as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Carrier, Carriers, QuantityScore};
use crate::domain::arithmetic::Class;
use crate::domain::causal::Quantity;
use crate::domain::node::NodeName;
use crate::experiment::stats::Rate;

/// Quantities as text, merging parts of a column over classes: `D0 (ADD, SUB)`.
fn names(quantities: impl Iterator<Item = Quantity>) -> String {
    let mut found: Vec<(String, Vec<Class>)> = Vec::new();
    for quantity in quantities {
        let (name, classes) = match quantity {
            Quantity::Task(variable) => (variable.to_string(), Vec::new()),
            Quantity::Column(part) => (part.to_string(), vec![part.class]),
            Quantity::Both(one, other) => (format!("{one} and {other}"), vec![one.class]),
        };
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => known.extend(classes),
            None => found.push((name, classes)),
        }
    }
    let texts = found.into_iter().map(|(name, mut classes)| {
        classes.sort();
        let classes: Vec<String> = classes.iter().map(Class::to_string).collect();
        match classes.is_empty() {
            true => name,
            false => format!("{name} ({})", classes.join(", ")),
        }
    });
    texts.collect::<Vec<String>>().join(", ")
}

impl Carrier {
    /// The represented quantities, such as `D0 (ADD, SUB)`, or a note that there are none.
    pub fn carried_text(&self) -> String {
        if self.is_none() {
            return "nothing in the catalogue".into();
        }
        names(self.carries.iter().map(|carried| carried.quantity))
    }

    /// Quantities that also hold and cannot be distinguished here.
    pub fn same_text(&self) -> String {
        let same = self.carries.iter().flat_map(|carried| &carried.same_here);
        names(same.copied())
    }

    /// The lowest score of a represented quantity; for nodes that represent nothing, the best
    /// score.
    pub fn deciding(&self) -> Option<&QuantityScore> {
        let is_carried = |score: &&QuantityScore| {
            let carried = self.carries.iter();
            self.is_none() || carried.clone().any(|c| c.quantity == score.quantity)
        };
        let mut scores = self.scores.iter().filter(is_carried);
        match self.is_none() {
            true => scores.next(),
            false => scores.next_back(),
        }
    }

    /// The best score of a quantity that is not represented and does not hold.
    pub fn runner_up(&self) -> Option<&QuantityScore> {
        self.scores.iter().find(|score| !score.holds)
    }
}

impl QuantityScore {
    /// The deciding rates, by aspect, and the rate of changed control trials.
    pub fn text(&self) -> (String, String) {
        let direction_only = self.quantity.predicts_only_direction();
        let rates = self.measures.deciding(direction_only);
        let rates: Vec<String> = rates.iter().map(Rate::to_string).collect();
        (rates.join("; "), self.measures.control_pairs.to_string())
    }
}

/// The nodes, as `P8L0H2 P9L0H1`.
pub fn nodes_text(nodes: &[NodeName]) -> String {
    let names: Vec<String> = nodes.iter().map(NodeName::to_string).collect();
    names.join(" ")
}

impl Carriers {
    /// How many node sets represent what, counted separately for single nodes and for sets.
    pub fn summary(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for carrier in &self.carriers {
            let what = match (carrier.nodes.len(), carrier.is_none(), carrier.is_several()) {
                (1, true, _) => "nodes represent nothing of the catalogue",
                (1, _, true) => "nodes represent two or more variables",
                (1, ..) => "nodes represent one variable",
                _ => "sets represent something no subset does",
            };
            *counts.entry(what).or_default() += 1;
        }
        let parts: Vec<String> = counts
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        parts.join(", ")
    }

    pub fn markdown(&self, model: &str) -> String {
        let mut text = format!("# What the nodes of {model} represent\n\n");
        let options = &self.options;
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{} variables were tried on {} node sets by interchange interventions. A variable is represented if interchange accuracy on counterfactual pairs is at least {} and control pairs do not change, by exact bounds that hold for all of them together (error {}, seed {}). {}.\n",
            self.catalogue,
            self.sets,
            options.threshold,
            options.alpha,
            options.seed,
            self.summary()
        );
        text += "| nodes | represents | indistinguishable here | interchange accuracy | control pairs | best of the others |\n|---|---|---|---|---|---|\n";
        for carrier in &self.carriers {
            let (interchange_accuracy, control_pairs) = carrier
                .deciding()
                .map(QuantityScore::text)
                .unwrap_or_default();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                nodes_text(&carrier.nodes),
                carrier.carried_text(),
                carrier.same_text(),
                interchange_accuracy,
                control_pairs,
                carrier.others_text(),
            );
        }
        text
    }
}

impl Carrier {
    /// The best quantity that does not hold, with its score: on fresh trials or, if none was
    /// judged, on the screening pairs.
    pub fn others_text(&self) -> String {
        match (self.runner_up(), self.screened_out.first()) {
            (Some(score), _) => format!("{} {:.2}", score.quantity, score.share().max(0.0)),
            (None, Some(out)) => format!("{} {:.2} (screening)", out.quantity, out.moved),
            (None, None) => String::new(),
        }
    }
}
