//! The planted networks carry their variables as their tables say. Every fact is shown by patching,
//! without the verdicts that they are made to test.

use std::collections::{BTreeMap, BTreeSet};

use circuitcheck::domain::arithmetic::{Answer, AnswerToken, Prompt, TokenSet};
use circuitcheck::domain::causal::{Family, Kind, Pair, Space, Stratum, is_defined, predict};
use circuitcheck::domain::node::{Node, NodeName};
use circuitcheck::domain::task::{Task, Variable};
use circuitcheck::experiment::stream;
use circuitcheck::network::engine::{Activations, Decode, Engine, Intervention, Run, Site, Source};
use circuitcheck::network::handmade::{
    Carries, DigitsFollow, Handmade, PLANTED_MARGIN, Planted, planted,
};

const DIGITS: usize = 2;

/// Pairs of each kind on which a set of nodes is tried.
const PAIRS: usize = 400;

/// How much more often a whole set moves a token than the set without one of its nodes.
const NEED: f64 = 0.2;

type Nodes = BTreeSet<NodeName>;

/// Pairs of one kind, ready to be patched at any node.
struct Bench {
    pairs: Vec<(Stratum, Pair)>,
    run: Run,
    stored: Activations,
}

impl Bench {
    fn new(engine: &Engine, variable: Variable, kind: Kind) -> Self {
        let family = Family::new(variable, kind, DIGITS);
        let mut pairs = family.draws().take(PAIRS, &mut stream(1, "planted"));
        if pairs.len() < PAIRS {
            pairs = family.enumerate();
        }
        let bases: Vec<Prompt> = pairs.iter().map(|(_, p)| Prompt::truth(p.base)).collect();
        let sources: Vec<Prompt> = pairs.iter().map(|(_, p)| p.source).collect();
        let sites = Node::all(&engine.shape()).into_iter().map(Site::from);
        Bench {
            run: engine.run(&bases).unwrap(),
            stored: engine.activations(&sources, sites).unwrap(),
            pairs,
        }
    }

    /// The answers to the base questions with the nodes patched from the source questions.
    fn patched(&self, engine: &Engine, nodes: &Nodes) -> Vec<Answer> {
        let shape = engine.shape();
        let patches: Vec<(usize, Intervention)> = (0..self.pairs.len())
            .map(|pair| {
                let patch = nodes.iter().map(|node| {
                    let node = node.resolve(&shape).unwrap();
                    self.stored.overwrite(pair, node, Source::Stored)
                });
                (pair, Intervention::new(patch))
            })
            .collect();
        let logits = engine.intervene(&self.run, &patches, Decode::Forced);
        logits.unwrap().iter().map(|l| l.answer()).collect()
    }
}

/// What patching a set of nodes did to pairs of a variable.
#[derive(Debug, Default)]
struct Seen {
    /// For each token predicted to change, in how many pairs, and in how many it did so.
    tokens: BTreeMap<AnswerToken, (usize, usize)>,
    /// Counterfactual pairs in which a token changed that should not have, or to another value.
    elsewhere: usize,
    /// Control pairs in which anything changed.
    disturbed: usize,
}

impl Seen {
    /// The share of pairs in which a token changed as predicted.
    fn share(&self, token: AnswerToken) -> f64 {
        let (predicted, moved) = self.tokens[&token];
        moved as f64 / predicted as f64
    }

    /// The tokens that the set carries the variable to: they changed as predicted in every pair, and
    /// nothing else ever changed.
    fn held(&self) -> Vec<AnswerToken> {
        let base = self.elsewhere + self.disturbed == 0;
        let all = self.tokens.keys().copied();
        all.filter(|&token| base && self.share(token) == 1.0)
            .collect()
    }
}

/// A network with the benches of its variables.
struct Lab {
    engine: Engine,
    /// Counterfactual and control pairs of each variable that has a counterfactual pair.
    benches: BTreeMap<Variable, [Bench; 2]>,
}

impl Lab {
    fn new(handmade: &Handmade) -> Self {
        let engine = Engine::new(&handmade.weights);
        let answered = handmade.operations.classes();
        let benches = Task::all()
            .flat_map(|task| task.variables(0..DIGITS + 1))
            .filter(|&variable| is_defined(variable, &answered, DIGITS))
            .filter(|&variable| !Family::new(variable, Kind::Counterfactual, DIGITS).is_empty())
            .map(|variable| {
                let kinds = [Kind::Counterfactual, Kind::Control];
                (
                    variable,
                    kinds.map(|kind| Bench::new(&engine, variable, kind)),
                )
            })
            .collect();
        Lab { engine, benches }
    }

