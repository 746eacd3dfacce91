//! Starting a model from a smaller accurate one, and resetting parts to it during training, as published.

use std::collections::BTreeMap;

use thiserror::Error;

use super::recipe::Recipe;
use crate::domain::node::Component;
use crate::inputs::claims::{ClaimsError, read_tagged_nodes};
use crate::inputs::model::{Array, ModelFolder, Weights};

/// Batches between two resets in modes 2 and 3.
const RESET_EVERY: usize = 100;

/// The parts of attention that are inserted. The published notebook leaves a head's output, W_O, as it was
/// drawn.
const OF_A_HEAD: [&str; 6] = ["W_Q", "W_K", "W_V", "b_Q", "b_K", "b_V"];

/// The model that a training starts from, as the training record names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inserted {
    pub layers: usize,
    pub heads: usize,
    pub seed: u64,
    /// Batches it was trained with.
    pub steps: usize,
    /// SHA-256 of its file of weights.
    pub weights_sha256: String,
}

impl Inserted {
    /// The published model of addition that others start from.
    pub(super) fn usual() -> Self {
        Inserted {
            layers: 2,
            heads: 3,
            seed: 372_001,
            steps: 15_000,
            weights_sha256: String::new(),
        }
    }
}

/// A model to start from, and what of it is put back during training.
#[derive(Debug, Clone)]
pub struct Insertion {
    pub inserted: Inserted,
    mode: u32,
    weights: Weights,
    /// The layer that its first layer goes to.
    first_layer: usize,
    /// Its useful heads, by layer and number.
    useful: Vec<(usize, usize)>,
}

/// Why a model cannot be inserted.
#[derive(Debug, Error)]
pub enum InsertionError {
    /// A name that inserts a model, and none is given.
    #[error(
        "the name says insert mode {0}, which starts from a trained model; name its folder with --init"
    )]
    NoInit(u32),
    /// A model to start from, for a name that inserts none.
    #[error("--init is about an inserted model, and the name has no `insK_`")]
    NoMode,
    /// It does not fit.
    #[error("{model} has {found} {what}, and {expected} fit the model to train")]
    Shape {
        model: String,
        what: &'static str,
        found: usize,
        /// The number that it must have, or most.
        expected: String,
    },
    /// No file says which heads are useful.
    #[error(
        "{0} has no behaviors.json, which says the useful heads that insert mode 2 resets; `circuitcheck discover` makes one"
    )]
    NoBehaviors(String),
    /// That file cannot be read.
    #[error(transparent)]
    Behaviors(#[from] ClaimsError),
}

