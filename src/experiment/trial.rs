//! Trials: patch a node set from a store question into a clean one, and judge what is answered.

use rayon::prelude::*;
use serde::Serialize;

use crate::domain::arithmetic::{Answer, AnswerToken, Prompt, TokenSet};
use crate::domain::causal::{Pair, Quantity, Stratum};
use crate::domain::node::Node;
use crate::network::engine::{
    Activations, Decode, Engine, EngineError, Intervention, Run, Site, Source,
};
use crate::network::logits::AnswerLogits;

/// Lead of the highest logit over the second under which a token is a numerical tie: a rounding
/// error away from another answer, so it refutes nothing (docs/METHOD.md, "Counterexamples").
pub const TIE_MARGIN: f32 = 1e-4;

/// Memory that the base run of one block of trials may take.
const BLOCK_BYTES: usize = 32 << 20;

/// A node set under test.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TestedNodes {
    /// The nodes patched together, sorted.
    pub nodes: Vec<Node>,
    /// Nodes held at their mean in both arms, so that they carry nothing; sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub neutralised: Vec<Node>,
}

impl TestedNodes {
    /// A set of nodes, all else left as it is.
    pub fn of(nodes: impl IntoIterator<Item = Node>) -> Self {
        TestedNodes {
            nodes: sorted(nodes),
            neutralised: Vec::new(),
        }
    }

    /// The same set with other nodes neutralised.
    pub fn with_neutralised(mut self, nodes: impl IntoIterator<Item = Node>) -> Self {
        self.neutralised = sorted(nodes);
        self
    }
}

fn sorted(nodes: impl IntoIterator<Item = Node>) -> Vec<Node> {
    let mut nodes: Vec<Node> = nodes.into_iter().collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

/// Where the patched activation is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFrom {
    /// The pair's store question.
    Store,
    /// The clean question itself: a control that must change nothing.
    Clean,
}

/// What an answer is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// The true answer; trials whose unpatched answer is wrong are dropped.
    Truth,
    /// The network's own unpatched answer, for networks that cannot do the arithmetic.
    Own,
}

/// One trial, before anything is patched.
#[derive(Debug, Clone, Copy)]
pub struct Trial {
    /// The group of pairs it was drawn from.
    pub stratum: Stratum,
    pub pair: Pair,
    /// The answer without the patch.
    pub reference: Answer,
    /// The answer the causal model predicts with it.
    pub predicted: Answer,
}

/// What the network answered in one trial with one subject patched.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub answer: Answer,
    /// Tokens whose lead is under [`TIE_MARGIN`].
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

/// Trials with each subject's outcomes.
#[derive(Debug, Default)]
pub struct TrialBlock {
    pub trials: Vec<Trial>,
    /// `outcomes[subject][trial]`; `None` where the subject's neutralised nodes alone already change
    /// the answer.
    pub outcomes: Vec<Vec<Option<Outcome>>>,
    /// Pairs dropped because the unpatched network answers the clean question wrongly.
    pub dropped: usize,
}

pub struct Bench<'a> {
    pub engine: &'a Engine,
    /// Mean activations of every node, for neutralising.
    pub means: &'a Activations,
    pub decode: Decode,
    /// What they are compared with.
    pub reference: Reference,
    /// Questions run together, at least one. No result hangs on it.
    pub block: usize,
}

/// The questions whose base run takes the memory that a block of trials may have.
pub fn default_block(engine: &Engine) -> usize {
    engine.questions_in(BLOCK_BYTES)
}

