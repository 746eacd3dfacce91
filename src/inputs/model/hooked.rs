//! Networks that TransformerLens holds in memory: what its configuration says of them, and their tensors
//! by the names that a `HookedTransformer` or a `TransformerBridge` gives them.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use thiserror::Error;

use super::array::Array;

/// A setting of a configuration, and what it may be.
type Setting = (&'static str, Accepted);

/// The values of a setting that a network here can have.
#[derive(Debug, Clone, Copy)]
enum Accepted {
    /// One of these texts; letter case does not count.
    Text(&'static [&'static str]),
    Flag(bool),
    /// Absent, or no larger than zero, which is how "none" is written.
    NoCap,
    Absent,
    /// This number.
    Number(f64),
    /// The square root of `d_head`, or −1, which stands for it.
    RootOfHead,
}

/// What a configuration may say. What it does not mention is as usual.
const SETTINGS: [Setting; 18] = [
    ("act_fn", Accepted::Text(&["relu"])),
    // Of folded layer norms (LNPre) weights and biases are in the layers after them, which is exact.
    ("normalization_type", Accepted::Text(&["LN", "LNPre"])),
    ("positional_embedding_type", Accepted::Text(&["standard"])),
    ("attention_dir", Accepted::Text(&["causal"])),
    ("eps", Accepted::Number(1e-5)),
    ("use_attn_scale", Accepted::Flag(true)),
    ("attn_scale", Accepted::RootOfHead),
    ("scale_attn_by_inverse_layer_idx", Accepted::Flag(false)),
    ("use_local_attn", Accepted::Flag(false)),
    ("attn_only", Accepted::Flag(false)),
    ("parallel_attn_mlp", Accepted::Flag(false)),
    ("gated_mlp", Accepted::Flag(false)),
    ("final_rms", Accepted::Flag(false)),
    ("use_qk_norm", Accepted::Flag(false)),
    ("use_normalization_before_and_after", Accepted::Flag(false)),
    ("n_key_value_heads", Accepted::Absent),
    ("attn_scores_soft_cap", Accepted::NoCap),
    ("output_logits_soft_cap", Accepted::NoCap),
];

/// Why a network of TransformerLens cannot be read.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum HookedError {
    /// It computes something that no network here does.
    #[error("cfg.{name} is {found}, but only {expected} is supported")]
    Setting {
        name: &'static str,
        found: Value,
        expected: String,
    },
    /// A bridge's tensors do not say how they are divided into heads.
    #[error(
        "the tensors are those of a TransformerBridge, and how many heads they have is not known; give the bridge itself, or cfg.n_heads"
    )]
    Heads,
    /// A tensor does not divide into heads.
    #[error("tensor `{name}` has shape {shape:?}, which {n_heads} heads do not divide")]
    Undivided {
        name: String,
        shape: Vec<usize>,
        n_heads: usize,
    },
}

/// The configuration of a network of TransformerLens: what can be written as JSON of its `cfg`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HookedConfig(serde_json::Map<String, Value>);

impl From<serde_json::Map<String, Value>> for HookedConfig {
    fn from(settings: serde_json::Map<String, Value>) -> Self {
        Self(settings)
    }
}

impl HookedConfig {
    /// Refuses what a network here does not compute.
    ///
    /// # Errors
    /// [`HookedError::Setting`] names the first such setting.
    pub fn check(&self) -> Result<(), HookedError> {
        for (name, accepted) in SETTINGS {
            if let Some(found) = self.0.get(name)
                && !self.accepts(accepted, found)
            {
                return Err(HookedError::Setting {
                    name,
                    found: found.clone(),
                    expected: accepted.to_string(),
                });
            }
        }
        Ok(())
    }

