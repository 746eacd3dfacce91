//! How answers are read.

use circuitcheck::network::engine::Decode;
use clap::Args;

use super::named;

/// Decoding of commands that judge.
#[derive(Debug, Clone, Copy, Args)]
pub struct DecodeArg {
    /// How answers are read: teacher-forced or free-running
    #[arg(long, default_value = Decode::Forced.name(), value_parser = named(Decode::ALL, Decode::name))]
    pub decode: Decode,
}

/// Decoding of commands that show answers.
#[derive(Debug, Clone, Copy, Args)]
pub struct FreeArg {
    /// Let the model read the answer tokens it predicts, as a user of it would see them, not the
    /// true answer's
    #[arg(long)]
    free: bool,
}

impl FreeArg {
    pub fn decode(self) -> Decode {
        if self.free {
            Decode::Free
        } else {
            Decode::Forced
        }
    }
}
