//! The laws of the engine, on random small networks and on the bundled ones.
//!
//! A law is checked on a [`Trial`]: a network, prompts, and jobs, each an intervention on one of the
//! prompts. `PROPTEST_CASES` sets how many trials of random networks each law gets; `--nocapture`
//! prints the largest difference each law saw.

use std::cell::Cell;
use std::fmt;
use std::path::Path;
use std::sync::LazyLock;

use candle_core::DType;
use circuitcheck::domain::arithmetic::{Answer, AnswerToken, Operation, Prompt, Question, Token};
use circuitcheck::domain::shape::{D_VOCAB, Shape};
use circuitcheck::domain::site::{Hook, Point};
use circuitcheck::inputs::model::{Array, ModelFolder, Weights};
use circuitcheck::network::engine::{
    Decode, Engine, EngineError, Intervention, Overwrite, Run, Site, Source,
};
use circuitcheck::network::logits::AnswerLogits;
use circuitcheck::network::reference::Network;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::ThreadPoolBuilder;

const BUNDLED: [&str; 4] = [
    "w126_add_d5_l1_h3_t30K_s372001",
    "w126_add_d5_l2_h3_t15K_s372001",
    "w126_sub_d5_l2_h3_t30K_s372001",
    "w126_mix_d5_l3_h4_t40K_s372001",
];

/// Trials of a random network for one of a bundled network, which takes about as much longer.
const RANDOM_PER_BUNDLED: u32 = 16;

/// How far the engine, in f32, may lie from the plain network, in f64. Differences are of [`difference`].
///
/// The plain network in f32 can lie further away by itself: where two positions get almost equal
/// attention, one rounding of their scores moved logits by 9e-5.
const BETWEEN_IMPLEMENTATIONS: f32 = 1e-4;

/// How far the engine may lie from itself where it multiplies the same rows in larger or smaller
/// matrices, whose sums the product groups by their size.
const BETWEEN_BATCHES: f32 = 1e-5;

/// Both decodings.
const DECODES: [Decode; 2] = [Decode::Forced, Decode::Free];

// Networks.

/// A network under trial, in both implementations; the plain one without rounding.
struct Model {
    engine: Engine,
    network: Network,
}

impl Model {
    fn new(weights: &Weights) -> Self {
        Model {
            engine: Engine::new(weights),
            network: Network::exact(weights).unwrap(),
        }
    }

    /// What the plain network predicts under each job: the definition the engine is held against.
    fn predict(&self, jobs: &[PlacedJob], decode: Decode) -> Vec<AnswerLogits> {
        let interventions: Vec<_> = jobs.iter().map(|job| job.intervention.clone()).collect();
        let mut prompts: Vec<Prompt> = jobs.iter().map(|job| job.prompt).collect();
        let forward = |prompts: &[Prompt]| self.network.forward(prompts, &interventions).unwrap();
        if decode == Decode::Free {
            // Every answer token in turn becomes the one predicted after those before it.
            for place in (0..self.engine.shape().n_answer()).rev().map(AnswerToken) {
                let predicted = forward(&prompts);
                for (prompt, logits) in prompts.iter_mut().zip(predicted) {
                    prompt.forced.set(place, logits.answer().get(place));
                }
            }
        }
        forward(&prompts)
    }
}

/// Where a trial's network comes from.
#[derive(Debug, Clone)]
enum Origin {
    Random { shape: Shape, seed: u64 },
    Bundled(&'static str),
}

impl Origin {
    fn shape(&self) -> Shape {
        match self {
            Origin::Random { shape, .. } => *shape,
            Origin::Bundled(name) => bundled(name).engine.shape(),
        }
    }

    /// Calls `law` with the network.
    fn with<T>(&self, law: impl FnOnce(&Model) -> T) -> T {
        match self {
            Origin::Random { shape, seed } => law(&Model::new(&random_weights(*shape, *seed))),
            Origin::Bundled(name) => law(bundled(name)),
        }
    }
}

fn bundled(name: &str) -> &'static Model {
    static MODELS: LazyLock<Vec<(&str, Model)>> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let load = |name| ModelFolder::open(&folder.join(name)).unwrap().weights;
        BUNDLED.map(|name| (name, Model::new(&load(name)))).into()
    });
    let (_, model) = MODELS.iter().find(|(n, _)| *n == name).unwrap();
    model
}

/// How far biases and layer-norm weights are moved from where an untrained network has them.
const BIAS_SPREAD: f32 = 0.2;

