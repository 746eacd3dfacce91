//! What claims speak of: questions and their arithmetic, the variables in it, nodes, tasks and the
//! dimensions of a network. Integers and names only: no files, no network, no floating point.

pub mod arithmetic;
pub mod causal;
pub mod node;
pub mod position;
pub mod shape;
pub mod task;
pub(crate) mod text;
