//! Runs an experiment: draws its pairs, acts, reads, counts, and applies the rule.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::Array2;
use rand::Rng;
use rand::seq::SliceRandom;
use serde::Serialize;
use thiserror::Error;

use super::super::act::{Act, ActError, Acted, Asked, Basis, Change, Place, Stage, differences};
use super::super::rng::stream;
use super::super::stats::{Bounds, Count, Errors, Rate, mean_bounds, median_bounds};
use super::check::{check, check_fits};
use super::target::Target;
use super::{Control, Experiment, Pairs, Reading, Rule, Step};
use crate::domain::arithmetic::{Answer, AnswerToken, Class, Prompt, Question, TokenSet};
use crate::domain::causal::{Family, Kind, Space, predict};
use crate::domain::node::{Component, Node, NodeError, NodeName};
use crate::domain::shape::Shape;
use crate::domain::site::{Hook, Point, Site, SiteError};
use crate::domain::task::Variable;
use crate::inputs::model::Weights;
use crate::network::engine::{Engine, EngineError};
use crate::network::logits::AnswerLogits;

/// The name of the draws of pairs that are judged.
const JUDGED: &str = "judged";

/// Questions that means, resampled values, subspaces and directions are taken from.
const LEARNED_FROM: usize = 256;

/// Shares of the way at which an interpolation is read.
const SHARES: usize = 20;

/// Share of a logit difference's change that a step leaves out at each end.
const TAIL: f64 = 0.1;

/// Logit differences that change by less than this have no step.
const NO_CHANGE: f64 = 1e-3;

/// The seed of untrained weights.
const UNTRAINED: u64 = 1;

/// Why an experiment cannot be run.
#[derive(Debug, Error, Clone, PartialEq)]
pub enum AssayError {
    #[error(transparent)]
    Act(#[from] ActError),
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Something that does not go together.
    #[error("{0}")]
    Unfit(String),
    /// No pair of the kind exists, or none tells anything.
    #[error(
        "no pair is left of {drawn} drawn: the network answers their base questions wrongly, or what is read is not to change in them"
    )]
    NoPairs { drawn: usize },
}

impl From<EngineError> for AssayError {
    fn from(error: EngineError) -> Self {
        AssayError::Act(error.into())
    }
}

impl From<SiteError> for AssayError {
    fn from(error: SiteError) -> Self {
        AssayError::Act(error.into())
    }
}

/// The model that an experiment is run on.
#[derive(Debug, Clone, Copy)]
pub struct ExperimentSetting<'a> {
    pub engine: &'a Engine,
    /// The nodes claimed for variables.
    pub claimed: &'a [(NodeName, Variable)],
    pub seed: u64,
}

/// What was read, with its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimate {
    /// Of pairs that are counted.
    Rate(Rate),
    /// The median of a value of each pair, with bounds from order statistics.
    Median {
        median: f64,
        bounds: Bounds,
        pairs: u64,
    },
    /// The mean of a share, with bounds by [`mean_bounds`].
    Mean {
        mean: f64,
        bounds: Bounds,
        pairs: u64,
    },
}

impl Estimate {
    /// The bounds that the rule looks at.
    pub fn bounds(&self) -> Bounds {
        match self {
            Estimate::Rate(rate) => Bounds {
                lower: rate.lower,
                upper: rate.upper,
            },
            Estimate::Median { bounds, .. } | Estimate::Mean { bounds, .. } => *bounds,
        }
    }

    /// The share, median or mean itself.
    pub fn value(&self) -> f64 {
        match self {
            Estimate::Rate(rate) => rate.share(),
            Estimate::Median { median, .. } => *median,
            Estimate::Mean { mean, .. } => *mean,
        }
    }
}

/// What was read in one condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// The condition in words.
    pub condition: String,
    pub figure: Estimate,
    /// Pairs left out: the base question is answered wrongly, or the pair tells nothing.
    pub dropped: usize,
}

/// Whether an experiment shows what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExperimentVerdict {
    /// Every bound is on the rule's side.
    Shown,
    /// The act meets the rule, and a control does not.
    ControlFails,
    /// A bound is on the other side.
    NotShown,
    /// A bound is on neither.
    Open,
}

