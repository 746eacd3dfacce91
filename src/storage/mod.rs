//! Disk access: files written atomically, locks, JSON, text in Markdown, columns of values as Parquet, and arrays as
//! numpy reads them.

mod files;
mod json;
pub mod lock;
mod markdown;
pub mod npz;
pub mod parquet;

pub use files::{MAX_RESULT_BYTES, OutputError, check_writable, read_result, write_files};
pub use json::{PlainText, pretty_json, read_json, read_stored};
pub use markdown::{markdown_code, markdown_text};
