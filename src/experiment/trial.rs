//! Trials: patch a node set from a source question into a base question, and judge the answer.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::Serialize;

use crate::domain::arithmetic::{Answer, AnswerToken, Prompt, TokenSet};
use crate::domain::causal::{Pair, Quantity, Stratum};
use crate::domain::node::Node;
use crate::network::engine::{
    Activations, Decode, Engine, EngineError, Intervention, Run, Site, Source,
};
use crate::network::logits::AnswerLogits;

/// Lead of the highest logit over the second below which a token is a numerical tie: a rounding
/// error could give another answer, so it refutes nothing (docs/METHOD.md, "A trial").
pub const TIE_MARGIN: f32 = 1e-4;

/// Memory that the base run of one block of trials may use.
const BLOCK_BYTES: usize = 32 << 20;

/// A node set under test.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct NodeSet {
    /// The nodes patched together, sorted.
    pub nodes: Vec<Node>,
    /// Nodes mean-ablated in both the unpatched and the patched run, so that they represent
    /// nothing; sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mean_ablated: Vec<Node>,
}

impl NodeSet {
    /// A set of nodes, with nothing mean-ablated.
    pub fn of(nodes: impl IntoIterator<Item = Node>) -> Self {
        NodeSet {
            nodes: sorted(nodes),
            mean_ablated: Vec::new(),
        }
    }

    /// The same set with other nodes mean-ablated.
    pub fn with_mean_ablated(mut self, nodes: impl IntoIterator<Item = Node>) -> Self {
        self.mean_ablated = sorted(nodes);
        self
    }
}

fn sorted(nodes: impl IntoIterator<Item = Node>) -> Vec<Node> {
    let mut nodes: Vec<Node> = nodes.into_iter().collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

/// The source of the patched activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFrom {
    /// The pair's source question.
    Source,
    /// The base question itself: a control that must change nothing.
    Base,
}

/// The answer that patched answers are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// The true answer; trials whose unpatched answer is wrong are dropped.
    Truth,
    /// The network's own unpatched answer, for networks that cannot do the arithmetic.
    Own,
}

/// One trial, before patching.
#[derive(Debug, Clone, Copy)]
pub struct Trial {
    /// The stratum of pairs it was drawn from.
    pub stratum: Stratum,
    pub pair: Pair,
    /// The answer without the patch.
    pub reference: Answer,
    /// The answer the causal model predicts with it.
    pub predicted: Answer,
    /// Tokens ignored in this trial, whatever they do: the digits after a sign that should flip,
    /// and tokens that the unpatched network does not write as predicted even for the source
    /// question itself.
    pub silent: TokenSet,
}

/// The network's answer in one trial with one node set patched.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub answer: Answer,
    /// Tokens whose lead is below [`TIE_MARGIN`].
    pub ties: TokenSet,
}

impl Outcome {
    pub fn of(logits: &AnswerLogits) -> Self {
        Outcome {
            answer: logits.answer(),
            ties: (0..logits.rows().len())
                .map(AnswerToken)
                .filter(|&place| logits.margin(place) < TIE_MARGIN)
                .collect(),
        }
    }
}

/// Trials with the outcomes of each node set.
#[derive(Debug, Default)]
pub struct TrialBlock<T = Outcome> {
    pub trials: Vec<Trial>,
    /// `outcomes[node set][trial]`; `None` where the node set's mean-ablated nodes alone already
    /// change the answer.
    pub outcomes: Vec<Vec<Option<T>>>,
    /// Pairs dropped because the unpatched network answers the base question wrongly.
    pub dropped: usize,
}

pub struct Bench<'a> {
    pub engine: &'a Engine,
    /// Mean activations of every node, for mean ablation.
    pub means: &'a Activations,
    pub decode: Decode,
    /// The answer that patched answers are compared with.
    pub reference: Reference,
    /// Questions run together, at least one. Does not affect results.
    pub block: usize,
}

/// The number of questions whose base run fits the memory of a block of trials.
pub fn default_block(engine: &Engine) -> usize {
    engine.questions_in(BLOCK_BYTES)
}