impl ExperimentVerdict {
    pub const fn name(self) -> &'static str {
        match self {
            ExperimentVerdict::Shown => "shown",
            ExperimentVerdict::ControlFails => "control fails",
            ExperimentVerdict::NotShown => "not shown",
            ExperimentVerdict::Open => "open",
        }
    }
}

/// An experiment with what it gave: all that is needed to rerun it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExperimentResult {
    pub experiment: Experiment,
    /// The experiment as a sentence.
    pub sentence: String,
    /// The nodes that the model's claims give for the variables named.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claimed: BTreeMap<Variable, Vec<NodeName>>,
    pub seed: u64,
    pub measured: Measured,
    pub controls: Vec<Measured>,
    pub verdict: ExperimentVerdict,
}

/// A pair with the answers that are compared.
#[derive(Debug, Clone, Copy)]
struct Case {
    asked: Asked,
    /// The base question's answer with what is predicted to change.
    predicted: Answer,
}

/// Runs an experiment.
///
/// # Errors
/// See [`AssayError`].
pub fn run(
    experiment: &Experiment,
    setting: &ExperimentSetting,
) -> Result<ExperimentResult, AssayError> {
    check(experiment)?;
    check_fits(experiment, &setting.engine.shape())?;
    let errors = Errors::even(experiment.rule.alpha / (2 * (1 + experiment.control.len())) as f64);
    let bench = Assay {
        experiment,
        setting,
        errors,
    };
    let cases = bench.cases(Kind::Counterfactual)?;
    let measured = bench.measure(
        setting.engine,
        &cases,
        &experiment.act,
        &experiment.read,
        Truth::Right,
    )?;
    if measured.dropped == cases.len() {
        return Err(AssayError::NoPairs { drawn: cases.len() });
    }
    let measured = Measured {
        condition: experiment.pairs.to_string(),
        ..measured
    };
    let controls = (experiment.control.iter())
        .map(|control| bench.control(control, &cases))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(ExperimentResult {
        experiment: experiment.clone(),
        sentence: experiment.to_string(),
        claimed: named_claims(experiment, setting),
        seed: setting.seed,
        verdict: decide(&experiment.rule, &measured, &controls),
        measured,
        controls,
    })
}

/// The nodes claimed for the variables that an experiment names.
fn named_claims(
    experiment: &Experiment,
    setting: &ExperimentSetting,
) -> BTreeMap<Variable, Vec<NodeName>> {
    let elsewhere = experiment.control.iter().map(|control| match control {
        Control::Elsewhere { at } => at.as_slice(),
        _ => &[],
    });
    let targets = experiment
        .act
        .iter()
        .map(Step::at)
        .chain(elsewhere)
        .flatten();
    let named = targets.filter_map(|target| match target {
        Target::Claimed(variable) => Some(*variable),
        _ => None,
    });
    let nodes = |variable: Variable| {
        let of = setting
            .claimed
            .iter()
            .filter(|(_, other)| *other == variable);
        (variable, of.map(|(node, _)| *node).collect())
    };
    named.map(nodes).collect()
}

fn decide(rule: &Rule, measured: &Measured, controls: &[Measured]) -> ExperimentVerdict {
    let Bounds { lower, upper } = measured.figure.bounds();
    let met = rule.at_least.is_none_or(|least| lower >= least)
        && rule.at_most.is_none_or(|most| upper <= most);
    let missed = rule.at_least.is_some_and(|least| upper < least)
        || rule.at_most.is_some_and(|most| lower > most);
    let most = rule.control_at_most.unwrap_or(f64::INFINITY);
    let clean = (controls.iter()).all(|control| control.figure.bounds().upper <= most);
    let dirty = (controls.iter()).any(|control| control.figure.bounds().lower > most);
    match (met, missed) {
        (_, true) => ExperimentVerdict::NotShown,
        (true, _) if dirty => ExperimentVerdict::ControlFails,
        (true, _) if clean => ExperimentVerdict::Shown,
        _ => ExperimentVerdict::Open,
    }
}

/// Which base questions count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    /// Those that the network answers correctly.
    Right,
    /// All: an untrained network is held against its own answers.
    Own,
}

