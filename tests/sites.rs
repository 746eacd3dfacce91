//! Sites, edges and interpolations are what an independent computation gives.
//!
//! `tests/reference/sites/make.py` is that computation, in numpy and double precision, and
//! `sites.json` beside it what it gave. Run with `--nocapture` to see the largest differences.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use circuitcheck::domain::arithmetic::Prompt;
use circuitcheck::domain::shape::D_VOCAB;
use circuitcheck::domain::site::Site;
use circuitcheck::experiment::{Act, Asked, Change, Place, Stage};
use circuitcheck::inputs::model::{ModelFolder, Weights};
use circuitcheck::network::engine::{Engine, Intervention, Overwrite, Scale, Source};
use circuitcheck::network::logits::AnswerLogits;
use circuitcheck::network::reference::Network;
use serde::Deserialize;

/// The reference was computed in f64, and the network runs in f32.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Reference {
    alphas: Vec<f64>,
    models: BTreeMap<String, Vec<PairReference>>,
}

#[derive(Deserialize)]
struct PairReference {
    source: String,
    base: String,
    clean: Vec<f32>,
    patched: BTreeMap<String, SiteReference>,
    exchanged: BTreeMap<String, BTreeMap<String, Vec<f32>>>,
    moved: BTreeMap<String, Vec<Vec<f32>>>,
}

#[derive(Deserialize)]
struct SiteReference {
    /// The first values of the source's activation.
    source: Vec<f32>,
    /// The base question's logits with it, `[n_answer, 15]`.
    logits: Vec<f32>,
}

fn reference() -> Reference {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = File::open(root.join("tests/reference/sites/sites.json")).unwrap();
    serde_json::from_reader(BufReader::new(file)).unwrap()
}

fn weights(model: &str) -> Weights {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    ModelFolder::open(&folder.join(model)).unwrap().weights
}

/// Calls `check` with every model and pair of the reference.
fn each_pair(mut check: impl FnMut(&Weights, &PairReference, Asked, &[f64])) {
    let reference = reference();
    assert_eq!(reference.models.len(), 2);
    for (model, pairs) in &reference.models {
        let weights = weights(model);
        let n_digits = weights.shape().n_digits;
        for pair in pairs {
            let prompt = |text: &str| Prompt::parse(text, n_digits).unwrap();
            let asked = Asked {
                source: prompt(&pair.source),
                base: prompt(&pair.base),
            };
            check(&weights, pair, asked, &reference.alphas);
        }
    }
}

/// The largest difference, which must be within the tolerance: absolutely up to 1, from there in
/// proportion.
fn compare(what: &str, found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len(), "{what}");
    let mut largest = 0f32;
    for (found, expected) in found.iter().zip(expected) {
        let difference = (found - expected).abs() / expected.abs().max(1.0);
        assert!(difference <= TOLERANCE, "{what}: {found} for {expected}");
        largest = largest.max(difference);
    }
    largest
}

fn flat(logits: &AnswerLogits) -> &[f32] {
    assert!(logits.rows().iter().all(|row| row.len() == D_VOCAB));
    logits.rows().as_flattened()
}

/// The logits of a pair's base question under one change.
fn under(engine: &Engine, asked: Asked, change: Change) -> Vec<f32> {
    let stage = Stage {
        engine,
        set: &[],
        seed: 0,
    };
    let acted = stage.act(&[asked], &[change]).unwrap();
    flat(&acted.changed[0][0]).to_vec()
}

