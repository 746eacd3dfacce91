//! Tests a hypothesis on a model, clause by clause.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use petgraph::graph::NodeIndex;
use serde::{Deserialize, Serialize};

use super::{
    Digits, Does, Exists, Fed, Feeds, Hypothesis, HypothesisError, InterventionClause, Order,
    OrderSide, Pattern, SetClaim, SharedClause,
};
use crate::analysis::graph::{Budget, Flows, Graph, KnownClaim, KnownClaims, VertexKind};
use crate::domain::arithmetic::Prompt;
use crate::domain::causal::implies;
use crate::domain::node::{Node, NodeName};
use crate::domain::shape::Shape;
use crate::domain::task::Variable;
use crate::experiment::stats::Rate;
use crate::experiment::{
    Baseline, Bench, Goal, NodeSet, Reference, Rules, Standing, default_block, judge,
};
use crate::inputs::model::{ModelFolder, Operations};
use crate::network::engine::{Activations, Engine, EngineError, Site};
use crate::verify::{Conclusion, testable};

/// Trials per edge for clauses about edges.
const EDGE_TRIALS: usize = 256;

/// Questions of each class over which means are taken.
const MEAN_QUESTIONS: usize = 512;

/// Candidates listed where nothing meets a clause.
const NEAREST: usize = 3;

impl TestedHypothesis {
    /// The conclusion from the clauses.
    pub fn conclusion(&self) -> Conclusion {
        match self.holds {
            true => Conclusion::Sound,
            false => Conclusion::Refuted,
        }
    }
}

/// Tests hypotheses on one model.
pub struct Tester<'a> {
    pub engine: &'a Engine,
    /// The operations the model was trained for.
    pub operations: Operations,
    /// The model's own claims with their verdicts.
    pub known: &'a KnownClaims,
    pub baseline: &'a Baseline,
    /// Mean activations of every node.
    pub means: &'a Activations,
    pub budget: Budget,
    /// How claims are judged; the error is shared by the claims of the file.
    pub rules: Rules,
}

/// One case of a clause: one digit, or the clause as a whole.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct ClauseCase {
    /// The value of n.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<usize>,
    pub met: bool,
    pub nodes: Vec<NodeName>,
    /// What met it; otherwise why nothing did, with the nearest candidates.
    pub note: String,
}

/// The kinds of clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClauseKind {
    /// Nodes that must exist.
    Exists,
    /// Tasks that the same nodes must have.
    Shared,
    /// The order of positions.
    Order,
    /// Claims about given nodes.
    Intervention,
    Feeds,
}

impl ClauseKind {
    /// Its name in a file.
    pub const fn name(self) -> &'static str {
        match self {
            ClauseKind::Exists => "exists",
            ClauseKind::Shared => "shared",
            ClauseKind::Order => "order",
            ClauseKind::Intervention => "intervention",
            ClauseKind::Feeds => "feeds",
        }
    }
}

/// The result of one clause.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct ClauseResult {
    pub kind: ClauseKind,
    pub says: String,
    /// Whether the hypothesis can hold without this clause.
    pub optional: bool,
    /// Whether it applies to this model.
    pub applies: bool,
    /// Whether every case is met; a clause without cases is not met.
    pub met: bool,
    pub cases: Vec<ClauseCase>,
}

/// The result of a hypothesis.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct TestedHypothesis {
    pub hypothesis: String,
    /// Whether every required clause that applies is met.
    pub holds: bool,
    pub clauses: Vec<ClauseResult>,
    /// Nodes that meet a clause: those the hypothesis explains.
    pub explained: BTreeSet<NodeName>,
    /// The circuit: the explained nodes, and those the file keeps without a claim.
    pub circuit: BTreeSet<NodeName>,
}

impl ClauseKind {
    /// The result of a clause of this kind from its cases.
    fn result(
        self,
        says: &str,
        optional: bool,
        applies: bool,
        cases: Vec<ClauseCase>,
    ) -> ClauseResult {
        ClauseResult {
            kind: self,
            says: says.into(),
            optional,
            applies,
            met: applies && !cases.is_empty() && cases.iter().all(|case| case.met),
            cases: if applies { cases } else { Vec::new() },
        }
    }
}

