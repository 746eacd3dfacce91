//! The checks of the checker: that they pass on it, and that each can fail.

use std::collections::BTreeMap;
use std::path::Path;

use circuitcheck::analysis::selfcheck::{
    CLAIM_ALPHA, Check, Corrupted, Corruption, FigureValue, corruptions, determinism, false_claims,
    falsehoods, intervals, known_claims, truths,
};
use circuitcheck::domain::task::Variable;
use circuitcheck::experiment::Rules;
use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::network::handmade;
use circuitcheck::verify::{Options, VerdictKind};

const ADDITION: &str = "models/w126_add_d5_l2_h3_t15K_s372001";

fn addition() -> ModelFolder {
    ModelFolder::open(Path::new(ADDITION)).unwrap()
}

fn few_trials() -> Options {
    Options {
        rules: Rules {
            max_trials: 512,
            ..Rules::default()
        },
        ..Options::default()
    }
}

fn count(check: &Check, what: &str) -> u64 {
    let figure = check.figures.iter().find(|figure| figure.what == what);
    match figure.unwrap_or_else(|| panic!("{what}: {check:?}")).value {
        FigureValue::Count(count) => count,
        ref other => panic!("{what} is {other:?}"),
    }
}

#[test]
fn decisions_on_claims_of_known_rates_keep_their_error() {
    let check = intervals(2_000, CLAIM_ALPHA, 1);
    assert!(check.passed, "{check:?}");
}

#[test]
fn a_rule_that_spends_more_than_its_error_is_reported() {
    let check = intervals(2_000, 0.2, 1);
    assert!(!check.passed, "{check:?}");
}

#[test]
fn what_is_true_of_the_planted_networks_is_found() {
    for planted in handmade::planted() {
        let (folder, expected) = truths(&planted.handmade);
        let check = known_claims(planted.name, &folder, &expected, &Options::default()).unwrap();
        assert!(check.passed, "{check:?}");
    }
}

#[test]
fn a_wrong_verdict_on_the_handmade_network_is_reported() {
    let handmade = handmade::addition(2);
    let (folder, expected) = truths(&handmade);
    let sound = known_claims("sound", &folder, &expected, &Options::default()).unwrap();
    assert!(sound.passed, "{sound:?}");

    let wrong: BTreeMap<_, _> = (expected.keys())
        .map(|&claim| (claim, vec![VerdictKind::Inconclusive]))
        .collect();
    let check = known_claims("wrong", &folder, &wrong, &Options::default()).unwrap();
    assert!(!check.passed);
    assert_eq!(count(&check, "wrong verdicts"), expected.len() as u64);
}

#[test]
fn a_claim_that_got_no_verdict_is_reported() {
    let handmade = handmade::addition(2);
    let (folder, _) = falsehoods(&handmade, 3, 1);
    let (_, expected) = falsehoods(&handmade, 4, 1);
    let check = known_claims("missing", &folder, &expected, &few_trials()).unwrap();
    assert!(!check.passed);
    assert_eq!(count(&check, "claims without a verdict"), 1);
}

#[test]
fn corrupted_claims_are_none_of_the_published_and_of_every_kind() {
    let folder = addition();
    let made = corruptions(&folder, 10, 1).unwrap();
    for kind in Corruption::ALL {
        assert_eq!(made.iter().filter(|m| m.kind == kind).count(), 10, "{kind}");
    }
    let published = String::from_utf8(folder.features.unwrap().bytes).unwrap();
    assert!(published.contains("Algo:A3.ST"));
    for corrupted in &made {
        assert_ne!(corrupted.claim, corrupted.from);
    }
    let others = corruptions(&addition(), 10, 2).unwrap();
    assert_ne!(made, others, "another seed draws others");
}

#[test]
fn corrupted_claims_of_the_addition_model_are_caught() {
    let folder = addition();
    let corrupted = corruptions(&folder, 4, 1).unwrap();
    let check = false_claims(&folder, &corrupted, &few_trials()).unwrap();
    assert!(check.passed, "{check:?}");
    assert!(count(&check, "impossible claims") > 0);
}

#[test]
fn a_claim_that_passes_though_it_is_called_impossible_is_reported() {
    let folder = addition();
    let base_sum = Variable {
        task: "SA".parse().unwrap(),
        digit: Some(0),
    };
    let claim = ("P17L0H1".parse().unwrap(), base_sum);
    let mislabelled = [Corrupted {
        kind: Corruption::Position,
        from: ("P16L0H1".parse().unwrap(), base_sum),
        claim,
        impossible: true,
    }];
    let check = false_claims(&folder, &mislabelled, &few_trials()).unwrap();
    assert!(!check.passed, "{check:?}");
    assert_eq!(count(&check, "impossible claims that pass"), 1);
}

#[test]
fn threads_blocks_and_order_change_no_byte_of_the_evidence() {
    let check = determinism(&addition(), 2, &few_trials()).unwrap();
    assert!(check.passed, "{check:?}");
    assert!(count(&check, "claims") >= 2);
}
