// Digits of 8 bits, unsigned, times int8: vpdpbusd adds four products to 32 bits without
// saturating.
#include "airlock/kernels/ring_kernel.h"

#if defined(__x86_64__)
#include <algorithm>
#include <cstring>

#include <immintrin.h>

#include "airlock/math/field.h"

#define AIRLOCK_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

namespace airlock {
namespace {

/// int16 rows leave as unsigned: what that adds is taken away with the columns' sums.
constexpr std::int32_t kBias = 32768;

AIRLOCK_VNNI void split_int16(const std::int16_t* x, std::int64_t stride, int rows,
                              std::int64_t count, std::int64_t terms, std::uint8_t* out) {
  const __m128i bytes = _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m128i bias = _mm_set1_epi16(static_cast<std::int16_t>(kBias));
  for (int row = 0; row < rows; ++row) {
    const std::int16_t* const from = x + row * stride;
    for (std::int64_t k = 0; k < terms; k += 4) {
      // Padding meets weights of zero.
      const auto mask =
          static_cast<__mmask8>((1U << std::clamp<std::int64_t>(count - k, 0, 4)) - 1);
      const __m128i four = _mm_xor_si128(_mm_maskz_loadu_epi16(mask, from + k), bias);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out + (k / 4 * rows + row) * 8),
                       _mm_shuffle_epi8(four, bytes));
    }
  }
}

/// Four values become their lowest bytes, then the next ones, and so on.
AIRLOCK_VNNI void split_ring(const std::uint32_t* x, std::int64_t stride, int rows,
                             std::int64_t count, std::int64_t terms, std::uint8_t* out) {
  const __m512i bytes =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  for (int row = 0; row < rows; ++row) {
    const std::uint32_t* const from = x + row * stride;
    for (std::int64_t k = 0; k < terms; k += 16) {
      const auto mask =
          static_cast<__mmask16>((1U << std::clamp<std::int64_t>(count - k, 0, 16)) - 1);
      const __m512i v = _mm512_shuffle_epi8(_mm512_maskz_loadu_epi32(mask, from + k), bytes);
      std::uint8_t* const to = out + (k / 4 * rows + row) * 16;
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_castsi512_si128(v));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + rows * 16), _mm512_extracti32x4_epi32(v, 1));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + rows * 32), _mm512_extracti32x4_epi32(v, 2));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + rows * 48), _mm512_extracti32x4_epi32(v, 3));
    }
  }
}

void split_vnni(DType dtype, const void* x, std::int64_t stride, int rows, std::int64_t count,
                std::int64_t terms, void* digits) {
  auto* const out = static_cast<std::uint8_t*>(digits);
  if (dtype == DType::kI16) {
    split_int16(static_cast<const std::int16_t*>(x), stride, rows, count, terms, out);
  } else {
    split_ring(static_cast<const std::uint32_t*>(x), stride, rows, count, terms, out);
  }
}

/// The intrinsic makes GCC 12 copy each accumulator twice.
AIRLOCK_VNNI inline void add_products(__m512i& sums, __m512i x, __m512i w) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(x), "v"(w));
}

/// Residues of t in [0, 2^57), by 2^31 = 2^24 - 1 modulo p.
AIRLOCK_VNNI inline __m512i residues(__m512i t) {
  const __m512i low = _mm512_set1_epi64(0x7fffffff);
#pragma GCC unroll 4
  for (int fold = 0; fold < 4; ++fold) {  // below 2^50, 2^43, 2^36, 2 p
    const __m512i high = _mm512_srli_epi64(t, 31);
    t = _mm512_add_epi64(_mm512_and_si512(t, low),
                         _mm512_sub_epi64(_mm512_slli_epi64(high, 24), high));
  }
  return _mm512_min_epu64(t, _mm512_sub_epi64(t, _mm512_set1_epi64(kFieldPrime)));
}

template <int kDigits>
AIRLOCK_VNNI inline __m512i half_of(const __m512i* sums, const std::int32_t* column_sums,
                                    int half) {
  // Large enough to make any sum positive, and 0 modulo p.
  __m512i t = _mm512_set1_epi64(std::int64_t{kFieldPrime} << 25);
#pragma GCC unroll 4
  for (int d = 0; d < kDigits; ++d) {
    const __m256i part =
        half == 0 ? _mm512_castsi512_si256(sums[d]) : _mm512_extracti64x4_epi64(sums[d], 1);
    t = _mm512_add_epi64(t, _mm512_slli_epi64(_mm512_cvtepi32_epi64(part), 8 * d));
  }
  if (kDigits == 2) {
    const __m256i column =
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(column_sums + 8 * half));
    t = _mm512_sub_epi64(t, _mm512_slli_epi64(_mm512_cvtepi32_epi64(column), 15));
  }
  return residues(t);
}

