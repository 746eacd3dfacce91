//! Verdicts held against a network whose circuit is known.

use std::collections::{BTreeMap, BTreeSet};

use circuitcheck::domain::arithmetic::{Class, Prompt};
use circuitcheck::domain::causal::Space;
use circuitcheck::domain::node::{Component, NodeName};
use circuitcheck::domain::task::{Task, Variable};
use circuitcheck::experiment::Rules;
use circuitcheck::network::engine::Engine;
use circuitcheck::network::handmade::{self, Carries, Handmade, MARGIN};
use circuitcheck::network::logits::AnswerLogits;
use circuitcheck::network::reference::Network;
use circuitcheck::verify::evidence::ClaimEvidence;
use circuitcheck::verify::{Options, VerdictKind, verify};

/// Questions in one pass of the plain network, which bounds its memory.
const BATCH: usize = 500;

/// Counterfactual trials of a false claim: enough for every bound to decide, few enough for hundreds.
const FEW_TRIALS: usize = 2000;

fn prompts(n_digits: usize, every: usize) -> Vec<Prompt> {
    Space::of_class(Class::Add, n_digits)
        .enumerate()
        .into_iter()
        .step_by(every)
        .map(Prompt::truth)
        .collect()
}

fn assert_right(prompts: &[Prompt], logits: &[AnswerLogits]) {
    assert_eq!(prompts.len(), logits.len());
    for (prompt, logits) in prompts.iter().zip(logits) {
        assert_eq!(logits.answer(), prompt.forced, "{}", prompt.question);
        let margin = logits.smallest_margin();
        assert!(margin > MARGIN, "{}: {margin}", prompt.question);
    }
}

#[test]
fn every_question_of_two_digits_is_answered_rightly() {
    let weights = handmade::addition(2).weights;
    let prompts = prompts(2, 1);
    assert_eq!(prompts.len(), 10_000);
    assert_right(&prompts, &Engine::new(&weights).logits(&prompts).unwrap());
    let network = Network::load(&weights).unwrap();
    for batch in prompts.chunks(BATCH) {
        assert_right(batch, &network.forward(batch, &[]).unwrap());
    }
}

#[test]
fn questions_of_three_and_four_digits_are_answered_rightly() {
    // Strides without a factor of 2 or 5, so that every digit takes every value.
    for (n_digits, every) in [(3, 37), (4, 4999)] {
        let prompts = prompts(n_digits, every);
        let engine = Engine::new(&handmade::addition(n_digits).weights);
        assert_right(&prompts, &engine.logits(&prompts).unwrap());
    }
}

type Claimed = (NodeName, Variable);

/// Every claim with its verdict and a line on why.
fn verdicts<'a>(
    model: &Handmade,
    claims: impl IntoIterator<Item = &'a Claimed>,
    max_trials: usize,
) -> Vec<(String, &'static str, String)> {
    let folder = model.claiming(claims);
    let options = Options {
        rules: Rules {
            max_trials,
            ..Rules::default()
        },
        ..Options::default()
    };
    verify(&folder, None, &options, &mut |_| ())
        .unwrap()
        .claims
        .into_iter()
        .map(|claim| (claim.claim, claim.verdict.name(), claim.verdict.note()))
        .collect()
}

/// Verifies a file of all true claims. Among them is the MLP in which redundant heads are outvoted: it
/// carries the same variable behind them, and must not be mean-ablated with the others.
fn assert_true_claims_are_found(n_digits: usize) {
    let model = handmade::addition(n_digits);
    let expected: BTreeMap<String, &str> = model
        .true_claims
        .iter()
        .map(|((node, variable), carries)| {
            (
                format!("{node} {variable}"),
                VerdictKind::from(*carries).name(),
            )
        })
        .collect();
    let found = verdicts(
        &model,
        model.true_claims.keys(),
        Rules::default().max_trials,
    );
    assert_eq!(found.len(), expected.len());
    let mut wrong = Vec::new();
    for (claim, verdict, note) in found {
        println!("{claim}: {verdict} {note}");
        if verdict != expected[&claim] {
            wrong.push(format!(
                "{claim}: {verdict}, not {}: {note}",
                expected[&claim]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Verifies a file of all false claims, and of all true ones as well where `among_true` says so.
fn assert_false_claims_are_caught(n_digits: usize, among_true: bool) {
    let model = handmade::addition(n_digits);
    let false_claims = model.false_claims();
    let names: BTreeSet<String> = false_claims
        .iter()
        .map(|(node, variable)| format!("{node} {variable}"))
        .collect();
    let beside = model.true_claims.keys().filter(|_| among_true);
    let truths: BTreeMap<String, &str> = (model.true_claims.iter())
        .map(|((node, variable), carries)| {
            (
                format!("{node} {variable}"),
                VerdictKind::from(*carries).name(),
            )
        })
        .collect();
    let found = verdicts(&model, false_claims.iter().chain(beside), FEW_TRIALS);
    let mut counts = BTreeMap::new();
    let mut wrong = Vec::new();
    for (claim, verdict, note) in found {
        if let Some(right) = truths.get(&claim) {
            println!("{claim}: {verdict} {note}");
            if verdict != *right {
                wrong.push(format!("{claim}: {verdict}, not {right}: {note}"));
            }
            continue;
        }
        *counts.entry(verdict).or_insert(0) += 1;
        match verdict {
            "refuted" | "not shown" | "not testable" => {}
            "unspecific" => println!("{claim}: {verdict} {note}"),
            _ => wrong.push(format!("{claim}: {verdict} {note}")),
        }
    }
    println!("{counts:?}");
    assert_eq!(counts.values().sum::<usize>(), names.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_true_of_two_digits_is_found() {
    assert_true_claims_are_found(2);
}

#[test]
fn what_is_true_of_three_digits_is_found() {
    assert_true_claims_are_found(3);
}

#[test]
fn what_is_false_of_two_digits_is_caught() {
    assert_false_claims_are_caught(2, false);
}

#[test]
fn what_is_false_of_two_digits_is_caught_beside_what_is_true() {
    assert_false_claims_are_caught(2, true);
}

/// The same claim is tested beside others of its variable, for which more is tried than for it, and
/// alone.
#[test]
fn what_else_is_tested_changes_nothing_of_a_claims_trials() {
    let model = handmade::addition(2);
    let carry = Variable {
        task: Task::Sc,
        digit: Some(0),
    };
    let redundant: Vec<Claimed> = (model.true_claims.iter())
        .filter(|((_, variable), carries)| *variable == carry && **carries == Carries::Redundantly)
        .map(|(&claim, _)| claim)
        .collect();
    assert!(!redundant.is_empty());
    // Idle at that position.
    let other = NodeName {
        component: Component::Head(1),
        ..redundant[0].0
    };
    let folder = model.claiming(redundant.iter().chain([&(other, carry)]));
    let claims = |nodes: Vec<NodeName>| {
        let options = Options {
            rules: Rules {
                max_trials: FEW_TRIALS,
                ..Rules::default()
            },
            nodes,
            ..Options::default()
        };
        verify(&folder, None, &options, &mut |_| ()).unwrap().claims
    };
    let all = claims(Vec::new());
    let tried = |claim: &ClaimEvidence| claim.trials.clone().unwrap().escalation;
    let beside = all.iter().find(|claim| claim.node == other).unwrap();
    assert!(!tried(beside).is_empty());
    assert!(
        all.iter()
            .any(|claim| tried(claim).iter().any(|t| !t.mean_ablated.is_empty()))
    );
    let alone = claims(vec![other]);
    assert_eq!(alone.len(), 1);
    assert_eq!(&alone[0], beside);
}