impl Bench<'_> {
    /// Runs every node set on every pair, block by block, and passes each block to `consume`.
    ///
    /// # Errors
    /// [`EngineError`] where an intervention was not applied.
    pub fn run(
        &self,
        quantity: impl Into<Quantity>,
        pairs: &[(Stratum, Pair)],
        store_from: SourceFrom,
        node_sets: &[NodeSet],
        consume: impl FnMut(TrialBlock),
    ) -> Result<(), EngineError> {
        let read = |_: &Trial, _: &AnswerLogits, patched: &AnswerLogits| Outcome::of(patched);
        self.run_reading(quantity, pairs, store_from, node_sets, read, consume)
    }

    /// As [`Bench::run`], with `read` extracting a value from each trial's unpatched and patched
    /// logits.
    ///
    /// # Errors
    /// [`EngineError`] where an intervention was not applied.
    pub fn run_reading<T: Send>(
        &self,
        quantity: impl Into<Quantity>,
        pairs: &[(Stratum, Pair)],
        store_from: SourceFrom,
        node_sets: &[NodeSet],
        read: impl Fn(&Trial, &AnswerLogits, &AnswerLogits) -> T + Sync,
        mut consume: impl FnMut(TrialBlock<T>),
    ) -> Result<(), EngineError> {
        let quantity = quantity.into();
        for block in pairs.chunks(self.block) {
            consume(self.run_block(quantity, block, store_from, node_sets, &read)?);
        }
        Ok(())
    }

    fn run_block<T: Send>(
        &self,
        quantity: Quantity,
        pairs: &[(Stratum, Pair)],
        store_from: SourceFrom,
        node_sets: &[NodeSet],
        read: &(impl Fn(&Trial, &AnswerLogits, &AnswerLogits) -> T + Sync),
    ) -> Result<TrialBlock<T>, EngineError> {
        let mut prepared = self.prepare(quantity, pairs, store_from)?;
        Ok(TrialBlock {
            outcomes: self.patch(&mut prepared, node_sets, read)?,
            dropped: prepared.dropped,
            trials: prepared.trials,
        })
    }

    /// Runs the base questions of some pairs, so that any number of node sets can be patched into
    /// them.
    ///
    /// # Errors
    /// [`EngineError::Digits`] for questions of another size than the model's.
    pub fn prepare(
        &self,
        quantity: impl Into<Quantity>,
        pairs: &[(Stratum, Pair)],
        store_from: SourceFrom,
    ) -> Result<Prepared, EngineError> {
        let bases: Vec<Prompt> = pairs.iter().map(|(_, p)| Prompt::truth(p.base)).collect();
        let run = self.engine.run(&bases)?;
        let asked = self.trials(quantity.into(), pairs, &run)?;
        let dropped = pairs.len() - asked.len();
        let (questions, trials): (Vec<usize>, Vec<Trial>) = asked.into_iter().unzip();
        let (sources, source): (Vec<Prompt>, Source) = match store_from {
            SourceFrom::Source => (
                trials.iter().map(|t| t.pair.source).collect(),
                Source::Stored,
            ),
            SourceFrom::Base => {
                let base = |trial: &Trial| Prompt::truth(trial.pair.base);
                (trials.iter().map(base).collect(), Source::Own)
            }
        };
        Ok(Prepared {
            run,
            questions,
            trials,
            dropped,
            sources,
            stored: Activations::default(),
            source,
        })
    }

    /// Patches every node set into prepared trials: `[node set][trial]`, as in [`TrialBlock`].
    ///
    /// # Errors
    /// [`EngineError`] where an intervention was not applied.
    pub fn patch<T: Send>(
        &self,
        prepared: &mut Prepared,
        node_sets: &[NodeSet],
        read: &(impl Fn(&Trial, &AnswerLogits, &AnswerLogits) -> T + Sync),
    ) -> Result<Vec<Vec<Option<T>>>, EngineError> {
        let sites = (node_sets.iter().flat_map(|node_set| &node_set.nodes))
            .map(|&node| Site::from(node))
            .filter(|&site| !prepared.stored.has(site));
        let missing: BTreeSet<Site> = sites.collect();
        if !missing.is_empty() {
            let read = self.engine.activations(&prepared.sources, missing)?;
            prepared.stored.extend(read);
        }
        // In parallel, since one node set on a few pairs is too little work for the engine to
        // split.
        (node_sets.par_iter())
            .map(|node_set| self.outcomes(prepared, node_set, read))
            .collect()
    }

    /// The trials that count, each with the index of its base question in the run.
    fn trials(
        &self,
        quantity: Quantity,
        pairs: &[(Stratum, Pair)],
        run: &Run,
    ) -> Result<Vec<(usize, Trial)>, EngineError> {
        // Where the prediction is the source question's own answer, the network must be able to
        // write it. Elsewhere the arithmetic determines every predicted token.
        let sources = if quantity.predicts_only_direction() && self.reference == Reference::Truth {
            let sources: Vec<Prompt> = pairs.iter().map(|(_, pair)| pair.source).collect();
            self.engine.logits(&sources)?
        } else {
            Vec::new()
        };
        let trial = |(question, &(stratum, pair)): (usize, &(Stratum, Pair))| {
            let truth = Answer::of(&pair.base);
            let own = run.logits()[question].answer();
            // A teacher-forced answer with every token right is also the free-running answer.
            if self.reference == Reference::Truth && own != truth {
                return None;
            }
            let told = (quantity.predict(&pair.source, &pair.base))
                .expect("pairs are drawn inside the quantity's domain");
            let change = told.changed_from(&truth);
            // Changes that the causal model makes to the true answer are made to the network's own
            // answer.
            let mut predicted = own;
            for place in change.iter() {
                predicted.set(place, told.get(place));
            }
            let silent = if change.is_empty() {
                TokenSet::EMPTY
            } else if stratum == Stratum::Order {
                let sign = TokenSet::only(truth.sign_place());
                TokenSet::all(pair.base.n_digits()).difference(sign)
            } else {
                let source = sources.get(question).map(AnswerLogits::answer);
                source.map_or(TokenSet::EMPTY, |source| {
                    change.intersection(source.changed_from(&told))
                })
            };
            let says_something = change.is_empty() || !change.difference(silent).is_empty();
            let trial = Trial {
                stratum,
                pair,
                reference: own,
                predicted,
                silent,
            };
            says_something.then_some((question, trial))
        };
        Ok(pairs.iter().enumerate().filter_map(trial).collect())
    }

    /// The outcome of every trial for one node set.
    fn outcomes<T>(
        &self,
        asked: &Prepared,
        node_set: &NodeSet,
        read: &impl Fn(&Trial, &AnswerLogits, &AnswerLogits) -> T,
    ) -> Result<Vec<Option<T>>, EngineError> {
        let held = || {
            let mean_ablated = node_set.mean_ablated.iter();
            mean_ablated.map(|&node| self.means.overwrite(0, node, Source::Mean))
        };
        let patched: Vec<(usize, Intervention)> = (asked.questions.iter().enumerate())
            .map(|(trial, &question)| {
                let nodes = node_set.nodes.iter();
                let patch = nodes.map(|&node| asked.stored.overwrite(trial, node, asked.source));
                (question, Intervention::new(patch.chain(held())))
            })
            .collect();
        let patched = self.engine.intervene(&asked.run, &patched, self.decode)?;
        let outcomes = (asked.trials.iter().zip(&asked.questions).zip(&patched)).map(
            |((trial, &question), patched)| {
                Some(read(trial, &asked.run.logits()[question], patched))
            },
        );
        if node_set.mean_ablated.is_empty() {
            return Ok(outcomes.collect());
        }
        let only_held: Vec<(usize, Intervention)> = (asked.questions.iter())
            .map(|&question| (question, Intervention::new(held())))
            .collect();
        let unpatched = self.engine.intervene(&asked.run, &only_held, self.decode)?;
        let stands = (unpatched.iter().zip(&asked.trials))
            .map(|(logits, trial)| logits.answer() == trial.reference);
        Ok((outcomes.zip(stands))
            .map(|(outcome, stands)| outcome.filter(|_| stands))
            .collect())
    }
}

