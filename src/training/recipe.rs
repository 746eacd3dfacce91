//! What a training does, as a model's name says it, with what a user overrides.

use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::MIXED_SUBTRACTIONS;
use super::insertion::Inserted;
use crate::domain::shape::{D_VOCAB, Shape, TooLarge};
use crate::inputs::model::{ModelName, Operations};

/// Width of the published models.
const PUBLISHED_WIDTH: usize = 510;

/// The learning rate of the published models.
const PUBLISHED_RATE: f64 = 8e-5;

/// The learning rate of this project's models, whose names carry their width: at width 126 the published
/// one learns too slowly for the published number of batches.
const OWN_RATE: f64 = 1e-3;

const WEIGHT_DECAY: f64 = 0.1;

const BATCH_SIZE: usize = 64;

/// Share of subtractions, in percent, among the questions of a mixed model that starts from a model of
/// addition.
const INSERTED_SUBTRACTIONS: u32 = 80;

/// The residual stream over one head, and the MLP over the residual stream, in all published models.
const WIDTH_OF_HEADS: usize = 3;
const MLP_OF_WIDTH: usize = 4;

/// GrokFast's constants: how much of the average is kept at each batch, and its weight beside the
/// gradient.
pub const GROKFAST_ALPHA: f64 = 0.98;
pub const GROKFAST_LAMBDA: f64 = 2.0;

/// The seed of the published analyses, which every published record has.
const ANALYSIS_SEED: u64 = 673_023;

/// Losses that the final one is averaged over.
const FINAL_LOSSES: usize = 5;

/// What a training does.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    pub name: ModelName,
    pub shape: Shape,
    /// Batches.
    pub steps: usize,
    /// Questions in a batch.
    pub batch_size: usize,
    /// The highest learning rate, at the end of the warm-up.
    pub learning_rate: f64,
    pub weight_decay: f64,
    /// Percent of the batches that are subtractions.
    pub subtraction_percent: u32,
    /// Whether subtractions are also enriched with runs of equal digits.
    pub enrich_runs: bool,
    /// Whether an inserted model goes to the last layers, not the first.
    pub insert_late: bool,
}

/// What replaces the published recipe, or adds to it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    pub width: Option<usize>,
    pub steps: Option<usize>,
    pub batch_size: Option<usize>,
    pub learning_rate: Option<f64>,
    pub weight_decay: Option<f64>,
    pub enrich_runs: bool,
    pub insert_late: bool,
}

/// Why a name and options make no recipe.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum RecipeError {
    /// Operations that no training here teaches.
    #[error(
        "{0} models cannot be trained: questions and answers are made for addition and subtraction only"
    )]
    Operations(Operations),
    /// A name that says another thing than an option.
    #[error("the name says {what} {by_name}, and {option} says {by_option}")]
    Contradiction {
        what: &'static str,
        by_name: usize,
        option: &'static str,
        by_option: usize,
    },
    /// A number of batches that the name does not begin.
    #[error(
        "the name says {named_k} thousand batches, and --steps {steps}: name it t{}K",
        steps / 1000
    )]
    Steps { named_k: usize, steps: usize },
    /// A dimension of 0.
    #[error("the name says 0 {0}, expected at least 1")]
    Nothing(&'static str),
    /// A width that three heads of the published proportion do not fill.
    #[error(
        "width {0} is not divisible by {WIDTH_OF_HEADS}: a head is a third as wide as the residual stream"
    )]
    Width(usize),
    /// A dimension larger than any the engine is made for.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// An insert mode that nothing is published about.
    #[error(
        "insert mode {0} is unknown: 1 starts from a model, 2 also resets its useful heads, 3 its heads and MLPs, 4 at every batch"
    )]
    InsertMode(u32),
    /// An option that says where a model is inserted, for a training that inserts none.
    #[error("--insert-late is about an inserted model, and the name has no `insK_`")]
    NothingInserted,
}

