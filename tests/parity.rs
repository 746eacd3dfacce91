//! The network computes what TransformerLens computes of the same weights.
//!
//! `tests/reference/<model>/reference.json` holds what TransformerLens computed for the bundled
//! models, `questions.json` beside it the questions that means were taken over. Run with
//! `--nocapture` to see the largest differences.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use circuitcheck::domain::arithmetic::{Answer, Prompt, Question, token_of};
use circuitcheck::domain::node::NodeName;
use circuitcheck::domain::shape::Shape;
use circuitcheck::inputs::model::{ModelFolder, Weights};
use circuitcheck::network::engine::{Decode, Engine, Intervention, Overwrite, Site, Source};
use circuitcheck::network::logits::AnswerLogits;
use circuitcheck::network::reference::Network;
use serde::Deserialize;
use serde::de::DeserializeOwned;

const MODELS: [&str; 3] = [
    "w126_add_d5_l2_h3_t15K_s372001",
    "w126_sub_d5_l2_h3_t30K_s372001",
    "w126_mix_d5_l3_h4_t40K_s372001",
];

/// Logits, losses and attention weights may differ by this much. The reference is rounded to 1e-5
/// and was itself computed in f32: an f64 run of the same network lies about 2e-5 away from it at most.
const TOLERANCE: f64 = 1e-4;

/// Prompts in one pass of the plain network, which bounds its memory.
const BATCH: usize = 64;

/// What is held against the reference.
enum Implementation {
    Plain(Network),
    Engine(Box<Engine>),
}

impl Implementation {
    /// Every implementation of these weights, by name.
    fn all(weights: &Weights) -> Vec<(&'static str, Self)> {
        vec![
            (
                "plain",
                Implementation::Plain(Network::load(weights).unwrap()),
            ),
            (
                "engine",
                Implementation::Engine(Box::new(Engine::new(weights))),
            ),
        ]
    }

    fn shape(&self) -> Shape {
        match self {
            Implementation::Plain(network) => network.shape(),
            Implementation::Engine(engine) => engine.shape(),
        }
    }

    /// The logits of each prompt with its own intervention.
    fn logits(&self, prompts: &[Prompt], interventions: &[Intervention]) -> Vec<AnswerLogits> {
        match self {
            Implementation::Plain(network) => prompts
                .chunks(BATCH)
                .zip(interventions.chunks(BATCH))
                .flat_map(|(prompts, i)| network.forward(prompts, i).unwrap())
                .collect(),
            Implementation::Engine(engine) => {
                let run = engine.run(prompts).unwrap();
                let jobs: Vec<_> = interventions.iter().cloned().enumerate().collect();
                engine.intervene(&run, &jobs, Decode::Forced).unwrap()
            }
        }
    }

    /// The activations of one prompt at each site.
    fn activations(&self, prompt: Prompt, sites: &[Site]) -> Vec<Vec<f32>> {
        match self {
            Implementation::Plain(network) => network.read(&[prompt], sites).unwrap().remove(0),
            Implementation::Engine(engine) => {
                let read = engine
                    .activations(&[prompt], sites.iter().copied())
                    .unwrap();
                sites.iter().map(|&s| read.get(0, s).to_vec()).collect()
            }
        }
    }

    /// The mean activation over `prompts` at each site.
    fn means(&self, prompts: &[Prompt], sites: &[Site]) -> Vec<Vec<f32>> {
        match self {
            Implementation::Plain(network) => {
                let shape = self.shape();
                let mut sums: Vec<Mean> =
                    sites.iter().map(|s| Mean::new(s.width(&shape))).collect();
                for batch in prompts.chunks(BATCH) {
                    for read in network.read(batch, sites).unwrap() {
                        sums.iter_mut().zip(&read).for_each(|(sum, v)| sum.add(v));
                    }
                }
                sums.iter().map(Mean::finish).collect()
            }
            Implementation::Engine(engine) => {
                let means = engine
                    .mean_activations(prompts, sites.iter().copied())
                    .unwrap();
                sites.iter().map(|&s| means.get(0, s).to_vec()).collect()
            }
        }
    }