impl Truth {
    /// The base question's own answer with what is predicted to change; `None` if the question does not
    /// count. Where the source's answer is predicted, an untrained network's own stands for it, so that
    /// what any network does shows in it too.
    fn predicted(self, case: &Case, own: &Answer, source: &AnswerLogits) -> Option<Answer> {
        let truth = case.asked.base.forced;
        if self == Truth::Right && *own != truth {
            return None;
        }
        let source = source.answer();
        let mut predicted = *own;
        for place in case.predicted.changed_from(&truth).iter() {
            let token = case.predicted.get(place);
            let is_source_s = token == case.asked.source.forced.get(place);
            let own_source_s = self == Truth::Own && is_source_s;
            predicted.set(
                place,
                if own_source_s {
                    source.get(place)
                } else {
                    token
                },
            );
        }
        Some(predicted)
    }
}

/// An experiment at work.
struct Assay<'a> {
    experiment: &'a Experiment,
    setting: &'a ExperimentSetting<'a>,
    /// Of each condition.
    errors: Errors,
}

impl Assay<'_> {
    fn shape(&self) -> Shape {
        self.setting.engine.shape()
    }

    /// The pairs of the experiment, or others that its subspaces and means are learned on.
    fn cases(&self, kind: Kind) -> Result<Vec<Case>, AssayError> {
        self.drawn(kind, JUDGED, self.count())
    }

    fn count(&self) -> usize {
        match &self.experiment.pairs {
            Pairs::Variable { count, .. } | Pairs::Class { count, .. } => *count,
            Pairs::Given { pairs } => pairs.len(),
        }
    }

    fn drawn(&self, kind: Kind, name: &str, count: usize) -> Result<Vec<Case>, AssayError> {
        let n_digits = self.shape().n_digits;
        let mut rng = stream(self.setting.seed, &format!("experiment/{name}/{kind:?}"));
        let by_source = |source: Prompt, base: Prompt| Case {
            asked: Asked { source, base },
            predicted: source.forced,
        };
        Ok(match &self.experiment.pairs {
            Pairs::Variable { variable, .. } => {
                let family = Family::new(*variable, kind, n_digits);
                let pairs = family.draws().take(count, &mut rng);
                let case = |pair: crate::domain::causal::Pair| {
                    let predicted = predict(*variable, &pair.source, &pair.base);
                    Case {
                        asked: Asked {
                            source: pair.source,
                            base: Prompt::truth(pair.base),
                        },
                        predicted: predicted.expect("pairs are drawn inside the domain"),
                    }
                };
                pairs.into_iter().map(|(_, pair)| case(pair)).collect()
            }
            Pairs::Class { class, source, .. } => {
                let space = |class: Class| Space::of_class(class, n_digits);
                let (bases, sources) = (space(*class), space(source.unwrap_or(*class)));
                let (bases, sources) = (bases.sampler(), sources.sampler());
                let mut draw = || {
                    let base: Question = bases.draw(&mut rng);
                    by_source(Prompt::truth(sources.draw(&mut rng)), Prompt::truth(base))
                };
                (0..count).map(|_| draw()).collect()
            }
            Pairs::Given { pairs } => (pairs.iter())
                .map(|&(source, base)| by_source(source, base))
                .collect(),
        })
    }

    /// Acts on pairs and reads.
    fn measure(
        &self,
        engine: &Engine,
        cases: &[Case],
        steps: &[Step],
        reading: &Reading,
        truth: Truth,
    ) -> Result<Measured, AssayError> {
        let (figure, used) = match reading {
            Reading::Attention { head, on } => self.attention(engine, cases, *head, on)?,
            Reading::StepWidth { token } => self.step_width(engine, cases, steps, *token, truth)?,
            _ => {
                let change = self.change(engine, steps, None)?;
                let acted = self.act(engine, cases, &[change])?;
                self.figure(cases, &acted, reading, truth)
            }
        };
        Ok(Measured {
            condition: String::new(),
            figure,
            dropped: cases.len() - used,
        })
    }

    fn act(
        &self,
        engine: &Engine,
        cases: &[Case],
        changes: &[Change],
    ) -> Result<Acted, AssayError> {
        let learned = self.drawn(Kind::Counterfactual, "learned", LEARNED_FROM)?;
        let set: Vec<Prompt> = learned.iter().map(|case| case.asked.base).collect();
        let stage = Stage {
            engine,
            set: &set,
            seed: self.setting.seed,
        };
        let asked: Vec<Asked> = cases.iter().map(|case| case.asked).collect();
        Ok(stage.act(&asked, changes)?)
    }

    /// Counts pairs, or takes the median of their values; and how many were used.
    fn figure(
        &self,
        cases: &[Case],
        acted: &Acted,
        reading: &Reading,
        truth: Truth,
    ) -> (Estimate, usize) {
        if let Reading::LogitDifference { token } = reading {
            let value = |(i, case): (usize, &Case)| {
                let own = acted.base[i].answer();
                let predicted = truth.predicted(case, &own, &acted.source[i])?;
                let moves = predicted.changed_from(&own).contains(*token);
                moves.then(|| lead(&acted.changed[0][i], *token, &predicted, &own))
            };
            let mut values: Vec<f64> = cases.iter().enumerate().filter_map(value).collect();
            return (self.median(&mut values), values.len());
        }
        let mut count = Count::default();
        for outcome in outcomes(cases, acted, reading, truth).into_iter().flatten() {
            count.add(outcome);
        }
        let rate = Rate::new(count, false, self.errors);
        (Estimate::Rate(rate), count.trials as usize)
    }

    fn median(&self, values: &mut [f64]) -> Estimate {
        values.sort_by(f64::total_cmp);
        Estimate::Median {
            median: match values.len() {
                0 => f64::NAN,
                length => f64::midpoint(values[(length - 1) / 2], values[length / 2]),
            },
            bounds: median_bounds(values, self.errors),
            pairs: values.len() as u64,
        }
    }

    fn mean(&self, shares: &[f64]) -> Estimate {
        Estimate::Mean {
            mean: shares.iter().sum::<f64>() / shares.len() as f64,
            bounds: mean_bounds(shares, self.errors),
            pairs: shares.len() as u64,
        }
    }

    /// The median share of an interpolation in which the logit difference makes most of its change.
    fn step_width(
        &self,
        engine: &Engine,
        cases: &[Case],
        steps: &[Step],
        token: AnswerToken,
        truth: Truth,
    ) -> Result<(Estimate, usize), AssayError> {
        let is_sweep = |step: &Step| matches!(step, Step::Interpolate { share: None, .. });
        if !steps.iter().any(is_sweep) {
            let message = "step_width is read of an interpolation without a share";
            return Err(AssayError::Unfit(message.into()));
        }
        let changes = (0..=SHARES)
            .map(|i| self.change(engine, steps, Some(i as f64 / SHARES as f64)))
            .collect::<Result<Vec<_>, _>>()?;
        let acted = self.act(engine, cases, &changes)?;
        let mut widths = Vec::new();
        for (i, case) in cases.iter().enumerate() {
            let own = acted.base[i].answer();
            let Some(predicted) = truth.predicted(case, &own, &acted.source[i]) else {
                continue;
            };
            if !predicted.changed_from(&own).contains(token) {
                continue;
            }
            let curve = acted.changed.iter();
            let curve: Vec<f64> = curve
                .map(|logits| lead(&logits[i], token, &predicted, &own))
                .collect();
            widths.extend(width_of_step(&curve));
        }
        Ok((self.median(&mut widths), widths.len()))
    }

    /// The mean attention that a head gives to positions, in the base questions' runs.
    fn attention(
        &self,
        engine: &Engine,
        cases: &[Case],
        head: NodeName,
        on: &[usize],
    ) -> Result<(Estimate, usize), AssayError> {
        head.resolve(&self.shape())?;
        let Component::Head(number) = head.component else {
            let message = format!("{head} is an MLP: expected a head, such as P15L0H1");
            return Err(AssayError::Unfit(message));
        };
        if let Some(key) = on.iter().find(|&&key| key > head.position) {
            let message = format!("{head} cannot attend to P{key}, which is after it");
            return Err(AssayError::Unfit(message));
        }
        let site = Site::of_head(head.position, Hook::of(Point::Pattern, head.layer), number);
        let prompts: Vec<Prompt> = cases.iter().map(|case| case.asked.base).collect();
        let read = engine.activations(&prompts, [site])?;
        let on: BTreeSet<usize> = on.iter().copied().collect();
        let mass = |prompt: usize| -> f64 {
            let weights = read.get(prompt, site);
            on.iter().map(|&key| f64::from(weights[key])).sum()
        };
        let masses: Vec<f64> = (0..prompts.len()).map(mass).collect();
        Ok((self.mean(&masses), masses.len()))
    }

    fn control(&self, control: &Control, cases: &[Case]) -> Result<Measured, AssayError> {
        let Experiment { act, read, .. } = self.experiment;
        let engine = self.setting.engine;
        let measured = match control {
            Control::SameValue => {
                if !matches!(self.experiment.pairs, Pairs::Variable { .. }) {
                    let message = "pairs alike in a variable need pairs of a variable";
                    return Err(AssayError::Unfit(message.into()));
                }
                let token = match read {
                    Reading::Predicted { token }
                    | Reading::Changed { token }
                    | Reading::Right { token } => *token,
                    Reading::LogitDifference { token } | Reading::StepWidth { token } => {
                        Some(*token)
                    }
                    Reading::Attention { .. } => None,
                };
                let alike = self.cases(Kind::Control)?;
                self.measure(
                    engine,
                    &alike,
                    act,
                    &Reading::Changed { token },
                    Truth::Right,
                )?
            }
            Control::Elsewhere { at } => {
                let moved: Vec<Step> = act.iter().map(|step| step.moved_to(at.clone())).collect();
                self.measure(engine, cases, &moved, read, Truth::Right)?
            }
            Control::RandomSets { sets } => self.random_sets(*sets, cases)?,
            Control::Untrained => {
                let untrained = Engine::new(&Weights::random(self.shape(), UNTRAINED));
                self.measure(&untrained, cases, act, read, Truth::Own)?
            }
        };
        Ok(Measured {
            condition: control.to_string(),
            ..measured
        })
    }

    /// Random sets of as many heads and MLPs as the act has. All are tried on the same pairs, so a pair
    /// counts once, with the share of the sets that it is counted for.
    fn random_sets(&self, sets: usize, cases: &[Case]) -> Result<Measured, AssayError> {
        let Experiment { act, read, .. } = self.experiment;
        let shape = self.shape();
        let mut rng = stream(self.setting.seed, "experiment/random sets");
        let mut counts = vec![Count::default(); cases.len()];
        for _ in 0..sets {
            let steps = (act.iter())
                .map(|step| {
                    let nodes = self.nodes(step.at())?;
                    let random = random_nodes(&nodes, &shape, &mut rng);
                    if random.len() < nodes.len() {
                        let message =
                            "random sets of as many heads and MLPs: too few others are left";
                        return Err(AssayError::Unfit(message.into()));
                    }
                    let random = random.into_iter().map(|node| Site::from(node).into());
                    Ok(step.moved_to(random.collect()))
                })
                .collect::<Result<Vec<_>, AssayError>>()?;
            let engine = self.setting.engine;
            let acted = self.act(engine, cases, &[self.change(engine, &steps, None)?])?;
            let outcomes = outcomes(cases, &acted, read, Truth::Right);
            for (count, outcome) in counts.iter_mut().zip(outcomes) {
                outcome.into_iter().for_each(|outcome| count.add(outcome));
            }
        }
        let used = counts.iter().filter(|count| count.trials > 0);
        let shares: Vec<f64> = used.map(Count::share).collect();
        Ok(Measured {
            condition: String::new(),
            figure: self.mean(&shares),
            dropped: cases.len() - shares.len(),
        })
    }

    /// The change that steps make; a sweep's interpolation goes this share of the way.
    fn change(
        &self,
        engine: &Engine,
        steps: &[Step],
        share: Option<f64>,
    ) -> Result<Change, AssayError> {
        let none: [Place; 0] = [];
        let mut change = Change::new(Act::Swap, none).at_scale(self.experiment.scale.into());
        for step in steps {
            let places = self.places(step.at())?;
            change = match step {
                Step::Swap { .. } => change.and(Act::Swap, places),
                Step::Ablate { by, .. } => change.and(Act::from(*by), places),
                Step::KeepOnly { at, by } => {
                    let kept = self.nodes(at)?;
                    let live = |node: &Node| Site::from(*node).reaches_an_answer(&self.shape());
                    let others = Node::all(&self.shape()).into_iter();
                    let others = others.filter(|node| live(node) && !kept.contains(node));
                    change.and(Act::from(*by), others.map(Site::from))
                }
                Step::Interpolate { share: own, .. } => {
                    let share = own.or(share).ok_or_else(|| {
                        let message = "an interpolation without a share is read by step_width";
                        AssayError::Unfit(message.into())
                    })?;
                    change.and(Act::Interpolate(share), places)
                }
                Step::SwapWithin { rank, .. } => {
                    for place in places {
                        let basis = self.subspace(engine, &place, *rank)?;
                        change = change.and(Act::SwapWithin(basis), [place]);
                    }
                    change
                }
                Step::Add { times, .. } => {
                    for place in places {
                        let direction = self.direction(engine, &place, *times)?;
                        change = change.and(Act::Add(direction), [place]);
                    }
                    change
                }
            };
        }
        Ok(change)
    }

    /// The places that targets stand for.
    fn places(&self, targets: &[Target]) -> Result<Vec<Place>, AssayError> {
        let mut places = Vec::new();
        for target in targets {
            match target {
                Target::Place(place) => places.push(place.clone()),
                _ => {
                    let nodes = self.nodes(std::slice::from_ref(target))?;
                    places.extend(nodes.into_iter().map(|node| Site::from(node).into()));
                }
            }
        }
        Ok(places)
    }

    /// The nodes that targets stand for.
    fn nodes(&self, targets: &[Target]) -> Result<Vec<Node>, AssayError> {
        let shape = self.shape();
        let mut nodes = Vec::new();
        for target in targets {
            match target {
                Target::NodeGroup(group) => nodes.extend(group.nodes(&shape)),
                Target::Claimed(variable) => {
                    let claimed = self.setting.claimed.iter();
                    for (node, _) in claimed.filter(|(_, other)| other == variable) {
                        nodes.push(node.resolve(&shape)?);
                    }
                }
                Target::Place(Place::Site(site)) if site.node().is_some() => {
                    let name = site.node().expect("it is a node");
                    nodes.push(name.resolve(&shape)?);
                }
                Target::Place(place) => {
                    let message = format!("{place} is no node: only nodes form sets");
                    return Err(AssayError::Unfit(message));
                }
            }
        }
        if nodes.is_empty() {
            let targets = super::listed(targets);
            return Err(AssayError::Unfit(format!(
                "the model has no node {targets}"
            )));
        }
        nodes.sort();
        nodes.dedup();
        Ok(nodes)
    }

    /// Source minus base at a place, over pairs that are not judged, `[pairs, width]`.
    fn differences(&self, engine: &Engine, place: &Place) -> Result<Array2<f64>, AssayError> {
        let Place::Site(site) = place else {
            let message = format!("{place}: a subspace or direction is learned at a site");
            return Err(AssayError::Unfit(message));
        };
        let learned = self.drawn(Kind::Counterfactual, "subspace", LEARNED_FROM)?;
        let pairs: Vec<Asked> = learned.iter().map(|case| case.asked).collect();
        Ok(differences(engine, &pairs, *site)?)
    }

    /// The directions in which source and base differ most.
    fn subspace(&self, engine: &Engine, place: &Place, rank: usize) -> Result<Basis, AssayError> {
        let differences = self.differences(engine, place)?;
        if rank == 0 || rank > differences.ncols() {
            let width = differences.ncols();
            let message = format!("rank {rank} at {place}: expected 1 to {width}, its width");
            return Err(AssayError::Unfit(message));
        }
        Ok(Basis::of_most_difference(&differences, rank)?)
    }

    /// The mean difference between source and base.
    fn direction(
        &self,
        engine: &Engine,
        place: &Place,
        times: f64,
    ) -> Result<Vec<f32>, AssayError> {
        let differences = self.differences(engine, place)?;
        let count = differences.nrows().max(1) as f64;
        let columns = differences.columns().into_iter();
        Ok(columns
            .map(|column| (times * column.sum() / count) as f32)
            .collect())
    }
}