impl ClauseCase {
    const fn unmet(n: Option<usize>, note: String) -> Self {
        Self {
            n,
            met: false,
            nodes: Vec::new(),
            note,
        }
    }
}

fn names(nodes: &[Node]) -> String {
    let names: Vec<String> = nodes.iter().map(Node::to_string).collect();
    names.join(" ")
}

fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}

/// The values of n for a clause; a single case without n if it has no range.
fn cases_of(digits: Option<Digits>, shape: &Shape) -> Vec<Option<usize>> {
    match digits {
        Some(digits) => digits.values(shape).map(Some).collect(),
        None => vec![None],
    }
}

/// Tests a hypothesis on a model by the default rules, with this error and seed; `file` names it.
///
/// # Errors
/// As [`Tester::test`].
pub fn test_hypothesis(
    folder: &ModelFolder,
    engine: &Engine,
    (file, hypothesis): (&str, &Hypothesis),
    known: &KnownClaims,
    alpha: f64,
    seed: u64,
) -> Result<TestedHypothesis, TestError> {
    let operations = folder.operations();
    let baseline = Baseline::measure(engine, operations, alpha, seed)?;
    let questions: Vec<Prompt> = (baseline.right.values())
        .flat_map(|right| right.iter().take(MEAN_QUESTIONS))
        .map(|&question| Prompt::truth(question))
        .collect();
    let sites = Node::all(&engine.shape()).into_iter().map(Site::from);
    let means = engine.mean_activations(&questions, sites)?;
    let tester = Tester {
        engine,
        operations,
        known,
        baseline: &baseline,
        means: &means,
        budget: Budget {
            trials: EDGE_TRIALS,
            alpha,
            seed,
            relayed: true,
        },
        rules: Rules {
            alpha,
            seed,
            ..Rules::default()
        },
    };
    tester.test(file, hypothesis)
}