/// A random network whose biases and layer-norm weights count too.
fn random_weights(shape: Shape, seed: u64) -> Weights {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let arrays = Weights::random(shape, seed)
        .iter()
        .map(|(name, array)| {
            let is_matrix = name.rsplit('.').next().unwrap().starts_with('W');
            let spread = if is_matrix { 0.0 } else { BIAS_SPREAD };
            let moved = array
                .data()
                .iter()
                .map(|value| value + spread * rng.random_range(-1f32..1.0));
            let array = Array::new(array.shape().to_vec(), moved.collect()).unwrap();
            (name.to_owned(), array)
        })
        .collect();
    Weights::from_arrays(arrays).unwrap()
}

// Trials.

/// One overwrite to be made.
#[derive(Clone)]
struct Patch {
    site: Site,
    source: Source,
    /// The prompt that a stored value is taken from.
    donor: usize,
}

impl fmt::Debug for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.site, self.source)?;
        match self.source {
            Source::Stored => write!(f, "({})", self.donor),
            _ => Ok(()),
        }
    }
}

/// An intervention to be made on one prompt.
#[derive(Debug, Clone)]
struct Job {
    question: usize,
    patches: Vec<Patch>,
}

/// A job with its prompt and the values of its patches.
struct PlacedJob<'a> {
    question: usize,
    prompt: Prompt,
    intervention: Intervention<'a>,
}

#[derive(Debug, Clone)]
struct Trial {
    origin: Origin,
    prompts: Vec<Prompt>,
    jobs: Vec<Job>,
}

impl Trial {
    /// Every site that a job names.
    fn sites(&self) -> Vec<Site> {
        let patches = self.jobs.iter().flat_map(|job| &job.patches);
        patches.map(|patch| patch.site).collect()
    }

    /// The value of each patch, by job, as the plain network has it.
    fn values(&self, model: &Model) -> Vec<Vec<Vec<f32>>> {
        let sites = self.sites();
        let read = model.network.read(&self.prompts, &sites).unwrap();
        let mut next = 0..sites.len();
        let mut value = |question: usize, patch: &Patch| {
            let site = next.next().unwrap();
            match patch.source {
                Source::Own => read[question][site].clone(),
                Source::Stored => read[patch.donor][site].clone(),
                Source::Zero => vec![0.0; read[question][site].len()],
                Source::Mean => mean(read.iter().map(|sites| sites[site].as_slice())),
            }
        };
        let of_job = |job: &Job| {
            let patches = job.patches.iter();
            patches.map(|patch| value(job.question, patch)).collect()
        };
        self.jobs.iter().map(of_job).collect()
    }

    /// The jobs with `values` to be written.
    fn placed<'a>(&self, values: &'a [Vec<Vec<f32>>]) -> Vec<PlacedJob<'a>> {
        let place = |(job, values): (&Job, &'a Vec<Vec<f32>>)| PlacedJob {
            question: job.question,
            prompt: self.prompts[job.question],
            intervention: Intervention::new(job.patches.iter().zip(values).map(
                |(patch, value)| Overwrite {
                    site: patch.site,
                    source: patch.source,
                    value,
                },
            )),
        };
        self.jobs.iter().zip(values).map(place).collect()
    }
}

fn mean<'a>(rows: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let rows: Vec<_> = rows.collect();
    let column = |i: usize| rows.iter().map(|row| f64::from(row[i])).sum::<f64>();
    (0..rows[0].len())
        .map(|i| (column(i) / rows.len() as f64) as f32)
        .collect()
}

/// The jobs as the engine takes them.
fn for_engine<'a>(jobs: &[PlacedJob<'a>]) -> Vec<(usize, Intervention<'a>)> {
    jobs.iter()
        .map(|job| (job.question, job.intervention.clone()))
        .collect()
}

/// Shapes of small networks, most of whose widths are no multiple of anything a kernel would like.
/// A `d_model` below 5 leaves layer norms with next to no variance to divide by.
fn shapes() -> impl Strategy<Value = Shape> {
    (
        1..=4usize,
        1..=3usize,
        1..=4usize,
        5..=37usize,
        1..=13usize,
        1..=41usize,
    )
        .prop_map(
            |(n_digits, n_layers, n_heads, d_model, d_head, d_mlp)| Shape {
                n_digits,
                n_layers,
                n_heads,
                d_model,
                d_head,
                d_mlp,
            },
        )
}

