//! Switches: what a whole residual stream, a few directions of it, or the heads claimed for a task do to
//! the answer, exchanged between questions that differ in the operator or in the order of the operands.

use serde::Deserialize;

use super::MapError;
use super::lab::{HookAt, Lab, Which};
use super::measure::Row;
use crate::analysis::hypothesis::{Digits, Place};
use crate::domain::arithmetic::{AnswerToken, Class, Operation, Prompt, Question};
use crate::domain::causal::Space;
use crate::domain::site::{Hook, Site};
use crate::domain::task::{Task, Variable};
use crate::experiment::stats::Count;
use crate::experiment::{Act, Asked, Basis, Change, Stage, differences};

/// Pairs of one row, and as many others that directions are learned on.
const PAIRS: usize = 192;

/// What source and base differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Between {
    /// The operator alone: the base subtracts, the source adds the same operands.
    Operator,
    /// The order of the operands, which decides the sign: one of the two is negative. All digits are drawn
    /// anew.
    Order,
    /// Nothing that decides the sign: all digits are drawn anew, and the order is the same.
    SameOrder,
}

/// What is exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Switched {
    /// The residual stream at a place.
    Stream { hook: HookAt, at: Place },
    /// Only the directions of it in which other such pairs differ most.
    Directions {
        hook: HookAt,
        at: Place,
        rank: usize,
    },
    /// The heads that the model's files claim for a task.
    Claimed(Task),
}

/// An exchange. A row for each answer token read: the sign, or a digit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switching {
    pub between: Between,
    /// The digits read, of pairs that differ in the operator.
    pub digits: Option<Digits>,
    pub exchange: Switched,
    #[serde(default)]
    pub which: Which,
}

impl Switching {
    /// Measures a row for each token.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn measure(&self, lab: &Lab, name: &str) -> Result<Vec<Row>, MapError> {
        let shape = lab.shape();
        if ![Class::Sub, Class::Neg]
            .iter()
            .all(|&class| lab.answers(class))
        {
            return Ok(Vec::new());
        }
        let tokens: Vec<AnswerToken> = match (self.between, &self.digits) {
            (Between::Operator, Some(digits)) => digits.values(&shape).map(AnswerToken).collect(),
            _ => vec![shape.sign_token()],
        };
        let mut counts = Vec::new();
        for token in tokens {
            let pairs = self.pairs(lab, token, &format!("{name}/{token}"));
            let learned = self.pairs(lab, token, &format!("{name}/{token}/learned"));
            let Some((of, change)) = self.change(lab, token, &learned)? else {
                continue;
            };
            let count = self.count(lab, token, &pairs, change)?;
            if count.trials > 0 {
                counts.push((format!("{token}: {of}"), count));
            }
        }
        let alpha = lab.options.alpha / (2 * counts.len().max(1)) as f64;
        let row = |(of, count)| Row::count(of, count, alpha);
        Ok(counts.into_iter().map(row).collect())
    }

    /// Different pairs in which the token differs, or, with the same order, any.
    fn pairs(&self, lab: &Lab, token: AnswerToken, name: &str) -> Vec<Asked> {
        let n_digits = lab.shape().n_digits;
        let mut rng = lab.stream(name);
        let samplers = [Class::Sub, Class::Neg].map(|class| {
            let space = Space::of_class(class, n_digits);
            space.sampler()
        });
        let mut pairs: Vec<Asked> = Vec::new();
        for number in 0..PAIRS * DRAWS_PER_PAIR {
            if pairs.len() == PAIRS {
                break;
            }
            let [own, other] = match number % 2 {
                0 => [&samplers[0], &samplers[1]],
                _ => [&samplers[1], &samplers[0]],
            };
            let (base, source) = match self.between {
                Between::Operator => {
                    let base: Question = samplers[0].draw(&mut rng);
                    let (first, second) = (base.first(), base.second());
                    let source = Question::new(first, Operation::Add, second, n_digits);
                    (base, source)
                }
                Between::Order => (own.draw(&mut rng), other.draw(&mut rng)),
                Between::SameOrder => (own.draw(&mut rng), own.draw(&mut rng)),
            };
            let (base, source) = (Prompt::truth(base), Prompt::truth(source));
            let differs = base.forced.get(token) != source.forced.get(token);
            let wanted = differs == (self.between != Between::SameOrder);
            let pair = Asked { source, base };
            if wanted && source != base && !pairs.contains(&pair) {
                pairs.push(pair);
            }
        }
        pairs
    }

    /// What is exchanged, with its name; `None` where the model has no such place or nodes.
    fn change(
        &self,
        lab: &Lab,
        token: AnswerToken,
        learned: &[Asked],
    ) -> Result<Option<(String, Change)>, MapError> {
        let shape = lab.shape();
        let site = |hook: HookAt, at: Place| {
            let point = hook.at.point();
            if point.is_of_head() {
                return None;
            }
            let position = at.position(token.0, &shape)?;
            Some(Site::at(
                position,
                Hook::of(point, hook.layer.number(&shape)),
            ))
        };
        Ok(match self.exchange {
            Switched::Stream { hook, at } => {
                site(hook, at).map(|site| (site.to_string(), Change::new(Act::Swap, [site])))
            }
            Switched::Directions { hook, at, rank } => match site(hook, at) {
                None => None,
                Some(site) => {
                    let differences = differences(lab.engine_of(self.which), learned, site)?;
                    let act = Act::SwapWithin(Basis::of_most_difference(&differences, rank)?);
                    Some((format!("{site}, rank {rank}"), Change::new(act, [site])))
                }
            },
            Switched::Claimed(task) => {
                let is_of = |variable: &Variable| variable.task == task;
                let claimed = lab.claimed_nodes(|claim| claim.variable.as_ref().is_ok_and(is_of));
                let sites: Vec<Site> = claimed.iter().map(|&node| node.into()).collect();
                let names: Vec<String> = sites.iter().map(ToString::to_string).collect();
                (!sites.is_empty()).then(|| (names.join(" "), Change::new(Act::Swap, sites)))
            }
        })
    }

    /// Of the pairs of which the network answers both tokens correctly, those in which the token becomes
    /// the source's, or, with the same order, another. The untrained network is held against its own answer
    /// to the source, where that is another than to the base.
    fn count(
        &self,
        lab: &Lab,
        token: AnswerToken,
        pairs: &[Asked],
        change: Change,
    ) -> Result<Count, MapError> {
        let stage = Stage {
            engine: lab.engine_of(self.which),
            set: &[],
            seed: lab.options.seed,
        };
        let acted = stage.act(pairs, &[change])?;
        let mut count = Count::default();
        for (number, pair) in pairs.iter().enumerate() {
            let (base, source) = (acted.base[number].answer(), acted.source[number].answer());
            let counts = match (self.which, self.between) {
                (Which::Trained, _) => {
                    base.get(token) == pair.base.forced.get(token)
                        && source.get(token) == pair.source.forced.get(token)
                }
                (Which::Untrained, Between::SameOrder) => true,
                (Which::Untrained, _) => base.get(token) != source.get(token),
            };
            if counts {
                let now = acted.changed[0][number].answer().get(token);
                count.add(match self.between {
                    Between::SameOrder => now != base.get(token),
                    _ => now == source.get(token) && now != base.get(token),
                });
            }
        }
        Ok(count)
    }
}

/// Draws for each pair wanted, after which no more are tried.
const DRAWS_PER_PAIR: usize = 20;
