//! Weight matrices, laid out for the matrix products that dominate the engine's time.
//!
//! Every value of a product is one sum, starting from what it is added to and running over the
//! inner dimension from first to last. A row's result therefore does not depend on the rows
//! computed with it, nor on where a product is split.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::lanes::{Kernel, LANES, Lanes, dispatch};

/// Columns that are multiplied together: a panel.
const PANEL: usize = 2 * LANES;

/// The tallest tile of any instruction set.
pub(super) const TALLEST: usize = 14;

/// One row of a panel, on its own cache lines.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct PanelRow([f32; PANEL]);

/// A weight matrix `[rows, columns]`: panels of [`PANEL`] columns, each stored row by row, the last
/// padded with zeros.
#[derive(Debug, Clone)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    panels: Vec<PanelRow>,
}

/// What a product is added to.
#[derive(Debug, Clone, Copy)]
pub enum Onto<'a> {
    /// Nothing: the result is overwritten.
    Nothing,
    /// The current values of the result.
    Result,
    /// The same row for every row of the result, which is overwritten.
    Bias(&'a [f32]),
    /// The current values of the result, plus the same row for each of its rows.
    ResultAnd(&'a [f32]),
}

impl Matrix {
    /// A matrix of `rows * columns` values, row-major.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn new(rows: usize, columns: usize, data: &[f32]) -> Self {
        assert_eq!(data.len(), rows * columns);
        let mut panels = Vec::with_capacity(columns.div_ceil(PANEL) * rows);
        for start in (0..columns).step_by(PANEL) {
            let width = PANEL.min(columns - start);
            panels.extend(data.chunks_exact(columns).map(|row| {
                let values = &row[start..][..width];
                PanelRow(values.first_chunk().copied().unwrap_or_else(|| {
                    let mut line = [0.0; PANEL];
                    line[..width].copy_from_slice(values);
                    line
                }))
            }));
        }
        Matrix {
            rows,
            columns,
            panels,
        }
    }

    pub const fn rows(&self) -> usize {
        self.rows
    }

    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// The transpose, `[columns, rows]`.
    pub fn transposed(&self) -> Self {
        let mut panels = vec![PanelRow([0.0; PANEL]); self.rows.div_ceil(PANEL) * self.columns];
        for (to, start) in panels
            .chunks_exact_mut(self.columns)
            .zip((0..self.rows).step_by(PANEL))
        {
            let width = PANEL.min(self.rows - start);
            for (column, line) in to.iter_mut().enumerate() {
                let from = &self.panels[column / PANEL * self.rows + start..][..width];
                for (to, from) in line.0.iter_mut().zip(from) {
                    *to = from.0[column % PANEL];
                }
            }
        }
        Matrix {
            rows: self.columns,
            columns: self.rows,
            panels,
        }
    }

    /// Adds the rows of the matrix to `sums`, `[columns]`, one after the other.
    pub fn add_column_sums(&self, sums: &mut [f32]) {
        assert_eq!(sums.len(), self.columns);
        let panels = self.panels.chunks_exact(self.rows);
        for (panel, sums) in panels.zip(sums.chunks_mut(PANEL)) {
            let mut wide = [0.0; PANEL];
            wide[..sums.len()].copy_from_slice(sums);
            for line in panel {
                for (sum, value) in wide.iter_mut().zip(line.0) {
                    *sum += value;
                }
            }
            sums.copy_from_slice(&wide[..sums.len()]);
        }
    }

    /// `lhs · self` added to `onto` for every row of `lhs` (`[m, rows]`), into `out` (`[m, columns]`).
    pub fn multiply(&self, lhs: &[f32], onto: Onto, out: &mut [f32]) {
        self.product(0..self.rows, lhs, onto, false, as_written(out));
    }

    /// As [`Matrix::multiply`], with negative values replaced by zero.
    pub fn multiply_relu(&self, lhs: &[f32], onto: Onto, out: &mut [f32]) {
        self.product(0..self.rows, lhs, onto, true, as_written(out));
    }

    /// `lhs · self + bias` for every row of `lhs`, `[m, columns]`.
    pub fn apply(&self, lhs: &[f32], bias: &[f32]) -> Vec<f32> {
        self.fresh(lhs, Onto::Bias(bias), false)
    }

    /// As [`Matrix::apply`], with negative values replaced by zero.
    pub fn apply_relu(&self, lhs: &[f32], bias: &[f32]) -> Vec<f32> {
        self.fresh(lhs, Onto::Bias(bias), true)
    }

    /// `lhs · self` for every row of `lhs`, `[m, columns]`.
    pub fn times(&self, lhs: &[f32]) -> Vec<f32> {
        self.fresh(lhs, Onto::Nothing, false)
    }

    /// A product in memory of its own, which is not cleared before.
    fn fresh(&self, lhs: &[f32], onto: Onto, relu: bool) -> Vec<f32> {
        assert!(matches!(onto, Onto::Nothing | Onto::Bias(_)));
        let count = lhs.len() / self.rows * self.columns;
        let mut out = Vec::with_capacity(count);
        let values = &mut out.spare_capacity_mut()[..count];
        self.product(0..self.rows, lhs, onto, relu, values);
        // SAFETY: onto nothing or a bias, the product has written every value, and read none.
        unsafe { out.set_len(count) };
        out
    }

    /// Adds the product of `lhs` (`[m, rows.len()]`) and some rows of the matrix to `out`.
    pub fn add_rows(&self, rows: Range<usize>, lhs: &[f32], out: &mut [f32]) {
        self.product(rows, lhs, Onto::Result, false, as_written(out));
    }

    /// Adds the product of some columns of `lhs` (`[rows, width]`), transposed, and the matrix to `out`
    /// (`[columns.len(), columns]`).
    pub fn add_transposed(
        &self,
        lhs: &[f32],
        width: usize,
        columns: Range<usize>,
        out: &mut [f32],
    ) {
        assert_eq!(lhs.len(), self.rows * width);
        assert!(columns.end <= width);
        assert_eq!(out.len(), columns.len() * self.columns);
        if lhs.is_empty() || out.is_empty() {
            return;
        }
        dispatch(Product {
            matrix: self,
            rows: 0..self.rows,
            lhs: Left::Columns(&lhs[columns.start..], width),
            height: columns.len(),
            onto: Onto::Result,
            relu: false,
            out: as_written(out),
        });
    }

    /// Writes every value of `out`; reads them only if they are part of what the product is added to.
    fn product(
        &self,
        rows: Range<usize>,
        lhs: &[f32],
        onto: Onto,
        relu: bool,
        out: &mut [MaybeUninit<f32>],
    ) {
        assert!(rows.end <= self.rows);
        if rows.is_empty() || lhs.is_empty() {
            // Nothing to multiply. No caller asks for a bias alone.
            assert!(out.is_empty() || matches!(onto, Onto::Result));
            return;
        }
        assert_eq!(lhs.len() * self.columns, out.len() * rows.len());
        if let Onto::Bias(row) | Onto::ResultAnd(row) = onto {
            assert_eq!(row.len(), self.columns);
        }
        dispatch(Product {
            matrix: self,
            height: lhs.len() / rows.len(),
            rows,
            lhs: Left::Rows(lhs),
            onto,
            relu,
            out,
        });
    }
}

