// Digits of 16 bits, signed, times int8 widened: vpmaddubsw would saturate, vpmaddwd cannot.
#include "airlock/kernels/ring_kernel.h"

#if defined(__x86_64__)
#include <algorithm>
#include <cstring>

#include <immintrin.h>

#include "airlock/math/field.h"

#define AIRLOCK_RING_AVX2 __attribute__((target("avx2")))

namespace airlock {
namespace {

/// Terms whose sums stay in 32 bits: a lane takes two products of at most 2^15 * 127 for every four
/// terms, 1024 / 4 * 2 * 2^15 * 127 = 2130706432 in all.
constexpr std::int64_t kSafeTerms = 1024;
/// Columns of two vectors: four each, every one as two lanes.
constexpr int kHalf = 8;

void split_avx2(DType dtype, const void* x, std::int64_t stride, int rows, std::int64_t count,
                std::int64_t terms, void* digits) {
  auto* const out = static_cast<std::int16_t*>(digits);
  for (int row = 0; row < rows; ++row) {
    for (std::int64_t k = 0; k < terms; k += 4) {
      const std::int64_t valid = std::clamp<std::int64_t>(count - k, 0, 4);
      if (dtype == DType::kI16) {
        std::int16_t* const to = out + (k / 4 * rows + row) * 4;
        const auto* const from = static_cast<const std::int16_t*>(x) + row * stride + k;
        for (std::int64_t i = 0; i < 4; ++i) to[i] = i < valid ? from[i] : std::int16_t{0};
        continue;
      }
      // x = high * 2^16 + low, low in [-2^15, 2^15), high in [0, 2^15).
      std::int16_t* const to = out + (k / 4 * rows + row) * 8;
      const auto* const from = static_cast<const std::uint32_t*>(x) + row * stride + k;
      for (std::int64_t i = 0; i < 4; ++i) {
        std::uint32_t value = i < valid ? from[i] : 0;
        value = std::min(value, value - kFieldPrime);  // twice covers all 32 bits
        value = std::min(value, value - kFieldPrime);
        to[i] = static_cast<std::int16_t>(value & 0xffffU);
        to[4 + i] = static_cast<std::int16_t>((value + 0x8000U) >> 16);
      }
    }
  }
}

/// Sums of neighbouring lanes in 64 bits, one a column.
AIRLOCK_RING_AVX2 inline __m256i add_lanes(__m256i total, __m256i sums) {
  const __m256i shifted = _mm256_xor_si256(sums, _mm256_set1_epi32(INT32_MIN));  // plus 2^31
  const __m256i even = _mm256_and_si256(shifted, _mm256_set1_epi64x(0xffffffff));
  const __m256i both = _mm256_add_epi64(even, _mm256_srli_epi64(shifted, 32));
  return _mm256_add_epi64(total, _mm256_sub_epi64(both, _mm256_set1_epi64x(std::int64_t{1} << 32)));
}

/// As in ring_kernel_vnni.cc, down to below 2 p.
AIRLOCK_RING_AVX2 inline __m256i folded(__m256i t) {
  const __m256i low = _mm256_set1_epi64x(0x7fffffff);
#pragma GCC unroll 4
  for (int fold = 0; fold < 4; ++fold) {
    const __m256i high = _mm256_srli_epi64(t, 31);
    t = _mm256_add_epi64(_mm256_and_si256(t, low),
                         _mm256_sub_epi64(_mm256_slli_epi64(high, 24), high));
  }
  return t;
}

using FourDigits = std::int16_t[4];

/// Four digits times the weights of eight columns. GCC 12 would load the digits of all rows first
/// and run out of registers.
AIRLOCK_RING_AVX2 inline void add_products(__m256i& sums0, __m256i& sums1, const std::int16_t* four,
                                           __m256i w0, __m256i w1) {
  __m256i x;
  __m256i product;
  asm("vpbroadcastq %4, %2\n\t"
      "vpmaddwd %5, %2, %3\n\t"
      "vpmaddwd %6, %2, %2\n\t"
      "vpaddd %3, %0, %0\n\t"
      "vpaddd %2, %1, %1"
      : "+x"(sums0), "+x"(sums1), "=&x"(x), "=&x"(product)
      : "m"(*reinterpret_cast<const FourDigits*>(four)), "x"(w0), "x"(w1));
}

template <int kDigits, int kRows>
AIRLOCK_RING_AVX2 void multiply_avx2(const std::int16_t* digits, const std::int8_t* panel,
                                     std::int64_t terms, std::uint32_t* out, std::int64_t stride) {
  constexpr int kLines = kDigits * kRows;
  __m256i totals[2][kLines];
  for (auto& half : totals) {
    for (__m256i& total : half) total = _mm256_setzero_si256();
  }
  for (std::int64_t begin = 0; begin < terms; begin += kSafeTerms) {
    const std::int64_t end = std::min(terms, begin + kSafeTerms);
    __m256i sums[2][kLines];
#pragma GCC unroll 2
    for (int c = 0; c < 2; ++c) {
#pragma GCC unroll 6
      for (int i = 0; i < kLines; ++i) sums[c][i] = _mm256_setzero_si256();
    }
    for (std::int64_t k = begin; k < end; k += 4) {
      const auto* const w = reinterpret_cast<const __m128i*>(panel + k * kRingPanel);
      const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(w));
      const __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(w + 1));
#pragma GCC unroll 6
      for (int i = 0; i < kLines; ++i) {
        add_products(sums[0][i], sums[1][i], digits + k * kLines + i * 4, w0, w1);
      }
    }
#pragma GCC unroll 2
    for (int c = 0; c < 2; ++c) {
#pragma GCC unroll 6
      for (int i = 0; i < kLines; ++i) totals[c][i] = add_lanes(totals[c][i], sums[c][i]);
    }
  }
  for (int c = 0; c < 2; ++c) {
    for (int row = 0; row < kRows; ++row) {
      __m256i t = _mm256_add_epi64(_mm256_set1_epi64x(std::int64_t{kFieldPrime} << 25),
                                   totals[c][row * kDigits]);
      if (kDigits == 2) {
        t = _mm256_add_epi64(t, _mm256_slli_epi64(totals[c][row * kDigits + 1], 16));
      }
      const __m256i narrow =
          _mm256_permutevar8x32_epi32(folded(t), _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
      const __m128i values = _mm256_castsi256_si128(narrow);
      const __m128i less =
          _mm_sub_epi32(values, _mm_set1_epi32(static_cast<std::int32_t>(kFieldPrime)));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + row * stride + c * (kHalf / 2)),
                       _mm_min_epu32(values, less));
    }
  }
}

