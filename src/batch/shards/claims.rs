//! Claims tested on the same questions whose answers are counted: each question is patched with the
//! activations of the next in its block, for all claims alike.

use serde::{Deserialize, Serialize};

use crate::domain::arithmetic::{Answer, Prompt, Question, TokenSet};
use crate::domain::causal::{Pair, Stratum, affected_tokens, is_defined, predict};
use crate::domain::node::Node;
use crate::domain::task::Variable;
use crate::experiment::stats::Count;
use crate::experiment::{AffectedTokens, Outcome, Terms, Trial, default_block};
use crate::inputs::claims::{Claim, ClaimsError, claims_of, read_tagged_nodes};
use crate::inputs::model::ModelFolder;
use crate::network::engine::{Decode, Engine, EngineError, Intervention, Site, Source};

/// The testable claims of a model, in the order of its file.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    texts: Vec<String>,
    claims: Vec<(Node, Variable)>,
}

/// The counts of one claim, in a form that can be merged in any order.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimCount {
    /// Counterfactual pairs: trials, and the hits that gave exactly the predicted answer.
    pub counterfactual: Count,
    /// Counterfactual pairs in which some token moved to its predicted value.
    pub moved: u64,
    /// Control pairs: trials, and the hits that changed nevertheless.
    pub control_pairs: Count,
    /// Pairs left out because the deviation was a numerical tie.
    pub ties: u64,
    /// Pairs left out because the unpatched network answers wrongly.
    pub dropped: u64,
    /// The first counterfactual pair that is not as predicted.
    pub first_miss: Option<Miss>,
}

/// A pair of questions for which a claim does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Miss {
    /// The base question's index in the sequence of questions.
    pub place: u64,
    /// The question the activation comes from.
    pub source: Question,
    /// The question it is patched into.
    pub base: Question,
    pub predicted: Answer,
    pub given: Answer,
}

impl ClaimCount {
    /// Whether so many pairs can give these counts.
    pub(super) fn is_of(&self, pairs: u64) -> bool {
        let tested = (self.counterfactual.trials)
            .checked_add(self.control_pairs.trials)
            .and_then(|tested| tested.checked_add(self.dropped));
        let is_within = tested.is_some_and(|tested| tested <= pairs);
        is_within && self.moved <= self.counterfactual.trials && self.ties <= pairs
    }

    /// Adds the counts of other pairs.
    pub fn merge(&mut self, other: Self) {
        for (count, other) in [
            (&mut self.counterfactual, other.counterfactual),
            (&mut self.control_pairs, other.control_pairs),
        ] {
            count.hits += other.hits;
            count.trials += other.trials;
        }
        self.moved += other.moved;
        self.ties += other.ties;
        self.dropped += other.dropped;
        self.first_miss = [self.first_miss, other.first_miss]
            .into_iter()
            .flatten()
            .min_by_key(|miss| miss.place);
    }
}

impl Claims {
    /// The claims of a model's `features.json`, and the number of its claims that cannot be tested:
    /// those about nodes or digits that it does not have, unknown tasks, or classes it was not
    /// trained for.
    ///
    /// # Errors
    /// [`ClaimsError`] if the file cannot be read.
    pub fn of(folder: &ModelFolder) -> Result<(Self, usize), ClaimsError> {
        let Some(features) = &folder.features else {
            return Ok((Self::default(), 0));
        };
        let file = features.path.display().to_string();
        let all = claims_of(&read_tagged_nodes(&file, &features.bytes)?);
        let texts: Vec<String> = all.iter().map(Claim::to_string).collect();
        let mut claims = Self::default();
        for (claim, text) in all.iter().zip(&texts) {
            if let Some(testable) = testable(claim, folder) {
                claims.claims.push(testable);
                claims.texts.push(text.clone());
            }
        }
        let untestable = all.len() - claims.claims.len();
        Ok((claims, untestable))
    }

