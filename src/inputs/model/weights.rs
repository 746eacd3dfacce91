//! The weights of a network, known to be complete, finite and of one shape.

use std::collections::BTreeMap;

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use thiserror::Error;

use super::array::Array;
use crate::domain::shape::{D_VOCAB, MAX_DIGITS, Shape, TooLarge};

/// A dimension of a tensor, by what it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dim {
    Vocab,
    Ctx,
    Model,
    Heads,
    Head,
    Mlp,
}

impl Dim {
    const fn name(self) -> &'static str {
        match self {
            Self::Vocab => "d_vocab",
            Self::Ctx => "n_ctx",
            Self::Model => "d_model",
            Self::Heads => "n_heads",
            Self::Head => "d_head",
            Self::Mlp => "d_mlp",
        }
    }

    const fn of(self, shape: &Shape) -> usize {
        match self {
            Self::Vocab => D_VOCAB,
            Self::Ctx => shape.n_ctx(),
            Self::Model => shape.d_model,
            Self::Heads => shape.n_heads,
            Self::Head => shape.d_head,
            Self::Mlp => shape.d_mlp,
        }
    }
}

/// The tensors a network has once.
const OUTER_TENSORS: [(&str, &[Dim]); 6] = [
    ("embed.W_E", &[Dim::Vocab, Dim::Model]),
    ("pos_embed.W_pos", &[Dim::Ctx, Dim::Model]),
    ("ln_final.w", &[Dim::Model]),
    ("ln_final.b", &[Dim::Model]),
    ("unembed.W_U", &[Dim::Model, Dim::Vocab]),
    ("unembed.b_U", &[Dim::Vocab]),
];

/// The tensors of each layer, after `blocks.i.`.
const BLOCK_TENSORS: [(&str, &[Dim]); 16] = [
    ("ln1.w", &[Dim::Model]),
    ("ln1.b", &[Dim::Model]),
    ("attn.W_Q", &[Dim::Heads, Dim::Model, Dim::Head]),
    ("attn.W_K", &[Dim::Heads, Dim::Model, Dim::Head]),
    ("attn.W_V", &[Dim::Heads, Dim::Model, Dim::Head]),
    ("attn.W_O", &[Dim::Heads, Dim::Head, Dim::Model]),
    ("attn.b_Q", &[Dim::Heads, Dim::Head]),
    ("attn.b_K", &[Dim::Heads, Dim::Head]),
    ("attn.b_V", &[Dim::Heads, Dim::Head]),
    ("attn.b_O", &[Dim::Model]),
    ("ln2.w", &[Dim::Model]),
    ("ln2.b", &[Dim::Model]),
    ("mlp.W_in", &[Dim::Model, Dim::Mlp]),
    ("mlp.b_in", &[Dim::Mlp]),
    ("mlp.W_out", &[Dim::Mlp, Dim::Model]),
    ("mlp.b_out", &[Dim::Model]),
];

/// What wrappers put before the names of a state dict: `DataParallel`, `torch.compile`, and a module
/// that has the network as its `model`.
const WRAPPER_PREFIXES: [&str; 3] = ["module.", "_orig_mod.", "model."];

/// The buffers of each layer, after `blocks.i.`, which carry nothing: the causal mask, and the
/// score that masked positions get.
const BLOCK_BUFFERS: [&str; 2] = ["attn.mask", "attn.IGNORE"];

/// Spread of the matrices of an untrained network, over 1/√d_model: HookedTransformer's default.
const RANDOM_GAIN: f32 = 0.8;

/// A network's weights by their names in the state dict.
///
/// Every tensor of the network is there, none besides, each of the shape that [`Weights::shape`]
/// gives it and with finite elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    shape: Shape,
    arrays: BTreeMap<String, Array>,
}

