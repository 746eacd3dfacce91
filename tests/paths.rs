//! Path patching, held to the plain network with everything else frozen, and to its laws.

use circuitcheck::domain::arithmetic::{AnswerToken, Operation, Prompt, Question, TokenSet};
use circuitcheck::domain::node::Node;
use circuitcheck::domain::shape::Shape;
use circuitcheck::inputs::model::{Array, Weights};
use circuitcheck::network::engine::{
    Engine, Intervention, Overwrite, PathPatch, Run, Scale, Site, Source, Target,
};
use circuitcheck::network::logits::AnswerLogits;
use circuitcheck::network::reference::Network;
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SHAPE: Shape = Shape {
    n_digits: 2,
    n_layers: 3,
    n_heads: 2,
    d_model: 20,
    d_head: 8,
    d_mlp: 24,
};

/// How far sums grouped in another way may lie apart; logits are of order one.
const TOLERANCE: f32 = 2e-5;

/// A random network whose biases and norm weights count too.
fn weights(seed: u64) -> Weights {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let arrays = Weights::random(SHAPE, seed)
        .iter()
        .map(|(name, array)| {
            let values = array.data().iter();
            let moved = values.map(|value| value + rng.random_range(-0.2f32..0.2));
            let array = Array::new(array.shape().to_vec(), moved.collect()).unwrap();
            (name.to_owned(), array)
        })
        .collect();
    Weights::from_arrays(arrays).unwrap()
}

fn prompt(rng: &mut ChaCha8Rng) -> Prompt {
    let operand = |rng: &mut ChaCha8Rng| u128::from(rng.random_range(0..100u32));
    let (first, second) = (operand(rng), operand(rng));
    Question::new(first, Operation::Add, second, SHAPE.n_digits).into()
}

