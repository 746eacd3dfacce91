//! The hand-written derivatives against candle's and against finite differences.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::ops::{layer_norm_slow, log_softmax, softmax};
use circuitcheck::domain::arithmetic::{Operation, Prompt, Question};
use circuitcheck::domain::node::Node;
use circuitcheck::domain::shape::{D_VOCAB, Shape};
use circuitcheck::domain::site::{Hook, Point};
use circuitcheck::experiment::stream;
use circuitcheck::inputs::model::{Array, Weights};
use circuitcheck::network::engine::{
    Decode, Engine, EngineError, Intervention, Overwrite, Site, Source,
};
use circuitcheck::network::gradient::Differentiable;
use circuitcheck::network::logits::AnswerLogits;
use rand::RngExt;

/// Heads that fill no vector, and together not the residual stream.
const SHAPE: Shape = Shape {
    n_digits: 3,
    n_layers: 2,
    n_heads: 4,
    d_model: 21,
    d_head: 7,
    d_mlp: 50,
};

fn shapes() -> [Shape; 3] {
    [1, 2, 3].map(|n_layers| Shape { n_layers, ..SHAPE })
}

/// Random weights, biases and norms too, so that nothing is compared at zero.
fn weights(shape: Shape) -> Weights {
    let mut rng = stream(1, "weights");
    let mut arrays: BTreeMap<String, Array> = Weights::random(shape, 1).into();
    for array in arrays.values_mut() {
        for value in array.data_mut() {
            *value += rng.random_range(-0.2..0.2);
        }
    }
    Weights::from_arrays(arrays).unwrap()
}

/// More questions than a slice has, of both operations.
fn prompts(shape: Shape) -> Vec<Prompt> {
    let mut rng = stream(1, "prompts");
    let limit = 10u128.pow(shape.n_digits as u32);
    (0..21)
        .map(|i| {
            let operation = [Operation::Add, Operation::Sub][i % 2];
            let (first, second) = (rng.random_range(0..limit), rng.random_range(0..limit));
            Prompt::truth(Question::new(first, operation, second, shape.n_digits))
        })
        .collect()
}

/// The network in candle, with a variable for each tensor, and for each activation one that is added to it.
struct InCandle {
    shape: Shape,
    variables: BTreeMap<String, Var>,
    added: BTreeMap<String, Var>,
}

impl InCandle {
    fn new(weights: &Weights, batch: usize) -> Result<Self> {
        let shape = weights.shape();
        let variables = weights.iter().map(|(name, array)| {
            let tensor = Tensor::from_slice(array.data(), array.shape(), &Device::Cpu)?;
            Ok((name.to_owned(), Var::from_tensor(&tensor)?))
        });
        let added = (0..shape.n_layers).flat_map(|layer| {
            [
                ("z", vec![shape.n_heads, shape.d_head]),
                ("post", vec![shape.d_mlp]),
                ("resid", vec![shape.d_model]),
            ]
            .map(|(name, width)| {
                let dims = [vec![batch, shape.n_ctx()], width].concat();
                let zeros = Var::zeros(dims, DType::F32, &Device::Cpu)?;
                Ok((format!("{name} {layer}"), zeros))
            })
        });
        Ok(InCandle {
            shape,
            variables: variables.collect::<Result<_>>()?,
            added: added.collect::<Result<_>>()?,
        })
    }

    fn var(&self, name: &str) -> &Tensor {
        &self.variables[name]
    }

    fn norm(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let (weight, bias) = (format!("{name}.w"), format!("{name}.b"));
        layer_norm_slow(x, self.var(&weight), self.var(&bias), 1e-5)
    }

    fn plus(&self, x: &Tensor, name: &str, layer: usize) -> Result<Tensor> {
        x + self.added[&format!("{name} {layer}")].as_tensor()
    }

