//! Verdicts held against a network whose circuit is known.

use circuitcheck::arithmetic::{Class, Prompt};
use circuitcheck::causal::Space;
use circuitcheck::engine::Engine;
use circuitcheck::handmade::{self, Handmade, MARGIN};
use circuitcheck::logits::AnswerLogits;
use circuitcheck::network::Network;
use circuitcheck::node::NodeName;
use circuitcheck::task::Variable;
use circuitcheck::verify::{Options, verify};

/// Questions in one pass of the plain network, which bounds its memory.
const BATCH: usize = 500;

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
        max_trials,
        ..Options::default()
    };
    verify(&folder, None, &options, &mut |_| ())
        .unwrap()
        .claims
        .into_iter()
        .map(|claim| (claim.claim, claim.verdict.name(), claim.verdict.note()))
        .collect()
}

fn assert_true_claims_are_found(n_digits: usize, max_trials: usize) {
    let model = handmade::addition(n_digits);
    let found = verdicts(&model, model.true_claims.keys(), max_trials);
    assert_eq!(found.len(), model.true_claims.len());
    let mut wrong = Vec::new();
    for ((node, variable), carries) in &model.true_claims {
        let name = format!("{node} {variable}");
        let (_, verdict, note) = found.iter().find(|(claim, ..)| *claim == name).unwrap();
        println!("{name}: {verdict} {note}");
        if *verdict != carries.verdict() {
            wrong.push(format!(
                "{name}: {verdict}, not {}: {note}",
                carries.verdict()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn assert_false_claims_are_caught(n_digits: usize, max_trials: usize) {
    let model = handmade::addition(n_digits);
    let claims = model.false_claims();
    let found = verdicts(&model, &claims, max_trials);
    assert_eq!(found.len(), claims.len());
    let mut counts = std::collections::BTreeMap::new();
    let mut wrong = Vec::new();
    for (claim, verdict, note) in found {
        *counts.entry(verdict).or_insert(0) += 1;
        if !matches!(verdict, "refuted" | "unspecific" | "not testable") {
            wrong.push(format!("{claim}: {verdict}: {note}"));
        }
    }
    println!("{counts:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_true_of_two_digits_is_found() {
    assert_true_claims_are_found(2, 20_000);
}

#[test]
fn what_is_true_of_three_digits_is_found() {
    assert_true_claims_are_found(3, 20_000);
}

#[test]
fn what_is_false_of_two_digits_is_caught() {
    assert_false_claims_are_caught(2, 20_000);
}