    /// The mean attention weights over `prompts`: `[n_layers, n_heads, n_ctx, n_ctx]`.
    fn mean_attention(&self, prompts: &[Prompt]) -> Vec<f32> {
        match self {
            Implementation::Plain(network) => {
                let shape = self.shape();
                let layer = shape.n_heads * shape.n_ctx() * shape.n_ctx();
                let mut sums: Vec<Mean> = (0..shape.n_layers).map(|_| Mean::new(layer)).collect();
                for batch in prompts.chunks(BATCH) {
                    let patterns = network.attention(batch).unwrap();
                    for (sum, pattern) in sums.iter_mut().zip(patterns) {
                        let pattern = pattern.flatten_from(1).unwrap().to_vec2().unwrap();
                        pattern.iter().for_each(|values| sum.add(values));
                    }
                }
                sums.iter().flat_map(Mean::finish).collect()
            }
            Implementation::Engine(engine) => engine.mean_attention(prompts).unwrap(),
        }
    }
}

/// A running mean in f64.
struct Mean {
    sum: Vec<f64>,
    count: usize,
}

impl Mean {
    fn new(width: usize) -> Self {
        Mean {
            sum: vec![0.0; width],
            count: 0,
        }
    }

    fn add(&mut self, values: &[f32]) {
        assert_eq!(values.len(), self.sum.len());
        self.count += 1;
        for (sum, &value) in self.sum.iter_mut().zip(values) {
            *sum += f64::from(value);
        }
    }

    fn finish(&self) -> Vec<f32> {
        let count = self.count as f64;
        self.sum.iter().map(|sum| (sum / count) as f32).collect()
    }
}

/// One model and what TransformerLens says of it.
struct Case {
    model: &'static str,
    weights: Weights,
    /// The questions that means are taken over.
    questions: Vec<Prompt>,
    reference: Reference,
}

impl Case {
    fn load(model: &'static str) -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let weights = ModelFolder::open(&root.join("models").join(model))
            .unwrap()
            .weights;
        let folder = root.join("tests/reference").join(model);
        let reference: Reference = json(folder.join("reference.json"));
        let texts: Vec<String> = json(folder.join("questions.json"));
        let shape = weights.shape();
        assert_eq!(texts.len(), reference.question_file_count);
        assert_eq!(reference.n_ctx, shape.n_ctx());
        assert_eq!(reference.n_answer, shape.n_answer());
        Case {
            model,
            questions: prompts(&texts, &shape),
            weights,
            reference,
        }
    }

    fn shape(&self) -> Shape {
        self.weights.shape()
    }

    fn site(&self, node: &str) -> Site {
        let name: NodeName = node.parse().unwrap();
        Site::from(name.resolve(&self.shape()).unwrap())
    }
}

fn json<T: DeserializeOwned>(path: PathBuf) -> T {
    let file = File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_reader(BufReader::new(file)).unwrap()
}

fn prompt(text: &str, shape: &Shape) -> Prompt {
    Question::parse(text, shape.n_digits).unwrap().into()
}

fn prompts(texts: &[String], shape: &Shape) -> Vec<Prompt> {
    texts.iter().map(|text| prompt(text, shape)).collect()
}

#[derive(Deserialize)]
struct Reference {
    n_ctx: usize,
    n_answer: usize,
    question_file_count: usize,
    forward: Vec<Forward>,
    /// For each head, such as `L0H1`, `[n_ctx][n_ctx]`: a row for each query, a column for each key.
    attention_mean: BTreeMap<String, Vec<Vec<f32>>>,
    ablation_questions: Vec<String>,
    mean_ablation: Vec<MeanAblation>,
    position_ablation: Vec<PositionAblation>,
    patch: Vec<Patch>,
}

/// One question, as it is.
#[derive(Deserialize)]
struct Forward {
    question: String,
    #[serde(flatten)]
    outcome: Outcome,
}

/// The base question, with the nodes' values overwritten by those of the source question.
#[derive(Deserialize)]
struct Patch {
    #[serde(rename = "store")]
    source: String,
    #[serde(rename = "clean")]
    base: String,
    nodes: Vec<String>,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Deserialize)]
struct Outcome {
    answer: String,
    loss: f64,
    /// `[n_answer][d_vocab]`
    logits: Vec<Vec<f32>>,
}

/// Each ablation question, with one node overwritten by its mean.
#[derive(Deserialize)]
struct MeanAblation {
    node: String,
    answers: Vec<String>,
    loss: Vec<f64>,
}