/// A prompt of as many digits as are needed, drawn without knowing how many.
#[derive(Debug, Clone)]
struct AnyPrompt {
    operation: Operation,
    operands: (u32, u32),
    /// What the network is made to read where it is not the true answer.
    forced: Option<[Token; 8]>,
}

impl AnyPrompt {
    fn of_size(&self, shape: &Shape) -> Prompt {
        let limit = 10u128.pow(shape.n_digits as u32);
        let operand = |operand: u32| u128::from(operand) % limit;
        let (first, second) = self.operands;
        let question = Question::new(
            operand(first),
            self.operation,
            operand(second),
            shape.n_digits,
        );
        match self.forced {
            None => Prompt::truth(question),
            Some(tokens) => Prompt {
                question,
                forced: Answer::from_tokens(&tokens[..shape.n_answer()]),
            },
        }
    }
}

fn any_prompt() -> impl Strategy<Value = AnyPrompt> {
    (
        select(vec![Operation::Add, Operation::Sub]),
        (0..100_000u32, 0..100_000u32),
        prop::option::of(prop::array::uniform8(0..D_VOCAB as Token)),
    )
        .prop_map(|(operation, operands, forced)| AnyPrompt {
            operation,
            operands,
            forced,
        })
}

/// A site, drawn without knowing the network: position, layer, hook, head, and a slice of its values.
type AnySite = (Index, Index, Index, Index, Option<(Index, Index)>);

fn site((position, layer, point, head, columns): AnySite, shape: &Shape) -> Site {
    let point = *point.get(&Point::ALL);
    let hook = match point {
        Point::Embed => Hook::EMBED,
        Point::PosEmbed => Hook::POS_EMBED,
        Point::LnFinal => Hook::LN_FINAL,
        point => Hook::of(point, layer.index(shape.n_layers)),
    };
    let position = position.index(shape.n_ctx());
    let site = match point.is_of_head() {
        true => Site::of_head(position, hook, head.index(shape.n_heads)),
        false => Site::at(position, hook),
    };
    match columns {
        None => site,
        Some((start, length)) => {
            let start = start.index(site.width(shape));
            let end = start + 1 + length.index(site.width(shape) - start);
            site.slice(start..end)
        }
    }
}

/// Trials of a network from `origin` with at most so many prompts and jobs. Everything is drawn
/// apart and fitted to the network after, so that each part of a failure shrinks by itself.
fn trials(
    origin: impl Strategy<Value = Origin>,
    most_prompts: usize,
    most_jobs: usize,
) -> impl Strategy<Value = Trial> {
    let sources = select(vec![
        Source::Stored,
        Source::Mean,
        Source::Zero,
        Source::Own,
    ]);
    let patch = (any::<AnySite>(), sources, any::<Index>());
    let job = (any::<Index>(), vec(patch, 1..=4));
    (
        origin,
        vec(any_prompt(), 1..=most_prompts),
        vec(job, 1..=most_jobs),
    )
        .prop_map(|(origin, prompts, jobs)| {
            let shape = origin.shape();
            let jobs = jobs.into_iter().map(|(question, patches)| Job {
                question: question.index(prompts.len()),
                patches: patches
                    .into_iter()
                    .map(|(at, source, donor)| Patch {
                        site: site(at, &shape),
                        source,
                        donor: donor.index(prompts.len()),
                    })
                    .collect(),
            });
            Trial {
                jobs: jobs.collect(),
                prompts: prompts.iter().map(|p| p.of_size(&shape)).collect(),
                origin,
            }
        })
}

/// Checks a law on random networks and on every bundled one, in trials of a few prompts and jobs.
fn holds(law: impl Fn(&Model, &Trial) -> TestCaseResult) {
    holds_in_trials_of(6, 8, 1, law);
}

/// Checks a law in batches that take several slices of the engine's, in fewer trials.
fn holds_in_large_batches(law: impl Fn(&Model, &Trial) -> TestCaseResult) {
    holds_in_trials_of(80, 150, 4, law);
}

