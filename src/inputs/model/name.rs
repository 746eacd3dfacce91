//! The name a model is published under, which says how it was made.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::operations::Operations;

/// A model's name, `[wW_][insK_]OP_dN_lL_hH_tTK[_gf]_sSEED`, e.g. `ins1_mix_d6_l3_h4_t40K_s372001`.
///
/// Each name has one spelling: what [`FromStr`] accepts, [`Display`](fmt::Display) prints back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelName {
    /// `wW`: the residual stream's width, where it isn't the published 510.
    pub width: Option<usize>,
    /// `insK`: how it was started from a smaller accurate addition model. 1: only started from
    /// it; 2: its useful heads were also reset to it now and then; 3: as 2, with the MLPs. Higher
    /// modes exist, with nothing published about them.
    pub insert_mode: Option<u32>,
    /// `OP`: the operations trained.
    pub operations: Operations,
    /// `dN`: digits in each operand.
    pub digits: usize,
    /// `lL`: layers.
    pub layers: usize,
    /// `hH`: attention heads in each layer.
    pub heads: usize,
    /// `tTK`: training batches, in thousands.
    pub training_batches_k: u32,
    /// `gf`: whether it was trained with GrokFast.
    pub grokfast: bool,
    /// `sSEED`: the training seed.
    pub seed: u64,
}

/// Why a text isn't a model's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// The name ends before a part it must have.
    #[error("model name ends before its {0}")]
    Missing(&'static str),
    /// A part isn't the letter and plain decimal number its place calls for.
    #[error("model name has {found:?} where its {part} should be, like `{like}`")]
    Part {
        part: &'static str,
        like: &'static str,
        found: String,
    },
    /// The operation is none of the known ones.
    #[error("model name has {0:?} where its operation should be, one of add, sub, mix, mul, mas")]
    Operations(String),
    /// Something follows the seed.
    #[error("model name goes on after its seed, with {0:?}")]
    Trailing(String),
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(width) = self.width {
            write!(f, "w{width}_")?;
        }
        if let Some(mode) = self.insert_mode {
            write!(f, "ins{mode}_")?;
        }
        write!(
            f,
            "{}_d{}_l{}_h{}_t{}K{}_s{}",
            self.operations,
            self.digits,
            self.layers,
            self.heads,
            self.training_batches_k,
            if self.grokfast { "_gf" } else { "" },
            self.seed
        )
    }
}

impl FromStr for ModelName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut parts = text.split('_').peekable();
        let width = parts.next_if(|part| part.starts_with('w'));
        let insert_mode = parts.next_if(|part| part.starts_with("ins"));
        Ok(Self {
            width: width
                .map(|part| number(Some(part), "width", "w126", "w", ""))
                .transpose()?,
            insert_mode: insert_mode
                .map(|part| number(Some(part), "insert mode", "ins1", "ins", ""))
                .transpose()?,
            operations: parts
                .next()
                .filter(|part| !part.is_empty())
                .ok_or(NameError::Missing("operation"))?
                .parse()?,
            digits: number(parts.next(), "digits", "d5", "d", "")?,
            layers: number(parts.next(), "layers", "l2", "l", "")?,
            heads: number(parts.next(), "heads", "h3", "h", "")?,
            training_batches_k: number(parts.next(), "training batches", "t15K", "t", "K")?,
            grokfast: parts.next_if_eq(&"gf").is_some(),
            seed: number(parts.next(), "seed", "s372001", "s", "")?,
        })
        .and_then(|name| match parts.next() {
            None => Ok(name),
            Some(more) => Err(NameError::Trailing(more.to_owned())),
        })
    }
}

/// The number in `text` between `before` and `after`, in the one spelling that prints back.
fn number<N: FromStr + ToString>(
    text: Option<&str>,
    part: &'static str,
    like: &'static str,
    before: &str,
    after: &str,
) -> Result<N, NameError> {
    let text = text.ok_or(NameError::Missing(part))?;
    text.strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(after))
        .and_then(|digits| {
            let number: N = digits.parse().ok()?;
            (number.to_string() == digits).then_some(number)
        })
        .ok_or_else(|| NameError::Part {
            part,
            like,
            found: text.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &str) -> String {
        text.parse::<ModelName>().unwrap_err().to_string()
    }

    #[test]
    fn a_published_name_says_how_the_model_was_made() {
        let name: ModelName = "ins1_mix_d6_l3_h4_t40K_s372001".parse().unwrap();
        assert_eq!(
            name,
            ModelName {
                width: None,
                insert_mode: Some(1),
                operations: Operations::Mix,
                digits: 6,
                layers: 3,
                heads: 4,
                training_batches_k: 40,
                grokfast: false,
                seed: 372_001,
            }
        );
        let name: ModelName = "w126_add_d5_l2_h3_t15K_gf_s1".parse().unwrap();
        assert_eq!((name.width, name.grokfast), (Some(126), true));
    }

    #[test]
    fn a_name_that_stops_early_says_what_is_missing() {
        assert_eq!(refusal(""), "model name ends before its operation");
        assert_eq!(refusal("ins2"), "model name ends before its operation");
        assert_eq!(refusal("add_d5"), "model name ends before its layers");
        assert_eq!(
            refusal("add_d5_l2_h3_t5K_gf"),
            "model name ends before its seed"
        );
    }

    #[test]
    fn a_part_that_is_no_plain_number_is_shown() {
        assert_eq!(
            refusal("add_5_l2_h3_t5K_s1"),
            "model name has \"5\" where its digits should be, like `d5`"
        );
        for wrong in ["d", "d05", "d+5", "d5x", "d-1", "d99999999999999999999"] {
            assert_eq!(
                refusal(&format!("add_{wrong}_l2_h3_t5K_s1")),
                format!("model name has {wrong:?} where its digits should be, like `d5`")
            );
        }
        assert_eq!(
            refusal("add_d5_l2_h3_t5_s1"),
            "model name has \"t5\" where its training batches should be, like `t15K`"
        );
    }

    #[test]
    fn an_unknown_operation_is_shown_with_the_known_ones() {
        assert_eq!(
            refusal("div_d5_l2_h3_t5K_s1"),
            "model name has \"div\" where its operation should be, one of add, sub, mix, mul, mas"
        );
    }

    #[test]
    fn nothing_may_follow_the_seed() {
        assert_eq!(
            refusal("add_d5_l2_h3_t5K_s1_final"),
            "model name goes on after its seed, with \"final\""
        );
    }

    proptest! {
        #[test]
        fn names_round_trip(
            width in option::of(any::<usize>()),
            insert_mode in option::of(any::<u32>()),
            operations in prop::sample::select(Operations::ALL.to_vec()),
            digits: usize, layers: usize, heads: usize,
            training_batches_k: u32, grokfast: bool, seed: u64,
        ) {
            let name = ModelName {
                width, insert_mode, operations, digits, layers, heads,
                training_batches_k, grokfast, seed,
            };
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }

        #[test]
        fn whatever_parses_prints_as_it_was_written(
            text in "(w[0-9]{1,3}_)?(ins[0-9]_)?(add|sub|mix|mul|mas|x)_d[0-9]{1,2}_l[0-9]_h[0-9]_t[0-9]{1,2}K(_gf)?_s[0-9]{1,6}"
        ) {
            if let Ok(name) = text.parse::<ModelName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
