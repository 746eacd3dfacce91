//! The catalogue of quantities a node may represent, which nodes could represent them, and which
//! name is chosen among quantities that cannot be distinguished.

use crate::domain::arithmetic::{Class, TokenSet};
use crate::domain::causal::{ColumnPart, ColumnQuantity, Family, Kind, Quantity, is_defined};
use crate::domain::node::Node;
use crate::domain::shape::Shape;
use crate::domain::task::{Task, Variable};

/// Tasks whose variables are tried. STC, MTC and NTC combine the carry out of the column below,
/// which is in the catalogue; SLT is OPR and SGN.
const TASKS: [Task; 14] = [
    Task::Opr,
    Task::Sgn,
    Task::Sa,
    Task::Sc,
    Task::Ss,
    Task::St,
    Task::Sv,
    Task::Md,
    Task::Mb,
    Task::Mz,
    Task::Mt,
    Task::Gt,
    Task::Nd,
    Task::Nb,
];

/// All quantities tried on a model that answers these classes.
pub fn catalogue(classes: &[Class], n_digits: usize) -> Vec<Quantity> {
    let variables = TASKS
        .into_iter()
        .flat_map(|task| task.variables(0..n_digits))
        .filter(|&variable| is_defined(variable, classes, n_digits))
        .map(Quantity::Task);
    let columns = classes.iter().flat_map(|&class| {
        let parts = [
            ColumnPart::First,
            ColumnPart::Second,
            ColumnPart::Whole,
            ColumnPart::Resolved,
        ];
        parts
            .into_iter()
            // In additions, the carry out of a column is SV.
            .filter(move |&part| part != ColumnPart::Resolved || class != Class::Add)
            .flat_map(move |part| {
                (0..n_digits)
                    .map(move |digit| Quantity::Column(ColumnQuantity { part, digit, class }))
            })
    });
    variables
        .chain(columns)
        .filter(|&quantity| !Family::new(quantity, Kind::Counterfactual, n_digits).is_empty())
        .collect()
}

/// Whether patching one of these nodes could replace the quantity: its inputs are at or before the
/// node, and the node is at or before the position that predicts a token it changes.
pub fn could_carry(nodes: &[Node], quantity: Quantity, shape: &Shape) -> bool {
    let affected_tokens = quantity.affected_tokens(shape.n_digits);
    nodes.iter().any(|node| {
        let later = shape.predicted_from(node.position());
        node.position() >= earliest(quantity, shape)
            && !affected_tokens.intersection(later).is_empty()
    })
}

/// The answer tokens that patching these nodes can change: those predicted at or after the first.
pub(super) fn shown_by(nodes: &[Node], shape: &Shape) -> TokenSet {
    let first = nodes.iter().map(Node::position).min();
    first.map_or(TokenSet::EMPTY, |position| shape.predicted_from(position))
}

/// The first position at which the quantity can be computed.
fn earliest(quantity: Quantity, shape: &Shape) -> usize {
    match quantity {
        Quantity::Task(Variable { task, digit }) => match (task, digit) {
            (Task::Opr | Task::Slt, _) => shape.operator(),
            (Task::Sgn, _) => shape.sign(),
            (Task::Ss | Task::Mz | Task::Sv | Task::Stc | Task::Mtc | Task::Ntc, _) => {
                shape.second_operand(0)
            }
            (_, digit) => digit.map_or(0, |k| shape.second_operand(k.min(shape.n_digits))),
        },
        Quantity::Column(part) => match part.part {
            ColumnPart::First => shape.first_operand(part.digit),
            ColumnPart::Resolved => shape.second_operand(0),
            _ => shape.second_operand(part.digit),
        },
        Quantity::Both(one, other) => {
            earliest(Quantity::Column(one), shape).max(earliest(Quantity::Column(other), shape))
        }
    }
}

/// Among quantities with the same predictions wherever a node can show them, the one with the
/// lowest rank gives the name: first the one defined on more questions, then the one with fewer
/// values.
pub fn rank(quantity: Quantity) -> usize {
    match quantity {
        Quantity::Task(variable) => match variable.task {
            Task::Opr | Task::Sgn | Task::Slt => 0,
            Task::Sv => 1,
            Task::St | Task::Mt => 2,
            Task::Sa | Task::Md | Task::Nd => 3,
            Task::Sc | Task::Mb | Task::Nb => 4,
            Task::Ss | Task::Mz => 5,
            Task::Gt => 6,
            Task::Stc | Task::Mtc | Task::Ntc => 7,
        },
        Quantity::Column(part) => match part.part {
            ColumnPart::Resolved => 1,
            ColumnPart::Tri => 2,
            ColumnPart::Base => 3,
            ColumnPart::Whole => 8,
            ColumnPart::First => 9,
            ColumnPart::Second => 10,
        },
        Quantity::Both(one, other) => {
            11 + rank(Quantity::Column(one)) + rank(Quantity::Column(other))
        }
    }
}

/// The part of a column that a quantity amounts to on the questions of one class, if any.
pub fn as_part(quantity: Quantity, class: Class) -> Option<ColumnQuantity> {
    if !quantity.classes().contains(&class) {
        return None;
    }
    match quantity {
        Quantity::Column(part) => Some(part),
        Quantity::Both(..) => None,
        Quantity::Task(Variable { task, digit }) => {
            let part = match task {
                Task::Sa | Task::Md | Task::Nd => ColumnPart::Base,
                Task::St | Task::Mt => ColumnPart::Tri,
                Task::Sv => ColumnPart::Resolved,
                _ => return None,
            };
            let digit = digit?;
            Some(ColumnQuantity { part, digit, class })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::model::ModelFolder;

    fn node(name: &str, shape: &Shape) -> Node {
        let name: crate::domain::node::NodeName = name.parse().unwrap();
        name.resolve(shape).unwrap()
    }

    #[test]
    fn a_model_is_asked_only_about_the_classes_it_answers() {
        let all = catalogue(&Class::ALL, 5);
        let additions = catalogue(&[Class::Add], 5);
        assert!(additions.iter().all(|q| q.classes() == [Class::Add]));
        // Dn, D'n, the sum, its base, carry, tri-case, SS from digit 1 on, and the resolved carry.
        assert_eq!(additions.len(), 3 * 5 + 3 * 5 + 4 + 5);
        let unique: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
        assert!(additions.iter().all(|quantity| all.contains(quantity)));
    }

    #[test]
    fn a_node_cannot_carry_what_it_cannot_see_or_show() {
        let shape = ModelFolder::bundled().weights.shape();
        let d0: Vec<Quantity> = catalogue(&Class::ALL, 5)
            .into_iter()
            .filter(|q| could_carry(&[node("P17L0H1", &shape)], *q, &shape))
            .collect();
        // The last position predicts only A0, so no higher digit can show there.
        let text: Vec<String> = d0.iter().map(ToString::to_string).collect();
        assert!(text.contains(&"D'0 (NEG)".to_owned()), "{text:?}");
        assert!(!text.iter().any(|t| t.contains('1')), "{text:?}");
        let early = [node("P4L0H1", &shape)];
        let seen: Vec<String> = catalogue(&[Class::Add], 5)
            .into_iter()
            .filter(|q| could_carry(&early, *q, &shape))
            .map(|q| q.to_string())
            .collect();
        assert_eq!(
            seen,
            ["D0 (ADD)", "D1 (ADD)", "D2 (ADD)", "D3 (ADD)", "D4 (ADD)"]
        );
    }
}
