//! The main job: check every claim of a model by intervening on its network.
//!
//! The phases are the method's (docs/METHOD.md): the unpatched model first; every claimed node alone;
//! sets and neutralised carriers for those that do not hold alone; controls and necessity for the
//! node set each claim comes down to; then the verdicts.

mod baseline;
mod choice;
mod controls;
mod escalation;
mod failure;
mod necessity;
mod parity;
mod published;
mod rules;
mod sequence;
mod shrink;
mod tally;
mod trial;
mod verdict;

pub use baseline::{Baseline, ClassAccuracy, GATE, trained_classes};
pub use controls::{
    Controlled, Controls, DecoyResult, ElsewhereResult, SELECTIVITY_MARGIN, Selectivity, Setting,
};
pub use failure::Weakness;
pub use necessity::Necessity;
pub use parity::EngineParity;
pub use published::{
    AttentionPercents, AttentionSources, ImpactReading, Published, PublishedResult, PublishedTests,
    PublishedTrial, TRIED_IN_PAIRS, WEAK_BY_IMPACT, attended_position, attention_percents,
    attention_row, attention_sources, predicted_place,
};
pub use rules::{ControlPlan, Limits};
pub use sequence::{Finding, Goal, Judgment, Rules, Sampling, discover, judge, looks, stream};
pub use shrink::{Counterexample, counterexample};
pub use tally::{
    Aspect, HALF, Measures, NEGLIGIBLE, Standing, StratumTally, Tally, Telling, Terms,
};
pub use trial::{
    Bench, Block, Judged, Outcome, Reference, StoreFrom, Subject, TIE_MARGIN, Trial, default_block,
};
pub use verdict::{Untestable, Verdict};

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use thiserror::Error;

use crate::arithmetic::{Class, Prompt, TokenSet};
use crate::causal::{Family, Kind, classes};
use crate::claims::{Claim, ClaimsError, TaggedNode, claims_of, read_tagged_nodes};
use crate::engine::{Activations, Decode, Engine, EngineError, Site};
use crate::evidence::{
    ClaimEvidence, Escalated, Evidence, FreeRunning, Inputs, Protocol, SCHEMA, StratumRates,
    TokenCount, Trials, Unreached,
};
use crate::model::{ModelFolder, RawFile, Weights};
use crate::node::{Node, NodeName};
use crate::stats::{Rate, alpha_of_look};
use crate::task::{Task, Variable};
use escalation::Attempt;

/// Which decoding verdicts are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoding {
    /// Teacher-forced, as everything published.
    Forced,
    /// The model reads its own tokens.
    Free,
    /// Both, side by side; the first is the verdict.
    Both,
}

impl Decoding {
    /// The option's value.
    pub fn name(self) -> &'static str {
        match self {
            Decoding::Forced => "forced",
            Decoding::Free => "free",
            Decoding::Both => "both",
        }
    }
}

/// What to verify, and how strictly.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Agreement a claim must reach at the lower bound of its interval.
    pub threshold: f64,
    /// Error of the whole file.
    pub alpha: f64,
    /// Telling trials after which a claim's sampling ends.
    pub max_trials: usize,
    /// Seed of every draw.
    pub seed: u64,
    /// How answers are read.
    pub decoding: Decoding,
    /// Only claims of these tasks; all where empty.
    pub tasks: Vec<Task>,
    /// Only claims of these nodes; all where empty.
    pub nodes: Vec<NodeName>,
    /// Only these claims; all where empty.
    pub claims: Vec<(NodeName, Variable)>,
    /// Questions run together; without it, as many as fit the memory a block may have. No result
    /// hangs on it.
    pub block: Option<NonZeroUsize>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            threshold: 0.95,
            alpha: 0.01,
            max_trials: 20_000,
            seed: 1,
            decoding: Decoding::Forced,
            tasks: Vec::new(),
            nodes: Vec::new(),
            claims: Vec::new(),
            block: None,
        }
    }
}

impl Options {
    /// Questions that this network runs together.
    fn block(&self, engine: &Engine) -> usize {
        self.block
            .map_or_else(|| default_block(engine), NonZeroUsize::get)
    }

