//! Attention: each head's weighted sum over the rows that a row attends to.

use super::lanes::{Kernel, LANES, Lanes, dispatch};

/// The layout of heads side by side: padded with zeros to whole vectors in queries, keys and
/// values; unpadded in the results of attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::network) struct Heads {
    pub count: usize,
    pub width: usize,
}

impl Heads {
    /// Values from the start of one head to the next.
    pub fn stride(&self) -> usize {
        self.width.next_multiple_of(LANES)
    }

    /// Values per row in the queries, keys or values of all heads.
    pub fn total(&self) -> usize {
        self.count * self.stride()
    }

    /// Values per row in the results of all heads.
    pub fn results(&self) -> usize {
        self.count * self.width
    }
}

#[derive(Debug, Clone, Copy)]
pub(in crate::network) struct Asking<'a> {
    /// All heads' queries, `[heads.total()]`.
    pub query: &'a [f32],
    /// Index of the first row attended to.
    pub first: usize,
    pub count: usize,
}

/// Receives each row's attention weights: row, head, and a weight for each row attended to.
pub(in crate::network) type Weighed<'a> = &'a mut dyn FnMut(usize, usize, &[f32]);

/// Writes every head's weighted values for each querying row into `z`, `[rows, heads.results()]`.
/// `looked_at` has rows of all heads' keys, then all heads' values.
///
/// # Panics
/// If a length does not fit `heads`.
pub(in crate::network) fn attend<'a>(
    heads: Heads,
    rows: &'a [Asking<'a>],
    looked_at: &'a [&'a [f32]],
    z: &'a mut [f32],
    weighed: Option<Weighed<'a>>,
) {
    dispatch(AttentionKernel {
        heads,
        rows,
        looked_at,
        z,
        weighed,
    });
}

struct AttentionKernel<'a> {
    heads: Heads,
    rows: &'a [Asking<'a>],
    looked_at: &'a [&'a [f32]],
    z: &'a mut [f32],
    weighed: Option<Weighed<'a>>,
}

impl Kernel for AttentionKernel<'_> {
    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) {
        let Heads { count, width } = self.heads;
        let (stride, total) = (self.heads.stride(), self.heads.total());
        let most = self.rows.iter().map(|row| row.count).max().unwrap_or(0);
        let mut weights = vec![[0.0; LANES]; most.div_ceil(LANES)];
        let results = self.z.chunks_exact_mut(self.heads.results());
        for (index, (row, z)) in self.rows.iter().zip(results).enumerate() {
            let looked_at = &self.looked_at[row.first..][..row.count];
            for head in 0..count {
                let at = head * stride;
                let query = &row.query[at..at + stride];
                let weights = &mut weights[..row.count.div_ceil(LANES)];
                let scores = weights.as_flattened_mut();
                for (score, keys) in scores.iter_mut().zip(looked_at) {
                    *score = product_sum(lanes, query, &keys[at..at + stride]);
                }
                scores[row.count..].fill(f32::NEG_INFINITY);
                softmax_in(lanes, weights);
                let weights = &weights.as_flattened()[..row.count];
                let at = total + at;
                let out = &mut z[head * width..][..width];
                for (v, out) in out.chunks_mut(LANES).enumerate() {
                    let mut sum = lanes.splat(0.0);
                    for (&weight, values) in weights.iter().zip(looked_at) {
                        let (values, _) = values[at + v * LANES..].as_chunks::<LANES>();
                        sum = lanes.mul_add(lanes.splat(weight), lanes.load(&values[0]), sum);
                    }
                    match <&mut [f32; LANES]>::try_from(&mut *out) {
                        Ok(whole) => lanes.store(whole, sum),
                        Err(_) => {
                            let mut whole = [0.0; LANES];
                            lanes.store(&mut whole, sum);
                            out.copy_from_slice(&whole[..out.len()]);
                        }
                    }
                }
                if let Some(weighed) = &mut self.weighed {
                    weighed(index, head, weights);
                }
            }
        }
    }
}

