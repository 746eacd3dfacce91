//! Finds the steps whose results a report would show but does not find.
//!
//! A sweep is responsible for every step in its folder, so it checks each
//! [`StepRecord`](super::StepRecord). A report accepts results from any source and with other
//! options: each result says which evidence it belongs to, and a step is run only if that does not
//! match.

use super::Step;
use crate::analysis::property::PropertyOptions;
use crate::analysis::published::SET_SEED;
use crate::experiment::Rules;
use crate::report::{DISCOVERED, PartKind, Report, StoredPart};

impl Step {
    /// The steps, with default settings, whose results are missing from a report or belong to other
    /// evidence, each with its file. Empty if the model is not the one of the evidence.
    pub fn missing(report: &Report) -> Vec<(Self, String)> {
        if report.is_stale() {
            return Vec::new();
        }
        let lacking = |part: &&StoredPart| part.found.is_none() || part.of_other_evidence;
        let parts = report.parts.iter().filter(lacking).map(|part| part.kind);
        let mut steps: Vec<_> = parts
            .map(|kind| (Self::usual(kind), kind.file().to_owned()))
            .collect();
        if report.behaviors.is_empty() {
            let step = Self::Discover { seed: SET_SEED };
            steps.push((step, format!("{DISCOVERED}/behaviors.json")));
        }
        steps
    }

    /// The step that produces a file shown in a report.
    fn usual(part: PartKind) -> Self {
        let Rules { seed, .. } = Rules::default();
        match part {
            PartKind::Graph => Step::Graph { seed, drawn: true },
            PartKind::Circuit => Step::Circuit {
                seed,
                behaviors: false,
                hypotheses: Vec::new(),
                page: true,
            },
            PartKind::Property => {
                let PropertyOptions { cases, seed, .. } = PropertyOptions::default();
                Step::Property { cases, seed }
            }
        }
    }
}
