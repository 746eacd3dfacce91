//! The network: a plain forward pass meant to be read, an engine that recomputes only what an
//! intervention can change, derivatives, and handmade networks whose claims are known in advance.

pub mod ablation;
pub mod engine;
pub mod gradient;
pub mod handmade;
pub mod logits;
pub mod reference;