/// Trials ready to be patched: their base runs, and the source activations read so far.
#[derive(Debug)]
pub struct Prepared {
    run: Run,
    /// For each trial, the index of its question in the run.
    questions: Vec<usize>,
    pub trials: Vec<Trial>,
    /// Pairs dropped because the unpatched network answers the base question wrongly.
    dropped: usize,
    /// For each trial, the question that its activations are patched in from…
    sources: Vec<Prompt>,
    /// …and its activations at the sites asked for so far.
    stored: Activations,
    source: Source,
}

/// The tokens that a node set is judged on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AffectedTokens {
    /// The same tokens in every stratum.
    Tokens(TokenSet),
    /// Different tokens in each stratum.
    Apart(BTreeMap<Stratum, TokenSet>),
}

impl AffectedTokens {
    pub fn everything(n_digits: usize) -> Self {
        AffectedTokens::Tokens(TokenSet::all(n_digits))
    }

    /// The affected tokens in one stratum.
    pub fn on(&self, stratum: Stratum) -> TokenSet {
        match self {
            AffectedTokens::Tokens(tokens) => *tokens,
            AffectedTokens::Apart(by_stratum) => {
                by_stratum.get(&stratum).copied().unwrap_or(TokenSet::EMPTY)
            }
        }
    }