    fn attention(&self, x: &Tensor, layer: usize) -> Result<Tensor> {
        let (heads, d_head) = (self.shape.n_heads, self.shape.d_head);
        let part = |name: &str| self.var(&format!("blocks.{layer}.attn.{name}"));
        let n_ctx = self.shape.n_ctx();
        let x = x.unsqueeze(1)?;
        // [batch, h, n_ctx, d_head]
        let project = |name: &str| {
            let bias = part(&format!("b_{name}")).reshape((1, heads, 1, d_head))?;
            let weight = part(&format!("W_{name}")).unsqueeze(0)?;
            x.broadcast_matmul(&weight)?.broadcast_add(&bias)
        };
        let key = project("K")?.transpose(2, 3)?.contiguous()?;
        let scores = (project("Q")?.matmul(&key)? / (d_head as f64).sqrt())?;
        let mask: Vec<f32> = (0..n_ctx * n_ctx)
            .map(|i| if i % n_ctx <= i / n_ctx { 0.0 } else { -1e9 })
            .collect();
        let mask = Tensor::from_vec(mask, (n_ctx, n_ctx), &Device::Cpu)?;
        let pattern = softmax(&scores.broadcast_add(&mask)?, D::Minus1)?;
        let z = pattern
            .matmul(&project("V")?)?
            .transpose(1, 2)?
            .contiguous()?;
        let z = self.plus(&z, "z", layer)?.flatten_from(2)?;
        let output = part("W_O").reshape((heads * d_head, self.shape.d_model))?;
        z.broadcast_matmul(&output)?.broadcast_add(part("b_O"))
    }

    /// `[batch, n_answer, 15]`
    fn logits(&self, prompts: &[Prompt]) -> Result<Tensor> {
        let (shape, n_ctx) = (self.shape, self.shape.n_ctx());
        let tokens = prompts.iter().flat_map(Prompt::tokens).map(u32::from);
        let tokens = Tensor::from_iter(tokens, &Device::Cpu)?;
        let embedded = self.var("embed.W_E").embedding(&tokens)?;
        let embedded = embedded.reshape((prompts.len(), n_ctx, shape.d_model))?;
        let mut x = embedded.broadcast_add(self.var("pos_embed.W_pos"))?;
        for layer in 0..shape.n_layers {
            let part = |name: &str| self.var(&format!("blocks.{layer}.mlp.{name}"));
            let normed = self.norm(&x, &format!("blocks.{layer}.ln1"))?;
            x = (&x + self.attention(&normed, layer)?)?;
            let normed = self.norm(&x, &format!("blocks.{layer}.ln2"))?;
            let hidden = normed.broadcast_matmul(part("W_in"))?;
            let post = hidden.broadcast_add(part("b_in"))?.relu()?;
            let post = self.plus(&post, "post", layer)?;
            let written = post.broadcast_matmul(part("W_out"))?;
            x = (&x + written.broadcast_add(part("b_out"))?)?;
            x = self.plus(&x, "resid", layer)?;
        }
        let predicting = x.narrow(1, shape.first_answer_position(), shape.n_answer())?;
        let normed = self.norm(&predicting.contiguous()?, "ln_final")?;
        let logits = normed.broadcast_matmul(self.var("unembed.W_U"))?;
        logits.broadcast_add(self.var("unembed.b_U"))
    }

    /// The mean cross-entropy of the answer tokens, and its derivatives.
    fn loss(&self, prompts: &[Prompt]) -> Result<(f32, GradStore)> {
        let truths = prompts
            .iter()
            .flat_map(|prompt| prompt.forced.tokens().to_vec());
        let truths = Tensor::from_iter(truths.map(u32::from), &Device::Cpu)?;
        let logits = self.logits(prompts)?.reshape(((), D_VOCAB))?;
        let of_truth = log_softmax(&logits, D::Minus1)?.gather(&truths.unsqueeze(1)?, 1)?;
        let loss = of_truth.mean_all()?.neg()?;
        Ok((loss.to_scalar()?, loss.backward()?))
    }
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest difference, relative to the largest of the values expected.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected
        .iter()
        .fold(0.0f32, |most, value| most.max(value.abs()));
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    off.fold(0.0, f32::max) / largest.max(1e-6)
}

/// How far two gradients in float32 may be apart, of the largest value of a tensor.
const TOLERANCE: f32 = 1e-4;