/// Why tensors aren't the weights of a network.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum WeightsError {
    /// A tensor of the network isn't there.
    #[error("tensor `{name}` is missing, of a network with {n_layers} layers by its other tensors")]
    Missing {
        name: String,
        /// One more than the highest layer that any tensor names.
        n_layers: usize,
    },
    /// A tensor that no network of this kind has.
    #[error("tensor {name:?} has no place in a network with {n_layers} layers")]
    Extra { name: String, n_layers: usize },
    /// A tensor has another number of dimensions than its place in the network calls for.
    #[error("tensor `{name}` has shape {found:?}, expected {expected}")]
    Rank {
        name: String,
        /// What its dimensions are, by name.
        expected: String,
        found: Vec<usize>,
    },
    /// A tensor disagrees with the dimensions that other tensors give.
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        name: String,
        /// The shape that the others call for.
        expected: Vec<usize>,
        found: Vec<usize>,
    },
    /// A dimension is zero.
    #[error("{dimension} is 0 by tensor `{name}`, expected at least 1")]
    Empty {
        dimension: &'static str,
        /// The tensor that gives it.
        name: String,
    },
    /// The vocabulary isn't the one all models of this kind have.
    #[error("d_vocab is {found} by tensor `embed.W_E`, expected {D_VOCAB}")]
    Vocabulary {
        /// Tokens by the embedding.
        found: usize,
    },
    /// The number of positions isn't that of a question and its answer for any number of digits.
    #[error("n_ctx is {found} by tensor `pos_embed.W_pos`, expected 3 n + 4 for n digits")]
    Context {
        /// Positions by the position embedding.
        found: usize,
    },
    /// More digits than the arithmetic holds.
    #[error("model has {found} digits by tensor `pos_embed.W_pos`, expected at most {MAX_DIGITS}")]
    Digits {
        /// Digits by the position embedding.
        found: usize,
    },
    /// A dimension is larger than any this program is made for.
    #[error("{0} by the tensors")]
    TooLarge(TooLarge),
    /// A weight is NaN or infinite.
    #[error("tensor `{name}` is {value} at index {index:?}, expected finite weights")]
    NotFinite {
        name: String,
        index: Vec<usize>,
        value: f32,
    },
}

impl Weights {
    /// The weights that these tensors are, named as in the state dict; the shape is read from
    /// them. Buffers that carry nothing (`blocks.i.attn.mask`, `blocks.i.attn.IGNORE`) are dropped.
    ///
    /// Where no layer norm has weights they are folded into the layers after them, as
    /// TransformerLens' `fold_ln` does: each gets weight 1 and bias 0, which is exact.
    ///
    /// # Errors
    /// See [`WeightsError`].
    pub fn from_arrays(mut arrays: BTreeMap<String, Array>) -> Result<Self, WeightsError> {
        arrays.retain(|name, _| !is_buffer(name));
        let n_layers = count_layers(&arrays);
        Shape::check_layers(n_layers).map_err(WeightsError::TooLarge)?;
        let folded = are_layer_norms_folded(arrays.keys());
        let absent = |name: &str| folded && is_layer_norm(name);
        for (name, dims) in layout(n_layers).filter(|(name, _)| !absent(name)) {
            let Some(array) = arrays.get(&name) else {
                return Err(WeightsError::Missing { name, n_layers });
            };
            if array.shape().len() != dims.len() {
                let names: Vec<&str> = dims.iter().map(|dim| dim.name()).collect();
                return Err(WeightsError::Rank {
                    name,
                    expected: format!("[{}]", names.join(", ")),
                    found: array.shape().to_vec(),
                });
            }
        }
        let shape = derive_shape(&arrays, n_layers)?;
        shape.check_size().map_err(WeightsError::TooLarge)?;
        let expected: BTreeMap<String, &[Dim]> = layout(n_layers).collect();
        for (name, array) in &arrays {
            let Some(dims) = expected.get(name) else {
                return Err(WeightsError::Extra {
                    name: name.clone(),
                    n_layers,
                });
            };
            let expected: Vec<usize> = dims.iter().map(|dim| dim.of(&shape)).collect();
            if array.shape() != expected {
                return Err(WeightsError::Shape {
                    name: name.clone(),
                    expected,
                    found: array.shape().to_vec(),
                });
            }
            // Without an early exit, the compiler vectorises the loop.
            let finite = |all, weight: &f32| all & weight.is_finite();
            if !array.data().iter().fold(true, finite) {
                let offset = array.data().iter().position(|weight| !weight.is_finite());
                let offset = offset.expect("one of them is not finite");
                return Err(WeightsError::NotFinite {
                    name: name.clone(),
                    index: array.index_of(offset),
                    value: array.data()[offset],
                });
            }
        }
        for (name, dims) in layout(n_layers).filter(|(name, _)| absent(name)) {
            let dims: Vec<usize> = dims.iter().map(|dim| dim.of(&shape)).collect();
            let value = if name.ends_with(".w") { 1.0 } else { 0.0 };
            let data = vec![value; dims.iter().product()];
            let array = Array::new(dims, data).expect("as many elements as the shape has");
            arrays.insert(name, array);
        }
        Ok(Self { shape, arrays })
    }