fn holds_in_trials_of(
    most_prompts: usize,
    most_jobs: usize,
    fewer: u32,
    law: impl Fn(&Model, &Trial) -> TestCaseResult,
) {
    let random = (shapes(), any::<u64>())
        .prop_map(|(shape, seed)| Origin::Random { shape, seed })
        .boxed();
    let of_bundled = BUNDLED.map(|name| Just(Origin::Bundled(name)).boxed());
    let cases = Config::default().cases / fewer;
    let plans = [(random, cases)]
        .into_iter()
        .chain(of_bundled.map(|origin| (origin, cases / RANDOM_PER_BUNDLED)));
    for (origin, cases) in plans {
        let config = Config {
            cases: cases.max(1),
            // A trial prints all that made it.
            failure_persistence: None,
            ..Config::default()
        };
        LARGEST.set(0.0);
        TestRunner::new(config)
            .run(&trials(origin, most_prompts, most_jobs), |trial| {
                trial.origin.with(|model| law(model, &trial))
            })
            .unwrap_or_else(|failure| panic!("{failure}"));
        println!("largest difference in {cases} trials: {:e}", LARGEST.get());
    }
}

// Comparisons.

thread_local! {
    /// The largest difference compared on this thread, which is to say by one law.
    static LARGEST: Cell<f32> = const { Cell::new(0.0) };
}

/// How far apart two values are: absolutely up to 1, from there in proportion.
fn difference(found: f32, expected: f32) -> f32 {
    (found - expected).abs() / expected.abs().max(1.0)
}

fn close(what: impl fmt::Display, found: &[f32], expected: &[f32], within: f32) -> TestCaseResult {
    prop_assert_eq!(found.len(), expected.len(), "{}", what);
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let difference = difference(found, expected);
        // Not `difference > within`, which NaN would pass.
        prop_assert!(
            difference <= within,
            "{what}: {found} for {expected} at {i}"
        );
        LARGEST.set(LARGEST.get().max(difference));
    }
    Ok(())
}

/// Logits within `within`, and the same tokens except at a tie that so much can turn. After a tie
/// in a free-running answer, whose tokens may then differ, nothing is compared.
fn same_answers(
    found: &[AnswerLogits],
    expected: &[AnswerLogits],
    within: f32,
    decode: Decode,
) -> TestCaseResult {
    prop_assert_eq!(found.len(), expected.len());
    for (job, (found, expected)) in found.iter().zip(expected).enumerate() {
        let places = (0..expected.rows().len()).rev().map(AnswerToken);
        for place in places {
            let (row, expected_row) = (found.row(place), expected.row(place));
            close(
                format_args!("{decode:?}, job {job}, {place}"),
                row,
                expected_row,
                within,
            )?;
            let largest = expected_row.iter().fold(1f32, |top, v| top.max(v.abs()));
            let tie = expected.margin(place) <= 2.0 * within * largest;
            if !tie {
                prop_assert_eq!(found.answer().get(place), expected.answer().get(place));
            } else if decode == Decode::Free {
                break;
            }
        }
    }
    Ok(())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Logits that are the same, bit for bit.
fn same_bits(
    what: impl fmt::Display,
    found: &[AnswerLogits],
    expected: &[AnswerLogits],
) -> TestCaseResult {
    prop_assert_eq!(found.len(), expected.len(), "{}", what);
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let (found, expected) = (found.rows(), expected.rows());
        prop_assert!(
            bits(found.as_flattened()) == bits(expected.as_flattened()),
            "{what}, {i}: {found:?} for {expected:?}"
        );
    }
    Ok(())
}

/// The prompts with the network's own answers forced, those left out whose answer is not the one it
/// then gives: only a tie allows that.
fn self_answered(engine: &Engine, prompts: &[Prompt]) -> Vec<Prompt> {
    let run = engine.run(prompts).unwrap();
    let jobs: Vec<_> = (0..prompts.len())
        .map(|question| (question, Intervention::default()))
        .collect();
    let free = engine.intervene(&run, &jobs, Decode::Free).unwrap();
    let answered = prompts.iter().zip(free).map(|(prompt, logits)| Prompt {
        forced: logits.answer(),
        ..*prompt
    });
    answered
        .filter(|prompt| engine.logits(&[*prompt]).unwrap()[0].smallest_margin() > BETWEEN_BATCHES)
        .collect()
}

// The laws.

#[test]
fn an_empty_intervention_changes_no_bit() {
    holds_in_large_batches(|Model { engine, .. }, trial| {
        let questions = trial.jobs.iter().map(|job| job.question);
        let jobs: Vec<_> = questions.map(|q| (q, Intervention::default())).collect();
        let run = engine.run(&trial.prompts).unwrap();
        let plain: Vec<_> = jobs.iter().map(|&(q, _)| run.logits()[q].clone()).collect();
        let found = engine.intervene(&run, &jobs, Decode::Forced).unwrap();
        same_bits("forced", &found, &plain)
    });
}

