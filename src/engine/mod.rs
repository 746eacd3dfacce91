//! The engine: runs a batch of questions once, keeps what later runs need, and recomputes only what
//! an intervention can change.

mod intervention;
mod matrix;

pub use intervention::{Intervention, Overwrite, Site, Source};
