//! The subject matter of claims: questions and their arithmetic, variables, nodes, tasks and the
//! dimensions of a network. Integers and names only: no files, no network, no floating point.

pub mod arithmetic;
pub mod causal;
pub mod edge;
pub mod node;
pub mod plain;
pub mod position;
pub mod shape;
pub mod site;
pub mod task;
pub(crate) mod text;