template <int kDigits, int kRows, int kPanels>
AIRLOCK_VNNI void multiply_vnni(const std::uint8_t* digits, const RingPanels& panels,
                                std::uint32_t* out, std::int64_t stride) {
  constexpr int kLines = kDigits * kRows;
  __m512i sums[kPanels][kLines];
#pragma GCC unroll 4
  for (int c = 0; c < kPanels; ++c) {
#pragma GCC unroll 12
    for (int i = 0; i < kLines; ++i) sums[c][i] = _mm512_setzero_si512();
  }
  const std::int64_t terms = panels.terms;
  const std::int64_t panel = terms * kRingPanel;
  for (std::int64_t k = 0; k < terms; k += 4) {
    __m512i w[kPanels];
#pragma GCC unroll 4
    for (int c = 0; c < kPanels; ++c) {
      w[c] = _mm512_loadu_si512(panels.data + c * panel + k * kRingPanel);
    }
#pragma GCC unroll 12
    for (int i = 0; i < kLines; ++i) {
      std::int32_t four;
      std::memcpy(&four, digits + i * 4, sizeof four);
      const __m512i x = _mm512_set1_epi32(four);
#pragma GCC unroll 4
      for (int c = 0; c < kPanels; ++c) add_products(sums[c][i], x, w[c]);
    }
    digits += kLines * 4;
  }
  // A copy: what is indexed at run time would keep the accumulators out of registers.
  __m512i results[kPanels][kLines];
#pragma GCC unroll 4
  for (int c = 0; c < kPanels; ++c) {
#pragma GCC unroll 12
    for (int i = 0; i < kLines; ++i) results[c][i] = sums[c][i];
  }
  for (int c = 0; c < kPanels; ++c) {
    for (int row = 0; row < kRows; ++row) {
      const __m512i* const own = results[c] + row * kDigits;
      const std::int32_t* const column_sums = panels.sums + c * kRingPanel;
      std::uint32_t* const to = out + row * stride + c * kRingPanel;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                          _mm512_cvtepi64_epi32(half_of<kDigits>(own, column_sums, 0)));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 8),
                          _mm512_cvtepi64_epi32(half_of<kDigits>(own, column_sums, 1)));
    }
  }
}

template <int kDigits, int kRows>
void multiply_rows(const std::uint8_t* digits, const RingPanels& panels, std::uint32_t* out,
                   std::int64_t stride) {
  // 24 accumulators at most; one row takes four panels to have enough of them.
  if constexpr (kDigits * kRows <= 4) {
    if (panels.count == 4) return multiply_vnni<kDigits, kRows, 4>(digits, panels, out, stride);
  }
  RingPanels part = panels;
  for (int first = 0; first < panels.count; first += part.count) {
    part.count = panels.count - first >= 2 ? 2 : 1;
    part.data = panels.data + first * panels.terms * kRingPanel;
    part.sums = panels.sums + first * kRingPanel;
    std::uint32_t* const to = out + first * kRingPanel;
    if (part.count == 2) {
      multiply_vnni<kDigits, kRows, 2>(digits, part, to, stride);
    } else {
      multiply_vnni<kDigits, kRows, 1>(digits, part, to, stride);
    }
  }
}

void tile_vnni(DType dtype, const void* digits, int rows, const RingPanels& panels,
               std::uint32_t* out, std::int64_t stride) {
  const auto* const x = static_cast<const std::uint8_t*>(digits);
  if (dtype == DType::kI16) {
    switch (rows) {
      case 1:
        return multiply_rows<2, 1>(x, panels, out, stride);
      case 2:
        return multiply_rows<2, 2>(x, panels, out, stride);
      case 3:
        return multiply_rows<2, 3>(x, panels, out, stride);
      case 4:
        return multiply_rows<2, 4>(x, panels, out, stride);
      case 5:
        return multiply_rows<2, 5>(x, panels, out, stride);
      default:
        return multiply_rows<2, 6>(x, panels, out, stride);
    }
  }
  switch (rows) {
    case 1:
      return multiply_rows<4, 1>(x, panels, out, stride);
    case 2:
      return multiply_rows<4, 2>(x, panels, out, stride);
    default:
      return multiply_rows<4, 3>(x, panels, out, stride);
  }
}

constexpr RingKernel kVnni = {"avx512_vnni", 4, 2, 1, 12, 4, split_vnni, tile_vnni};

}  // namespace

const RingKernel* ring_kernel_vnni() noexcept {
  return &kVnni;
}

}  // namespace airlock

#else

namespace airlock {

const RingKernel* ring_kernel_vnni() noexcept {
  return nullptr;
}

}  // namespace airlock

#endif