impl Bench<'_> {
    /// Runs every subject on every pair, block by block, and hands each block to `consume`.
    ///
    /// # Errors
    /// [`EngineError`] where an intervention was not applied.
    pub fn run(
        &self,
        quantity: impl Into<Quantity>,
        pairs: &[(Stratum, Pair)],
        store_from: StoreFrom,
        subjects: &[TestedNodes],
        mut consume: impl FnMut(TrialBlock),
    ) -> Result<(), EngineError> {
        let quantity = quantity.into();
        for block in pairs.chunks(self.block) {
            consume(self.run_block(quantity, block, store_from, subjects)?);
        }
        Ok(())
    }

    fn run_block(
        &self,
        quantity: Quantity,
        pairs: &[(Stratum, Pair)],
        store_from: StoreFrom,
        subjects: &[TestedNodes],
    ) -> Result<TrialBlock, EngineError> {
        let cleans: Vec<Prompt> = pairs.iter().map(|(_, p)| Prompt::truth(p.clean)).collect();
        let run = self.engine.run(&cleans)?;
        let asked = self.trials(quantity, pairs, &run);
        let dropped = pairs.len() - asked.len();
        let (questions, trials): (Vec<usize>, Vec<Trial>) = asked.into_iter().unzip();
        let (stores, source): (Vec<Prompt>, Source) = match store_from {
            StoreFrom::Store => (
                trials.iter().map(|t| t.pair.store).collect(),
                Source::Stored,
            ),
            StoreFrom::Clean => {
                let clean = |trial: &Trial| Prompt::truth(trial.pair.clean);
                (trials.iter().map(clean).collect(), Source::Own)
            }
        };
        let nodes = subjects.iter().flat_map(|subject| &subject.nodes);
        let stored = (self.engine).activations(&stores, nodes.map(|&node| Site::from(node)))?;
        let asked = ReadyTrials {
            run,
            questions,
            trials,
            stored,
            source,
        };
        // Side by side, since a subject on a few pairs is too little for the engine to share out.
        let outcomes: Result<_, EngineError> = (subjects.par_iter())
            .map(|subject| self.outcomes(&asked, subject))
            .collect();
        Ok(TrialBlock {
            outcomes: outcomes?,
            trials: asked.trials,
            dropped,
        })
    }

    /// The trials that count, each with the place of its clean question in the run.
    fn trials(
        &self,
        quantity: Quantity,
        pairs: &[(Stratum, Pair)],
        run: &Run,
    ) -> Vec<(usize, Trial)> {
        let trial = |(question, &(stratum, pair)): (usize, &(Stratum, Pair))| {
            let truth = Answer::of(&pair.clean);
            let own = run.logits()[question].answer();
            // Teacher-forced right at every token is free-running right too.
            if self.reference == Reference::Truth && own != truth {
                return None;
            }
            let told = (quantity.predict(&pair.store, &pair.clean))
                .expect("pairs are drawn inside the quantity's domain");
            // What the causal model changes in the truth is changed in the network's own answer.
            let mut predicted = own;
            for place in told.changed_from(&truth).iter() {
                predicted.set(place, told.get(place));
            }
            let trial = Trial {
                stratum,
                pair,
                reference: own,
                predicted,
            };
            Some((question, trial))
        };
        pairs.iter().enumerate().filter_map(trial).collect()
    }

    /// What one subject makes of every trial.
    fn outcomes(
        &self,
        asked: &ReadyTrials,
        subject: &TestedNodes,
    ) -> Result<Vec<Option<Outcome>>, EngineError> {
        let held = || {
            let neutralised = subject.neutralised.iter();
            neutralised.map(|&node| self.means.overwrite(0, node, Source::Mean))
        };
        let patched: Vec<(usize, Intervention)> = (asked.questions.iter().enumerate())
            .map(|(trial, &question)| {
                let nodes = subject.nodes.iter();
                let patch = nodes.map(|&node| asked.stored.overwrite(trial, node, asked.source));
                (question, Intervention::new(patch.chain(held())))
            })
            .collect();
        let patched = self.engine.intervene(&asked.run, &patched, self.decode)?;
        let outcomes = patched.iter().map(|logits| Some(Outcome::of(logits)));
        if subject.neutralised.is_empty() {
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

/// Trials ready to be patched.
struct ReadyTrials {
    run: Run,
    /// For each trial, its place in the run.
    questions: Vec<usize>,
    trials: Vec<Trial>,
    /// For each trial, what is patched in.
    stored: Activations,
    source: Source,
}

#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The tokens a subject is judged on.
    pub reach: TokenSet,
    /// Whether only where tokens move is predicted: none must, but those that do must move as
    /// predicted, and one at least.
    pub direction_only: bool,
    pub decode: Decode,
}

impl Terms {
    /// The terms for trials of a quantity, judged on the tokens of `reach`.
    pub fn new(quantity: impl Into<Quantity>, reach: TokenSet, decode: Decode) -> Self {
        Terms {
            reach,
            direction_only: quantity.into().predicts_only_direction(),
            decode,
        }
    }

    /// The same on other tokens.
    pub fn on(self, reach: TokenSet) -> Self {
        Terms { reach, ..self }
    }
}

/// How one outcome compares with what was predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// Whether a change is predicted inside the reach, or none at all. Where only tokens outside it
    /// are to change, the trial can show that others do, and says nothing of agreement and effect.
    pub in_reach: bool,
    /// Exactly as predicted.
    pub agrees: bool,
    /// Some token predicted to change did change.
    pub moved: bool,
    /// Some token the causal model says cannot change did change.
    pub spilled: bool,
    /// The tokens that moved to their predicted value.
    pub right: TokenSet,
    /// The tokens predicted to change that moved elsewhere.
    pub astray: TokenSet,
}

impl Trial {
    /// The tokens the causal model changes.
    pub fn predicted_change(&self) -> TokenSet {
        self.predicted.changed_from(&self.reference)
    }

    /// Whether an outcome agrees with the prediction on the tokens reached; `None` where the trial
    /// says nothing of that: [`Trial::judge`] says nothing, or no token reached is to change.
    pub fn agreement(&self, outcome: &Outcome, terms: Terms) -> Option<bool> {
        if self.predicted_change().intersection(terms.reach).is_empty() {
            return None;
        }
        Some(self.judge(outcome, terms)?.agrees)
    }