#[test]
fn reading_ones_own_answer_changes_no_bit() {
    holds_in_large_batches(|Model { engine, .. }, trial| {
        let prompts = self_answered(engine, &trial.prompts);
        prop_assume!(!prompts.is_empty());
        let jobs: Vec<_> = (0..prompts.len())
            .map(|question| (question, Intervention::default()))
            .collect();
        let run = engine.run(&prompts).unwrap();
        for (prompt, logits) in prompts.iter().zip(run.logits()) {
            prop_assert_eq!(logits.answer(), prompt.forced);
        }
        let found = engine.intervene(&run, &jobs, Decode::Free).unwrap();
        same_bits("free", &found, run.logits())
    });
}

#[test]
fn patching_a_run_with_itself_changes_nothing() {
    holds(|Model { engine, .. }, trial| {
        let given = (trial.prompts.clone(), Decode::Forced);
        // A free run has the activations of the forced one where the answer forced is its own.
        let answered = (self_answered(engine, &trial.prompts), Decode::Free);
        for (prompts, decode) in [given, answered] {
            if prompts.is_empty() {
                continue;
            }
            let own = engine.activations(&prompts, trial.sites()).unwrap();
            let intervention = |job: &Job| {
                let question = job.question % prompts.len();
                let own = |patch: &Patch| own.overwrite(question, patch.site, Source::Own);
                (question, Intervention::new(job.patches.iter().map(own)))
            };
            let jobs: Vec<_> = trial.jobs.iter().map(intervention).collect();
            let run = engine.run(&prompts).unwrap();
            let plain: Vec<_> = jobs.iter().map(|(q, _)| run.logits()[*q].clone()).collect();
            let found = engine.intervene(&run, &jobs, decode).unwrap();
            same_answers(&found, &plain, BETWEEN_BATCHES, decode)?;
        }
        Ok(())
    });
}

#[test]
fn a_patch_changes_no_bit_of_a_prediction_before_its_position() {
    holds(|model @ Model { engine, .. }, trial| {
        let values = trial.values(model);
        let run = engine.run(&trial.prompts).unwrap();
        let shape = engine.shape();
        for (question, intervention) in for_engine(&trial.placed(&values)) {
            let positions = intervention.overwrites().iter().map(|o| o.site.position());
            let before = (positions.min().unwrap())
                .saturating_sub(shape.first_answer_position())
                .min(shape.n_answer());
            for decode in DECODES {
                let of = |intervention| {
                    let logits = engine.intervene(&run, &[(question, intervention)], decode);
                    logits.unwrap().remove(0)
                };
                let (plain, patched) = (of(Intervention::default()), of(intervention.clone()));
                prop_assert_eq!(
                    bits(patched.rows()[..before].as_flattened()),
                    bits(plain.rows()[..before].as_flattened()),
                    "{:?}, {} on {}",
                    decode,
                    intervention,
                    question
                );
            }
        }
        Ok(())
    });
}

#[test]
fn a_dead_site_changes_no_bit() {
    holds(|model @ Model { engine, .. }, trial| {
        let values = trial.values(model);
        let run = engine.run(&trial.prompts).unwrap();
        let shape = engine.shape();
        let mut jobs = for_engine(&trial.placed(&values));
        for (_, intervention) in &mut jobs {
            let dead = |o: &&Overwrite| !o.site.reaches_an_answer(&shape);
            *intervention =
                Intervention::new(intervention.overwrites().iter().filter(dead).copied());
        }
        let plain: Vec<_> = jobs.iter().map(|(q, _)| run.logits()[*q].clone()).collect();
        let found = engine.intervene(&run, &jobs, Decode::Forced).unwrap();
        same_bits("forced", &found, &plain)?;
        // The plain network computes what the engine left out, to the same end.
        let forced = |(question, intervention): &(usize, Intervention<'_>)| {
            let prompt = [trial.prompts[*question]];
            let intervention = std::slice::from_ref(intervention);
            let with = model.network.forward(&prompt, intervention).unwrap();
            (with, model.network.forward(&prompt, &[]).unwrap())
        };
        for job in &jobs {
            let (with, without) = forced(job);
            same_bits("plain network", &with, &without)?;
        }
        Ok(())
    });
}

