pub mod arithmetic;
pub mod causal;
pub mod claims;
pub mod node;
pub mod shape;
pub mod task;