    fn accepts(&self, accepted: Accepted, found: &Value) -> bool {
        match accepted {
            Accepted::Text(texts) => {
                let found = found.as_str();
                found.is_some_and(|found| texts.iter().any(|text| text.eq_ignore_ascii_case(found)))
            }
            Accepted::Flag(flag) => found.is_null() || found.as_bool() == Some(flag),
            Accepted::NoCap => found.is_null() || found.as_f64().is_some_and(|cap| cap <= 0.0),
            Accepted::Absent => found.is_null() || self.count("n_heads") == found.as_u64(),
            Accepted::Number(number) => found.as_f64() == Some(number),
            Accepted::RootOfHead => {
                let is_root = |scale: f64| {
                    let head = self.count("d_head");
                    // The square root may have been taken in float32.
                    head.is_none_or(|head| (scale / (head as f64).sqrt() - 1.0).abs() < 1e-6)
                };
                found.is_null()
                    || found
                        .as_f64()
                        .is_some_and(|scale| scale == -1.0 || is_root(scale))
            }
        }
    }

    fn count(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.as_u64()
    }

    /// The tensors by the names and in the layout of a `HookedTransformer`'s state dict. A
    /// `TransformerBridge` has linear layers in their place, whose weights are transposed and not divided
    /// into heads.
    ///
    /// # Errors
    /// [`HookedError`] where a bridge's tensors cannot be divided.
    pub fn tensors(
        &self,
        arrays: BTreeMap<String, Array>,
    ) -> Result<BTreeMap<String, Array>, HookedError> {
        let heads = self.count("n_heads").map(|heads| heads as usize);
        let read = |(name, array): (String, Array)| {
            // How a bridge names the module that it wraps.
            let name = name.replace("._original_component", "");
            let Some((hooked, layout)) = bridged(&name) else {
                return Ok((name, array));
            };
            Ok((hooked, layout.apply(&name, array, heads)?))
        };
        arrays.into_iter().map(read).collect()
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(texts) => {
                let quoted: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
                f.write_str(&quoted.join(" or "))
            }
            Self::Flag(flag) => flag.fmt(f),
            Self::NoCap | Self::Absent => f.write_str("none"),
            Self::Number(number) => write!(f, "{number:e}"),
            Self::RootOfHead => f.write_str("the square root of d_head"),
        }
    }
}

/// How a bridge's tensor becomes a `HookedTransformer`'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relayout {
    Same,
    /// `[out, in]` to `[in, out]`.
    Transposed,
    /// `[heads × d_head, d_model]` to `[heads, d_model, d_head]`.
    IntoHeads,
    /// `[heads × d_head]` to `[heads, d_head]`.
    BiasIntoHeads,
    /// `[d_model, heads × d_head]` to `[heads, d_head, d_model]`.
    OutOfHeads,
}

/// Names of a bridge outside its layers, with those of a `HookedTransformer`.
const OUTER: [(&str, &str, Relayout); 6] = [
    ("embed.weight", "embed.W_E", Relayout::Same),
    ("pos_embed.weight", "pos_embed.W_pos", Relayout::Same),
    ("ln_final.weight", "ln_final.w", Relayout::Same),
    ("ln_final.bias", "ln_final.b", Relayout::Same),
    ("unembed.weight", "unembed.W_U", Relayout::Transposed),
    ("unembed.bias", "unembed.b_U", Relayout::Same),
];

/// Names of a bridge in a layer, after `blocks.i.`.
const IN_BLOCK: [(&str, &str, Relayout); 16] = [
    ("ln1.weight", "ln1.w", Relayout::Same),
    ("ln1.bias", "ln1.b", Relayout::Same),
    ("ln2.weight", "ln2.w", Relayout::Same),
    ("ln2.bias", "ln2.b", Relayout::Same),
    ("attn.q.weight", "attn.W_Q", Relayout::IntoHeads),
    ("attn.k.weight", "attn.W_K", Relayout::IntoHeads),
    ("attn.v.weight", "attn.W_V", Relayout::IntoHeads),
    ("attn.o.weight", "attn.W_O", Relayout::OutOfHeads),
    ("attn.q.bias", "attn.b_Q", Relayout::BiasIntoHeads),
    ("attn.k.bias", "attn.b_K", Relayout::BiasIntoHeads),
    ("attn.v.bias", "attn.b_V", Relayout::BiasIntoHeads),
    ("attn.o.bias", "attn.b_O", Relayout::Same),
    ("mlp.in.weight", "mlp.W_in", Relayout::Transposed),
    ("mlp.in.bias", "mlp.b_in", Relayout::Same),
    ("mlp.out.weight", "mlp.W_out", Relayout::Transposed),
    ("mlp.out.bias", "mlp.b_out", Relayout::Same),
];