    fn nodes(&self) -> Vec<NodeName> {
        Node::names(&Node::all(&self.engine.shape()))
    }

    fn seen(&self, variable: Variable, nodes: &Nodes) -> Seen {
        let [counterfactual, control_pairs] = &self.benches[&variable];
        let mut seen = Seen::default();
        let patched = counterfactual.patched(&self.engine, nodes);
        for ((stratum, pair), answer) in counterfactual.pairs.iter().zip(patched) {
            let truth = Answer::of(&pair.base);
            let predicted = predict(variable, &pair.source, &pair.base).unwrap();
            let predicted_change = predicted.changed_from(&truth);
            let right = |token| {
                predicted_change.contains(token) && answer.get(token) == predicted.get(token)
            };
            let mut changed = answer.changed_from(&truth);
            // Where the sign turns, the digits may follow it.
            if *stratum == Stratum::Order {
                changed = changed.intersection(TokenSet::only(truth.sign_place()));
            }
            seen.elsewhere += usize::from(!changed.iter().all(right));
            for token in predicted_change.iter() {
                let (predicted, moved) = seen.tokens.entry(token).or_default();
                *predicted += 1;
                *moved += usize::from(right(token));
            }
        }
        let patched = control_pairs.patched(&self.engine, nodes);
        seen.disturbed = (control_pairs.pairs.iter().zip(patched))
            .filter(|((_, pair), answer)| *answer != Answer::of(&pair.base))
            .count();
        seen
    }
}

