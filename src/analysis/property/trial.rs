//! Trials: runs cases on the model in batches, and judges its answers.

use std::num::NonZeroUsize;

use super::Property;
use super::case::Case;
use super::clause::{Clause, Relation};
use super::template::{Ask, Template};
use crate::domain::arithmetic::{Answer, AnswerToken, Prompt, Question, power_of_ten};
use crate::domain::shape::D_VOCAB;
use crate::experiment::TIE_MARGIN;
use crate::network::engine::{Decode, Engine, EngineError, Intervention};
use crate::network::logits::AnswerLogits;

/// Memory that the base run of free-running questions may use.
const FREE_RUN_BYTES: usize = 32 << 20;

/// Default number of cases run together: enough for every thread, with at most a few megabytes of
/// logits.
pub const DEFAULT_BATCH: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The model's answer to one question of a case.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    pub question: Question,
    /// How its answer was decoded.
    pub decode: Decode,
    pub logits: AnswerLogits,
}

impl Given {
    pub fn truth(&self) -> Answer {
        Answer::of(&self.question)
    }

    /// Lead in logits of the right token over every other; negative if another leads.
    pub fn lead(&self, place: AnswerToken) -> f32 {
        let row = self.logits.row(place);
        let right = usize::from(self.truth().get(place));
        let other = (0..D_VOCAB)
            .filter(|&token| token != right)
            .map(|token| row[token])
            .fold(f32::NEG_INFINITY, f32::max);
        row[right] - other
    }

    /// The wrong tokens, highest first.
    fn wrong(&self) -> Vec<AnswerToken> {
        let wrong = self.logits.answer().changed_from(&self.truth());
        wrong.iter().collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The index of the first of the case's questions answered wrongly.
    pub asked: usize,
    /// Its highest wrong token.
    pub place: AnswerToken,
}

/// The outcome of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaseOutcome {
    /// The relation holds.
    Holds,
    /// The relation does not hold.
    Fails(Fault),
    /// The relation does not hold, but only within rounding error of the logits.
    Tie,
}

impl CaseOutcome {
    /// Whether the case fails.
    pub fn fails(self) -> bool {
        matches!(self, CaseOutcome::Fails(_))
    }
}

/// A case after its questions were run.
#[derive(Debug, Clone, PartialEq)]
pub struct TriedCase {
    pub outcome: CaseOutcome,
    /// Every question asked, in order.
    pub given: Vec<Given>,
}

/// The model that cases are tried on.
#[derive(Debug, Clone, Copy)]
pub struct Examiner<'a> {
    pub engine: &'a Engine,
    /// How answers are decoded where a clause does not specify it.
    pub decode: Decode,
    /// Cases run together. Does not affect results.
    pub batch: NonZeroUsize,
}

impl Examiner<'_> {
    /// Runs cases batch by batch, and passes each with its index to `consume`, in order.
    ///
    /// # Errors
    /// [`EngineError`], which does not occur for questions made for this model.
    pub fn examine(
        &self,
        property: &Property,
        cases: &[Case],
        mut consume: impl FnMut(usize, TriedCase),
    ) -> Result<(), EngineError> {
        for (index, batch) in cases.chunks(self.batch.get()).enumerate() {
            for (i, tried) in self.examine_batch(property, batch)?.into_iter().enumerate() {
                consume(index * self.batch.get() + i, tried);
            }
        }
        Ok(())
    }

    fn examine_batch(
        &self,
        property: &Property,
        cases: &[Case],
    ) -> Result<Vec<TriedCase>, EngineError> {
        let asks: Vec<Vec<(&Ask, Option<Decode>)>> =
            property.clauses.iter().map(Clause::asks).collect();
        let rounds = asks.iter().map(Vec::len).max().unwrap_or(0);
        let mut given: Vec<Vec<Given>> = vec![Vec::new(); cases.len()];
        let mut broken = vec![false; cases.len()];
        for round in 0..rounds {
            for decode in [Decode::Forced, Decode::Free] {
                let mut asked = Vec::new();
                for (i, case) in cases.iter().enumerate() {
                    let Some((ask, own)) = asks[case.clause].get(round) else {
                        continue;
                    };
                    if broken[i] || own.unwrap_or(self.decode) != decode || given[i].len() > round {
                        continue;
                    }
                    let clause = &property.clauses[case.clause];
                    match question(clause, ask, case, &given[i]) {
                        Some(question) => asked.push((i, question)),
                        None => broken[i] = true,
                    }
                }
                let prompts: Vec<Prompt> = asked.iter().map(|&(_, q)| Prompt::truth(q)).collect();
                let logits = self.read(&prompts, decode)?;
                for ((i, question), logits) in asked.into_iter().zip(logits) {
                    given[i].push(Given {
                        question,
                        decode,
                        logits,
                    });
                }
            }
        }
        Ok(cases
            .iter()
            .zip(given)
            .map(|(case, given)| TriedCase {
                outcome: judge(&property.clauses[case.clause], case, &given),
                given,
            })
            .collect())
    }

    fn read(&self, prompts: &[Prompt], decode: Decode) -> Result<Vec<AnswerLogits>, EngineError> {
        let mut logits = self.engine.logits(prompts)?;
        if decode == Decode::Free {
            // If teacher-forced answers are right at every token, the free-running answer is the
            // same.
            let differs: Vec<usize> = (0..prompts.len())
                .filter(|&i| logits[i].answer() != prompts[i].forced)
                .collect();
            for part in differs.chunks(self.engine.questions_in(FREE_RUN_BYTES)) {
                let prompts: Vec<Prompt> = part.iter().map(|&i| prompts[i]).collect();
                let run = self.engine.run(&prompts)?;
                let jobs: Vec<(usize, Intervention)> = (0..prompts.len())
                    .map(|i| (i, Intervention::default()))
                    .collect();
                let free = self.engine.intervene(&run, &jobs, Decode::Free)?;
                for (&i, free) in part.iter().zip(free) {
                    logits[i] = free;
                }
            }
        }
        Ok(logits)
    }
}

