//! Causal scrubbing: whether a node matters by nothing but the variables that are claimed of it
//! (L. Chan et al., "Causal scrubbing: a method for rigorously testing interpretability hypotheses",
//! Alignment Forum, 2022).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::criteria::TestBench;
use super::{BLOCK, ClassQuestions, NodeSet, Scoring};
use crate::domain::arithmetic::{Class, Prompt};
use crate::domain::causal::{Sampler, Space, classes, value};
use crate::domain::node::Node;
use crate::domain::task::Variable;
use crate::experiment::resampling::{BootstrapEstimate, bootstrap, recovered};
use crate::experiment::stats::rounded;
use crate::experiment::stream;
use crate::network::engine::{Activations, Decode, EngineError, Intervention, Site, Source};
use crate::network::logits::AnswerLogits;

/// Draws of a question that agrees in the claimed variables before it is given up: one in ten thousand
/// agrees in four digits.
const TRIES: usize = 100_000;

/// Least loss in nats, as a mean over the questions, that must be there to be recovered.
const LEAST_LOSS: f64 = 1e-6;

/// The variables that are claimed of nodes.
pub type Claimed = BTreeMap<Node, BTreeSet<Variable>>;

/// A circuit's claims, scrubbed on the questions of one class. Losses are means over questions of the
/// cross-entropy of the answer tokens, in nats.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Scrubbing {
    /// Nodes of the circuit that get their value from a question that agrees in their claimed variables.
    pub agreeing: usize,
    /// Nodes that get it from any question: those outside the circuit, and those of which nothing is
    /// claimed about the class.
    pub random: usize,
    /// Nodes that keep their own value: those of the circuit without a claim that can be read and, where
    /// the claims alone are scrubbed, those outside.
    pub kept: usize,
    /// Questions scrubbed.
    pub questions: usize,
    /// Questions left out, because no other was drawn that agrees with them in some node's variables.
    pub left_out: usize,
    #[serde(serialize_with = "rounded")]
    pub clean_loss: f64,
    #[serde(serialize_with = "rounded")]
    pub scrubbed_loss: f64,
    /// With each node's value from any question, apart from nodes left as they are.
    #[serde(serialize_with = "rounded")]
    pub random_loss: f64,
    /// Of the clean logits, with the answer of another question for the right one.
    #[serde(serialize_with = "rounded")]
    pub shuffled_loss: f64,
    /// Share of the loss recovered: (scrubbed − random) / (clean − random). Absent where random values
    /// cost no loss, or no question is scrubbed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered: Option<BootstrapEstimate>,
}

/// What becomes of the nodes outside a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// They get their value from any question.
    Random,
    /// They keep their own, also where all nodes of the circuit are random.
    Own,
}

/// Where a node's value comes from.
enum Drawn {
    /// Never from elsewhere.
    Untouched,
    /// From any question of the class.
    Any,
    /// From a question with the same value of these variables.
    Agreeing(Vec<Variable>),
    /// From the question itself.
    Own,
}

impl Drawn {
    /// What the claims about a node of the circuit allow on questions of a class.
    fn of(node: Node, class: Class, keep: &NodeSet, claimed: &Claimed, outside: Outside) -> Self {
        match outside {
            _ if keep.contains(&node) => {}
            Outside::Random => return Drawn::Any,
            Outside::Own => return Drawn::Untouched,
        }
        let Some(variables) = claimed.get(&node) else {
            return Drawn::Own;
        };
        let about = |variable: &&Variable| classes(variable.task).contains(&class);
        let about: Vec<Variable> = variables.iter().filter(about).copied().collect();
        match about.is_empty() {
            true => Drawn::Any,
            false => Drawn::Agreeing(about),
        }
    }
}

/// Where the values of one node come from, by question.
struct Draws {
    node: Node,
    any: Vec<Prompt>,
    /// `None` where no question was found.
    scrubbed: Vec<Option<Prompt>>,
}

/// Draws other questions of a class.
struct Others<'a> {
    sampler: Sampler,
    class: Class,
    prompts: &'a [Prompt],
    seed: u64,
}

impl Others<'_> {
    /// The questions that a node's values come from. Each node has draws of its own.
    fn draw(&self, node: Node, drawn: &Drawn) -> Draws {
        let name = format!("scrubbing/{}/{node}", self.class);
        let mut rng = stream(self.seed, &name);
        let mut another = |prompt: &Prompt| loop {
            let other = self.sampler.draw(&mut rng);
            if other != prompt.question {
                break Prompt::truth(other);
            }
        };
        let any: Vec<Prompt> = match drawn {
            Drawn::Untouched => self.prompts.to_vec(),
            _ => self.prompts.iter().map(&mut another).collect(),
        };
        let scrubbed = match drawn {
            Drawn::Any => any.iter().copied().map(Some).collect(),
            Drawn::Own | Drawn::Untouched => self.prompts.iter().copied().map(Some).collect(),
            Drawn::Agreeing(variables) => {
                let agreeing = |prompt: &Prompt| {
                    let agrees = |other: &Prompt| {
                        let same = |&variable| value(variable, other) == value(variable, prompt);
                        variables.iter().all(same)
                    };
                    (0..TRIES).map(|_| another(prompt)).find(agrees)
                };
                self.prompts.iter().map(agreeing).collect()
            }
        };
        Draws {
            node,
            any,
            scrubbed,
        }
    }
}