    fn selects(&self, claim: &Claim) -> bool {
        let variable = claim.variable.as_ref().ok();
        let named = |variable: &Variable| self.claims.contains(&(claim.node, *variable));
        (self.tasks.is_empty() || variable.is_some_and(|v| self.tasks.contains(&v.task)))
            && (self.nodes.is_empty() || self.nodes.contains(&claim.node))
            && (self.claims.is_empty() || variable.is_some_and(named))
    }

    fn filters(&self) -> Vec<String> {
        let tasks = self.tasks.iter().map(|task| format!("task {task}"));
        let nodes = self.nodes.iter().map(|node| format!("node {node}"));
        let claims =
            (self.claims.iter()).map(|(node, variable)| format!("claim {node} {variable}"));
        tasks.chain(nodes).chain(claims).collect()
    }
}

/// Why a verification could not be made.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The folder has no claims file.
    #[error("{model}: there is no features.json, so nothing is claimed; name one with --features")]
    NoFeatures {
        /// The model.
        model: String,
    },
    /// The claims file claims nothing.
    #[error("{file}: none of the {nodes} nodes carries a claim (a tag Algo:…)")]
    NoClaims {
        /// The file.
        file: String,
        /// How many nodes it lists.
        nodes: usize,
    },
    /// The filter leaves nothing.
    #[error("no claim matches {filters}: the file makes {claims} claims")]
    NothingSelected {
        /// The filters.
        filters: String,
        /// Claims in the file.
        claims: usize,
    },
    /// The claims or behaviours file cannot be read.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// The engine and the plain forward pass disagree, so nothing the engine says can be believed.
    #[error(
        "the engine and the plain forward pass differ on {} of {} answers: this is a bug, please report it",
        .0.differing, .0.answers
    )]
    EngineDiffers(EngineParity),
    /// A run went wrong.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// One step of a verification, for progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: &'static str,
    /// Steps done of this phase.
    pub done: usize,
    /// Steps it has.
    pub of: usize,
}

/// A claim that can be tested.
#[derive(Debug, Clone)]
struct Testable {
    /// Its place among the selected claims.
    index: usize,
    node: Node,
    variable: Variable,
}

