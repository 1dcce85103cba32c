// One-time pads: what masks the rows of one call, and what that becomes in its products.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "airlock/core/buffer_pool.h"
#include "airlock/shield/lattice.h"

namespace airlock {

/// Rows of a pad, of one of two kinds: stored rows, or a lattice secret from which kernels make
/// tiles as they go. Belongs to one call's group of products.
struct PadSegment {
  std::int64_t rows = 0;

  /// Stored: [rows, in] and, for each matrix of the group, [rows, out]; u32 below p. Null if not.
  const std::uint32_t* input = nullptr;
  std::int64_t input_stride = 0;
  const std::uint32_t* output[3] = {};
  std::int64_t output_stride[3] = {};

  /// Made on the way: tiles of `table` and `hints` under `secret` [rank * degree]; rows past
  /// `rows` are thrown away. `table` may have more columns than the input: its beginning counts.
  const std::uint32_t* secret = nullptr;
  const PolynomialTable* table = nullptr;
  const PolynomialTable* hints[3] = {};
};

/// A pad for the rows of one call: moved from its source, used by that call, then wiped and gone.
/// It cannot be copied, so that no row is used twice. Not thread-safe.
class Pad {
 public:
  Pad() = default;
  Pad(Pad&& other) noexcept;
  Pad& operator=(Pad&& other) noexcept;
  Pad(const Pad&) = delete;
  Pad& operator=(const Pad&) = delete;
  ~Pad();  ///< wipes what it owns, and gives it back

  /// Adds rows and what keeps them alive; a source's business. `wiped`: bytes that the pad's end
  /// overwrites.
  void add(const PadSegment& segment, std::shared_ptr<void> keeps,
           std::vector<std::span<std::byte>> wiped);

  [[nodiscard]] std::int64_t rows() const noexcept { return rows_; }
  [[nodiscard]] const std::vector<PadSegment>& segments() const noexcept { return segments_; }

 private:
  void end() noexcept;
  std::int64_t rows_ = 0;
  std::vector<PadSegment> segments_;
  std::vector<std::shared_ptr<void>> keeps_;
  std::vector<std::span<std::byte>> wiped_;
};

}  // namespace airlock
