// The ring's products with AVX2: balanced 16-bit digits and vpmaddwd, which, unlike the bytes'
// vpmaddubsw, cannot saturate.
#include "airlock/kernels/ring_kernel.h"

#if defined(__x86_64__) && defined(__linux__)
#include <immintrin.h>

#include "airlock/core/isa.h"
#include "airlock/kernels/ring_split.h"

#define AIRLOCK_RING_AVX2 __attribute__((target("avx2,fma")))

namespace airlock {
namespace {

/// A digit's magnitude is at most 2^15, a weight's 127: 512 products are below 2^31.
constexpr std::int64_t kAvx2Terms = 512;

AIRLOCK_RING_AVX2 inline __m256i widen_weights(const std::int8_t* w) {
  return _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(w)));
}

using TwoDigits = std::int16_t[2];

/// A pair of terms times sixteen columns. GCC 12 would load the digits of all rows first and run
/// out of registers.
AIRLOCK_RING_AVX2 inline void add_pair(__m256i* sums, const std::byte* x, __m256i left,
                                       __m256i right) {
  __m256i pair;
  __m256i product;
  asm("vpbroadcastd %4, %2\n\t"
      "vpmaddwd %5, %2, %3\n\t"
      "vpmaddwd %6, %2, %2\n\t"
      "vpaddd %3, %0, %0\n\t"
      "vpaddd %2, %1, %1"
      : "+x"(sums[0]), "+x"(sums[1]), "=&x"(pair), "=&x"(product)
      : "m"(*reinterpret_cast<const TwoDigits*>(x)), "x"(left), "x"(right));
}

/// v[0..3] += low + 2^16 high.
template <int kDigits>
AIRLOCK_RING_AVX2 inline void add_halves(const __m128i* sums, std::int64_t* v) {
  auto* to = reinterpret_cast<__m256i*>(v);
  __m256i sum = _mm256_add_epi64(_mm256_load_si256(to), _mm256_cvtepi32_epi64(sums[0]));
  if constexpr (kDigits == 2) {
    sum = _mm256_add_epi64(sum, _mm256_slli_epi64(_mm256_cvtepi32_epi64(sums[1]), 16));
  }
  _mm256_store_si256(to, sum);
}

/// kRows rows times one panel: 4 kRows kDigits / 2 accumulators of the 16 registers.
template <int kRows, int kDigits>
AIRLOCK_RING_AVX2 void avx2_tile(const RingBlock& block, const std::byte* x, const std::int8_t* w,
                                 std::int64_t* v) {
  __m256i sums[kRows][kDigits][2];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int d = 0; d < kDigits; ++d) sums[r][d][0] = sums[r][d][1] = _mm256_setzero_si256();
  }
  const std::byte* rows[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) rows[r] = x + r * block.x_stride;
  const std::int64_t bytes = block.terms * 2 * kDigits;
  for (std::int64_t at = 0; at < bytes; at += 64 * kDigits) {
#pragma GCC unroll 4
    for (std::int64_t i = 0; i < 16; ++i, w += 2 * kRingPanel) {
      const __m256i left = widen_weights(w);
      const __m256i right = widen_weights(w + 16);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
        for (int d = 0; d < kDigits; ++d) {
          add_pair(sums[r][d], rows[r] + at + d * 64 + i * 4, left, right);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      __m128i low[kDigits];
      __m128i high[kDigits];
#pragma GCC unroll 2
      for (int d = 0; d < kDigits; ++d) {
        low[d] = _mm256_castsi256_si128(sums[r][d][half]);
        high[d] = _mm256_extracti128_si256(sums[r][d][half], 1);
      }
      add_halves<kDigits>(low, v + r * block.v_stride + half * 8);
      add_halves<kDigits>(high, v + r * block.v_stride + half * 8 + 4);
    }
  }
}

template <int kRows, int kDigits>
AIRLOCK_RING_AVX2 void avx2_rows(const RingBlock& block, std::int64_t row) {
  for (std::int64_t p = 0; p < block.panels; ++p) {
    avx2_tile<kRows, kDigits>(block, block.x + row * block.x_stride,
                              block.w + p * block.panel_stride,
                              block.v + row * block.v_stride + p * kRingPanel);
  }
}

