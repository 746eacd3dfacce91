//! Many models and many machines: sweeps, and questions asked by parts and put together.

pub mod shards;
pub mod steps;
pub mod sweep;