impl Recipe {
    /// The published recipe for a name, with overrides. A width given for a name without one becomes part
    /// of the name.
    ///
    /// # Errors
    /// See [`RecipeError`].
    pub fn new(name: &ModelName, overrides: &Overrides) -> Result<Self, RecipeError> {
        if name.operations.trains_multiplication() {
            return Err(RecipeError::Operations(name.operations));
        }
        let mut name = name.clone();
        agree("width", name.width, "--width", overrides.width)?;
        name.width = name.width.or(overrides.width);
        let named_k = name.training_batches_k as usize;
        let steps = overrides.steps.unwrap_or(1000 * named_k);
        if steps / 1000 != named_k {
            return Err(RecipeError::Steps { named_k, steps });
        }
        for (what, count) in [
            ("digits", name.digits),
            ("layers", name.layers),
            ("heads", name.heads),
            ("width", name.width.unwrap_or(PUBLISHED_WIDTH)),
            ("batches", steps),
        ] {
            if count == 0 {
                return Err(RecipeError::Nothing(what));
            }
        }
        match name.insert_mode {
            Some(mode @ (0 | 5..)) => return Err(RecipeError::InsertMode(mode)),
            None if overrides.insert_late => return Err(RecipeError::NothingInserted),
            _ => {}
        }
        Ok(Recipe {
            shape: shape(&name)?,
            steps,
            batch_size: overrides.batch_size.unwrap_or(BATCH_SIZE),
            learning_rate: overrides.learning_rate.unwrap_or(match name.width {
                None => PUBLISHED_RATE,
                Some(_) => OWN_RATE,
            }),
            weight_decay: overrides.weight_decay.unwrap_or(WEIGHT_DECAY),
            subtraction_percent: subtraction_percent(&name),
            enrich_runs: overrides.enrich_runs,
            insert_late: overrides.insert_late,
            name,
        })
    }

    /// The learning rate at a batch: a linear warm-up from a hundredth over a fifth of the batches, then
    /// half a cosine down to zero.
    pub fn rate(&self, step: usize) -> f64 {
        const START: f64 = 0.01;
        let warm_up = self.steps / 5;
        let factor = if step < warm_up {
            START + (1.0 - START) * step as f64 / warm_up as f64
        } else {
            let done = (step - warm_up) as f64 / (self.steps - warm_up) as f64;
            0.5 * (1.0 + (std::f64::consts::PI * done).cos())
        };
        self.learning_rate * factor
    }

    /// The published training record: how the model was trained, and the loss of each batch. It has every
    /// key of the published ones, and `enrich_runs`.
    pub fn record(&self, inserted: Option<&Inserted>, losses: &[f32]) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Record<'a> {
            config: Value,
            training_loss: &'a [f32],
        }
        let last = &losses[losses.len().saturating_sub(FINAL_LOSSES)..];
        let mean = last.iter().map(|&loss| f64::from(loss)).sum::<f64>() / last.len().max(1) as f64;
        let nine_decimals = 1e9;
        let mean = (mean * nine_decimals).round() / nine_decimals;
        let record = Record {
            config: self.config(inserted, mean, losses.last()),
            training_loss: losses,
        };
        serde_json::to_string(&record).expect("a record has string keys") + "\n"
    }

    /// What the record says beside the losses.
    fn config(&self, inserted: Option<&Inserted>, mean: f64, last: Option<&f32>) -> Value {
        // Where nothing is inserted, published records have these of the usual model of addition.
        let usual = Inserted::usual();
        let inserted = inserted.unwrap_or(&usual);
        json!({
            "hf_repo": "",
            "model_name": self.name.to_string(),
            "n_layers": self.shape.n_layers,
            "n_heads": self.shape.n_heads,
            "d_vocab": D_VOCAB,
            "d_model": self.shape.d_model,
            "d_mlp_multiplier": MLP_OF_WIDTH,
            "d_head": self.shape.d_head,
            "act_fn": "relu",
            "grokfast": self.name.grokfast,
            "grokfast_alpha": GROKFAST_ALPHA,
            "grokfast_lamb": GROKFAST_LAMBDA,
            "batch_size": self.batch_size,
            "n_training_steps": self.steps,
            "weight_decay": self.weight_decay,
            "lr": self.learning_rate,
            "insert_mode": self.name.insert_mode.unwrap_or(0),
            "insert_late": self.insert_late,
            "insert_n_layers": inserted.layers,
            "insert_n_heads": inserted.heads,
            "insert_training_seed": inserted.seed,
            "insert_n_training_steps": inserted.steps,
            "training_seed": self.name.seed,
            "avg_final_loss": mean,
            "final_loss": last,
            "analysis_seed": ANALYSIS_SEED,
            "perc_mult": 0,
            "perc_sub": self.subtraction_percent,
            "perc_add": 100 - self.subtraction_percent,
            "n_digits": self.shape.n_digits,
            "mlp_slices": 1,
            "op_position_name": format!("P{}", self.shape.operator()),
            "enrich_runs": self.enrich_runs,
        })
    }

    /// All that the weights depend on, as text.
    pub(super) fn fingerprint(&self, inserted: Option<&Inserted>) -> String {
        let weights = inserted.map(|inserted| &inserted.weights_sha256);
        json!({"config": self.config(inserted, 0.0, None), "inserted": weights}).to_string()
    }
}

fn agree(
    what: &'static str,
    by_name: Option<usize>,
    option: &'static str,
    by_option: Option<usize>,
) -> Result<(), RecipeError> {
    match (by_name, by_option) {
        (Some(by_name), Some(by_option)) if by_name != by_option => {
            Err(RecipeError::Contradiction {
                what,
                by_name,
                option,
                by_option,
            })
        }
        _ => Ok(()),
    }
}

