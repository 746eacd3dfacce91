//! A model at its checkpoints: claims found and verified at each, and what holds when, as JSON and as a
//! picture.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

use maud::{Markup, PreEscaped, html};
use serde::Serialize;

use super::steps::{StepModel, discovered};
use crate::experiment::{Baseline, ClassAccuracy, Rules};
use crate::inputs::claims::{ClaimsError, claims_of, read_tagged_nodes};
use crate::inputs::model::ModelFolder;
use crate::network::engine::Engine;
use crate::report::{EVIDENCE_FILE, PALETTE, verdict_tone as tone};
use crate::storage::write_files;
use crate::verify::evidence::Evidence;
use crate::verify::{Options, Progress, VerdictKind, VerifyError, verify};

/// Height and width of a cell of the picture, in pixels, with the gap to the next.
const CELL: usize = 18;

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
    /// Claims found.
    pub claims: usize,
    /// Those of them that hold; `None` where they were not verified.
    pub holding: Option<usize>,
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
            let described = ModelFolder::open(path)?;
            let claims = claims_in(&described)?;
            let evidence = match verified {
                true => evidence(&described, seed)?,
                false => None,
            };
            if let Some(evidence) = &evidence {
                write_files(path, &[(EVIDENCE_FILE, evidence.to_json())])?;
            }
            let alpha = Rules::default().alpha;
            let baseline = Baseline::measure(&engine, folder.operations(), alpha, seed)?;
            found.push(AtCheckpoint::new(
                *batches,
                &baseline,
                claims,
                evidence.as_ref(),
            ));
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

    /// The legend: the verdicts that occur, one below the other.
    fn legend(&self, top: usize) -> Markup {
        let occurs = |verdict: &VerdictKind| {
            let mut found = self.checkpoints.iter().flat_map(|at| at.verdicts.values());
            found.any(|other| other == verdict)
        };
        let verdicts = VerdictKind::FROM_TRUE_TO_FALSE.into_iter().filter(occurs);
        html! {
            @for (row, verdict) in verdicts.enumerate() {
                rect.verdict.(tone(verdict)) x="12" y=(top + CELL * row) width="12" height="12" {}
                text x="30" y=(top + CELL * row + 11) { (verdict) }
            }
        }
    }

    /// The picture, a file of its own: a row for each variable, a column for each checkpoint.
    pub fn svg(&self) -> String {
        const LEFT: usize = 76;
        const TOP: usize = 64;
        let variables = self.variables();
        let width = (LEFT + CELL * self.checkpoints.len() + 16).max(480);
        let rows = variables.len() + 1;
        // Below the cells: the numbers of batches, and the legend.
        let height = TOP + CELL * (rows + VerdictKind::ALL.len()) + 48;
        let x = |column: usize| LEFT + CELL * column;
        let y = |row: usize| TOP + CELL * row;
        // As many numbers of batches as fit beside each other.
        const NUMBER: usize = 48;
        let apart = NUMBER.div_ceil(CELL);
        let drawing = html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="img" aria-label={ "What holds of " (self.model) " over training" } {
                style { (PreEscaped(PALETTE)) (PreEscaped(STYLE)) }
                rect.page width="100%" height="100%" {}
                text.title x="12" y="22" { (self.model) }
                text x="12" y="42" { "the best verdict on the claims of each variable, by batches trained" }
                text.end x=(LEFT - 8) y=(y(0) + 13) { "accuracy" title { "share of questions of the hardest class answered correctly" } }
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
                            rect.verdict.(tone(*verdict)) x=(x(column)) y=(y(row + 1)) width=(CELL - 2) height=(CELL - 2) {
                                title { (variable) " after " (at.batches) " batches: " (verdict) }
                            }
                        } @else {
                            rect.none x=(x(column)) y=(y(row + 1)) width=(CELL - 2) height=(CELL - 2) {}
                        }
                    }
                }
                (self.legend(y(rows) + 36))
            }
        };
        drawing.into_string() + "\n"
    }
}

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: var(--ink) } .title { font-weight: 650; font-size: 14px }
.end { text-anchor: end } .middle { text-anchor: middle } .page { fill: var(--page) } .verdict { fill: var(--v) }
.accuracy { fill: var(--link); stroke: var(--line) } .none { fill: none; stroke: var(--line) }
";

impl AtCheckpoint {
    fn new(
        batches: usize,
        baseline: &Baseline,
        claims: usize,
        evidence: Option<&Evidence>,
    ) -> Self {
        let rank = |verdict: VerdictKind| {
            let order = VerdictKind::FROM_TRUE_TO_FALSE.iter();
            order.clone().position(|kind| *kind == verdict)
        };
        let mut verdicts: BTreeMap<String, VerdictKind> = BTreeMap::new();
        let tested = evidence.map_or(&[][..], |evidence| &evidence.claims);
        for claim in tested {
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
            claims,
            holding: evidence.map(|evidence| {
                let holds = evidence.claims.iter().filter(|c| c.verdict.kind().holds());
                holds.count()
            }),
            verdicts,
        }
    }
}

/// How many claims the model's features.json makes.
fn claims_in(folder: &ModelFolder) -> Result<usize, ClaimsError> {
    let Some(features) = &folder.features else {
        return Ok(0);
    };
    let file = features.path.display().to_string();
    Ok(claims_of(&read_tagged_nodes(&file, &features.bytes)?).len())
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
            holding: None,
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
        // Three of six cells are claimed, and each of their verdicts is in the legend.
        assert_eq!(svg.matches("class=\"none\"").count(), 3);
        for class in ["v-refuted", "v-joint", "v-not-shown"] {
            assert_eq!(
                svg.matches(&format!("class=\"verdict {class}\"")).count(),
                2
            );
        }
    }
}
