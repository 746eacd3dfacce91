//! The extension module `circuitcheck._native`. Every function reads its arguments, calls the library,
//! and turns the result or the error into Python's. It decides nothing.

mod answers;
mod error;
mod experiment;
mod graph;
mod model;
mod run;
mod table;
mod work;

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command `circuitcheck` with these arguments, the first of which is the program; returns its
/// exit code.
#[pyfunction]
fn command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| circuitcheck::cli::run(arguments))
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    for (name, exception) in error::all(module.py()) {
        module.add(name, exception)?;
    }
    module.add_class::<model::Model>()?;
    module.add_class::<answers::Answers>()?;
    module.add_class::<run::Run>()?;
    module.add_class::<graph::Graph>()?;
    module.add_class::<table::Table>()?;
    module.add_function(wrap_pyfunction!(experiment::experiment, module)?)?;
    module.add_function(wrap_pyfunction!(experiment::evidence, module)?)?;
    module.add_function(wrap_pyfunction!(command, module)?)
}
