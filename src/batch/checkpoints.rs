//! A model at its checkpoints: claims found and verified at each, and what holds when, as JSON and as a
//! picture.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

use maud::{Markup, PreEscaped, html};
use serde::Serialize;

use super::steps::{StepModel, discovered};
use crate::experiment::{Baseline, ClassAccuracy, Rules};
use crate::inputs::model::ModelFolder;
use crate::network::engine::Engine;
use crate::report::EVIDENCE_FILE;
use crate::storage::write_files;
use crate::verify::evidence::Evidence;
use crate::verify::{Options, Progress, VerdictKind, VerifyError, verify};

/// What a model does at its checkpoints, in order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeline {
    pub model: String,
    pub checkpoints: Vec<AtCheckpoint>,
}

/// What a model does after so many batches.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AtCheckpoint {
    /// Batches trained.
    pub batches: usize,
    /// The share of random questions answered correctly, by class.
    pub accuracy: BTreeMap<String, f64>,
    /// For each variable that some node is found to claim, the verdict nearest to true.
    pub verdicts: BTreeMap<String, VerdictKind>,
    /// Claims found, and those of them that hold.
    pub claims: usize,
    pub holding: usize,
}

impl Timeline {
    /// Describes the model at each checkpoint (its batches and its folder) by the published protocol, and
    /// verifies the claims found if `verified`. The files go to the checkpoint's folder.
    ///
    /// # Errors
    /// Whatever stops a checkpoint from being read, described, verified or written to.
    pub fn of(
        model: &str,
        checkpoints: &[(usize, PathBuf)],
        verified: bool,
        seed: u64,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, Box<dyn Error>> {
        let mut found = Vec::with_capacity(checkpoints.len());
        for (done, (batches, path)) in checkpoints.iter().enumerate() {
            progress(Progress {
                phase: "checkpoints",
                done,
                of: checkpoints.len(),
            });
            let folder = ModelFolder::open(path)?;
            let engine = Engine::new(&folder.weights);
            let described = StepModel {
                folder: &folder,
                engine: &engine,
                shown: "",
            };
            discovered(&described, path, seed)?;
            let evidence = match verified {
                true => evidence(&ModelFolder::open(path)?, seed)?,
                false => None,
            };
            if let Some(evidence) = &evidence {
                write_files(path, &[(EVIDENCE_FILE, evidence.to_json())])?;
            }
            let alpha = Rules::default().alpha;
            let baseline = Baseline::measure(&engine, folder.operations(), alpha, seed)?;
            found.push(AtCheckpoint::new(*batches, &baseline, evidence.as_ref()));
        }
        Ok(Timeline {
            model: model.to_owned(),
            checkpoints: found,
        })
    }

    /// Every variable that is claimed at some checkpoint, digits ascending within a task.
    fn variables(&self) -> Vec<&str> {
        let claimed = self.checkpoints.iter().flat_map(|at| at.verdicts.keys());
        let mut variables: Vec<&str> = claimed.map(String::as_str).collect();
        variables.sort_by_key(|variable| {
            let (digit, task) = variable.split_once('.').unwrap_or(("", variable));
            let digit: usize = digit.trim_start_matches('A').parse().unwrap_or(0);
            (task.to_owned(), digit)
        });
        variables.dedup();
        variables
    }

    /// The picture, a file of its own: a row for each variable, a column for each checkpoint.
    pub fn svg(&self) -> String {
        const CELL: usize = 18;
        const LEFT: usize = 76;
        const TOP: usize = 64;
        let variables = self.variables();
        let width = (LEFT + CELL * self.checkpoints.len() + 16).max(480);
        let rows = variables.len() + 1;
        let height = TOP + CELL * rows + 60;
        let x = |column: usize| LEFT + CELL * column;
        let y = |row: usize| TOP + CELL * row;
        // As many numbers of batches as fit beside each other.
        let apart = (self.checkpoints.len() / 8).max(1);
        let drawing = html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="img" aria-label={ "What holds of " (self.model) " over training" } {
                style { (PreEscaped(STYLE)) }
                rect.page width="100%" height="100%" {}
                text.title x="12" y="22" { (self.model) }
                text x="12" y="42" { "best verdict on each variable's claims, by batches trained; top row: share of questions answered correctly" }
                text.end x=(LEFT - 8) y=(y(0) + 13) { "accuracy" }
                @for (column, at) in self.checkpoints.iter().enumerate() {
                    @let lowest = at.accuracy.values().copied().fold(1.0, f64::min);
                    rect.accuracy x=(x(column)) y=(y(0)) width=(CELL - 2) height=(CELL - 2) fill-opacity=(format!("{lowest:.3}")) {
                        title { (at.batches) " batches: " (format!("{:.1}", 100.0 * lowest)) " % right in the hardest class" }
                    }
                    @if column % apart == 0 {
                        text.middle x=(x(column) + CELL / 2) y=(y(rows) + 14) { (at.batches) }
                    }
                }
                @for (row, variable) in variables.iter().enumerate() {
                    text.end x=(LEFT - 8) y=(y(row + 1) + 13) { (variable) }
                    @for (column, at) in self.checkpoints.iter().enumerate() {
                        @if let Some(verdict) = at.verdicts.get(*variable) {
                            rect class=(class(*verdict)) x=(x(column)) y=(y(row + 1)) width=(CELL - 2) height=(CELL - 2) {
                                title { (variable) " after " (at.batches) " batches: " (verdict) }
                            }
                        } @else {
                            rect.none x=(x(column)) y=(y(row + 1)) width=(CELL - 2) height=(CELL - 2) {}
                        }
                    }
                }
                (legend(y(rows) + 36))
            }
        };
        drawing.into_string() + "\n"
    }
}