/// The name that a `HookedTransformer` gives a bridge's tensor, and its layout.
fn bridged(name: &str) -> Option<(String, Relayout)> {
    if let Some((_, hooked, layout)) = OUTER.iter().find(|(bridge, ..)| *bridge == name) {
        return Some(((*hooked).to_owned(), *layout));
    }
    let (layer, part) = name.strip_prefix("blocks.")?.split_once('.')?;
    let (_, hooked, layout) = IN_BLOCK.iter().find(|(bridge, ..)| *bridge == part)?;
    Some((format!("blocks.{layer}.{hooked}"), *layout))
}

impl Relayout {
    fn apply(self, name: &str, array: Array, heads: Option<usize>) -> Result<Array, HookedError> {
        if self == Relayout::Same {
            return Ok(array);
        }
        let shape = array.shape().to_vec();
        let divided = |width: usize| {
            let heads = heads.ok_or(HookedError::Heads)?;
            let undivided = || HookedError::Undivided {
                name: name.to_owned(),
                shape: shape.clone(),
                n_heads: heads,
            };
            match heads {
                0 => Err(undivided()),
                _ if !width.is_multiple_of(heads) => Err(undivided()),
                _ => Ok((heads, width / heads)),
            }
        };
        // An array of another rank is left as it is: whoever reads the tensors names what is wrong.
        Ok(match (self, <[usize; 2]>::try_from(&shape[..])) {
            (Relayout::Transposed, Ok([rows, columns])) => {
                permuted(&array, [columns, rows, 1], |[column, row, _]| {
                    row * columns + column
                })
                .reshaped(vec![columns, rows])
            }
            (Relayout::IntoHeads, Ok([rows, columns])) => {
                let (heads, width) = divided(rows)?;
                permuted(&array, [heads, columns, width], |[head, column, i]| {
                    (head * width + i) * columns + column
                })
            }
            (Relayout::OutOfHeads, Ok([rows, columns])) => {
                let (heads, width) = divided(columns)?;
                permuted(&array, [heads, width, rows], |[head, i, row]| {
                    row * columns + head * width + i
                })
            }
            (Relayout::BiasIntoHeads, _) if shape.len() == 1 => {
                let (heads, width) = divided(shape[0])?;
                array.reshaped(vec![heads, width])
            }
            _ => array,
        })
    }
}