/// Verifies the claims of `features`, or of the folder's own file.
///
/// # Errors
/// [`VerifyError`] where there is nothing to verify or a file cannot be read.
pub fn verify(
    folder: &ModelFolder,
    features: Option<&RawFile>,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Evidence, VerifyError> {
    let features =
        features
            .or(folder.features.as_ref())
            .ok_or_else(|| VerifyError::NoFeatures {
                model: folder.name.clone(),
            })?;
    let file = features.path.display().to_string();
    let tagged = read_tagged_nodes(&file, &features.bytes)?;
    let all = claims_of(&tagged);
    if all.is_empty() {
        return Err(VerifyError::NoClaims {
            file,
            nodes: tagged.len(),
        });
    }
    let engine = Engine::new(&folder.weights);
    progress(Progress {
        phase: "baseline",
        done: 0,
        of: 1,
    });
    let baseline = Baseline::measure(&engine, folder.operations(), options.alpha, options.seed)?;
    let plan = Plan::new(&all, &engine, &baseline, options);
    if plan.selected.is_empty() {
        return Err(VerifyError::NothingSelected {
            filters: options.filters().join(", "),
            claims: all.len(),
        });
    }
    let behaviors = match &folder.behaviors {
        Some(file) => read_tagged_nodes(&file.path.display().to_string(), &file.bytes)?,
        None => Vec::new(),
    };
    let nodes: Vec<Node> = plan.testable.iter().map(|claim| claim.node).collect();
    let engine_parity = parity::measure(&engine, &folder.weights, &baseline, &nodes)?;
    if engine_parity.differing > 0 {
        return Err(VerifyError::EngineDiffers(engine_parity));
    }
    let verification = Verification::new(folder, &engine, &baseline, &plan, options, &behaviors)?;
    let claims = verification.run(progress)?;

    let mut summary = BTreeMap::new();
    for claim in &claims {
        *summary.entry(claim.verdict.name().to_owned()).or_default() += 1;
    }
    Ok(Evidence {
        schema: SCHEMA.into(),
        inputs: Inputs {
            model: folder.name.clone(),
            weights_sha256: folder.weights_sha256.clone(),
            features_sha256: features.sha256.clone(),
            behaviors_sha256: folder.behaviors.as_ref().map(|f| f.sha256.clone()),
            operations: folder.operations().to_string(),
            shape: engine.shape(),
        },
        protocol: Protocol {
            decode: options.decoding.name().into(),
            threshold: options.threshold,
            alpha: options.alpha,
            testable_claims: plan.testable_in_file,
            max_trials: options.max_trials,
            seed: options.seed,
            limits: Limits::default(),
            controls: ControlPlan::default(),
            filters: options.filters(),
        },
        engine_parity,
        baseline,
        summary,
        claims,
    })
}

/// Which claims are tested, and why the others are not.
struct Plan {
    /// The claims selected by the filters, in the file's order.
    selected: Vec<Claim>,
    /// Why a selected claim cannot be tested, by its place.
    untestable: BTreeMap<usize, Untestable>,
    testable: Vec<Testable>,
    /// Testable claims in the whole file, selected or not.
    testable_in_file: usize,
    /// Nodes claimed for each variable in the whole file.
    claimed: BTreeMap<Variable, BTreeSet<Node>>,
}

impl Plan {
    fn new(all: &[Claim], engine: &Engine, baseline: &Baseline, options: &Options) -> Self {
        let mut plan = Plan {
            selected: Vec::new(),
            untestable: BTreeMap::new(),
            testable: Vec::new(),
            testable_in_file: 0,
            claimed: BTreeMap::new(),
        };
        for claim in all {
            let checked = check(claim, engine, baseline);
            let index = plan.selected.len();
            if let Ok((node, variable)) = &checked {
                plan.testable_in_file += 1;
                plan.claimed.entry(*variable).or_default().insert(*node);
            }
            if !options.selects(claim) {
                continue;
            }
            plan.selected.push(claim.clone());
            match checked {
                Ok((node, variable)) => plan.testable.push(Testable {
                    index,
                    node,
                    variable,
                }),
                Err(reason) => {
                    plan.untestable.insert(index, reason);
                }
            }
        }
        plan
    }

    /// The testable claims, by variable.
    fn by_variable(&self) -> BTreeMap<Variable, Vec<&Testable>> {
        let mut grouped: BTreeMap<Variable, Vec<&Testable>> = BTreeMap::new();
        for claim in &self.testable {
            grouped.entry(claim.variable).or_default().push(claim);
        }
        grouped
    }
}

/// The node and variable of a claim, or why it cannot be tested.
fn check(
    claim: &Claim,
    engine: &Engine,
    baseline: &Baseline,
) -> Result<(Node, Variable), Untestable> {
    let shape = engine.shape();
    let variable = claim.variable.clone().map_err(Untestable::Tag)?;
    let node = claim.node.resolve(&shape).map_err(Untestable::Node)?;
    let n_digits = shape.n_digits;
    if variable.digit.is_some_and(|digit| digit > n_digits) {
        return Err(Untestable::Digit { variable, n_digits });
    }
    for &class in classes(variable.task) {
        let Some(accuracy) = baseline.of(class) else {
            return Err(Untestable::Untrained { variable, class });
        };
        if !accuracy.passes {
            return Err(Untestable::Inaccurate {
                class,
                accuracy: accuracy.accuracy,
                gate: GATE,
            });
        }
    }
    if Family::new(variable, Kind::Telling, n_digits).is_empty() {
        return Err(Untestable::NoPairs { variable });
    }
    Ok((node, variable))
}

/// Rightly answered questions of each class over which mean activations are taken.
const MEAN_QUESTIONS: usize = 512;

/// Seed of the untrained network; fixed, so that only the trials hang on the run's seed.
const UNTRAINED_SEED: u64 = 0;

struct Verification<'a> {
    engine: &'a Engine,
    untrained: Engine,
    untrained_means: Activations,
    means: Activations,
    baseline: &'a Baseline,
    plan: &'a Plan,
    options: &'a Options,
    published: PublishedTests<'a>,
    attention: AttentionSources,
}

/// A claim after all trials, before its verdict is put together.
struct Tried {
    finding: Finding,
    attempts: Vec<Attempt>,
}

