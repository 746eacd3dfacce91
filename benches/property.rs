//! Cases in batches beside proptest's own runner, which puts them to the model one at a time, in one
//! run: compare the two rows of each group, not absolute times.

use std::sync::Arc;

use circuitcheck::analysis::property::case::Case;
use circuitcheck::analysis::property::trial::Examiner;
use circuitcheck::analysis::property::{
    CaseStrategy, CaseTree, Groups, Kept, Property, PropertyOptions, builtin, check, runner, shrink,
};
use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::network::engine::{Decode, Engine};
use divan::Bencher;
use divan::counter::ItemsCount;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestCaseError, TestRunner};

/// Distinct cases put to the model in batches.
const IN_BATCHES: usize = 4096;

/// Cases put to it one at a time.
const ONE_AT_A_TIME: u32 = 256;

/// Failing cases shrunk.
const SHRUNK: usize = 64;

/// A model that fails often enough.
const SUBTRACTION: &str = "models/w126_sub_d5_l2_h3_t30K_s372001";

fn main() {
    divan::main();
}

fn answers(folder: &ModelFolder) -> Arc<Property> {
    let n_digits = folder.weights.shape().n_digits;
    let property = builtin(n_digits, 1.0).swap_remove(0);
    Arc::new(property.trained(folder.operations()).0)
}

fn strategy(property: &Arc<Property>) -> CaseStrategy {
    let n_digits = property.clauses[0].n_digits();
    CaseStrategy::new(Arc::clone(property), &Groups::new(n_digits))
}

fn examiner(engine: &Engine) -> Examiner<'_> {
    Examiner {
        engine,
        decode: Decode::Forced,
        batch: PropertyOptions::default().batch,
    }
}

fn verdict(examiner: &Examiner, property: &Property, case: Case) -> Result<(), TestCaseError> {
    let mut fails = false;
    examiner
        .examine(property, &[case], |_, tried| fails = tried.outcome.fails())
        .unwrap();
    match fails {
        true => Err(TestCaseError::fail("the answer is wrong")),
        false => Ok(()),
    }
}

/// Failing cases as they are drawn.
fn failing(examiner: &Examiner, property: &Arc<Property>) -> Vec<CaseTree> {
    let strategy = strategy(property);
    let mut runner = runner(1, "bench");
    let mut failing = Vec::new();
    while failing.len() < SHRUNK {
        let trees: Vec<CaseTree> = (0..IN_BATCHES)
            .map(|_| strategy.new_tree(&mut runner).unwrap())
            .collect();
        let cases: Vec<Case> = trees.iter().map(ValueTree::current).collect();
        examiner
            .examine(property, &cases, |i, tried| {
                if tried.outcome.fails() && failing.len() < SHRUNK {
                    failing.push(trees[i].clone());
                }
            })
            .unwrap();
    }
    failing
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn cases_in_batches(bencher: Bencher) {
    let folder = ModelFolder::bundled();
    let options = PropertyOptions {
        cases: IN_BATCHES,
        names: vec!["answers".into()],
        ..PropertyOptions::default()
    };
    bencher.counter(ItemsCount::new(IN_BATCHES)).bench(|| {
        check(
            &folder,
            Vec::new(),
            &mut Kept::default(),
            &options,
            &mut |_| {},
        )
        .unwrap()
    });
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn cases_one_at_a_time(bencher: Bencher) {
    let folder = ModelFolder::bundled();
    let engine = Engine::new(&folder.weights);
    let property = answers(&folder);
    let strategy = strategy(&property);
    let config = Config {
        cases: ONE_AT_A_TIME,
        failure_persistence: None,
        ..Config::default()
    };
    bencher.counter(ItemsCount::new(ONE_AT_A_TIME)).bench(|| {
        TestRunner::new(config.clone())
            .run(&strategy, |case| {
                verdict(&examiner(&engine), &property, case)
            })
            .unwrap();
    });
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn shrinking_in_lock_step(bencher: Bencher) {
    let folder = ModelFolder::open(SUBTRACTION.as_ref()).unwrap();
    let engine = Engine::new(&folder.weights);
    let property = answers(&folder);
    let trees = failing(&examiner(&engine), &property);
    bencher
        .counter(ItemsCount::new(SHRUNK))
        .bench(|| shrink(&examiner(&engine), &property, trees.clone()).unwrap());
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn shrinking_one_at_a_time(bencher: Bencher) {
    let folder = ModelFolder::open(SUBTRACTION.as_ref()).unwrap();
    let engine = Engine::new(&folder.weights);
    let property = answers(&folder);
    let trees = failing(&examiner(&engine), &property);
    let config = Config {
        max_shrink_iters: u32::MAX,
        failure_persistence: None,
        ..Config::default()
    };
    bencher.counter(ItemsCount::new(SHRUNK)).bench(|| {
        for tree in trees.clone() {
            TestRunner::new(config.clone())
                .run_one(tree, |case| verdict(&examiner(&engine), &property, case))
                .unwrap_err();
        }
    });
}