#[test]
fn the_gradient_of_every_tensor_is_candles() {
    for shape in shapes() {
        let (weights, prompts) = (weights(shape), prompts(shape));
        let found = Differentiable::new(&weights).descent(&prompts).unwrap();
        let network = InCandle::new(&weights, prompts.len()).unwrap();
        let (loss, gradients) = network.loss(&prompts).unwrap();
        assert!((found.loss() - f64::from(loss)).abs() < 1e-5);
        assert_eq!(found.gradient.len(), network.variables.len());
        for (name, variable) in &network.variables {
            let expected = flat(gradients.get(variable).unwrap());
            if name.ends_with("attn.b_K") {
                // All scores of a row rise alike, which softmax does not see: zero but for rounding.
                let most = found.gradient[name]
                    .iter()
                    .fold(0.0f32, |m, v| m.max(v.abs()));
                assert!(most < 1e-6, "{name}: {most}");
                continue;
            }
            let off = difference(&found.gradient[name], &expected);
            assert!(off < TOLERANCE, "{} layers, {name}: {off}", shape.n_layers);
        }
    }
}

/// Every site of a network.
fn sites(shape: &Shape) -> Vec<Site> {
    let residual = (0..shape.n_ctx()).flat_map(|position| {
        (0..shape.n_layers).map(move |layer| Site::resid_post(position, layer))
    });
    let nodes = Node::all(shape).into_iter().map(Site::from);
    nodes.chain(residual).collect()
}

/// For each prompt a weight for each logit.
fn logit_weights(shape: &Shape, prompts: usize) -> Vec<AnswerLogits> {
    let mut rng = stream(1, "logit weights");
    let mut drawn = || {
        let mut weights = AnswerLogits::zeros(shape.n_answer());
        for index in 0..shape.n_answer() {
            weights.set(index, std::array::from_fn(|_| rng.random_range(-1.0..1.0)));
        }
        weights
    };
    (0..prompts).map(|_| drawn()).collect()
}

#[test]
fn the_gradient_by_every_site_is_candles() {
    for shape in shapes() {
        let (weights, prompts, sites) = (weights(shape), prompts(shape), sites(&shape));
        let of_logits = logit_weights(&shape, prompts.len());
        let network = Differentiable::new(&weights);
        let found = network.by_sites(&prompts, &of_logits, &sites).unwrap();
        let network = InCandle::new(&weights, prompts.len()).unwrap();
        let of_logits: Vec<f32> = of_logits
            .iter()
            .flat_map(|w| w.rows().as_flattened().to_vec())
            .collect();
        let dims = (prompts.len(), shape.n_answer(), D_VOCAB);
        let of_logits = Tensor::from_vec(of_logits, dims, &Device::Cpu).unwrap();
        let sum = (network.logits(&prompts).unwrap() * of_logits)
            .unwrap()
            .sum_all()
            .unwrap();
        let gradients = sum.backward().unwrap();
        let mut reaching = 0;
        for (index, site) in sites.iter().enumerate() {
            let (kind, head) = match (site.point(), site.head()) {
                (Point::Z, Some(head)) => ("z", head),
                (Point::Post, _) => ("post", 0),
                _ => ("resid", 0),
            };
            let width = site.width(&shape);
            let gradient =
                gradients.get(&network.added[&format!("{kind} {}", site.layer_in(&shape))]);
            let gradient = flat(gradient.unwrap());
            for (prompt, found) in found.iter().enumerate() {
                let slots = if kind == "z" { shape.n_heads } else { 1 };
                let row = (prompt * shape.n_ctx() + site.position()) * slots + head;
                let expected = &gradient[row * width..][..width];
                let off = difference(&found[index], expected);
                assert!(off < TOLERANCE, "{site} of prompt {prompt}: {off}");
                reaching += usize::from(found[index].iter().any(|&value| value != 0.0));
            }
        }
        let reach = sites
            .iter()
            .filter(|site| site.reaches_an_answer(&shape))
            .count();
        assert_eq!(reaching, reach * prompts.len());
    }
}

