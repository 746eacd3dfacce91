//! Weights described by their function: heads that read chosen positions, steps computed by the
//! MLP, everything else zero.
//!
//! LayerNorm must be neutralised. The residual stream is a vector followed by its negative, so its
//! mean is zero; one pair of entries is so large that all others hardly contribute to the variance;
//! and the norm's weights multiply by what it divides by. What is read after a norm then equals
//! what was written before it, to about one part in ten thousand. Reads subtract one half from the
//! other, so that the rounding error of the mean cancels.

use std::collections::BTreeMap;

use crate::domain::arithmetic::token_of;
use crate::domain::shape::{D_VOCAB, Shape};
use crate::inputs::model::{Array, Weights};

/// The entries of the residual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// [`CONSTANT`], which fixes the scale of the norm.
    Constant,
    /// The token, if it is a digit.
    Digit,
    /// Sum, or difference, of the column whose answer digit is predicted here.
    Sum,
    /// Sum, or difference, of the column below, as read by one of up to three heads.
    Below(usize),
    /// Sums of all columns further below, each with a tenth of the weight of the next higher.
    Lower,
    /// Votes for a carry in.
    Votes,
    /// 1 if there is a carry, or a borrow, in.
    Carry,
    /// 1 if the column's sum with that carry is ten or more, or its difference with that borrow is
    /// negative.
    Overflow,
    /// Never read.
    Noise,
    /// Read here by a later layer, from another position.
    Relay,
    /// 1 if the token is `+`.
    Plus,
    /// 0, 1 or 2 if the first digit of the column below is less than, equal to, or greater than the
    /// second.
    TriCase,
    /// 1 if the first operand is found to be no smaller than the second.
    Order,
    /// 1 if the digits should be those of a positive answer.
    Positive,
    /// Twice the difference plus nine, if the answer should be positive; otherwise 0.
    Doubled,
    /// 1 at this position, 0 elsewhere.
    At(usize),
}

impl Entry {
    /// Its index in a network of `n_ctx` positions: first the entries of every network, then those
    /// of the planted ones.
    const fn index(self, n_ctx: usize) -> usize {
        let added = Entry::count(n_ctx);
        match self {
            Entry::Constant => 0,
            Entry::Digit => 1,
            Entry::Sum => 2,
            Entry::Below(vote) => 3 + vote,
            Entry::Lower => 6,
            Entry::Votes => 7,
            Entry::Carry => 8,
            Entry::Overflow => 9,
            Entry::Noise => 10,
            Entry::At(position) => 11 + position,
            Entry::Relay => added,
            Entry::Plus => added + 1,
            Entry::TriCase => added + 2,
            Entry::Order => added + 3,
            Entry::Positive => added + 4,
            Entry::Doubled => added + 5,
        }
    }

    /// Additional entries of the planted networks.
    pub(super) const ADDED: usize = 6;

    /// Entries that every network has.
    pub(super) const fn count(n_ctx: usize) -> usize {
        11 + n_ctx
    }
}

/// Far larger than the sum of all other entries (their squares stay below 4,000), small enough for
/// float32 to represent digits beside it.
const CONSTANT: f32 = 4096.0;

/// Score of an unattended position before softmax; the most attended position has score 0, whose
/// exponential is exact.
const UNATTENDED: f32 = -25.0;

/// The middle of the digits, around which logits are smallest.
const MIDDLE: f32 = 4.5;

/// Far below every digit's logit, which is at least -25, also in the patched network.
pub(super) const NO_DIGIT: f32 = -60.0;

/// Neurons per step of an MLP, which is also the most steps one can have.
const NEURONS_PER_STEP: usize = 2;
const MOST_STEPS: usize = 7;

/// A head: at each listed position, it writes a weighted sum of an entry over other positions.
pub(super) struct Head {
    pub(super) layer: usize,
    pub(super) number: usize,
    pub(super) from: Entry,
    pub(super) writes: Entry,
    /// Whether the negated sum is written.
    pub(super) negated: bool,
    /// The position that receives the remaining attention; it holds 0 in the entry read. Positions
    /// with nothing to read attend only to it; positions before it attend to all they can see.
    pub(super) rest: usize,
    /// By position, the positions read and their weights.
    pub(super) reads: BTreeMap<usize, Vec<(usize, f32)>>,
}

