// The inner loops of ring_multiply, one set for each kind of integer instructions.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "airlock/core/dtype.h"

namespace airlock {

/// Columns of a panel of packed weights: [in / 4][16][4] int8, `in` padded with zeros to
/// kRingTerms.
inline constexpr std::int64_t kRingPanel = 16;
inline constexpr std::int64_t kRingTerms = 64;
inline constexpr int kMostRingRows = 12;   ///< RingKernel::rows at most
inline constexpr int kMostRingPanels = 4;  ///< RingKernel::panels at most

/// Panels next to each other of one weight.
struct RingPanels {
  const std::int8_t* data = nullptr;
  const std::int32_t* sums = nullptr;  ///< of each column's weights
  std::int64_t terms = 0;              ///< padded
  int count = 0;
};

/// Splits rows into digits and multiplies them. Exact for up to kMaxRingTerms terms.
struct RingKernel {
  std::string_view name;
  int digits_ring = 0;   ///< of an element of the field
  int digits_int16 = 0;  ///< of an int16
  int digit_bytes = 0;
  int most_digits = 0;  ///< rows times digits of one tile
  int most_panels = 0;
  /// Rows of `count` elements of `dtype` (kRing or kI16), `stride` elements apart, as
  /// [terms / 4][rows][digits][4], padded with zeros: a tile reads them in one stream.
  void (*split)(DType dtype, const void* x, std::int64_t stride, int rows, std::int64_t count,
                std::int64_t terms, void* digits);
  /// out[row][column] = residue of row times column, rows `stride` apart, of rows split as above.
  void (*tile)(DType dtype, const void* digits, int rows, const RingPanels& panels,
               std::uint32_t* out, std::int64_t stride);

  [[nodiscard]] int digits(DType dtype) const noexcept {
    return dtype == DType::kI16 ? digits_int16 : digits_ring;
  }
};

/// Null where the program was built for another kind of processor. Whether this one has the
/// instructions is for the caller to ask.
[[nodiscard]] const RingKernel* ring_kernel_vnni() noexcept;
[[nodiscard]] const RingKernel* ring_kernel_avx2() noexcept;
[[nodiscard]] const RingKernel& ring_kernel_portable() noexcept;

/// Those that run here, the best first.
[[nodiscard]] std::vector<const RingKernel*> ring_kernels();

}  // namespace airlock
