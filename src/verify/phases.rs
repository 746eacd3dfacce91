//! Runs every claim through all phases, up to its verdict.

use std::collections::{BTreeMap, BTreeSet};

use super::affected_tokens::name_what_reaches;
use super::attends::{self, Attends};
use super::controls::{Controlled, Setting};
use super::cost::Meter;
use super::decide::Grounds;
use super::escalation;
use super::evidence::{ClaimEvidence, FreeRunning, Trials};
use super::options::{Decoding, Options};
use super::plan::{Plan, Testable};
use super::published_test::{
    AttentionSources, Published, PublishedResult, PublishedTests, attended_position,
    attention_sources,
};
use super::tried::TriedClaim;
use super::verdict::Verdict;
use super::{Progress, VerifyError, free_order, necessity};
use crate::domain::arithmetic::Prompt;
use crate::domain::node::Node;
use crate::domain::task::{Task, Variable};
use crate::experiment::{
    Baseline, Bench, Finding, Goal, NodeSet, Reference, Rules, Standing, judge,
};
use crate::inputs::claims::TaggedNode;
use crate::inputs::model::{ModelFolder, Weights};
use crate::network::engine::{Activations, Decode, Engine, EngineError, Site};

/// Correctly answered questions of each class over which mean activations are taken.
pub const MEAN_QUESTIONS: usize = 512;

/// Seed of the untrained network. Fixed, so that only the trials depend on the run's seed.
pub const UNTRAINED_SEED: u64 = 0;

/// The streams that the trials of nodes alone are drawn from: the first trials, and the fresh ones
/// that determine how a node fails.
pub(super) const ALONE: &str = "alone";
pub(super) const AGAIN: &str = "again";

pub struct Verification<'a> {
    engine: &'a Engine,
    untrained: Engine,
    untrained_means: Activations,
    means: Activations,
    baseline: &'a Baseline,
    plan: &'a Plan,
    options: &'a Options,
    published: PublishedTests<'a>,
    attention: AttentionSources,
    attends: BTreeMap<(Node, Task), Attends>,
}