/// Values as memory that is written to.
fn as_written(values: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: the layout is the same, and a product writes nothing but numbers.
    unsafe { &mut *(std::ptr::from_mut(values) as *mut [MaybeUninit<f32>]) }
}

/// The left side of a product.
#[derive(Clone, Copy)]
enum Left<'a> {
    /// Row by row.
    Rows(&'a [f32]),
    /// Transposed: the values of one step of the inner dimension after the other, as far apart as said.
    Columns(&'a [f32], usize),
}

/// The left side of a tile.
#[derive(Clone, Copy)]
enum TileLeft<'a> {
    /// Row by row.
    Rows(&'a [f32]),
    /// As [`Packing::pack_groups`] copies it.
    Groups(&'a [[f32; LANES]]),
    /// As [`Packing::pack_steps`] copies it.
    Steps(&'a [[f32; LANES]]),
}

struct Product<'a> {
    matrix: &'a Matrix,
    /// Of the matrix.
    rows: Range<usize>,
    lhs: Left<'a>,
    /// Rows of the left side.
    height: usize,
    onto: Onto<'a>,
    relu: bool,
    /// Initialised, if it is part of what the product is added to.
    out: &'a mut [MaybeUninit<f32>],
}

/// Values of the left side that are multiplied by every panel before the next ones are: 256 KiB, which
/// stay in the second-level cache beside a panel.
const BLOCK: usize = 65_536;

/// Panels from which on rows of the left side are packed into groups.
const GROUPED_FROM: usize = 3;

/// How many rows of a panel ahead are asked for: about as long as the third-level cache takes.
const AHEAD: usize = 40;

impl Kernel for Product<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let (inner, columns) = (self.rows.len(), self.matrix.columns);
        // Tiles of nearly the same height: a low one takes no less time for its panel.
        let height = self.height.div_ceil(self.height.div_ceil(L::TILE.0));
        let block = (BLOCK / (height * inner)).max(1) * height;
        let groups = self.height > 1 && columns.div_ceil(PANEL) >= GROUPED_FROM;
        let mut packing = Packing::new(inner, height);
        for (number, out) in self.out.chunks_mut(block * columns).enumerate() {
            let (first, rows) = (number * block, out.len() / columns);
            match self.lhs {
                Left::Rows(values) if groups => {
                    packing.pack_groups(&values[first * inner..][..rows * inner]);
                }
                Left::Rows(_) => {}
                Left::Columns(values, width) => packing.pack_steps(&values[first..], width, rows),
            }
            for (panel, start) in (0..columns).step_by(PANEL).enumerate() {
                let width = PANEL.min(columns - start);
                let panel = &self.matrix.panels[panel * self.matrix.rows..][self.rows.clone()];
                let mut bias = [0.0; PANEL];
                if let Onto::Bias(row) | Onto::ResultAnd(row) = self.onto {
                    bias[..width].copy_from_slice(&row[start..][..width]);
                }
                let tile = Tile {
                    panel,
                    bias,
                    onto_result: matches!(self.onto, Onto::Result | Onto::ResultAnd(_)),
                    relu: self.relu,
                };
                for (number, out) in out.chunks_mut(height * columns).enumerate() {
                    let next = out.as_ptr().cast::<f32>();
                    let next = next.wrapping_add(height * columns + start);
                    for row in 0..height {
                        let next = next.wrapping_add(row * columns);
                        lanes.prefetch(next);
                        lanes.prefetch(next.wrapping_add(LANES));
                    }
                    let (row, rows) = (first + number * height, out.len() / columns);
                    let lhs = match self.lhs {
                        Left::Rows(_) if groups => TileLeft::Groups(packing.groups(number, rows)),
                        Left::Rows(values) => {
                            TileLeft::Rows(&values[row * inner..][..rows * inner])
                        }
                        Left::Columns(..) => TileLeft::Steps(packing.steps(number)),
                    };
                    tile.multiply_at(lanes, rows, lhs, out, (start, width, columns));
                }
            }
        }
    }
}