    /// The same, except for these tokens.
    pub fn without(self, tokens: TokenSet) -> Self {
        match self {
            AffectedTokens::Tokens(all) => AffectedTokens::Tokens(all.difference(tokens)),
            AffectedTokens::Apart(by_stratum) => AffectedTokens::Apart(
                (by_stratum.into_iter())
                    .map(|(stratum, all)| (stratum, all.difference(tokens)))
                    .collect(),
            ),
        }
    }

    /// The tokens affected in any stratum.
    pub fn tokens(&self) -> TokenSet {
        match self {
            AffectedTokens::Tokens(tokens) => *tokens,
            AffectedTokens::Apart(by_stratum) => {
                (by_stratum.values()).fold(TokenSet::EMPTY, |all, tokens| all.union(*tokens))
            }
        }
    }
}

/// The terms that outcomes are judged by.
#[derive(Debug, Clone)]
pub struct Terms {
    pub affected_tokens: AffectedTokens,
    /// Whether only the direction of a change is predicted: no particular token must move, but at
    /// least one must, and those that do must move as predicted.
    pub direction_only: bool,
}

impl Terms {
    /// The terms for trials of a quantity, judged on `affected_tokens`.
    pub fn new(quantity: impl Into<Quantity>, affected_tokens: AffectedTokens) -> Self {
        Terms {
            affected_tokens,
            direction_only: quantity.into().predicts_only_direction(),
        }
    }
}

/// Comparison of one outcome with its prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// Whether a change is predicted among the affected tokens, or none at all. Where only other
    /// tokens should change, the trial can show off-target effects but does not count towards
    /// interchange accuracy.
    pub in_reach: bool,
    /// The affected tokens are as predicted, and nothing else changed.
    pub agrees: bool,
    /// Some token moved to its predicted value.
    pub moved: bool,
    /// Some token changed that the causal model says cannot change.
    pub off_target: bool,
    /// The tokens predicted to change, without those ignored in the trial.
    pub predicted: TokenSet,
    /// Of these, the tokens that moved to their predicted value…
    pub right: TokenSet,
    /// …and those that moved elsewhere.
    pub astray: TokenSet,
    /// Whether a token was set aside because it misses its prediction by no more than a numerical
    /// tie.
    pub tied: bool,
}

impl Trial {
    /// The tokens the causal model changes.
    pub fn predicted_change(&self) -> TokenSet {
        self.predicted.changed_from(&self.reference)
    }

    /// Whether an outcome is as predicted on the affected tokens; `None` if none of them should
    /// change.
    pub fn interchange_accuracy(&self, outcome: &Outcome, terms: &Terms) -> Option<bool> {
        let judged = self.judge(outcome, terms);
        let told = judged
            .predicted
            .intersection(terms.affected_tokens.on(self.stratum));
        (!told.is_empty()).then_some(judged.agrees)
    }

