// What ring_matrix.cc (who computes what) asks of a kernel (how one block is computed). Internal to
// kernels/.
//
// A field element is split into digits that the processor's integer instructions multiply exactly,
// each in 64-byte units of one digit: x is [rows][units of k][digits][64 bytes], every row padded
// to whole units. Sums of one digit times the weights are exact in 32 bits for the terms of a
// block; weighted by the digit's place they are added up, exactly, in 64 bits; the residue mod p is
// taken of that sum.
#pragma once

#include <cstddef>
#include <cstdint>

namespace airlock {

/// Columns of a panel of weights, which lie together.
inline constexpr std::int64_t kRingPanel = 16;
/// Rows of weights are padded with zeros to multiples of so many terms.
inline constexpr std::int64_t kRingUnit = 64;

/// How x is split, and how weights lie for it.
enum class RingDigits : std::uint8_t {
  /// Unsigned bytes: 4 of a ring element (any 32 bits: their value counts), 2 of an int16 one, of
  /// which 2^15 more is taken (RingKernel's caller takes 2^15 times the column's sum off). A unit
  /// has 64 terms. A digit's sum is at most 255 * 127 * 32768 < 2^31, all terms in one block; with
  /// four of them, 2^54.
  kBytes,
  /// Balanced 16-bit digits: 2 of a ring element taken in (-p/2, p/2), 1 of an int16 one. A unit
  /// has 32 terms. A digit's sum over 512 terms is at most 2^15 * 127 * 512 < 2^31; the sum over
  /// all terms, with both digits in place, 2^30 * 127 * 32768 < 2^52.
  kHalves,
};

/// Largest magnitude of a sum in 64 bits, as above.
inline constexpr std::int64_t kRingMostSum = std::int64_t{255} * 127 * 32768 * 0x1010101;

/// v[r][c] += x[r] . w[c] over `units` units: rows times 16 `panels` columns.
struct RingBlock {
  const std::byte* x;  ///< digits of the first row, where the block's terms begin
  std::int64_t x_stride;
  int digits;
  std::int64_t rows;
  const std::int8_t* w;  ///< the first panel, where the block's terms begin
  std::int64_t panel_stride;
  std::int64_t panels;
  std::int64_t terms;  ///< a multiple of kRingUnit, at most RingKernel::block_terms
  std::int64_t* v;     ///< [rows, v_stride], 64-byte aligned rows
  std::int64_t v_stride;
};

/// One way to compute them. Weights lie as panels of [terms / group][16 columns][group] bytes.
struct RingKernel {
  const char* name;
  RingDigits form;
  std::int64_t group;        ///< terms of a column that lie together: 4 (kBytes) or 2 (kHalves)
  std::int64_t block_terms;  ///< terms of one RingBlock at most
  std::int64_t tile_panels;  ///< panels that it multiplies at a time

  /// Digits of one row of `count` elements; past them the last unit is filled with some digits.
  void (*split_ring)(const std::uint32_t* x, std::int64_t count, std::byte* out);
  void (*split_i16)(const std::int16_t* x, std::int64_t count, std::byte* out);
  void (*multiply)(const RingBlock& block);
  /// Residues of `count` sums, a multiple of 16, each at most kRingMostSum in magnitude.
  void (*reduce_ring)(const std::int64_t* v, std::int64_t count, std::uint32_t* out);
  void (*reduce_ring16)(const std::int64_t* v, std::int64_t count, std::uint16_t* out);
};

/// Null where isa() lacks the instructions.
const RingKernel* ring_kernel_portable();
const RingKernel* ring_kernel_avx2();
const RingKernel* ring_kernel_avx512_vnni();
const RingKernel* ring_kernel_amx_int8();
/// The best of them.
const RingKernel* ring_kernel();

}  // namespace airlock
