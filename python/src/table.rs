//! Tables of a report, handed over as Arrow, as Parquet, or as lists.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchIterator, StringArray,
};
use arrow_schema::{DataType, Field, Schema};
use circuitcheck::storage::parquet::{ParquetTable, Values};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyDict};

/// Columns of equal length, each with a description.
#[pyclass(frozen, module = "circuitcheck._native")]
pub struct Table(pub ParquetTable);

#[pymethods]
impl Table {
    /// The table as an Arrow C stream, the interface by which pandas, polars and pyarrow take tables.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface lets a producer give its own schema whatever is asked for.
        drop(requested_schema);
        let columns = self.0.columns.iter();
        let fields = columns.map(|column| {
            let described = [("description".to_owned(), column.says.to_owned())];
            let field = Field::new(column.name, kind(&column.values), true);
            field.with_metadata(HashMap::from(described))
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let arrays = self.0.columns.iter().map(|column| array(&column.values));
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays.collect())
            .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        let reader = RecordBatchIterator::new([Ok(batch)], schema);
        let stream = FFI_ArrowArrayStream::new(Box::new(reader));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }

    /// The columns as lists, by their names.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for column in &self.0.columns {
            match &column.values {
                Values::Text(values) => dict.set_item(column.name, values)?,
                Values::Integer(values) => dict.set_item(column.name, values)?,
                Values::Number(values) => dict.set_item(column.name, values)?,
                Values::Flag(values) => dict.set_item(column.name, values)?,
            }
        }
        Ok(dict)
    }

    /// The table as a Parquet file.
    fn to_parquet<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.0.to_parquet();
        let bytes = bytes.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// What each column holds, by its name.
    fn descriptions(&self) -> Vec<(&'static str, &'static str)> {
        let columns = self.0.columns.iter();
        columns.map(|column| (column.name, column.says)).collect()
    }
}

const fn kind(values: &Values) -> DataType {
    match values {
        Values::Text(_) => DataType::Utf8,
        Values::Integer(_) => DataType::Int64,
        Values::Number(_) => DataType::Float64,
        Values::Flag(_) => DataType::Boolean,
    }
}

fn array(values: &Values) -> ArrayRef {
    match values {
        Values::Text(values) => Arc::new(StringArray::from_iter(values)),
        Values::Integer(values) => Arc::new(Int64Array::from_iter(values.iter().copied())),
        Values::Number(values) => Arc::new(Float64Array::from_iter(values.iter().copied())),
        Values::Flag(values) => Arc::new(BooleanArray::from_iter(values.iter().copied())),
    }
}
