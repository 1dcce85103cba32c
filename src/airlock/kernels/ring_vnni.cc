// The ring's products with AVX-512 VNNI: bytes and vpdpbusd, which adds four products of u8 and s8
// to 32 bits without saturating on the way.
#include "airlock/kernels/ring_kernel.h"

#if defined(__x86_64__) && defined(__linux__)
#include "airlock/core/isa.h"
#include "airlock/kernels/ring_avx512.inc"

#define AIRLOCK_RING_VNNI \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")))

namespace airlock {
namespace {

/// Weights of a few panels that stay in the second-level cache while rows pass.
constexpr std::int64_t kVnniTerms = 1024;
constexpr std::int64_t kVnniPanels = 3;

AIRLOCK_RING_VNNI inline __m512i four_terms(const std::byte* x) {
  std::int32_t bytes;
  std::memcpy(&bytes, x, sizeof(bytes));
  return _mm512_set1_epi32(bytes);
}

/// The intrinsic makes GCC 12 copy each accumulator twice.
AIRLOCK_RING_VNNI inline void add_products(__m512i& sums, __m512i x, __m512i w) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(x), "v"(w));
}

/// kRows rows times kPanels panels: kRows kDigits kPanels accumulators of the 32 registers, at
/// best 24; then one weight register a panel and one of x.
template <int kRows, int kDigits, int kPanels>
AIRLOCK_RING_VNNI void vnni_tile(const RingBlock& block, const std::byte* x, const std::int8_t* w,
                                 std::int64_t* v) {
  __m512i sums[kRows][kPanels][kDigits];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
    for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 4
      for (int d = 0; d < kDigits; ++d) sums[r][p][d] = _mm512_setzero_si512();
    }
  }
  for (std::int64_t k = 0; k < block.terms; k += kRingUnit, x += 64 * kDigits) {
#pragma GCC unroll 4
    for (std::int64_t i = 0; i < 16; ++i, w += 64) {
      __m512i weights[kPanels];
#pragma GCC unroll 3
      for (int p = 0; p < kPanels; ++p) weights[p] = _mm512_load_si512(w + p * block.panel_stride);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (int d = 0; d < kDigits; ++d) {
          const __m512i a = four_terms(x + r * block.x_stride + d * 64 + i * 4);
#pragma GCC unroll 3
          for (int p = 0; p < kPanels; ++p) {
            add_products(sums[r][p][d], a, weights[p]);
          }
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
    for (int p = 0; p < kPanels; ++p) {
      add_bytes<kDigits>(sums[r][p], v + r * block.v_stride + p * kRingPanel);
    }
  }
}

template <int kRows, int kDigits>
AIRLOCK_RING_VNNI void vnni_rows(const RingBlock& block, std::int64_t row) {
  const std::byte* x = block.x + row * block.x_stride;
  const std::int8_t* w = block.w;
  std::int64_t* v = block.v + row * block.v_stride;
  std::int64_t p = 0;
  for (; p + kVnniPanels <= block.panels; p += kVnniPanels) {
    vnni_tile<kRows, kDigits, 3>(block, x, w + p * block.panel_stride, v + p * kRingPanel);
  }
  const std::int64_t left = block.panels - p;
  if (left == 2) {
    vnni_tile<kRows, kDigits, 2>(block, x, w + p * block.panel_stride, v + p * kRingPanel);
  } else if (left == 1) {
    vnni_tile<kRows, kDigits, 1>(block, x, w + p * block.panel_stride, v + p * kRingPanel);
  }
}

AIRLOCK_RING_VNNI void multiply_vnni(const RingBlock& block) {
  std::int64_t row = 0;
  if (block.digits == 4) {
    for (; row + 2 <= block.rows; row += 2) vnni_rows<2, 4>(block, row);
    if (row < block.rows) vnni_rows<1, 4>(block, row);
    return;
  }
  for (; row + 4 <= block.rows; row += 4) vnni_rows<4, 2>(block, row);
  if (block.rows - row >= 2) {
    vnni_rows<2, 2>(block, row);
    row += 2;
  }
  if (row < block.rows) vnni_rows<1, 2>(block, row);
}

}  // namespace

const RingKernel* ring_kernel_avx512_vnni() {
  static const RingKernel kernel = {.name = "avx512_vnni",
                                    .form = RingDigits::kBytes,
                                    .group = 4,
                                    .block_terms = kVnniTerms,
                                    .tile_panels = kVnniPanels,
                                    .split_ring = split_ring_avx512,
                                    .split_i16 = split_i16_avx512,
                                    .multiply = multiply_vnni,
                                    .reduce_ring = reduce_ring_avx512,
                                    .reduce_ring16 = reduce_ring16_avx512};
  return has_vnni() ? &kernel : nullptr;
}

}  // namespace airlock

#else

namespace airlock {
const RingKernel* ring_kernel_avx512_vnni() {
  return nullptr;
}
}  // namespace airlock

#endif
