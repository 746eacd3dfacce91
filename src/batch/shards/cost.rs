//! Estimates the cost of a block of questions, so that shards take about the same time.

use super::claims::Claims;
use crate::analysis::accuracy::Questions;
use crate::domain::node::Node;
use crate::domain::shape::{D_VOCAB, Shape};

/// Cost of a product in a patch relative to one in a forward pass: a patch recomputes a few rows of
/// one question, a pass all rows of many. Measured on the bundled models; docs/SCALE.md gives the
/// accuracy.
const PATCH_OVERHEAD: f64 = 1.6;

/// The cost of a block of a model's questions relative to blocks of other models, in thousands of
/// multiplications per question: its answers and, for each claim, one patch in every pair that
/// counts for the claim, as in the first block.
pub fn cost_of_block(shape: &Shape, questions: &Questions, claims: &Claims) -> u64 {
    let rows = RowsRun::of(shape);
    let mut products = rows.pass;
    if !claims.texts().is_empty() && !questions.is_empty() {
        let first = questions.block(0);
        // The source questions are run too.
        products += rows.pass;
        for (node, pairs) in claims.pairs(&first) {
            let share = pairs as f64 / first.len() as f64;
            products += PATCH_OVERHEAD * share * rows.patch(node);
        }
    }
    // In thousands, so that sums over all models cannot overflow.
    ((products / 1000.0) as u64).max(1)
}

/// Multiplications needed for one token's row in one layer, and for all rows of a question.
struct RowsRun {
    shape: Shape,
    inputs: f64,
    /// The heads' outputs.
    outputs: f64,
    mlp: f64,
    pass: f64,
}

impl RowsRun {
    fn of(shape: &Shape) -> Self {
        let Shape { d_model, d_mlp, .. } = *shape;
        let heads = shape.d_heads();
        let (inputs, mlp) = (3 * d_model * heads, 2 * d_model * d_mlp);
        let outputs = d_model * heads + 2 * shape.n_ctx() * heads;
        let below = (shape.n_layers - 1) * shape.n_ctx() * (inputs + outputs + mlp);
        // In the last layer, only answer tokens need queries; keys and values are needed for all.
        let last = shape.n_ctx() * (inputs - d_model * heads)
            + shape.n_answer() * (d_model * heads + outputs + mlp);
        let logits = shape.n_answer() * d_model * D_VOCAB;
        Self {
            shape: *shape,
            inputs: inputs as f64,
            outputs: outputs as f64,
            mlp: mlp as f64,
            pass: (below + last + logits) as f64,
        }
    }

    /// The multiplications to recompute when a node's output is replaced: the rows after it in all
    /// layers above.
    fn patch(&self, node: Node) -> f64 {
        let shape = &self.shape;
        let after = shape.n_ctx() - node.position();
        let mut products = match node.head() {
            Some(_) => (shape.d_head * shape.d_model) as f64 + self.mlp,
            None => 0.0,
        };
        for layer in node.layer() + 1..shape.n_layers {
            let rows = if layer + 1 == shape.n_layers {
                after.min(shape.n_answer())
            } else {
                after
            };
            // In the next layer, only the node's own token has a different input. Further up, all
            // later tokens have different keys and values, and those whose output is needed have
            // different queries.
            let inputs = if layer == node.layer() + 1 {
                self.inputs
            } else {
                (rows + 2 * after) as f64 * self.inputs / 3.0
            };
            products += inputs + rows as f64 * (self.outputs + self.mlp);
        }
        products
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::inputs::model::ModelFolder;

    /// Microseconds of one thread per question, with all claims and without claims, as in
    /// docs/SCALE.md.
    const MEASURED: [(&str, f64, f64); 3] = [
        ("models/w126_add_d5_l2_h3_t15K_s372001", 475.0, 75.0),
        ("models/w126_sub_d5_l2_h3_t30K_s372001", 577.0, 70.0),
        ("models/w126_mix_d5_l3_h4_t40K_s372001", 2400.0, 160.0),
    ];

    #[test]
    fn what_claims_cost_beside_answers_is_as_measured_within_a_quarter() {
        for (model, with, without) in MEASURED {
            let folder = ModelFolder::open(Path::new(model)).unwrap();
            let questions = Questions::uniform(&folder, 5000, 1).unwrap();
            let (claims, _) = Claims::of(&folder).unwrap();
            let shape = folder.weights.shape();
            let cost = |claims| cost_of_block(&shape, &questions, claims) as f64;
            let reckoned = cost(&claims) / cost(&Claims::default());
            let measured = with / without;
            let off = reckoned / measured;
            assert!(
                (0.75..1.25).contains(&off),
                "{model}: {reckoned} {measured}"
            );
        }
    }

    #[test]
    fn a_patch_costs_less_the_later_and_the_higher_it_is() {
        let folder = ModelFolder::open(Path::new(MEASURED[2].0)).unwrap();
        let shape = folder.weights.shape();
        let rows = RowsRun::of(&shape);
        let cost = |name: &str| {
            let name: crate::domain::node::NodeName = name.parse().unwrap();
            rows.patch(name.resolve(&shape).unwrap())
        };
        assert!(cost("P5L0H0") > cost("P10L0H0"));
        assert!(cost("P14L0H0") > cost("P14L1H0"));
        assert!(cost("P14L1H0") > cost("P14L2H0"));
        assert!(cost("P14L2H0") > cost("P14L2MLP"));
        assert!(cost("P0L0H0") < rows.pass);
    }
}
