//! Many models and many machines: steps, sweeps, and questions divided into shards.

pub mod shards;
pub mod steps;
pub mod sweep;