impl<'a> Verification<'a> {
    fn new(
        folder: &ModelFolder,
        engine: &'a Engine,
        baseline: &'a Baseline,
        plan: &'a Plan,
        options: &'a Options,
        behaviors: &[TaggedNode],
    ) -> Result<Self, EngineError> {
        let shape = engine.shape();
        let prompts: Vec<Prompt> = baseline
            .right
            .values()
            .flat_map(|questions| questions.iter().take(MEAN_QUESTIONS))
            .map(|&question| Prompt::truth(question))
            .collect();
        let sites = || Node::all(&shape).into_iter().map(Site::from);
        let means = engine.mean_activations(&prompts, sites())?;
        let mut attention = attention_sources(engine, &engine.mean_attention(&prompts)?);
        attention.extend(stated_attention(behaviors, engine));
        let untrained = Engine::new(&Weights::random(shape, UNTRAINED_SEED));
        let untrained_means =
            untrained.mean_activations(&prompts[..1.min(prompts.len())], sites())?;
        Ok(Verification {
            engine,
            untrained,
            untrained_means,
            means,
            baseline,
            plan,
            options,
            published: PublishedTests::new(engine, folder.operations()),
            attention,
        })
    }

    /// Error each claim may spend in each direction: half of its even share of the whole. The sets
    /// tried in its place share the other half.
    fn alpha(&self) -> f64 {
        self.options.alpha / (2 * self.plan.testable_in_file.max(1)) as f64 / 2.0
    }

    fn rules(&self, alpha: f64) -> Rules {
        Rules {
            threshold: self.options.threshold,
            alpha,
            max_trials: self.options.max_trials,
            seed: self.options.seed,
        }
    }

