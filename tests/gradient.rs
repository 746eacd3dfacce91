//! The hand-written derivatives against candle's and against finite differences.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::ops::{layer_norm_slow, log_softmax, softmax};
use circuitcheck::domain::arithmetic::{Operation, Prompt, Question};
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
    added: BTreeMap<(Point, usize), Var>,
}

/// The shape of an activation, `[batch, …]`, with a question's positions before its heads.
fn dims(shape: &Shape, point: Point, batch: usize) -> Vec<usize> {
    let (n_ctx, heads) = (shape.n_ctx(), shape.n_heads);
    match point {
        Point::Q | Point::K | Point::V | Point::Z => vec![batch, n_ctx, heads, shape.d_head],
        Point::Pattern => vec![batch, n_ctx, heads, n_ctx],
        Point::Result => vec![batch, n_ctx, heads, shape.d_model],
        Point::Pre | Point::Post => vec![batch, n_ctx, shape.d_mlp],
        _ => vec![batch, n_ctx, shape.d_model],
    }
}

impl InCandle {
    fn new(weights: &Weights, batch: usize) -> Result<Self> {
        let shape = weights.shape();
        let variables = weights.iter().map(|(name, array)| {
            let tensor = Tensor::from_slice(array.data(), array.shape(), &Device::Cpu)?;
            Ok((name.to_owned(), Var::from_tensor(&tensor)?))
        });
        let added = (0..shape.n_layers).flat_map(|layer| {
            Point::ALL.map(|point| {
                let zeros = Var::zeros(dims(&shape, point, batch), DType::F32, &Device::Cpu)?;
                Ok(((point, layer), zeros))
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

    fn plus(&self, x: &Tensor, point: Point, layer: usize) -> Result<Tensor> {
        x + self.added[&(point, layer)].as_tensor()
    }

    /// The same of an activation with heads before positions.
    fn plus_by_head(&self, x: &Tensor, point: Point, layer: usize) -> Result<Tensor> {
        x + self.added[&(point, layer)].transpose(1, 2)?
    }

    fn attention(&self, x: &Tensor, layer: usize) -> Result<Tensor> {
        let (heads, d_head) = (self.shape.n_heads, self.shape.d_head);
        let part = |name: &str| self.var(&format!("blocks.{layer}.attn.{name}"));
        let n_ctx = self.shape.n_ctx();
        let x = x.unsqueeze(1)?;
        // [batch, h, n_ctx, d_head]
        let project = |name: &str, point: Point| {
            let bias = part(&format!("b_{name}")).reshape((1, heads, 1, d_head))?;
            let weight = part(&format!("W_{name}")).unsqueeze(0)?;
            let projected = x.broadcast_matmul(&weight)?.broadcast_add(&bias)?;
            self.plus_by_head(&projected, point, layer)
        };
        let key = project("K", Point::K)?.transpose(2, 3)?.contiguous()?;
        let scores = (project("Q", Point::Q)?.matmul(&key)? / (d_head as f64).sqrt())?;
        let mask: Vec<f32> = (0..n_ctx * n_ctx)
            .map(|i| if i % n_ctx <= i / n_ctx { 0.0 } else { -1e9 })
            .collect();
        let mask = Tensor::from_vec(mask, (n_ctx, n_ctx), &Device::Cpu)?;
        let pattern = softmax(&scores.broadcast_add(&mask)?, D::Minus1)?;
        let pattern = self.plus_by_head(&pattern, Point::Pattern, layer)?;
        let z = pattern.matmul(&project("V", Point::V)?)?;
        let z = self.plus_by_head(&z, Point::Z, layer)?;
        // [batch, h, n_ctx, d_model]
        let result = z.broadcast_matmul(&part("W_O").unsqueeze(0)?)?;
        let result = self.plus_by_head(&result, Point::Result, layer)?.sum(1)?;
        let out = result.broadcast_add(part("b_O"))?;
        self.plus(&out, Point::AttnOut, layer)
    }

    /// `[batch, n_answer, 15]`
    fn logits(&self, prompts: &[Prompt]) -> Result<Tensor> {
        let (shape, n_ctx) = (self.shape, self.shape.n_ctx());
        let tokens = prompts.iter().flat_map(Prompt::tokens).map(u32::from);
        let tokens = Tensor::from_iter(tokens, &Device::Cpu)?;
        let embedded = self.var("embed.W_E").embedding(&tokens)?;
        let embedded = embedded.reshape((prompts.len(), n_ctx, shape.d_model))?;
        let embedded = self.plus(&embedded, Point::Embed, 0)?;
        let embedded = self.plus(&embedded, Point::PosEmbed, 0)?;
        let mut x = embedded.broadcast_add(self.var("pos_embed.W_pos"))?;
        for layer in 0..shape.n_layers {
            let part = |name: &str| self.var(&format!("blocks.{layer}.mlp.{name}"));
            x = self.plus(&x, Point::ResidPre, layer)?;
            let normed = self.norm(&x, &format!("blocks.{layer}.ln1"))?;
            let normed = self.plus(&normed, Point::Ln1, layer)?;
            x = (&x + self.attention(&normed, layer)?)?;
            x = self.plus(&x, Point::ResidMid, layer)?;
            let normed = self.norm(&x, &format!("blocks.{layer}.ln2"))?;
            let normed = self.plus(&normed, Point::Ln2, layer)?;
            let pre = normed.broadcast_matmul(part("W_in"))?;
            let pre = self.plus(&pre.broadcast_add(part("b_in"))?, Point::Pre, layer)?;
            let post = self.plus(&pre.relu()?, Point::Post, layer)?;
            let written = post.broadcast_matmul(part("W_out"))?;
            let written = written.broadcast_add(part("b_out"))?;
            x = (&x + self.plus(&written, Point::MlpOut, layer)?)?;
            x = self.plus(&x, Point::ResidPost, layer)?;
        }
        let normed = self.norm(&x, "ln_final")?;
        let normed = self.plus(&normed, Point::LnFinal, shape.n_layers - 1)?;
        let normed = normed.narrow(1, shape.first_answer_position(), shape.n_answer())?;
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
    most_off(found, expected) / largest(expected).max(1e-6)
}

fn largest(values: &[f32]) -> f32 {
    values
        .iter()
        .fold(0.0, |most, value| f32::max(most, value.abs()))
}

fn most_off(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    off.fold(0.0, f32::max)
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
    let in_layers = Point::ALL.into_iter().filter(|point| point.is_in_layer());
    let hooks = in_layers.flat_map(|point| {
        (0..shape.n_layers).map(move |layer| (Hook::of(point, layer), point.is_of_head()))
    });
    let outside = [Hook::EMBED, Hook::POS_EMBED, Hook::LN_FINAL].map(|hook| (hook, false));
    let hooks: Vec<(Hook, bool)> = hooks.chain(outside).collect();
    let at = |position: usize| {
        let hooks = hooks.iter();
        let sites = hooks.flat_map(move |&(hook, is_of_head)| match is_of_head {
            true => (0..shape.n_heads)
                .map(|head| Site::of_head(position, hook, head))
                .collect(),
            false => vec![Site::at(position, hook)],
        });
        sites.collect::<Vec<_>>()
    };
    (0..shape.n_ctx()).flat_map(at).collect()
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
        let of_answers = (prompts.len(), shape.n_answer(), D_VOCAB);
        let of_logits = Tensor::from_vec(of_logits, of_answers, &Device::Cpu).unwrap();
        let sum = (network.logits(&prompts).unwrap() * of_logits)
            .unwrap()
            .sum_all()
            .unwrap();
        let gradients = sum.backward().unwrap();
        let of_added: BTreeMap<(Point, usize), Vec<f32>> = (network.added.iter())
            .filter_map(|(&key, added)| Some((key, flat(gradients.get(added)?))))
            .collect();
        for (index, site) in sites.iter().enumerate() {
            let gradient = &of_added[&(site.point(), site.layer_in(&shape))];
            let row_dims = &dims(&shape, site.point(), prompts.len())[2..];
            let row_width: usize = row_dims.iter().product();
            let start = site.head().unwrap_or(0) * row_dims[row_dims.len() - 1];
            let mut reaches = false;
            for (prompt, found) in found.iter().enumerate() {
                let row = prompt * shape.n_ctx() + site.position();
                let expected = &gradient[row * row_width + start..][..site.width(&shape)];
                let off = most_off(&found[index], expected) / largest(gradient);
                assert!(off < TOLERANCE, "{site} of prompt {prompt}: {off}");
                reaches |= found[index].iter().any(|&value| value != 0.0);
            }
            // A query with one key decides nothing.
            let is_idle = site.point() == Point::Q && site.position() == 0;
            assert_eq!(
                reaches,
                site.reaches_an_answer(&shape) && !is_idle,
                "{site}"
            );
        }
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
    let (mut moving, mut bent) = (0, 0);
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
        let slope_over = |length: f32| (logit(length) - logit(-length)) / (2.0 * length);
        let slope = slope_over(LENGTH);
        if (slope - slope_over(LENGTH / 2.0)).abs() > 0.01 * norm + 1e-3 {
            // A ReLU turns on the way, so that the logit does not move along a line.
            bent += 1;
            continue;
        }
        assert!(
            (slope - norm).abs() < 0.02 * norm + 2e-3,
            "{site}: {slope} and {norm}"
        );
        moving += 1;
    }
    assert!(moving > 300 && bent < moving / 20, "{moving} {bent}");
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
}