#[test]
fn every_site_is_read_and_replaced_as_the_independent_computation_does() {
    let (mut read, mut replaced, mut hooks) = (0f32, 0f32, BTreeMap::new());
    each_pair(|weights, pair, asked, _| {
        let (engine, network) = (Engine::new(weights), Network::load(weights).unwrap());
        let clean = network.forward(&[asked.base], &[]).unwrap();
        replaced = replaced.max(compare("clean", flat(&clean[0]), &pair.clean));
        for (name, expected) in &pair.patched {
            let site: Site = name.parse().unwrap();
            *hooks.entry(site.point()).or_insert(0) += 1;
            let by_engine = engine.activations(&[asked.source], [site]).unwrap();
            let plain = network.read(&[asked.source], &[site]).unwrap();
            for value in [by_engine.get(0, site), &plain[0][0]] {
                let first = &value[..expected.source.len()];
                read = read.max(compare(name, first, &expected.source));
            }
            let patch = Intervention::new([Overwrite {
                site,
                source: Source::Stored,
                value: &plain[0][0],
            }]);
            let logits = network.forward(&[asked.base], &[patch]).unwrap();
            replaced = replaced.max(compare(name, flat(&logits[0]), &expected.logits));
            let logits = under(&engine, asked, Change::new(Act::Swap, [site]));
            replaced = replaced.max(compare(name, &logits, &expected.logits));
        }
    });
    assert_eq!(hooks.len(), 18, "every kind of hook: {hooks:?}");
    println!("largest difference of values {read:e}, of logits {replaced:e}");
}

#[test]
fn every_edge_is_exchanged_as_the_independent_computation_does() {
    let (mut largest, mut moved) = (0f32, 0);
    each_pair(|weights, pair, asked, _| {
        let engine = Engine::new(weights);
        for (name, scales) in &pair.exchanged {
            for (scale, expected) in scales {
                let scale = match scale.as_str() {
                    "frozen" => Scale::Frozen,
                    "running" => Scale::Running,
                    other => panic!("{other}"),
                };
                let place: Place = name.parse().unwrap();
                let change = Change::new(Act::Swap, [place]).at_scale(scale);
                let logits = under(&engine, asked, change);
                largest = largest.max(compare(name, &logits, expected));
                let far = |(a, b): (&f32, &f32)| (a - b).abs() > 100.0 * TOLERANCE;
                moved += usize::from(expected.iter().zip(&pair.clean).any(far));
            }
        }
    });
    assert!(
        moved > 40,
        "{moved} exchanges move a logit by more than 0.01"
    );
    println!("largest difference of logits {largest:e}");
}

#[test]
fn an_interpolation_passes_through_what_the_independent_computation_gives() {
    let mut largest = 0f32;
    each_pair(|weights, pair, asked, alphas| {
        let engine = Engine::new(weights);
        for (name, expected) in &pair.moved {
            let site: Site = name.parse().unwrap();
            for (&alpha, expected) in alphas.iter().zip(expected) {
                let logits = under(&engine, asked, Change::new(Act::Interpolate(alpha), [site]));
                largest = largest.max(compare(name, &logits, expected));
            }
        }
    });
    println!("largest difference of logits {largest:e}");
}

#[test]
fn logits_and_activations_together_are_those_apart() {
    let weights = weights("w126_mix_d5_l3_h4_t40K_s372001");
    let engine = Engine::new(&weights);
    let prompts: Vec<Prompt> = (0..40)
        .map(|i| Prompt::parse(&format!("{}-{}", 12300 + i / 4, 12290 + i % 4), 5).unwrap())
        .collect();
    for sites in [
        "P14L2H1 P13L0.resid_mid P14.ln_final P3L1H1.k P5L0H2.pattern P16L2.ln2",
        // The pass goes on past all of these to the logits.
        "P5L0H2.pattern P3L1H1.k",
        // No answer depends on the last layer before the answer.
        "P14L2H1 P4L2H0",
        "",
    ] {
        let sites: Vec<Site> = (sites.split_whitespace())
            .map(|site| site.parse().unwrap())
            .collect();
        let apart = engine.activations(&prompts, sites.clone()).unwrap();
        let (logits, together) = engine
            .logits_and_activations(&prompts, sites.clone())
            .unwrap();
        assert_eq!(logits, engine.logits(&prompts).unwrap());
        for (prompt, &site) in (0..prompts.len()).flat_map(|p| sites.iter().map(move |s| (p, s))) {
            assert_eq!(
                together.get(prompt, site),
                apart.get(prompt, site),
                "{site}"
            );
        }
    }
}