impl Tester<'_> {
    /// Tests every clause.
    ///
    /// # Errors
    /// [`HypothesisError`] if the hypothesis does not apply to the model or names nodes it does not have; engine errors as [`TestError`].
    pub fn test(&self, file: &str, hypothesis: &Hypothesis) -> Result<TestedHypothesis, TestError> {
        let shape = self.engine.shape();
        let mut clauses = Vec::new();
        let claims = self.tries(hypothesis);
        let mut judged = BTreeMap::new();
        for clause in &hypothesis.exists {
            clauses.push(self.exists(file, clause, claims, &mut judged)?);
        }
        clauses.extend(hypothesis.shared.iter().map(|clause| self.shared(clause)));
        clauses.extend(hypothesis.order.iter().map(|clause| self.order(clause)));
        for clause in &hypothesis.intervention {
            clauses.push(self.intervention(file, clause, claims)?);
        }
        clauses.extend(self.feeds(&hypothesis.feeds)?);
        let explained: BTreeSet<NodeName> = clauses
            .iter()
            .flat_map(|clause| &clause.cases)
            .filter(|case| case.met)
            .flat_map(|case| case.nodes.iter().copied())
            .collect();
        let mut circuit = explained.clone();
        for keep in &hypothesis.keep {
            let nodes = keep.nodes(&shape).map_err(|source| HypothesisError::Node {
                file: file.into(),
                source,
            })?;
            circuit.extend(nodes.iter().map(Node::name));
        }
        Ok(TestedHypothesis {
            hypothesis: hypothesis.name.clone(),
            holds: clauses
                .iter()
                .all(|clause| clause.met || clause.optional || !clause.applies),
            clauses,
            explained,
            circuit,
        })
    }

    fn applies(&self, does: &[Does]) -> bool {
        does.iter().all(|does| does.holds(self.operations))
    }

    /// Claims of a variable that hold or, if there is none, of variables that imply it.
    fn holding(&self, variable: Variable) -> Vec<&KnownClaim> {
        let holding = || self.known.claims.iter().filter(|claim| claim.holds());
        let own: Vec<_> = holding()
            .filter(|claim| claim.variable == variable)
            .collect();
        if !own.is_empty() {
            return own;
        }
        let n_digits = self.engine.shape().n_digits;
        holding()
            .filter(|claim| implies(claim.variable, variable, n_digits))
            .collect()
    }

    /// What is said of claims that meet a clause by implication: `, by A4.ST, which implies A4.SC`.
    fn implied(variable: Variable, claims: &[&KnownClaim]) -> String {
        let others: BTreeSet<String> = claims
            .iter()
            .filter(|claim| claim.variable != variable)
            .map(|claim| claim.variable.to_string())
            .collect();
        match others.is_empty() {
            true => String::new(),
            false => format!(", by {}, which implies {variable}", listed(others)),
        }
    }

    /// Why no claim of a variable qualifies: the claims there are, or those of the same task
    /// elsewhere.
    fn nearest(&self, variable: Variable, why_not: &str) -> String {
        let of = |wanted: &dyn Fn(&KnownClaim) -> bool| -> Vec<String> {
            let claims = self.known.claims.iter().filter(|claim| wanted(claim));
            claims
                .take(NEAREST)
                .map(|claim| format!("{} ({})", claim.claim, claim.verdict_name()))
                .collect()
        };
        let same = of(&|claim| claim.variable == variable);
        if !same.is_empty() {
            return format!("{why_not}; nearest: {}", listed(same));
        }
        let task = of(&|claim| claim.variable.task == variable.task);
        if task.is_empty() {
            format!("no claim of task {}", variable.task)
        } else {
            format!("no claim of {variable}; nearest: {}", listed(task))
        }
    }

    /// Nodes that a clause tries for one value of n.
    fn fitting(&self, clause: &Exists, n: usize) -> Vec<Node> {
        let shape = self.engine.shape();
        let like = clause.like();
        let fits =
            |node: &Node| like.fits(node, n, &shape) && Site::from(*node).reaches_an_answer(&shape);
        Node::all(&shape).into_iter().filter(fits).collect()
    }

    /// Number of node sets tried by intervening, which share the error.
    fn tries(&self, hypothesis: &Hypothesis) -> usize {
        let shape = self.engine.shape();
        let given: usize = hypothesis.intervention.iter().map(|c| c.claims.len()).sum();
        let searched = hypothesis.exists.iter().filter(|clause| clause.search);
        let searched: usize = searched
            .flat_map(|clause| {
                let cases = cases_of(clause.digits, &shape).into_iter();
                cases.map(|digit| self.fitting(clause, digit.unwrap_or(0)).len())
            })
            .sum();
        given + searched
    }

    /// `judged` has what was found of nodes tried for earlier clauses.
    fn exists(
        &self,
        file: &str,
        clause: &Exists,
        tries: usize,
        judged: &mut BTreeMap<(Variable, Node), (ClauseCase, f64)>,
    ) -> Result<ClauseResult, TestError> {
        let shape = self.engine.shape();
        let like = clause.like();
        let applies = self.applies(&clause.does);
        let mut cases = Vec::new();
        for digit in cases_of(clause.digits, &shape) {
            let n = digit.unwrap_or(0);
            let Some(variable) = clause.claim.variable(n, &shape) else {
                cases.push(no_such_digit(digit, &clause.claim));
                continue;
            };
            let mut claims = self.holding(variable);
            claims.retain(|claim| claim.nodes.iter().all(|node| like.fits(node, n, &shape)));
            let mut nodes: BTreeSet<Node> = claims
                .iter()
                .flat_map(|claim| claim.nodes.iter().copied())
                .collect();
            let mut tried = Vec::new();
            if clause.search && applies {
                for node in self.fitting(clause, n) {
                    let (case, interchange_accuracy) = match judged.entry((variable, node)) {
                        Entry::Occupied(before) => before.get().clone(),
                        Entry::Vacant(new) => {
                            let claim = SetClaim {
                                variable,
                                nodes: vec![node.name()],
                            };
                            new.insert(self.judge_claim(file, &claim, tries)?).clone()
                        }
                    };
                    nodes.extend(case.met.then_some(node));
                    tried.push((interchange_accuracy, case.note));
                }
            }
            // Nearest first; ties in node order.
            tried.sort_by(|a, b| b.0.total_cmp(&a.0));
            let nearest = || tried.iter().take(NEAREST).map(|(_, note)| note);
            cases.push(ClauseCase {
                n: digit,
                met: !nodes.is_empty(),
                note: match (nodes.is_empty(), tried.is_empty()) {
                    (false, _) => {
                        let implied = Self::implied(variable, &claims);
                        format!(
                            "{variable}: {}{implied}",
                            names(&Vec::from_iter(nodes.clone()))
                        )
                    }
                    (true, true) => {
                        self.nearest(variable, &format!("no {variable} claim holds and matches"))
                    }
                    (true, false) => format!(
                        "none of {} tried; nearest: {}",
                        tried.len(),
                        listed(nearest())
                    ),
                },
                nodes: nodes.iter().map(Node::name).collect(),
            });
        }
        Ok(ClauseKind::Exists.result(&clause.says, clause.optional, applies, cases))
    }

    fn shared(&self, clause: &SharedClause) -> ClauseResult {
        let shape = self.engine.shape();
        let case = |digit: Option<usize>| {
            let n = digit.unwrap_or(0);
            let mut shared: Option<BTreeSet<&Vec<Node>>> = None;
            let mut implied = String::new();
            for pattern in &clause.claims {
                let Some(variable) = pattern.variable(n, &shape) else {
                    return no_such_digit(digit, pattern);
                };
                let holding = self.holding(variable);
                if holding.is_empty() {
                    let note = self.nearest(variable, &format!("no {variable} holds"));
                    return ClauseCase::unmet(digit, note);
                }
                implied += &Self::implied(variable, &holding);
                let sets: BTreeSet<&Vec<Node>> = holding.iter().map(|c| &c.nodes).collect();
                shared = Some(match shared {
                    Some(before) => before.intersection(&sets).copied().collect(),
                    None => sets,
                });
            }
            let nodes = shared.and_then(|sets| sets.first().map(|nodes| nodes.to_vec()));
            ClauseCase {
                n: digit,
                met: nodes.is_some(),
                note: match &nodes {
                    Some(nodes) => format!("{}{implied}", names(nodes)),
                    None => "each holds, but for different nodes".into(),
                },
                nodes: Node::names(&nodes.unwrap_or_default()),
            }
        };
        let cases = cases_of(clause.digits, &shape)
            .into_iter()
            .map(case)
            .collect();
        let applies = self.applies(&clause.does);
        ClauseKind::Shared.result(&clause.says, clause.optional, applies, cases)
    }

    fn order(&self, clause: &Order) -> ClauseResult {
        let shape = self.engine.shape();
        // Node sets with their first and last position, or a position without nodes; and by what
        // they are implied.
        type Sides = (Vec<(Vec<Node>, usize, usize)>, String);
        let sides = |side: &OrderSide, n: usize| -> Result<Sides, String> {
            match side {
                OrderSide::Place(place) => match place.position(n, &shape) {
                    Some(position) => Ok((vec![(Vec::new(), position, position)], String::new())),
                    None => Err("the question has no such position".into()),
                },
                OrderSide::Claim(pattern) => {
                    let variable = pattern
                        .variable(n, &shape)
                        .ok_or_else(|| no_such_digit(Some(n), pattern).note)?;
                    let holding = self.holding(variable);
                    let implied = Self::implied(variable, &holding);
                    let found: Vec<_> = holding
                        .into_iter()
                        .filter_map(|claim| {
                            let positions = || claim.nodes.iter().map(Node::position);
                            let (first, last) = (positions().min()?, positions().max()?);
                            Some((claim.nodes.clone(), first, last))
                        })
                        .collect();
                    if found.is_empty() {
                        Err(self.nearest(variable, &format!("no {variable} holds")))
                    } else {
                        Ok((found, implied))
                    }
                }
            }
        };
        let case = |digit: Option<usize>| {
            let n = digit.unwrap_or(0);
            let ((first, by_first), (then, by_then)) =
                match (sides(&clause.first, n), sides(&clause.then, n)) {
                    (Ok(first), Ok(then)) => (first, then),
                    (Err(note), _) | (_, Err(note)) => return ClauseCase::unmet(digit, note),
                };
            for (left, _, left_last) in &first {
                for (right, right_first, _) in &then {
                    if left_last < right_first {
                        let nodes: BTreeSet<Node> = left.iter().chain(right).copied().collect();
                        return ClauseCase {
                            n: digit,
                            met: true,
                            nodes: nodes.iter().map(Node::name).collect(),
                            note: format!(
                                "position {left_last} before {right_first}{by_first}{by_then}"
                            ),
                        };
                    }
                }
            }
            let (_, _, left) = &first[0];
            let (_, right, _) = &then[0];
            ClauseCase::unmet(digit, format!("position {left} is not before {right}"))
        };
        let cases = cases_of(clause.digits, &shape)
            .into_iter()
            .map(case)
            .collect();
        let applies = self.applies(&clause.does);
        ClauseKind::Order.result(&clause.says, clause.optional, applies, cases)
    }

    fn intervention(
        &self,
        file: &str,
        clause: &InterventionClause,
        claims: usize,
    ) -> Result<ClauseResult, TestError> {
        let mut cases = Vec::new();
        for claim in &clause.claims {
            cases.push(self.judge_claim(file, claim, claims)?.0);
        }
        Ok(ClauseKind::Intervention.result(&clause.says, clause.optional, true, cases))
    }

    /// Judges a set on fresh pairs: interchange accuracy, control pairs and off-target effect, as
    /// for a claim about one node. Returns the case with the lowest of its interchange accuracies.
    fn judge_claim(
        &self,
        file: &str,
        claim: &SetClaim,
        claims: usize,
    ) -> Result<(ClauseCase, f64), TestError> {
        let shape = self.engine.shape();
        let nodes = claim
            .nodes
            .iter()
            .map(|name| name.resolve(&shape))
            .collect::<Result<Vec<Node>, _>>()
            .map_err(|source| HypothesisError::Node {
                file: file.into(),
                source,
            })?;
        let variable = claim.variable;
        if testable(variable, shape.n_digits, self.baseline).is_err() {
            let note = format!("{claim}: not testable on this model");
            return Ok((ClauseCase::unmet(variable.digit, note), 0.0));
        }
        let bench = Bench {
            engine: self.engine,
            means: self.means,
            decode: crate::network::engine::Decode::Forced,
            reference: Reference::Truth,
            block: default_block(self.engine),
        };
        let alpha = self.rules.alpha / (2 * claims.max(1)) as f64;
        let rules = self.rules.with_alpha(alpha);
        let node_sets = vec![NodeSet::of(nodes.clone())];
        let name = format!("hypothesis/{claim}");
        let goal = Goal::Standing;
        let findings = judge(&bench, variable, node_sets, goal, rules, &name)?;
        let finding = &findings[0];
        let met = finding.standing == Standing::Holds;
        let direction_only = variable.task.predicts_only_direction();
        let rates = finding.measures.deciding(direction_only);
        let text = |rate: &Rate| {
            format!(
                "{}/{} [{:.3}, {:.3}]",
                rate.hits, rate.trials, rate.lower, rate.upper
            )
        };
        let best = finding.measures.best(direction_only);
        let share = best.map_or(0.0, |rate| rate.share());
        let case = ClauseCase {
            n: variable.digit,
            met,
            nodes: Node::names(&nodes),
            note: format!(
                "{claim}: interchange accuracy {}, control pairs {}",
                listed(rates.iter().map(text)),
                text(&finding.measures.control_pairs)
            ),
        };
        Ok((case, share))
    }

    fn feeds(&self, clauses: &[Feeds]) -> Result<Vec<ClauseResult>, TestError> {
        let shape = self.engine.shape();
        let links: Vec<(Variable, Fed, usize)> = clauses
            .iter()
            .filter(|clause| self.applies(&clause.does))
            .flat_map(|clause| {
                cases_of(clause.digits, &shape)
                    .into_iter()
                    .filter_map(|digit| {
                        let n = digit.unwrap_or(0);
                        Some((clause.from.variable(n, &shape)?, clause.to, n))
                    })
            })
            .collect();
        let is_link = |from: &VertexKind, to: &VertexKind, wanted: &(Variable, Fed, usize)| {
            let (variable, fed, n) = wanted;
            let is_from =
                matches!(from, VertexKind::Claim { variable: found, .. } if found == variable);
            let is_to = match (to, fed) {
                (VertexKind::Token(token), fed) => fed.token(*n, &shape) == Some(*token),
                (VertexKind::Claim { variable, .. }, Fed::Claim(pattern)) => {
                    pattern.variable(*n, &shape) == Some(*variable)
                }
                _ => false,
            };
            is_from && is_to
        };
        let flows = Flows {
            unclaimed: true,
            relayed: true,
        };
        let mut graph = Graph::new(self.known.clone(), shape, flows);
        graph.keep_edges(|from, to| {
            from.holds() && links.iter().any(|link| is_link(&from.kind, &to.kind, link))
        });
        graph.measure(self.engine, self.budget, &mut |_, _| {})?;
        Ok(clauses
            .iter()
            .map(|clause| {
                let case = |digit: Option<usize>| {
                    let n = digit.unwrap_or(0);
                    let Some(variable) = clause.from.variable(n, &shape) else {
                        return no_such_digit(digit, &clause.from);
                    };
                    let wanted = (variable, clause.to, n);
                    self.fed(&graph, digit, |from, to| is_link(from, to, &wanted))
                        .unwrap_or_else(|| {
                            let none = format!("no {variable} claim that holds has a path there");
                            ClauseCase::unmet(digit, self.nearest(variable, &none))
                        })
                };
                let cases = cases_of(clause.digits, &shape)
                    .into_iter()
                    .map(case)
                    .collect();
                let applies = self.applies(&clause.does);
                ClauseKind::Feeds.result(&clause.says, clause.optional, applies, cases)
            })
            .collect())
    }

    /// The case for the edges that `is_link` selects; `None` if there are none.
    fn fed(
        &self,
        graph: &Graph,
        digit: Option<usize>,
        is_link: impl Fn(&VertexKind, &VertexKind) -> bool,
    ) -> Option<ClauseCase> {
        let kind = |vertex: NodeIndex| &graph.edges[vertex].kind;
        let links: Vec<_> = graph
            .edges
            .edge_indices()
            .filter_map(|edge| {
                let (from, to) = graph.ends(edge);
                is_link(kind(from), kind(to)).then_some((from, to, &graph.edges[edge]))
            })
            .collect();
        if links.is_empty() {
            return None;
        }
        let standing: Vec<_> = links.iter().filter(|(.., edge)| edge.stands()).collect();
        let told = listed(links.iter().map(|(from, to, edge)| {
            format!("{} to {}: {}", kind(*from), kind(*to), edge.verdict())
        }));
        let nodes_of = |vertex: NodeIndex| match kind(vertex) {
            VertexKind::Claim { nodes, .. } => nodes.clone(),
            VertexKind::Token(_) => Vec::new(),
        };
        let nodes: BTreeSet<Node> = standing
            .iter()
            .flat_map(|(from, to, _)| nodes_of(*from).into_iter().chain(nodes_of(*to)))
            .collect();
        Some(ClauseCase {
            n: digit,
            met: !standing.is_empty(),
            nodes: nodes.iter().map(Node::name).collect(),
            note: told,
        })
    }
}

fn no_such_digit(digit: Option<usize>, pattern: &Pattern) -> ClauseCase {
    ClauseCase::unmet(digit, format!("the model has no digit for {pattern}"))
}

/// Why a hypothesis could not be tested.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// An error in the hypothesis.
    #[error(transparent)]
    Hypothesis(#[from] HypothesisError),
    /// A run failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}
