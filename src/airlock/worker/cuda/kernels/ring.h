// Exact products mod p out of int8 ones: elements fall into signed digits of base 256, which
// tensor cores multiply by int8 weights, and the sums of the digits' products are put together
// again modulo p.
//
// An element is x = sum of 256^l d_l, plus a constant: each byte b of it that is unsigned counts as
// the digit b - 128 in [-128, 127], and the constant is 128 times those bytes' places. So digits
// carry nothing from one to the next and hold every value there is (16 bits do not fit two digits
// without the constant: those reach 127 * 257 = 32639), at the price of the constant times each
// output's sum of weights. k terms of |128 * 127| stay within 2^29 at kMaxRingTerms.
#pragma once

#include <cstdint>

#include "airlock/math/field.h"
#include "airlock/worker/cuda/kernels/block.h"

namespace airlock::cuda {

/// Digits of elements of type X: std::uint32_t (DType::kRing; any 32 bits, which count modulo p) or
/// std::int16_t (DType::kI16).
template <typename X>
struct RingDigits;

template <>
struct RingDigits<std::uint32_t> {
  static constexpr int kCount = 4;
  static constexpr std::int64_t kOffset = 0x80808080;  ///< what the digits leave out
  AIRLOCK_HD static std::int8_t digit(std::uint32_t x, int place) {
    return static_cast<std::int8_t>(static_cast<int>((x >> (8 * place)) & 255U) - 128);
  }
};

template <>
struct RingDigits<std::int16_t> {
  static constexpr int kCount = 2;
  static constexpr std::int64_t kOffset = 128;  ///< the upper byte is signed by itself
  AIRLOCK_HD static std::int8_t digit(std::int16_t x, int place) {
    const int low = (x & 255) - 128;
    const int high = (x - (x & 255)) / 256;
    return static_cast<std::int8_t>(place == 0 ? low : high);
  }
};

/// The residue of `value`, |value| <= 2^55, by Barrett's method: no division.
AIRLOCK_HD std::uint32_t field_residue(std::int64_t value) {
  // A multiple of p above 2^55 makes it a natural number below 2^57 of the same residue.
  constexpr std::uint64_t kBias = std::uint64_t{kFieldPrime} << 25;
  constexpr std::uint64_t kInverse = ~std::uint64_t{0} / kFieldPrime;  // floor(2^64 / p): p is odd
  const std::uint64_t natural = static_cast<std::uint64_t>(value) + kBias;
#if defined(__CUDA_ARCH__)
  const std::uint64_t quotient = __umul64hi(natural, kInverse);
#else
  __extension__ using Wide = unsigned __int128;
  const auto quotient = static_cast<std::uint64_t>(Wide{natural} * kInverse >> 64);
#endif
  // The quotient is right or one too small, as natural < 2^64: what is left is below 2 p.
  const std::uint64_t rest = natural - quotient * kFieldPrime;
  return static_cast<std::uint32_t>(rest >= kFieldPrime ? rest - kFieldPrime : rest);
}

/// x.w mod p of sums[l * stride], the products of x's digit l with w, and of the sum of w. With
/// kMaxRingTerms terms the whole is below 2^55: 2^29 * (1 + 2^8 + 2^16 + 2^24) and 2^32 * 2^22.
template <typename X>
AIRLOCK_HD std::uint32_t recombined(const std::int32_t* sums, std::int64_t stride,
                                    std::int32_t weight_sum) {
  std::int64_t value = RingDigits<X>::kOffset * weight_sum;
  for (int place = 0; place < RingDigits<X>::kCount; ++place) {
    value += static_cast<std::int64_t>(sums[place * stride]) * (std::int64_t{1} << (8 * place));
  }
  return field_residue(value);
}

AIRLOCK_HD void store_ring(std::uint32_t* to, std::uint32_t value) {
  *to = value;
}
/// Rounded: DType::kRing16 (math/field.h).
AIRLOCK_HD void store_ring(std::uint16_t* to, std::uint32_t value) {
  *to = static_cast<std::uint16_t>((value + (1U << (kRing16Shift - 1))) >> kRing16Shift);
}

/// x [rows, columns], dense, to its digits: int8 [rows * kCount, columns], digits of one row one
/// after another, rows `digits_stride` elements apart.
struct DigitsArgs {
  const void* x = nullptr;
  std::int8_t* digits = nullptr;
  std::int64_t digits_stride = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};

/// X: std::uint32_t or std::int16_t. Grid: grid_over(rows, columns).
template <typename X>
AIRLOCK_HD void digits_block(const DigitsArgs& args, const BlockId& block) {
  constexpr int kCount = RingDigits<X>::kCount;
  const auto* x = static_cast<const X*>(args.x);
  for_each_element(block, args.rows, args.columns, [&](std::int64_t row, std::int64_t column) {
    const X element = x[row * args.columns + column];
    std::int8_t* const to = args.digits + row * kCount * args.digits_stride + column;
    for (int place = 0; place < kCount; ++place) {
      to[place * args.digits_stride] = RingDigits<X>::digit(element, place);
    }
  });
}

/// Sums i32 [rows * kCount, columns] of the digits' products, rows `sums_stride` elements apart,
/// and the sum of each output's weights; `to` [rows, columns], dense.
struct RecombineArgs {
  const std::int32_t* sums = nullptr;
  std::int64_t sums_stride = 0;
  const std::int32_t* weight_sums = nullptr;  ///< [columns]
  void* to = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};

/// X: as the digits were made of; Y: std::uint32_t (DType::kRing) or std::uint16_t
/// (DType::kRing16). Grid: grid_over(rows, columns).
template <typename X, typename Y>
AIRLOCK_HD void recombine_block(const RecombineArgs& args, const BlockId& block) {
  constexpr int kCount = RingDigits<X>::kCount;
  auto* to = static_cast<Y*>(args.to);
  for_each_element(block, args.rows, args.columns, [&](std::int64_t row, std::int64_t column) {
    const std::uint32_t value = recombined<X>(args.sums + row * kCount * args.sums_stride + column,
                                              args.sums_stride, args.weight_sums[column]);
    store_ring(to + row * args.columns + column, value);
  });
}

}  // namespace airlock::cuda