impl Insertion {
    /// What a recipe inserts of `init`; `None` where it inserts nothing.
    ///
    /// # Errors
    /// See [`InsertionError`].
    pub fn new(
        recipe: &Recipe,
        init: Option<&ModelFolder>,
    ) -> Result<Option<Self>, InsertionError> {
        let (mode, init) = match (recipe.name.insert_mode, init) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(InsertionError::NoMode),
            (Some(mode), None) => return Err(InsertionError::NoInit(mode)),
            (Some(mode), Some(init)) => (mode, init),
        };
        let (of, own) = (init.weights.shape(), recipe.shape);
        for (what, found, expected, exact) in [
            ("digits", of.n_digits, own.n_digits, true),
            ("d_model", of.d_model, own.d_model, true),
            ("d_head", of.d_head, own.d_head, true),
            ("d_mlp", of.d_mlp, own.d_mlp, true),
            ("layers", of.n_layers, own.n_layers, false),
            ("heads", of.n_heads, own.n_heads, false),
        ] {
            if found > expected || (exact && found < expected) {
                let most = if exact { "" } else { "at most " };
                return Err(InsertionError::Shape {
                    model: init.name.clone(),
                    what,
                    found,
                    expected: format!("{most}{expected}"),
                });
            }
        }
        let usual = Inserted::usual();
        let name = init.model_name.as_ref();
        Ok(Some(Insertion {
            inserted: Inserted {
                layers: of.n_layers,
                heads: of.n_heads,
                seed: name.map_or(usual.seed, |name| name.seed),
                steps: name.map_or(usual.steps, |name| 1000 * name.training_batches_k as usize),
                weights_sha256: init.weights_sha256.clone(),
            },
            mode,
            weights: init.weights.clone(),
            first_layer: if recipe.insert_late {
                own.n_layers - of.n_layers
            } else {
                0
            },
            useful: if mode == 2 {
                useful_heads(init)?
            } else {
                Vec::new()
            },
        }))
    }

    /// Puts the whole model into fresh weights: heads first among those of their layer, MLPs, the norms
    /// before attention, the final norm's weight, and embedding, positions and unembedding without its
    /// bias.
    pub fn start(&self, weights: Weights) -> Weights {
        let mut arrays: BTreeMap<String, Array> = weights.into();
        self.put_layers(&mut arrays);
        for layer in 0..self.weights.shape().n_layers {
            for part in ["ln1.w", "ln1.b"] {
                self.put_whole(&mut arrays, layer, part);
            }
        }
        for name in ["ln_final.w", "embed.W_E", "pos_embed.W_pos", "unembed.W_U"] {
            arrays.insert(name.to_owned(), self.weights.array(name).clone());
        }
        finished(arrays)
    }

    /// Puts back what the mode resets after a batch.
    pub fn reset(&self, weights: Weights, step: usize) -> Weights {
        let due = self.mode == 4 || step.is_multiple_of(RESET_EVERY);
        match self.mode {
            2 if due => {
                let mut arrays = weights.into();
                for &(layer, head) in &self.useful {
                    self.put_last(&mut arrays, layer, head);
                }
                finished(arrays)
            }
            3 | 4 if due => {
                let mut arrays = weights.into();
                self.put_layers(&mut arrays);
                finished(arrays)
            }
            _ => weights,
        }
    }

    /// All heads, first among those of their layer, and all MLPs.
    fn put_layers(&self, arrays: &mut BTreeMap<String, Array>) {
        for layer in 0..self.weights.shape().n_layers {
            for part in OF_A_HEAD {
                let (from, to) = self.of_attention(arrays, layer, part);
                to[..from.len()].copy_from_slice(from);
            }
            for part in ["mlp.W_in", "mlp.b_in", "mlp.W_out", "mlp.b_out"] {
                self.put_whole(arrays, layer, part);
            }
        }
    }

    /// One head. Where the layer has more, the published notebook counts from the last, though it starts
    /// from the first.
    fn put_last(&self, arrays: &mut BTreeMap<String, Array>, layer: usize, head: usize) {
        for part in OF_A_HEAD {
            let heads = self.weights.shape().n_heads;
            let (from, to) = self.of_attention(arrays, layer, part);
            let width = from.len() / heads;
            let to = to.chunks_exact_mut(width).rev().nth(heads - 1 - head);
            let to = to.expect("the trained model has no fewer heads");
            to.copy_from_slice(&from[head * width..][..width]);
        }
    }

    /// A part of attention, here and there: all heads, one after the other.
    fn of_attention<'a>(
        &'a self,
        arrays: &'a mut BTreeMap<String, Array>,
        layer: usize,
        part: &str,
    ) -> (&'a [f32], &'a mut [f32]) {
        let from = self.weights.array(&format!("blocks.{layer}.attn.{part}"));
        let to = format!("blocks.{}.attn.{part}", self.first_layer + layer);
        let to = arrays
            .get_mut(&to)
            .expect("the layer is one of the model's");
        (from.data(), to.data_mut())
    }

    fn put_whole(&self, arrays: &mut BTreeMap<String, Array>, layer: usize, part: &str) {
        let from = self.weights.array(&format!("blocks.{layer}.{part}"));
        let to = format!("blocks.{}.{part}", self.first_layer + layer);
        arrays.insert(to, from.clone());
    }
}

fn finished(arrays: BTreeMap<String, Array>) -> Weights {
    Weights::from_arrays(arrays).expect("tensors of validated weights, of the same shape")
}

/// The heads that some position has use for, by the model's behaviours.
fn useful_heads(init: &ModelFolder) -> Result<Vec<(usize, usize)>, InsertionError> {
    let file =
        (init.behaviors.as_ref()).ok_or_else(|| InsertionError::NoBehaviors(init.name.clone()))?;
    let nodes = read_tagged_nodes(&file.path.display().to_string(), &file.bytes)?;
    let shape = init.weights.shape();
    let mut heads: Vec<(usize, usize)> = (nodes.iter())
        .filter_map(|tagged| match tagged.node.component {
            Component::Head(head) => Some((tagged.node.layer, head)),
            Component::Mlp(_) => None,
        })
        .filter(|&(layer, head)| layer < shape.n_layers && head < shape.n_heads)
        .collect();
    heads.sort_unstable();
    heads.dedup();
    Ok(heads)
}
