//! Row-major matrices: the product the engine spends its time in, and the small kernels around it.

use gemm::Parallelism;

/// A weight matrix `[rows, columns]`, row-major.
#[derive(Debug, Clone)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    data: Vec<f32>,
}

impl Matrix {
    /// A matrix of `rows * columns` values.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn new(rows: usize, columns: usize, data: Vec<f32>) -> Self {
        assert_eq!(data.len(), rows * columns);
        Matrix {
            rows,
            columns,
            data,
        }
    }

    /// One row, `[columns]`.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.columns..][..self.columns]
    }

    /// `lhs · self + bias` for every row of `lhs` (`[m, rows]`); the result is `[m, columns]`.
    pub fn apply(&self, lhs: &[f32], bias: &[f32]) -> Vec<f32> {
        let m = lhs.len() / self.rows;
        assert_eq!(bias.len(), self.columns);
        let mut out = Vec::with_capacity(m * self.columns);
        for _ in 0..m {
            out.extend_from_slice(bias);
        }
        self.accumulate(lhs, &mut out);
        out
    }

    /// `out += lhs · self`, with `lhs` `[m, rows]` and `out` `[m, columns]`, on one thread.
    pub fn accumulate(&self, lhs: &[f32], out: &mut [f32]) {
        let m = lhs.len() / self.rows;
        assert_eq!(lhs.len(), m * self.rows);
        assert_eq!(out.len(), m * self.columns);
        if m == 0 {
            return;
        }
        // A product with one row takes another path, which adds in another order. As one of two it
        // comes out as it does among many, so a result does not hang on what it was batched with.
        if m == 1 {
            let mut twice = out.repeat(2);
            self.accumulate(&lhs.repeat(2), &mut twice);
            out.copy_from_slice(&twice[..self.columns]);
            return;
        }
        // SAFETY: the three lengths are those of the row-major matrices described by the strides,
        // as asserted above and in `new`; `out` is borrowed uniquely.
        unsafe {
            gemm::gemm(
                m,
                self.columns,
                self.rows,
                out.as_mut_ptr(),
                1,
                self.columns as isize,
                true,
                lhs.as_ptr(),
                1,
                self.rows as isize,
                self.data.as_ptr(),
                1,
                self.columns as isize,
                1.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    }
}

/// Lanes of the running sums in [`dot`]: one 256-bit register of `f32`.
const LANES: usize = 8;

/// The inner product of two rows.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

/// `out += scale * row`.
pub fn add_scaled(out: &mut [f32], scale: f32, row: &[f32]) {
    for (o, x) in out.iter_mut().zip(row) {
        *o += scale * x;
    }
}

/// Turns scores into weights that sum to one.
pub fn softmax(scores: &mut [f32]) {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - highest).exp();
        total += *score;
    }
    for score in scores {
        *score /= total;
    }
}

/// LayerNorm's epsilon in the published models.
const LAYER_NORM_EPS: f32 = 1e-5;

/// Layer normalisation with weight and bias.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    /// `[d_model]`
    pub weight: Vec<f32>,
    /// `[d_model]`
    pub bias: Vec<f32>,
}

impl LayerNorm {
    /// Normalises every row of `x` (`[m, d_model]`) into a new matrix of the same shape.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let width = self.weight.len();
        let mut out = Vec::with_capacity(x.len());
        for row in x.chunks_exact(width) {
            let mean = lane_sum(row, |v| v) / width as f32;
            let variance = lane_sum(row, |v| (v - mean) * (v - mean)) / width as f32;
            let scale = 1.0 / (variance + LAYER_NORM_EPS).sqrt();
            out.extend(
                row.iter()
                    .zip(self.weight.iter().zip(&self.bias))
                    .map(|(v, (w, b))| (v - mean) * scale * w + b),
            );
        }
        out
    }

    /// What one row's result changes by when `delta` is added to it (both `[d_model]`) and the norm
    /// goes on dividing by what it divides `x` by.
    pub fn change_at_scale_of(&self, x: &[f32], delta: &[f32]) -> Vec<f32> {
        let width = self.weight.len() as f32;
        let mean = lane_sum(x, |v| v) / width;
        let variance = lane_sum(x, |v| (v - mean) * (v - mean)) / width;
        let scale = 1.0 / (variance + LAYER_NORM_EPS).sqrt();
        let moved = lane_sum(delta, |v| v) / width;
        (delta.iter().zip(&self.weight))
            .map(|(d, w)| (d - moved) * scale * w)
            .collect()
    }
}

fn lane_sum(row: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (lanes, rest) = row.as_chunks::<LANES>();
    for chunk in lanes {
        for lane in 0..LANES {
            sums[lane] += term(chunk[lane]);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|&v| term(v)).sum::<f32>()
}
