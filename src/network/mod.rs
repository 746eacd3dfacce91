//! The network: a plain forward pass to be read, an engine that recomputes only what an intervention
//! can change, and networks written by hand whose claims are known beforehand.

pub mod ablation;
pub mod engine;
pub mod handmade;
pub mod logits;
pub mod reference;