/// The shape that a name gives, in the published proportions.
fn shape(name: &ModelName) -> Result<Shape, RecipeError> {
    let width = name.width.unwrap_or(PUBLISHED_WIDTH);
    let shape = Shape {
        n_digits: name.digits,
        n_layers: name.layers,
        n_heads: name.heads,
        d_model: width,
        d_head: width / WIDTH_OF_HEADS,
        d_mlp: MLP_OF_WIDTH.saturating_mul(width),
    };
    shape.check_size()?;
    if !width.is_multiple_of(WIDTH_OF_HEADS) {
        return Err(RecipeError::Width(width));
    }
    Ok(shape)
}

fn subtraction_percent(name: &ModelName) -> u32 {
    match (name.operations, name.insert_mode) {
        (Operations::Add, _) => 0,
        (Operations::Sub, _) => 100,
        (_, Some(_)) => INSERTED_SUBTRACTIONS,
        (_, None) => (MIXED_SUBTRACTIONS * 100.0).round() as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(name: &str, overrides: &Overrides) -> Result<Recipe, RecipeError> {
        Recipe::new(&name.parse().unwrap(), overrides)
    }

    fn refusal(name: &str, overrides: &Overrides) -> String {
        recipe(name, overrides).unwrap_err().to_string()
    }

    #[test]
    fn a_published_name_gives_the_published_recipe() {
        let recipe = recipe("ins1_mix_d6_l3_h4_t40K_s372001", &Overrides::default()).unwrap();
        let shape = recipe.shape;
        assert_eq!((shape.d_model, shape.d_head, shape.d_mlp), (510, 170, 2040));
        assert_eq!((shape.n_layers, shape.n_heads, shape.n_digits), (3, 4, 6));
        assert_eq!((recipe.steps, recipe.batch_size), (40_000, 64));
        assert_eq!((recipe.learning_rate, recipe.weight_decay), (8e-5, 0.1));
        assert_eq!(recipe.subtraction_percent, 80);
    }

    #[test]
    fn a_width_given_for_a_name_without_one_becomes_part_of_it() {
        let overrides = Overrides {
            width: Some(126),
            ..Overrides::default()
        };
        let narrow = recipe("add_d5_l2_h3_t15K_s372001", &overrides).unwrap();
        assert_eq!(narrow.name.to_string(), "w126_add_d5_l2_h3_t15K_s372001");
        assert_eq!((narrow.shape.d_head, narrow.learning_rate), (42, 1e-3));
        assert_eq!(
            refusal("w510_add_d5_l2_h3_t15K_s372001", &overrides),
            "the name says width 510, and --width says 126"
        );
    }

    #[test]
    fn the_rate_rises_over_a_fifth_of_the_batches_and_falls_to_zero() {
        let recipe = recipe("add_d5_l2_h3_t1K_s1", &Overrides::default()).unwrap();
        let relative = |step| recipe.rate(step) / recipe.learning_rate;
        for (step, expected) in [(0, 0.01), (100, 0.505), (200, 1.0), (600, 0.5)] {
            assert!((relative(step) - expected).abs() < 1e-12, "{step}");
        }
        assert!(relative(999) < 1e-5);
    }

    #[test]
    fn what_cannot_be_trained_is_refused_with_the_reason() {
        let none = Overrides::default();
        assert_eq!(
            refusal("mul_d6_l3_h4_t75K_s1", &none),
            "mul models cannot be trained: questions and answers are made for addition and subtraction only"
        );
        assert!(refusal("mas_d6_l3_h4_t75K_s1", &none).starts_with("mas models"));
        assert_eq!(
            refusal("add_d5_l0_h3_t15K_s1", &none),
            "the name says 0 layers, expected at least 1"
        );
        assert!(refusal("w128_add_d5_l2_h3_t15K_s1", &none).contains("128 is not divisible by 3"));
        assert!(refusal("add_d99_l2_h3_t15K_s1", &none).contains("99, more than 37"));
        assert!(refusal("ins7_mix_d5_l2_h3_t15K_s1", &none).contains("insert mode 7"));
        let steps = Overrides {
            steps: Some(200),
            ..none.clone()
        };
        assert_eq!(
            refusal("add_d5_l2_h3_t15K_s1", &steps),
            "the name says 15 thousand batches, and --steps 200: name it t0K"
        );
        assert_eq!(recipe("add_d5_l2_h3_t0K_s1", &steps).unwrap().steps, 200);
        let late = Overrides {
            insert_late: true,
            ..none
        };
        assert!(refusal("add_d5_l2_h3_t15K_s1", &late).contains("--insert-late"));
    }
}