/// One store and one base question on one network, in both implementations.
struct Bench {
    engine: Engine,
    network: Network,
    weights: Weights,
    source: Prompt,
    base: Prompt,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let weights = weights(seed);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Bench {
            engine: Engine::new(&weights),
            network: Network::load(&weights).unwrap(),
            weights,
            source: prompt(&mut rng),
            base: prompt(&mut rng),
        }
    }

    fn run(&self) -> Run {
        self.engine.run(&[self.base]).unwrap()
    }

    /// Patches the paths with the values that `from` gives the sources.
    fn patched(
        &self,
        from: Prompt,
        sources: &[Node],
        target: Target,
        scale: Scale,
    ) -> AnswerLogits {
        let sites = sources.iter().map(|&node| Site::from(node));
        let stored = self.engine.activations(&[from], sites).unwrap();
        let values = sources
            .iter()
            .map(|&node| (node, stored.get(0, node.into())));
        let patch = PathPatch::new(values, target, scale);
        let logits = self.engine.patch_paths(&self.run(), &[(0, patch)]);
        logits.unwrap().remove(0)
    }

    fn read(&self, prompt: Prompt, nodes: &[Node]) -> Vec<Vec<f32>> {
        let sites: Vec<Site> = nodes.iter().map(|&node| node.into()).collect();
        self.network.read(&[prompt], &sites).unwrap().remove(0)
    }

    /// The definition: sources stored, every other node but the target frozen at its clean value,
    /// what the target makes of that put into a base run. By the plain network, one target after
    /// the other.
    fn by_freezing(&self, sources: &[Node], target: &Target) -> AnswerLogits {
        let all = Node::all(&SHAPE);
        let base = self.read(self.base, &all);
        let stored = self.read(self.source, &all);
        let frozen = |target: Option<Node>| {
            let overwrites = all
                .iter()
                .enumerate()
                .filter(|(_, node)| Some(**node) != target);
            Intervention::new(overwrites.map(|(i, &node)| {
                let is_source = sources.contains(&node);
                let value = if is_source { &stored[i] } else { &base[i] };
                Overwrite {
                    site: node.into(),
                    source: Source::Stored,
                    value,
                }
            }))
        };
        match target {
            Target::Answer(tokens) => {
                let frozen = self.network.forward(&[self.base], &[frozen(None)]);
                let mut logits = self.run().logits()[0].clone();
                let frozen = frozen.unwrap().remove(0);
                for token in tokens.iter() {
                    logits.set(SHAPE.n_answer() - 1 - token.0, *frozen.row(token));
                }
                logits
            }
            Target::Nodes(targets) => {
                let values: Vec<Vec<f32>> = targets
                    .iter()
                    .map(|&target| {
                        let frozen = [frozen(Some(target))];
                        let read = self
                            .network
                            .read_under(&[self.base], &frozen, &[target.into()]);
                        read.unwrap().remove(0).remove(0)
                    })
                    .collect();
                let overwrites = targets.iter().zip(&values).map(|(&node, value)| Overwrite {
                    site: node.into(),
                    source: Source::Stored,
                    value,
                });
                let patch = Intervention::new(overwrites);
                self.network
                    .forward(&[self.base], &[patch])
                    .unwrap()
                    .remove(0)
            }
        }
    }

    /// The frozen scale into an answer's logits, in double precision from the weights alone.
    fn direct_by_hand(&self, source: Node, token: AnswerToken) -> Vec<f64> {
        let array = |name: &str| self.weights.array(name).data();
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let (stored, own) = (
            self.read(self.source, &[source]),
            self.read(self.base, &[source]),
        );
        let d = SHAPE.d_model;
        let rows = match source.head() {
            Some(head) => {
                let all = array(&format!("blocks.{}.attn.W_O", source.layer()));
                &all[head * SHAPE.d_head * d..][..SHAPE.d_head * d]
            }
            None => array(&format!("blocks.{}.mlp.W_out", source.layer())),
        };
        let mut delta = vec![0.0; d];
        for (i, (stored, own)) in wide(&stored[0]).iter().zip(wide(&own[0])).enumerate() {
            for (to, weight) in delta.iter_mut().zip(wide(&rows[i * d..][..d])) {
                *to += (stored - own) * weight;
            }
        }
        let last = Site::resid_post(source.position(), SHAPE.n_layers - 1);
        let x = wide(&self.network.read(&[self.base], &[last]).unwrap()[0][0]);
        let mean = |row: &[f64]| row.iter().sum::<f64>() / d as f64;
        let variance = mean(&x.iter().map(|v| (v - mean(&x)).powi(2)).collect::<Vec<_>>());
        let scale = 1.0 / (variance + 1e-5).sqrt();
        let norm = wide(array("ln_final.w"));
        let moved = mean(&delta);
        let unembed = wide(array("unembed.W_U"));
        let logits = wide(self.run().logits()[0].row(token));
        (logits.iter().enumerate())
            .map(|(column, logit)| {
                let change = |i: usize| (delta[i] - moved) * scale * norm[i];
                logit
                    + (0..d)
                        .map(|i| change(i) * unembed[i * logits.len() + column])
                        .sum::<f64>()
            })
            .collect()
    }
}

fn largest_difference(left: &AnswerLogits, right: &AnswerLogits) -> f32 {
    let (left, right) = (left.rows().as_flattened(), right.rows().as_flattened());
    (left.iter().zip(right))
        .map(|(l, r)| (l - r).abs())
        .fold(0.0, f32::max)
}