#[test]
fn the_engine_computes_what_the_plain_network_computes() {
    holds(|model @ Model { engine, .. }, trial| {
        let logits = engine.logits(&trial.prompts).unwrap();
        let plain = model.network.forward(&trial.prompts, &[]).unwrap();
        same_answers(&logits, &plain, BETWEEN_IMPLEMENTATIONS, Decode::Forced)?;
        let run = engine.run(&trial.prompts).unwrap();
        same_bits("run and logits", run.logits(), &logits)?;

        let values = trial.values(model);
        let jobs = trial.placed(&values);
        for decode in DECODES {
            let found = engine.intervene(&run, &for_engine(&jobs), decode).unwrap();
            let expected = model.predict(&jobs, decode);
            same_answers(&found, &expected, BETWEEN_IMPLEMENTATIONS, decode)?;
        }
        Ok(())
    });
}

#[test]
fn a_free_answer_is_the_plain_network_s_token_by_token() {
    holds(|model @ Model { engine, .. }, trial| {
        let jobs: Vec<_> = (trial.prompts.iter().enumerate())
            .map(|(question, &prompt)| PlacedJob {
                question,
                prompt,
                intervention: Intervention::default(),
            })
            .collect();
        let run = engine.run(&trial.prompts).unwrap();
        let found = engine.intervene(&run, &for_engine(&jobs), Decode::Free);
        let expected = model.predict(&jobs, Decode::Free);
        same_answers(
            &found.unwrap(),
            &expected,
            BETWEEN_IMPLEMENTATIONS,
            Decode::Free,
        )
    });
}

#[test]
fn activations_are_the_plain_network_s() {
    holds(|Model { engine, network }, trial| {
        let sites = trial.sites();
        let read = network.read(&trial.prompts, &sites).unwrap();
        let found = engine.activations(&trial.prompts, sites.clone()).unwrap();
        for (prompt, read) in read.iter().enumerate() {
            for (&site, expected) in sites.iter().zip(read) {
                let found = found.get(prompt, site);
                close(site, found, expected, BETWEEN_IMPLEMENTATIONS)?;
            }
        }
        Ok(())
    });
}

#[test]
fn activations_under_an_intervention_are_the_plain_network_s() {
    holds(|model @ Model { engine, network }, trial| {
        let values = trial.values(model);
        let jobs = trial.placed(&values);
        let prompts: Vec<Prompt> = jobs.iter().map(|job| job.prompt).collect();
        let interventions: Vec<_> = jobs.iter().map(|job| job.intervention.clone()).collect();
        let sites = trial.sites();
        let expected = network.read_under(&prompts, &interventions, &sites);
        let found = engine.activations_under(&prompts, &interventions, sites.clone());
        let (found, expected) = (found.unwrap(), expected.unwrap());
        for (prompt, expected) in expected.iter().enumerate() {
            for (&site, expected) in sites.iter().zip(expected) {
                let found = found.get(prompt, site);
                let what = format!("{site} under {}", interventions[prompt]);
                close(what, found, expected, BETWEEN_IMPLEMENTATIONS)?;
            }
        }
        Ok(())
    });
}

#[test]
fn mean_activations_are_the_means_of_activations() {
    holds_in_large_batches(|Model { engine, .. }, trial| {
        let sites = trial.sites();
        let each = engine.activations(&trial.prompts, sites.clone()).unwrap();
        let means = engine.mean_activations(&trial.prompts, sites.clone());
        let means = means.unwrap();
        for site in sites {
            let rows = (0..trial.prompts.len()).map(|prompt| each.get(prompt, site));
            close(site, means.get(0, site), &mean(rows), BETWEEN_BATCHES)?;
        }
        Ok(())
    });
}

#[test]
fn mean_attention_is_the_mean_of_the_plain_network_s() {
    holds(|Model { engine, network }, trial| {
        let found = engine.mean_attention(&trial.prompts).unwrap();
        let mut expected = Vec::new();
        for layer in network.attention(&trial.prompts).unwrap() {
            let rows = layer.flatten_from(1).unwrap().to_dtype(DType::F32).unwrap();
            let rows: Vec<Vec<f32>> = rows.to_vec2().unwrap();
            expected.extend(mean(rows.iter().map(Vec::as_slice)));
        }
        close("attention", &found, &expected, BETWEEN_IMPLEMENTATIONS)
    });
}