/// Colours as in reports.
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#1b1f24}.title{font-weight:650;font-size:14px}.end{text-anchor:end}.middle{text-anchor:middle}.page{fill:#fafaf8}.accuracy{fill:#1d4f91;stroke:#e2e4e7}.holds{fill:#1a7f4b}.in-part{fill:#dba544}.refuted{fill:#b3261e}.open{fill:#b9bfc7}.none{fill:none;stroke:#e2e4e7}@media(prefers-color-scheme:dark){text{fill:#e6e9ee}.page{fill:#0f141b}.accuracy{fill:#8ab4f0;stroke:#2a333f}.holds{fill:#4fb56c}.refuted{fill:#f07a72}.open{fill:#68707a}.none{stroke:#2a333f}}";

/// The legend, on one line.
fn legend(y: usize) -> Markup {
    let entries = [
        ("holds", "holds, alone or in a set"),
        ("in-part", "in part"),
        ("refuted", "refuted"),
        ("open", "open or not testable"),
        ("none", "not claimed"),
    ];
    let places = entries.iter().scan(12, |next, (_, text)| {
        let place = *next;
        *next += 34 + 6 * text.len();
        Some(place)
    });
    html! {
        @for ((class, text), x) in entries.iter().zip(places) {
            rect class=(class) x=(x) y=(y) width="12" height="12" {}
            text x=(x + 18) y=(y + 11) { (text) }
        }
    }
}

fn class(verdict: VerdictKind) -> &'static str {
    use VerdictKind as V;
    match verdict {
        V::Supported | V::Joint | V::Redundant => "holds",
        V::Partial | V::JointInPart | V::Correlational => "in-part",
        V::Unspecific | V::Refuted => "refuted",
        V::NotShown | V::Inconclusive | V::NotTestable => "open",
    }
}

impl AtCheckpoint {
    fn new(batches: usize, baseline: &Baseline, evidence: Option<&Evidence>) -> Self {
        let rank = |verdict: VerdictKind| {
            let order = VerdictKind::FROM_TRUE_TO_FALSE.iter();
            order.clone().position(|kind| *kind == verdict)
        };
        let mut verdicts: BTreeMap<String, VerdictKind> = BTreeMap::new();
        let claims = evidence.map_or(&[][..], |evidence| &evidence.claims);
        for claim in claims {
            let kind = claim.verdict.kind();
            let best = verdicts.entry(claim.tag().to_owned()).or_insert(kind);
            if rank(kind) < rank(*best) {
                *best = kind;
            }
        }
        let right = |class: &ClassAccuracy| {
            let share = class.accuracy.hits as f64 / class.accuracy.trials as f64;
            (class.class.to_string(), share)
        };
        AtCheckpoint {
            batches,
            accuracy: baseline.classes.iter().map(right).collect(),
            claims: claims.len(),
            holding: (claims.iter())
                .filter(|claim| claim.verdict.kind().holds())
                .count(),
            verdicts,
        }
    }
}

/// The evidence for the model's claims; `None` if it makes none.
fn evidence(folder: &ModelFolder, seed: u64) -> Result<Option<Evidence>, VerifyError> {
    let options = Options {
        rules: Rules {
            seed,
            ..Rules::default()
        },
        ..Options::default()
    };
    match verify(folder, None, &options, &mut |_| {}) {
        Ok(evidence) => Ok(Some(evidence)),
        Err(VerifyError::NoClaims { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(batches: usize, verdicts: &[(&str, VerdictKind)]) -> AtCheckpoint {
        let verdicts = verdicts
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), *kind));
        AtCheckpoint {
            batches,
            accuracy: BTreeMap::from([("ADD".to_owned(), 0.5)]),
            verdicts: verdicts.collect(),
            claims: 0,
            holding: 0,
        }
    }

    #[test]
    fn the_picture_has_a_row_for_each_variable_and_a_cell_for_each_verdict() {
        let timeline = Timeline {
            model: "a<b".into(),
            checkpoints: vec![
                at(500, &[("A10.SA", VerdictKind::Refuted)]),
                at(
                    1000,
                    &[
                        ("A2.SA", VerdictKind::Joint),
                        ("A0.SC", VerdictKind::NotShown),
                    ],
                ),
            ],
        };
        assert_eq!(timeline.variables(), ["A2.SA", "A10.SA", "A0.SC"]);
        let svg = timeline.svg();
        assert!(svg.contains("a&lt;b"));
        for cell in [
            "<title>A10.SA after 500 batches: refuted</title>",
            "<title>A2.SA after 1000 batches: joint</title>",
            "<title>A0.SC after 1000 batches: not shown</title>",
        ] {
            assert!(svg.contains(cell), "{cell}");
        }
        // Three of six cells are claimed; the legend has one of each kind.
        assert_eq!(svg.matches("class=\"none\"").count(), 4);
        assert_eq!(svg.matches("class=\"holds\"").count(), 2);
    }
}