template <int kDigits, int kRows>
void multiply_panels(const std::int16_t* digits, const RingPanels& panels, std::uint32_t* out,
                     std::int64_t stride) {
  for (int c = 0; c < panels.count; ++c) {
    const std::int8_t* const panel = panels.data + c * panels.terms * kRingPanel;
    for (int half = 0; half < 2; ++half) {
      multiply_avx2<kDigits, kRows>(digits, panel + half * kHalf * 4, panels.terms,
                                    out + c * kRingPanel + half * kHalf, stride);
    }
  }
}

void tile_avx2(DType dtype, const void* digits, int rows, const RingPanels& panels,
               std::uint32_t* out, std::int64_t stride) {
  const auto* const x = static_cast<const std::int16_t*>(digits);
  if (dtype == DType::kI16) {
    switch (rows) {
      case 1:
        return multiply_panels<1, 1>(x, panels, out, stride);
      case 2:
        return multiply_panels<1, 2>(x, panels, out, stride);
      case 3:
        return multiply_panels<1, 3>(x, panels, out, stride);
      case 4:
        return multiply_panels<1, 4>(x, panels, out, stride);
      case 5:
        return multiply_panels<1, 5>(x, panels, out, stride);
      default:
        return multiply_panels<1, 6>(x, panels, out, stride);
    }
  }
  switch (rows) {
    case 1:
      return multiply_panels<2, 1>(x, panels, out, stride);
    case 2:
      return multiply_panels<2, 2>(x, panels, out, stride);
    default:
      return multiply_panels<2, 3>(x, panels, out, stride);
  }
}

constexpr RingKernel kAvx2 = {"avx2", 2, 1, 2, 6, 4, split_avx2, tile_avx2};

}  // namespace

const RingKernel* ring_kernel_avx2() noexcept {
  return &kAvx2;
}

}  // namespace airlock

#else

namespace airlock {

const RingKernel* ring_kernel_avx2() noexcept {
  return nullptr;
}

}  // namespace airlock

#endif