AIRLOCK_RING_AVX2 void multiply_avx2(const RingBlock& block) {
  std::int64_t row = 0;
  if (block.digits == 2) {
    for (; row + 3 <= block.rows; row += 3) avx2_rows<3, 2>(block, row);
    if (block.rows - row == 2) return avx2_rows<2, 2>(block, row);
    if (block.rows - row == 1) return avx2_rows<1, 2>(block, row);
    return;
  }
  for (; row + 6 <= block.rows; row += 6) avx2_rows<6, 1>(block, row);
  if (block.rows - row >= 3) {
    avx2_rows<3, 1>(block, row);
    row += 3;
  }
  if (block.rows - row == 2) return avx2_rows<2, 1>(block, row);
  if (block.rows - row == 1) return avx2_rows<1, 1>(block, row);
}

/// Residues in [0, 2p) of 4 sums: with |v| < 2^24 p, a = v + 2^24 p is in [0, 2^56), and
/// q = floor(floor(a / 2^25) floor(2^62 / p) / 2^37) is floor(a / p) or one less.
AIRLOCK_RING_AVX2 inline __m256i reduce_wide(const std::int64_t* v) {
  const __m256i prime = _mm256_set1_epi64x(kFieldPrime);
  const __m256i inverse = _mm256_set1_epi64x((std::int64_t{1} << 62) / kFieldPrime);
  const __m256i a = _mm256_add_epi64(_mm256_load_si256(reinterpret_cast<const __m256i*>(v)),
                                     _mm256_set1_epi64x(std::int64_t{kFieldPrime} << 24));
  const __m256i q = _mm256_srli_epi64(_mm256_mul_epu32(_mm256_srli_epi64(a, 25), inverse), 37);
  return _mm256_sub_epi64(a, _mm256_mul_epu32(q, prime));
}

/// Residues of 8 sums, in order.
AIRLOCK_RING_AVX2 inline __m256i reduce_eight(const std::int64_t* v) {
  const __m256 first = _mm256_castsi256_ps(reduce_wide(v));
  const __m256 second = _mm256_castsi256_ps(reduce_wide(v + 4));
  // Low halves as 0 1 4 5 | 2 3 6 7, then in order.
  const __m256i mixed = _mm256_castps_si256(_mm256_shuffle_ps(first, second, 0x88));
  const __m256i a = _mm256_permute4x64_epi64(mixed, 0xd8);
  return _mm256_min_epu32(a, _mm256_sub_epi32(a, _mm256_set1_epi32(kFieldPrime)));
}

AIRLOCK_RING_AVX2 void reduce_ring_avx2(const std::int64_t* v, std::int64_t count,
                                        std::uint32_t* out) {
  for (std::int64_t i = 0; i < count; i += 8) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), reduce_eight(v + i));
  }
}

AIRLOCK_RING_AVX2 void reduce_ring16_avx2(const std::int64_t* v, std::int64_t count,
                                          std::uint16_t* out) {
  const __m256i half = _mm256_set1_epi32(1 << (kRing16Shift - 1));
  for (std::int64_t i = 0; i < count; i += 16) {
    const __m256i a = _mm256_srli_epi32(_mm256_add_epi32(reduce_eight(v + i), half), kRing16Shift);
    const __m256i b =
        _mm256_srli_epi32(_mm256_add_epi32(reduce_eight(v + i + 8), half), kRing16Shift);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i),
                        _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8));
  }
}

AIRLOCK_RING_AVX2 void split_ring_avx2(const std::uint32_t* x, std::int64_t count, std::byte* out) {
  ring::split_ring_halves(x, count, out);
}
AIRLOCK_RING_AVX2 void split_i16_avx2(const std::int16_t* x, std::int64_t count, std::byte* out) {
  ring::split_i16_halves(x, count, out);
}

}  // namespace

const RingKernel* ring_kernel_avx2() {
  static const RingKernel kernel = {.name = "avx2",
                                    .form = RingDigits::kHalves,
                                    .group = 2,
                                    .block_terms = kAvx2Terms,
                                    .tile_panels = 1,
                                    .split_ring = split_ring_avx2,
                                    .split_i16 = split_i16_avx2,
                                    .multiply = multiply_avx2,
                                    .reduce_ring = reduce_ring_avx2,
                                    .reduce_ring16 = reduce_ring16_avx2};
  return isa() >= Isa::kAvx2 ? &kernel : nullptr;
}

}  // namespace airlock

#else

namespace airlock {
const RingKernel* ring_kernel_avx2() {
  return nullptr;
}
}  // namespace airlock

#endif
