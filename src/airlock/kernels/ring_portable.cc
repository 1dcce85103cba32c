// The ring's products in plain C++: halves, as compilers multiply 16 bits on any processor.
#include "airlock/kernels/ring_kernel.h"
#include "airlock/kernels/ring_split.h"

namespace airlock {
namespace {

constexpr std::int64_t kPortableTerms = 512;

/// Sums of one row and panel: one digit in 32 bits, then in place in 64.
void multiply_row(const std::byte* x, int digits, const std::int8_t* w, std::int64_t terms,
                  std::int64_t* v) {
  for (int d = 0; d < digits; ++d) {
    std::int32_t sums[kRingPanel] = {};
    for (std::int64_t k = 0; k < terms; k += 2) {
      std::int16_t a[2];
      std::memcpy(a, x + (k / 32 * digits + d) * 64 + k % 32 * 2, sizeof(a));
      const std::int8_t* pairs = w + k * kRingPanel;
      for (std::int64_t c = 0; c < kRingPanel; ++c) {
        sums[c] += a[0] * pairs[2 * c] + a[1] * pairs[2 * c + 1];
      }
    }
    for (std::int64_t c = 0; c < kRingPanel; ++c) {
      v[c] += std::int64_t{sums[c]} * (std::int64_t{1} << (16 * d));
    }
  }
}

void multiply_portable(const RingBlock& block) {
  for (std::int64_t p = 0; p < block.panels; ++p) {
    for (std::int64_t r = 0; r < block.rows; ++r) {
      multiply_row(block.x + r * block.x_stride, block.digits, block.w + p * block.panel_stride,
                   block.terms, block.v + r * block.v_stride + p * kRingPanel);
    }
  }
}

void split_ring_portable(const std::uint32_t* x, std::int64_t count, std::byte* out) {
  ring::split_ring_halves(x, count, out);
}
void split_i16_portable(const std::int16_t* x, std::int64_t count, std::byte* out) {
  ring::split_i16_halves(x, count, out);
}
void reduce_ring_portable(const std::int64_t* v, std::int64_t count, std::uint32_t* out) {
  ring::reduce_ring(v, count, out);
}
void reduce_ring16_portable(const std::int64_t* v, std::int64_t count, std::uint16_t* out) {
  ring::reduce_ring16(v, count, out);
}

}  // namespace

const RingKernel* ring_kernel_portable() {
  static const RingKernel kernel = {.name = "portable",
                                    .form = RingDigits::kHalves,
                                    .group = 2,
                                    .block_terms = kPortableTerms,
                                    .tile_panels = 1,
                                    .split_ring = split_ring_portable,
                                    .split_i16 = split_i16_portable,
                                    .multiply = multiply_portable,
                                    .reduce_ring = reduce_ring_portable,
                                    .reduce_ring16 = reduce_ring16_portable};
  return &kernel;
}

const RingKernel* ring_kernel() {
  static const RingKernel* const best = [] {
    for (const auto candidate : {ring_kernel_amx_int8, ring_kernel_avx512_vnni, ring_kernel_avx2}) {
      if (const RingKernel* kernel = candidate()) return kernel;
    }
    return ring_kernel_portable();
  }();
  return best;
}

}  // namespace airlock