fn named(name: &str) -> Planted {
    let mut networks = planted().into_iter();
    networks.find(|planted| planted.name == name).unwrap()
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn variable(task: Task, digit: usize) -> Variable {
    Variable {
        task,
        digit: Some(digit),
    }
}

fn names(nodes: &Nodes) -> String {
    let names: Vec<String> = nodes.iter().map(NodeName::to_string).collect();
    names.join(" + ")
}

#[test]
fn every_question_is_answered_rightly() {
    for Planted { name, handmade, .. } in planted() {
        let classes = handmade.operations.classes().into_iter();
        let prompts: Vec<Prompt> = classes
            .flat_map(|class| Space::of_class(class, DIGITS).enumerate())
            .map(Prompt::truth)
            .collect();
        assert_eq!(prompts.len(), 10_000);
        let logits = Engine::new(&handmade.weights).logits(&prompts).unwrap();
        for (prompt, logits) in prompts.iter().zip(logits) {
            let question = prompt.question;
            assert_eq!(logits.answer(), prompt.forced, "{name}: {question}");
            assert!(
                logits.smallest_margin() > PLANTED_MARGIN,
                "{name}: {question}"
            );
        }
    }
}

/// Every node is tried with every variable, so that no true claim is missing.
#[test]
fn a_node_alone_carries_what_is_said_of_it_and_nothing_else() {
    let mut wrong = Vec::new();
    for Planted { name, handmade, .. } in planted() {
        let lab = Lab::new(&handmade);
        for node in lab.nodes() {
            for &variable in lab.benches.keys() {
                let claim = (node, variable);
                let carries = handmade.true_claims.get(&claim);
                if carries.is_none() && handmade.nearly_true.contains(&claim) {
                    continue;
                }
                let seen = lab.seen(variable, &Nodes::from([node]));
                if seen.held().is_empty() == (carries == Some(&Carries::Alone)) {
                    wrong.push(format!("{name}: {node} {variable} {carries:?}: {seen:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_set_carries_its_variable_and_without_any_of_its_nodes_does_not() {
    for Planted { name, handmade, .. } in planted() {
        let lab = Lab::new(&handmade);
        for set in &handmade.sets {
            for nodes in set.minimal_sets() {
                let what = format!("{name}: {} of {}", set.variable, names(&nodes));
                let held = lab.seen(set.variable, &nodes).held();
                assert!(!held.is_empty(), "{what}");
                for node in &nodes {
                    let mut fewer = nodes.clone();
                    fewer.remove(node);
                    let fewer = lab.seen(set.variable, &fewer);
                    let needed = (held.iter()).any(|&token| fewer.share(token) <= 1.0 - NEED);
                    assert!(needed, "{what} without {node}: {fewer:?}");
                }
            }
        }
    }
}

#[test]
fn the_sets_are_as_wide_as_they_are_meant_to_be() {
    let minimal = |name: &str| -> Vec<Nodes> {
        let sets = named(name).handmade.sets;
        sets.iter().flat_map(|set| set.minimal_sets()).collect()
    };
    let layers = |set: &Nodes| -> BTreeSet<usize> { set.iter().map(|node| node.layer).collect() };
    let positions =
        |set: &Nodes| -> BTreeSet<usize> { set.iter().map(|node| node.position).collect() };
    let cross_layer = minimal("cross-layer");
    assert!(cross_layer.iter().all(|set| set.len() == 2));
    assert!(cross_layer.iter().any(|set| layers(set).len() == 2));
    assert!(cross_layer.iter().any(|set| positions(set).len() == 2));
    let scattered = minimal("scattered");
    assert!(scattered.iter().all(|set| set.len() == 5));
    assert!(scattered.iter().any(|set| positions(set).len() == 5));
    assert!(scattered.iter().any(|set| layers(set).len() == 2));
}

#[test]
fn a_half_moved_token_moves_in_about_two_thirds_of_pairs_and_another_in_all() {
    let Planted {
        handmade, in_part, ..
    } = named("half-moved");
    let lab = Lab::new(&handmade);
    assert_eq!(in_part.len(), 4);
    for ((node, variable), token) in in_part {
        let seen = lab.seen(variable, &Nodes::from([node]));
        assert_eq!(seen.held(), [AnswerToken(2)], "{node} {variable}");
        let share = seen.share(token);
        assert!((0.6..0.7).contains(&share), "{node} {variable}: {share}");
    }
}

#[test]
fn a_decoy_that_reads_a_node_agrees_as_often() {
    let Planted { handmade, .. } = named("fed-decoy");
    let lab = Lab::new(&handmade);
    let shape = lab.engine.shape();
    for (from, decoy, variable) in [
        ("P5L0H3", "P7L1H3", variable(Task::Sa, 1)),
        ("P6L0M0", "P6L1M0", variable(Task::Sc, 1)),
    ] {
        let [from, decoy] = [from, decoy].map(node);
        let resolved = |node: NodeName| node.resolve(&shape).unwrap();
        assert!(from.same_kind(decoy) && resolved(from).can_feed(&resolved(decoy)));
        assert_eq!(handmade.true_claims[&(from, variable)], Carries::Alone);
        assert!(!handmade.true_claims.keys().any(|&(node, _)| node == decoy));
        let [held, also] = [from, decoy].map(|node| lab.seen(variable, &Nodes::from([node])));
        assert!(!held.held().is_empty());
        assert_eq!(held.held(), also.held());
    }
}

/// Patches the nodes that carry the order in pairs where it turns, and looks at the whole answer.
#[test]
fn where_the_sign_turns_the_digits_follow_the_order_or_the_sign_token() {
    for (name, follow) in [
        ("internal-order", DigitsFollow::InternalOrder),
        ("sign-token", DigitsFollow::SignToken),
    ] {
        let Planted {
            handmade, digits, ..
        } = named(name);
        assert_eq!(digits, Some(follow));
        let lab = Lab::new(&handmade);
        for digit in 0..DIGITS {
            let heads = [["P5L0H2", "P5L0H3"], ["P5L0H0", "P5L0H1"]][digit].map(node);
            for task in [Task::Gt, Task::Mt] {
                let [counterfactual, _] = &lab.benches[&variable(task, digit)];
                let patched = counterfactual.patched(&lab.engine, &Nodes::from(heads));
                let pairs = counterfactual.pairs.iter().zip(patched);
                let turned: Vec<_> = pairs
                    .filter(|((stratum, _), _)| *stratum == Stratum::Order)
                    .collect();
                assert!(turned.len() > PAIRS / 3);
                for ((_, pair), answer) in turned {
                    let digits = match follow {
                        DigitsFollow::InternalOrder => under_other_sign(pair),
                        DigitsFollow::SignToken => Answer::of(&pair.base),
                    };
                    let expected = digits.with_sign_flipped();
                    assert_eq!(answer, expected, "{name}: {}", pair.base);
                }
            }
        }
    }
}

/// The base answer with the digits of the other sign.
fn under_other_sign(pair: &Pair) -> Answer {
    let sign = Variable {
        task: Task::Sgn,
        digit: None,
    };
    let other = Prompt {
        question: pair.base,
        forced: Answer::of(&pair.base).with_sign_flipped(),
    };
    predict(sign, &other, &pair.base).unwrap()
}
