//! The training record that lies beside a model: its configuration and its loss per batch.

use std::io::{self, BufReader, Read};

use serde::Deserialize;
use thiserror::Error;

use super::files::without_mark;
use super::operations::Operations;

/// What `training_loss.json` says, as far as it is used here.
///
/// Every field may be missing: files of different ages hold different ones.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingRecord {
    /// The model's name at training time.
    pub model_name: Option<String>,
    pub n_layers: Option<usize>,
    /// Attention heads in each layer.
    pub n_heads: Option<usize>,
    pub d_vocab: Option<usize>,
    /// Width of the residual stream.
    pub d_model: Option<usize>,
    /// Width of the MLP's hidden layer over that of the residual stream.
    pub d_mlp_multiplier: Option<usize>,
    /// Width of one head.
    pub d_head: Option<usize>,
    /// Digits in each operand.
    pub n_digits: Option<usize>,
    /// Percent of training questions that were additions.
    pub perc_add: Option<f64>,
    /// Percent of training questions that were subtractions.
    pub perc_sub: Option<f64>,
    /// Percent of training questions that were multiplications.
    pub perc_mult: Option<f64>,
    pub act_fn: Option<String>,
    /// The loss of each training batch, in order; empty where it was not recorded. NaN where it was null,
    /// NaN or infinite.
    pub training_loss: Vec<f32>,
    pub final_loss: Option<f64>,
    /// The mean loss of the last batches.
    pub avg_final_loss: Option<f64>,
}

/// Why bytes aren't a training record.
#[derive(Debug, Error)]
pub enum TrainingError {
    /// The bytes aren't JSON at all.
    #[error("not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// The bytes are JSON of another shape; the reason says what was expected, what was found,
    /// and at which line and column.
    #[error("not a training record, which is {{\"Config\": {{…}}, \"TrainingLoss\": […]}}: {0}")]
    OtherShape(#[source] serde_json::Error),
}

/// The file as written, in which every key is optional. Older files have the final losses beside
/// `Config`, newer ones inside.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", expecting = "an object")]
struct File {
    config: Config,
    training_loss: Vec<Loss>,
    final_loss: Option<f64>,
    avg_final_loss: Option<f64>,
}

/// The loss of a batch; NaN where the file has null.
#[derive(Deserialize)]
#[serde(from = "Option<f32>")]
struct Loss(f32);

impl From<Option<f32>> for Loss {
    fn from(loss: Option<f32>) -> Self {
        Self(loss.unwrap_or(f32::NAN))
    }
}

#[derive(Default, Deserialize)]
#[serde(default, expecting = "an object")]
struct Config {
    model_name: Option<String>,
    n_layers: Option<usize>,
    n_heads: Option<usize>,
    d_vocab: Option<usize>,
    d_model: Option<usize>,
    d_mlp_multiplier: Option<usize>,
    d_head: Option<usize>,
    n_digits: Option<usize>,
    perc_add: Option<f64>,
    perc_sub: Option<f64>,
    perc_mult: Option<f64>,
    act_fn: Option<String>,
    final_loss: Option<f64>,
    avg_final_loss: Option<f64>,
}

/// JSON in which null takes the place of `NaN`, `Infinity` and `-Infinity`, as Python's json writes them.
/// Read piece by piece, since a copy would double the memory taken.
struct WithoutNan<'a> {
    /// What is left of the file.
    rest: &'a [u8],
    /// Whether that begins within a text.
    quoted: bool,
    /// Whether a backslash precedes it.
    escaped: bool,
    /// What is left of a null.
    null: &'static [u8],
}

impl<'a> WithoutNan<'a> {
    const fn of(json: &'a [u8]) -> Self {
        Self {
            rest: json,
            quoted: false,
            escaped: false,
            null: b"",
        }
    }

    fn next(&mut self) -> Option<u8> {
        const NAMES: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];
        let named = |name: &&[u8]| self.rest.strip_prefix(*name);
        if self.null.is_empty()
            && !self.quoted
            && let Some(rest) = NAMES.iter().find_map(named)
        {
            self.rest = rest;
            self.null = b"null";
        }
        if let Some(byte) = self.null.split_off_first() {
            return Some(*byte);
        }
        let byte = *self.rest.split_off_first()?;
        self.quoted ^= byte == b'"' && !self.escaped;
        self.escaped = byte == b'\\' && !self.escaped;
        Some(byte)
    }
}

impl Read for WithoutNan<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len()
            && let Some(byte) = self.next()
        {
            buffer[filled] = byte;
            filled += 1;
        }
        Ok(filled)
    }
}

impl TrainingRecord {
    /// Reads the bytes of a `training_loss.json`, of the present layout or the older one.
    ///
    /// # Errors
    /// If the bytes aren't JSON, or are JSON of another shape.
    pub fn from_json(bytes: &[u8]) -> Result<Self, TrainingError> {
        let bytes = without_mark(bytes);
        let read = serde_json::from_slice(bytes).or_else(|error: serde_json::Error| {
            // Python writes NaN and Infinity, which JSON does not have.
            serde_json::from_reader(BufReader::new(WithoutNan::of(bytes))).map_err(|_| error)
        });
        let file: File = read.map_err(|error| {
            if error.is_data() {
                TrainingError::OtherShape(error)
            } else {
                TrainingError::NotJson(error)
            }
        })?;
        let config = file.config;
        Ok(Self {
            model_name: config.model_name,
            n_layers: config.n_layers,
            n_heads: config.n_heads,
            d_vocab: config.d_vocab,
            d_model: config.d_model,
            d_mlp_multiplier: config.d_mlp_multiplier,
            d_head: config.d_head,
            n_digits: config.n_digits,
            perc_add: config.perc_add,
            perc_sub: config.perc_sub,
            perc_mult: config.perc_mult,
            act_fn: config.act_fn,
            training_loss: (file.training_loss.into_iter())
                .map(|Loss(loss)| loss)
                .collect(),
            final_loss: config.final_loss.or(file.final_loss),
            avg_final_loss: config.avg_final_loss.or(file.avg_final_loss),
        })
    }

