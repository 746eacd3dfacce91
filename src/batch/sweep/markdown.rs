//! The summary of a sweep as Markdown.

use std::fmt::Write;

use super::{ModelSummary, Summary};
use crate::storage::markdown_text;

impl Summary {
    /// The content of `summary.md`.
    pub fn to_markdown(&self) -> String {
        let mut text = String::from("# Models\n\n");
        text += "| model | trained for | shape | right answers | claims that hold | hypotheses |\n";
        text += "|---|---|---|---|---|---|\n";
        for model in &self.models {
            let held = match model.held() {
                (hold, claims) if model.has_claims() => format!("{hold} of {claims}"),
                _ => "–".into(),
            };
            let (name, shape) = match &model.error {
                None => (&model.model, model.shape_text()),
                Some(error) => (&model.location, error.clone()),
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {}, {} | {held} | {} |",
                markdown_text(name),
                model.operations,
                markdown_text(&shape),
                model.accuracy_text(),
                model.accuracy_count(),
                markdown_text(&model.hypotheses_text()),
            );
        }
        let (columns, circuits) = self.circuits();
        if !circuits.is_empty() {
            let _ = writeln!(
                text,
                "\n# Some nodes alone\nQuestions that stay right when all other nodes are ablated: by their mean, or by their value in another question.\n"
            );
            let _ = writeln!(
                text,
                "| model | nodes of | nodes | {} |",
                columns
                    .iter()
                    .map(|name| markdown_text(name))
                    .collect::<Vec<_>>()
                    .join(" | ")
            );
            let _ = writeln!(text, "|---|---|--:|{}", "--:|".repeat(columns.len()));
            for circuit in circuits {
                let shares = circuit.shares.into_iter().map(Option::unwrap_or_default);
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {} |",
                    markdown_text(circuit.model),
                    markdown_text(circuit.circuit),
                    circuit.nodes,
                    shares.collect::<Vec<_>>().join(" | ")
                );
            }
        }
        let tasks = self.tasks();
        if !tasks.is_empty() {
            let _ = writeln!(
                text,
                "\n# Tasks\nClaims that hold, of all claims of the task.\n"
            );
            let _ = writeln!(
                text,
                "| model | {} |",
                tasks
                    .iter()
                    .map(|task| markdown_text(task))
                    .collect::<Vec<_>>()
                    .join(" | ")
            );
            let _ = writeln!(text, "|---|{}", "---|".repeat(tasks.len()));
            for model in self.models.iter().filter(|model| model.error.is_none()) {
                let counts: Vec<String> = tasks.iter().map(|task| model.task_text(task)).collect();
                let _ = writeln!(
                    text,
                    "| {} | {} |",
                    markdown_text(&model.model),
                    counts.join(" | ")
                );
            }
        }
        let mut failures = String::new();
        for model in &self.models {
            if let Some(error) = &model.error {
                let _ = writeln!(
                    failures,
                    "- {}: not opened: {}",
                    markdown_text(&model.location),
                    markdown_text(error)
                );
            }
            for step in model.without_result() {
                let said = step.messages.join(" / ");
                let _ = writeln!(
                    failures,
                    "- {}, {}: {}",
                    markdown_text(&model.model),
                    markdown_text(&step.step),
                    markdown_text(&said)
                );
            }
        }
        if !failures.is_empty() {
            let _ = write!(text, "\n# Without a result\n{failures}");
        }
        text
    }
}

impl ModelSummary {
    /// How many claims of a task hold.
    pub(super) fn task_text(&self, task: &str) -> String {
        let found = self.tasks.get(task);
        found.map_or_else(String::new, |task| {
            format!("{} of {}", task.hold.len(), task.claims)
        })
    }
}