/// A copy of the left side, tile by tile, in pieces of [`LANES`] values. Those that a row of a panel is
/// multiplied with lie at fixed distances, so that no instructions are spent on addresses.
struct Packing {
    inner: usize,
    height: usize,
    pieces: Vec<[f32; LANES]>,
}

impl Packing {
    const fn new(inner: usize, height: usize) -> Self {
        assert!(height <= LANES);
        Packing {
            inner,
            height,
            pieces: Vec::new(),
        }
    }

    /// Copies rows: of each tile [`LANES`] values of every row, then the next ones, the last ones filled up
    /// with zeros.
    #[inline(always)]
    fn pack_groups(&mut self, rows: &[f32]) {
        let Self { inner, height, .. } = *self;
        self.pieces.clear();
        (self.pieces).reserve(rows.len() / inner * inner.div_ceil(LANES));
        for tile in rows.chunks(height * inner) {
            for start in (0..inner).step_by(LANES) {
                let rows = tile.chunks_exact(inner);
                self.pieces.extend(rows.map(|row| piece(&row[start..])));
            }
        }
    }

    /// The pieces of a tile of `rows` rows.
    fn groups(&self, number: usize, rows: usize) -> &[[f32; LANES]] {
        let of_row = self.inner.div_ceil(LANES);
        &self.pieces[number * self.height * of_row..][..rows * of_row]
    }