#[test]
fn a_batch_gives_what_its_questions_give_alone() {
    holds_in_large_batches(|model @ Model { engine, .. }, trial| {
        let run = engine.run(&trial.prompts).unwrap();
        let alone = |prompt: &Prompt| engine.run(&[*prompt]).unwrap();
        let runs: Vec<Run> = trial.prompts.iter().map(alone).collect();
        let logits: Vec<_> = runs.iter().map(|run| run.logits()[0].clone()).collect();
        same_answers(run.logits(), &logits, BETWEEN_BATCHES, Decode::Forced)?;

        let values = trial.values(model);
        let jobs = for_engine(&trial.placed(&values));
        for decode in DECODES {
            let batch = engine.intervene(&run, &jobs, decode).unwrap();
            let alone = |(question, intervention): &(usize, Intervention)| {
                let logits =
                    engine.intervene(&runs[*question], &[(0, intervention.clone())], decode);
                logits.unwrap().remove(0)
            };
            let alone: Vec<_> = jobs.iter().map(alone).collect();
            same_answers(&batch, &alone, BETWEEN_BATCHES, decode)?;
        }
        Ok(())
    });
}

#[test]
fn neither_grouping_nor_order_of_jobs_changes_what_they_give() {
    holds_in_large_batches(|model @ Model { engine, .. }, trial| {
        let values = trial.values(model);
        let jobs = for_engine(&trial.placed(&values));
        let run = engine.run(&trial.prompts).unwrap();
        for decode in DECODES {
            let intervene = |jobs: &[_]| engine.intervene(&run, jobs, decode).unwrap();
            let together = intervene(&jobs);
            for size in [7, 65] {
                let apart: Vec<_> = jobs.chunks(size).flat_map(intervene).collect();
                same_answers(&apart, &together, BETWEEN_BATCHES, decode)?;
            }
            let mut backwards = jobs.clone();
            backwards.reverse();
            let mut backwards = intervene(&backwards);
            backwards.reverse();
            same_answers(&backwards, &together, BETWEEN_BATCHES, decode)?;
        }
        Ok(())
    });
}

#[test]
fn nothing_of_an_intervention_is_left_behind() {
    holds(|model @ Model { engine, .. }, trial| {
        let values = trial.values(model);
        let jobs = for_engine(&trial.placed(&values));
        let run = engine.run(&trial.prompts).unwrap();
        let before = run.logits().to_vec();
        for decode in DECODES {
            let first = engine.intervene(&run, &jobs, decode).unwrap();
            same_bits("the run itself", run.logits(), &before)?;
            let again = engine.run(&trial.prompts).unwrap();
            same_bits("a second run", again.logits(), &before)?;
            let from_old = engine.intervene(&run, &jobs, decode).unwrap();
            same_bits("the intervention repeated", &from_old, &first)?;
            let from_new = engine.intervene(&again, &jobs, decode).unwrap();
            same_bits("the intervention on the second run", &from_new, &first)?;
        }
        Ok(())
    });
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let pool = |threads| ThreadPoolBuilder::new().num_threads(threads).build();
    let pools = [1, 2, 3].map(|threads| pool(threads).unwrap());
    holds_in_large_batches(|model @ Model { engine, .. }, trial| {
        let values = trial.values(model);
        let jobs = for_engine(&trial.placed(&values));
        let sites = trial.sites();
        let prompts = &trial.prompts;
        let everything = || {
            let run = engine.run(prompts).unwrap();
            let [forced, free] = DECODES.map(|d| engine.intervene(&run, &jobs, d).unwrap());
            let read = engine.activations(prompts, sites.clone()).unwrap();
            let means = engine.mean_activations(prompts, sites.clone()).unwrap();
            let mut values = engine.mean_attention(prompts).unwrap();
            for &site in &sites {
                values.extend(means.get(0, site));
                (0..prompts.len()).for_each(|p| values.extend(read.get(p, site)));
            }
            let plain = engine.logits(prompts).unwrap();
            ([run.logits().to_vec(), plain, forced, free], values)
        };
        let [(one, read), others @ ..] = pools.each_ref().map(|pool| pool.install(everything));
        for (other, other_read) in others {
            for (found, expected) in other.iter().zip(&one) {
                same_bits("logits", found, expected)?;
            }
            prop_assert!(bits(&other_read) == bits(&read), "activations or attention");
        }
        Ok(())
    });
}

// What is refused.