/// The inner product of two rows of whole vectors.
#[inline(always)]
pub(in crate::network) fn product_sum<L: Lanes>(lanes: L, a: &[f32], b: &[f32]) -> f32 {
    let ((a, _), (b, _)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sum = lanes.splat(0.0);
    for (a, b) in a.iter().zip(b) {
        sum = lanes.mul_add(lanes.load(a), lanes.load(b), sum);
    }
    lanes.sum(sum)
}

/// Turns scores into weights that sum to one. Scores of minus infinity pad a vector.
#[inline(always)]
fn softmax_in<L: Lanes>(lanes: L, scores: &mut [[f32; LANES]]) {
    let mut highest = lanes.splat(f32::NEG_INFINITY);
    for scores in &*scores {
        highest = lanes.max(highest, lanes.load(scores));
    }
    let highest = lanes.splat(lanes.largest(highest));
    let mut total = lanes.splat(0.0);
    for scores in &mut *scores {
        let power = exp(lanes, lanes.sub(lanes.load(scores), highest));
        total = lanes.add(total, power);
        lanes.store(scores, power);
    }
    let scale = lanes.splat(1.0 / lanes.sum(total));
    for scores in scores {
        let weight = lanes.mul(lanes.load(scores), scale);
        lanes.store(scores, weight);
    }
}

/// Smaller arguments of `exp` are clamped to this: the power of two is then still a normal number,
/// and the result is negligible beside the highest score's 1.
const LOWEST_EXPONENT: f32 = -86.0;

/// Adding this to a number smaller than 2^22 rounds it to an integer in the lowest mantissa bits.
const TO_WHOLE: f32 = 12_582_912.0;

/// `ln 2` in two parts, the first with so few bits that its products with exponents are exact.
const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];

/// `exp` of non-positive values, to about two units in the last place: a power of two, times the
/// Taylor series of the remainder, which is at most `ln 2 / 2` and needs seven terms.
#[inline(always)]
fn exp<L: Lanes>(lanes: L, x: L::V) -> L::V {
    let x = lanes.max(lanes.splat(LOWEST_EXPONENT), x);
    let shifted = lanes.mul_add(
        x,
        lanes.splat(std::f32::consts::LOG2_E),
        lanes.splat(TO_WHOLE),
    );
    let whole = lanes.sub(shifted, lanes.splat(TO_WHOLE));
    let rest = lanes.mul_add(whole, lanes.splat(-LN_2[0]), x);
    let rest = lanes.mul_add(whole, lanes.splat(-LN_2[1]), rest);
    let mut series = lanes.splat(1.0 / 5040.0);
    for term in [720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        series = lanes.mul_add(series, rest, lanes.splat(1.0 / term));
    }
    lanes.add_to_exponent(series, shifted)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Exp<'a>(&'a mut [[f32; LANES]]);

    impl Kernel for Exp<'_> {
        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) {
            for values in self.0 {
                let power = exp(lanes, lanes.load(values));
                lanes.store(values, power);
            }
        }
    }

    #[test]
    fn the_exponential_is_within_two_units_in_the_last_place() {
        let values: Vec<f32> = (0..64 * 1024)
            .map(|i| LOWEST_EXPONENT * i as f32 / 65535.0)
            .collect();
        let mut powers = values.clone();
        dispatch(Exp(powers.as_chunks_mut::<LANES>().0));
        for (x, power) in values.iter().zip(powers) {
            let exact = f64::from(*x).exp();
            let off = (f64::from(power) - exact).abs() / exact;
            assert!(off < 2.0 * f64::from(f32::EPSILON), "exp({x}): {off:e}");
        }
    }

    #[test]
    fn what_has_a_much_lower_score_is_given_no_weight_to_speak_of() {
        let mut powers = [[f32::NEG_INFINITY; LANES]; 1];
        powers[0][0] = -1e30;
        powers[0][1] = 0.0;
        dispatch(Exp(&mut powers));
        assert_eq!(powers[0][1], 1.0);
        assert!(powers[0][0] < 1e-37 && powers[0][2] < 1e-37);
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let mut powers = [[f32::NAN; LANES]; 1];
        dispatch(Exp(&mut powers));
        assert!(powers[0].iter().all(|power| power.is_nan()));
    }
}