/// For each pair, what a reading that counts says of it; `None` where it tells nothing.
fn outcomes(cases: &[Case], acted: &Acted, reading: &Reading, truth: Truth) -> Vec<Option<bool>> {
    let outcome = |(i, case): (usize, &Case)| {
        let own = acted.base[i].answer();
        let predicted = truth.predicted(case, &own, &acted.source[i])?;
        let answer = acted.changed[0][i].answer();
        let judged = |token: &Option<AnswerToken>| match token {
            Some(token) => TokenSet::only(*token),
            None => TokenSet::all(case.asked.base.question.n_digits()),
        };
        let differs = |other: &Answer, token: &Option<AnswerToken>| {
            let differing = answer.changed_from(other).intersection(judged(token));
            !differing.is_empty()
        };
        match reading {
            Reading::Predicted { token } => {
                // A pair tells nothing of a token that is not to change.
                let moves = predicted.changed_from(&own).intersection(judged(token));
                (!moves.is_empty()).then(|| !differs(&predicted, token))
            }
            Reading::Changed { token } => Some(differs(&own, token)),
            Reading::Right { token } => Some(!differs(&own, token)),
            Reading::LogitDifference { .. }
            | Reading::StepWidth { .. }
            | Reading::Attention { .. } => unreachable!("it counts no pairs"),
        }
    };
    cases.iter().enumerate().map(outcome).collect()
}