    fn bench(&self, decode: Decode) -> Bench<'_> {
        Bench {
            engine: self.engine,
            means: &self.means,
            decode,
            reference: Reference::Truth,
            block: self.options.block(self.engine),
        }
    }

    fn run(&self, progress: &mut dyn FnMut(Progress)) -> Result<Vec<ClaimEvidence>, VerifyError> {
        let decode = match self.options.decoding {
            Decoding::Free => Decode::Free,
            Decoding::Forced | Decoding::Both => Decode::Forced,
        };
        let main = self.verdicts(decode, progress)?;
        let mut free = match self.options.decoding {
            Decoding::Both => self.verdicts(Decode::Free, progress)?,
            _ => BTreeMap::new(),
        };
        let mut main = main;
        let mut evidence = Vec::new();
        for (index, claim) in self.plan.selected.iter().enumerate() {
            let variable = claim.variable.as_ref().ok();
            let mut found = ClaimEvidence {
                claim: claim.to_string(),
                node: claim.node,
                nodes: vec![claim.node],
                task: variable.map_or_else(|| claim.text.clone(), |v| v.task.to_string()),
                digit: variable.and_then(|v| v.digit),
                published: PublishedResult::NoTest,
                published_test: None,
                verdict: Verdict::NotTestable {
                    reason: String::new(),
                },
                free_running: None,
                trials: None,
            };
            if let Ok(node) = claim.node.resolve(&self.engine.shape())
                && let Some(&variable) = variable
            {
                let published = self.published_result(node, variable)?;
                found.published = published.result;
                found.published_test = (!published.answers.is_empty()).then_some(published);
            }
            if let Some(reason) = self.plan.untestable.get(&index) {
                found.verdict = Verdict::NotTestable {
                    reason: reason.to_string(),
                };
            } else {
                let (verdict, trials) =
                    main.remove(&index).expect("every testable claim was tried");
                if let Verdict::Joint { set, .. } = &verdict {
                    found.nodes = set.clone();
                }
                found.verdict = verdict;
                found.trials = Some(trials);
                found.free_running = free.remove(&index).map(|(verdict, trials)| FreeRunning {
                    verdict,
                    measures: Some(trials.alone),
                });
            }
            evidence.push(found);
        }
        name_what_reaches(&mut evidence);
        Ok(evidence)
    }

    fn published_result(&self, node: Node, variable: Variable) -> Result<Published, EngineError> {
        if let Some(position) = attended_position(variable.task, self.engine) {
            let attends = self.attends(node, position);
            return Ok(Published {
                result: if attends {
                    PublishedResult::AttentionOnly
                } else {
                    PublishedResult::Failed
                },
                nodes: vec![node.name()],
                answers: Vec::new(),
            });
        }
        let partners: Vec<Node> = self
            .plan
            .claimed
            .get(&variable)
            .into_iter()
            .flatten()
            .copied()
            .filter(|other| {
                *other != node
                    && other.head().is_some()
                    && (other.layer(), other.position()) == (node.layer(), node.position())
            })
            .collect();
        self.published.interventions(variable, node, &partners)
    }

    fn attends(&self, node: Node, position: usize) -> bool {
        self.attention
            .get(&node)
            .is_some_and(|sources| sources.contains(&position))
    }

    /// The verdict of every testable claim under one decoding, by the claim's place.
    fn verdicts(
        &self,
        decode: Decode,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<BTreeMap<usize, (Verdict, Trials)>, VerifyError> {
        let bench = self.bench(decode);
        let grouped = self.plan.by_variable();
        let steps = grouped.len();
        let mut tried: BTreeMap<usize, Tried> = BTreeMap::new();
        for (done, (&variable, claims)) in grouped.iter().enumerate() {
            progress(Progress {
                phase: "trials",
                done,
                of: steps,
            });
            let rules = self.rules(self.alpha());
            let subjects: Vec<Subject> = claims.iter().map(|c| Subject::of([c.node])).collect();
            let reaches = discover(&bench, variable, &subjects, rules, "alone")?;
            let findings = judge(
                &bench,
                variable,
                subjects,
                &reaches,
                Goal::Standing,
                rules,
                "alone",
            )?;
            let failing: Vec<(usize, &Finding)> = findings
                .iter()
                .enumerate()
                .filter(|(_, finding)| !finding.holds())
                .collect();
            let mut attempts =
                escalation::attempts(&bench, variable, &failing, self.claimed(variable), rules)?;
            for (i, (claim, finding)) in claims.iter().zip(findings.iter()).enumerate() {
                tried.insert(
                    claim.index,
                    Tried {
                        finding: finding.clone(),
                        attempts: attempts.remove(&i).unwrap_or_default(),
                    },
                );
            }
        }
        self.assemble(&bench, tried, progress)
    }

    fn claimed(&self, variable: Variable) -> &BTreeSet<Node> {
        &self.plan.claimed[&variable]
    }

    /// Runs the controls and necessity of what each claim comes down to, and puts the verdicts
    /// together.
    fn assemble(
        &self,
        bench: &Bench,
        tried: BTreeMap<usize, Tried>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<BTreeMap<usize, (Verdict, Trials)>, VerifyError> {
        progress(Progress {
            phase: "controls",
            done: 0,
            of: 1,
        });
        let alpha = self.alpha();
        let rules = self.rules(alpha);
        let untrained = Bench {
            engine: &self.untrained,
            means: &self.untrained_means,
            decode: bench.decode,
            reference: Reference::Own,
            block: bench.block,
        };
        let passing: Vec<Class> = self
            .baseline
            .classes
            .iter()
            .filter(|class| class.passes)
            .map(|class| class.class)
            .collect();
        let setting = Setting {
            bench,
            untrained: &untrained,
            claimed: &self.plan.claimed,
            classes: &passing,
            rules,
        };
        let by_index: BTreeMap<usize, &Testable> =
            self.plan.testable.iter().map(|c| (c.index, c)).collect();
        let controlled: Vec<Controlled> = tried
            .iter()
            .map(|(index, tried)| {
                let chosen = tried.chosen();
                Controlled {
                    variable: by_index[index].variable,
                    subject: chosen.subject.clone(),
                    reach: chosen.reach,
                    alpha: match tried.success() {
                        Some(_) => escalation::alpha_of_attempt(alpha),
                        None => alpha,
                    },
                    hangs_on_selectivity: tried.hangs_on_selectivity(),
                }
            })
            .collect();
        let controls = setting.run(&controlled)?;
        let claims: Vec<(Variable, &Subject)> = controlled
            .iter()
            .map(|c| (c.variable, &c.subject))
            .collect();
        let necessities = necessity::measure(self.engine, &self.means, self.baseline, &claims)?;
        let of = tried.len();
        let mut verdicts = BTreeMap::new();
        let found = tried.into_iter().zip(controls.into_iter().zip(necessities));
        for (done, ((index, tried), (controls, necessity))) in found.enumerate() {
            progress(Progress {
                phase: "verdicts",
                done,
                of,
            });
            let claim = by_index[&index];
            let verdict = self.verdict(bench, claim, &tried, &controls)?;
            let trials = self.trials(&verdict, tried, controls, necessity);
            verdicts.insert(index, (verdict, trials));
        }
        Ok(verdicts)
    }

    /// The first verdict of docs/METHOD.md's table that applies.
    fn verdict(
        &self,
        bench: &Bench,
        claim: &Testable,
        tried: &Tried,
        controls: &Controls,
    ) -> Result<Verdict, EngineError> {
        let Tried { finding, .. } = tried;
        let variable = claim.variable;
        let direction_only = variable.task.predicts_only_direction();
        let terms = Terms {
            reach: finding.reach,
            direction_only,
            decode: bench.decode,
        };
        let example = || counterexample(bench, variable, &finding.subject, terms, &finding.kept);
        let weaknesses = || failure::weaknesses(variable, &finding.kept, self.options.alpha);
        let mut reasons = side_effects(&finding.measures);
        if controls.own_activation.hits > 0 {
            reasons.push("patching its own activation changes the answer".into());
        }
        let chosen_alone = tried.success().is_none();
        let selectivity = controls.selectivity();
        let decides_alone = chosen_alone && tried.hangs_on_selectivity();
        if decides_alone && selectivity == Selectivity::Lacking {
            reasons.extend(lacks_selectivity(controls));
        }
        if decides_alone && selectivity == Selectivity::Open && reasons.is_empty() {
            return Ok(Verdict::Inconclusive {
                open: format!(
                    "it beats every control by {:.2} at least, and one by {:.2} at most, where {SELECTIVITY_MARGIN} decides",
                    controls.beats_all_by_at_least(),
                    controls.beats_all_by_at_most,
                ),
            });
        }
        match finding.standing {
            Standing::Holds if reasons.is_empty() => return Ok(Verdict::Supported),
            Standing::Holds | Standing::HoldsUnspecifically => {
                return Ok(Verdict::Unspecific {
                    reasons,
                    counterexample: example()?,
                });
            }
            _ => {}
        }
        if let Some(attempt) = tried.success()
            && controls.selective()
            && controls.own_activation.hits == 0
        {
            let measures = attempt.finding.measures.clone();
            return Ok(match attempt.need {
                Some(need) => Verdict::Joint {
                    set: Node::names(&attempt.finding.subject.nodes),
                    measures,
                    need,
                },
                None => Verdict::Redundant {
                    neutralised: Node::names(&attempt.finding.subject.neutralised),
                    measures,
                },
            });
        }
        let inert = finding.measures.is_inert();
        let part = matches!(finding.standing, Standing::HoldsInPart) && chosen_alone;
        if let Some(open) = tried
            .left_open(selectivity, direction_only)
            .filter(|_| !part)
        {
            return Ok(Verdict::Inconclusive { open });
        }
        Ok(match finding.standing {
            Standing::HoldsInPart if chosen_alone && reasons.is_empty() => Verdict::Partial {
                fails_where: weaknesses(),
                counterexample: example()?,
            },
            Standing::HoldsInPart | Standing::FailsUnspecifically => Verdict::Unspecific {
                reasons: if reasons.is_empty() {
                    vec!["holds in part, and only in a set that is not selective".into()]
                } else {
                    reasons
                },
                counterexample: example()?,
            },
            // No effect was shown: it may be as small as a placebo's.
            Standing::Fails
                if direction_only
                    && finding
                        .measures
                        .effect
                        .values()
                        .all(|e| e.lower <= NEGLIGIBLE) =>
            {
                Verdict::Correlational {
                    attends: attended_position(variable.task, self.engine)
                        .is_some_and(|position| self.attends(claim.node, position)),
                }
            }
            Standing::Fails => Verdict::Refuted {
                inert,
                fails_where: weaknesses(),
                counterexample: example()?,
            },
            _ => Verdict::Inconclusive {
                open: still_open(&finding.measures, direction_only),
            },
        })
    }

    fn trials(
        &self,
        verdict: &Verdict,
        tried: Tried,
        controls: Controls,
        necessity: Necessity,
    ) -> Trials {
        // What a set reaches is said of a claim that is the set's.
        let judged = match verdict {
            Verdict::Joint { .. } | Verdict::Redundant { .. } => tried.chosen(),
            _ => &tried.finding,
        };
        let unreached: Vec<Unreached> = judged
            .possible()
            .difference(judged.reach)
            .iter()
            .map(|token| Unreached {
                token,
                reached_by: Vec::new(),
            })
            .collect();
        let Tried { finding, attempts } = tried;
        Trials {
            alpha: self.alpha(),
            reach: finding.reached(),
            dropped: finding.dropped,
            unreached,
            strata: by_stratum(&finding, self.alpha()),
            alone: finding.measures,
            tokens: finding
                .tokens
                .iter()
                .map(|(&(stratum, token), &moved)| TokenCount {
                    stratum,
                    token,
                    moved,
                })
                .collect(),
            escalation: attempts
                .into_iter()
                .map(|attempt| Escalated {
                    nodes: Node::names(&attempt.finding.subject.nodes),
                    neutralised: Node::names(&attempt.finding.subject.neutralised),
                    reach: attempt.finding.reached(),
                    measures: attempt.finding.measures,
                    need: attempt.need,
                })
                .collect(),
            controls,
            necessity,
        }
    }
}

impl Tried {
    /// The attempt that holds where the node alone does not.
    fn success(&self) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.succeeds)
    }

    /// What was left open of the sets that may hold where the node alone does not.
    fn left_open(&self, selectivity: Selectivity, direction_only: bool) -> Option<String> {
        let names = |attempt: &Attempt| {
            let Subject { nodes, neutralised } = &attempt.finding.subject;
            let names = |nodes: &[Node]| {
                let names: Vec<String> = nodes.iter().map(Node::to_string).collect();
                names.join(" ")
            };
            match &neutralised[..] {
                [] => names(nodes),
                held => format!("{} with {} neutralised", names(nodes), names(held)),
            }
        };
        if let Some(success) = self.success() {
            let open = selectivity == Selectivity::Open;
            return open.then(|| format!("{} may or may not beat its controls", names(success)));
        }
        let attempt = self.attempts.iter().find(|attempt| attempt.open)?;
        Some(match attempt.need {
            Some(need) if attempt.finding.holds() => format!(
                "{} holds, and needs the node by {need:.2} at least: whether by as much as a joint claim must was left open",
                names(attempt)
            ),
            _ => {
                let measures = &attempt.finding.measures;
                format!(
                    "{}: {}",
                    names(attempt),
                    still_open(measures, direction_only)
                )
            }
        })
    }

    /// Whether anything holds that controls could take away again. That a claim fails is reason enough.
    fn hangs_on_selectivity(&self) -> bool {
        let in_part = self.finding.standing == Standing::HoldsInPart;
        self.success().is_some() || self.finding.holds() || in_part
    }

    /// What the claim comes down to: the set that holds, or the node.
    fn chosen(&self) -> &Finding {
        self.success()
            .map_or(&self.finding, |attempt| &attempt.finding)
    }
}

