pub mod arithmetic;
pub mod causal;
pub mod claims;
pub mod engine;
pub mod model;
pub mod node;
pub mod shape;
pub mod task;