#[test]
fn the_loss_changes_along_every_tensors_gradient_as_the_gradient_says() {
    /// Long enough for the change to stand out of the rounding, short enough to be nearly linear.
    const LENGTH: f64 = 0.001;
    let (weights, prompts) = (weights(SHAPE), prompts(SHAPE));
    let found = Differentiable::new(&weights).descent(&prompts).unwrap();
    for (name, gradient) in &found.gradient {
        let norm = gradient
            .iter()
            .map(|v| f64::from(*v).powi(2))
            .sum::<f64>()
            .sqrt();
        if norm < 1e-4 {
            assert!(name.ends_with("attn.b_K"), "{name}: {norm}");
            continue;
        }
        let moved = |length: f64| {
            let mut arrays: BTreeMap<String, Array> = weights.clone().into();
            let values = arrays.get_mut(name).unwrap().data_mut().iter_mut();
            for (value, gradient) in values.zip(gradient) {
                *value += (length * f64::from(*gradient) / norm) as f32;
            }
            let moved = Weights::from_arrays(arrays).unwrap();
            Differentiable::new(&moved)
                .descent(&prompts)
                .unwrap()
                .loss()
        };
        let slope = (moved(LENGTH) - moved(-LENGTH)) / (2.0 * LENGTH);
        let off = (slope - norm).abs() / norm;
        assert!(
            off < 0.01,
            "{name}: {slope} by differences, {norm} by the gradient"
        );
    }
}

#[test]
fn a_logit_moves_with_a_site_as_its_gradient_says() {
    const LENGTH: f32 = 0.002;
    let (weights, prompts) = (weights(SHAPE), prompts(SHAPE));
    let prompt = &prompts[..1];
    let engine = Engine::new(&weights);
    let run = engine.run(prompt).unwrap();
    // One logit: that of token 7 at the second digit.
    let (index, token) = (2, 7);
    let mut of_logits = AnswerLogits::zeros(SHAPE.n_answer());
    let mut row = [0.0; D_VOCAB];
    row[token] = 1.0;
    of_logits.set(index, row);
    let sites = sites(&SHAPE);
    let by_sites = Differentiable::new(&weights).by_sites(prompt, &[of_logits], &sites);
    let values = engine.activations(prompt, sites.iter().copied()).unwrap();
    let mut moving = 0;
    for (site, gradient) in sites.iter().zip(&by_sites.unwrap()[0]) {
        let norm = gradient.iter().map(|v| v * v).sum::<f32>().sqrt();
        if norm < 1e-3 {
            continue;
        }
        let logit = |length: f32| {
            let value: Vec<f32> = std::iter::zip(values.get(0, *site), gradient)
                .map(|(value, gradient)| value + length * gradient / norm)
                .collect();
            let patch = Intervention::new([Overwrite {
                site: *site,
                source: Source::Stored,
                value: &value,
            }]);
            let logits = engine
                .intervene(&run, &[(0, patch)], Decode::Forced)
                .unwrap();
            logits[0].rows()[index][token]
        };
        let slope = (logit(LENGTH) - logit(-LENGTH)) / (2.0 * LENGTH);
        assert!(
            (slope - norm).abs() < 0.02 * norm + 2e-3,
            "{site}: {slope} and {norm}"
        );
        moving += 1;
    }
    assert!(moving > 60, "{moving}");
}

#[test]
fn gradients_do_not_depend_on_the_number_of_threads() {
    let (weights, prompts) = (weights(SHAPE), prompts(SHAPE));
    let descend = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap()
            .install(|| Differentiable::new(&weights).descent(&prompts).unwrap())
    };
    let alone = descend(1);
    for threads in [2, 3, 8] {
        assert_eq!(descend(threads), alone);
    }
}

#[test]
fn what_a_network_does_not_have_is_refused() {
    let network = Differentiable::new(&weights(SHAPE));
    let question = Question::new(1, Operation::Add, 2, 4);
    let error = network.descent(&[question.into()]).unwrap_err();
    assert_eq!(
        error,
        EngineError::Digits {
            found: 4,
            expected: 3
        }
    );
    let site = Site::resid_post(2, 7);
    let prompts = &prompts(SHAPE)[..1];
    let zeros = [AnswerLogits::zeros(SHAPE.n_answer())];
    let error = network.by_sites(prompts, &zeros, &[site]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "site P2L7 is layer 7, the model has layers 0 to 1"
    );
    let site = Site::at(2, Hook::of(Point::Ln1, 1));
    let error = network.by_sites(prompts, &zeros, &[site]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no gradient is computed at P2L1.ln1: expected a head, an MLP or the stream after a layer"
    );
}