    /// An untrained network, drawn as HookedTransformer draws it: matrices about normally distributed
    /// around 0 with standard deviation 0.8/√d_model, biases 0, layer-norm weights 1. The same `shape` and `seed` give the same
    /// weights, bit for bit, on every machine.
    ///
    /// # Panics
    /// If a dimension of `shape` is 0 or it has more than [`MAX_DIGITS`] digits, as no network's has.
    pub fn random(shape: Shape, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let spread = RANDOM_GAIN / (shape.d_model as f32).sqrt();
        let arrays = layout(shape.n_layers)
            .map(|(name, dims)| {
                let dims: Vec<usize> = dims.iter().map(|dim| dim.of(&shape)).collect();
                let count = dims.iter().product();
                let leaf = name.rsplit('.').next().unwrap_or(&name);
                let data = if leaf == "w" {
                    vec![1.0; count]
                } else if leaf.starts_with('W') {
                    (0..count).map(|_| spread * normal(&mut rng)).collect()
                } else {
                    vec![0.0; count]
                };
                let array = Array::new(dims, data).expect("as many elements as the shape has");
                (name, array)
            })
            .collect();
        let weights = Self::from_arrays(arrays).expect("a shape that a network can have");
        assert_eq!(weights.shape, shape, "a shape that a network can have");
        weights
    }

    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// The tensor of this name in the state dict, e.g. `blocks.0.attn.W_Q`.
    ///
    /// # Panics
    /// If a network of this shape has no such tensor.
    pub fn array(&self, name: &str) -> &Array {
        match self.arrays.get(name) {
            Some(array) => array,
            None => panic!(
                "no tensor `{name}` in a network with {} layers",
                self.shape.n_layers
            ),
        }
    }

    /// All tensors in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.arrays
            .iter()
            .map(|(name, array)| (name.as_str(), array))
    }
}

impl TryFrom<BTreeMap<String, Array>> for Weights {
    type Error = WeightsError;

    fn try_from(arrays: BTreeMap<String, Array>) -> Result<Self, WeightsError> {
        Self::from_arrays(arrays)
    }
}

impl From<Weights> for BTreeMap<String, Array> {
    fn from(weights: Weights) -> Self {
        weights.arrays
    }
}

/// Whether a state-dict entry is a buffer that carries nothing.
pub(super) fn is_buffer(name: &str) -> bool {
    block_part(name).is_some_and(|(_, part)| BLOCK_BUFFERS.contains(&part))
}

/// A name as the state dict of the network alone has it, without what wrappers put before it.
pub(super) fn without_wrappers(mut name: &str) -> &str {
    while let Some(rest) = (WRAPPER_PREFIXES.iter()).find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    name
}

/// Whether a state dict has no layer norm's weights.
pub(super) fn are_layer_norms_folded<'a>(names: impl IntoIterator<Item = &'a String>) -> bool {
    !names.into_iter().any(|name| is_layer_norm(name))
}

fn is_layer_norm(name: &str) -> bool {
    let part = block_part(name).map_or(name, |(_, part)| part);
    ["ln1.", "ln2.", "ln_final."]
        .iter()
        .any(|prefix| part.starts_with(prefix))
}

/// The layer and the rest of a name `blocks.i.rest`.
fn block_part(name: &str) -> Option<(u32, &str)> {
    let (layer, part) = name.strip_prefix("blocks.")?.split_once('.')?;
    let number: u32 = layer.parse().ok()?;
    (number.to_string() == layer).then_some((number, part))
}

/// One more than the highest layer named, and at least one, so that a missing layer is missed.
fn count_layers(arrays: &BTreeMap<String, Array>) -> usize {
    let highest = arrays
        .keys()
        .filter_map(|name| block_part(name))
        .map(|(layer, _)| layer as usize)
        .max();
    highest.unwrap_or(0).saturating_add(1)
}

/// Names and dimensions of a network's tensors.
fn layout(n_layers: usize) -> impl Iterator<Item = (String, &'static [Dim])> {
    let outer = OUTER_TENSORS.map(|(name, dims)| (name.to_owned(), dims));
    let blocks = (0..n_layers).flat_map(|layer| {
        BLOCK_TENSORS.map(|(part, dims)| (format!("blocks.{layer}.{part}"), dims))
    });
    outer.into_iter().chain(blocks)
}

