//! How answers are read.

use circuitcheck::network::engine::Decode;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// How the model reads its own answer.
#[derive(Debug, Clone, Copy, Args)]
pub struct DecodeArg {
    /// Which answer tokens the model reads: those of the true answer (teacher-forced) or those it
    /// predicts (free-running)
    #[arg(long, value_name = "HOW", default_value = spelled(Decode::Forced.name()), value_parser = decoding(Decode::ALL, Decode::name))]
    decode: Decode,
    /// The same as --decode free-running
    #[arg(long, hide = true, conflicts_with = "decode")]
    free: bool,
}

impl DecodeArg {
    pub fn decode(self) -> Decode {
        match self.free {
            true => Decode::Free,
            false => self.decode,
        }
    }
}

/// Reads a way of decoding by its name in full or as evidence has it.
pub fn decoding<T, const N: usize>(
    all: [T; N],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let values = all.map(|value| {
        let short = name(value);
        match spelled(short) {
            full if full == short => PossibleValue::new(full),
            full => PossibleValue::new(full).alias(short),
        }
    });
    PossibleValuesParser::new(values).map(move |given| {
        let mut all = all.into_iter();
        let found = all.find(|&value| [name(value), spelled(name(value))].contains(&&*given));
        found.expect("the parser admits these names only")
    })
}

/// The name in full of what evidence calls `forced` or `free`.
pub fn spelled(name: &'static str) -> &'static str {
    match name {
        "forced" => "teacher-forced",
        "free" => "free-running",
        other => other,
    }
}