/// A step: 0 while `Σ weight · entry` is at most `from`, `height` once it is at least `to`.
pub(super) struct MlpStep<'a> {
    pub(super) reads: &'a [(Entry, f32)],
    pub(super) from: f32,
    pub(super) to: f32,
    pub(super) writes: Entry,
    pub(super) height: f32,
}

/// The token of a character, as an index into the vocabulary.
pub(super) fn token(character: char) -> usize {
    usize::from(token_of(character).expect("a character of the vocabulary"))
}

/// The shape of a network on one sheet, with this many additional entries.
pub(super) fn shape(n_digits: usize, n_layers: usize, n_heads: usize, added: usize) -> Shape {
    let n_ctx = 3 * n_digits + 4;
    Shape {
        n_digits,
        n_layers,
        n_heads,
        d_model: 2 * (Entry::count(n_ctx) + added),
        d_head: n_ctx,
        d_mlp: NEURONS_PER_STEP * MOST_STEPS,
    }
}

pub(super) struct Sheet {
    shape: Shape,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// Steps used so far in each layer.
    steps: Vec<usize>,
}

impl Sheet {
    /// A network that adds nothing to its embedding, with norms that change nothing.
    pub(super) fn new(shape: Shape) -> Self {
        // Any network of this shape provides the tensors' names and dimensions.
        let tensors = Weights::random(shape, 0)
            .iter()
            .map(|(name, array)| {
                let zeros = vec![0.0; array.data().len()];
                (name.to_owned(), (array.shape().to_vec(), zeros))
            })
            .collect();
        let mut sheet = Sheet {
            shape,
            tensors,
            steps: vec![0; shape.n_layers],
        };
        sheet.embed();
        sheet.undo_norms();
        sheet
    }

    fn embed(&mut self) {
        for position in 0..self.shape.n_ctx() {
            self.write("pos_embed.W_pos", &[position], Entry::Constant, CONSTANT);
            self.write("pos_embed.W_pos", &[position], Entry::At(position), 1.0);
        }
        for digit in 0..10 {
            self.write("embed.W_E", &[digit], Entry::Digit, digit as f32);
        }
    }

    fn undo_norms(&mut self) {
        // Standard deviation of a residual stream with only the constant and its position.
        let squares = 2.0 * (CONSTANT * CONSTANT + 1.0);
        let deviation = (squares / self.shape.d_model as f32).sqrt();
        let layers = 0..self.shape.n_layers;
        let norms = layers.flat_map(|layer| [1, 2].map(|n| format!("blocks.{layer}.ln{n}.w")));
        for name in norms.chain(["ln_final.w".to_owned()]) {
            for index in 0..self.shape.d_model {
                self.set(&name, &[index], deviation);
            }
        }
    }

    fn set(&mut self, name: &str, index: &[usize], value: f32) {
        let (dims, data) = self.tensors.get_mut(name).expect("a tensor of the network");
        assert_eq!(dims.len(), index.len(), "{name}");
        let offset = dims.iter().zip(index).fold(0, |offset, (&dim, &i)| {
            assert!(i < dim, "{name} {index:?}");
            offset * dim + i
        });
        data[offset] = value;
    }

    /// Sets a weight that writes to an entry, and its negative in the other half.
    fn write(&mut self, name: &str, before: &[usize], entry: Entry, value: f32) {
        let negated = self.shape.d_model / 2;
        let entry = entry.index(self.shape.n_ctx());
        let at = |index: usize| [before, &[index]].concat();
        self.set(name, &at(entry), value);
        self.set(name, &at(negated + entry), -value);
    }

    /// Sets a weight that reads an entry: half from each half.
    fn read(&mut self, name: &str, before: &[usize], entry: Entry, after: usize, value: f32) {
        let negated = self.shape.d_model / 2;
        let entry = entry.index(self.shape.n_ctx());
        let at = |index: usize| [before, &[index, after]].concat();
        self.set(name, &at(entry), 0.5 * value);
        self.set(name, &at(negated + entry), -0.5 * value);
    }

    /// Initialises an entry to `value` at `position` in every input.
    pub(super) fn start_with(&mut self, position: usize, entry: Entry, value: f32) {
        self.write("pos_embed.W_pos", &[position], entry, value);
    }