/// Reads each dimension off the one tensor that defines it. All tensors must be there, with their
/// number of dimensions.
fn derive_shape(arrays: &BTreeMap<String, Array>, n_layers: usize) -> Result<Shape, WeightsError> {
    let read = |dim: Dim, name: &str, axis: usize| match arrays[name].shape()[axis] {
        0 => Err(WeightsError::Empty {
            dimension: dim.name(),
            name: name.to_owned(),
        }),
        size => Ok(size),
    };
    let d_vocab = read(Dim::Vocab, "embed.W_E", 0)?;
    if d_vocab != D_VOCAB {
        return Err(WeightsError::Vocabulary { found: d_vocab });
    }
    let n_ctx = read(Dim::Ctx, "pos_embed.W_pos", 0)?;
    let n_digits = match n_ctx.checked_sub(4) {
        Some(digits) if digits > 0 && digits % 3 == 0 => digits / 3,
        _ => return Err(WeightsError::Context { found: n_ctx }),
    };
    if n_digits > MAX_DIGITS {
        return Err(WeightsError::Digits { found: n_digits });
    }
    Ok(Shape {
        n_digits,
        n_layers,
        n_heads: read(Dim::Heads, "blocks.0.attn.W_Q", 0)?,
        d_model: read(Dim::Model, "embed.W_E", 1)?,
        d_head: read(Dim::Head, "blocks.0.attn.W_Q", 2)?,
        d_mlp: read(Dim::Mlp, "blocks.0.mlp.W_in", 1)?,
    })
}