    /// Copies the first `rows` of columns that are `width` apart: of each tile a piece of one column after
    /// the other, of which the first values are the tile's.
    #[inline(always)]
    fn pack_steps(&mut self, columns: &[f32], width: usize, rows: usize) {
        self.pieces.clear();
        (self.pieces).reserve(rows.div_ceil(self.height) * self.inner);
        for start in (0..rows).step_by(self.height) {
            let columns = columns[start..].chunks(width);
            (self.pieces).extend(columns.take(self.inner).map(piece));
        }
    }

    /// The pieces of a tile, one for each step.
    fn steps(&self, number: usize) -> &[[f32; LANES]] {
        &self.pieces[number * self.inner..][..self.inner]
    }
}

/// The first values, filled up with zeros.
#[inline(always)]
fn piece(values: &[f32]) -> [f32; LANES] {
    values.first_chunk().copied().unwrap_or_else(|| {
        let mut piece = [0.0; LANES];
        piece[..values.len()].copy_from_slice(values);
        piece
    })
}

/// Copies a row of less than a panel, as two vectors that may overlap: a copy of unknown length is a call.
#[inline(always)]
fn copy_narrow(from: &[MaybeUninit<f32>], to: &mut [MaybeUninit<f32>]) {
    match (from.first_chunk::<LANES>(), from.last_chunk::<LANES>()) {
        (Some(first), Some(last)) if from.len() <= 2 * LANES && from.len() == to.len() => {
            let end = to.len() - LANES;
            to[..LANES].copy_from_slice(first);
            to[end..].copy_from_slice(last);
        }
        _ => to.copy_from_slice(from),
    }
}

/// A panel and the operation on its columns.
struct Tile<'a> {
    panel: &'a [PanelRow],
    bias: [f32; PANEL],
    onto_result: bool,
    relu: bool,
}