/// By how much the predicted token's logit leads that of the network's own.
fn lead(logits: &AnswerLogits, token: AnswerToken, predicted: &Answer, own: &Answer) -> f64 {
    let row = logits.row(token);
    let logit = |answer: &Answer| f64::from(row[usize::from(answer.get(token))]);
    logit(predicted) - logit(own)
}

/// The share of the way between the first points at which a curve has made a tenth and nine tenths of
/// its change; `None` for a curve without one.
fn width_of_step(curve: &[f64]) -> Option<f64> {
    let (first, last) = (*curve.first()?, *curve.last()?);
    let change = last - first;
    if change.abs() < NO_CHANGE {
        return None;
    }
    let made = |i: usize| (curve[i] - first) / change;
    let reaches = |share: f64| -> Option<f64> {
        let after = (1..curve.len()).find(|&i| made(i) >= share)?;
        let (before, after_made) = (made(after - 1), made(after));
        let part = (share - before) / (after_made - before);
        Some((after as f64 - 1.0 + part) / (curve.len() - 1) as f64)
    };
    Some(reaches(1.0 - TAIL)? - reaches(TAIL)?)
}

/// As many heads and MLPs as `nodes` has, drawn from the others that can affect an answer.
fn random_nodes(nodes: &[Node], shape: &Shape, rng: &mut impl Rng) -> Vec<Node> {
    let live = |node: &Node| Site::from(*node).reaches_an_answer(shape) && !nodes.contains(node);
    let mut drawn = Vec::new();
    for heads in [true, false] {
        let of_kind = |node: &&Node| node.head().is_some() == heads;
        let all: Vec<Node> = Node::all(shape).into_iter().filter(live).collect();
        let mut pool: Vec<Node> = all.iter().filter(of_kind).copied().collect();
        pool.shuffle(rng);
        drawn.extend(pool.into_iter().take(nodes.iter().filter(of_kind).count()));
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_makes_four_fifths_of_its_change_in_the_middle_and_a_step_less() {
        let curve = |of: fn(f64) -> f64| -> Vec<f64> {
            (0..=SHARES).map(|i| of(i as f64 / SHARES as f64)).collect()
        };
        let width = |of: fn(f64) -> f64| width_of_step(&curve(of));
        assert!((width(|x| 3.0 - 7.0 * x).unwrap() - 0.8).abs() < 1e-9);
        assert!(width(|x| f64::from(x > 0.5)).unwrap() < 0.05);
        assert_eq!(width(|_| 1.0), None);
    }
}
