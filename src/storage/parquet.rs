//! Tables of typed, documented columns, and their Parquet files.

use std::fmt::Write;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

/// Rows per row group.
const GROUP_ROWS: usize = 1 << 18;

/// The values of a column; any may be absent.
#[derive(Debug, Clone)]
pub enum Values {
    /// Text, as UTF-8.
    Text(Vec<Option<String>>),
    /// 64-bit integers.
    Integer(Vec<Option<i64>>),
    /// 64-bit floats.
    Number(Vec<Option<f64>>),
    /// Yes or no.
    Flag(Vec<Option<bool>>),
}

#[derive(Debug, Clone)]
pub struct ParquetColumn {
    pub name: &'static str,
    /// A one-sentence description.
    pub says: &'static str,
    pub values: Values,
}

/// A table: columns of equal length.
#[derive(Debug, Clone)]
pub struct ParquetTable {
    pub file: &'static str,
    pub says: &'static str,
    pub columns: Vec<ParquetColumn>,
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Values::Text(values) => values.len(),
            Values::Integer(values) => values.len(),
            Values::Number(values) => values.len(),
            Values::Flag(values) => values.len(),
        }
    }

    /// The name of the type, for documentation.
    pub const fn kind(&self) -> &'static str {
        match self {
            Values::Text(_) => "text",
            Values::Integer(_) => "int64",
            Values::Number(_) => "double",
            Values::Flag(_) => "boolean",
        }
    }

    const fn physical(&self) -> Physical {
        match self {
            Values::Text(_) => Physical::BYTE_ARRAY,
            Values::Integer(_) => Physical::INT64,
            Values::Number(_) => Physical::DOUBLE,
            Values::Flag(_) => Physical::BOOLEAN,
        }
    }
}

/// The present values, and for every row whether its value is present (Parquet's definition level).
fn split<T, U>(values: &[Option<T>], of: impl Fn(&T) -> U) -> (Vec<U>, Vec<i16>) {
    let levels = values.iter().map(|value| i16::from(value.is_some()));
    let present = values.iter().flatten().map(of);
    (present.collect(), levels.collect())
}

impl ParquetTable {
    /// The table as a Parquet file. The description of each column is in the file's metadata, under
    /// `column.` and its name. The same table gives the same bytes.
    ///
    /// # Errors
    /// [`ParquetError`], which does not occur for columns of equal length.
    pub fn to_parquet(&self) -> Result<Vec<u8>, ParquetError> {
        let fields = self.columns.iter().map(|column| {
            let logical = matches!(column.values, Values::Text(_)).then_some(LogicalType::String);
            let field = Type::primitive_type_builder(column.name, column.values.physical())
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .build()?;
            Ok(Arc::new(field))
        });
        let fields = fields.collect::<Result<Vec<_>, ParquetError>>()?;
        let schema = Type::group_type_builder("table")
            .with_fields(fields)
            .build()?;
        let told = |key: String, says: &str| KeyValue::new(key, says.to_owned());
        let says = self.columns.iter();
        let says = says.map(|column| told(format!("column.{}", column.name), column.says));
        let properties = WriterProperties::builder()
            .set_created_by(format!("circuitcheck {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(
                says.chain([told("table".into(), self.says)]).collect(),
            ));
        let mut file = Vec::new();
        let mut writer =
            SerializedFileWriter::new(&mut file, Arc::new(schema), Arc::new(properties.build()))?;
        let rows = self.columns.first().map_or(0, |column| column.values.len());
        for start in (0..rows.max(1)).step_by(GROUP_ROWS) {
            let rows = start..(start + GROUP_ROWS).min(rows);
            let mut group = writer.next_row_group()?;
            for column in &self.columns {
                let mut out = group.next_column()?.expect("a writer for every column");
                match &column.values {
                    Values::Text(values) => {
                        let (values, levels) =
                            split(&values[rows.clone()], |text| ByteArray::from(text.as_str()));
                        out.typed::<ByteArrayType>()
                            .write_batch(&values, Some(&levels), None)?;
                    }
                    Values::Integer(values) => {
                        let (values, levels) = split(&values[rows.clone()], |value| *value);
                        out.typed::<Int64Type>()
                            .write_batch(&values, Some(&levels), None)?;
                    }
                    Values::Number(values) => {
                        let (values, levels) = split(&values[rows.clone()], |value| *value);
                        out.typed::<DoubleType>()
                            .write_batch(&values, Some(&levels), None)?;
                    }
                    Values::Flag(values) => {
                        let (values, levels) = split(&values[rows.clone()], |value| *value);
                        out.typed::<BoolType>()
                            .write_batch(&values, Some(&levels), None)?;
                    }
                }
                out.close()?;
            }
            group.close()?;
        }
        writer.close()?;
        Ok(file)
    }
}

/// The description of tables and their columns, as Markdown.
pub fn columns_markdown(tables: &[ParquetTable]) -> String {
    let mut page = String::new();
    for table in tables {
        write!(
            page,
            "\n### {}\n\n{}\n\n| column | type | holds |\n|---|---|---|\n",
            table.file, table.says
        )
        .expect("a String takes any text");
        for column in &table.columns {
            writeln!(
                page,
                "| {} | {} | {} |",
                column.name,
                column.values.kind(),
                column.says
            )
            .expect("a String takes any text");
        }
    }
    page
}

/// An integer as stored in a table; absent if it is too large.
pub fn whole(number: impl TryInto<i64>) -> Option<i64> {
    number.try_into().ok()
}

/// Builds the columns of a table from its rows.
pub struct Columns<'r, R> {
    rows: &'r [R],
    pub made: Vec<ParquetColumn>,
}

impl<'r, R> Columns<'r, R> {
    pub const fn of(rows: &'r [R]) -> Self {
        let made = Vec::new();
        Self { rows, made }
    }

    pub fn text<V>(self, name: &'static str, says: &'static str, of: impl Fn(&R) -> V) -> Self
    where
        V: Into<Option<String>>,
    {
        self.column(name, says, of, Values::Text)
    }

    pub fn integer<V>(self, name: &'static str, says: &'static str, of: impl Fn(&R) -> V) -> Self
    where
        V: Into<Option<i64>>,
    {
        self.column(name, says, of, Values::Integer)
    }

    pub fn number<V>(self, name: &'static str, says: &'static str, of: impl Fn(&R) -> V) -> Self
    where
        V: Into<Option<f64>>,
    {
        self.column(name, says, of, Values::Number)
    }

    pub fn flag<V>(self, name: &'static str, says: &'static str, of: impl Fn(&R) -> V) -> Self
    where
        V: Into<Option<bool>>,
    {
        self.column(name, says, of, Values::Flag)
    }

    fn column<V: Into<Option<T>>, T>(
        mut self,
        name: &'static str,
        says: &'static str,
        of: impl Fn(&R) -> V,
        kind: fn(Vec<Option<T>>) -> Values,
    ) -> Self {
        let values = kind(self.rows.iter().map(|row| of(row).into()).collect());
        self.made.push(ParquetColumn { name, says, values });
        self
    }
}