impl Tile<'_> {
    /// The product of at most a tile's height of rows, at `width` columns of `out` from `start` on, each
    /// row of which has `columns`.
    #[inline(always)]
    fn multiply_at<L: Lanes>(
        &self,
        lanes: L,
        height: usize,
        lhs: TileLeft,
        out: &mut [MaybeUninit<f32>],
        (start, width, columns): (usize, usize, usize),
    ) {
        if width == PANEL {
            return self.multiply(lanes, height, lhs, &mut out[start..], columns);
        }
        // If the result is narrower than a panel, the panel is computed in a wider buffer.
        let mut wide = [MaybeUninit::new(0.0); TALLEST * PANEL];
        if self.onto_result {
            for (row, wide) in (out.chunks_exact(columns)).zip(wide.chunks_exact_mut(PANEL)) {
                copy_narrow(&row[start..][..width], &mut wide[..width]);
            }
        }
        self.multiply(lanes, height, lhs, &mut wide, PANEL);
        for (row, wide) in (out.chunks_exact_mut(columns)).zip(wide.chunks_exact(PANEL)) {
            copy_narrow(&wide[..width], &mut row[start..][..width]);
        }
    }

    #[inline(always)]
    fn multiply<L: Lanes>(
        &self,
        lanes: L,
        height: usize,
        lhs: TileLeft,
        out: &mut [MaybeUninit<f32>],
        stride: usize,
    ) {
        if L::TILE.1 * LANES == PANEL {
            self.of_height::<L, 2>(lanes, height, lhs, out, stride, 0);
        } else {
            for column in (0..PANEL).step_by(LANES) {
                self.of_height::<L, 1>(lanes, height, lhs, out, stride, column);
            }
        }
    }

    #[inline(always)]
    fn of_height<L: Lanes, const W: usize>(
        &self,
        lanes: L,
        height: usize,
        lhs: TileLeft,
        out: &mut [MaybeUninit<f32>],
        stride: usize,
        column: usize,
    ) {
        macro_rules! of_height {
            ($($height:literal)*) => {
                match height {
                    $($height if $height <= L::TILE.0 => {
                        self.of::<L, $height, W>(lanes, lhs, out, stride, column);
                    })*
                    _ => unreachable!("no tile is higher than that of its instructions"),
                }
            };
        }
        of_height!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }

    #[inline(always)]
    fn of<L: Lanes, const H: usize, const W: usize>(
        &self,
        lanes: L,
        lhs: TileLeft,
        out: &mut [MaybeUninit<f32>],
        stride: usize,
        column: usize,
    ) {
        let (bias, _) = self.bias[column..].as_chunks::<LANES>();
        let mut sums = [[lanes.splat(0.0); W]; H];
        for (row, sums) in sums.iter_mut().enumerate() {
            for (sum, bias) in sums.iter_mut().zip(bias) {
                *sum = lanes.load(bias);
            }
            if self.onto_result {
                let (old, _) = out[row * stride + column..].as_chunks::<LANES>();
                for (sum, old) in sums.iter_mut().zip(old) {
                    // SAFETY: what a product is added to is initialised.
                    let old = unsafe { &*std::ptr::from_ref(old).cast::<[f32; LANES]>() };
                    *sum = lanes.add(lanes.load(old), *sum);
                }
            }
        }
        let sums = match lhs {
            TileLeft::Rows(rows) => self.add_rows(lanes, rows, column, sums),
            TileLeft::Groups(groups) => self.add_groups(lanes, groups, column, sums),
            TileLeft::Steps(steps) => self.add_steps(lanes, steps, column, sums),
        };
        let zero = lanes.splat(0.0);
        for (row, sums) in sums.iter().enumerate() {
            let (new, _) = out[row * stride + column..].as_chunks_mut::<LANES>();
            for (new, &sum) in new.iter_mut().zip(sums) {
                let value = if self.relu { lanes.max(zero, sum) } else { sum };
                let mut values = [0.0; LANES];
                lanes.store(&mut values, value);
                *new = values.map(MaybeUninit::new);
            }
        }
    }

    /// Adds the product with the left side in groups. Sums are given and returned by value, so that they
    /// stay in registers.
    #[inline(always)]
    fn add_groups<L: Lanes, const H: usize, const W: usize>(
        &self,
        lanes: L,
        groups: &[[f32; LANES]],
        column: usize,
        mut sums: [[L::V; W]; H],
    ) -> [[L::V; W]; H] {
        let (groups, _) = groups.as_chunks::<H>();
        for (panel, group) in self.panel.chunks(LANES).zip(groups) {
            for (k, line) in (0..LANES).zip(panel) {
                let columns = self.columns::<L, W>(lanes, line, column);
                sums = add_line(lanes, sums, columns, |row| group[row][k]);
            }
        }
        sums
    }

    /// Adds the product with the left side row by row.
    #[inline(always)]
    fn add_rows<L: Lanes, const H: usize, const W: usize>(
        &self,
        lanes: L,
        rows: &[f32],
        column: usize,
        mut sums: [[L::V; W]; H],
    ) -> [[L::V; W]; H] {
        let inner = self.panel.len();
        assert_eq!(rows.len(), H * inner);
        for (k, line) in self.panel.iter().enumerate() {
            let columns = self.columns::<L, W>(lanes, line, column);
            let inner = lanes.again(inner);
            sums = add_line(lanes, sums, columns, |row| {
                // SAFETY: row < H and k < inner, and there are H * inner values, as asserted above.
                unsafe { *rows.get_unchecked(row * inner + k) }
            });
        }
        sums
    }

    /// Adds the product with the left side in steps.
    #[inline(always)]
    fn add_steps<L: Lanes, const H: usize, const W: usize>(
        &self,
        lanes: L,
        steps: &[[f32; LANES]],
        column: usize,
        mut sums: [[L::V; W]; H],
    ) -> [[L::V; W]; H] {
        for (line, step) in self.panel.iter().zip(steps) {
            let columns = self.columns::<L, W>(lanes, line, column);
            sums = add_line(lanes, sums, columns, |row| step[row]);
        }
        sums
    }

    /// A row of the panel from a column on, and a later one asked for.
    #[inline(always)]
    fn columns<L: Lanes, const W: usize>(
        &self,
        lanes: L,
        line: &PanelRow,
        column: usize,
    ) -> [L::V; W] {
        let later = std::ptr::from_ref(line).wrapping_add(AHEAD).cast::<f32>();
        let (line, _) = line.0[column..].as_chunks::<LANES>();
        let mut columns = [lanes.splat(0.0); W];
        for (number, (wide, values)) in columns.iter_mut().zip(line).enumerate() {
            *wide = lanes.load(values);
            lanes.prefetch(later.wrapping_add(column + number * LANES));
        }
        columns
    }
}

