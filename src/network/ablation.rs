//! Ablations: the values that replace a node's own.

use std::fmt;
use std::str::FromStr;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Serialize, Serializer};
use thiserror::Error;

use super::engine::{Activations, Decode, Engine, EngineError, Intervention, Run, Site, Source};
use super::logits::AnswerLogits;
use crate::domain::arithmetic::Prompt;
use crate::domain::node::Node;
use crate::domain::text::deserialize_from_text;

/// The value of an ablated node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ablation {
    /// The mean of its values over a set of questions.
    Mean,
    Zero,
    /// Its value in another, randomly drawn question of a set; the same question for all nodes
    /// ablated together.
    Resample,
}

impl Ablation {
    pub const ALL: [Self; 3] = [Self::Mean, Self::Zero, Self::Resample];

    /// The name in text form.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Zero => "zero",
            Self::Resample => "resample",
        }
    }

    /// An intervention that overwrites sites with a row of values.
    fn intervention<'v>(
        self,
        sites: impl IntoIterator<Item = Site>,
        values: &'v Activations,
        row: usize,
    ) -> Intervention<'v> {
        let source = match self {
            Self::Mean => Source::Mean,
            Self::Zero => Source::Zero,
            Self::Resample => Source::Stored,
        };
        Intervention::new(
            sites
                .into_iter()
                .map(|site| values.overwrite(row, site, source)),
        )
    }
}

impl fmt::Display for Ablation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Ablation {
    type Err = AblationError;

    fn from_str(text: &str) -> Result<Self, AblationError> {
        Self::ALL
            .into_iter()
            .find(|ablation| ablation.name() == text)
            .ok_or_else(|| AblationError::Unknown(text.to_owned()))
    }
}

deserialize_from_text!(Ablation);

impl Serialize for Ablation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Why nodes cannot be ablated.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum AblationError {
    /// Text that does not name an ablation.
    #[error("unknown ablation {0:?}, the known ones are mean, zero and resample")]
    Unknown(String),
    /// The set is too small: on one question, the mean and any resampled value are the node's own
    /// value, and the outcome would read as "no effect".
    #[error(
        "{ablation} ablation takes values from 2 different questions or more, the set has {found}"
    )]
    SetTooSmall { ablation: Ablation, found: usize },
    /// The values cannot be read from the network.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The values that replace those of some sites.
#[derive(Debug, Clone)]
pub struct Replacement<'a> {
    ablation: Ablation,
    sites: Vec<Site>,
    set: &'a [Prompt],
    values: Activations,
}

impl<'a> Replacement<'a> {
    /// Reads from `set` the values that replace those of `sites`. Zero ablation needs no set.
    ///
    /// # Errors
    /// See [`AblationError`].
    pub fn new(
        ablation: Ablation,
        engine: &Engine,
        sites: &[Site],
        set: &'a [Prompt],
    ) -> Result<Self, AblationError> {
        if ablation != Ablation::Zero && !set.iter().any(|prompt| prompt != &set[0]) {
            return Err(AblationError::SetTooSmall {
                ablation,
                found: set.len().min(1),
            });
        }
        let read = sites.iter().copied();
        let values = match ablation {
            Ablation::Mean => engine.mean_activations(set, read)?,
            Ablation::Zero => Activations::zeros(engine, read, 1),
            Ablation::Resample => engine.activations(set, read)?,
        };
        Ok(Self {
            ablation,
            sites: sites.to_vec(),
            set,
            values,
        })
    }

    /// The logits of prompts without and with the sites ablated; `seed` draws what is resampled.
    ///
    /// # Errors
    /// As [`Engine::answers_under`].
    pub fn answers(
        &self,
        engine: &Engine,
        prompts: &[Prompt],
        decode: Decode,
        seed: u64,
    ) -> Result<(Vec<AnswerLogits>, Vec<AnswerLogits>), EngineError> {
        // Not the set's own generator: a drawn set and a read one resample alike.
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        engine.answers_under(prompts, decode, |prompt| {
            self.intervention(prompt, &mut rng)
        })
    }

    /// The intervention that ablates all sites in a run of `prompt`. Only resampling draws random
    /// values.
    pub fn intervention(&self, prompt: &Prompt, rng: &mut impl Rng) -> Intervention<'_> {
        let row = match self.ablation {
            Ablation::Mean | Ablation::Zero => 0,
            // Terminates, because the set has two different questions.
            Ablation::Resample => loop {
                let drawn = rng.random_range(0..self.set.len());
                if &self.set[drawn] != prompt {
                    break drawn;
                }
            },
        };
        let sites = self.sites.iter().copied();
        self.ablation.intervention(sites, &self.values, row)
    }
}

/// Questions on which sets of nodes are ablated. A node's mean is taken over all of the questions;
/// its resampled value is that of the next question, wrapping around.
#[derive(Debug)]
pub struct AblationBench<'a> {
    engine: &'a Engine,
    prompts: Vec<Prompt>,
    nodes: Vec<Node>,
    means: Activations,
}

impl<'a> AblationBench<'a> {
    /// Computes the means of all `nodes` that may be ablated.
    ///
    /// # Errors
    /// [`EngineError::Digits`] where a question has another size than the model's.
    pub fn new(
        engine: &'a Engine,
        prompts: Vec<Prompt>,
        nodes: Vec<Node>,
    ) -> Result<Self, EngineError> {
        let sites = nodes.iter().map(|&node| Site::from(node));
        Ok(Self {
            means: engine.mean_activations(&prompts, sites)?,
            engine,
            prompts,
            nodes,
        })
    }

    pub fn prompts(&self) -> &[Prompt] {
        &self.prompts
    }