    /// Initialises an entry to `value` wherever the input is this character.
    pub(super) fn mark(&mut self, character: char, entry: Entry, value: f32) {
        self.write("embed.W_E", &[token(character)], entry, value);
    }

    pub(super) fn head(&mut self, head: &Head) {
        let Shape { n_digits, .. } = self.shape;
        let (layer, number) = (head.layer, head.number);
        let tensor = |part: &str| format!("blocks.{layer}.attn.{part}");
        let total = |reads: &Vec<(usize, f32)>| reads.iter().map(|&(_, weight)| weight).sum();
        // Attention sums to one: the reader with the largest total weight uses all of it.
        let gain = head.reads.values().map(total).fold(0.0, f32::max);
        let scale = (self.shape.d_head as f32).sqrt();
        for position in 0..self.shape.n_ctx() {
            let at = Entry::At(position);
            self.read(&tensor("W_K"), &[number], at, position, 1.0);
            let mut attended = head.reads.get(&position).cloned().unwrap_or_default();
            let left = gain - attended.iter().map(|&(_, weight)| weight).sum::<f32>();
            if left > 0.0 {
                attended.push((head.rest, left));
            }
            let heaviest = attended.iter().map(|&(_, w)| w).fold(0.0, f32::max);
            for source in 0..self.shape.n_ctx() {
                let found = attended.iter().find(|&&(other, _)| other == source);
                let score = found.map_or(UNATTENDED, |&(_, weight)| (weight / heaviest).ln());
                self.read(&tensor("W_Q"), &[number], at, source, scale * score);
            }
        }
        assert!(
            head.rest >= n_digits,
            "what is left over must fall on no digit"
        );
        self.read(&tensor("W_V"), &[number], head.from, 0, 1.0);
        let gain = if head.negated { -gain } else { gain };
        self.write(&tensor("W_O"), &[number, 0], head.writes, gain);
    }

    /// Adds a step to the MLP of a layer, at every position.
    pub(super) fn step(&mut self, layer: usize, step: &MlpStep) {
        let tensor = |part: &str| format!("blocks.{layer}.mlp.{part}");
        let slope = 1.0 / (step.to - step.from);
        let first = NEURONS_PER_STEP * self.steps[layer];
        self.steps[layer] += 1;
        for (neuron, starts, sign) in [(first, step.from, 1.0), (first + 1, step.to, -1.0)] {
            for &(entry, weight) in step.reads {
                self.read(&tensor("W_in"), &[], entry, neuron, slope * weight);
            }
            self.set(&tensor("b_in"), &[neuron], -slope * starts);
            self.write(&tensor("W_out"), &[neuron], step.writes, sign * step.height);
        }
    }

    /// Sets the logit of `token` to `bias + Σ weight · entry`.
    pub(super) fn logit(&mut self, token: usize, bias: f32, reads: &[(Entry, f32)]) {
        assert!(token < D_VOCAB);
        self.set("unembed.b_U", &[token], bias);
        for &(entry, weight) in reads {
            self.read("unembed.W_U", &[], entry, token, weight);
        }
    }

    /// Makes the digit `Σ weight · entry` the most likely, with this lead, and all non-digit tokens
    /// unlikely.
    pub(super) fn digit_logits(&mut self, lead: f32, entries: &[(Entry, f32)]) {
        for digit in 0..10u8 {
            let d = f32::from(digit) - MIDDLE;
            let slope = 2.0 * lead * d;
            let reads: Vec<_> = (entries.iter())
                .map(|&(entry, weight)| (entry, slope * weight))
                .collect();
            let bias = -lead * d * (d + 2.0 * MIDDLE);
            self.logit(usize::from(digit), bias, &reads);
        }
        for token in 10..D_VOCAB {
            self.logit(token, NO_DIGIT, &[]);
        }
    }

    pub(super) fn finish(self) -> Weights {
        let arrays = self.tensors.into_iter().map(|(name, (dims, data))| {
            let array =
                Array::new(dims, data).expect("dimensions and elements of a network's tensor");
            (name, array)
        });
        Weights::from_arrays(arrays.collect()).expect("every tensor of the network, all finite")
    }
}
