//! What several test files need: the program, the repository's files, and tables read back.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use circuitcheck::domain::shape::Shape;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

/// The shape of a network that is run in no time: 2 digits, width 8.
pub const SMALL_SHAPE: Shape = Shape {
    n_digits: 2,
    n_layers: 1,
    n_heads: 2,
    d_model: 8,
    d_head: 4,
    d_mlp: 32,
};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program, run at the root of the repository.
pub fn program() -> Command {
    let mut command = Command::new(cargo_bin!("circuitcheck"));
    command.current_dir(root());
    command
}

/// The published files of claims and behaviours.
pub fn published_files() -> Vec<PathBuf> {
    let mut left = vec![root().join("tests/published")];
    let mut found = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).unwrap();
            left.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|kind| kind == "json") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The rows of a Parquet file.
pub fn rows(path: &Path) -> Vec<BTreeMap<String, Field>> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| row.unwrap().into_columns().into_iter().collect())
        .collect()
}
