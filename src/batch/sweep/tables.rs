//! The summary of a sweep as tables.

use super::{HypothesisSummary, ModelSummary, StepRecord, SufficiencySummary, Summary};
use crate::report::{ClaimRow, claims_table};
use crate::storage::parquet::{Columns, ParquetTable, whole};

/// A value with the name of the model it belongs to.
type OfModel<'a, T> = (&'a str, &'a T);

impl Summary {
    /// The summary as tables: models, claims, hypotheses, sufficiency and steps, with `model` as
    /// the shared key.
    pub fn tables(&self) -> [ParquetTable; 5] {
        let claims = self.models.iter().flat_map(|model| &model.claims);
        let claims: Vec<ClaimRow> = claims.cloned().collect();
        [
            models_table(&self.models),
            claims_table(&claims),
            hypotheses_table(&self.rows(|model| &model.hypotheses)),
            sufficiency_table(&self.rows(|model| &model.sufficiency)),
            steps_table(&self.rows(|model| &model.steps)),
        ]
    }

    fn rows<'a, T>(&'a self, of: impl Fn(&'a ModelSummary) -> &'a Vec<T>) -> Vec<OfModel<'a, T>> {
        let rows =
            |model: &'a ModelSummary| of(model).iter().map(|row| (model.model.as_str(), row));
        self.models.iter().flat_map(rows).collect()
    }
}

fn models_table(rows: &[ModelSummary]) -> ParquetTable {
    let shape = |of: fn(&crate::domain::shape::Shape) -> usize| {
        move |model: &ModelSummary| model.shape.as_ref().map(of).and_then(whole)
    };
    ParquetTable {
        file: "models.parquet",
        says: "One row for each model named.",
        columns: Columns::of(rows)
            .text("location", "Where it was found.", |m| m.location.clone())
            .text(
                "model",
                "Its name: the key that the other tables share.",
                |m| m.is_open().then(|| m.model.clone()),
            )
            .text("weights_sha256", "SHA-256 of its weights.", |m| {
                m.is_open().then(|| m.weights_sha256.clone())
            })
            .text("error", "Why it could not be opened.", |m| m.error.clone())
            .text("operations", "What it was trained for.", |m| {
                m.is_open().then(|| m.operations.clone())
            })
            .integer("n_digits", "Digits in each operand.", shape(|s| s.n_digits))
            .integer("n_layers", "Layers.", shape(|s| s.n_layers))
            .integer("n_heads", "Heads in each layer.", shape(|s| s.n_heads))
            .integer(
                "d_model",
                "Width of the residual stream.",
                shape(|s| s.d_model),
            )
            .integer("questions", "Questions asked.", |m| {
                whole(m.accuracy.as_ref()?.questions)
            })
            .integer("wrong", "Wrong answers among them.", |m| {
                whole(m.accuracy.as_ref()?.wrong)
            })
            .integer(
                "nines",
                "Nines of the share of right answers; absent where none is wrong.",
                |m| whole(m.accuracy.as_ref()?.nines?),
            )
            .integer("nines_at_least", "Nines of its lower bound.", |m| {
                whole(m.accuracy.as_ref()?.nines_at_least?)
            })
            .integer("claims", "Claims tested.", |m| {
                m.has_claims().then_some(m.held().1).and_then(whole)
            })
            .integer(
                "hold",
                "Claims that hold: supported, joint or redundant.",
                |m| m.has_claims().then_some(m.held().0).and_then(whole),
            )
            .made,
    }
}

fn hypotheses_table(rows: &[OfModel<HypothesisSummary>]) -> ParquetTable {
    ParquetTable {
        file: "hypotheses.parquet",
        says: "One row for each model and hypothesis that is about it.",
        columns: Columns::of(rows)
            .text("model", "The model.", |r| r.0.to_owned())
            .text("hypothesis", "Its name.", |r| r.1.name.clone())
            .flag("holds", "Whether it holds.", |r| r.1.holds)
            .integer("met", "Clauses met.", |r| whole(r.1.met))
            .integer("clauses", "Clauses that apply.", |r| whole(r.1.of))
            .made,
    }
}

fn sufficiency_table(rows: &[OfModel<SufficiencySummary>]) -> ParquetTable {
    ParquetTable {
        file: "sufficiency.parquet",
        says: "One row for each model, circuit, class of questions and way to ablate all other nodes.",
        columns: Columns::of(rows)
            .text("model", "The model.", |r| r.0.to_owned())
            .text(
                "circuit",
                "Where the nodes kept at work are from: a hypothesis, or a file.",
                |r| r.1.circuit.clone(),
            )
            .integer("nodes", "How many there are.", |r| whole(r.1.nodes))
            .text("class", "The class: ADD, SUB or NEG.", |r| {
                r.1.class.clone()
            })
            .text(
                "ablation",
                "How all other nodes are ablated: mean or resample.",
                |r| r.1.ablation.clone(),
            )
            .integer("stay_right", "Questions that stay right.", |r| {
                whole(r.1.right)
            })
            .integer("questions", "Rightly answered questions asked.", |r| {
                whole(r.1.questions)
            })
            .made,
    }
}

fn steps_table(rows: &[OfModel<StepRecord>]) -> ParquetTable {
    ParquetTable {
        file: "steps.parquet",
        says: "One row for each model and step.",
        columns: Columns::of(rows)
            .text("model", "The model.", |r| r.0.to_owned())
            .text("step", "The step.", |r| r.1.step.clone())
            .text(
                "state",
                "What became of it: done, failed or skipped.",
                |r| r.1.state.name().to_owned(),
            )
            .integer("exit", "Its exit code, where there was one.", |r| {
                r.1.exit.map(i64::from)
            })
            .text("messages", "The last it said, where it failed.", |r| {
                (!r.1.messages.is_empty()).then(|| r.1.messages.join("\n"))
            })
            .made,
    }
}
