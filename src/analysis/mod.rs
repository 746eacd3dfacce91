//! Everything else asked of a model: accuracy, descriptions made from its weights, properties,
//! graphs, circuits, hypotheses, and tests of the method itself.

pub mod accuracy;
pub mod circuit;
pub mod coverage;
pub mod effects;
pub mod evidence_map;
pub mod graph;
pub mod hypothesis;
pub mod opening;
pub mod property;
pub mod published;
pub mod represents;
pub mod selfcheck;
pub mod strict;
