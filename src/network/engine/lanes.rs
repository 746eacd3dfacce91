//! Sixteen `f32` at a time, on the widest vector instructions of the processor.
//!
//! Every implementation adds in the same order, and with AVX-512 and with AVX2 every multiply-add
//! is rounded once, so the two give the same bits.

use std::sync::LazyLock;

/// Values in a vector: one AVX-512 register, or two of AVX2.
pub(in crate::network) const LANES: usize = 16;

/// Instructions on vectors of [`LANES`] values.
pub(in crate::network) trait Lanes: Copy {
    type V: Copy;
    /// The tile of a product that fits the registers: rows, and vectors side by side.
    const TILE: (usize, usize);

    /// The same value in all lanes.
    fn splat(self, value: f32) -> Self::V;
    fn load(self, from: &[f32; LANES]) -> Self::V;
    fn store(self, to: &mut [f32; LANES], v: Self::V);
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger of two values; the second if one is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a` with the lowest mantissa bits of `n`, an integer, added to its exponent.
    fn add_to_exponent(self, a: Self::V, n: Self::V) -> Self::V;
    /// The sum of all lanes, adding halves until one value is left.
    fn sum(self, v: Self::V) -> f32;
    fn largest(self, v: Self::V) -> f32;
    /// Asks for the cache line at an address, which may be any.
    fn prefetch(self, from: *const f32);
    /// Returns the same number, hidden from the optimiser, which would otherwise hoist everything
    /// derived from it out of a loop and run out of registers.
    fn again(self, number: usize) -> usize;
}

/// Work that any implementation can run.
pub(in crate::network) trait Kernel {
    /// Runs the work. Implementations are `inline(always)`, so that they are compiled for `lanes`.
    fn run<L: Lanes>(self, lanes: L);
}

/// The instruction sets that kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InstructionSet {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

static WIDEST: LazyLock<InstructionSet> = LazyLock::new(|| {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
        {
            return InstructionSet::Avx512;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return InstructionSet::Avx2;
        }
    }
    InstructionSet::Portable
});

/// The name of the instructions in use: `AVX-512`, `AVX2 and FMA`, or `portable`.
pub fn instruction_set() -> &'static str {
    match *WIDEST {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => "AVX-512",
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => "AVX2 and FMA",
        InstructionSet::Portable => "portable",
    }
}

/// Runs a kernel on the widest available instructions.
pub(in crate::network) fn dispatch(kernel: impl Kernel) {
    run_on(*WIDEST, kernel);
}

/// All instruction sets of the processor, narrowest first.
#[cfg(test)]
pub(super) fn all() -> Vec<InstructionSet> {
    let mut all = vec![InstructionSet::Portable];
    #[cfg(target_arch = "x86_64")]
    {
        let more = [InstructionSet::Avx2, InstructionSet::Avx512];
        let widest = more.iter().rposition(|set| set == &*WIDEST);
        all.extend(&more[..widest.map_or(0, |widest| widest + 1)]);
    }
    all
}

/// Runs a kernel on one instruction set.
pub(super) fn run_on(instructions: InstructionSet, kernel: impl Kernel) {
    match instructions {
        // SAFETY: these sets are only chosen if the processor was found to support them.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => unsafe { x86::with_avx512(kernel) },
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => unsafe { x86::with_avx2(kernel) },
        InstructionSet::Portable => kernel.run(Portable),
    }
}

/// Plain arrays, left to the compiler's auto-vectorisation.
#[derive(Clone, Copy)]
struct Portable;

impl Portable {
    #[inline(always)]
    fn zip(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
        std::array::from_fn(|lane| f(a[lane], b[lane]))
    }
}

impl Lanes for Portable {
    type V = [f32; LANES];
    const TILE: (usize, usize) = (2, 1);

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::V {
        *from
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES], v: Self::V) {
        *to = v;
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        Self::zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        Self::zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        Self::zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // Without a hardware instruction, a fused multiply-add costs a function call per value.
        let fused = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
        std::array::from_fn(|lane| {
            let (a, b, c) = (a[lane], b[lane], c[lane]);
            if fused { a.mul_add(b, c) } else { a * b + c }
        })
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        Self::zip(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn add_to_exponent(self, a: Self::V, n: Self::V) -> Self::V {
        Self::zip(a, n, |a, n| {
            f32::from_bits(a.to_bits().wrapping_add(n.to_bits() << 23))
        })
    }

    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        halved(v, |a, b| a + b)
    }

    #[inline(always)]
    fn largest(self, v: Self::V) -> f32 {
        halved(v, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn prefetch(self, _: *const f32) {}

    #[inline(always)]
    fn again(self, number: usize) -> usize {
        number
    }
}

/// Combines the upper half of the lanes with the lower until one value is left.
#[inline(always)]
fn halved(mut v: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            v[lane] = f(v[lane], v[lane + half]);
        }
        half /= 2;
    }
    v[0]
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    // SAFETY, for every block here: the instructions belong to the set that the type represents,
    // and values of the type are only created inside `with_avx512` and `with_avx2`, which are only
    // called if the processor supports the set. Loads and stores go through references to as many
    // values as they move, and need no alignment; prefetches may be of any address.
    use std::arch::x86_64::*;

    use super::{Kernel, LANES, Lanes};

    #[derive(Clone, Copy)]
    struct Avx512(());

    #[derive(Clone, Copy)]
    struct Avx2(());

    #[target_feature(enable = "avx512f,avx2,fma")]
    pub fn with_avx512(kernel: impl Kernel) {
        kernel.run(Avx512(()));
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn with_avx2(kernel: impl Kernel) {
        kernel.run(Avx2(()));
    }

    /// The sum of eight lanes, adding halves.
    #[inline(always)]
    fn sum8(v: __m256) -> f32 {
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    fn largest8(v: __m256) -> f32 {
        unsafe {
            let four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    fn unknown(mut number: usize) -> usize {
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) number, options(nomem, nostack, preserves_flags));
        }
        number
    }

    #[inline(always)]
    fn add_to_exponents(a: __m256, n: __m256) -> __m256 {
        unsafe {
            let n = _mm256_slli_epi32::<23>(_mm256_castps_si256(n));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), n))
        }
    }

    #[inline(always)]
    fn upper_half(v: __m512) -> __m256 {
        unsafe { _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v))) }
    }

    impl Lanes for Avx512 {
        type V = __m512;
        const TILE: (usize, usize) = (14, 2);

        #[inline(always)]
        fn splat(self, value: f32) -> Self::V {
            unsafe { _mm512_set1_ps(value) }
        }

        #[inline(always)]
        fn load(self, from: &[f32; LANES]) -> Self::V {
            unsafe { _mm512_loadu_ps(from.as_ptr()) }
        }

        #[inline(always)]
        fn store(self, to: &mut [f32; LANES], v: Self::V) {
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) }
        }

        #[inline(always)]
        fn add(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_add_ps(a, b) }
        }

        #[inline(always)]
        fn sub(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_sub_ps(a, b) }
        }

        #[inline(always)]
        fn mul(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_mul_ps(a, b) }
        }

        #[inline(always)]
        fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        fn max(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_max_ps(a, b) }
        }

        #[inline(always)]
        fn add_to_exponent(self, a: Self::V, n: Self::V) -> Self::V {
            unsafe {
                let n = _mm512_slli_epi32::<23>(_mm512_castps_si512(n));
                _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), n))
            }
        }

        #[inline(always)]
        fn sum(self, v: Self::V) -> f32 {
            unsafe { sum8(_mm256_add_ps(_mm512_castps512_ps256(v), upper_half(v))) }
        }

        #[inline(always)]
        fn largest(self, v: Self::V) -> f32 {
            unsafe { largest8(_mm256_max_ps(_mm512_castps512_ps256(v), upper_half(v))) }
        }

        #[inline(always)]
        fn prefetch(self, from: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
        }

        #[inline(always)]
        fn again(self, number: usize) -> usize {
            unknown(number)
        }
    }

    impl Lanes for Avx2 {
        type V = [__m256; 2];
        const TILE: (usize, usize) = (6, 1);

        #[inline(always)]
        fn splat(self, value: f32) -> Self::V {
            unsafe { [_mm256_set1_ps(value); 2] }
        }

        #[inline(always)]
        fn load(self, from: &[f32; LANES]) -> Self::V {
            unsafe {
                [
                    _mm256_loadu_ps(from.as_ptr()),
                    _mm256_loadu_ps(from.as_ptr().add(LANES / 2)),
                ]
            }
        }

        #[inline(always)]
        fn store(self, to: &mut [f32; LANES], v: Self::V) {
            unsafe {
                _mm256_storeu_ps(to.as_mut_ptr(), v[0]);
                _mm256_storeu_ps(to.as_mut_ptr().add(LANES / 2), v[1]);
            }
        }

        #[inline(always)]
        fn add(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
        }

        #[inline(always)]
        fn sub(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
        }

        #[inline(always)]
        fn mul(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
        }

        #[inline(always)]
        fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            unsafe {
                [
                    _mm256_fmadd_ps(a[0], b[0], c[0]),
                    _mm256_fmadd_ps(a[1], b[1], c[1]),
                ]
            }
        }

        #[inline(always)]
        fn max(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])] }
        }

        #[inline(always)]
        fn add_to_exponent(self, a: Self::V, n: Self::V) -> Self::V {
            [add_to_exponents(a[0], n[0]), add_to_exponents(a[1], n[1])]
        }

        #[inline(always)]
        fn sum(self, v: Self::V) -> f32 {
            unsafe { sum8(_mm256_add_ps(v[0], v[1])) }
        }

        #[inline(always)]
        fn largest(self, v: Self::V) -> f32 {
            unsafe { largest8(_mm256_max_ps(v[0], v[1])) }
        }

        #[inline(always)]
        fn prefetch(self, from: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
        }

        #[inline(always)]
        fn again(self, number: usize) -> usize {
            unknown(number)
        }
    }
}