/// Adds the product of each row's value and one row of a panel.
#[inline(always)]
fn add_line<L: Lanes, const H: usize, const W: usize>(
    lanes: L,
    mut sums: [[L::V; W]; H],
    columns: [L::V; W],
    value: impl Fn(usize) -> f32,
) -> [[L::V; W]; H] {
    for (row, sums) in sums.iter_mut().enumerate() {
        let value = lanes.splat(value(row));
        for (sum, &column) in sums.iter_mut().zip(&columns) {
            *sum = lanes.mul_add(value, column, *sum);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::super::lanes;
    use super::*;

    /// Values without a pattern that could hide in a sum.
    fn values(count: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 7919 + 13) % 1009) as f32 / 500.0 - 1.0)
            .collect()
    }

    /// Heights and widths just below and above those of tiles and panels.
    const SHAPES: [(usize, usize, usize); 8] = [
        (1, 1, 1),
        (5, 7, 31),
        (14, 126, 32),
        (15, 42, 33),
        (31, 504, 126),
        (29, 3, 64),
        (2, 17, 97),
        (100, 400, 130),
    ];

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn a_product_is_the_sum_of_products_on_every_instruction_set() {
        for (m, inner, columns) in SHAPES {
            let (lhs, rhs, bias) = (values(m * inner), values(inner * columns), values(columns));
            let matrix = Matrix::new(inner, columns, &rhs);
            let before = values(m * columns);
            let results: Vec<Vec<f32>> = (lanes::all().into_iter())
                .map(|instructions| {
                    let mut out = before.clone();
                    let product = Product {
                        matrix: &matrix,
                        rows: 0..inner,
                        lhs: Left::Rows(&lhs),
                        height: m,
                        onto: Onto::ResultAnd(&bias),
                        relu: true,
                        out: as_written(&mut out),
                    };
                    lanes::run_on(instructions, product);
                    out
                })
                .collect();
            for (set, result) in results.iter().enumerate() {
                for (i, &found) in result.iter().enumerate() {
                    let (row, column) = (i / columns, i % columns);
                    let product = |k: usize| {
                        f64::from(lhs[row * inner + k]) * f64::from(rhs[k * columns + column])
                    };
                    let sum = (0..inner).map(product).sum::<f64>()
                        + f64::from(before[i])
                        + f64::from(bias[column]);
                    let off = (f64::from(found) - sum.max(0.0)).abs();
                    assert!(off < 1e-4, "set {set}, {m}x{inner}x{columns}: off by {off}");
                }
            }
            if let [_, avx2, avx512] = results.as_slice() {
                assert_eq!(bits(avx2), bits(avx512), "{m}x{inner}x{columns}");
            }
        }
    }

    #[test]
    fn a_product_in_memory_of_its_own_is_that_onto_zeros() {
        for (m, inner, columns) in SHAPES {
            let (lhs, bias) = (values(m * inner), values(columns));
            let matrix = Matrix::new(inner, columns, &values(inner * columns));
            let mut expected = vec![0.0; m * columns];
            matrix.multiply(&lhs, Onto::Result, &mut expected);
            assert_eq!(bits(&matrix.times(&lhs)), bits(&expected));
            let mut expected = vec![f32::NAN; m * columns];
            matrix.multiply_relu(&lhs, Onto::Bias(&bias), &mut expected);
            assert_eq!(bits(&matrix.apply_relu(&lhs, &bias)), bits(&expected));
        }
    }

    #[test]
    fn a_row_comes_out_the_same_alone_and_among_others() {
        for (m, inner, columns) in SHAPES {
            let (lhs, bias) = (values(m * inner), values(columns));
            let matrix = Matrix::new(inner, columns, &values(inner * columns));
            let together = matrix.apply(&lhs, &bias);
            let alone = lhs
                .chunks_exact(inner)
                .flat_map(|row| matrix.apply(row, &bias));
            assert_eq!(bits(&together), bits(&alone.collect::<Vec<f32>>()));
        }
    }

    #[test]
    fn a_transpose_multiplies_as_the_matrix_turned_by_hand() {
        for (m, rows, columns) in SHAPES {
            let (lhs, data) = (values(m * columns), values(rows * columns));
            let turned: Vec<f32> = (0..columns * rows)
                .map(|i| data[i % rows * columns + i / rows])
                .collect();
            let matrix = Matrix::new(rows, columns, &data);
            let by_hand = Matrix::new(columns, rows, &turned);
            let transposed = matrix.transposed();
            assert_eq!(bits(&transposed.times(&lhs)), bits(&by_hand.times(&lhs)));
            let mut sums = values(columns);
            matrix.add_column_sums(&mut sums);
            let ones = vec![1.0; rows];
            let mut expected = values(columns);
            matrix.multiply(&ones, Onto::Result, &mut expected);
            assert_eq!(bits(&sums), bits(&expected));
        }
    }

    #[test]
    fn a_transposed_left_side_multiplies_as_one_turned_by_hand() {
        for (m, inner, columns) in SHAPES {
            let (lhs, rhs) = (values(inner * m), values(inner * columns));
            let matrix = Matrix::new(inner, columns, &rhs);
            let turned: Vec<f32> = (0..m * inner)
                .map(|i| lhs[i % inner * m + i / inner])
                .collect();
            let mut expected = values(m * columns);
            let mut found = expected.clone();
            matrix.multiply(&turned, Onto::Result, &mut expected);
            let middle = m / 2;
            let (upper, lower) = found.split_at_mut(middle * columns);
            matrix.add_transposed(&lhs, m, 0..middle, upper);
            matrix.add_transposed(&lhs, m, middle..m, lower);
            assert_eq!(bits(&found), bits(&expected), "{m}x{inner}x{columns}");
        }
    }

    #[test]
    fn a_product_cut_in_two_is_the_same() {
        for (m, inner, columns) in SHAPES {
            let lhs = values(m * inner);
            let matrix = Matrix::new(inner, columns, &values(inner * columns));
            let mut whole = values(m * columns);
            let mut cut = whole.clone();
            matrix.multiply(&lhs, Onto::Result, &mut whole);
            let middle = inner / 2;
            for part in [0..middle, middle..inner] {
                let lhs: Vec<f32> = (lhs.chunks_exact(inner))
                    .flat_map(|row| &row[part.clone()])
                    .copied()
                    .collect();
                matrix.add_rows(part, &lhs, &mut cut);
            }
            assert_eq!(bits(&cut), bits(&whole), "{m}x{inner}x{columns}");
        }
    }
}
