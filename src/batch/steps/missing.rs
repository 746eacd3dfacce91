//! The other form of going on: what a report shows of other steps, and does not find.
//!
//! A sweep answers for every step of its folder, so it asks a [`StepRecord`](super::StepRecord) whether one
//! stands. A report takes in results that anybody made, with other options too: there each result tells
//! whether it is of the evidence, and a step is done only where it is not.

use super::Step;
use crate::analysis::property::PropertyOptions;
use crate::analysis::published::SET_SEED;
use crate::experiment::Rules;
use crate::report::{DISCOVERED, PartKind, Report, StoredPart};

impl Step {
    /// The steps, by the usual rules, whose results a report lacks or are of other evidence, each with
    /// the file that tells. None where the model is not the one the evidence is of.
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

    /// The step that makes a file which a report shows.
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