/// The measures of each stratum, where there are several; bounds as at the last look.
fn by_stratum(finding: &Finding, alpha: f64) -> Vec<StratumRates> {
    if finding.strata.len() < 2 {
        return Vec::new();
    }
    let rate = |count| Rate::sampled(count, alpha_of_look(alpha, finding.measures.looks));
    finding
        .strata
        .iter()
        .map(|(&stratum, counted)| StratumRates {
            stratum,
            agreement: rate(counted.telling.agreement),
            effect: rate(counted.telling.effect),
            spill: rate(counted.telling.spill),
            placebo: rate(counted.placebo),
        })
        .collect()
}

/// What is too high among the measures that must be negligible.
fn side_effects(measures: &Measures) -> Vec<String> {
    let mut reasons = Vec::new();
    if measures.placebo.lower > NEGLIGIBLE {
        reasons.push(format!(
            "{:.0} % of placebo trials change the answer",
            measures.placebo.share() * 100.0
        ));
    }
    for spill in measures
        .spill
        .values()
        .filter(|rate| rate.lower > NEGLIGIBLE)
    {
        reasons.push(format!(
            "{:.0} % of telling trials change a token they must not",
            spill.share() * 100.0
        ));
    }
    reasons
}

fn lacks_selectivity(controls: &Controls) -> Vec<String> {
    let mut reasons = Vec::new();
    if controls.beats_decoys_by < SELECTIVITY_MARGIN {
        let best = controls.decoys.iter().find(|decoy| !decoy.carries);
        reasons.extend(best.map(|decoy| {
            let names: Vec<String> = decoy.nodes.iter().map(NodeName::to_string).collect();
            format!(
                "decoy {} agrees in {} of {}",
                names.join(" "),
                decoy.agreement.hits,
                decoy.agreement.trials
            )
        }));
    }
    if controls
        .beats_wrong_digits_by
        .is_some_and(|by| by < SELECTIVITY_MARGIN)
    {
        let best = controls
            .wrong_digits
            .iter()
            .max_by(|a, b| a.agreement.share().total_cmp(&b.agreement.share()));
        reasons.extend(best.map(|wrong| {
            format!(
                "passes {} as well, in {} of {}",
                wrong.variable, wrong.agreement.hits, wrong.agreement.trials
            )
        }));
    }
    reasons
}