    /// The operations with a share of the training questions; `None` if no share is recorded, or
    /// for a combination that has no name.
    ///
    /// Where only `perc_add` is missing it is what the others leave of 100: the first files
    /// worked it out instead of writing it down.
    pub fn operations(&self) -> Option<Operations> {
        if self.perc_add.is_none() && self.perc_sub.is_none() {
            return None;
        }
        let subtraction = self.perc_sub.unwrap_or(0.0);
        let multiplication = self.perc_mult.unwrap_or(0.0);
        let addition = self
            .perc_add
            .unwrap_or(100.0 - subtraction - multiplication);
        Operations::trained(addition > 0.0, subtraction > 0.0, multiplication > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<TrainingRecord, TrainingError> {
        TrainingRecord::from_json(json.as_bytes())
    }

    #[test]
    fn final_losses_are_read_from_either_place() {
        let newer = r#"{"Config": {"final_loss": 0.5, "avg_final_loss": 0.25}, "TrainingLoss": [2.0, 0.5]}"#;
        let older =
            r#"{"Config": {}, "AvgFinalLoss": 0.25, "FinalLoss": 0.5, "TrainingLoss": [2.0, 0.5]}"#;
        assert_eq!(read(newer).unwrap(), read(older).unwrap());
        assert_eq!(read(older).unwrap().final_loss, Some(0.5));
        assert_eq!(read(older).unwrap().training_loss, [2.0, 0.5]);
    }

    #[test]
    fn losses_that_are_no_numbers_are_gaps() {
        let python = r#"{"Config": {"model_name": "NaN \" Infinity", "final_loss": NaN, "n_layers": 2},
            "TrainingLoss": [2.0, NaN, Infinity, -Infinity, null, 0.5]}"#;
        let record = read(python).unwrap();
        assert_eq!(record.model_name.as_deref(), Some("NaN \" Infinity"));
        assert_eq!((record.final_loss, record.n_layers), (None, Some(2)));
        let losses = &record.training_loss;
        assert_eq!((losses[0], losses[5], losses.len()), (2.0, 0.5, 6));
        assert!(losses[1..5].iter().all(|loss| loss.is_nan()), "{losses:?}");
        assert!(read(r#"{"TrainingLoss": [NaNa]}"#).is_err());
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        let marked = read("\u{feff}{\"TrainingLoss\": [0.5]}").unwrap();
        assert_eq!(marked.training_loss, [0.5]);
    }

    #[test]
    fn bytes_that_are_not_json_are_refused_with_the_place() {
        assert_eq!(
            read("{\n\"Config\": }").unwrap_err().to_string(),
            "not JSON: expected value at line 2 column 11"
        );
        assert!(matches!(
            read("{\"Config\"").unwrap_err(),
            TrainingError::NotJson(_)
        ));
    }

    #[test]
    fn json_of_another_shape_is_refused_with_what_was_expected_and_found() {
        let expectation =
            "not a training record, which is {\"Config\": {…}, \"TrainingLoss\": […]}: ";
        assert_eq!(
            read(r#"{"Config": {"n_layers": "two"}, "TrainingLoss": []}"#)
                .unwrap_err()
                .to_string(),
            format!(
                "{expectation}invalid type: string \"two\", expected usize at line 1 column 29"
            )
        );
        assert!(
            read("7")
                .unwrap_err()
                .to_string()
                .contains("invalid type: integer `7`, expected an object")
        );
    }

    #[test]
    fn every_key_is_optional() {
        let empty = read("{}").unwrap();
        assert_eq!(empty.n_digits, None);
        assert_eq!(empty.operations(), None);
        assert!(empty.training_loss.is_empty());
        assert_eq!(
            read(r#"{"TrainingLoss": [0.5]}"#).unwrap().training_loss,
            [0.5]
        );
        let config = read(r#"{"Config": {"n_digits": 5}}"#).unwrap();
        assert_eq!(config.n_digits, Some(5));
    }

    #[test]
    fn shares_of_the_questions_tell_the_operations() {
        let of = |config: &str| {
            read(&format!("{{\"Config\": {config}, \"TrainingLoss\": []}}"))
                .unwrap()
                .operations()
        };
        assert_eq!(
            of(r#"{"perc_add": 34, "perc_sub": 66}"#),
            Some(Operations::Mix)
        );
        assert_eq!(
            of(r#"{"perc_add": 100, "perc_sub": 0, "perc_mult": 0}"#),
            Some(Operations::Add)
        );
        assert_eq!(of(r#"{"perc_sub": 100}"#), Some(Operations::Sub));
        assert_eq!(of(r#"{"perc_sub": 0}"#), Some(Operations::Add));
        assert_eq!(of("{}"), None);
        assert_eq!(of(r#"{"perc_add": 50, "perc_mult": 50}"#), None);
    }
}
