//! Holds a model's name, configuration and tensors against each other.

use std::fmt;
use std::path::Path;

use super::files::Files;
use super::folder::LoadError;
use super::name::ModelName;
use super::operations::Operations;
use super::training::TrainingRecord;
use super::weights::Weights;
use crate::domain::shape::{D_VOCAB, Shape};

/// What published repositories of one model have before the model's name.
const REPOSITORY_PREFIX: &str = "QuantaMaths_";

/// Two places that say different things about a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameContradiction {
    pub what: &'static str,
    pub left: String,
    pub left_from: String,
    pub right: String,
    pub right_from: String,
}

impl fmt::Display for NameContradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is {} by {}, but {} by {}",
            self.what, self.left, self.left_from, self.right, self.right_from
        )
    }
}

/// Which operations a model was trained for, and what to do where its files do not say.
pub enum OperationsFrom<'a> {
    /// These, whatever the files say.
    Given(Operations),
    /// The name, else the training record, else what this finds by asking the network.
    Files(&'a dyn Fn(&Weights) -> Option<Operations>),
}

/// What name, configuration and tensors say in common.
pub(super) struct Agreement {
    pub(super) model_name: Option<ModelName>,
    pub(super) operations: Operations,
}

impl Agreement {
    pub(super) fn reach<T>(
        files: &Files<T>,
        weights: &Weights,
        training: Option<&TrainingRecord>,
        from: &OperationsFrom<'_>,
    ) -> Result<Self, LoadError> {
        let shape = weights.shape();
        let folder = &files.shown;
        let published = files
            .name
            .strip_prefix(REPOSITORY_PREFIX)
            .unwrap_or(&files.name);
        let from_folder: Option<ModelName> = published.parse().ok();
        let config_text = training.and_then(|record| record.model_name.as_deref());
        let from_config: Option<ModelName> = config_text.and_then(|text| text.parse().ok());
        let folder_source = format!("the name {:?}", files.name);
        let config_source = format!("Config.model_name {:?}", config_text.unwrap_or_default());

        if let Some(name) = &from_folder {
            same(folder, name_and_tensors(name, &folder_source, shape))?;
        }
        if let Some(record) = training {
            same(folder, config_and_tensors(record, shape))?;
        }
        if let Some(name) = &from_config {
            same(folder, name_and_tensors(name, &config_source, shape))?;
        }
        if let (Some(left), Some(right)) = (&from_folder, &from_config) {
            let pair =
                |what, left: &dyn fmt::Display, right: &dyn fmt::Display| NameContradiction {
                    what,
                    left: left.to_string(),
                    left_from: folder_source.clone(),
                    right: right.to_string(),
                    right_from: config_source.clone(),
                };
            if matches!(from, OperationsFrom::Files(_)) {
                same(
                    folder,
                    [pair("operation", &left.operations, &right.operations)],
                )?;
            }
            same(folder, [pair("seed", &left.seed, &right.seed)])?;
        }

        let (model_name, source) = match from_folder {
            Some(name) => (Some(name), folder_source),
            None => (from_config, config_source),
        };
        let operations = match from {
            OperationsFrom::Given(operations) => *operations,
            OperationsFrom::Files(ask) => {
                let by_name = model_name.as_ref().map(|name| name.operations);
                let by_config = training.and_then(TrainingRecord::operations);
                same(folder, name_and_shares(by_name, source, by_config))?;
                by_name
                    .or(by_config)
                    .or_else(|| ask(weights))
                    .ok_or_else(|| LoadError::Operations {
                        folder: folder.clone(),
                        name: files.name.clone(),
                    })?
            }
        };
        Ok(Self {
            model_name,
            operations,
        })
    }
}

/// The first of the pairs whose sides differ, as an error.
fn same(
    folder: &Path,
    pairs: impl IntoIterator<Item = NameContradiction>,
) -> Result<(), LoadError> {
    match pairs.into_iter().find(|pair| pair.left != pair.right) {
        None => Ok(()),
        Some(contradiction) => Err(LoadError::Contradiction {
            folder: folder.to_owned(),
            contradiction: Box::new(contradiction),
        }),
    }
}

fn name_and_tensors(name: &ModelName, source: &str, shape: Shape) -> Vec<NameContradiction> {
    with_tensors(
        |_| source.to_owned(),
        [
            ("n_digits", Some(name.digits), shape.n_digits),
            ("n_layers", Some(name.layers), shape.n_layers),
            ("n_heads", Some(name.heads), shape.n_heads),
            ("d_model", name.width, shape.d_model),
        ],
    )
}

fn name_and_shares(
    by_name: Option<Operations>,
    source: String,
    by_config: Option<Operations>,
) -> Option<NameContradiction> {
    Some(NameContradiction {
        what: "operation",
        left: by_name?.to_string(),
        left_from: source,
        right: by_config?.to_string(),
        right_from: "Config.perc_add and perc_sub".to_owned(),
    })
}

fn config_and_tensors(record: &TrainingRecord, shape: Shape) -> Vec<NameContradiction> {
    let mut pairs = with_tensors(
        |what| format!("Config.{what}"),
        [
            ("n_digits", record.n_digits, shape.n_digits),
            ("n_layers", record.n_layers, shape.n_layers),
            ("n_heads", record.n_heads, shape.n_heads),
            ("d_model", record.d_model, shape.d_model),
            ("d_head", record.d_head, shape.d_head),
            ("d_vocab", record.d_vocab, D_VOCAB),
        ],
    );
    let d_mlp = record
        .d_mlp_multiplier
        .map(|multiplier| multiplier.saturating_mul(shape.d_model));
    pairs.extend(with_tensors(
        |_| "Config.d_mlp_multiplier times d_model".to_owned(),
        [("d_mlp", d_mlp, shape.d_mlp)],
    ));
    pairs
}

/// Pairs of what a source says, where it says something, and what the tensors say.
fn with_tensors<const N: usize>(
    source: impl Fn(&str) -> String,
    claims: [(&'static str, Option<usize>, usize); N],
) -> Vec<NameContradiction> {
    claims
        .into_iter()
        .filter_map(|(what, said, found)| {
            Some(NameContradiction {
                what,
                left: said?.to_string(),
                left_from: source(what),
                right: found.to_string(),
                right_from: "its tensors".to_owned(),
            })
        })
        .collect()
}