fn still_open(measures: &Measures, direction_only: bool) -> String {
    let rates: Vec<String> = measures
        .deciding(direction_only)
        .values()
        .map(|rate| {
            format!(
                "{} of {} trials, between {:.3} and {:.3}",
                rate.hits, rate.trials, rate.lower, rate.upper
            )
        })
        .collect();
    if rates.is_empty() {
        "no trial told anything".into()
    } else {
        format!("the budget ended at {}", rates.join("; "))
    }
}

/// Attention as a behaviours file states it: `Attn:P8=50`.
fn stated_attention(behaviors: &[TaggedNode], engine: &Engine) -> AttentionSources {
    let mut stated = AttentionSources::new();
    for tagged in behaviors {
        let Ok(node) = tagged.node.resolve(&engine.shape()) else {
            continue;
        };
        let sources: Vec<usize> = tagged
            .tags
            .iter()
            .filter(|tag| tag.major == "Attn")
            .filter_map(|tag| tag.minor.strip_prefix('P')?.split('=').next()?.parse().ok())
            .collect();
        if !sources.is_empty() {
            stated.insert(node, sources);
        }
    }
    stated
}

/// Tasks whose claims are named where a claim of another task, of the same digit, does not reach a
/// token: carries out of the digit.
pub const MOVE_FOR_OTHERS: [Task; 4] = [Task::Sc, Task::Mb, Task::Nb, Task::Sv];

/// Names, for tokens a claim does not reach, the claims that hold and do.
fn name_what_reaches(evidence: &mut [ClaimEvidence]) {
    let holding: Vec<(String, String, Option<usize>, TokenSet)> = evidence
        .iter()
        .filter(|claim| matches!(claim.verdict, Verdict::Supported | Verdict::Joint { .. }))
        .map(|claim| {
            let reach = claim.reach().unwrap_or(TokenSet::EMPTY);
            (claim.claim.clone(), claim.task.clone(), claim.digit, reach)
        })
        .collect();
    for claim in evidence.iter_mut() {
        let Some(trials) = &mut claim.trials else {
            continue;
        };
        for unreached in &mut trials.unreached {
            unreached.reached_by = holding
                .iter()
                .filter(|(name, task, digit, reach)| {
                    // A carry out of the same digit, or another holder of the same variable.
                    let carries = MOVE_FOR_OTHERS.iter().any(|t| t.to_string() == *task);
                    let same = *task == claim.task || carries;
                    *name != claim.claim
                        && same
                        && *digit == claim.digit
                        && reach.contains(unreached.token)
                })
                .map(|(name, ..)| name.clone())
                .collect();
        }
    }
}