impl<'a> Verification<'a> {
    pub fn new(
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
        let claims = plan
            .testable
            .iter()
            .map(|claim| (claim.node, claim.variable));
        let attends = attends::measure(engine, baseline, claims, error_of_claim(plan, options))?;
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
            attends,
        })
    }

    /// The untrained network of the controls.
    pub fn untrained(&self) -> &Engine {
        &self.untrained
    }

    /// Error each claim may spend in each direction: half of its equal share. The sets tried in its
    /// place share the other half.
    fn alpha(&self) -> f64 {
        error_of_claim(self.plan, self.options)
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

    pub fn run(
        &self,
        meter: &mut Meter,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<ClaimEvidence>, VerifyError> {
        let mut main = self.verdicts(self.options.decoding.of_verdicts(), meter, progress)?;
        let mut free = match self.options.decoding {
            Decoding::Both => self.verdicts(Decode::Free, meter, progress)?,
            _ => BTreeMap::new(),
        };
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
                // A claim is missing only where an earlier one ended the verification.
                let Some((verdict, trials)) = main.remove(&index) else {
                    continue;
                };
                if let Verdict::Joint(joint) | Verdict::JointInPart(joint) = &verdict {
                    found.nodes = joint.set.clone();
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

    /// The verdict of every testable claim under one decoding, by the claim's index.
    fn verdicts(
        &self,
        decode: Decode,
        meter: &mut Meter,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<BTreeMap<usize, (Verdict, Trials)>, VerifyError> {
        let bench = self.bench(decode);
        let grouped = self.plan.by_variable();
        let steps = grouped.len();
        let mut tried: BTreeMap<usize, TriedClaim> = BTreeMap::new();
        let mut verdicts = BTreeMap::new();
        for (done, (&variable, claims)) in grouped.iter().enumerate() {
            progress(Progress {
                phase: "trials",
                done,
                of: steps,
            });
            let rules = self.options.rules.with_alpha(self.alpha() / 2.0);
            let node_sets: Vec<NodeSet> = claims.iter().map(|c| NodeSet::of([c.node])).collect();
            let findings = judge(&bench, variable, node_sets, Goal::Holds, rules, ALONE)?;
            meter.charge("nodes alone");
            let failing: Vec<(usize, &Finding)> = findings
                .iter()
                .enumerate()
                .filter(|(_, finding)| finding.standing != Standing::Holds)
                .collect();
            let mut attempts = escalation::attempts(
                &bench,
                variable,
                &failing,
                self.claimed(variable),
                self.options.search,
                self.options.rules.with_alpha(self.alpha()),
                meter,
            )?;
            let mut found: Vec<TriedClaim> = (findings.into_iter().enumerate())
                .map(|(i, finding)| TriedClaim {
                    finding,
                    attempts: attempts.remove(&i).unwrap_or_default(),
                    judged_again: false,
                })
                .collect();
            self.judge_again(&bench, variable, &mut found, rules)?;
            meter.charge("how nodes fail");
            tried.extend(claims.iter().map(|claim| claim.index).zip(found));
            if self.options.exit_first {
                let found =
                    self.assemble(&bench, std::mem::take(&mut tried), meter, &mut |_| {})?;
                let refuted = (found.values()).any(|(verdict, _)| verdict.kind().refutes());
                verdicts.extend(found);
                if refuted {
                    break;
                }
            }
        }
        verdicts.extend(self.assemble(&bench, tried, meter, progress)?);
        Ok(verdicts)
    }

    /// Determines how nodes fail that hold neither alone nor in a set: in part, by doing something
    /// else, or by doing nothing. Uses fresh trials, since sampling on the first ones stopped when
    /// the nodes were known not to hold.
    fn judge_again(
        &self,
        bench: &Bench,
        variable: Variable,
        tried: &mut [TriedClaim],
        rules: Rules,
    ) -> Result<(), EngineError> {
        let mut unsettled: Vec<&mut TriedClaim> = (tried.iter_mut())
            .filter(|claim| !claim.finding.holds() && claim.success().is_none())
            .collect();
        let node_sets = unsettled
            .iter()
            .map(|claim| claim.finding.node_set.clone())
            .collect();
        let findings = judge(bench, variable, node_sets, Goal::Standing, rules, AGAIN)?;
        for (claim, finding) in unsettled.iter_mut().zip(findings) {
            claim.finding = finding;
            claim.judged_again = true;
        }
        Ok(())
    }

    fn claimed(&self, variable: Variable) -> &BTreeSet<Node> {
        &self.plan.claimed[&variable]
    }

    /// Runs the controls and necessity on the node set that decides each claim, and assembles the
    /// verdicts.
    fn assemble(
        &self,
        bench: &Bench,
        tried: BTreeMap<usize, TriedClaim>,
        meter: &mut Meter,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<BTreeMap<usize, (Verdict, Trials)>, VerifyError> {
        let alpha = self.alpha();
        let rules = self.options.rules.with_alpha(alpha);
        let untrained = Bench {
            engine: &self.untrained,
            means: &self.untrained_means,
            decode: bench.decode,
            reference: Reference::Own,
            block: bench.block,
        };
        let setting = Setting {
            bench,
            untrained: &untrained,
            claimed: &self.plan.claimed,
            baseline: self.baseline,
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
                    node_set: chosen.node_set.clone(),
                    affected_tokens: chosen.affected_tokens.clone(),
                    alpha: match tried.success() {
                        Some(_) => escalation::alpha_of_attempt(alpha),
                        None => alpha,
                    },
                    hangs_on_selectivity: tried.hangs_on_selectivity(),
                }
            })
            .collect();
        let controls = setting.run(&controlled, &mut |done, of| {
            progress(Progress {
                phase: "controls",
                done,
                of,
            });
        })?;
        meter.charge("controls");
        let claims: Vec<(Variable, &NodeSet)> = controlled
            .iter()
            .map(|c| (c.variable, &c.node_set))
            .collect();
        let necessities = necessity::measure(self.engine, &self.means, self.baseline, &claims)?;
        meter.charge("necessity");
        // Free-running verdicts already read the model's own tokens.
        let free_orders = match bench.decode {
            Decode::Forced => free_order::measure(&self.bench(Decode::Free), rules.seed, &claims)?,
            Decode::Free => vec![None; claims.len()],
        };
        meter.charge("order free-running");
        let of = tried.len();
        let mut verdicts = BTreeMap::new();
        let found = (tried.into_iter().zip(controls)).zip(necessities.into_iter().zip(free_orders));
        for (done, (((index, tried), controls), (necessity, free_order))) in found.enumerate() {
            progress(Progress {
                phase: "verdicts",
                done,
                of,
            });
            let Testable { node, variable, .. } = *by_index[&index];
            let grounds = Grounds {
                variable,
                tried: &tried,
                controls: &controls,
                attends: self.attends.get(&(node, variable.task)).copied(),
                alpha: self.options.rules.alpha,
            };
            let verdict = grounds.verdict(bench)?;
            let trials =
                tried.into_evidence(verdict.kind(), alpha, controls, necessity, free_order);
            verdicts.insert(index, (verdict, trials));
        }
        meter.charge("counterexamples");
        Ok(verdicts)
    }
}

fn error_of_claim(plan: &Plan, options: &Options) -> f64 {
    options.rules.alpha / (2 * plan.testable_in_file.max(1)) as f64 / 2.0
}

/// Attention as given in a behaviors file: `Attn:P8=50`.
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