/// Some nodes, each of the network's at most once.
fn nodes(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<Node>> {
    subsequence(Node::all(&SHAPE), count)
}

fn everything() -> TokenSet {
    TokenSet::all(SHAPE.n_digits)
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        nodes(1..=3).prop_map(Target::Nodes),
        any::<Index>().prop_map(|index| {
            Target::Answer(TokenSet::only(AnswerToken(index.index(SHAPE.n_answer()))))
        }),
        Just(Target::Answer(everything())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_path_patch_is_what_the_plain_network_gives_with_all_else_frozen(seed in 0u64..1000, sources in nodes(1..=12), target in target()) {
        let bench = Bench::new(seed);
        let fast = bench.patched(bench.source, &sources, target.clone(), Scale::Running);
        let slow = bench.by_freezing(&sources, &target);
        prop_assert!(largest_difference(&fast, &slow) < TOLERANCE, "{}", largest_difference(&fast, &slow));
    }

    #[test]
    fn with_its_own_activations_a_path_patch_changes_no_bit(seed in 0u64..1000, sources in nodes(1..=12), target in target()) {
        let bench = Bench::new(seed);
        let own = bench.patched(bench.base, &sources, target, Scale::Frozen);
        let base = bench.run();
        prop_assert_eq!(&own, &base.logits()[0]);
    }

    #[test]
    fn a_path_that_does_not_exist_changes_no_bit(seed in 0u64..1000, sources in nodes(1..=6), targets in nodes(1..=3)) {
        let bench = Bench::new(seed);
        let cut_off: Vec<Node> = sources
            .into_iter()
            .filter(|source| !targets.iter().any(|target| source.writes_to(target)))
            .collect();
        for scale in [Scale::Frozen, Scale::Running] {
            let logits = bench.patched(bench.source, &cut_off, Target::Nodes(targets.clone()), scale);
            let base = bench.run();
            prop_assert_eq!(&logits, &base.logits()[0]);
        }
    }

    #[test]
    fn a_frozen_scale_into_the_logits_is_what_hand_arithmetic_gives(seed in 0u64..1000, source in any::<Index>()) {
        let bench = Bench::new(seed);
        let all = Node::all(&SHAPE);
        let source = all[source.index(all.len())];
        if let Some(token) = source.writes_to_token(&SHAPE) {
            let fast = bench.patched(bench.source, &[source], Target::Answer(everything()), Scale::Frozen);
            for (fast, slow) in fast.row(token).iter().zip(bench.direct_by_hand(source, token)) {
                prop_assert!((f64::from(*fast) - slow).abs() < f64::from(TOLERANCE));
            }
        }
    }

    #[test]
    fn with_a_frozen_scale_contributions_to_the_logits_add_up(seed in 0u64..1000, sources in nodes(2..=6)) {
        let bench = Bench::new(seed);
        let target = || Target::Answer(everything());
        let base = bench.run();
        let base = &base.logits()[0];
        let together = bench.patched(bench.source, &sources, target(), Scale::Frozen);
        let mut sum = base.rows().as_flattened().to_vec();
        for &source in &sources {
            let alone = bench.patched(bench.source, &[source], target(), Scale::Frozen);
            let rows = alone.rows().as_flattened().iter().zip(base.rows().as_flattened());
            sum.iter_mut().zip(rows).for_each(|(sum, (alone, base))| *sum += alone - base);
        }
        for (together, sum) in together.rows().as_flattened().iter().zip(&sum) {
            prop_assert!((together - sum).abs() < TOLERANCE);
        }
    }

    #[test]
    fn activations_under_an_intervention_are_the_plain_networks(seed in 0u64..1000, sources in nodes(1..=6), sites in nodes(1..=6)) {
        let bench = Bench::new(seed);
        let stored = bench.read(bench.source, &sources);
        let overwrites = sources.iter().zip(&stored).map(|(&node, value)| Overwrite {
            site: node.into(),
            source: Source::Stored,
            value,
        });
        let patch = [Intervention::new(overwrites)];
        let sites: Vec<Site> = sites.into_iter().map(Site::from).collect();
        let fast = bench.engine.activations_under(&[bench.base], &patch, sites.clone()).unwrap();
        let slow = bench.network.read_under(&[bench.base], &patch, &sites).unwrap();
        for (site, slow) in sites.iter().zip(&slow[0]) {
            for (fast, slow) in fast.get(0, *site).iter().zip(slow) {
                prop_assert!((fast - slow).abs() < TOLERANCE, "{site}");
            }
        }
    }
}

/// The comparisons above must have something to see.
#[test]
fn a_path_that_exists_does_change_logits() {
    let bench = Bench::new(1);
    let all = Node::all(&SHAPE);
    let base = bench.run().logits()[0].clone();
    let mut seen = 0;
    for source in &all {
        for target in &all {
            if !source.writes_to(target) || !Site::from(*target).reaches_an_answer(&SHAPE) {
                continue;
            }
            let target = Target::Nodes(vec![*target]);
            let frozen = bench.patched(bench.source, &[*source], target.clone(), Scale::Frozen);
            let running = bench.patched(bench.source, &[*source], target, Scale::Running);
            // The same question up to a digit leaves some nodes as they are.
            seen += usize::from(frozen != base && running != base);
        }
    }
    assert!(seen > 100, "{seen}");
}