    /// The claims as text, each as `P17L0H1 A0.SA`.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// For each claim its node, and the number of pairs among these questions that count for it.
    pub(super) fn pairs(&self, questions: &[Question]) -> impl Iterator<Item = (Node, usize)> {
        self.claims.iter().map(|&(node, variable)| {
            let count = (0..questions.len())
                .filter(|&i| {
                    let source = Prompt::truth(questions[(i + 1) % questions.len()]);
                    predict(variable, &source, &questions[i]).is_some()
                })
                .count();
            (node, count)
        })
    }

    /// Empty counts for each claim.
    pub fn nothing(&self) -> Vec<ClaimCount> {
        vec![ClaimCount::default(); self.claims.len()]
    }

    /// Tests every claim on the questions of a block, of which `first` is the index of the first.
    ///
    /// # Errors
    /// [`EngineError`], which does not occur for questions of this model.
    pub fn counts(
        &self,
        engine: &Engine,
        first: u64,
        questions: &[Question],
    ) -> Result<Vec<ClaimCount>, EngineError> {
        let mut counts = self.nothing();
        if self.claims.is_empty() {
            return Ok(counts);
        }
        // How many questions run together is a matter of memory and does not affect results.
        let together = default_block(engine).max(1);
        let places: Vec<usize> = (0..questions.len()).collect();
        for batch in places.chunks(together) {
            let bases: Vec<Prompt> = batch.iter().map(|&i| Prompt::truth(questions[i])).collect();
            let sources: Vec<Prompt> = batch
                .iter()
                .map(|&i| Prompt::truth(questions[(i + 1) % questions.len()]))
                .collect();
            let run = engine.run(&bases)?;
            let sites = self.claims.iter().map(|&(node, _)| Site::from(node));
            let stored = engine.activations(&sources, sites)?;
            for (&(node, variable), count) in self.claims.iter().zip(&mut counts) {
                let mut trials = Vec::new();
                let mut jobs = Vec::new();
                for (at, (base, &source)) in bases.iter().zip(&sources).enumerate() {
                    let Some(predicted) = predict(variable, &source, &base.question) else {
                        continue;
                    };
                    if run.logits()[at].answer() != base.forced {
                        count.dropped += 1;
                        continue;
                    }
                    let pair = Pair {
                        source,
                        base: base.question,
                    };
                    let trial = Trial {
                        stratum: Stratum::Whole,
                        pair,
                        reference: base.forced,
                        predicted,
                        silent: TokenSet::EMPTY,
                    };
                    trials.push((first + batch[at] as u64, trial));
                    let patch = stored.overwrite(at, node, Source::Stored);
                    jobs.push((at, Intervention::new([patch])));
                }
                let reached = affected_tokens(variable, engine.shape().n_digits);
                let terms = Terms::new(variable, AffectedTokens::Tokens(reached));
                let answers = engine.intervene(&run, &jobs, Decode::Forced)?;
                for ((place, trial), logits) in trials.iter().zip(&answers) {
                    let outcome = Outcome::of(logits);
                    let judged = trial.judge(&outcome, &terms);
                    count.ties += u64::from(judged.tied);
                    if trial.predicted_change().is_empty() {
                        count.control_pairs.add(!judged.agrees);
                        continue;
                    }
                    count.counterfactual.add(judged.agrees);
                    count.moved += u64::from(judged.moved);
                    if !judged.agrees && count.first_miss.is_none() {
                        count.first_miss = Some(Miss {
                            place: *place,
                            source: trial.pair.source.question,
                            base: trial.pair.base,
                            predicted: trial.predicted,
                            given: outcome.answer,
                        });
                    }
                }
            }
        }
        Ok(counts)
    }
}

fn testable(claim: &Claim, folder: &ModelFolder) -> Option<(Node, Variable)> {
    let shape = folder.weights.shape();
    let variable = claim.variable.clone().ok()?;
    let node = claim.node.resolve(&shape).ok()?;
    let trained = folder.operations().classes();
    is_defined(variable, &trained, shape.n_digits).then_some((node, variable))
}