    /// Judges an outcome on the tokens reached; tokens outside them that the causal model changes may
    /// follow the prediction or stay. `None` where the trial says nothing, as all that is wrong are
    /// numerical ties.
    pub fn judge(&self, outcome: &Outcome, terms: Terms) -> Option<Judged> {
        let predicted = self.predicted_change();
        let judged = predicted.intersection(terms.reach);
        let mut changed = outcome.answer.changed_from(&self.reference);
        let right: TokenSet = predicted
            .iter()
            .filter(|&place| {
                changed.contains(place) && outcome.answer.get(place) == self.predicted.get(place)
            })
            .collect();
        // Free-running, the digits after a sign turned as predicted are those of the other sign: the
        // network has read it, so only the sign itself is judged there.
        if terms.decode == Decode::Free && self.stratum == Stratum::Order && !right.is_empty() {
            changed = changed.intersection(predicted);
        }
        let spill = changed.difference(predicted);
        let astray = changed.intersection(predicted).difference(right);
        let still = if terms.direction_only {
            TokenSet::EMPTY
        } else {
            judged.difference(changed)
        };
        let wrong = spill.union(astray).union(still);
        if !wrong.is_empty() && wrong.difference(outcome.ties).is_empty() {
            return None;
        }
        let moved = !changed.intersection(judged).is_empty();
        Some(Judged {
            in_reach: !judged.is_empty() || predicted.is_empty(),
            agrees: wrong.is_empty() && (moved || judged.is_empty()),
            moved,
            spilled: !spill.is_empty(),
            right,
            astray,
        })
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

    /// A trial of `variable`, and the outcome with these tokens changed from the clean answer.
    fn trial(
        variable: &str,
        stratum: Stratum,
        store: &str,
        clean: &str,
        got: &[(usize, char)],
    ) -> (Trial, Outcome) {
        let claim = crate::inputs::claims::Claim::parse("P0L0H0".parse().unwrap(), variable);
        let pair = Pair {
            store: Prompt::truth(question(store)),
            clean: question(clean),
        };
        let truth = Answer::of(&pair.clean);
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
                &pair.store,
                &pair.clean,
            )
            .unwrap(),
        };
        let outcome = Outcome {
            answer,
            ties: TokenSet::EMPTY,
        };
        (trial, outcome)
    }

    fn terms(reach: TokenSet, decode: Decode) -> Terms {
        Terms {
            reach,
            direction_only: false,
            decode,
        }
    }

    #[test]
    fn free_running_a_placebo_that_moves_a_digit_is_not_forgiven() {
        let placebo = |got| trial("A0.GT", Stratum::Order, "00007-00002", "00005-00003", got);
        let everything = TokenSet::all(5);
        for decode in [Decode::Forced, Decode::Free] {
            let (trial, outcome) = placebo(&[(2, '7')]);
            let judged = trial.judge(&outcome, terms(everything, decode)).unwrap();
            assert!(judged.spilled && !judged.agrees, "{decode:?}");
            let (trial, outcome) = placebo(&[]);
            let judged = trial.judge(&outcome, terms(everything, decode)).unwrap();
            assert!(judged.agrees, "{decode:?}");
        }
    }

    #[test]
    fn free_running_digits_may_follow_a_sign_that_turned_and_no_other() {
        let telling = |got| trial("A0.GT", Stratum::Order, "00002-00007", "00005-00003", got);
        let judge = |(trial, outcome): (Trial, Outcome), decode| {
            let everything = TokenSet::all(5);
            trial
                .judge(&outcome, terms(everything, decode))
                .unwrap()
                .agrees
        };
        let turned: &[(usize, char)] = &[(6, '-'), (1, '9')];
        assert!(judge(telling(turned), Decode::Free));
        assert!(!judge(telling(turned), Decode::Forced));
        assert!(!judge(telling(&[(1, '9')]), Decode::Free));
    }

    #[test]
    fn a_trial_outside_the_reach_can_spill_and_cannot_agree() {
        let order = TokenSet::only(AnswerToken(6));
        let cascade = |got| {
            let stratum = Stratum::Depth(1);
            trial("A3.MT", stratum, "00000-01000", "50000-20000", got)
        };
        // A network that answers wrongly may give what is predicted without a patch: nothing is shown.
        let (mut same, outcome) = cascade(&[]);
        same.predicted = same.reference;
        let everything = TokenSet::all(5);
        assert_eq!(
            same.agreement(&outcome, terms(everything, Decode::Forced)),
            None
        );
        let judged = |got| {
            let (trial, outcome) = cascade(got);
            let agreement = trial.agreement(&outcome, terms(order, Decode::Forced));
            assert_eq!(agreement, None);
            trial.judge(&outcome, terms(order, Decode::Forced)).unwrap()
        };
        assert!(!judged(&[]).in_reach);
        assert!(!judged(&[]).spilled);
        assert!(judged(&[(6, '-')]).spilled);
    }
}