/// Each ablation question, with the residual stream at one position overwritten by its mean after
/// every layer.
#[derive(Deserialize)]
struct PositionAblation {
    position: usize,
    answers: Vec<String>,
    loss: Vec<f64>,
}

/// Compares, and remembers how far apart what it compared was at most.
#[derive(Default)]
struct Comparison {
    largest: f64,
    count: usize,
}

impl Comparison {
    fn value(&mut self, what: &str, found: f64, expected: f64) {
        let difference = (found - expected).abs();
        // Not `difference > TOLERANCE`, which NaN would pass.
        assert!(
            difference <= TOLERANCE,
            "{what}: {found}, TransformerLens has {expected}"
        );
        self.largest = self.largest.max(difference);
        self.count += 1;
    }

    fn values(&mut self, what: &str, found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len(), "{what}");
        for (&found, &expected) in found.iter().zip(expected) {
            self.value(what, found.into(), expected.into());
        }
    }
}

/// Holds the outcomes of prompts against the reference and prints the largest differences.
fn compare_outcomes(what: &str, prompts: &[Prompt], found: &[AnswerLogits], expected: &[&Outcome]) {
    let (mut logits, mut losses) = (Comparison::default(), Comparison::default());
    assert_eq!(found.len(), expected.len());
    for ((prompt, found), expected) in prompts.iter().zip(found).zip(expected) {
        let what = format!("{what}, {}", prompt.question);
        assert_eq!(found.answer().to_string(), expected.answer, "{what}");
        let found_rows = found.rows().as_flattened();
        logits.values(&what, found_rows, &expected.logits.concat());
        let loss = found.loss(&Answer::of(&prompt.question));
        losses.value(&what, loss, expected.loss);
    }
    println!(
        "{what}: {} answers equal; {} logits within {:.1e}, {} losses within {:.1e}",
        found.len(),
        logits.count,
        logits.largest,
        losses.count,
        losses.largest
    );
}

/// Overwrites `sites` of every ablation question by `means` and compares answers and losses.
fn compare_ablation(
    case: &Case,
    implementation: &Implementation,
    (sites, means): (&[Site], &[Vec<f32>]),
    (answers, losses): (&[String], &[f64]),
    comparison: &mut Comparison,
) {
    let prompts = prompts(&case.reference.ablation_questions, &case.shape());
    let ablation = Intervention::new(sites.iter().zip(means).map(|(&site, value)| Overwrite {
        site,
        source: Source::Mean,
        value,
    }));
    let found = implementation.logits(&prompts, &vec![ablation.clone(); prompts.len()]);
    assert_eq!(found.len(), answers.len());
    assert_eq!(found.len(), losses.len());
    for (i, logits) in found.iter().enumerate() {
        let what = format!("{}, {}, {ablation}", case.model, prompts[i].question);
        assert_eq!(logits.answer().to_string(), answers[i], "{what}");
        let truth = Answer::of(&prompts[i].question);
        comparison.value(&what, logits.loss(&truth), losses[i]);
    }
}

fn for_every_model(test: impl Fn(&Case, &str, &Implementation)) {
    for model in MODELS {
        let case = Case::load(model);
        for (name, implementation) in Implementation::all(&case.weights) {
            test(&case, &format!("{model}, {name}"), &implementation);
        }
    }
}

#[test]
fn the_reference_files_are_of_the_bundled_models() {
    for model in MODELS {
        let reference = Case::load(model).reference;
        let wrong = (reference.position_ablation.iter())
            .flat_map(|ablation| ablation.answers.iter().zip(&reference.ablation_questions))
            .filter(|(answer, question)| !question.ends_with(answer.as_str()))
            .count();
        // Ablations that change no answer would be no test of anything.
        assert!(wrong > 0, "{model}");
        assert!(reference.patch.iter().any(|patch| patch.nodes.len() > 1));
        assert!(!reference.forward.is_empty() && !reference.mean_ablation.is_empty());
        assert!(reference.patch.iter().all(|p| {
            let tokens: Option<Vec<_>> = p.outcome.answer.chars().map(token_of).collect();
            tokens.is_some_and(|tokens| tokens.len() == reference.n_answer)
        }));
    }
}

