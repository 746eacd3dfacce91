//! Files and addresses, read and checked: a value of this room's types is valid.

pub mod claims;
pub mod claims_diff;
mod dialect;
pub mod hub;
pub mod model;
mod tag;