    /// Judges an outcome on the affected tokens. Other tokens that the causal model changes may
    /// follow the prediction or not: they are judged separately.
    pub fn judge(&self, outcome: &Outcome, terms: &Terms) -> Judged {
        let tied = (outcome.answer.changed_from(&self.predicted))
            .intersection(outcome.ties)
            .difference(self.silent);
        let silent = self.silent.union(tied);
        let predicted = self.predicted_change().difference(silent);
        let changed = outcome
            .answer
            .changed_from(&self.reference)
            .difference(silent);
        let as_predicted = |&place: &AnswerToken| {
            outcome.answer.get(place) == self.predicted.get(place) && changed.contains(place)
        };
        let right: TokenSet = predicted.iter().filter(as_predicted).collect();
        let off_target = changed.difference(predicted);
        let astray = changed.intersection(predicted).difference(right);
        let reached = predicted.intersection(terms.affected_tokens.on(self.stratum));
        let wrong = if terms.direction_only {
            off_target.union(astray)
        } else {
            off_target.union(reached.difference(right))
        };
        let moves = !right.intersection(reached).is_empty() || reached.is_empty();
        Judged {
            in_reach: !reached.is_empty() || self.predicted_change().is_empty(),
            agrees: wrong.is_empty() && moves,
            moved: !right.is_empty(),
            off_target: !off_target.is_empty() || (terms.direction_only && !astray.is_empty()),
            predicted,
            right,
            astray,
            tied: !tied.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::arithmetic::Question;
    use crate::domain::causal::Stratum;

    fn question(text: &str) -> Question {
        Question::parse(text, 5).unwrap()
    }

    /// A trial of `variable`, and its outcome with these tokens changed from the base answer.
    fn trial(
        variable: &str,
        stratum: Stratum,
        source: &str,
        base: &str,
        got: &[(usize, char)],
    ) -> (Trial, Outcome) {
        let claim = crate::inputs::claims::Claim::parse("P0L0H0".parse().unwrap(), variable);
        let pair = Pair {
            source: Prompt::truth(question(source)),
            base: question(base),
        };
        let truth = Answer::of(&pair.base);
        let mut answer = truth;
        for &(place, token) in got {
            let token = crate::domain::arithmetic::token_of(token).unwrap();
            answer.set(AnswerToken(place), token);
        }
        let trial = Trial {
            stratum,
            pair,
            reference: truth,
            predicted: crate::domain::causal::predict(
                claim.variable.unwrap(),
                &pair.source,
                &pair.base,
            )
            .unwrap(),
            silent: TokenSet::EMPTY,
        };
        let outcome = Outcome {
            answer,
            ties: TokenSet::EMPTY,
        };
        (trial, outcome)
    }

    fn terms(affected_tokens: TokenSet) -> Terms {
        Terms {
            affected_tokens: AffectedTokens::Tokens(affected_tokens),
            direction_only: false,
        }
    }

    #[test]
    fn a_control_pair_that_moves_a_digit_is_off_target_where_the_order_is_at_stake_too() {
        let control_pairs = |got| trial("A0.GT", Stratum::Order, "00007-00002", "00005-00003", got);
        let everything = terms(TokenSet::all(5));
        let (moved, outcome) = control_pairs(&[(2, '7')]);
        let judged = moved.judge(&outcome, &everything);
        assert!(judged.off_target && !judged.agrees);
        let (still, outcome) = control_pairs(&[]);
        assert!(still.judge(&outcome, &everything).agrees);
    }

    #[test]
    fn of_silent_tokens_nothing_is_said() {
        let sign = TokenSet::only(AnswerToken(6));
        let digits = TokenSet::all(5).difference(sign);
        let judge = |got: &[(usize, char)]| {
            let (trial, outcome) =
                trial("A0.GT", Stratum::Order, "00002-00007", "00005-00003", got);
            let silent = Trial {
                silent: digits,
                ..trial
            };
            let everything = terms(TokenSet::all(5));
            [trial, silent].map(|trial| trial.judge(&outcome, &everything).agrees)
        };
        assert_eq!(judge(&[(6, '-')]), [true, true]);
        assert_eq!(judge(&[(6, '-'), (1, '9')]), [false, true]);
        assert_eq!(judge(&[(1, '9')]), [false, false]);
    }

    #[test]
    fn a_numerical_tie_is_neither_right_nor_wrong() {
        let (trial, mut outcome) = trial(
            "A0.SA",
            Stratum::Whole,
            "00003+00004",
            "00001+00001",
            &[(0, '9')],
        );
        let everything = terms(TokenSet::all(5));
        let judged = trial.judge(&outcome, &everything);
        assert!(!judged.agrees && !judged.tied && !judged.astray.is_empty());
        outcome.ties = TokenSet::only(AnswerToken(0));
        let judged = trial.judge(&outcome, &everything);
        assert!(judged.tied && judged.predicted.is_empty() && judged.astray.is_empty());
        assert_eq!(trial.interchange_accuracy(&outcome, &everything), None);
    }

    #[test]
    fn a_trial_outside_the_reach_can_spill_and_cannot_agree() {
        let order = TokenSet::only(AnswerToken(6));
        let cascade = |got| {
            let stratum = Stratum::Depth(1);
            trial("A3.MT", stratum, "00000-01000", "50000-20000", got)
        };
        // A network that answers wrongly may already give the predicted answer unpatched, which
        // shows nothing.
        let (mut same, outcome) = cascade(&[]);
        same.predicted = same.reference;
        assert_eq!(
            same.interchange_accuracy(&outcome, &terms(TokenSet::all(5))),
            None
        );
        let judged = |got| {
            let (trial, outcome) = cascade(got);
            assert_eq!(trial.interchange_accuracy(&outcome, &terms(order)), None);
            trial.judge(&outcome, &terms(order))
        };
        assert!(!judged(&[]).in_reach);
        assert!(!judged(&[]).off_target);
        assert!(judged(&[(6, '-')]).off_target);
    }
}
