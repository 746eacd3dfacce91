//! Disk access: files written atomically, locks, and columns of values as Parquet.

mod files;
mod json;
pub mod lock;
pub mod parquet;

pub use files::{OutputError, check_writable, write_files};
pub use json::{pretty_json, read_stored};