/// The question of an ask, with the model's own answers in place of nested asks; `None` if such an
/// answer is not a number that can be used as an operand.
fn question(clause: &Clause, ask: &Ask, case: &Case, given: &[Given]) -> Option<Question> {
    let mut used = 0;
    // The nested asks are the last that were answered, in order.
    let inner = ask.first.asks().len() + ask.second.asks().len();
    let answered = &given[given.len() - inner..];
    let mut operand = |template: &Template| match template {
        Template::Number(pieces) => clause.number(pieces, case),
        Template::Ask(_) => {
            used += template.asks().len();
            let answer = answered[used - 1].logits.answer().integer()?;
            let number = u128::try_from(answer).ok()?;
            (number < power_of_ten(clause.n_digits())).then_some(number)
        }
    };
    let (first, second) = (operand(&ask.first)?, operand(&ask.second)?);
    Some(Question::new(
        first,
        ask.operation,
        second,
        clause.n_digits(),
    ))
}

fn judge(clause: &Clause, case: &Case, given: &[Given]) -> CaseOutcome {
    if let Relation::Leads(margin) = clause.relation() {
        return judge_lead(margin, given);
    }
    let asks: Vec<usize> = clause
        .sides()
        .map(|side| side.template.asks().len())
        .collect();
    let complete = given.len() == asks.iter().sum::<usize>();
    let mut end = 0;
    let mut sides = Vec::new();
    for (side, asks) in clause.sides().zip(&asks) {
        end += asks;
        let answer = match &side.template {
            Template::Number(pieces) => clause
                .number(pieces, case)
                .map(|number| Answer::from_integer(false, number, clause.n_digits())),
            Template::Ask(_) => given.get(end - 1).map(|given| given.logits.answer()),
        };
        sides.push(answer);
    }
    let related = |left: &Answer, right: &Answer| clause.relation().holds(left, right);
    if clause.relation() == Relation::Right {
        let truth = clause.true_answers(case).map(|answers| answers[0]);
        sides.push(truth);
    }
    let differ = match &sides[..] {
        _ if !complete => None,
        [Some(left), Some(right)] if related(left, right) => return CaseOutcome::Holds,
        [Some(left), Some(right)] => left.changed_from(right).iter().next(),
        _ => None,
    };
    let wrong: Vec<(usize, AnswerToken)> = given
        .iter()
        .enumerate()
        .flat_map(|(asked, given)| given.wrong().into_iter().map(move |place| (asked, place)))
        .collect();
    match wrong.first() {
        Some(_)
            if wrong
                .iter()
                .all(|&(asked, place)| given[asked].logits.margin(place) < TIE_MARGIN) =>
        {
            CaseOutcome::Tie
        }
        Some(&(asked, place)) => CaseOutcome::Fails(Fault { asked, place }),
        // All answers are correct: the relation is not true of the arithmetic.
        None => CaseOutcome::Fails(Fault {
            asked: given.len() - 1,
            place: differ.unwrap_or(AnswerToken(0)),
        }),
    }
}

fn judge_lead(margin: f32, given: &[Given]) -> CaseOutcome {
    let asked = given.len() - 1;
    let last = &given[asked];
    let places = (0..last.logits.rows().len()).rev().map(AnswerToken);
    let least = places
        .map(|place| (last.lead(place), place))
        .min_by(|(a, _), (b, _)| a.total_cmp(b));
    match least {
        Some((lead, place)) if lead < margin - TIE_MARGIN => {
            CaseOutcome::Fails(Fault { asked, place })
        }
        Some((lead, _)) if lead < margin => CaseOutcome::Tie,
        _ => CaseOutcome::Holds,
    }
}