/// Sites one beyond the last position, layer, head or value of a network.
fn sites_outside(shape: &Shape) -> Vec<Site> {
    let live = shape.first_answer_position();
    let mut sites = Vec::new();
    for point in Point::ALL {
        let of = |layer: usize| match point {
            Point::Embed => Hook::EMBED,
            Point::PosEmbed => Hook::POS_EMBED,
            Point::LnFinal => Hook::LN_FINAL,
            point => Hook::of(point, layer),
        };
        let at = |position: usize, layer: usize, head: usize| match point.is_of_head() {
            true => Site::of_head(position, of(layer), head),
            false => Site::at(position, of(layer)),
        };
        sites.push(at(shape.n_ctx(), 0, 0));
        if point.is_in_layer() {
            sites.push(at(live, shape.n_layers, 0));
        }
        if point.is_of_head() {
            sites.push(at(live, 0, shape.n_heads));
            sites.push(at(shape.n_ctx() - 1, 0, shape.n_heads));
        }
        let width = at(live, 0, 0).width(shape);
        sites.push(at(live, 0, 0).slice(0..width + 1));
    }
    sites
}

#[test]
fn a_value_of_another_width_is_an_error() {
    holds(|Model { engine, .. }, trial| {
        let run = engine.run(&trial.prompts).unwrap();
        for (job, site) in trial.jobs.iter().zip(trial.sites()) {
            let expected = site.width(&engine.shape());
            for found in [0, expected - 1, expected + 1, 2 * expected] {
                let value = vec![0.0; found];
                let overwrite = Overwrite {
                    site,
                    source: Source::Zero,
                    value: &value,
                };
                let jobs = [(job.question, Intervention::new([overwrite]))];
                let error = engine.intervene(&run, &jobs, Decode::Forced).unwrap_err();
                prop_assert_eq!(
                    error.to_string(),
                    format!("the value for {site} has {found} numbers, the site holds {expected}")
                );
            }
        }
        Ok(())
    });
}

#[test]
fn a_prompt_of_another_size_is_an_error() {
    holds(|Model { engine, .. }, trial| {
        let expected = engine.shape().n_digits;
        for found in [expected - 1, expected + 1] {
            let question = Question::new(0, Operation::Add, 0, found);
            let forced = Answer::from_tokens(&vec![0; found + 2]);
            let fitting = trial.prompts[0];
            let of_question = Prompt {
                question,
                ..fitting
            };
            let of_answer = Prompt { forced, ..fitting };
            for prompt in [Prompt::truth(question), of_question, of_answer] {
                let mut prompts = trial.prompts.clone();
                prompts.push(prompt);
                let refused = EngineError::Digits { found, expected };
                prop_assert_eq!(engine.run(&prompts).unwrap_err(), refused.clone());
                prop_assert_eq!(engine.logits(&prompts).unwrap_err(), refused.clone());
                let sites = trial.sites();
                let read = engine.activations(&prompts, sites.clone());
                prop_assert_eq!(read.unwrap_err(), refused.clone());
                let means = engine.mean_activations(&prompts, sites);
                prop_assert_eq!(means.unwrap_err(), refused.clone());
                prop_assert_eq!(engine.mean_attention(&prompts).unwrap_err(), refused);
            }
        }
        let error = EngineError::Digits {
            found: 6,
            expected: 5,
        };
        prop_assert_eq!(
            error.to_string(),
            "a question has 6 digits, the model takes 5"
        );
        Ok(())
    });
}

#[test]
fn an_overwrite_at_a_site_the_network_lacks_is_an_error() {
    holds(|Model { engine, .. }, trial| {
        let shape = engine.shape();
        let run = engine.run(&trial.prompts).unwrap();
        for site in sites_outside(&shape) {
            let read = engine.activations(&trial.prompts, [site]);
            prop_assert!(matches!(read, Err(EngineError::Site(_))), "{}", site);
            let value = vec![0.0; site.width(&shape)];
            let source = Source::Zero;
            let value = &value;
            let overwrite = Overwrite {
                site,
                source,
                value,
            };
            let jobs: Vec<_> = (0..trial.prompts.len())
                .map(|question| (question, Intervention::new([overwrite])))
                .collect();
            for decode in DECODES {
                let error = engine.intervene(&run, &jobs, decode).err();
                prop_assert_eq!(
                    error.map(|error| error.to_string()),
                    Some(format!(
                        "the intervention {site}=zero made 0 of its 1 overwrites"
                    ))
                );
            }
        }
        Ok(())
    });
}
