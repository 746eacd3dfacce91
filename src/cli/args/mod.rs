//! Options that several commands share, and the values they stand for.

pub mod known_claims;
pub mod model;
pub mod models;
pub mod questions;