/// The array of this shape whose element at an index is that of `array` at the offset that `from` gives.
fn permuted(array: &Array, [a, b, c]: [usize; 3], from: impl Fn([usize; 3]) -> usize) -> Array {
    let mut data = Vec::with_capacity(a * b * c);
    for i in 0..a {
        for j in 0..b {
            data.extend((0..c).map(|k| array.data()[from([i, j, k])]));
        }
    }
    Array::new(vec![a, b, c], data).expect("as many elements as before")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::shape::Shape;
    use crate::inputs::model::Weights;

    fn config(settings: Value) -> HookedConfig {
        match settings {
            Value::Object(settings) => HookedConfig(settings),
            _ => panic!("settings are an object"),
        }
    }

    #[test]
    fn what_no_network_here_computes_is_refused_by_name() {
        let usual = json!({
            "act_fn": "relu", "normalization_type": "LNPre", "eps": 1e-5, "attn_scale": 3.0,
            "d_head": 9, "n_heads": 2, "attn_scores_soft_cap": -1.0, "use_attn_scale": true,
            "attn_only": false, "n_key_value_heads": null, "device": "cpu"
        });
        assert_eq!(config(usual.clone()).check(), Ok(()));
        for (name, value, expected) in [
            (
                "act_fn",
                json!("gelu"),
                r#"cfg.act_fn is "gelu", but only "relu" is supported"#,
            ),
            (
                "normalization_type",
                json!("RMSPre"),
                r#"cfg.normalization_type is "RMSPre", but only "LN" or "LNPre" is supported"#,
            ),
            (
                "normalization_type",
                Value::Null,
                r#"cfg.normalization_type is null, but only "LN" or "LNPre" is supported"#,
            ),
            (
                "eps",
                json!(1e-6),
                "cfg.eps is 1e-6, but only 1e-5 is supported",
            ),
            (
                "attn_scale",
                json!(1.0),
                "cfg.attn_scale is 1.0, but only the square root of d_head is supported",
            ),
            (
                "attn_only",
                json!(true),
                "cfg.attn_only is true, but only false is supported",
            ),
            (
                "n_key_value_heads",
                json!(1),
                "cfg.n_key_value_heads is 1, but only none is supported",
            ),
            (
                "output_logits_soft_cap",
                json!(30.0),
                "cfg.output_logits_soft_cap is 30.0, but only none is supported",
            ),
        ] {
            let mut settings = usual.clone();
            settings[name] = value;
            assert_eq!(config(settings).check().unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_bridges_tensors_are_those_of_a_hooked_transformer() {
        let shape = Shape {
            n_digits: 2,
            n_layers: 2,
            n_heads: 3,
            d_model: 4,
            d_head: 5,
            d_mlp: 6,
        };
        let weights = Weights::random(shape, 1);
        // Written out anew: element by element, from what linear layers do.
        let mut bridge = BTreeMap::new();
        for (name, array) in weights.iter() {
            let part = name.rsplit('.').next().unwrap();
            let in_layer = name.split_once("attn.").map(|(layer, _)| layer);
            let at = |i: &[usize]| {
                let offset = i
                    .iter()
                    .zip(array.shape())
                    .fold(0, |at, (i, dim)| at * dim + i);
                array.data()[offset]
            };
            let (name, dims, data): (String, Vec<usize>, Vec<f32>) = match part {
                "W_Q" | "W_K" | "W_V" => (
                    format!(
                        "{}attn.{}.weight",
                        in_layer.unwrap(),
                        part[2..].to_lowercase()
                    ),
                    vec![15, 4],
                    (0..60)
                        .map(|i| at(&[i / 4 / 5, i % 4, i / 4 % 5]))
                        .collect(),
                ),
                "b_Q" | "b_K" | "b_V" => (
                    format!(
                        "{}attn.{}.bias",
                        in_layer.unwrap(),
                        part[2..].to_lowercase()
                    ),
                    vec![15],
                    array.data().to_vec(),
                ),
                "W_O" => (
                    format!("{}attn._original_component.o.weight", in_layer.unwrap()),
                    vec![4, 15],
                    (0..60).map(|i| at(&[i % 15 / 5, i % 5, i / 15])).collect(),
                ),
                "b_O" => (
                    name.replace("b_O", "o.bias"),
                    vec![4],
                    array.data().to_vec(),
                ),
                "W_in" | "W_out" | "W_U" => {
                    let [rows, columns] = array.shape().try_into().unwrap();
                    let wide = rows * columns;
                    let data = (0..wide).map(|i| at(&[i % rows, i / rows])).collect();
                    let name = name.replace("W_U", "weight").replace("W_", "");
                    let name = match part {
                        "W_U" => name,
                        _ => name + ".weight",
                    };
                    (name, vec![columns, rows], data)
                }
                _ => {
                    let (stem, _) = name.rsplit_once('.').unwrap();
                    let name = match part {
                        "w" | "W_E" | "W_pos" => format!("{stem}.weight"),
                        "b" | "b_U" => format!("{stem}.bias"),
                        _ => name.replace("b_in", "in.bias").replace("b_out", "out.bias"),
                    };
                    (name, array.shape().to_vec(), array.data().to_vec())
                }
            };
            bridge.insert(name, Array::new(dims, data).unwrap());
        }
        let heads = config(json!({"n_heads": 3}));
        let read = heads.tensors(bridge.clone()).unwrap();
        assert_eq!(Weights::from_arrays(read).unwrap(), weights);
        let unknown = HookedConfig::default().tensors(bridge.clone()).unwrap_err();
        assert_eq!(unknown, HookedError::Heads);
        let wrong = config(json!({"n_heads": 4})).tensors(bridge).unwrap_err();
        assert!(
            wrong.to_string().ends_with("which 4 heads do not divide"),
            "{wrong}"
        );
        // A HookedTransformer's own tensors are left as they are.
        let own: BTreeMap<String, Array> = weights.clone().into();
        assert_eq!(heads.tensors(own.clone()).unwrap(), own);
    }
}
