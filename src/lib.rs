pub mod model;
pub mod shape;