    /// Runs up to `limit` of the questions in blocks of `length`; the activations at every node are
    /// held in memory for one block.
    pub fn blocks(
        &self,
        limit: usize,
        length: usize,
    ) -> impl Iterator<Item = Result<AblationBlock<'_>, EngineError>> {
        let starts = (0..limit.min(self.prompts.len())).step_by(length);
        starts.map(move |start| {
            let end = (start + length).min(limit).min(self.prompts.len());
            Ok(AblationBlock {
                run: self.engine.run(&self.prompts[start..end])?,
                bench: self,
                start,
                next: None,
            })
        })
    }
}

/// The unablated runs of consecutive questions.
#[derive(Debug)]
pub struct AblationBlock<'a> {
    bench: &'a AblationBench<'a>,
    start: usize,
    run: Run,
    /// The nodes' activations in each question's next one, read on first use.
    next: Option<Activations>,
}

impl AblationBlock<'_> {
    pub fn prompts(&self) -> &[Prompt] {
        self.run.prompts()
    }

    /// The logits of each question with `nodes` ablated.
    ///
    /// # Errors
    /// [`EngineError`] where an ablation was not applied.
    pub fn ablate(
        &mut self,
        ablation: Ablation,
        nodes: &[Node],
    ) -> Result<Vec<AnswerLogits>, EngineError> {
        let AblationBench { engine, means, .. } = self.bench;
        let zeros;
        let values = match ablation {
            Ablation::Mean => means,
            Ablation::Zero => {
                zeros = Activations::zeros(engine, nodes.iter().map(|&node| node.into()), 1);
                &zeros
            }
            Ablation::Resample => {
                if self.next.is_none() {
                    self.next = Some(self.activations_of_next()?);
                }
                self.next.as_ref().expect("just read")
            }
        };
        let jobs: Vec<(usize, Intervention)> = (0..self.prompts().len())
            .map(|i| {
                let row = if ablation == Ablation::Resample { i } else { 0 };
                let sites = nodes.iter().map(|&node| Site::from(node));
                (i, ablation.intervention(sites, values, row))
            })
            .collect();
        engine.intervene(&self.run, &jobs, Decode::Forced)
    }

    fn activations_of_next(&self) -> Result<Activations, EngineError> {
        let all = &self.bench.prompts;
        let next: Vec<Prompt> = (1..=self.prompts().len())
            .map(|i| all[(self.start + i) % all.len()])
            .collect();
        let sites = self.bench.nodes.iter().map(|&node| Site::from(node));
        self.bench.engine.activations(&next, sites)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::inputs::model::ModelFolder;

    static ENGINE: LazyLock<Engine> =
        LazyLock::new(|| Engine::new(&ModelFolder::bundled().weights));

    fn prompts(texts: &[&str]) -> Vec<Prompt> {
        texts
            .iter()
            .map(|text| Prompt::parse(text, 5).unwrap())
            .collect()
    }

    fn site(name: &str) -> Site {
        name.parse().unwrap()
    }

    #[test]
    fn every_ablation_is_read_back_from_its_name() {
        for ablation in Ablation::ALL {
            assert_eq!(ablation.to_string().parse(), Ok(ablation));
        }
        assert_eq!(
            "median".parse::<Ablation>().unwrap_err().to_string(),
            "unknown ablation \"median\", the known ones are mean, zero and resample"
        );
    }

    #[test]
    fn one_question_is_no_set_to_take_values_from() {
        let set = prompts(&["1+2", "00001+00002"]);
        for (ablation, set, found) in [
            (Ablation::Mean, &set[..], 1),
            (Ablation::Resample, &set[..1], 1),
            (Ablation::Mean, &set[..0], 0),
        ] {
            let error = Replacement::new(ablation, &ENGINE, &[site("P15L0H2")], set).unwrap_err();
            assert_eq!(error, AblationError::SetTooSmall { ablation, found });
        }
    }

    #[test]
    fn zeros_need_no_set() {
        let asked = prompts(&["22222+66966"]);
        let replacement =
            Replacement::new(Ablation::Zero, &ENGINE, &[site("P15L0H2")], &[]).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let intervention = replacement.intervention(&asked[0], &mut rng);
        assert_eq!(intervention.to_string(), "P15L0H2=zero");
        assert!(intervention.overwrites()[0].value.iter().all(|&v| v == 0.0));
    }

    #[test]
    fn a_resampled_value_is_never_the_questions_own() {
        let set = prompts(&["22222+66966", "33333+55555", "22222+66966"]);
        let sites = [site("P15L0H2"), site("P15L0M0")];
        let replacement = Replacement::new(Ablation::Resample, &ENGINE, &sites, &set).unwrap();
        let read = ENGINE.activations(&set, sites).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for _ in 0..20 {
            let intervention = replacement.intervention(&set[0], &mut rng);
            for overwrite in intervention.overwrites() {
                assert_eq!(overwrite.value, read.get(1, overwrite.site));
            }
        }
    }

    #[test]
    fn an_ablation_of_a_node_no_answer_hangs_on_changes_nothing() {
        let set = prompts(&["22222+66966", "33333+55555"]);
        let run = ENGINE.run(&set).unwrap();
        // The last position's logits predict nothing.
        let sites = [site("P18L2M0")];
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for ablation in Ablation::ALL {
            let replacement = Replacement::new(ablation, &ENGINE, &sites, &set).unwrap();
            let jobs: Vec<_> = set
                .iter()
                .map(|prompt| replacement.intervention(prompt, &mut rng))
                .enumerate()
                .collect();
            let logits = ENGINE.intervene(&run, &jobs, Decode::Forced).unwrap();
            assert_eq!(logits, run.logits(), "{ablation}");
        }
    }
}
