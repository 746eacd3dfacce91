//! Many models and many machines: steps, sweeps, checkpoints of a training, and questions divided into
//! shards.

pub mod checkpoints;
pub mod shards;
pub mod steps;
pub mod sweep;