/// About normal with mean 0 and variance 1: the sum of twelve uniform numbers, less its mean.
/// Unlike the exact methods it uses no logarithm or cosine, whose last bits differ by machine.
fn normal(rng: &mut impl Rng) -> f32 {
    const UNIFORMS: u32 = 12;
    const MEAN: f32 = 0.5 * UNIFORMS as f32;
    let units: u32 = (0..UNIFORMS / 4)
        .map(|_| rng.next_u64())
        .flat_map(|word| [word, word >> 16, word >> 32, word >> 48])
        .map(|word| u32::from(word as u16))
        .sum();
    units as f32 / 65536.0 - MEAN
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Shape = Shape {
        n_digits: 2,
        n_layers: 2,
        n_heads: 3,
        d_model: 4,
        d_head: 5,
        d_mlp: 6,
    };

    fn arrays() -> BTreeMap<String, Array> {
        Weights::random(SMALL, 0).into()
    }

    fn refusal(arrays: BTreeMap<String, Array>) -> String {
        Weights::from_arrays(arrays).unwrap_err().to_string()
    }

    /// The refusal with one tensor put in place of what was there.
    fn refusal_with(name: &str, shape: &[usize], value: f32) -> String {
        let mut arrays = arrays();
        let data = vec![value; shape.iter().product()];
        arrays.insert(name.to_owned(), Array::new(shape.to_vec(), data).unwrap());
        refusal(arrays)
    }

    #[test]
    fn the_shape_is_read_from_the_tensors() {
        assert_eq!(Weights::from_arrays(arrays()).unwrap().shape(), SMALL);
    }

    #[test]
    fn every_tensor_must_be_there() {
        for (name, _) in layout(SMALL.n_layers) {
            let mut arrays = arrays();
            arrays.remove(&name);
            assert_eq!(
                refusal(arrays),
                format!(
                    "tensor `{name}` is missing, of a network with 2 layers by its other tensors"
                )
            );
        }
        assert!(refusal(BTreeMap::new()).contains("`embed.W_E` is missing"));
    }

    #[test]
    fn layer_norms_without_any_weights_are_the_identity() {
        let mut folded = arrays();
        folded.retain(|name, _| !is_layer_norm(name));
        // A random network's layer norms have weight 1 and bias 0.
        assert_eq!(
            Weights::from_arrays(folded.clone()).unwrap(),
            Weights::random(SMALL, 0)
        );
        folded.remove("blocks.1.attn.b_Q");
        assert!(refusal(folded).contains("`blocks.1.attn.b_Q` is missing"));
    }

    #[test]
    fn a_wrappers_prefixes_are_no_part_of_a_name() {
        for (name, bare) in [
            ("embed.W_E", "embed.W_E"),
            ("module.embed.W_E", "embed.W_E"),
            ("module._orig_mod.model.embed.W_E", "embed.W_E"),
            ("models.embed.W_E", "models.embed.W_E"),
            ("model.", ""),
        ] {
            assert_eq!(without_wrappers(name), bare);
        }
    }

    #[test]
    fn a_layer_that_is_named_must_be_whole_however_high_its_number() {
        assert_eq!(
            refusal_with("blocks.4294967295.ln1.w", &[4], 0.0),
            "the number of layers is 4294967296, more than 64 by the tensors"
        );
    }

    #[test]
    fn no_tensor_may_be_left_over() {
        for name in ["hook", "blocks.0.attn.W_X", "blocks.01.ln1.w", "blocks"] {
            assert_eq!(
                refusal_with(name, &[4], 0.0),
                format!("tensor {name:?} has no place in a network with 2 layers")
            );
        }
    }

    #[test]
    fn buffers_are_dropped() {
        let mut arrays = arrays();
        for name in ["blocks.0.attn.mask", "blocks.1.attn.IGNORE"] {
            let scalar = Array::new(vec![], vec![f32::NEG_INFINITY]).unwrap();
            arrays.insert(name.to_owned(), scalar);
        }
        let weights = Weights::from_arrays(arrays).unwrap();
        assert!(!weights.iter().any(|(name, _)| is_buffer(name)));
    }

    #[test]
    fn a_tensor_of_another_rank_is_refused_with_its_dimensions_named() {
        assert_eq!(
            refusal_with("blocks.1.attn.W_O", &[15, 4], 0.0),
            "tensor `blocks.1.attn.W_O` has shape [15, 4], expected [n_heads, d_head, d_model]"
        );
    }

    #[test]
    fn a_tensor_that_disagrees_with_the_others_is_refused_with_both_shapes() {
        assert_eq!(
            refusal_with("blocks.1.attn.W_O", &[3, 4, 5], 0.0),
            "tensor `blocks.1.attn.W_O` has shape [3, 4, 5], expected [3, 5, 4]"
        );
    }

    #[test]
    fn a_dimension_of_zero_is_refused() {
        assert_eq!(
            refusal_with("blocks.0.attn.W_Q", &[0, 4, 5], 0.0),
            "n_heads is 0 by tensor `blocks.0.attn.W_Q`, expected at least 1"
        );
    }

    #[test]
    fn another_vocabulary_is_refused() {
        assert_eq!(
            refusal_with("embed.W_E", &[14, 4], 0.0),
            "d_vocab is 14 by tensor `embed.W_E`, expected 15"
        );
    }

    #[test]
    fn a_context_that_no_number_of_digits_has_is_refused() {
        for n_ctx in [3, 4, 9, 11] {
            assert_eq!(
                refusal_with("pos_embed.W_pos", &[n_ctx, 4], 0.0),
                format!(
                    "n_ctx is {n_ctx} by tensor `pos_embed.W_pos`, expected 3 n + 4 for n digits"
                )
            );
        }
    }

    #[test]
    fn more_digits_than_the_arithmetic_holds_are_refused() {
        assert_eq!(
            refusal_with("pos_embed.W_pos", &[3 * 38 + 4, 4], 0.0),
            "model has 38 digits by tensor `pos_embed.W_pos`, expected at most 37"
        );
    }

    #[test]
    fn a_weight_that_is_not_finite_is_refused_with_its_index() {
        assert_eq!(
            refusal_with("blocks.0.mlp.W_in", &[4, 6], f32::NAN),
            "tensor `blocks.0.mlp.W_in` is NaN at index [0, 0], expected finite weights"
        );
        let mut arrays = arrays();
        let mut data = vec![0.0; 24];
        data[13] = f32::NEG_INFINITY;
        let array = Array::new(vec![4, 6], data).unwrap();
        arrays.insert("blocks.0.mlp.W_in".to_owned(), array);
        assert_eq!(
            refusal(arrays),
            "tensor `blocks.0.mlp.W_in` is -inf at index [2, 1], expected finite weights"
        );
    }

    #[test]
    fn a_random_network_depends_on_its_seed_alone() {
        assert_eq!(Weights::random(SMALL, 7), Weights::random(SMALL, 7));
        assert_ne!(Weights::random(SMALL, 7), Weights::random(SMALL, 8));
    }

    #[test]
    fn a_random_network_has_the_spread_it_promises() {
        let shape = Shape {
            d_model: 64,
            d_mlp: 256,
            ..SMALL
        };
        let weights = Weights::random(shape, 1);
        let data = weights.array("blocks.0.mlp.W_in").data();
        let count = data.len() as f32;
        let mean = data.iter().sum::<f32>() / count;
        let variance = data.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / count;
        assert!(mean.abs() < 0.005, "{mean}");
        assert!((variance.sqrt() - 0.1).abs() < 0.005, "{variance}");
        assert!(weights.array("ln_final.w").data().iter().all(|&x| x == 1.0));
        assert!(
            weights
                .array("unembed.b_U")
                .data()
                .iter()
                .all(|&x| x == 0.0)
        );
    }

    #[test]
    #[should_panic(expected = "no tensor `blocks.2.ln1.w` in a network with 2 layers")]
    fn a_name_outside_the_state_dict_panics() {
        Weights::random(SMALL, 0).array("blocks.2.ln1.w");
    }
}