/// The losses of each question.
#[derive(Default)]
struct Losses {
    clean: Vec<f64>,
    scrubbed: Vec<f64>,
    random: Vec<f64>,
    shuffled: Vec<f64>,
}

impl TestBench<'_> {
    /// Scrubs the claims of a circuit on the questions of one class.
    pub(super) fn scrub(
        &self,
        questions: &ClassQuestions,
        keep: &NodeSet,
        claimed: &Claimed,
        outside: Outside,
        testing: Scoring,
    ) -> Result<Scrubbing, EngineError> {
        let class = questions.class;
        let drawn: Vec<(Node, Drawn)> = (self.nodes().iter())
            .map(|&node| (node, Drawn::of(node, class, keep, claimed, outside)))
            .collect();
        let others = Others {
            sampler: Space::of_class(class, self.engine.shape().n_digits).sampler(),
            class,
            prompts: questions.prompts(),
            seed: testing.seed,
        };
        let draws: Vec<Draws> = (drawn.iter())
            .map(|(node, drawn)| others.draw(*node, drawn))
            .collect();
        let all = 0..questions.prompts().len();
        let scrubbed: Vec<usize> = all
            .filter(|&question| draws.iter().all(|draws| draws.scrubbed[question].is_some()))
            .collect();
        let mut losses = Losses::default();
        for block in scrubbed.chunks(BLOCK) {
            self.scrub_block(questions.prompts(), block, &draws, &mut losses)?;
        }
        let count =
            |kind: fn(&Drawn) -> bool| drawn.iter().filter(|(_, drawn)| kind(drawn)).count();
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len().max(1) as f64;
        Ok(Scrubbing {
            agreeing: count(|drawn| matches!(drawn, Drawn::Agreeing(_))),
            random: count(|drawn| matches!(drawn, Drawn::Any)),
            kept: count(|drawn| matches!(drawn, Drawn::Own | Drawn::Untouched)),
            questions: scrubbed.len(),
            left_out: questions.prompts().len() - scrubbed.len(),
            clean_loss: mean(&losses.clean),
            scrubbed_loss: mean(&losses.scrubbed),
            random_loss: mean(&losses.random),
            shuffled_loss: mean(&losses.shuffled),
            recovered: losses.recovered(class, testing),
        })
    }

    /// Adds the losses of some questions.
    fn scrub_block(
        &self,
        prompts: &[Prompt],
        block: &[usize],
        draws: &[Draws],
        losses: &mut Losses,
    ) -> Result<(), EngineError> {
        let asked: Vec<Prompt> = block.iter().map(|&question| prompts[question]).collect();
        let run = self.engine.run(&asked)?;
        let under = |from: &dyn Fn(&Draws, usize) -> Prompt| {
            let mut values: Vec<(Site, Activations)> = Vec::new();
            for draws in draws {
                let sources: Vec<Prompt> = block.iter().map(|&q| from(draws, q)).collect();
                let site = Site::from(draws.node);
                values.push((site, self.engine.activations(&sources, [site])?));
            }
            let jobs: Vec<(usize, Intervention)> = (0..block.len())
                .map(|row| {
                    let overwrites = values.iter();
                    let overwrites =
                        overwrites.map(|(site, read)| read.overwrite(row, *site, Source::Stored));
                    (row, Intervention::new(overwrites))
                })
                .collect();
            self.engine.intervene(&run, &jobs, Decode::Forced)
        };
        let loss = |logits: &[AnswerLogits], of: &mut Vec<f64>| {
            let each = logits.iter().zip(&asked);
            of.extend(each.map(|(logits, prompt)| logits.loss(&prompt.forced)));
        };
        loss(run.logits(), &mut losses.clean);
        let scrubbed = |draws: &Draws, q: usize| draws.scrubbed[q].unwrap_or(prompts[q]);
        loss(&under(&scrubbed)?, &mut losses.scrubbed);
        loss(&under(&|draws, q| draws.any[q])?, &mut losses.random);
        let wrong = block
            .iter()
            .map(|&q| prompts[(q + 1) % prompts.len()].forced);
        let shuffled = run.logits().iter().zip(wrong);
        let shuffled = shuffled.map(|(logits, wrong)| logits.loss(&wrong));
        losses.shuffled.extend(shuffled);
        Ok(())
    }
}

impl Losses {
    /// The share of the loss recovered.
    fn recovered(&self, class: Class, testing: Scoring) -> Option<BootstrapEstimate> {
        // What is recovered is likelihood.
        let likelihood = |losses: &[f64]| losses.iter().map(|loss| -loss).collect::<Vec<f64>>();
        let [clean, scrubbed, random] =
            [&self.clean, &self.scrubbed, &self.random].map(|losses| likelihood(losses));
        if clean.is_empty() {
            return None;
        }
        let mut rng = stream(testing.seed, &format!("scrubbing/{class}"));
        let estimates = bootstrap(clean.len(), testing.alpha, &mut rng, |times| {
            let share = recovered(&scrubbed, &random, &clean, times, LEAST_LOSS);
            share.map(|share| vec![share])
        });
        estimates?.pop()
    }
}