#[test]
fn plain_runs_agree_with_transformer_lens() {
    for_every_model(|case, name, implementation| {
        let entries = &case.reference.forward;
        let prompts: Vec<Prompt> = (entries.iter())
            .map(|entry| prompt(&entry.question, &case.shape()))
            .collect();
        let none = vec![Intervention::default(); prompts.len()];
        let found = implementation.logits(&prompts, &none);
        let expected: Vec<&Outcome> = entries.iter().map(|entry| &entry.outcome).collect();
        compare_outcomes(&format!("{name}, forward"), &prompts, &found, &expected);
    });
}

#[test]
fn patched_runs_agree_with_transformer_lens() {
    for_every_model(|case, name, implementation| {
        let shape = case.shape();
        let entries = &case.reference.patch;
        let stored: Vec<(Vec<Site>, Vec<Vec<f32>>)> = (entries.iter())
            .map(|entry| {
                let sites: Vec<Site> = entry.nodes.iter().map(|n| case.site(n)).collect();
                let values = implementation.activations(prompt(&entry.source, &shape), &sites);
                (sites, values)
            })
            .collect();
        let patches: Vec<Intervention> = (stored.iter())
            .map(|(sites, values)| {
                Intervention::new(sites.iter().zip(values).map(|(&site, value)| Overwrite {
                    site,
                    source: Source::Stored,
                    value,
                }))
            })
            .collect();
        let base: Vec<Prompt> = (entries.iter())
            .map(|entry| prompt(&entry.base, &shape))
            .collect();
        let found = implementation.logits(&base, &patches);
        let expected: Vec<&Outcome> = entries.iter().map(|entry| &entry.outcome).collect();
        compare_outcomes(&format!("{name}, patch"), &base, &found, &expected);
    });
}

#[test]
fn nodes_ablated_by_their_mean_agree_with_transformer_lens() {
    for_every_model(|case, name, implementation| {
        let entries = &case.reference.mean_ablation;
        let sites: Vec<Site> = entries.iter().map(|entry| case.site(&entry.node)).collect();
        let means = implementation.means(&case.questions, &sites);
        let mut comparison = Comparison::default();
        for (i, entry) in entries.iter().enumerate() {
            compare_ablation(
                case,
                implementation,
                (&sites[i..=i], &means[i..=i]),
                (&entry.answers, &entry.loss),
                &mut comparison,
            );
        }
        println!(
            "{name}, mean ablation: {} answers equal, losses within {:.1e}",
            comparison.count, comparison.largest
        );
    });
}

#[test]
fn positions_ablated_by_their_mean_agree_with_transformer_lens() {
    for_every_model(|case, name, implementation| {
        let n_layers = case.shape().n_layers;
        let entries = &case.reference.position_ablation;
        let sites: Vec<Site> = (entries.iter())
            .flat_map(|entry| {
                let position = entry.position;
                (0..n_layers).map(move |layer| Site::resid_post(position, layer))
            })
            .collect();
        let means = implementation.means(&case.questions, &sites);
        let mut comparison = Comparison::default();
        for (i, entry) in entries.iter().enumerate() {
            let layers = i * n_layers..(i + 1) * n_layers;
            compare_ablation(
                case,
                implementation,
                (&sites[layers.clone()], &means[layers]),
                (&entry.answers, &entry.loss),
                &mut comparison,
            );
        }
        println!(
            "{name}, position ablation: {} answers equal, losses within {:.1e}",
            comparison.count, comparison.largest
        );
    });
}

#[test]
fn mean_attention_agrees_with_transformer_lens() {
    for_every_model(|case, name, implementation| {
        let shape = case.shape();
        let found = implementation.mean_attention(&case.questions);
        let head_size = shape.n_ctx() * shape.n_ctx();
        assert_eq!(
            case.reference.attention_mean.len(),
            shape.n_layers * shape.n_heads
        );
        let mut comparison = Comparison::default();
        for (i, found) in found.chunks_exact(head_size).enumerate() {
            let head = format!("L{}H{}", i / shape.n_heads, i % shape.n_heads);
            let expected = case.reference.attention_mean[&head].concat();
            comparison.values(&format!("{name}, {head}"), found, &expected);
        }
        println!(
            "{name}, attention: {} mean weights within {:.1e}",
            comparison.count, comparison.largest
        );
    });
}
